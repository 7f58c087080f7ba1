using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Stores;

/// <summary>Logs each change of a store's state once, however many callers probe it and however often.</summary>
public sealed class StoreWatch(LocalStoreOptions store, Func<Guid, string?> nameOf, ILogger log)
{
    private StoreFinding? _last;

    /// <summary>Explains the last finding, if it was not the store.</summary>
    public string? Explanation => _last?.Explain(store, nameOf);

    /// <summary>Receives the finding of a probe.</summary>
    public void Seen(StoreFinding finding)
    {
        ArgumentNullException.ThrowIfNull(finding);
        var last = Interlocked.Exchange(ref _last, finding);
        if (last == finding || (last is null && finding.IsMounted))
            return;
        if (finding.Explain(store, nameOf) is { } message)
            Logs.NotMounted(log, message);
        else
            Logs.MountedAgain(log, store.Name, store.RootPath);
    }
}
