namespace Librarian.Domain.Posix;

/// <summary>
/// Removes a file or a whole tree. It makes read-only directories writable only inside the tree that is removed: the modes of anything that
/// stays, and of link targets, are never changed.
/// </summary>
internal static class TreeRemoval
{
    private const uint OwnerMayAll = 0x1c0;

    /// <summary>
    /// Removes the entry and everything below it. It is a success if nothing is there. Symbolic links are removed, never followed. A crash
    /// leaves a part of the tree; calling again removes the rest.
    /// </summary>
    /// <exception cref="PosixException">Something could not be removed.</exception>
    internal static void Remove(PosixDirectory parent, EntryName name, CancellationToken cancellationToken)
    {
        if (RemoveIfNotDirectory(parent, name))
            return;

        var levels = new Stack<Level>();
        try
        {
            levels.Push(Descend(parent, name));
            while (levels.TryPeek(out var level))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (level.Stream.TryRead(out var entry))
                {
                    level.SawEntry = true;
                    if (entry.Type == EntryType.Directory)
                        levels.Push(Descend(level.Directory, entry.Name));
                    else if (!RemoveIfNotDirectory(level.Directory, entry.Name))
                        levels.Push(Descend(level.Directory, entry.Name));
                }
                else if (level.SawEntry)
                {
                    // A file system may skip entries while others are being removed, so passes are repeated until one finds no entry.
                    level.SawEntry = false;
                    level.Stream.Rewind();
                }
                else
                {
                    levels.Pop().Dispose();
                    RemoveEmptyDirectory(levels.TryPeek(out var above) ? above.Directory : parent, level.Name);
                }
            }
        }
        finally
        {
            foreach (var level in levels)
                level.Dispose();
        }
    }

    /// <returns>False if the entry is a directory.</returns>
    private static bool RemoveIfNotDirectory(PosixDirectory parent, EntryName name)
    {
        try
        {
            parent.RemoveFile(name);
            return true;
        }
        catch (PosixException failure) when (failure.Errno == Errno.NoEntry)
        {
            return true;
        }
        catch (PosixException failure)
            when (failure.Errno is Errno.IsADirectory or Errno.NotPermitted or Errno.AccessDenied or Errno.NotEmpty)
        {
            // POSIX allows "not permitted" for a directory, too, so the status decides.
            var status = parent.Status(name);
            if (status is null)
                return true;
            if (status.Value.Type == EntryType.Directory)
                return false;
            throw;
        }
    }

    private static void RemoveEmptyDirectory(PosixDirectory parent, EntryName name)
    {
        try
        {
            parent.RemoveDirectory(name);
        }
        catch (PosixException failure) when (failure.Errno == Errno.NoEntry) { }
    }

    private static Level Descend(PosixDirectory parent, EntryName name)
    {
        PosixDirectory directory;
        try
        {
            directory = parent.OpenDirectory(name);
        }
        catch (PosixException failure) when (failure.Errno == Errno.AccessDenied)
        {
            parent.SetDirectoryPermissions(name, OwnerMayAll);
            directory = parent.OpenDirectory(name);
        }

        try
        {
            var status = directory.Status();
            if ((status.Permissions & OwnerMayAll) != OwnerMayAll && (status.User == Libc.EffectiveUserId() || Libc.EffectiveUserId() == 0))
                directory.SetPermissions(status.Permissions | OwnerMayAll);
            return new Level(name, directory, directory.OpenStream());
        }
        catch
        {
            directory.Dispose();
            throw;
        }
    }

    private sealed class Level(EntryName name, PosixDirectory directory, DirectoryStream stream) : IDisposable
    {
        internal EntryName Name { get; } = name;

        internal PosixDirectory Directory { get; } = directory;

        internal DirectoryStream Stream { get; } = stream;

        internal bool SawEntry { get; set; }

        public void Dispose()
        {
            Stream.Dispose();
            Directory.Dispose();
        }
    }
}
