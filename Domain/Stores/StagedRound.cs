using Librarian.Domain.Checksums;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// Small files in staging that are verified and committed together. Holds the store's roots open, the staging directories and the
/// destination directories of its files, and the lock of each commit, so that a file costs a handful of system calls.
/// </summary>
public sealed class StagedRound : IDisposable
{
    internal StagedRound(PosixDirectory store, PosixDirectory staging, IReadOnlyList<StagedRoundFile> files) =>
        (Store, Staging, Files) = (store, staging, files);

    /// <summary>The files, those without a lock among them.</summary>
    public IReadOnlyList<StagedRoundFile> Files { get; }

    internal PosixDirectory Store { get; }

    internal PosixDirectory Staging { get; }

    /// <summary>Releases the locks and closes all directories.</summary>
    public void Dispose()
    {
        foreach (var file in Files)
            file.Dispose();
        Staging.Dispose();
        Store.Dispose();
    }
}

/// <summary>One file of a <see cref="StagedRound"/>.</summary>
/// <param name="commit">What is to be committed.</param>
public sealed class StagedRoundFile(FileCommit commit) : IDisposable
{
    /// <summary>What is to be committed.</summary>
    public FileCommit Commit { get; } = commit;

    /// <summary>Why the commit's lock could not be taken; null when the round holds it.</summary>
    public FileCommitResult? Refusal { get; internal set; }

    /// <summary>
    /// The reading of the staged data; null if they were not read: they are no single small file, or the round was cancelled.
    /// </summary>
    public DigestResult? Digest { get; internal set; }

    /// <summary>
    /// How the commit ended; null if it was not tried, or cannot be done with a rename between open directories. Then nothing was changed,
    /// and <see cref="LocalStore.CommitFileAsync"/> does it step by step.
    /// </summary>
    public FileCommitResult? Committed { get; internal set; }

    /// <summary>Fingerprint of the committed data.</summary>
    public string? Fingerprint { get; internal set; }

    internal CommitLock? Turn { get; set; }

    internal PosixDirectory? StagedParent { get; set; }

    /// <summary>Releases the lock and closes the staging directory.</summary>
    public void Dispose()
    {
        StagedParent?.Dispose();
        Turn?.Dispose();
    }
}
