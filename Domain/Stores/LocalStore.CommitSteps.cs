using Librarian.Domain.Checksums;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    /// <summary>
    /// Takes this commit's own data, which no catalog has claimed, away from the destination. Good data whose entry may not be on disk
    /// become the verified copy, and the rename back writes the entry again. Data that others can write become the source of a copy.
    /// </summary>
    private FileCommitResult? TakeBack(
        FileCommit commit,
        PosixDirectory root,
        PosixDirectory parent,
        FileStatus target,
        IncomingCopy incoming,
        EntryName name,
        CancellationToken cancellationToken
    )
    {
        if (IsAway(root))
            return Away();
        // The record is written before the rename, so that after a crash it identifies the data, wherever they are.
        var isGood = name.Bytes.SequenceEqual(IncomingCopy.Data.Bytes);
        if (!isGood || incoming.VerifiedIdentity() != target.Identity)
        {
            incoming.Clear(cancellationToken);
            if (isGood)
                incoming.RecordIdentity(target.Identity);
        }

        TreeRemoval.Remove(incoming.Directory, name, cancellationToken);
        // Moving a directory to another parent needs write permission for the directory itself, which committed directories may lack.
        if (target.Type == EntryType.Directory && (target.Permissions & 0x80) == 0 && Libc.EffectiveUserId() != 0)
            parent.SetDirectoryPermissions(NameOf(commit.Destination), target.Permissions | PrivateDirectory);
        Reach("place.before-taking-back");
        parent.Rename(NameOf(commit.Destination), incoming.Directory, name);
        Reach("place.taken-back");
        incoming.Directory.Sync();
        parent.Sync();
        return null;
    }

    private FileCommitResult? CommitByRename(
        FileCommit commit,
        PosixDirectory root,
        PosixDirectory stagedParent,
        IncomingCopy? earlier,
        bool flush,
        CancellationToken cancellationToken
    )
    {
        Reach("place.before-parents");
        using var parent = OpenOrMakeParent(root, commit.Destination, durably: true);
        if (parent is null)
            return null;
        Reach("place.before-rename");
        if (IsAway(root))
            return Away();
        // Checked again just before the rename, because the rename sets the change time, which cannot be compared afterwards.
        if (stagedParent.Status(StagedNameOf(commit)) is not { } now || !commit.Verified!.Stamp!.IsTop(now))
            return CommitByCopy(commit, root, stagedParent, stagedParent, StagedNameOf(commit), earlier, cancellationToken);
        switch (MoveWithoutReplacing(root, stagedParent, StagedNameOf(commit), parent, commit.Destination))
        {
            case Move.OtherFilesystem:
                return CommitByCopy(commit, root, stagedParent, stagedParent, StagedNameOf(commit), earlier, cancellationToken);
            case Move.TargetTaken:
            case Move.SomethingVanished:
                return null;
        }

        Reach("place.after-rename");
        if (!commit.Verified.Stamp!.IsStillAt(parent, NameOf(commit.Destination), cancellationToken))
        {
            // Something was swapped or written between the reading and the rename. Nobody has been notified of the data: they go back and
            // are copied.
            MoveBack(root, parent, NameOf(commit.Destination), stagedParent, StagedNameOf(commit), cancellationToken);
            return null;
        }

        if (flush)
            FinishRename(commit, parent, stagedParent, cancellationToken);
        else
            SetModes(parent, NameOf(commit.Destination), cancellationToken);
        return Committed(commit, recovered: false);
    }

    private void MoveBack(
        PosixDirectory root,
        PosixDirectory parent,
        EntryName name,
        PosixDirectory stagedParent,
        EntryName stagedName,
        CancellationToken cancellationToken
    )
    {
        try
        {
            RenameBack(parent, name, stagedParent, stagedName);
        }
        catch (PosixException failure)
            when (failure.Errno is Errno.Exists or Errno.NotEmpty or Errno.NotADirectory or Errno.IsADirectory or Errno.NoEntry)
        {
            // Their name in staging is taken or gone. Whoever swaps data in staging has the originals.
            DeleteEntry(root, parent, name, cancellationToken);
        }
    }

    private void FinishRename(FileCommit commit, PosixDirectory parent, PosixDirectory? stagedParent, CancellationToken cancellationToken)
    {
        parent.Sync();
        Reach("place.target-synced");
        SetModes(parent, NameOf(commit.Destination), cancellationToken);
        Reach("place.modes-set");
        stagedParent?.Sync();
        Reach("place.staging-synced");
    }

    private FileCommitResult? CommitByCopy(
        FileCommit commit,
        PosixDirectory root,
        PosixDirectory? stagedParent,
        PosixDirectory from,
        EntryName name,
        IncomingCopy? earlier,
        CancellationToken cancellationToken
    )
    {
        using var made = earlier is null ? OpenOrMakeIncoming(root, commit.CommitId) : null;
        var incoming = earlier ?? made;
        if (incoming is null)
            return Running(commit);
        incoming.Clear(cancellationToken);
        Reach("place.incoming-made");

        var plan = new CopyPlan(incoming.Directory, IncomingCopy.Data, FollowSymlinks: false, GroupWritable: false);
        var pass = new TreePass([commit.Expected.Checksum.Algorithm], new DigestOptions { FlushToDisk = true }, progress: null, plan);
        var content = Read(commit, pass, from, name, cancellationToken);
        if (!content.Matches(commit.Expected))
        {
            // Also after a failed flush, because another flush of the same pages would succeed and prove nothing.
            if (
                incoming.Directory.Status(IncomingCopy.Returned) is not null
                && content.Status is (DigestStatus.NoSpace or DigestStatus.IoError or DigestStatus.FlushFailed)
            )
                incoming.Clear(cancellationToken);
            else
                incoming.Remove(cancellationToken);
            return NotCopied(content);
        }

        Reach("place.copied");
        try
        {
            incoming.RecordIdentity();
        }
        catch (PosixException failure) when (failure.IsFlush)
        {
            incoming.Clear(cancellationToken);
            throw;
        }

        Reach("place.identity-recorded");
        return MoveCopy(commit, root, incoming, stagedParent, cancellationToken);
    }

    private static FileCommitResult? NotCopied(DigestResult content) =>
        content.Status switch
        {
            DigestStatus.Missing => null,
            DigestStatus.NoSpace => NoSpace(content.Message!),
            DigestStatus.FlushFailed => new FileCommitResult(
                FileCommitStatus.IoError,
                FlushFailedCode,
                $"The disk refused to keep the copy: {content.Message}. The copy was discarded and will be made again; "
                    + "the staged data are untouched. Check the store's disk and its space, and try again."
            ),
            DigestStatus.IoError => new FileCommitResult(
                FileCommitStatus.IoError,
                "store.io_error",
                $"The data could not be copied into the store: {content.Message}. Nothing was lost. Remove the cause and try again."
            ),
            _ => new FileCommitResult(
                FileCommitStatus.Mismatch,
                "store.mismatch",
                $"The staged data are not what was declared ({content.Message ?? "size or checksum differ"}). "
                    + "They are untouched; nothing was committed. Send the data again."
            )
            {
                Actual = content,
            },
        };

    private static DigestResult Read(
        FileCommit commit,
        TreePass pass,
        PosixDirectory parent,
        EntryName name,
        CancellationToken cancellationToken
    )
    {
        commit.Readers?.Wait(cancellationToken);
        try
        {
            return pass.DigestEntry(parent, name, cancellationToken);
        }
        finally
        {
            commit.Readers?.Release();
        }
    }

    private FileCommitResult? MoveCopy(
        FileCommit commit,
        PosixDirectory root,
        IncomingCopy incoming,
        PosixDirectory? stagedParent,
        CancellationToken cancellationToken
    )
    {
        using var parent = OpenOrMakeParent(root, commit.Destination, durably: true);
        if (parent is null)
            return null;
        Reach("place.before-copy-rename");
        // Copying may have taken hours.
        if (IsAway(root))
            return Away();
        switch (MoveWithoutReplacing(root, incoming.Directory, IncomingCopy.Data, parent, commit.Destination))
        {
            case Move.OtherFilesystem:
                throw new PosixException(
                    Errno.CrossDevice,
                    "rename within the store (another filesystem is mounted below its root)",
                    commit.Destination.Value
                );
            case Move.TargetTaken:
            case Move.SomethingVanished:
                return null;
        }

        Reach("place.after-copy-rename");
        FinishCopy(commit, parent, incoming, stagedParent, cancellationToken);
        return Committed(commit, recovered: false);
    }

    private void FinishCopy(
        FileCommit commit,
        PosixDirectory parent,
        IncomingCopy incoming,
        PosixDirectory? stagedParent,
        CancellationToken cancellationToken
    )
    {
        parent.Sync();
        incoming.Directory.Sync();
        Reach("place.copy-synced");
        SetModes(parent, NameOf(commit.Destination), cancellationToken);
        Reach("place.copy-modes-set");
        if (stagedParent is not null)
        {
            try
            {
                TreeRemoval.Remove(stagedParent, StagedNameOf(commit), cancellationToken);
                stagedParent.Sync();
            }
            catch (PosixException)
            {
                // The data are committed. What stays in staging is removed with its directory, and reported there if that fails, too.
            }
        }

        Reach("place.staged-removed");
        incoming.Remove(cancellationToken);
        Reach("place.incoming-removed");
    }

    private static IncomingCopy? TryOpenIncoming(PosixDirectory root, Guid commitId, out bool busy)
    {
        busy = false;
        using var working = root.TryOpenDirectory(Working);
        var incoming = working?.TryOpenDirectory(new EntryName(Incoming));
        var name = new EntryName(commitId.ToString("D"));
        var directory = incoming?.TryOpenDirectory(name);
        if (directory is null)
        {
            incoming?.Dispose();
            return null;
        }

        var copy = IncomingCopy.TryLock(incoming!, name, directory);
        busy = copy is null;
        return copy;
    }

    private IncomingCopy? OpenOrMakeIncoming(PosixDirectory root, Guid commitId)
    {
        var incoming = OpenWorkingDirectory(root, Incoming);
        var name = new EntryName(commitId.ToString("D"));
        var directory = OpenOrMake(incoming, name, PrivateDirectory)
            ?? throw new PosixException(Errno.NoEntry, "opening", incoming.PathOf(name));
        return IncomingCopy.TryLock(incoming, name, directory);
    }
}
