using Librarian.Domain.Posix;

namespace Librarian.Domain.Checksums;

public sealed record CopyOptions
{
    /// <summary>How many files of a directory are copied at the same time. Default: 4.</summary>
    public int MaxParallelism { get; init; } = 4;

    /// <summary>Whether every file and directory of the copy is flushed to disk, so that the copy survives a power cut.</summary>
    public bool FlushToDisk { get; init; } = true;

    /// <summary>Whether files get mode 0664 and directories 0775, as clients leave staged data, instead of the source's modes.</summary>
    public bool GroupWritable { get; init; }

    /// <summary>See <see cref="DigestOptions.MaxBytes"/>.</summary>
    public long? MaxBytes { get; init; }

    /// <summary>See <see cref="DigestOptions.OnMember"/>.</summary>
    public Action<MemberDigest>? OnMember { get; init; }
}

/// <summary>Copies a file or directory and computes its digests from the same reading.</summary>
public static class DigestingCopy
{
    /// <summary>
    /// Copies <paramref name="source"/> to <paramref name="destination"/>, which must not exist. Symbolic links are followed: the copy
    /// holds real files and directories, as copies by the Python client do (docs/spec/wire.md#synchronous-providers). The result describes
    /// the copy. Modification times are kept.
    /// </summary>
    /// <param name="source">An absolute path that this site or the user chose.</param>
    /// <param name="destination">An absolute path whose parent directory exists.</param>
    /// <param name="algorithms">At least one.</param>
    /// <param name="options">How to write; null for the defaults.</param>
    /// <param name="progress">Receives the number of bytes copied so far, every few MiB.</param>
    /// <param name="cancellationToken">Stops at the next buffer.</param>
    /// <returns>
    /// A result for every expected failure. A failure or cancellation removes the partial copy; a crash leaves it for the caller to remove.
    /// </returns>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static Task<DigestResult> CopyAsync(
        string source,
        string destination,
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        CopyOptions? options = null,
        IProgress<long>? progress = null,
        CancellationToken cancellationToken = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(source);
        ArgumentException.ThrowIfNullOrEmpty(destination);
        options ??= new CopyOptions();
        return BlockingWork.RunAsync(() => Copy(source, destination, algorithms, options, progress, cancellationToken), cancellationToken);
    }

    /// <summary>Copies into a directory that the caller holds open, so that nobody can replace it in the meantime.</summary>
    internal static Task<DigestResult> CopyIntoAsync(
        string source,
        PosixDirectory parent,
        EntryName name,
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        CopyOptions options,
        CancellationToken cancellationToken
    ) =>
        BlockingWork.RunAsync(
            () => CopyInto(source, parent, name, algorithms, options, progress: null, cancellationToken),
            cancellationToken
        );

    private static DigestResult Copy(
        string source,
        string destination,
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        CopyOptions options,
        IProgress<long>? progress,
        CancellationToken cancellationToken
    )
    {
        var trimmed = destination.TrimEnd('/');
        var slash = trimmed.LastIndexOf('/');
        if (slash < 0 || slash == trimmed.Length - 1)
            throw new ArgumentException("The destination must be an absolute path with a name.", nameof(destination));

        try
        {
            using var parent = PosixDirectory.TryOpen(slash == 0 ? "/" : trimmed[..slash]);
            return parent is null
                ? DigestResult.Failed(DigestStatus.IoError, destination, "The directory to copy into does not exist. Nothing was copied.")
                : CopyInto(source, parent, new EntryName(trimmed[(slash + 1)..]), algorithms, options, progress, cancellationToken);
        }
        catch (PosixException failure)
        {
            return DigestResult.Failed(DigestStatus.IoError, destination, failure.Message);
        }
    }

    private static DigestResult CopyInto(
        string source,
        PosixDirectory parent,
        EntryName name,
        IReadOnlyCollection<ChecksumAlgorithm> algorithms,
        CopyOptions options,
        IProgress<long>? progress,
        CancellationToken cancellationToken
    )
    {
        var plan = new CopyPlan(parent, name, FollowSymlinks: true, options.GroupWritable);
        var pass = new TreePass(
            algorithms,
            new DigestOptions
            {
                MaxParallelism = options.MaxParallelism,
                FlushToDisk = options.FlushToDisk,
                MaxBytes = options.MaxBytes,
                OnMember = options.OnMember,
            },
            progress,
            plan
        );
        return pass.DigestPath(source, cancellationToken);
    }
}
