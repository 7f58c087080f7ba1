using Librarian.Domain.Stores.Posix;

namespace Librarian.Domain.Security;

/// <summary>A file that holds a secret of the site (a key), made once and never replaced.</summary>
public static class SecretFile
{
    /// <summary>
    /// Makes <paramref name="path"/> with mode 0600 unless there is one already; the file and its name are on disk when this returns. Of
    /// several processes that do this at once, one makes the file and all others leave it: read it afterwards.
    /// </summary>
    /// <param name="path">The file; its directory is made when missing.</param>
    /// <param name="content">What it holds when this call is the one that makes it.</param>
    /// <exception cref="IOException">The directory cannot be written to.</exception>
    public static void CreateOnce(string path, ReadOnlySpan<byte> content)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var full = Path.GetFullPath(path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        using var directory = PosixDirectory.Open(Path.GetDirectoryName(full)!);
        var name = new EntryName(Path.GetFileName(full));
        // A crash before it gets its name leaves a file of its own name that nobody reads.
        var temporary = new EntryName($"{Path.GetFileName(full)}.{Guid.NewGuid():N}.new");
        try
        {
            using (var file = new FileStream(directory.PathOf(temporary), new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite }))
            {
                file.Write(content);
                file.Flush(flushToDisk: true);
            }

            GiveName(directory, temporary, name);
        }
        finally
        {
            // Also after a failure: a start that is repeated on a full disk must not leave a file each time.
            if (directory.Status(temporary) is not null) directory.RemoveFile(temporary);
        }

        directory.Sync();
    }

    private static void GiveName(PosixDirectory directory, EntryName temporary, EntryName name)
    {
        try
        {
            // Not File.Move: without overwriting it looks first and renames then, so that the second of two replaces the first one's key.
            directory.Link(temporary, directory, name);
        }
        catch (PosixException failure) when (failure.Errno == Errno.Exists)
        {
            // Another was first; its key is the site's.
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotPermitted or Errno.NotSupported or Errno.NotImplemented)
        {
            RenameWithoutReplacing(directory, temporary, name);
        }
    }

    // For file systems without hard links (FAT).
    private static void RenameWithoutReplacing(PosixDirectory directory, EntryName temporary, EntryName name)
    {
        try
        {
            directory.RenameWithoutReplacing(temporary, directory, name);
        }
        catch (PosixException failure) when (failure.Errno == Errno.Exists)
        {
            // As above.
        }
    }
}
