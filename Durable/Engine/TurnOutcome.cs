namespace Librarian.Durable.Engine;

/// <summary>
/// All effects of one turn; the store writes them in one transaction (docs/spec/durable-engine.md#r1-one-transaction-per-turn).
/// </summary>
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

    /// <summary>Whether activities or children have not ended yet: a reason to stay in memory.</summary>
    public bool AwaitsWork { get; set; }

    /// <summary>For a rewound turn: open activities of earlier turns that need their rows again.</summary>
    public List<ScheduledTask> ReopenedTasks { get; } = [];

    /// <summary>For a rewound turn: children of earlier turns that must continue, run again or report again.</summary>
    public List<CreatedChild> ReopenedChildren { get; } = [];

    /// <summary>For a rewound turn: the history that replaces the recorded one and precedes <see cref="Events"/>.</summary>
    public IReadOnlyList<HistoryEvent>? RewrittenHistory { get; set; }

    /// <summary>Removes all decisions: code that contradicts its history must not have effects.</summary>
    public void ForgetDecisions()
    {
        Tasks.Clear();
        Timers.Clear();
        CancelledTimers.Clear();
        Children.Clear();
        SentEvents.Clear();
    }
}
