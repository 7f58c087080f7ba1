using System.Diagnostics.CodeAnalysis;

namespace Librarian.Domain.Checksums;

/// <summary>How a digest or a digesting copy ended.</summary>
public enum DigestStatus
{
    /// <summary>Everything was read, and for a copy also written.</summary>
    Complete,

    /// <summary>Nothing is at the path.</summary>
    Missing,

    /// <summary>
    /// A symbolic link has no target. The checksum counts it as empty content, but it has no size (docs/spec/wire.md#size), so the content
    /// cannot be catalogued. <see cref="DigestResult.Checksums"/> is filled for a digest and empty for a copy.
    /// </summary>
    BrokenSymlink,

    /// <summary>The path itself is a symbolic link where links are not allowed.</summary>
    SymlinkRefused,

    /// <summary>A followed symbolic link leads back to a directory above it, so a copy would never end.</summary>
    SymlinkCycle,

    /// <summary>A device, pipe or socket, which has no content.</summary>
    SpecialFile,

    /// <summary>More nested directories (over 2048) than any path can name.</summary>
    TooDeep,

    /// <summary>A file changed while it was read, so its digest is meaningless.</summary>
    Changed,

    /// <summary>The destination of a copy exists already and was left unchanged.</summary>
    DestinationExists,

    /// <summary>A copy ran out of space or quota.</summary>
    NoSpace,

    /// <summary>
    /// A flush to disk failed, so it is unknown which of the data are on disk. Another flush or reading proves nothing, because the kernel
    /// keeps unwritten pages as if they had been written: the data have to be written again.
    /// </summary>
    FlushFailed,

    /// <summary>
    /// The file system that receives a copy cannot hold one of its names or links, or a file of that size. Neither the file system nor the
    /// source is damaged.
    /// </summary>
    Unfit,

    /// <summary>The operating system refused to read or write; see <see cref="DigestResult.Message"/>.</summary>
    IoError,
}

/// <summary>The contents of a file or directory, or why they could not be determined.</summary>
public sealed record DigestResult
{
    private static readonly Dictionary<ChecksumAlgorithm, Checksum> None = [];

    internal DigestResult(
        DigestStatus status,
        long sizeBytes,
        long fileCount,
        bool isDirectory,
        IReadOnlyDictionary<ChecksumAlgorithm, Checksum> checksums
    )
    {
        Status = status;
        SizeBytes = sizeBytes;
        FileCount = fileCount;
        IsDirectory = isDirectory;
        Checksums = checksums;
    }

    /// <summary>How it ended. The other members are meaningful only as this status documents.</summary>
    public DigestStatus Status { get; }

    /// <summary>True for <see cref="DigestStatus.Complete"/>.</summary>
    public bool IsComplete => Status == DigestStatus.Complete;

    /// <summary>Sum of the lengths of all files in bytes; a linked file counts with its target's length (docs/spec/wire.md#size).</summary>
    public long SizeBytes { get; }

    /// <summary>Number of files counted; 1 for a single file.</summary>
    public long FileCount { get; }

    /// <summary>True if the path is a directory or leads to one.</summary>
    public bool IsDirectory { get; }

    /// <summary>One checksum per requested algorithm, each with its prefix.</summary>
    public IReadOnlyDictionary<ChecksumAlgorithm, Checksum> Checksums { get; }

    /// <summary>Identifies the entries that were read; null for a copy and after a failure.</summary>
    internal TreeStamp? Stamp { get; init; }

    /// <summary>
    /// Tree digest of a directory, over names and contents of its members (docs/formats/tree-digest-v1.md); null if XXH3 was not computed.
    /// </summary>
    public string? TreeDigest { get; init; }

    /// <summary>The path that caused the failure; null on success.</summary>
    public string? FailedPath { get; private init; }

    /// <summary>A sentence about the failure for people; null on success.</summary>
    public string? Message { get; private init; }

    /// <summary>Whether this is the declared content: complete, and both size and checksum match (docs/spec/wire.md#size).</summary>
    public bool Matches(ContentDescription expected)
    {
        ArgumentNullException.ThrowIfNull(expected);
        return IsComplete
            && SizeBytes == expected.SizeBytes
            && Checksums.TryGetValue(expected.Checksum.Algorithm, out var actual)
            && actual.CompareTo(expected.Checksum) == ChecksumComparison.Equal;
    }

    internal static DigestResult Failed(DigestStatus status, string path, [NotNull] string message, DigestResult? partial = null) =>
        new(status, 0, partial?.FileCount ?? 0, partial?.IsDirectory ?? false, partial?.Checksums ?? None)
        {
            FailedPath = path,
            Message = message,
        };
}

/// <summary>Content as its owner declared it.</summary>
/// <param name="Checksum">The declared checksum. Its algorithm is the one to verify with.</param>
/// <param name="SizeBytes">The declared size in bytes.</param>
public sealed record ContentDescription(Checksum Checksum, long SizeBytes);
