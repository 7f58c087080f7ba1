using Librarian.Domain.Posix;

namespace Librarian.Domain.Security;

/// <summary>A file that holds a secret of the site (a key). It is created once and never replaced.</summary>
public static class SecretFile
{
    /// <summary>
    /// Creates <paramref name="path"/> with mode 0600 unless it exists; the file and its name are on disk when this returns. Of several
    /// processes that do this at once, one creates the file and the others leave it unchanged: read the file afterwards.
    /// </summary>
    /// <param name="path">The file. Its directory is created if it does not exist.</param>
    /// <param name="content">The content to write if this call creates the file.</param>
    /// <exception cref="IOException">The directory cannot be written to.</exception>
    public static void CreateOnce(string path, ReadOnlySpan<byte> content)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var full = Path.GetFullPath(path);
        PrivateFile.CreateDirectory(Path.GetDirectoryName(full)!);
        using var directory = PosixDirectory.Open(Path.GetDirectoryName(full)!);
        var name = new EntryName(Path.GetFileName(full));
        // A crash before the rename leaves a file under this temporary name, which nobody reads.
        var temporary = new EntryName($"{Path.GetFileName(full)}.{Guid.NewGuid():N}.new");
        try
        {
            using (
                var file = new FileStream(
                    directory.PathOf(temporary),
                    new FileStreamOptions
                    {
                        Mode = FileMode.CreateNew,
                        Access = FileAccess.Write,
                        UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
                    }
                )
            )
            {
                file.Write(content);
                file.Flush(flushToDisk: true);
            }

            if (GiveName(directory, temporary, name))
                Flush(directory, name);
            else
                directory.Sync();
        }
        finally
        {
            // Also after a failure: repeated starts on a full disk must not leave a file each time.
            if (directory.Status(temporary) is not null)
                directory.RemoveFile(temporary);
        }
    }

    private static void Flush(PosixDirectory directory, EntryName name)
    {
        try
        {
            directory.Sync();
        }
        catch (PosixException failure) when (failure.IsFlush)
        {
            // The name may not be on disk, and the next flush would report success. This start fails without having used the secret; the
            // next one creates another.
            directory.RemoveFile(name);
            throw;
        }
    }

    /// <returns>False if another process was first.</returns>
    private static bool GiveName(PosixDirectory directory, EntryName temporary, EntryName name)
    {
        try
        {
            // Not File.Move: without overwriting it checks first and then renames, so that the second of two processes replaces the key of
            // the first.
            directory.Link(temporary, directory, name);
            return true;
        }
        catch (PosixException failure) when (failure.Errno == Errno.Exists)
        {
            // Another process was first; its key is the site's key.
            return false;
        }
        catch (PosixException failure) when (failure.Errno is Errno.NotPermitted or Errno.NotSupported or Errno.NotImplemented)
        {
            return RenameWithoutReplacing(directory, temporary, name);
        }
    }

    // For file systems without hard links (FAT).
    private static bool RenameWithoutReplacing(PosixDirectory directory, EntryName temporary, EntryName name)
    {
        try
        {
            directory.RenameWithoutReplacing(temporary, directory, name);
            return true;
        }
        catch (PosixException failure) when (failure.Errno == Errno.Exists)
        {
            // Another process was first, as above.
            return false;
        }
    }
}
