using Librarian.Domain.Checksums;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    /// <summary>Largest file of a round. Larger ones cost their reading, not their flushes, and would hold up the others.</summary>
    public const long LargestInRound = 1 << 20;

    /// <summary>
    /// Threads that flush at the same time. A journal commits everything that waits for it at once: on the ext4 of a virtual disk, 256
    /// files of 4 KiB take 300 ms one after the other, 15 ms with 16 threads, and 10 ms with one flush of the whole file system. That one
    /// flush is not used. It would report another program's failures as this round's, or hide this round's from it; file servers in user
    /// space do not pass it on; and it would wait for everything else that is being written there.
    /// </summary>
    private const int Flushers = 16;

    /// <summary>Opens the store for a round, and takes the lock of each commit without waiting.</summary>
    /// <returns>Null if the store is not available; then nothing was changed.</returns>
    public Task<StagedRound?> OpenRoundAsync(IReadOnlyList<FileCommit> commits, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(commits);
        return BlockingWork.RunAsync(() => OpenRound(commits), cancellationToken);
    }

    /// <summary>
    /// Takes over, flushes and reads some files of a round, each as <see cref="DigestStagedAsync"/> does: a flush that fails concerns its
    /// file alone. After a cancellation, files without a result have no failed flush.
    /// </summary>
    public Task DigestAsync(StagedRound round, IReadOnlyList<StagedRoundFile> files, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(round);
        ArgumentNullException.ThrowIfNull(files);
        return BlockingWork.RunAsync(
            () =>
            {
                InParallel(files.Count, Flushers, i => DigestInRound(round, files[i], cancellationToken), CancellationToken.None);
                Reach("round.read");
                return true;
            },
            CancellationToken.None
        );
    }

    /// <summary>
    /// Commits some files of a round: renames each without replacing anything, then flushes every directory once. It reads nothing, so it
    /// is not cancelled.
    /// </summary>
    /// <remarks>
    /// <para>A crash leaves each file under exactly one of its two names, and the caller's record that its name is being committed. Another
    /// <see cref="CommitFileAsync"/> of the file recognises it, as after its own crash.</para>
    /// <para>Each directory is opened before the first rename in it, and the same descriptor is flushed: the kernel reports a failed flush
    /// to every descriptor that was open at the time, and to no later one.</para>
    /// </remarks>
    public Task CommitAsync(StagedRound round, IReadOnlyList<StagedRoundFile> files)
    {
        ArgumentNullException.ThrowIfNull(round);
        ArgumentNullException.ThrowIfNull(files);
        return BlockingWork.RunAsync(
            () =>
            {
                CommitInRound(round, files);
                return true;
            },
            CancellationToken.None
        );
    }

    /// <summary>Removes the staging directories of some files of a round.</summary>
    /// <returns>Those that could not be removed, with the reason; the sweep removes them later.</returns>
    public Task<IReadOnlyList<(Guid StagingName, string Reason)>> RemoveStagedAsync(StagedRound round, IReadOnlyList<StagedRoundFile> files)
    {
        ArgumentNullException.ThrowIfNull(round);
        ArgumentNullException.ThrowIfNull(files);
        return BlockingWork.RunAsync<IReadOnlyList<(Guid, string)>>(
            () =>
            {
                Reach("round.before-removal");
                List<(Guid, string)> left = [];
                foreach (var file in files)
                {
                    try
                    {
                        TreeRemoval.Remove(round.Staging, new EntryName(StagingName(file.Commit.StagingName)), CancellationToken.None);
                    }
                    catch (PosixException failure)
                    {
                        left.Add((file.Commit.StagingName, failure.Message));
                    }
                }

                return left;
            },
            CancellationToken.None
        );
    }

    private StagedRound? OpenRound(IReadOnlyList<FileCommit> commits)
    {
        PosixDirectory? store = null,
            staging = null;
        List<StagedRoundFile> files = [.. commits.Select(c => new StagedRoundFile(c))];
        try
        {
            store = TryOpenRoot(_storeRoot);
            staging = store is null ? null : TryOpenRoot(_stagingRoot);
            if (store is null || staging is null)
                return null;
            using var working = OpenOrMake(store, Working, PrivateDirectory)
                ?? throw new PosixException(Errno.NoEntry, "opening", store.PathOf(Working));
            foreach (var file in files)
            {
                file.Turn = CommitLock.TryTake(working, file.Commit.CommitId);
                if (file.Turn is null)
                    file.Refusal = LockedElsewhere(file.Commit.CommitId);
            }

            Reach("round.opened");
            var round = new StagedRound(store, staging, files);
            (store, staging, files) = (null, null, []);
            return round;
        }
        catch (PosixException)
        {
            // The ingest of single files says what is wrong.
            return null;
        }
        finally
        {
            files.ForEach(f => f.Dispose());
            staging?.Dispose();
            store?.Dispose();
        }
    }

    private static void DigestInRound(StagedRound round, StagedRoundFile file, CancellationToken cancellationToken)
    {
        var name = file.Commit.UploadName!;
        if (cancellationToken.IsCancellationRequested)
            return;
        try
        {
            var digest = Described(name, () =>
            {
                file.StagedParent = TryOpenStagedParent(round.Staging, file.Commit.StagingName, name);
                if (file.StagedParent is null)
                    return DigestResult.Failed(DigestStatus.Missing, name.Value, $"Nothing is at '{name}'.");
                if (file.StagedParent.Status(NameOf(name)) is { } status && !IsForRound(status))
                    return null;
                var pass = new TreePass(
                    [file.Commit.Expected.Checksum.Algorithm, ChecksumAlgorithm.Xxh3],
                    new DigestOptions
                    {
                        FlushToDisk = true,
                        TakeOver = true,
                        MaxParallelism = 1,
                    },
                    progress: null
                );
                return pass.DigestEntry(file.StagedParent, NameOf(name), cancellationToken);
            });
            // A directory took the file's place a moment ago.
            file.Digest = digest is { IsDirectory: true } ? null : digest;
        }
        catch (OperationCanceledException)
        {
            // The flush comes before the reading: one that failed would have been the result.
        }
    }

    /// <summary>Turns the exceptions of a reading into its result.</summary>
    private static DigestResult? Described(FileName path, Func<DigestResult?> read)
    {
        try
        {
            return read();
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotADirectory or Errno.TooManyLinks)
        {
            return DigestResult.Failed(DigestStatus.SymlinkRefused, path.Value, $"A component of '{path}' is a symbolic link or a file.");
        }
        catch (PosixException failure)
        {
            return DigestResult.Failed(failure.IsFlush ? DigestStatus.FlushFailed : DigestStatus.IoError, path.Value, failure.Message);
        }
    }

    private static bool IsForRound(in FileStatus status) => status.Type == EntryType.RegularFile && status.Size <= LargestInRound;

    private void CommitInRound(StagedRound round, IReadOnlyList<StagedRoundFile> files)
    {
        var targets = files
            .GroupBy(f => DirectoryOf(f.Commit.Destination), StringComparer.Ordinal)
            .Select(g => new RoundTarget([.. g]))
            .ToList();
        try
        {
            Reach("place.before-parents");
            InParallel(targets.Count, Flushers, i => OpenTarget(round, targets[i]), CancellationToken.None);
            Reach("round.before-renames");
            if (IsAway(round.Store))
            {
                foreach (var file in files)
                    file.Committed = Away();
                return;
            }

            RenameAll(round, targets);
            Reach("round.renamed");
            InParallel(targets.Count, Flushers, i => Flush(targets[i]), CancellationToken.None);
            Reach("round.targets-synced");
            var committed = files.Where(IsCommitted).ToList();
            foreach (var target in targets)
                SetModes(target);
            Reach("round.modes-set");
            InParallel(
                committed.Count,
                Flushers,
                i => Attempt(committed[i], () => committed[i].StagedParent!.Sync()),
                CancellationToken.None
            );
            Reach("round.staging-synced");
            Finish(round, targets);
        }
        finally
        {
            foreach (var target in targets)
                target.Directory?.Dispose();
        }
    }

    private void OpenTarget(StagedRound round, RoundTarget target)
    {
        try
        {
            target.Directory = OpenOrMakeParent(round.Store, target.Files[0].Commit.Destination, durably: true);
        }
        catch (PosixException failure)
        {
            foreach (var file in target.Files)
                file.Committed = Failed(failure);
        }
    }

    private void RenameAll(StagedRound round, List<RoundTarget> targets)
    {
        // The leftovers of a commit that copied are found by CommitFileAsync alone.
        using var working = round.Store.TryOpenDirectory(Working);
        using var incoming = working?.TryOpenDirectory(new EntryName(Incoming));
        foreach (var target in targets)
        {
            if (target.Directory is null)
                continue;
            foreach (var file in target.Files)
            {
                if (incoming?.Status(new EntryName(StagingName(file.Commit.CommitId))) is null)
                    Attempt(file, () => file.Committed = TryRename(round, target.Directory, file));
            }
        }
    }

    /// <summary>Renames one file; null, with nothing changed, if that needs more than a rename.</summary>
    private FileCommitResult? TryRename(StagedRound round, PosixDirectory target, StagedRoundFile file)
    {
        var (commit, staged) = (file.Commit, StagedNameOf(file.Commit));
        if (Options.OwnAfterCommit || commit.Rewrite || file.Digest?.Stamp is not { MustCopy: false } stamp)
            return null;
        Reach("place.before-rename");
        if (file.StagedParent!.Status(staged) is not { } now || !stamp.IsTop(now))
            return null;
        if (MoveWithoutReplacing(round.Store, file.StagedParent, staged, target, commit.Destination) != Move.Done)
            return null;
        Reach("place.after-rename");
        if (stamp.IsStillAt(target, NameOf(commit.Destination), CancellationToken.None))
            return Committed(commit, recovered: false);
        MoveBack(round.Store, target, NameOf(commit.Destination), file.StagedParent, staged, CancellationToken.None);
        return null;
    }

    private static void Flush(RoundTarget target)
    {
        try
        {
            if (target.Files.Any(IsCommitted))
                target.Directory!.Sync();
        }
        catch (PosixException failure)
        {
            foreach (var file in target.Files.Where(IsCommitted))
                file.Committed = Failed(failure);
        }
    }

    private void SetModes(RoundTarget target)
    {
        foreach (var file in target.Files.Where(IsCommitted))
            Attempt(file, () => SetModes(target.Directory!, NameOf(file.Commit.Destination), CancellationToken.None));
    }

    /// <summary>Takes the fingerprints, with the final modes, unless the store has been unmounted since the renames.</summary>
    private void Finish(StagedRound round, List<RoundTarget> targets)
    {
        var isAway = IsAway(round.Store);
        foreach (var target in targets)
        {
            foreach (var file in target.Files.Where(IsCommitted))
            {
                if (isAway)
                    file.Committed = Away() with { Code = "store.io_error" };
                else
                    Attempt(file, () =>
                        file.Fingerprint = TreeFingerprint.Compute(
                            target.Directory!,
                            NameOf(file.Commit.Destination),
                            CancellationToken.None
                        )
                    );
            }
        }
    }

    /// <summary>A failure is the result of its file, and of no other.</summary>
    private static void Attempt(StagedRoundFile file, Action step)
    {
        try
        {
            step();
        }
        catch (PosixException failure)
        {
            file.Committed = Failed(failure);
        }
    }

    private static bool IsCommitted(StagedRoundFile file) => file.Committed?.Status == FileCommitStatus.Committed;

    private static string DirectoryOf(FileName path) => path.Value.LastIndexOf('/') is >= 0 and var slash ? path.Value[..slash] : "";

    /// <summary>A directory of the store, and the files of a round that get their names in it.</summary>
    private sealed record RoundTarget(IReadOnlyList<StagedRoundFile> Files)
    {
        internal PosixDirectory? Directory { get; set; }
    }
}
