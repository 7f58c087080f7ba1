namespace Librarian.Domain.Security;

/// <summary>Files and directories that only the site's account can access, from their creation and with any umask.</summary>
public static class PrivateFile
{
    /// <summary>Mode 0600.</summary>
    public const UnixFileMode Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Mode 0700.</summary>
    public const UnixFileMode DirectoryMode = Mode | UnixFileMode.UserExecute;

    /// <summary>Creates a file; fails if it exists.</summary>
    public static FileStream Create(string path) => Open(path, FileMode.CreateNew, FileAccess.Write, 1 << 16, FileOptions.Asynchronous);

    /// <summary>Opens a file exclusively, as a lock, and creates it if it does not exist.</summary>
    public static FileStream Lock(string path) => Open(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, 1, FileOptions.None);

    /// <summary>Creates a directory with its parents. An existing directory is left unchanged.</summary>
    public static DirectoryInfo CreateDirectory(string path) => Directory.CreateDirectory(path, DirectoryMode);

    private static FileStream Open(string path, FileMode mode, FileAccess access, int buffer, FileOptions options) =>
        new(
            path,
            new FileStreamOptions
            {
                Mode = mode,
                Access = access,
                Share = FileShare.None,
                BufferSize = buffer,
                Options = options,
                UnixCreateMode = Mode,
            }
        );
}
