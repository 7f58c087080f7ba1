namespace Librarian.Domain.Drives;

/// <summary>
/// A file in the root of a drive (or of a site's archive) that appears whole or not at all: written under <c>NAME.new</c>, flushed, renamed, and
/// the directory flushed. A crash before the rename leaves the old file and a <c>NAME.new</c> that the next writing replaces.
/// </summary>
/// <remarks>A drive comes from elsewhere: no name in its root is followed when it is a symbolic link, and nothing but regular files is opened.</remarks>
public sealed class DriveFile : IAsyncDisposable
{
    private DriveFile(Stream stream) => Stream = stream;

    /// <summary>Where the new content goes.</summary>
    public Stream Stream { get; }

    /// <summary>Begins a new file of that name.</summary>
    public static DriveFile Create(string root, string name) => throw new NotSupportedException("Written next.");

    /// <summary>Opens a file for reading; null when there is no regular file of that name.</summary>
    public static Stream? TryOpenRead(string root, string name) => throw new NotSupportedException("Written next.");

    /// <summary>Makes the new content the file.</summary>
    public Task CommitAsync(CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <summary>Without a commit the file stays as it was.</summary>
    public ValueTask DisposeAsync() => throw new NotSupportedException("Written next.");
}
