namespace Librarian.Domain.Stores;

/// <summary>What a look at a store found.</summary>
/// <param name="IsMounted">Whether the directory is this store (<see cref="SiteStore.IsMounted"/>).</param>
/// <param name="FreeBytes">Free bytes; -1 when it is not mounted.</param>
/// <param name="HasAnswered">False: its file system did not answer in time, as that of a server that is gone; it counts as not mounted.</param>
public readonly record struct StoreLook(bool IsMounted, long FreeBytes, bool HasAnswered = true)
{
    /// <summary>Nothing was heard in time.</summary>
    public static StoreLook NoAnswer { get; } = new(IsMounted: false, FreeBytes: -1, HasAnswered: false);
}

/// <summary>
/// Looks at stores for many callers without depending on their file systems' answers. A look at a mount whose server is gone does not return: who
/// asks stops waiting after <see cref="Patience"/>, and who asks meanwhile shares the look, so that one thread per store is held up and no more.
/// </summary>
public sealed class StoreLooks(TimeProvider time)
{
    /// <summary>How old a look may get before it counts as not answered; a disk that has to spin up takes less.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly Dictionary<long, Going> _going = [];

    /// <summary>Looks at a store, or shares the look that is under way.</summary>
    public async Task<StoreLook> LookAsync(SiteStore store, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(store);
        Going going;
        lock (_gate)
        {
            if (!_going.TryGetValue(store.Id, out going!))
                _going[store.Id] = going = new Going(time.GetTimestamp(), Task.Run(() => Look(store), CancellationToken.None));
        }

        var left = Patience - time.GetElapsedTime(going.Began);
        if (going.Look.IsCompleted) return await going.Look;
        if (left <= TimeSpan.Zero) return StoreLook.NoAnswer;
        try
        {
            return await going.Look.WaitAsync(left, time, cancellationToken);
        }
        catch (TimeoutException)
        {
            return StoreLook.NoAnswer;
        }
    }

    private StoreLook Look(SiteStore store)
    {
        try
        {
            return store.IsMounted && store.Store.FreeBytes() is >= 0 and var free ? new StoreLook(IsMounted: true, free) : new StoreLook(IsMounted: false, FreeBytes: -1);
        }
        finally
        {
            lock (_gate) _going.Remove(store.Id);
        }
    }

    private sealed record Going(long Began, Task<StoreLook> Look);
}
