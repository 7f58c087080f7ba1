namespace Librarian.Domain.Catalog;

/// <summary>
/// Groups concurrent requests, as databases flush the commits of several clients at once: while one group runs, the requests that arrive
/// form the next group. A lone caller does not wait. So statements and flushes count per group and not per caller.
/// </summary>
/// <typeparam name="TItem">The request of one caller.</typeparam>
/// <typeparam name="TResult">The result for one caller.</typeparam>
/// <param name="most">Largest group.</param>
/// <param name="work">
/// Does a group, wholly or not at all; one result per item, in the order of the items. When the database refuses a group (a deadlock with
/// another process, a row that it does not accept), each item is done alone, so that none fails because of another. When it throws anything
/// else, for example because the database cannot be reached, every caller of the group gets the exception.
/// </param>
public sealed class GroupCommit<TItem, TResult>(int most, Func<IReadOnlyList<TItem>, Task<IReadOnlyList<TResult>>> work)
{
    private readonly Lock _gate = new();
    private readonly Queue<Waiting> _waiting = new();
    private bool _isWorking;

    /// <summary>Adds an item to the next group.</summary>
    /// <param name="item">The request.</param>
    /// <param name="cancellationToken">Removes the item if its group has not begun; later it only stops the waiting.</param>
    public Task<TResult> RunAsync(TItem item, CancellationToken cancellationToken)
    {
        var mine = new Waiting(item, cancellationToken);
        lock (_gate)
        {
            _waiting.Enqueue(mine);
            if (!_isWorking)
            {
                _isWorking = true;
                // The groups belong to nobody's request: neither to its trace nor to its logging scopes.
                ThreadPool.UnsafeQueueUserWorkItem(static commit => _ = commit.WorkAsync(), this, preferLocal: false);
            }
        }

        return mine.Result.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Adds items together, so that they share groups as far as their size allows; results have the order of the items.</summary>
    public Task<TResult[]> RunAllAsync(IEnumerable<TItem> items, CancellationToken cancellationToken)
    {
        List<Waiting> mine = [.. items.Select(item => new Waiting(item, cancellationToken))];
        lock (_gate)
        {
            mine.ForEach(_waiting.Enqueue);
            if (!_isWorking && mine.Count > 0)
            {
                _isWorking = true;
                ThreadPool.UnsafeQueueUserWorkItem(static commit => _ = commit.WorkAsync(), this, preferLocal: false);
            }
        }

        return Task.WhenAll(mine.Select(w => w.Result.Task)).WaitAsync(cancellationToken);
    }

    private async Task WorkAsync()
    {
        while (true)
        {
            List<Waiting> group = [];
            lock (_gate)
            {
                while (group.Count < most && _waiting.TryDequeue(out var next))
                {
                    if (!next.Stop.IsCancellationRequested)
                        group.Add(next);
                }

                if (group.Count == 0)
                {
                    _isWorking = false;
                    return;
                }
            }

            if (await TryAsync(group))
                continue;
            foreach (var one in group)
                await TryAsync([one]);
        }
    }

    /// <summary>False when each item of the group has to be tried alone.</summary>
    private async Task<bool> TryAsync(List<Waiting> group)
    {
        try
        {
            var results = await work([.. group.Select(w => w.Item)]);
            for (var i = 0; i < group.Count; i++)
                group[i].Result.SetResult(results[i]);
        }
        catch (Exception failure) when (group.Count > 1 && CatalogDatabase.IsRefusal(failure))
        {
            return false;
        }
#pragma warning disable CA1031 // Each caller gets it; the next group must still be served.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            foreach (var one in group)
                one.Result.TrySetException(failure);
        }

        return true;
    }

    private sealed record Waiting(TItem Item, CancellationToken Stop)
    {
        public TaskCompletionSource<TResult> Result { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}

/// <summary>Help for the work of groups.</summary>
public static class GroupCommit
{
    /// <summary>Does a group item by item when it cannot be done as one, so that a failing item does not affect the others.</summary>
    public static async Task<IReadOnlyList<TResult>> OneByOneAsync<TItem, TResult>(
        IReadOnlyList<TItem> group,
        Func<IReadOnlyList<TItem>, Task<IReadOnlyList<TResult>>> work
    )
    {
        ArgumentNullException.ThrowIfNull(group);
        ArgumentNullException.ThrowIfNull(work);
        List<TResult> results = [];
        foreach (var item in group)
            results.AddRange(await work([item]));
        return results;
    }

    /// <summary>
    /// Does each half of a group that cannot be done as one; halves that fail are halved again. So one failing item among many costs few
    /// more statements, and the others share theirs.
    /// </summary>
    public static async Task<IReadOnlyList<TResult>> InHalvesAsync<TItem, TResult>(
        IReadOnlyList<TItem> group,
        Func<IReadOnlyList<TItem>, Task<IReadOnlyList<TResult>>> work
    )
    {
        ArgumentNullException.ThrowIfNull(group);
        ArgumentNullException.ThrowIfNull(work);
        var half = group.Count / 2;
        return [.. await work([.. group.Take(half)]), .. await work([.. group.Skip(half)])];
    }
}
