using System.Diagnostics.Metrics;

namespace Librarian.Durable.Stores;

/// <summary>Measurements of the whole database for instruments.</summary>
internal sealed record StoreState(IReadOnlyList<Measurement<long>> Instances, IReadOnlyList<Measurement<double>> QueueAges);

/// <summary>
/// Counts and ages for instruments. The queries only read indexes over unfinished work, so their cost does not grow with finished work.
/// </summary>
internal sealed class StateQueries(DurableStore store)
{
    private readonly SqlStatement[] _statements =
    [
        new($"select status, count(*) from dt_instance where status in {RowStatus.Active} group by status"),
        new(
            $"select queue, {store.Now} - min(created_at) from dt_activity where owner is null and not_before <= {store.Now} group by queue"
        ),
        new($"select {store.Now} - min(visible_at) from dt_inbox where visible_at <= {store.Now} and visible_at > {RecoveryMarker.Due}"),
    ];

    public async Task<StoreState> ReadAsync(CancellationToken cancellationToken)
    {
        var counts = new Dictionary<OrchestrationRuntimeStatus, long>
        {
            [OrchestrationRuntimeStatus.Pending] = 0,
            [OrchestrationRuntimeStatus.Running] = 0,
            [OrchestrationRuntimeStatus.Suspended] = 0,
        };
        var ages = new List<Measurement<double>>();
        void Age(string queue, long milliseconds) =>
            ages.Add(new(milliseconds / 1000.0, new KeyValuePair<string, object?>("durable.queue", queue)));
        await using var session = await store.OpenAsync(cancellationToken);
        await session.QueryAsync(
            _statements,
            (index, reader) =>
            {
                if (index == 0)
                    counts[(OrchestrationRuntimeStatus)reader.GetInt64(0)] = reader.GetInt64(1);
                else if (index == 1)
                    Age("activity:" + reader.GetString(0), reader.GetInt64(1));
                else if (reader.Integer(0) is { } oldest)
                    Age("orchestration", oldest);
            },
            cancellationToken
        );
        return new(
            [
                .. counts.Select(count => new Measurement<long>(
                    count.Value,
                    new KeyValuePair<string, object?>("durable.status", count.Key.ToString())
                )),
            ],
            ages
        );
    }
}
