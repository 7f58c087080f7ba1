using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    private const string Trash = "trash";

    /// <summary>
    /// Removes committed data and then the directories above them that became empty. It is a success if nothing is there. Modes change only
    /// on directories that are removed.
    /// </summary>
    /// <remarks>
    /// The data first lose their name in one step, so nobody ever sees half a directory under it. A crash before the rename leaves
    /// everything unchanged. A crash after it leaves the data in <c>.librarian/trash</c> for <see cref="RemoveLeftoversAsync"/>, and empty
    /// parents may stay until the next deletion beside them. Calling again is correct in every case.
    /// </remarks>
    public Task<RemovalResult> DeleteAsync(FileName path, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(path);
        return BlockingWork.RunAsync(() => Delete(path, cancellationToken), cancellationToken);
    }

    /// <summary>Finishes deletions that a crash interrupted. Call it at start; it does not disturb running operations.</summary>
    public Task<RemovalResult> RemoveLeftoversAsync(CancellationToken cancellationToken = default) =>
        BlockingWork.RunAsync(
            () =>
            {
                try
                {
                    using var root = TryOpenRoot(_storeRoot);
                    if (root is null)
                        return new RemovalResult(RemovalStatus.IoError, "store.unavailable", Unavailable);
                    using var working = root.TryOpenDirectory(Working);
                    using var trash = working?.TryOpenDirectory(new EntryName(Trash));
                    if (trash is null)
                        return new RemovalResult(RemovalStatus.NothingThere, "store.nothing_there", "No interrupted deletion was found.");
                    using var stream = trash.OpenStream();
                    var found = false;
                    PosixException? first = null;
                    while (stream.TryRead(out var entry))
                    {
                        found = true;
                        try
                        {
                            TreeRemoval.Remove(trash, entry.Name, cancellationToken);
                        }
                        catch (PosixException failure)
                        {
                            // An entry that nobody may remove does not keep the others.
                            first ??= failure;
                        }
                    }

                    return first is not null ? RemovalFailed(first)
                        : found ? new RemovalResult(RemovalStatus.Removed, "store.removed", "Interrupted deletions were finished.")
                        : new RemovalResult(RemovalStatus.NothingThere, "store.nothing_there", "No interrupted deletion was found.");
                }
                catch (PosixException failure)
                {
                    return RemovalFailed(failure);
                }
            },
            cancellationToken
        );

    private static RemovalResult RemovalFailed(PosixException failure) =>
        new(
            RemovalStatus.IoError,
            "store.removal_failed",
            $"Data could not be removed completely: {failure.Message}. Nothing else was changed. Remove the cause and try again."
        );

    private RemovalResult Delete(FileName path, CancellationToken cancellationToken)
    {
        var parents = new List<PosixDirectory>();
        try
        {
            var root = TryOpenRoot(_storeRoot);
            if (root is null)
                return new RemovalResult(RemovalStatus.IoError, "store.unavailable", Unavailable);
            parents.Add(root);
            var complete = true;
            for (var i = 0; complete && i < path.Components.Count - 1; i++)
            {
                if (parents[^1].TryOpenDirectory(new EntryName(path.Components[i])) is { } next)
                    parents.Add(next);
                else
                    complete = false;
            }

            var removed = complete && DeleteEntry(root, parents[^1], NameOf(path), cancellationToken);
            RemoveEmptyParents(parents, path);
            return removed
                ? new RemovalResult(RemovalStatus.Removed, "store.removed", $"'{path}' was removed.")
                : new RemovalResult(RemovalStatus.NothingThere, "store.nothing_there", $"Nothing is at '{path}'.");
        }
        catch (PosixException failure)
        {
            return RemovalFailed(failure);
        }
        finally
        {
            foreach (var parent in parents)
                parent.Dispose();
        }
    }

    private bool DeleteEntry(PosixDirectory root, PosixDirectory parent, EntryName name, CancellationToken cancellationToken)
    {
        if (parent.Status(name) is not { } status)
            return false;
        using var trash = OpenWorkingDirectory(root, Trash);
        var discarded = new EntryName(Guid.NewGuid().ToString("D"));
        Reach("delete.before-rename");
        try
        {
            // Moving a directory to another parent needs write permission for the directory itself, which committed directories may lack.
            if (status.Type == EntryType.Directory && (status.Permissions & 0x80) == 0 && Libc.EffectiveUserId() != 0)
                parent.SetDirectoryPermissions(name, status.Permissions | PrivateDirectory);
            parent.Rename(name, trash, discarded);
        }
        catch (PosixException failure) when (failure.Errno == Errno.NoEntry)
        {
            return false;
        }

        Reach("delete.after-rename");
        parent.Sync();
        Reach("delete.before-removal");
        TreeRemoval.Remove(trash, discarded, cancellationToken);
        Reach("delete.after-removal");
        return true;
    }

    private void RemoveEmptyParents(List<PosixDirectory> parents, FileName path)
    {
        for (var i = parents.Count - 1; i > 0; i--)
        {
            try
            {
                _durableDirectories.TryRemove(parents[i].Status().Identity, out _);
                parents[i - 1].RemoveDirectory(new EntryName(path.Components[i - 1]));
                parents[i - 1].Sync();
            }
            catch (PosixException)
            {
                // The directory is not empty, in use, or gone already. An empty directory that stays does no harm.
                return;
            }
        }
    }
}
