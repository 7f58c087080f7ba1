namespace Librarian.Domain.Stores;

/// <summary>The result of a probe of a store.</summary>
/// <param name="IsMounted">Whether the directory is this store (<see cref="SiteStore.IsMounted"/>).</param>
/// <param name="FreeBytes">Free bytes; -1 if it is not mounted.</param>
/// <param name="HasAnswered">
/// False if the file system did not answer in time, for example because its server is down. The store then counts as not mounted.
/// </param>
public readonly record struct StoreProbe(bool IsMounted, long FreeBytes, bool HasAnswered = true)
{
    /// <summary>The result if the file system does not answer in time.</summary>
    public static StoreProbe NoAnswer { get; } = new(IsMounted: false, FreeBytes: -1, HasAnswered: false);
}

/// <summary>
/// Probes stores for many callers without blocking them. A probe of a mount whose server is down does not return: callers stop waiting
/// after <see cref="ProbeTimeout"/>, and concurrent callers share the probe, so that it blocks one thread per store at most.
/// </summary>
public sealed class StoreProbes(TimeProvider time)
{
    /// <summary>Timeout after which a probe counts as not answered. A disk that has to spin up takes less.</summary>
    public static readonly TimeSpan ProbeTimeout = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly Dictionary<long, Going> _going = [];

    /// <summary>Probes a store, or shares the running probe.</summary>
    public async Task<StoreProbe> ProbeAsync(SiteStore store, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(store);
        Going going;
        lock (_gate)
        {
            if (!_going.TryGetValue(store.Id, out going!))
                _going[store.Id] = going = new Going(time.GetTimestamp(), Task.Run(() => Probe(store), CancellationToken.None));
        }

        var left = ProbeTimeout - time.GetElapsedTime(going.Began);
        if (going.Probe.IsCompleted)
            return await going.Probe;
        if (left <= TimeSpan.Zero)
            return NoAnswer(store);
        try
        {
            return await going.Probe.WaitAsync(left, time, cancellationToken);
        }
        catch (TimeoutException)
        {
            return NoAnswer(store);
        }
    }

    private static StoreProbe NoAnswer(SiteStore store)
    {
        store.Watch?.Seen(new StoreFinding(StoreState.NoAnswer));
        return StoreProbe.NoAnswer;
    }

    private StoreProbe Probe(SiteStore store)
    {
        try
        {
            return store.IsMounted && store.Store.FreeBytes() is >= 0 and var free
                ? new StoreProbe(IsMounted: true, free)
                : new StoreProbe(IsMounted: false, FreeBytes: -1);
        }
        finally
        {
            lock (_gate)
                _going.Remove(store.Id);
        }
    }

    private sealed record Going(long Began, Task<StoreProbe> Probe);
}
