using System.Runtime.CompilerServices;
using Librarian.Durable.Stores;

namespace Librarian.Durable.Client;

internal sealed partial class StoreDurableTaskClient
{
    public override AsyncPageable<OrchestrationMetadata> GetAllInstancesAsync(OrchestrationQuery? filter = null)
    {
        var query = filter ?? new OrchestrationQuery();
        ArgumentOutOfRangeException.ThrowIfLessThan(query.PageSize, 1, nameof(filter));
        if (query is InstanceQuery { Names: { } names } more)
            query = more with { Names = [.. names.Select(tasks.Registry.SpellingOf)] };
        return new InstancePages(this, query);
    }

    public override Task<Page<string>> ListInstanceIdsAsync(
        IEnumerable<OrchestrationRuntimeStatus>? runtimeStatus = null,
        DateTimeOffset? completedTimeFrom = null,
        DateTimeOffset? completedTimeTo = null,
        int pageSize = 100,
        string? lastInstanceKey = null,
        CancellationToken cancellation = default
    )
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(pageSize, 1);
        return _queries.ListIdsAsync(
            runtimeStatus,
            completedTimeFrom,
            completedTimeTo,
            Math.Min(pageSize, 1000),
            PageToken.Parse(lastInstanceKey),
            cancellation
        );
    }

    private sealed class InstancePages(StoreDurableTaskClient client, OrchestrationQuery query) : AsyncPageable<OrchestrationMetadata>
    {
        public override async IAsyncEnumerable<Page<OrchestrationMetadata>> AsPages(
            string? continuationToken = null,
            int? pageSizeHint = null
        )
        {
            await foreach (
                var page in PagesAsync(continuationToken ?? query.ContinuationToken, Math.Clamp(pageSizeHint ?? query.PageSize, 1, 1000))
            )
                yield return page;
        }

        private async IAsyncEnumerable<Page<OrchestrationMetadata>> PagesAsync(
            string? token,
            int size,
            [EnumeratorCancellation] CancellationToken cancellation = default
        )
        {
            do
            {
                var rows = await client._queries.ListAsync(query, size + 1, PageToken.Parse(token), client._converter, cancellation);
                var values = rows.Take(size).ToList();
                token = rows.Count > size ? PageToken.Of(values[^1].CreatedAt, values[^1].InstanceId) : null;
                yield return new(values, token);
            } while (token is not null);
        }
    }

    private static long Mask(IEnumerable<OrchestrationRuntimeStatus> statuses) =>
        statuses.Aggregate(0L, (mask, status) => mask | (1L << (int)status));

    private StartRow ToRow(OrchestrationStart start)
    {
        ArgumentException.ThrowIfNullOrEmpty(start.Name.Name, nameof(start));
        var options = start.Options;
        var id = options?.InstanceId ?? Guid.NewGuid().ToString("N");
        if (id.Length is 0 or > MaxInstanceIdLength || id.Any(char.IsControl))
            throw new ArgumentException(
                $"An instance id has 1 to {MaxInstanceIdLength} characters and no control characters.",
                nameof(start)
            );
        var dedupe = options?.DedupeStatuses is { } names ? Mask(names.Select(Enum.Parse<OrchestrationRuntimeStatus>)) : DefaultDedupe;
        return new(
            id,
            tasks.Registry.SpellingOf(start.Name),
            options?.Version is { } asked ? asked.Version : _defaultVersion,
            _converter.Serialize(start.Input),
            ClientQueries.TagsText(options?.Tags ?? new Dictionary<string, string>(StringComparer.Ordinal)),
            options?.StartAt?.ToUnixTimeMilliseconds(),
            dedupe
        );
    }
}
