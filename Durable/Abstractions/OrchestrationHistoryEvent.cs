namespace Librarian.Durable;

/// <summary>One row of an instance's recorded history. <paramref name="EventType"/> uses the names of Durable Task.</summary>
/// <param name="Sequence">Position, from 0.</param>
/// <param name="EventType">For example <c>ExecutionStarted</c>, <c>TaskScheduled</c>, <c>TaskCompleted</c>, <c>TimerFired</c>.</param>
/// <param name="Timestamp">UTC. A turn has the time of the database clock; the events that it causes have the turn's time.</param>
/// <param name="TaskId">Id of the activity, timer, sub-orchestration or sent event; null for other events.</param>
public sealed record OrchestrationHistoryEvent(int Sequence, string EventType, DateTimeOffset Timestamp, int? TaskId)
{
    /// <summary>Name of the orchestrator, activity or event.</summary>
    public string? Name { get; init; }

    /// <summary>Stored input of the orchestration, activity or event.</summary>
    public string? Input { get; init; }

    /// <summary>Stored result.</summary>
    public string? Result { get; init; }

    /// <summary>Details of the failure.</summary>
    public TaskFailureDetails? FailureDetails { get; init; }

    /// <summary>When a timer is due (UTC).</summary>
    public DateTimeOffset? FireAt { get; init; }

    /// <summary>Instance id of a created sub-orchestration.</summary>
    public string? ChildInstanceId { get; init; }

    /// <summary>Stored reason of a suspension, resumption, termination or rewind.</summary>
    public string? Reason { get; init; }

    /// <summary>Final status of the execution.</summary>
    public string? OrchestrationStatus { get; init; }
}
