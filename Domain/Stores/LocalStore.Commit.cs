using Librarian.Domain.Checksums;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    private const string Incoming = "incoming";
    private const int MaxAttempts = 32;

    /// <summary>Code of a commit that ended with a failed flush. The next call has to set <see cref="FileCommit.Rewrite"/>.</summary>
    public const string FlushFailedCode = "store.flush_failed";

    /// <summary>
    /// Commits verified data: moves them from staging to their final name without ever replacing anything, and makes the move durable. On
    /// one file system the data themselves are renamed if they have been flushed, have not changed since they were read, and nobody else
    /// can write them (<see cref="FileCommit.Verified"/>). Otherwise, between file systems, or if the store must own its data, they are
    /// copied, verified, flushed and then renamed.
    /// </summary>
    /// <remarks>
    /// <para>What a crash or power cut leaves, and what the next call with the same <see cref="FileCommit"/> does:</para>
    /// <list type="bullet">
    /// <item>Before the rename: the staged data, and perhaps empty parents at the destination. The call starts over.</item>
    /// <item>After the rename, before the flushes: the data under exactly one of the two names. At the destination they are recognised by
    /// size and checksum, so they are read once more; then the remaining steps are done.</item>
    /// <item>While copying: the staged data and a partial copy in <c>.librarian/incoming</c>. The copy is discarded and made again.</item>
    /// <item>After the copy was verified: the staged data and a recorded copy. The data are not copied again.</item>
    /// <item>After a failed flush: the data that were being flushed do not count. A copy is discarded and made again. If the call sets
    /// <see cref="FileCommit.Rewrite"/>, a directory entry is written again by moving the data away from the destination and back to
    /// it.</item>
    /// <item>After the rename, before the entries were compared with those that were read: the data at the destination. They are read once
    /// more completely; data that somebody else could write go back to <c>.librarian/incoming</c> and are copied from there.</item>
    /// <item>After the copy was renamed: the data at the destination, recognised by their inode, and all or some of the staged data, which
    /// are removed.</item>
    /// <item>If the file system lacks a rename that refuses to replace (old NFS): a file gets a second link and then loses the first, so a
    /// crash leaves both names on one inode, which is recognised. A directory is renamed under a lock on its name, which every Librarian
    /// process takes, after a check that the name is free; the lock ends with its holder. Only a program that does not take the lock could
    /// interfere, and then only with an empty directory.</item>
    /// </list>
    /// <para>Of two calls for one destination exactly one succeeds; the other's staged data stay unchanged.</para>
    /// </remarks>
    public Task<FileCommitResult> CommitFileAsync(FileCommit commit, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(commit);
        return BlockingWork.RunAsync(() => CommitFile(commit, cancellationToken), cancellationToken);
    }

    /// <summary>
    /// Discards the working copy of a commit that will not be tried again. It is a success if there is none. The destination and the staged
    /// data are not touched.
    /// </summary>
    public Task<RemovalResult> RemoveIncomingAsync(Guid commitId, CancellationToken cancellationToken = default) =>
        BlockingWork.RunAsync(
            () =>
            {
                try
                {
                    using var root = TryOpenRoot(_storeRoot);
                    if (root is null)
                        return new RemovalResult(RemovalStatus.IoError, "store.unavailable", Unavailable);
                    using var incoming = TryOpenIncoming(root, commitId, out var busy);
                    if (busy)
                        return new RemovalResult(
                            RemovalStatus.IoError,
                            "store.placement_running",
                            $"Commit {commitId} is running; its copy was not removed. Try again when it has ended."
                        );
                    if (incoming is null)
                        return new RemovalResult(RemovalStatus.NothingThere, "store.nothing_there", $"Commit {commitId} left nothing.");
                    incoming.Remove(cancellationToken);
                    return new RemovalResult(RemovalStatus.Removed, "store.removed", $"The copy of commit {commitId} was removed.");
                }
                catch (PosixException failure)
                {
                    return RemovalFailed(failure);
                }
            },
            cancellationToken
        );

    private static EntryName StagedNameOf(FileCommit commit) =>
        commit.UploadName is { } name ? NameOf(name) : new EntryName(StagingName(commit.StagingName));

    private static FileCommitResult Failed(PosixException failure) =>
        failure switch
        {
            { IsFlush: true } => new FileCommitResult(
                FileCommitStatus.IoError,
                FlushFailedCode,
                $"The disk refused to keep what was written: {failure.Message}. "
                    + "The data do not count as stored, and what was flushed will be written again. "
                    + "Check the disk and its space, and try again."
            ),
            { IsNoSpace: true } => NoSpace(failure.Message),
            { Errno: Errno.NotADirectory or Errno.TooManyLinks } => new FileCommitResult(
                FileCommitStatus.IoError,
                "store.path_blocked",
                $"A component of the path is a file or a symbolic link, which is not followed: {failure.Message}. "
                    + "The staged data are untouched. Choose another name."
            ),
            _ => new FileCommitResult(
                FileCommitStatus.IoError,
                "store.io_error",
                $"The data could not be placed: {failure.Message}. Nothing was lost. Remove the cause and try again."
            ),
        };

    private static FileCommitResult NoSpace(string message) =>
        new(
            FileCommitStatus.NoSpace,
            "store.no_space",
            $"The store is full: {message}. The staged data are untouched. Free space and try again."
        );

    private static FileCommitResult Committed(FileCommit commit, bool recovered) =>
        new(FileCommitStatus.Committed, "store.placed", $"The data are at '{commit.Destination}'.") { Recovered = recovered };

    private static FileCommitResult TargetExists(FileCommit commit) =>
        new(
            FileCommitStatus.TargetExists,
            "store.target_exists",
            $"'{commit.Destination}' exists already and was left as it is, and so were the staged data. Choose another name."
        );

    private FileCommitResult CommitFile(FileCommit commit, CancellationToken cancellationToken, bool flush = true)
    {
        try
        {
            for (var attempt = 0; attempt < MaxAttempts; attempt++)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (TryCommit(commit, flush, cancellationToken) is { } result)
                    return result;
            }

            return new FileCommitResult(
                FileCommitStatus.IoError,
                "store.contention",
                "Other work kept moving the directories involved. Nothing was lost. Try again."
            );
        }
        catch (PosixException failure)
        {
            return Failed(failure);
        }
    }

    /// <summary>Checks the present state and does the remaining steps.</summary>
    /// <returns>
    /// Null if something appeared or vanished between check and step: call again. What appeared may be the work of another call for the
    /// same commit.
    /// </returns>
    private FileCommitResult? TryCommit(FileCommit commit, bool flush, CancellationToken cancellationToken)
    {
        using var root = TryOpenRoot(_storeRoot);
        using var stagingRoot = TryOpenRoot(_stagingRoot);
        if (root is null || stagingRoot is null)
            return Away();

        using var incoming = TryOpenIncoming(root, commit.CommitId, out var busy);
        if (busy)
            return Running(commit);
        using var stagedParent = commit.UploadName is null
            ? stagingRoot.OpenDirectory(EntryName.Self)
            : TryOpenStagedParent(stagingRoot, commit.StagingName, commit.UploadName);
        var stagedName = StagedNameOf(commit);
        var staged = stagedParent?.Status(stagedName);

        using (var existingParent = TryOpenParent(root, commit.Destination))
        {
            if (existingParent?.Status(NameOf(commit.Destination)) is { } target)
                return RecogniseTarget(commit, root, existingParent, target, stagedParent, staged, incoming, cancellationToken);
        }

        if (incoming?.HasVerifiedData() == true)
            return MoveCopy(commit, root, incoming, stagedParent, cancellationToken);
        if (incoming?.Directory.Status(IncomingCopy.Returned) is not null)
            return CommitByCopy(commit, root, stagedParent, incoming.Directory, IncomingCopy.Returned, incoming, cancellationToken);
        if (stagedParent is null || staged is null)
        {
            return new FileCommitResult(
                FileCommitStatus.StagedMissing,
                "store.staged_missing",
                $"There are no staged data for '{commit.Destination}', and nothing is at the destination. Send the data again."
            );
        }

        var changeModes = Options.ReadonlyAfterCommit && Libc.EffectiveUserId() != 0;
        var inspection = TreeInspection.Inspect(stagedParent, stagedName, changeModes, cancellationToken);
        if (!inspection.IsAcceptable)
        {
            return new FileCommitResult(
                FileCommitStatus.Refused,
                "store.structure_refused",
                $"The staged data cannot be committed: {inspection.Findings[0].Finding} at '{inspection.Findings[0].Path}'. "
                    + "They are untouched. Replace links by the files they lead to."
            )
            {
                Inspection = inspection,
            };
        }

        // Only the data that were read are renamed, and only if nobody else can write them afterwards. Otherwise a copy is made, which is
        // verified itself.
        var mayRename = !commit.Rewrite && commit.Verified?.Stamp is { MustCopy: false } stamp && stamp.IsTop(staged.Value);
        return !mayRename || Options.OwnAfterCommit || (changeModes && inspection.HasForeignOwner)
            ? CommitByCopy(commit, root, stagedParent, stagedParent, stagedName, incoming, cancellationToken)
            : CommitByRename(commit, root, stagedParent, incoming, flush, cancellationToken);
    }

    private FileCommitResult Away() =>
        new(
            FileCommitStatus.IoError,
            "store.unavailable",
            $"Store '{Options.Name}' is not available. Nothing was lost. Mount it and try again."
        );

    /// <summary>
    /// Whether the store's path no longer leads to the open root. A rename below an open root stays in its store in any case, but nothing
    /// may be reported as stored in a store that has been unmounted.
    /// </summary>
    private bool IsAway(PosixDirectory root)
    {
        using var now = TryOpenRoot(_storeRoot);
        return now is null || now.Status().Identity != root.Status().Identity;
    }

    private static FileCommitResult Running(FileCommit commit) =>
        new(
            FileCommitStatus.IoError,
            "store.placement_running",
            $"Commit {commit.CommitId} is already running. Nothing was lost. Wait for it and try again."
        );

    /// <summary>Handles a taken destination: it holds this commit's own data from an interrupted attempt, or other data.</summary>
    /// <returns>Null if the data were taken back: call again.</returns>
    private FileCommitResult? RecogniseTarget(
        FileCommit commit,
        PosixDirectory root,
        PosixDirectory parent,
        FileStatus target,
        PosixDirectory? stagedParent,
        FileStatus? staged,
        IncomingCopy? incoming,
        CancellationToken cancellationToken
    )
    {
        if (incoming?.VerifiedIdentity() == target.Identity)
        {
            if (commit.Rewrite)
                return TakeBack(commit, root, parent, target, incoming, IncomingCopy.Data, cancellationToken);
            FinishCopy(commit, parent, incoming, stagedParent, cancellationToken);
            return Committed(commit, recovered: true);
        }

        if (staged is null)
            return RecogniseUnstaged(commit, root, parent, target, stagedParent, incoming, cancellationToken);
        if (staged.Value.Identity == target.Identity)
        {
            // An interrupted link left both names on one inode. Without the staged name, the data are handled like renamed ones.
            TreeRemoval.Remove(stagedParent!, StagedNameOf(commit), cancellationToken);
            return null;
        }

        incoming?.Remove(cancellationToken);
        return TargetExists(commit);
    }

    /// <summary>
    /// Handles a taken destination without staged data: its data are read, and are this commit's own when they are as expected.
    /// </summary>
    /// <returns>Null if the data were taken back or have gone: call again.</returns>
    private FileCommitResult? RecogniseUnstaged(
        FileCommit commit,
        PosixDirectory root,
        PosixDirectory parent,
        FileStatus target,
        PosixDirectory? stagedParent,
        IncomingCopy? incoming,
        CancellationToken cancellationToken
    )
    {
        // Read from the medium: it is unknown whether an earlier flush failed, and data in memory would look correct.
        var pass = new TreePass(
            [commit.Expected.Checksum.Algorithm],
            new DigestOptions
            {
                FlushToDisk = true,
                FromMedium = true,
                TakeOver = true,
            },
            progress: null
        );
        var content = Read(commit, pass, parent, NameOf(commit.Destination), cancellationToken);
        if (content.Status == DigestStatus.Missing)
            return null;
        if (NotRecognised(commit, content) is { } refusal)
            return refusal;
        if (content.Stamp!.MustCopy || commit.Rewrite)
        {
            using var made = incoming is null ? OpenOrMakeIncoming(root, commit.CommitId) : null;
            return (incoming ?? made) is { } held
                ? TakeBack(
                    commit,
                    root,
                    parent,
                    parent.Status(NameOf(commit.Destination)) ?? target,
                    held,
                    content.Stamp.MustCopy ? IncomingCopy.Returned : IncomingCopy.Data,
                    cancellationToken
                )
                : Running(commit);
        }

        FinishRename(commit, parent, stagedParent, cancellationToken);
        return Committed(commit, recovered: true);
    }

    /// <summary>Why data that lie at the destination are not taken for this commit's own; they are left as they are.</summary>
    private static FileCommitResult? NotRecognised(FileCommit commit, DigestResult content)
    {
        if (content.Status is DigestStatus.FlushFailed or DigestStatus.IoError or DigestStatus.NoSpace)
        {
            var isFlush = content.Status == DigestStatus.FlushFailed;
            return new FileCommitResult(
                FileCommitStatus.IoError,
                isFlush ? FlushFailedCode : "store.io_error",
                $"What lies at '{commit.Destination}' could not be {(isFlush ? "flushed" : "read")}: {content.Message}. "
                    + "It was left as it is. Check the disk, and try again."
            );
        }

        // Not read again here: the data may be large, and whoever writes them may continue.
        if (content.Status == DigestStatus.Changed)
            return new FileCommitResult(
                FileCommitStatus.IoError,
                "store.contention",
                $"What lies at '{commit.Destination}' changed while it was read. It was left as it is. "
                    + "It is tried again; keep other programs from writing to the store."
            );
        if (!content.Matches(commit.Expected))
        {
            return new FileCommitResult(
                FileCommitStatus.StagedMissing,
                "store.staged_missing",
                $"There are no staged data for '{commit.Destination}', and the destination holds other data, "
                    + "which were left as they are. Send the data again under another name."
            )
            {
                Actual = content,
            };
        }

        return null;
    }
}
