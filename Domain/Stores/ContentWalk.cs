using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// Visits the members of a directory, each directory before its members and the members in the order of the bytes of their names. It
/// follows no links. Holds one open directory and the names of its entries for each level.
/// </summary>
internal sealed class ContentWalk : IDisposable
{
    private const uint OwnerMayExecute = 0b001_000_000;

    private readonly Stack<Level> _levels = new();
    private Level? _parent;
    private EntryName _name;

    internal ContentWalk(PosixDirectory root) => _levels.Push(Level.Of(root.OpenDirectory(EntryName.Self), ""));

    internal ContentMember Current { get; private set; }

    public void Dispose()
    {
        while (_levels.TryPop(out var level))
            level.Directory.Dispose();
    }

    /// <exception cref="IOException">A member cannot be read, or is no file, directory or link.</exception>
    internal bool MoveNext()
    {
        while (_levels.TryPeek(out var level))
        {
            if (!level.TryTake(out var name))
            {
                _levels.Pop().Directory.Dispose();
                continue;
            }

            (_parent, _name) = (level, name);
            Current = Visit(level, name);
            return true;
        }

        return false;
    }

    internal static bool IsExecutable(FileStatus status) => (status.Permissions & OwnerMayExecute) != 0;

    /// <summary>Opens the current member, which is a file.</summary>
    internal PosixFile OpenFile() => _parent!.Directory.OpenFile(_name);

    private ContentMember Visit(Level level, EntryName name)
    {
        var path = level.Prefix + name.Text;
        var status = level.Directory.Status(name) ?? throw new IOException($"{level.Directory.PathOf(name)} has vanished.");
        switch (status.Type)
        {
            case EntryType.RegularFile:
                return new ContentMember(MemberType.File, path, status.Size, IsExecutable(status));
            case EntryType.Symlink:
                return new ContentMember(MemberType.Link, path, 0, IsExecutable: false, level.Directory.ReadLink(name).Text);
            case EntryType.Directory:
                _levels.Push(Level.Of(level.Directory.OpenDirectory(name), path + "/"));
                return new ContentMember(MemberType.Directory, path, 0, IsExecutable: false);
            default:
                throw new IOException($"{level.Directory.PathOf(name)} is neither a file nor a directory.");
        }
    }

    private sealed class Level
    {
        private readonly List<EntryName> _names;
        private int _next;

        private Level(PosixDirectory directory, string prefix, List<EntryName> names) =>
            (Directory, Prefix, _names) = (directory, prefix, names);

        internal PosixDirectory Directory { get; }

        internal string Prefix { get; }

        /// <summary>Takes ownership of the directory.</summary>
        internal static Level Of(PosixDirectory directory, string prefix)
        {
            try
            {
                List<EntryName> names = [];
                using (var entries = directory.OpenStream())
                {
                    while (entries.TryRead(out var entry))
                        names.Add(entry.Name);
                }

                names.Sort(static (a, b) => a.Bytes.SequenceCompareTo(b.Bytes));
                return new Level(directory, prefix, names);
            }
            catch
            {
                directory.Dispose();
                throw;
            }
        }

        internal bool TryTake(out EntryName name)
        {
            name = _next < _names.Count ? _names[_next] : default;
            return _next++ < _names.Count;
        }
    }
}
