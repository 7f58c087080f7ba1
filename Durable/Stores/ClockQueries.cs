using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>
/// Moves times that were recorded while the database's clock was ahead back to the present. Every row has the time from which it is
/// visible, so without this correction a row that was recorded while the clock was an hour ahead stays invisible for an hour, and for a
/// year if the clock was a year ahead.
/// </summary>
internal sealed class ClockQueries(DurableStore store)
{
    /// <summary>
    /// Usual clock corrections, and usual differences between a database's clocks before and after a failover, are smaller.
    /// </summary>
    public static readonly TimeSpan Tolerance = TimeSpan.FromSeconds(30);

    // Longer than any recorded delay of a delivery (WorkQueries.Suspicion, releases).
    private const long LongestDelay = 600_000;

    /// <summary>
    /// Runs the corrections in one transaction. Messages become visible now, except starts that were requested for a later time. A timer
    /// waits for its full duration, from now. A live worker renews its lease within seconds, so a lease that ends later than expected
    /// belongs to a dead worker. The transaction may be repeated: times that it has moved are within its bounds.
    /// </summary>
    public async Task<int> RewindAsync(TimeSpan lease, CancellationToken cancellationToken)
    {
        List<SqlStatement> statements =
        [
            new SqlStatement(
                $"""
                update dt_inbox set visible_at = {store.Now}
                where visible_at > {store.Now} + @tolerance and visible_at < {RecoveryMarker.Never} and kind <> {(int)EventKind.TimerFired}
                  and not (kind = {(int)EventKind.ExecutionStarted}
                    and exists (select 1 from dt_instance i where i.instance_id = dt_inbox.instance_id
                    and i.status = {RowStatus.Pending} and i.created_at < dt_inbox.visible_at - @tolerance))
                """
            ).With("tolerance", (long)Tolerance.TotalMilliseconds),
            new SqlStatement(
                $"""
                update dt_inbox set visible_at = {store.Now} + t.delay
                from (select h.instance_id, h.execution_id, h.task_id, cast(h.data as bigint) - h.at as delay from dt_history h
                  where h.kind = {(int)EventKind.TimerCreated} and (h.instance_id, h.execution_id) in
                    (select b.instance_id, b.execution_id from dt_inbox b
                      where b.kind = {(int)EventKind.TimerFired} and b.visible_at > {store.Now} + @tolerance)) t
                where dt_inbox.kind = {(int)EventKind.TimerFired} and dt_inbox.instance_id = t.instance_id
                  and dt_inbox.execution_id = t.execution_id and dt_inbox.task_id = t.task_id
                  and t.delay >= 0 and dt_inbox.visible_at > {store.Now} + t.delay + @tolerance
                """
            ).With("tolerance", (long)Tolerance.TotalMilliseconds),
            new SqlStatement(
                $"update dt_activity set not_before = {store.Now} where owner is null and not_before > {store.Now} + {LongestDelay}"
            ),
            new SqlStatement(
                $"update dt_instance set not_before = {store.Now} where owner is null and not_before > {store.Now} + {LongestDelay}"
            ),
        ];
        if (store.IsShared)
        {
            statements.Add(
                new SqlStatement($"update dt_worker set lease_until = {store.Now} + @lease where lease_until > {store.Now} + @most")
                    .With("lease", (long)lease.TotalMilliseconds)
                    .With("most", (long)(lease + Tolerance).TotalMilliseconds)
            );
        }

        return (await store.ExecuteAsync(statements, cancellationToken)).Sum();
    }
}
