namespace Librarian.Durable;

/// <summary>One row of an instance's recorded history. Names of <paramref name="EventType"/> as in Durable Task.</summary>
/// <param name="Sequence">Position, from 0.</param>
/// <param name="EventType">For example <c>ExecutionStarted</c>, <c>TaskScheduled</c>, <c>TaskCompleted</c>, <c>TimerFired</c>.</param>
/// <param name="Timestamp">UTC: turns by the database clock; what a turn caused has the turn's time.</param>
/// <param name="TaskId">Which activity, timer, sub-orchestration or sent event; null where there is none.</param>
public sealed record OrchestrationHistoryEvent(int Sequence, string EventType, DateTimeOffset Timestamp, int? TaskId)
{
    /// <summary>Name of the orchestrator, activity or event.</summary>
    public string? Name { get; init; }

    /// <summary>Input of the orchestration, activity or event, as stored.</summary>
    public string? Input { get; init; }

    /// <summary>Result, as stored.</summary>
    public string? Result { get; init; }

    /// <summary>Why it failed.</summary>
    public TaskFailureDetails? FailureDetails { get; init; }

    /// <summary>When a timer is due (UTC).</summary>
    public DateTimeOffset? FireAt { get; init; }

    /// <summary>Instance id of a created sub-orchestration.</summary>
    public string? ChildInstanceId { get; init; }

    /// <summary>Reason given for a suspension, resumption, termination or rewind, as stored.</summary>
    public string? Reason { get; init; }

    /// <summary>Final status of the execution.</summary>
    public string? OrchestrationStatus { get; init; }
}
