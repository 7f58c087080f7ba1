using System.Data.Common;

namespace Librarian.Durable;

/// <summary>Result of a start.</summary>
/// <param name="InstanceId">Id of the instance.</param>
/// <param name="Started">
/// Whether the start was stored. False: an instance with that id exists in a dedupe status and was not changed.
/// </param>
public readonly record struct StartResult(string InstanceId, bool Started);

/// <summary>One start in a batch of starts.</summary>
/// <param name="Name">Orchestrator name.</param>
/// <param name="Input">Input of the orchestrator.</param>
/// <param name="Options">Start options.</param>
public sealed record OrchestrationStart(TaskName Name, object? Input = null, StartOrchestrationOptions? Options = null);

/// <summary>
/// A <see cref="DurableTaskClient"/> with members that only an engine inside the caller's database can offer. Members that return
/// <see cref="Task"/> complete when the request is stored; a worker executes it. Overloads with a <see cref="DbTransaction"/> write on the
/// caller's open connection (Npgsql or Microsoft.Data.Sqlite, to the database of the durable tables) and take effect when the caller
/// commits; with EF Core pass <c>db.Database.CurrentTransaction!.GetDbTransaction()</c>.
/// </summary>
/// <remarks>
/// Where Microsoft's client leaves behaviour open: a start is refused (<see cref="OrchestrationAlreadyExistsException"/>) while an instance
/// with that id is Pending, Running or Suspended, unless the dedupe statuses say otherwise; waiting for, restarting, rewinding or reading
/// the history of an unknown instance throws <see cref="ArgumentException"/>; messages to unknown or finished instances are dropped;
/// rewinding an instance that has not failed throws <see cref="InvalidOperationException"/>; pages of instances are ordered by creation
/// time, then id, and stay stable while rows change.
/// </remarks>
public abstract class DatabaseDurableTaskClient(string name) : DurableTaskClient(name)
{
    /// <summary>Longest instance id, in characters.</summary>
    public const int MaxInstanceIdLength = 200;

    /// <summary>
    /// Whether a commit of the caller's transaction also stores the starts and events that were given with it. False on a hub, which
    /// receives them after the commit: they may be lost in between, their result is unknown (false), and a timer must find the missing
    /// ones.
    /// </summary>
    public virtual bool StartsInTransaction => true;

    /// <summary>Starts an orchestration; a refused start is a result, not an exception.</summary>
    public abstract Task<StartResult> TryScheduleNewOrchestrationInstanceAsync(
        TaskName orchestratorName,
        object? input = null,
        StartOrchestrationOptions? options = null,
        CancellationToken cancellation = default
    );

    /// <summary>Starts an orchestration in the caller's transaction; a refused start neither throws nor aborts the transaction.</summary>
    public abstract Task<StartResult> ScheduleNewOrchestrationInstanceAsync(
        TaskName orchestratorName,
        object? input,
        StartOrchestrationOptions? options,
        DbTransaction transaction,
        CancellationToken cancellation = default
    );

    /// <summary>
    /// Starts many orchestrations in a fixed number of statements, in the caller's transaction if one is given. Either all are started,
    /// except refused ones, or none. Ids must differ. Results have the order of <paramref name="starts"/>.
    /// </summary>
    public abstract Task<IReadOnlyList<StartResult>> ScheduleNewOrchestrationInstancesAsync(
        IReadOnlyList<OrchestrationStart> starts,
        DbTransaction? transaction = null,
        CancellationToken cancellation = default
    );

    /// <summary>
    /// Sends an event at most once per <paramref name="messageId"/> (within one execution of the instance), so that a peer may repeat a
    /// callback. Returns false when nothing was stored: the instance is unknown or finished, or the same message is still waiting.
    /// </summary>
    public abstract Task<bool> RaiseEventAsync(
        string instanceId,
        string eventName,
        object? eventPayload,
        string? messageId,
        DbTransaction? transaction = null,
        CancellationToken cancellation = default
    );

    /// <summary>
    /// Activities of an instance that wait or run, in the order in which they were scheduled; empty for an unknown instance.
    /// </summary>
    public abstract Task<IReadOnlyList<PendingActivity>> GetPendingActivitiesAsync(
        string instanceId,
        CancellationToken cancellation = default
    );

    /// <summary>The instance with its version and parent, or null if it is unknown.</summary>
    public abstract Task<InstanceDetails?> GetDetailsAsync(string instanceId, CancellationToken cancellation = default);

    /// <summary>
    /// The recorded history of the instance's current execution, row by row as stored;
    /// <see cref="DurableTaskClient.GetOrchestrationHistoryAsync"/> returns the same history in Microsoft's types. Throws
    /// <see cref="ArgumentException"/> if the instance is unknown.
    /// </summary>
    public abstract Task<IReadOnlyList<OrchestrationHistoryEvent>> ReadHistoryAsync(
        string instanceId,
        CancellationToken cancellation = default
    );

    /// <summary>Whether a worker of this process has registered an orchestrator of that name.</summary>
    public abstract bool KnowsOrchestrator(string name);

    /// <summary>
    /// Wakes the workers of this process (and, on PostgreSQL, of others) to poll now. Optional after the commit of a transaction that was
    /// given to one of the overloads: without it a worker finds the work within a second.
    /// </summary>
    public abstract void SignalCommitted();
}
