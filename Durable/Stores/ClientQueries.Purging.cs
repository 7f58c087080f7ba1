namespace Librarian.Durable.Stores;

internal sealed partial class ClientQueries
{
    /// <summary>
    /// Removes a finished instance in one transaction. With <paramref name="recursive"/> it also removes its descendants, as far as the
    /// chain of finished instances reaches.
    /// </summary>
    public Task<int> PurgeAsync(string instanceId, bool recursive, CancellationToken cancellationToken) =>
        store.TransactAsync(
            async session =>
            {
                var text = recursive
                    ? $"""
                        with recursive tree(id) as (
                          select instance_id from dt_instance where instance_id = @i and status in {RowStatus.Final}
                          union
                          select c.instance_id from dt_instance c join tree t on c.parent_id = t.id where c.status in {RowStatus.Final})
                        select id from tree
                        """
                    : $"select instance_id from dt_instance where instance_id = @i and status in {RowStatus.Final}";
                var ids = await session.QueryAsync(
                    new SqlStatement(text).With("i", instanceId),
                    reader => reader.GetString(0),
                    cancellationToken
                );
                return await DeleteAsync(session, ids, cancellationToken);
            },
            cancellationToken
        );

    /// <summary>Removes up to <paramref name="limit"/> finished instances that match the filter, in one transaction.</summary>
    public Task<int> PurgeAsync(PurgeInstancesFilter filter, int limit, CancellationToken cancellationToken) =>
        store.TransactAsync(
            async session =>
            {
                var completedTo = (filter as EndedInstancesFilter)?.CompletedTo;
                var statuses = filter.Statuses is { } wanted && wanted.Any() ? [.. wanted.Select(status => (long)status)] : RowStatus.Ended;
                var text = $"""
                    select instance_id from dt_instance where status in {RowStatus.Final} and {store.In("status", "@statuses")}
                      and created_at >= @from and created_at <= @to and completed_at <= @completed
                    order by created_at, instance_id limit @limit
                    """;
                var statement = new SqlStatement(text)
                    .With("statuses", statuses)
                    .With("from", filter.CreatedFrom?.ToUnixTimeMilliseconds() ?? 0)
                    .With("to", (filter.CreatedTo ?? completedTo)?.ToUnixTimeMilliseconds() ?? long.MaxValue)
                    .With("completed", completedTo?.ToUnixTimeMilliseconds() ?? long.MaxValue)
                    .With("limit", limit);
                var ids = await session.QueryAsync(statement, reader => reader.GetString(0), cancellationToken);
                return await DeleteAsync(session, ids, cancellationToken);
            },
            cancellationToken
        );

    private async Task<int> DeleteAsync(StoreSession session, List<string> ids, CancellationToken cancellationToken)
    {
        if (ids.Count == 0)
            return 0;
        // Instance rows first, and only those that are still finished: a start that has replaced an instance meanwhile keeps its rows.
        var gone = await session.QueryAsync(
            new SqlStatement(
                $"delete from dt_instance where {store.In("instance_id", "@ids")} and status in {RowStatus.Final} returning instance_id"
            ).With("ids", ids),
            reader => reader.GetString(0),
            cancellationToken
        );
        if (gone.Count == 0)
            return 0;
        await session.ExecuteAsync(
            ((string[])["dt_inbox", "dt_activity", "dt_history"])
                .Select(table => new SqlStatement($"delete from {table} where {store.In("instance_id", "@ids")}").With("ids", gone))
                .ToList(),
            cancellationToken
        );
        return gone.Count;
    }
}
