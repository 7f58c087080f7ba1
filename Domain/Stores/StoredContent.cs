using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>Committed data, opened for reading. A deletion meanwhile does not end the reading of a file.</summary>
/// <remarks>A directory is read as one stream of its regular files (docs/spec/data.md#stream).</remarks>
public sealed class StoredContent : IDisposable
{
    private readonly PosixDirectory? _directory;
    private readonly Stream _stream;
    private readonly bool _isExecutable;

    private StoredContent(PosixDirectory? directory, Stream stream, bool isExecutable = false) =>
        (_directory, _stream, _isExecutable) = (directory, stream, isExecutable);

    /// <summary>Whether the data are a directory.</summary>
    public bool IsDirectory => _directory is not null;

    /// <summary>Bytes of all regular files.</summary>
    public long Size => _stream.Length;

    /// <summary>The bytes, from any position. Use it from one thread, and not after <see cref="Dispose"/>.</summary>
    public Stream Stream => _stream;

    /// <inheritdoc/>
    public void Dispose()
    {
        _stream.Dispose();
        _directory?.Dispose();
    }

    /// <summary>
    /// The members in the order of docs/spec/data.md#listing, read while they are enumerated: memory holds the names of one directory per
    /// level. A file is its own only member, with an empty path.
    /// </summary>
    /// <exception cref="IOException">A member cannot be read, or is no file, directory or link.</exception>
    public IEnumerable<ContentMember> Members()
    {
        if (_directory is null)
        {
            yield return new ContentMember(MemberType.File, "", Size, _isExecutable);
            yield break;
        }

        using var walk = new ContentWalk(_directory);
        while (walk.MoveNext())
            yield return walk.Current;
    }

    /// <summary>Opens an entry.</summary>
    /// <returns>Null if there is none.</returns>
    /// <exception cref="IOException">The entry is no file or directory, or cannot be opened.</exception>
    internal static StoredContent? Open(PosixDirectory parent, EntryName name)
    {
        var status = parent.Status(name);
        switch (status?.Type)
        {
            case null:
                return null;
            case EntryType.RegularFile:
                return new StoredContent(null, parent.OpenFile(name).ToStream(), ContentWalk.IsExecutable(status.Value));
            case EntryType.Directory:
                var directory = parent.OpenDirectory(name);
                try
                {
                    return new StoredContent(directory, new ContentStream(directory));
                }
                catch
                {
                    directory.Dispose();
                    throw;
                }
            default:
                throw new IOException($"{parent.PathOf(name)} is neither a file nor a directory.");
        }
    }
}
