namespace Librarian.Domain.Checksums;

/// <summary>How a digest reads its data.</summary>
public sealed record DigestOptions
{
    /// <summary>Files of a directory that are read at the same time; 4 unless told.</summary>
    public int MaxParallelism { get; init; } = 4;

    /// <summary>
    /// Whether every file and directory is also flushed to the disk after reading, so that what was verified survives a power cut.
    /// </summary>
    public bool FlushToDisk { get; init; }

    /// <summary>
    /// Whether each file's pages are dropped from memory before it is read, so that the medium is read and not what was just written to it.
    /// The data must have been flushed: dirty pages are not dropped. Where a file system keeps everything in memory (tmpfs), nothing changes.
    /// </summary>
    public bool FromMedium { get; init; }

    /// <summary>
    /// Most bytes that are read, for data whose size is known: what is longer, or grows for ever, ends as <see cref="DigestStatus.Changed"/> instead of
    /// filling a store. Null: no limit.
    /// </summary>
    public long? MaxBytes { get; init; }

    /// <summary>Is told each regular file that was read; calls come one at a time, in no order. Not told after the pass has failed.</summary>
    public Action<MemberDigest>? OnMember { get; init; }
}

/// <summary>One regular file of what was read.</summary>
/// <param name="Path">Relative to the directory that was read; empty when that is a single file.</param>
/// <param name="SizeBytes">Its length.</param>
/// <param name="Checksums">One per requested algorithm.</param>
public sealed record MemberDigest(string Path, long SizeBytes, IReadOnlyDictionary<ChecksumAlgorithm, Checksum> Checksums);

/// <summary>Computes size and checksums of a file or directory (wire.md §4.3, §4.4).</summary>
public static class ContentDigest
{
    /// <summary>
    /// Reads the file or directory once and computes all <paramref name="algorithms"/> from that reading. Symbolic links in
    /// <paramref name="path"/> itself are followed; below it, links to files count with their target's content and links to
    /// directories not at all. Memory is one buffer per reader plus the raw digests of the files.
    /// </summary>
    /// <param name="path">An absolute path that the operator or this site chose, never one a client sent.</param>
    /// <param name="algorithms">At least one.</param>
    /// <param name="options">How to read; null for the defaults.</param>
    /// <param name="progress">Is told the number of bytes read so far, every few MiB.</param>
    /// <param name="cancellationToken">Stops at the next buffer.</param>
    /// <returns>A result for every expected failure.</returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static Task<DigestResult> ComputeAsync(
        string path,
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        DigestOptions? options = null,
        IProgress<long>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var pass = new TreePass(algorithms, options ?? new DigestOptions(), progress);
        return BlockingWork.RunAsync(() => pass.DigestPath(path, cancellationToken), cancellationToken);
    }
}

/// <summary>
/// Runs work that blocks in system calls for long. It gets a thread of its own: .NET's asynchronous file calls on Linux would
/// occupy threads of the shared pool for hours instead.
/// </summary>
internal static class BlockingWork
{
    internal static Task<T> RunAsync<T>(Func<T> work, CancellationToken cancellationToken) =>
        Task.Factory.StartNew(work, cancellationToken, TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach, TaskScheduler.Default);
}
