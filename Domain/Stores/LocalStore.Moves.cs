using System.Security.Cryptography;
using System.Text;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

public sealed partial class LocalStore
{
    private const string Names = "names";
    private const uint ReadOnlyFile = 0x124;
    private const uint ReadOnlyDirectory = 0x16d;

    private enum Move
    {
        Done,
        TargetTaken,
        OtherFilesystem,
        SomethingVanished,
    }

    private Move MoveWithoutReplacing(PosixDirectory root, PosixDirectory from, EntryName name, PosixDirectory to, FileName destination)
    {
        var newName = NameOf(destination);
        try
        {
            if (_faults?.LacksRenameWithoutReplacing == true)
                throw new PosixException(Errno.Invalid, "rename", from.PathOf(name));
            from.RenameWithoutReplacing(name, to, newName);
            return Move.Done;
        }
        catch (PosixException failure) when (failure.Errno is Errno.Invalid or Errno.NotImplemented or Errno.NotSupported)
        {
            return MoveWithoutKernelHelp(root, from, name, to, destination);
        }
        catch (PosixException failure) when (Classify(failure) is { } move)
        {
            return move;
        }
    }

    private static Move? Classify(PosixException failure) =>
        failure.Errno switch
        {
            Errno.Exists => Move.TargetTaken,
            Errno.CrossDevice => Move.OtherFilesystem,
            Errno.NoEntry => Move.SomethingVanished,
            _ => null,
        };

    /// <summary>Gives the same guarantee on file systems without such a rename; see the remarks of <see cref="CommitFileAsync"/>.</summary>
    private Move MoveWithoutKernelHelp(PosixDirectory root, PosixDirectory from, EntryName name, PosixDirectory to, FileName destination)
    {
        var newName = NameOf(destination);
        if (from.Status(name) is not { } source)
            return Move.SomethingVanished;
        try
        {
            if (source.Type == EntryType.RegularFile)
            {
                from.Link(name, to, newName);
                Reach("place.linked");
                from.RemoveFile(name);
                return Move.Done;
            }
        }
        catch (PosixException failure) when (failure.Errno == Errno.Exists && to.Status(newName)?.Identity == source.Identity)
        {
            // A network file system repeats requests: the first try made the link, and the repetition found it. Or another call for the
            // same commit made it. The next check sees one inode under both names and removes the staged one.
            return Move.TargetTaken;
        }
        catch (PosixException failure) when (Classify(failure) is { } move)
        {
            return move;
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotPermitted or Errno.NotSupported)
        {
            // The file system has no hard links, or none to files of other users: use the lock instead.
        }

        using var held = LockName(root, destination);
        if (to.Status(newName) is not null)
            return Move.TargetTaken;
        Reach("place.name-locked");
        try
        {
            from.Rename(name, to, newName);
            return Move.Done;
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotEmpty or Errno.NotADirectory or Errno.IsADirectory)
        {
            return Move.TargetTaken;
        }
        catch (PosixException failure) when (Classify(failure) is { } move)
        {
            return move;
        }
    }

    /// <summary>
    /// Undoes a move. It replaces no data, also where the file system has no such rename: a link to a file, or a directory that replaces an
    /// empty one at most.
    /// </summary>
    private void RenameBack(PosixDirectory from, EntryName name, PosixDirectory to, EntryName newName)
    {
        try
        {
            if (_faults?.LacksRenameWithoutReplacing == true)
                throw new PosixException(Errno.Invalid, "rename", from.PathOf(name));
            from.RenameWithoutReplacing(name, to, newName);
        }
        catch (PosixException failure) when (failure.Errno is Errno.Invalid or Errno.NotImplemented or Errno.NotSupported)
        {
            if (from.Status(name) is { Type: EntryType.Directory })
            {
                from.Rename(name, to, newName);
                return;
            }

            from.Link(name, to, newName);
            from.RemoveFile(name);
        }
    }

    private PosixFile LockName(PosixDirectory root, FileName destination)
    {
        // One of 256 locks. Lock files are never removed, so nobody can hold a lock on a file that is no longer used.
        using var names = OpenWorkingDirectory(root, Names);
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes(destination.Value));
        var file = names.OpenLockFile(new EntryName(Convert.ToHexStringLower(hash.AsSpan(0, 1))));
        try
        {
            file.Lock();
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <param name="root">The store's root.</param>
    /// <param name="path">A name in it.</param>
    /// <param name="durably">False if the caller flushes the whole file system afterwards.</param>
    private PosixDirectory? OpenOrMakeParent(PosixDirectory root, FileName path, bool durably)
    {
        var current = root.OpenDirectory(EntryName.Self);
        for (var i = 0; i < path.Components.Count - 1; i++)
        {
            using var previous = current;
            try
            {
                if (OpenOrMake(previous, new EntryName(path.Components[i]), SharedDirectory, durably) is not { } next)
                    return null;
                current = next;
            }
            catch (PosixException failure) when (failure.Errno == Errno.NoEntry)
            {
                // The parent itself was removed, as a deletion does with directories that became empty.
                return null;
            }
        }

        return current;
    }

    /// <summary>
    /// Makes committed data read-only if the store is configured so. The modes are not flushed one by one: a power cut within seconds may
    /// lose some, which weakens a protection but loses no data.
    /// </summary>
    private void SetModes(PosixDirectory parent, EntryName name, CancellationToken cancellationToken)
    {
        if (!Options.ReadonlyAfterCommit)
            return;
        if (parent.Status(name) is not { Type: EntryType.Directory })
        {
            SetFileMode(parent, name);
            return;
        }

        // Keeps one directory per level open, not every directory.
        var levels = new Stack<(PosixDirectory Directory, DirectoryStream Stream)>();
        try
        {
            Descend(levels, parent.OpenDirectory(name));
            while (levels.TryPeek(out var level))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (!level.Stream.TryRead(out var entry))
                {
                    level.Directory.SetPermissions(ReadOnlyDirectory);
                    levels.Pop();
                    level.Stream.Dispose();
                    level.Directory.Dispose();
                    continue;
                }

                var type = entry.Type == EntryType.Unknown ? level.Directory.Status(entry.Name)?.Type : entry.Type;
                if (type == EntryType.Directory)
                    Descend(levels, level.Directory.OpenDirectory(entry.Name));
                else if (type == EntryType.RegularFile)
                    SetFileMode(level.Directory, entry.Name);
            }
        }
        finally
        {
            foreach (var (directory, stream) in levels)
            {
                stream.Dispose();
                directory.Dispose();
            }
        }
    }

    private static void Descend(Stack<(PosixDirectory Directory, DirectoryStream Stream)> levels, PosixDirectory directory) =>
        levels.Push((directory, directory.OpenStream()));

    private static void SetFileMode(PosixDirectory parent, EntryName name)
    {
        using var file = parent.OpenFile(name);
        file.SetPermissions(ReadOnlyFile);
    }
}
