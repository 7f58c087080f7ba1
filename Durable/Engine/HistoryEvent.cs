namespace Librarian.Durable.Engine;

/// <summary>Kinds of history events and inbox messages. The numbers are stored: never reuse or renumber them.</summary>
internal enum EventKind
{
    ExecutionStarted = 1,
    OrchestratorStarted = 2,
    TaskScheduled = 3,
    TaskCompleted = 4,
    TaskFailed = 5,
    TimerCreated = 6,
    TimerFired = 7,
    SubOrchestrationCreated = 8,
    SubOrchestrationCompleted = 9,
    SubOrchestrationFailed = 10,
    EventRaised = 11,
    EventSent = 12,
    ExecutionSuspended = 13,
    ExecutionResumed = 14,
    ExecutionTerminated = 15,
    ExecutionCompleted = 16,
    ExecutionRewound = 17,

    /// <summary>Only a message, never history: the orchestrator's code ran outside its flow of control after its turn.</summary>
    OrchestratorEscaped = 18,

    /// <summary>
    /// Only a message, never history, written by an earlier release: an activity ran without a row when its worker released the instance
    /// (<see cref="Stores.RecoveryMarker"/>).
    /// </summary>
    LocalActivityLost = 19,
}

/// <summary>
/// One row of history, or a message that becomes one. <paramref name="At"/> is epoch milliseconds of the database clock;
/// <paramref name="TaskId"/> is -1 if the event belongs to no task.
/// </summary>
internal sealed record HistoryEvent(
    EventKind Kind,
    int TaskId,
    string? Name,
    string? Data,
    string? Failure,
    long At,
    string? MessageId = null
)
{
    public static HistoryEvent TurnStarted(long at) => new(EventKind.OrchestratorStarted, -1, null, null, null, at);
}

/// <summary>Unchanging properties of the instance that an execution belongs to.</summary>
internal sealed record ExecutionIdentity(
    string InstanceId,
    long ExecutionId,
    string Name,
    string Version,
    string? ParentId,
    string? ParentName
);

internal sealed record ScheduledTask(int TaskId, string Name, string? Input, string Queue, string Version = "");

internal sealed record CreatedTimer(int TaskId, long FireAt);

internal sealed record CreatedChild(int TaskId, string Name, string InstanceId, string? Input, string Version);

internal sealed record SentEvent(int TaskId, string InstanceId, string Name, string? Data);

/// <summary>The end of an execution: a final status or, with <see cref="ContinueAsNew"/>, the start of the next execution.</summary>
internal sealed record ExecutionEnd(OrchestrationRuntimeStatus Status, string? Output, TaskFailureDetails? Failure)
{
    public bool ContinueAsNew { get; init; }

    /// <summary>Events that move to the next execution, in order.</summary>
    public IReadOnlyList<HistoryEvent> Carried { get; init; } = [];

    /// <summary>Version of the next execution; null keeps the current one.</summary>
    public string? NextVersion { get; init; }

    public bool TerminateChildren { get; init; }
}
