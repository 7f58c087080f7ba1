using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    /// <summary>Gives the verified copy its name: by one rename between open directories or, where that fails, step by step.</summary>
    private FileCommitResult CommitAddition(AdditionBatch batch, Addition addition, StagedCopy copy, CancellationToken stop)
    {
        var commit = FileCommitOf(addition, copy);
        if (Options.OwnAfterCommit)
            return CommitFile(commit, stop, flush: false);
        try
        {
            Reach("place.before-parents");
            using var parent = batch.TryMakeParent(addition.Name, OpenOrMakeParent);
            Reach("place.before-rename");
            if (
                parent.Directory is not null
                && MoveWithoutReplacing(batch.Store, batch.Staging, StagedNameOf(addition), parent.Directory, addition.Name) == Move.Done
            )
            {
                Reach("place.after-rename");
                if (copy.Verified?.Stamp?.IsStillAt(parent.Directory, NameOf(addition.Name), stop) == false)
                {
                    // Nobody has been notified of the copy, and its source is untouched.
                    DeleteEntry(batch.Store, parent.Directory, NameOf(addition.Name), stop);
                    copy.IsConsumed = true;
                    return new FileCommitResult(
                        FileCommitStatus.Mismatch,
                        "store.mismatch",
                        $"The copy of '{addition.Name}' was changed by another program before it got its name. "
                            + "Nothing of it was kept; the source is untouched. Copy again."
                    );
                }

                SetModes(parent.Directory, NameOf(addition.Name), stop);
                copy.IsConsumed = true;
                return Committed(commit, recovered: false);
            }
        }
        catch (PosixException failure)
        {
            return Failed(failure);
        }

        // The name is taken, a directory vanished, or another file system is mounted there.
        return CommitFile(commit, stop, flush: false);
    }

    private AdditionResult CommitCopied(AdditionBatch batch, Addition addition, StagedCopy copy, CancellationToken stop)
    {
        var committed = copy.IsCommitted
            ? Committed(FileCommitOf(addition, copy), recovered: true)
            : CommitAddition(batch, addition, copy, stop);
        return committed.Status switch
        {
            FileCommitStatus.Committed => new AdditionResult(addition, AdditionStatus.Added, committed.Message)
            {
                Sha256 = copy.Sha256,
                Files = copy.Files,
                IsDirectory = copy.IsDirectory,
                WasThere = copy.IsCommitted,
                MembersFile = copy.MembersFile,
            },
            FileCommitStatus.TargetExists => new AdditionResult(addition, AdditionStatus.NameTaken, committed.Message),
            FileCommitStatus.NoSpace => new AdditionResult(addition, AdditionStatus.NoSpace, committed.Message),
            FileCommitStatus.Refused => new AdditionResult(addition, AdditionStatus.Refused, committed.Message),
            FileCommitStatus.Mismatch => new AdditionResult(addition, AdditionStatus.CopyDiffers, committed.Message),
            _ => new AdditionResult(addition, AdditionStatus.IoError, committed.Message),
        };
    }

    private static FileCommit FileCommitOf(Addition addition, StagedCopy copy) =>
        new(addition.Id, null, addition.Name, copy.Expected, addition.Id) { Verified = copy.Verified };
}
