using System.Data.Common;

namespace Librarian.Durable;

/// <summary>Whether a start was stored.</summary>
/// <param name="InstanceId">The id.</param>
/// <param name="Started">False: an instance with that id exists in a dedupe status and was left alone.</param>
public readonly record struct StartResult(string InstanceId, bool Started);

/// <summary>One of many orchestrations to start.</summary>
/// <param name="Name">Orchestrator name.</param>
/// <param name="Input">Input.</param>
/// <param name="Options">Options.</param>
public sealed record OrchestrationStart(TaskName Name, object? Input = null, StartOrchestrationOptions? Options = null);

/// <summary>
/// Starts, signals, controls and queries orchestrations. Members that return <see cref="Task"/> return when the request is stored;
/// a worker carries it out. Overloads with a <see cref="DbTransaction"/> write on the caller's open connection (Npgsql or
/// Microsoft.Data.Sqlite, to the database of the durable tables) and take effect when the caller commits; with EF Core pass
/// <c>db.Database.CurrentTransaction!.GetDbTransaction()</c>.
/// </summary>
public abstract class DurableTaskClient
{
    /// <summary>Longest instance id, in characters.</summary>
    public const int MaxInstanceIdLength = 200;

    /// <summary>Starts an orchestration; returns its id. Throws <see cref="OrchestrationAlreadyExistsException"/> when refused.</summary>
    public abstract Task<string> ScheduleNewOrchestrationInstanceAsync(TaskName orchestratorName, object? input = null, StartOrchestrationOptions? options = null, CancellationToken cancellation = default);

    /// <summary>Starts an orchestration; a refused start is a result, not an exception.</summary>
    public abstract Task<StartResult> TryScheduleNewOrchestrationInstanceAsync(TaskName orchestratorName, object? input = null, StartOrchestrationOptions? options = null, CancellationToken cancellation = default);

    /// <summary>Starts an orchestration in the caller's transaction; a refused start neither throws nor spoils the transaction.</summary>
    public abstract Task<StartResult> ScheduleNewOrchestrationInstanceAsync(TaskName orchestratorName, object? input, StartOrchestrationOptions? options, DbTransaction transaction, CancellationToken cancellation = default);

    /// <summary>
    /// Starts many orchestrations in a fixed number of statements, all or none (refused ones apart), in the caller's transaction when
    /// given. Ids must differ from each other. Results are in the order of <paramref name="starts"/>.
    /// </summary>
    public abstract Task<IReadOnlyList<StartResult>> ScheduleNewOrchestrationInstancesAsync(IReadOnlyList<OrchestrationStart> starts, DbTransaction? transaction = null, CancellationToken cancellation = default);

    /// <summary>Sends an event; dropped when the instance is unknown or finished.</summary>
    public abstract Task RaiseEventAsync(string instanceId, string eventName, object? eventPayload = null, CancellationToken cancellation = default);

    /// <summary>
    /// Sends an event at most once per <paramref name="messageId"/> (within one execution of the instance), so that a peer may repeat a
    /// callback. Returns false when nothing was stored: unknown or finished instance, or the same message still waiting.
    /// </summary>
    public abstract Task<bool> RaiseEventAsync(string instanceId, string eventName, object? eventPayload, string? messageId, DbTransaction? transaction = null, CancellationToken cancellation = default);

    /// <summary>Waits until the instance has left Pending. Throws <see cref="ArgumentException"/> when it is unknown.</summary>
    public abstract Task<OrchestrationMetadata> WaitForInstanceStartAsync(string instanceId, bool getInputsAndOutputs = false, CancellationToken cancellation = default);

    /// <summary>
    /// Waits until the instance is Completed, Failed or Terminated: signalled at once by a worker of this process, else by polling at up
    /// to 500 ms. Throws <see cref="ArgumentException"/> when it is unknown.
    /// </summary>
    public abstract Task<OrchestrationMetadata> WaitForInstanceCompletionAsync(string instanceId, bool getInputsAndOutputs = false, CancellationToken cancellation = default);

    /// <summary>Asks to terminate; no effect on unknown or finished instances.</summary>
    public abstract Task TerminateInstanceAsync(string instanceId, TerminateInstanceOptions? options = null, CancellationToken cancellation = default);

    /// <summary>Asks to terminate with that output; no effect on unknown or finished instances.</summary>
    public Task TerminateInstanceAsync(string instanceId, object? output, CancellationToken cancellation = default) =>
        TerminateInstanceAsync(instanceId, new TerminateInstanceOptions(output), cancellation);

    /// <summary>Asks to suspend: scheduled activities finish, messages are kept, the orchestrator does not advance.</summary>
    public abstract Task SuspendInstanceAsync(string instanceId, string? reason = null, CancellationToken cancellation = default);

    /// <summary>Asks to resume a suspended instance; kept messages are applied in order.</summary>
    public abstract Task ResumeInstanceAsync(string instanceId, string? reason = null, CancellationToken cancellation = default);

    /// <summary>The instance, or null when unknown.</summary>
    public abstract Task<OrchestrationMetadata?> GetInstanceAsync(string instanceId, bool getInputsAndOutputs = false, CancellationToken cancellation = default);

    /// <summary>Instances by creation time, then id; pages stay stable while rows change.</summary>
    public abstract AsyncPageable<OrchestrationMetadata> GetAllInstancesAsync(OrchestrationQuery? filter = null);

    /// <summary>Activities of an instance that wait or run, in the order they were scheduled; none for an unknown instance.</summary>
    public abstract Task<IReadOnlyList<PendingActivity>> GetPendingActivitiesAsync(string instanceId, CancellationToken cancellation = default);

    /// <summary>Removes a finished instance with all its rows; count 0 when unknown or not finished.</summary>
    public abstract Task<PurgeResult> PurgeInstanceAsync(string instanceId, PurgeInstanceOptions? options = null, CancellationToken cancellation = default);

    /// <summary>Removes finished instances, in transactions of at most 500.</summary>
    public abstract Task<PurgeResult> PurgeAllInstancesAsync(PurgeInstancesFilter filter, CancellationToken cancellation = default);

    /// <summary>
    /// Starts an instance again with the name, input, version and tags it was started with; returns its id. Throws
    /// <see cref="ArgumentException"/> when it is unknown and <see cref="OrchestrationAlreadyExistsException"/> when it would replace itself while active.
    /// </summary>
    public abstract Task<string> RestartAsync(string instanceId, bool restartWithNewInstanceId = false, CancellationToken cancellation = default);

    /// <summary>
    /// Lets a failed instance go on: the turn that failed it runs again without the failures that led there, so the activities and
    /// sub-orchestrations behind them run again under the same task ids (failed children are rewound, not started afresh). What succeeded is
    /// kept; a failure that the orchestrator went on from stays. Throws <see cref="ArgumentException"/> when the instance is unknown and
    /// <see cref="InvalidOperationException"/> when its status is not Failed.
    /// </summary>
    public abstract Task RewindInstanceAsync(string instanceId, string? reason = null, CancellationToken cancellation = default);

    /// <summary>The recorded history of the instance's current execution. Throws <see cref="ArgumentException"/> when it is unknown.</summary>
    public abstract Task<IReadOnlyList<OrchestrationHistoryEvent>> GetOrchestrationHistoryAsync(string instanceId, CancellationToken cancellation = default);

    /// <summary>Ids of ended instances by time of their end, then id; pass the page's token as <paramref name="lastInstanceKey"/> to go on.</summary>
    public abstract Task<Page<string>> ListInstanceIdsAsync(IReadOnlyCollection<OrchestrationRuntimeStatus>? runtimeStatus = null, DateTimeOffset? completedTimeFrom = null,
        DateTimeOffset? completedTimeTo = null, int pageSize = OrchestrationQuery.DefaultPageSize, string? lastInstanceKey = null, CancellationToken cancellation = default);

    /// <summary>Whether a worker of this process has an orchestrator of that name.</summary>
    public abstract bool KnowsOrchestrator(string name);

    /// <summary>
    /// Wakes the workers of this process (and, on PostgreSQL, of others) to look for work now. Optional after committing a transaction
    /// given to one of the overloads: without it the work is found within a second.
    /// </summary>
    public abstract void SignalCommitted();
}
