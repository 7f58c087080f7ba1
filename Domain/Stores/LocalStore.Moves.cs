using System.Security.Cryptography;
using System.Text;
using Librarian.Domain.Stores.Posix;

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

    private Move MoveWithoutReplacing(PosixDirectory root, PosixDirectory from, EntryName name, PosixDirectory to, StorePath destination)
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

    private static Move? Classify(PosixException failure) => failure.Errno switch
    {
        Errno.Exists => Move.TargetTaken,
        Errno.CrossDevice => Move.OtherFilesystem,
        Errno.NoEntry => Move.SomethingVanished,
        _ => null,
    };

    /// <summary>The same guarantee for filesystems without it; the remarks of <see cref="PlaceAsync"/> say how.</summary>
    private Move MoveWithoutKernelHelp(PosixDirectory root, PosixDirectory from, EntryName name, PosixDirectory to, StorePath destination)
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
            // A network filesystem repeats requests: the first try made the link, the repetition found it. Or another call for the
            // same placement made it. The next look sees one inode under both names and removes the staged one.
            return Move.TargetTaken;
        }
        catch (PosixException failure) when (Classify(failure) is { } move)
        {
            return move;
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotPermitted or Errno.NotSupported)
        {
            // No hard links here, or none to files of other users: go by the lock.
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

    private PosixFile LockName(PosixDirectory root, StorePath destination)
    {
        // One of 256 locks: they are never removed, so that nobody can hold a lock on a file that no longer counts.
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
    /// <param name="durably">False when the caller flushes the whole file system afterwards.</param>
    private PosixDirectory? OpenOrMakeParent(PosixDirectory root, StorePath path, bool durably)
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
    /// Makes committed data read-only when the store is set so. The modes are not flushed one by one: a power cut within seconds may
    /// lose some, which weakens a protection and loses no data.
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

        // One open directory per level, not per directory.
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
