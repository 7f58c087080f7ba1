using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>The inputs and decisions of one turn.</summary>
internal sealed record Turn(
    ClaimedInstance Instance,
    TurnOutcome Outcome,
    int FirstSequence,
    long At,
    IReadOnlyCollection<long> ConsumedMessages,
    IReadOnlyList<ActivityResult> ConsumedResults,
    bool Release
)
{
    /// <summary>Activities to insert.</summary>
    public IReadOnlyList<ActivityRow> Activities { get; init; } = [];

    /// <summary>Activities of earlier turns that need a row now, unless they have one.</summary>
    public IReadOnlyList<ActivityRow> LateActivities { get; init; } = [];

    /// <summary>W3C trace context for the activities and children of this turn.</summary>
    public string? TraceParent { get; init; }
}

/// <summary>
/// An activity's row. With an owner, the activity already runs there and was delivered <paramref name="Attempts"/> times.
/// </summary>
internal readonly record struct ActivityRow(ScheduledTask Task, string? Owner, long Claim, int Attempts);
