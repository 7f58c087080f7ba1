using Librarian.Durable.Stores;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Worker;

/// <summary>The database as the workers of a host use it: statements, clock, and the queue of results and releases.</summary>
internal sealed class WorkerDatabase(DurableStore store, TimeProvider time, TurnTriggers triggers, ILogger<CompletionQueue> log)
{
    public DurableStore Store { get; } = store;

    public WorkQueries Queries { get; } = new(store);

    public TurnWriter Turns { get; } = new(store);

    public LeaseQueries Leases { get; } = new(store);

    public ClockQueries ClockQueries { get; } = new(store);

    public DatabaseClock Clock { get; } = new(time, store);

    public CompletionQueue Completions { get; } = new(store, new WorkQueries(store), time, triggers, log);

    /// <summary>Points between two durable steps.</summary>
    public TurnTriggers Triggers { get; } = triggers;
}
