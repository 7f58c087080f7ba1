namespace Librarian.Domain.Catalog;

/// <summary>One immutable, uniquely named file of the network (table <c>files</c>); a directory counts as one file.</summary>
public sealed class FileRecord
{
    /// <summary>Unique, normalised, relative POSIX path; at most 256 characters.</summary>
    public required string Name { get; init; }

    /// <summary>UTC time of ingest at this site, or the time that an administrator named for data that were in the store already.</summary>
    public required DateTime CreateTime { get; init; }

    /// <summary>Bytes; for a directory the sum over its files (docs/spec/wire.md#size).</summary>
    public required long Size { get; init; }

    /// <summary>The declared checksum, byte for byte as submitted (docs/spec/wire.md#checksum-kept-verbatim).</summary>
    public required string Checksum { get; init; }

    /// <summary>The uploader; for clones the account name of the sending peer.</summary>
    public required string Uploader { get; init; }

    /// <summary>The sender: account name for uploads, the source site's name for clones.</summary>
    public required string Source { get; init; }

    /// <summary>
    /// Tree digest of a directory; null for a single file and where it was never computed. The checksum of a directory leaves the names out
    /// (docs/spec/wire.md#directory-checksum), so it cannot decide alone whether two directories are equal.
    /// </summary>
    public string? TreeDigest { get; set; }

    /// <summary>Local copies.</summary>
    public List<FileCopy> Copies { get; } = [];

    /// <summary>Known copies at peers.</summary>
    public List<RemoteCopy> RemoteCopies { get; } = [];
}
