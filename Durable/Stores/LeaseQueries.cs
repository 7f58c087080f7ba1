using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>
/// Worker leases, and the sweeps that free the work of dead workers (docs/spec/durable-engine.md#r5-lease,
/// docs/spec/durable-engine.md#r6-freeing-work).
/// </summary>
internal sealed class LeaseQueries(DurableStore store)
{
    /// <summary>Records a worker with its lease. The lease never ends on a store for one process.</summary>
    public async Task RegisterAsync(string workerId, string node, TimeSpan lease, CancellationToken cancellationToken) =>
        await store.TransactAsync(
            async session =>
            {
                // Only one process works at a time (it holds the file lock), so every recorded worker is dead.
                if (!store.IsShared)
                    await session.ExecuteAsync(new SqlStatement("delete from dt_worker"), cancellationToken);
                await session.ExecuteAsync(
                    new SqlStatement(
                        $"insert into dt_worker(id, node, started_at, lease_until) values (@id, @node, {store.Now}, {store.Now} + @lease)"
                    )
                        .With("id", workerId)
                        .With("node", node)
                        .With("lease", store.IsShared ? (long)lease.TotalMilliseconds : long.MaxValue / 4),
                    cancellationToken
                );
                if (!store.IsShared)
                    await session.ExecuteAsync(FreeOrphans, cancellationToken);
                return true;
            },
            cancellationToken
        );

    /// <summary>
    /// SQL of one heartbeat. No row means that another worker removed this incarnation after its lease expired; otherwise the result is the
    /// time in milliseconds until the first lease of the other workers ends.
    /// </summary>
    public string Beat =>
        $"update dt_worker set lease_until = {store.Now} + @lease where id = @id "
        + $"returning coalesce((select min(w.lease_until) from dt_worker w where w.id <> @id), {store.Now} + @lease) - {store.Now}";

    /// <summary>
    /// Deletes these workers, or all with expired leases, and frees the work of workers that are not recorded, in one transaction: a crash
    /// leaves either all of it or nothing, and any worker may run it again. Returns the number of deleted workers.
    /// </summary>
    public async Task<int> ExpireLeasesAsync(IReadOnlyCollection<string>? workers, bool expired, CancellationToken cancellationToken)
    {
        var statements = new List<SqlStatement>();
        if (workers is { Count: > 0 })
            statements.Add(new SqlStatement($"delete from dt_worker where {store.In("id", "@ids")}").With("ids", workers));
        if (expired)
            statements.Add(new SqlStatement($"delete from dt_worker where lease_until < {store.Now}"));
        var deletions = statements.Count;
        statements.AddRange(FreeOrphans);
        return (await store.ExecuteAsync(statements, cancellationToken)).Take(deletions).Sum();
    }

    /// <summary>Names of tasks that have been due and unclaimed for at least <paramref name="age"/>.</summary>
    public async Task<List<string>> LongWaitingNamesAsync(TimeSpan age, CancellationToken cancellationToken)
    {
        await using var session = await store.OpenAsync(cancellationToken);
        return await session.QueryAsync(
            new SqlStatement(
                $"""
                select name from dt_activity where owner is null and created_at < {store.Now} - @age group by name
                union
                select i.name from dt_inbox b join dt_instance i on i.instance_id = b.instance_id
                where b.visible_at < {store.Now} - @age and (b.visible_at <> {RecoveryMarker.Due} or i.updated_at < {store.Now} - @age)
                  and i.owner is null and i.status in {RowStatus.TakesMessages} group by i.name
                """
            ).With("age", (long)age.TotalMilliseconds),
            reader => reader.GetString(0),
            cancellationToken
        );
    }

    /// <summary>Other workers that are recorded under this node name.</summary>
    public async Task<List<string>> PredecessorsAsync(string node, string self, CancellationToken cancellationToken)
    {
        await using var session = await store.OpenAsync(cancellationToken);
        return await session.QueryAsync(
            new SqlStatement("select id from dt_worker where node = @node and id <> @self").With("node", node).With("self", self),
            reader => reader.GetString(0),
            cancellationToken
        );
    }

    /// <summary>
    /// Deletes messages to instances that finished or vanished between the sender's check and its commit. Results for a failed instance
    /// stay: a rewind takes them.
    /// </summary>
    public Task DropStrayMessagesAsync(CancellationToken cancellationToken) =>
        store.ExecuteAsync(
            [
                new SqlStatement(
                    $"""
                    delete from dt_inbox where not exists (
                      select 1 from dt_instance i where i.instance_id = dt_inbox.instance_id and (i.status in {RowStatus.Active}
                      or (i.status in {RowStatus.TakesResults} and i.execution_id = dt_inbox.execution_id
                        and dt_inbox.kind = {(int)EventKind.TaskCompleted})))
                    """
                ),
            ],
            cancellationToken
        );

    /// <summary>The instances and activities that the database says this worker owns.</summary>
    public async Task<(
        List<(string InstanceId, long Claim)> Instances,
        List<(string InstanceId, long ExecutionId, int TaskId, long Claim)> Activities
    )> OwnedAsync(string owner, CancellationToken cancellationToken)
    {
        var instances = new List<(string, long)>();
        var activities = new List<(string, long, int, long)>();
        await using var session = await store.OpenAsync(cancellationToken);
        await session.QueryAsync(
            [
                new SqlStatement("select instance_id, claim from dt_instance where owner = @me").With("me", owner),
                new SqlStatement("select instance_id, execution_id, task_id, claim from dt_activity where owner = @me").With("me", owner),
            ],
            (index, reader) =>
            {
                if (index == 0)
                    instances.Add((reader.GetString(0), reader.GetInt64(1)));
                else
                    activities.Add((reader.GetString(0), reader.GetInt64(1), (int)reader.GetInt64(2), reader.GetInt64(3)));
            },
            cancellationToken
        );
        return (instances, activities);
    }

    private static IReadOnlyList<SqlStatement> FreeOrphans =>
        [
            new SqlStatement("update dt_instance set owner = null where owner is not null and owner not in (select id from dt_worker)"),
            RecoveryMarker.WakeAll,
            new SqlStatement("update dt_activity set owner = null where owner is not null and owner not in (select id from dt_worker)"),
        ];
}
