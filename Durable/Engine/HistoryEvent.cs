namespace Librarian.Durable.Engine;

/// <summary>Kinds of history events and of inbox messages. The numbers are stored: never reuse or renumber them.</summary>
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

    /// <summary>A message only, never history: code of the orchestrator was seen outside its flow of control after its turn.</summary>
    OrchestratorEscaped = 18,

    /// <summary>
    /// A message only, never history: wakes the instance when its worker has let go of it while an activity ran without a row (<see cref="Stores.Standby"/>).
    /// </summary>
    LocalActivityLost = 19,
}

/// <summary>
/// One row of history, or a message on its way into it. <paramref name="At"/> is epoch milliseconds of the database clock;
/// <paramref name="TaskId"/> is -1 where there is no task.
/// </summary>
internal sealed record HistoryEvent(EventKind Kind, int TaskId, string? Name, string? Data, string? Failure, long At, string? MessageId = null)
{
    public static HistoryEvent TurnStarted(long at) => new(EventKind.OrchestratorStarted, -1, null, null, null, at);
}

/// <summary>Fixed facts of the instance that an execution belongs to.</summary>
internal sealed record ExecutionIdentity(string InstanceId, long ExecutionId, string Name, string Version, string? ParentId, string? ParentName);

internal sealed record ScheduledTask(int TaskId, string Name, string? Input, string Queue, string Version = "");

internal sealed record CreatedTimer(int TaskId, long FireAt);

internal sealed record CreatedChild(int TaskId, string Name, string InstanceId, string? Input, string Version);

internal sealed record SentEvent(int TaskId, string InstanceId, string Name, string? Data);

/// <summary>The end of an execution: a final status, or (with <see cref="ContinueAsNew"/>) the next execution's beginning.</summary>
internal sealed record ExecutionEnd(OrchestrationRuntimeStatus Status, string? Output, TaskFailureDetails? Failure)
{
    public bool ContinueAsNew { get; init; }

    /// <summary>Kept events that move to the next execution, in order.</summary>
    public IReadOnlyList<HistoryEvent> Carried { get; init; } = [];

    /// <summary>Version of the next execution; null keeps the present one.</summary>
    public string? NextVersion { get; init; }

    public bool TerminateChildren { get; init; }
}

/// <summary>Everything one turn causes; the store writes it in one transaction (rule R1).</summary>
internal sealed class TurnOutcome
{
    public required IReadOnlyList<HistoryEvent> Events { get; init; }

    public List<ScheduledTask> Tasks { get; } = [];

    public List<CreatedTimer> Timers { get; } = [];

    public List<int> CancelledTimers { get; } = [];

    public List<CreatedChild> Children { get; } = [];

    public List<SentEvent> SentEvents { get; } = [];

    public bool Suspended { get; set; }

    public string? CustomStatus { get; set; }

    public ExecutionEnd? End { get; set; }

    /// <summary>Activities and children that are still out: a reason to stay in memory.</summary>
    public bool AwaitsWork { get; set; }

    /// <summary>Of a rewound turn: what is outstanding from earlier turns and needs its rows again.</summary>
    public List<ScheduledTask> ReopenedTasks { get; } = [];

    /// <summary>Of a rewound turn: children from earlier turns that must run on, run again or report again.</summary>
    public List<CreatedChild> ReopenedChildren { get; } = [];

    /// <summary>Of a rewound turn: the history that takes the place of the recorded one, before <see cref="Events"/>.</summary>
    public IReadOnlyList<HistoryEvent>? RewrittenHistory { get; set; }

    /// <summary>Code that contradicted its history may not cause anything.</summary>
    public void ForgetDecisions()
    {
        Tasks.Clear();
        Timers.Clear();
        CancelledTimers.Clear();
        Children.Clear();
        SentEvents.Clear();
    }
}
