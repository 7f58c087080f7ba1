using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    /// <summary>Locks a commit without waiting, because the holder may be reading for hours.</summary>
    /// <returns>
    /// The lock, to be disposed at the end of the work; or why it cannot be taken now, in which case nothing was changed.
    /// </returns>
    public Task<(CommitLock? Turn, FileCommitResult? Refusal)> TryLockCommitAsync(
        Guid commitId,
        CancellationToken cancellationToken = default
    ) =>
        BlockingWork.RunAsync<(CommitLock?, FileCommitResult?)>(
            () =>
            {
                try
                {
                    using var root = TryOpenRoot(_storeRoot);
                    if (root is null)
                        return (null, Away());
                    using var working = OpenOrMake(root, Working, PrivateDirectory)
                        ?? throw new PosixException(Errno.NoEntry, "opening", root.PathOf(Working));
                    return CommitLock.TryTake(working, commitId) is { } commitLock ? (commitLock, null) : (null, LockedElsewhere(commitId));
                }
                catch (PosixException failure)
                {
                    return (null, Failed(failure));
                }
            },
            cancellationToken
        );

    private static FileCommitResult LockedElsewhere(Guid commitId) =>
        new(
            FileCommitStatus.IoError,
            "store.placement_running",
            $"Another process of this site is working on commit {commitId}. Nothing was lost. It is tried again."
        );
}
