namespace Librarian.Domain.Catalog;

/// <summary>A copy on one of this site's stores (table <c>instances</c>).</summary>
public sealed class FileCopy
{
    public long Id { get; init; }

    /// <summary>
    /// Path inside its store, in the normal form of <see cref="FileName"/>, because a store may move. Absolute only where an older
    /// release recorded a path outside the store; such a copy is neither read nor sent.
    /// </summary>
    public required string Path { get; set; }

    /// <summary>The file it is a copy of.</summary>
    public required string FileName { get; init; }

    /// <summary>The store it is on.</summary>
    public required long StoreId { get; init; }

    /// <summary>Whether maintenance may delete it.</summary>
    public required DeletionPolicy DeletionPolicy { get; set; }

    /// <summary>UTC.</summary>
    public required DateTime CreatedTime { get; init; }

    /// <summary>False when the data are known to be away (drive in transit, deleted).</summary>
    public required bool Available { get; set; }

    /// <summary>Last recomputed checksum, always prefixed (docs/spec/wire.md#checksum-cache).</summary>
    public string? CalculatedChecksum { get; set; }

    /// <summary>Last recomputed size, bytes.</summary>
    public long? CalculatedSize { get; set; }

    /// <summary>UTC time of that computation.</summary>
    public DateTime? ChecksumTime { get; set; }

    /// <summary>
    /// Fingerprint of the copy (type, size and modification time of its entries) when it was last read and matched; null when unknown. As
    /// long as a probe finds the same fingerprint, the copy has not been touched.
    /// </summary>
    public string? Fingerprint { get; set; }

    /// <summary>
    /// UTC time at which this site last read the whole copy, at ingest or later, and it matched the catalog; null when unknown.
    /// </summary>
    public DateTime? VerifiedTime { get; set; }

    public FileRecord? File { get; init; }

    public StoreRecord? Store { get; init; }
}
