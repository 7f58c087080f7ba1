using System.Diagnostics.CodeAnalysis;

namespace Librarian.Domain.Checksums;

/// <summary>How a digest or a digesting copy ended.</summary>
public enum DigestStatus
{
    /// <summary>Everything was read (and written, for a copy).</summary>
    Complete,

    /// <summary>Nothing is at the path.</summary>
    Missing,

    /// <summary>
    /// A symbolic link leads nowhere. The checksum counts it as empty content, but a size does not exist (wire.md §4.4), so the
    /// content cannot be cataloged. <see cref="DigestResult.Checksums"/> is filled for a digest, empty for a copy.
    /// </summary>
    BrokenSymlink,

    /// <summary>The path itself is a symbolic link where none is allowed.</summary>
    SymlinkRefused,

    /// <summary>A followed symbolic link leads back into a directory above it; a copy would never end.</summary>
    SymlinkCycle,

    /// <summary>A device, pipe or socket: it has no content.</summary>
    SpecialFile,

    /// <summary>More nested directories than any path can name.</summary>
    TooDeep,

    /// <summary>A file changed while it was being read, so its digest describes nothing.</summary>
    Changed,

    /// <summary>A copy's destination exists already; it was left as it is.</summary>
    DestinationExists,

    /// <summary>A copy ran out of space or quota.</summary>
    NoSpace,

    /// <summary>The operating system refused a read or a write; see <see cref="DigestResult.Message"/>.</summary>
    IoError,
}

/// <summary>What a file or directory contains, or why that could not be found out.</summary>
public sealed record DigestResult
{
    private static readonly Dictionary<ChecksumAlgorithm, Checksum> None = [];

    internal DigestResult(DigestStatus status, long sizeBytes, long fileCount, bool isDirectory, IReadOnlyDictionary<ChecksumAlgorithm, Checksum> checksums)
    {
        Status = status;
        SizeBytes = sizeBytes;
        FileCount = fileCount;
        IsDirectory = isDirectory;
        Checksums = checksums;
    }

    /// <summary>How it ended; the other members mean something only as described there.</summary>
    public DigestStatus Status { get; }

    /// <summary>True for <see cref="DigestStatus.Complete"/>.</summary>
    public bool IsComplete => Status == DigestStatus.Complete;

    /// <summary>Sum of the lengths of all files in bytes, linked files with their target's length (wire.md §4.4).</summary>
    public long SizeBytes { get; }

    /// <summary>Number of files counted; 1 for a file.</summary>
    public long FileCount { get; }

    /// <summary>True when the path is a directory, or led to one.</summary>
    public bool IsDirectory { get; }

    /// <summary>One checksum per requested algorithm, each with its prefix.</summary>
    public IReadOnlyDictionary<ChecksumAlgorithm, Checksum> Checksums { get; }

    /// <summary>On failure, the path that caused it.</summary>
    public string? FailedPath { get; private init; }

    /// <summary>On failure, a sentence for people.</summary>
    public string? Message { get; private init; }

    /// <summary>Whether this is the declared content: complete, of that size, with that checksum (wire.md §4.4: both must match).</summary>
    public bool Matches(ContentDescription expected)
    {
        ArgumentNullException.ThrowIfNull(expected);
        return IsComplete
            && SizeBytes == expected.SizeBytes
            && Checksums.TryGetValue(expected.Checksum.Algorithm, out var actual)
            && actual.CompareTo(expected.Checksum) == ChecksumComparison.Equal;
    }

    internal static DigestResult Failed(DigestStatus status, string path, [NotNull] string message, DigestResult? partial = null) =>
        new(status, 0, partial?.FileCount ?? 0, partial?.IsDirectory ?? false, partial?.Checksums ?? None) { FailedPath = path, Message = message };
}

/// <summary>Content as its owner declared it.</summary>
/// <param name="Checksum">The declared checksum; its algorithm is the one to verify with.</param>
/// <param name="SizeBytes">The declared size in bytes.</param>
public sealed record ContentDescription(Checksum Checksum, long SizeBytes);
