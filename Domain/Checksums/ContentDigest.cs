using Librarian.Domain.Posix;

namespace Librarian.Domain.Checksums;

/// <summary>One regular file that a pass has read.</summary>
/// <param name="Path">
/// Relative to the directory that was read; empty if that is a single file. Bytes that are not UTF-8 are encoded as by
/// <see cref="PathBytes"/>.
/// </param>
/// <param name="SizeBytes">Its length in bytes.</param>
/// <param name="Checksums">One per requested algorithm.</param>
public sealed record MemberDigest(string Path, long SizeBytes, IReadOnlyDictionary<ChecksumAlgorithm, Checksum> Checksums);

/// <summary>Computes size and checksums of a file or directory (docs/spec/wire.md#directory-checksum, docs/spec/wire.md#size).</summary>
public static class ContentDigest
{
    /// <summary>
    /// Reads the file or directory once and computes all <paramref name="algorithms"/> from that reading. Symbolic links in
    /// <paramref name="path"/> itself are followed. Below it, a link to a file counts with its target's content, and a link to a directory
    /// does not count. Memory use is one buffer per reader plus the raw digests of the files.
    /// </summary>
    /// <param name="path">An absolute path that the operator or this site chose, never one that a client sent.</param>
    /// <param name="algorithms">At least one.</param>
    /// <param name="options">How to read; null for the defaults.</param>
    /// <param name="progress">Receives the number of bytes read so far, every few MiB.</param>
    /// <param name="cancellationToken">Stops at the next buffer.</param>
    /// <returns>A result for every expected failure.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static Task<DigestResult> ComputeAsync(
        string path,
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        DigestOptions? options = null,
        IProgress<long>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var pass = new TreePass(algorithms, options ?? new DigestOptions(), progress);
        return BlockingWork.RunAsync(() => pass.DigestPath(path, cancellationToken), cancellationToken);
    }
}
