using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>What a worker can claim. Names are in the form that <see cref="DurableStore.Fold"/> makes.</summary>
internal sealed record PollRequest(
    string Owner,
    int FreeInstances,
    TimeSpan FirstBackoff,
    IReadOnlyCollection<string> Orchestrators,
    IReadOnlyCollection<string> Activities,
    IReadOnlyList<(string Queue, int Free)> Queues
);

/// <summary>A message in the inbox. If <paramref name="ExecutionId"/> is null, the message is for the current execution.</summary>
internal sealed record InboxMessage(long Id, long? ExecutionId, HistoryEvent Event);

internal sealed class PollResult
{
    public List<ClaimedInstance> Instances { get; } = [];

    public List<ClaimedActivity> Activities { get; } = [];

    /// <summary>Instances that this worker owns already and that have messages.</summary>
    public List<string> Ready { get; } = [];

    public long Now { get; set; }

    /// <summary>Time (epoch milliseconds) at which the next row becomes due, if any row waits.</summary>
    public long? NextDue { get; set; }
}
