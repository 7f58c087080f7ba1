using Librarian.Domain.Posix;
using Librarian.Domain.Security;

namespace Librarian.Domain.Formats;

/// <summary>
/// A file in the root of a drive (or of a site's archive) that appears whole or not at all: it is written under a temporary name,
/// <c>NAME.*.new</c>, flushed and renamed, and the directory is flushed. A crash before the rename leaves the old file, and a temporary one
/// that the next write removes.
/// </summary>
/// <remarks>
/// A drive comes from elsewhere: no name in its root is followed when it is a symbolic link, and only regular files are opened.
/// </remarks>
public sealed class DriveFile : IAsyncDisposable
{
    /// <summary>Ends the name of a file that is being written.</summary>
    public const string TemporaryExtension = ".new";

    private readonly FileStream _file;
    private readonly string _root;
    private readonly string _name;
    private bool _committed;

    private DriveFile(FileStream file, string root, string name)
    {
        _file = file;
        _root = root;
        _name = name;
    }

    /// <summary>Receives the new content.</summary>
    public Stream Stream => _file;

    /// <summary>Begins a new file of that name.</summary>
    /// <param name="root">An existing directory.</param>
    /// <param name="name">One component.</param>
    /// <param name="isPrivate">For the site's own archive: nobody else may read it, whatever the umask.</param>
    /// <exception cref="IOException">The directory is read-only, full or failing.</exception>
    public static DriveFile Create(string root, string name, bool isPrivate = false)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        ArgumentException.ThrowIfNullOrEmpty(name);
        // Left by an interrupted writer. A writer that is still active fails at its rename, so nothing half written is ever published.
        foreach (var left in Directory.EnumerateFiles(root, $"{name}.*{TemporaryExtension}"))
            File.Delete(left);
        var temporary = Path.Combine(root, $"{name}.{Guid.NewGuid():N}{TemporaryExtension}");
        // Creating a name exclusively follows no link.
        var options = new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            Share = FileShare.None,
            BufferSize = 64 * 1024,
        };
        if (isPrivate)
            options.UnixCreateMode = PrivateFile.Mode;
        return new DriveFile(new FileStream(temporary, options), root, name);
    }

    /// <summary>Opens a file for reading; null when there is no regular file of that name.</summary>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public static FileStream? TryOpenRead(string root, string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(root);
        ArgumentException.ThrowIfNullOrEmpty(name);
        PosixFile? file = null;
        try
        {
            using var directory = PosixDirectory.TryOpen(root);
            file = directory?.OpenFile(new EntryName(name));
            return file?.Status().Type == EntryType.RegularFile ? Hand(ref file) : null;
        }
        catch (PosixException failure) when (failure.Errno is Errno.NoEntry or Errno.NotADirectory or Errno.TooManyLinks)
        {
            return null;
        }
        finally
        {
            file?.Dispose();
        }
    }

    /// <summary>Opens a file by its path.</summary>
    public static FileStream? TryOpenRead(string path)
    {
        var full = Path.GetFullPath(path);
        return TryOpenRead(
            Path.GetDirectoryName(full) ?? throw new ArgumentException("The path names no file.", nameof(path)),
            Path.GetFileName(full)
        );
    }

    /// <summary>Replaces the file with the new content; it is on disk when the task ends.</summary>
    /// <exception cref="IOException">The drive is full or failing; the file is unchanged.</exception>
    public async Task CommitAsync(CancellationToken cancellationToken)
    {
        await _file.FlushAsync(cancellationToken);
        // A flush to a stick may take minutes, and there is no asynchronous call for it.
        await Task.Run(Publish, cancellationToken);
    }

    /// <summary>Without a commit the file stays unchanged.</summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            // On a full drive even closing fails, because the buffer cannot be written.
            await _file.DisposeAsync();
        }
        finally
        {
            if (!_committed)
                File.Delete(_file.Name);
        }
    }

    /// <summary>Gives a file that is on disk its name, in place of an older file; the name is on disk too when this returns.</summary>
    /// <exception cref="IOException">The file may have the name or not. Write it again: another flush would prove nothing.</exception>
    public static void GiveName(string file, string path)
    {
        File.Move(file, path, overwrite: true);
        using var directory = PosixDirectory.Open(Path.GetDirectoryName(Path.GetFullPath(path))!);
        directory.Sync();
    }

    /// <summary>
    /// Whether a drive could not be read. A missing part of this program is an IOException too, but not the drive's fault.
    /// </summary>
    internal static bool IsReadFailure(Exception failure) =>
        failure is UnauthorizedAccessException or (IOException and not FileNotFoundException and not FileLoadException);

    private static FileStream Hand(ref PosixFile? file)
    {
        var stream = file!.ToStream();
        file = null;
        return stream;
    }

    private void Publish()
    {
        _file.Flush(flushToDisk: true);
        File.Move(_file.Name, Path.Combine(_root, _name), overwrite: true);
        _committed = true;
        using var directory = PosixDirectory.Open(_root);
        directory.Sync();
    }
}
