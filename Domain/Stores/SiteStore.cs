namespace Librarian.Domain.Stores;

/// <summary>A store with its catalog id.</summary>
/// <param name="Id">Row id in <c>store_metadata</c>; peers identify the store by it.</param>
/// <param name="Store">The store.</param>
public sealed record SiteStore(long Id, LocalStore Store)
{
    /// <summary>Name of the identity file below the store root.</summary>
    public const string MarkerFile = StoreIdentity.MarkerFileName;

    /// <summary>Receives the finding of each probe; null for drives.</summary>
    internal StoreWatch? Watch { get; init; }

    /// <summary>
    /// Whether the directory really is this store. An empty mount point, or another disk mounted in its place, has another identity or
    /// none, and nothing is then read from it or written to it.
    /// </summary>
    public bool IsMounted => IsDrive ? Store.IsAvailable : Identify().IsMounted;

    /// <summary>Whether the store is a drive, which is recognised by its marker; configured stores have an identity of their own.</summary>
    internal bool IsDrive => Store.Options.Medium is not null;

    /// <summary>Checks which store is mounted at a configured store's path.</summary>
    public StoreFinding Identify()
    {
        var finding = Store.Identify();
        Watch?.Seen(finding);
        return finding;
    }
}
