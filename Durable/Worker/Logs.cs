using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Worker;

/// <summary>Log messages of the engine; event ids 4000-4099 are stable.</summary>
internal static partial class Logs
{
    private static readonly Func<ILogger, string, string, int, IDisposable?> InActivity = LoggerMessage.DefineScope<string, string, int>(
        "Instance {InstanceId}, activity {ActivityName}, task {TaskId}"
    );

    private static readonly Func<ILogger, string, string, IDisposable?> InTurn = LoggerMessage.DefineScope<string, string>(
        "Instance {InstanceId}, orchestrator {OrchestratorName}"
    );

    /// <summary>Adds the instance to everything that activity code logs.</summary>
    public static IDisposable? ActivityScope(this ILogger logger, string instanceId, string name, int taskId) =>
        InActivity(logger, instanceId, name, taskId);

    /// <summary>Adds the instance to everything that orchestrator code logs.</summary>
    public static IDisposable? TurnScope(this ILogger logger, string instanceId, string name) => InTurn(logger, instanceId, name);

    [LoggerMessage(4000, LogLevel.Information, "Durable worker {WorkerId} started")]
    public static partial void WorkerStarted(this ILogger logger, string workerId);

    [LoggerMessage(
        4001,
        LogLevel.Information,
        "Durable worker {WorkerId} stopped; {Left} activities were still running and will be delivered again"
    )]
    public static partial void WorkerStopped(this ILogger logger, string workerId, int left);

    [LoggerMessage(
        4002,
        LogLevel.Warning,
        "Durable worker {WorkerId} gave up its lease ({Reason}). "
            + "Its activities are cancelled and will be delivered again; a new incarnation starts at once"
    )]
    public static partial void LeaseLost(this ILogger logger, string workerId, string reason);

    [LoggerMessage(
        4003,
        LogLevel.Warning,
        "Heartbeat of durable worker {WorkerId} failed; it is repeated until the lease must be given up"
    )]
    public static partial void HeartbeatFailed(this ILogger logger, Exception exception, string workerId);

    [LoggerMessage(
        4004,
        LogLevel.Warning,
        "Durable worker failed to work with its database; nothing recorded is lost, it tries again in {Delay}"
    )]
    public static partial void WorkerFault(this ILogger logger, Exception exception, TimeSpan delay);

    [LoggerMessage(4005, LogLevel.Information, "Freed the work of {Count} dead durable workers")]
    public static partial void LeasesExpired(this ILogger logger, int count);

    [LoggerMessage(
        4006,
        LogLevel.Information,
        "A turn of instance {InstanceId} was discarded because the instance is owned by somebody else or was replaced"
    )]
    public static partial void TurnFenced(this ILogger logger, string instanceId);

    [LoggerMessage(
        4007,
        LogLevel.Warning,
        "A turn of instance {InstanceId} failed (delivery {Attempt}); it is discarded and repeated after {Delay}"
    )]
    public static partial void TurnFailed(this ILogger logger, Exception exception, string instanceId, int attempt, TimeSpan delay);

    [LoggerMessage(4008, LogLevel.Error, "Instance {InstanceId} failed as poison after {Attempts} deliveries")]
    public static partial void InstancePoisoned(this ILogger logger, string instanceId, int attempts);

    [LoggerMessage(4009, LogLevel.Error, "Activity {Name} of {OperationId} failed as poison after {Attempts} deliveries")]
    public static partial void ActivityPoisoned(this ILogger logger, string name, string operationId, int attempts);

    [LoggerMessage(
        4010,
        LogLevel.Warning,
        "Results of {Count} activities could not be recorded yet; they are kept and recorded when the database answers"
    )]
    public static partial void CompletionsDelayed(this ILogger logger, Exception exception, int count);

    [LoggerMessage(4011, LogLevel.Information, "Activity {Name} of {OperationId} failed")]
    public static partial void ActivityFailed(this ILogger logger, Exception exception, string name, string operationId);

    [LoggerMessage(
        4012,
        LogLevel.Warning,
        "Transactional activity {Name} of {OperationId} met a transient database fault (delivery {Attempt}); it is delivered again"
    )]
    public static partial void TransactionRetried(this ILogger logger, Exception exception, string name, string operationId, int attempt);

    [LoggerMessage(
        4013,
        LogLevel.Warning,
        "Gave back {Instances} instances and {Activities} activities that the database says are this worker's and it does not know"
    )]
    public static partial void Reconciled(this ILogger logger, int instances, int activities);

    [LoggerMessage(4014, LogLevel.Warning, "Notifications are not being received; work is found by polling until they are")]
    public static partial void ListenerFault(this ILogger logger, Exception exception);

    [LoggerMessage(
        4015,
        LogLevel.Warning,
        "Work has waited more than five minutes for names no worker has taken: {Names}. "
            + "Start a worker that has them, or terminate the instances"
    )]
    public static partial void UnknownNames(this ILogger logger, string names);

    [LoggerMessage(4016, LogLevel.Information, "Instance {InstanceId} ({Name}) ended: {Status}")]
    public static partial void InstanceEnded(this ILogger logger, string instanceId, string name, OrchestrationRuntimeStatus status);

    [LoggerMessage(4017, LogLevel.Error, "A result of activity {OperationId} cannot be stored; its failure is recorded instead")]
    public static partial void ResultRefused(this ILogger logger, Exception exception, string operationId);

    [LoggerMessage(
        4018,
        LogLevel.Warning,
        "The clock of the database was ahead when {Count} messages, timers and leases were recorded; "
            + "they go by its present time. Nothing is lost; if that clock is wrong, correct it"
    )]
    public static partial void ClockWentBack(this ILogger logger, int count);

    [LoggerMessage(
        4030,
        LogLevel.Information,
        "Progress of {Count} activities could not be written and is dropped; their work is not affected"
    )]
    public static partial void ProgressDropped(this ILogger logger, Exception exception, int count);

    [LoggerMessage(
        4031,
        LogLevel.Error,
        "The Durable Task hub at {Address} (Site:Durable:Grpc) cannot be reached. Workflows wait, "
            + "and what is asked of them is recorded; the site keeps trying and says when it is back"
    )]
    public static partial void HubAway(this ILogger logger, Uri address);

    [LoggerMessage(4032, LogLevel.Information, "The Durable Task hub at {Address} can be reached again; workflows go on")]
    public static partial void HubBack(this ILogger logger, Uri address);

    [LoggerMessage(4033, LogLevel.Warning, "The Durable Task hub did not take what was committed; a timer starts what is missing")]
    public static partial void HubRefused(this ILogger logger, Exception exception);
}
