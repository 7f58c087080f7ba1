using Librarian.Client.Uploads;

namespace Librarian.Client.Downloads;

/// <summary>Writes the stream of a download into its members, in the order of the listing.</summary>
internal sealed class PartWriter : IDisposable
{
    private const UnixFileMode FileMode0666 =
        UnixFileMode.UserRead
        | UnixFileMode.UserWrite
        | UnixFileMode.GroupRead
        | UnixFileMode.GroupWrite
        | UnixFileMode.OtherRead
        | UnixFileMode.OtherWrite;

    private const UnixFileMode Execute = UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    private readonly string _root;
    private readonly IEnumerator<ListedMember> _members;
    private FileStream? _file;
    private long _left;

    /// <summary>Skips the members that are complete, and opens the first that is not.</summary>
    /// <exception cref="BadListingException">The listing cannot be followed.</exception>
    /// <exception cref="IOException">A member cannot be created.</exception>
    internal PartWriter(string root, bool isDirectory, string listing)
    {
        _root = root;
        if (isDirectory)
            MakeDirectory(root);
        _members = Listing.ReadMembers(listing).GetEnumerator();
        Advance();
    }

    /// <summary>Bytes of the stream that are in the members.</summary>
    internal long Position { get; private set; }

    /// <summary>Whether every member is complete.</summary>
    internal bool IsComplete => _file is null;

    public void Dispose()
    {
        _file?.Dispose();
        _members.Dispose();
    }

    /// <summary>Appends bytes of the stream.</summary>
    /// <exception cref="IOException">A member cannot be written, or there are more bytes than the listing says.</exception>
    internal async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        while (!bytes.IsEmpty)
        {
            if (_file is null)
                throw new IOException("The site sends more bytes than its listing says.");
            var some = bytes[..(int)Math.Min(bytes.Length, _left)];
            await _file.WriteAsync(some, cancellationToken);
            bytes = bytes[some.Length..];
            _left -= some.Length;
            Position += some.Length;
            if (_left == 0)
                Advance();
        }
    }

    /// <summary>
    /// Creates links, when every file is there.
    /// </summary>
    /// <param name="root">The data.</param>
    /// <param name="listing">The listing.</param>
    /// <param name="all">
    /// False: only links to files, whose content belongs to the checksum of the directory (docs/spec/wire.md#links-in-directories).
    /// </param>
    internal static void MakeLinks(string root, string listing, bool all)
    {
        foreach (var member in Listing.ReadMembers(listing))
        {
            var path = Path.Join(root, member.Path);
            if (member.Type != "link")
                continue;
            if (Posix.Stat(path, followLink: false).Kind == Posix.Kind.Link)
                Posix.Remove(path);
            Posix.MakeLink(member.Target!, path);
            if (!all && Posix.Stat(path, followLink: true).Kind != Posix.Kind.File)
                Posix.Remove(path);
        }
    }

    /// <summary>Goes to the next file that is not complete.</summary>
    private void Advance()
    {
        _file?.Dispose();
        _file = null;
        while (_members.MoveNext())
        {
            var member = _members.Current;
            var path = member.Path.Length == 0 ? _root : Path.Join(_root, member.Path);
            if (member.Type == "directory")
                MakeDirectory(path);
            if (member.Type != "file" || !Open(path, member))
                continue;
            return;
        }
    }

    /// <summary>A link that an earlier attempt has made at this path would lead elsewhere.</summary>
    private static void MakeDirectory(string path)
    {
        var kind = Posix.Stat(path, followLink: false).Kind;
        if (kind == Posix.Kind.Directory)
            return;
        if (kind != Posix.Kind.Missing)
            Posix.Remove(path);
        Posix.CreateDirectory(path);
    }

    /// <returns>False if the file is complete.</returns>
    private bool Open(string path, ListedMember member)
    {
        var (kind, _, size) = Posix.Stat(path, followLink: false);
        if (kind != Posix.Kind.Missing && (kind != Posix.Kind.File || size > member.Size))
        {
            Posix.Remove(path);
            kind = Posix.Kind.Missing;
        }

        if (kind == Posix.Kind.Missing)
        {
            size = 0;
            Posix.CreateFile(path, member.IsExecutable ? FileMode0666 | Execute : FileMode0666).Dispose();
        }

        Position += size;
        _left = member.Size - size;
        if (_left == 0)
            return false;
        _file = new FileStream(Posix.OpenToWrite(path), FileAccess.Write, bufferSize: 0) { Position = size };
        return true;
    }
}
