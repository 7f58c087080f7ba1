namespace Librarian.Domain.Catalog;

/// <summary>
/// One start of a process on this catalog (table <c>catalog_incarnations</c>). Peers remember the last incarnation and counter that they
/// have seen; a catalog that no longer knows them was restored from a backup.
/// </summary>
public sealed class CatalogIncarnation
{
    /// <summary>UUID, created at the start.</summary>
    public required string Id { get; init; }

    /// <summary>UTC.</summary>
    public required DateTime StartedTime { get; init; }

    /// <summary>Only grows; committed before a peer sees the new value.</summary>
    public long Counter { get; set; }
}
