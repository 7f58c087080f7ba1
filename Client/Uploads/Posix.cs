using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Librarian.Client.Uploads;

/// <summary>
/// Linux system calls that .NET does not offer, or offers only for UTF-8 names. Paths are texts in the encoding of <see cref="PathBytes"/>.
/// </summary>
internal static unsafe partial class Posix
{
    private const int CurrentDirectory = -100; // AT_FDCWD
    private const int NoFollow = 0x100; // AT_SYMLINK_NOFOLLOW
    private const uint BasicStats = 0x7ff; // STATX_BASIC_STATS
    private const int CloseOnExec = 0x80000; // O_CLOEXEC
    private const int NonBlocking = 0x800; // O_NONBLOCK: a pipe that took a file's place must not hang the upload.
    private const int CreateNew = 0x1 | 0x40 | 0x80; // O_WRONLY | O_CREAT | O_EXCL
    private const int WriteOnly = 0x1; // O_WRONLY
    private const int Sequential = 2; // POSIX_FADV_SEQUENTIAL
    private const uint NoReplace = 1; // RENAME_NOREPLACE
    private const int AlreadyExists = 17; // EEXIST
    private const int InvalidArgument = 22; // EINVAL
    private const int NoSuchFile = 2; // ENOENT
    private const int NotDirectory = 20; // ENOTDIR
    private const int TooManyLinks = 40; // ELOOP

    internal enum Kind
    {
        Missing,
        File,
        Directory,
        Link,
        Special,
    }

    // O_DIRECTORY has another value on arm64.
    private static int OpenDirectory => CloseOnExec | (RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x4000 : 0x10000);

    // So has O_NOFOLLOW.
    private static int RefuseLink => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x8000 : 0x20000;

    /// <summary>Gets kind, group and size of a path.</summary>
    /// <param name="path">Any path.</param>
    /// <param name="followLink">Whether to examine a link's target instead of the link.</param>
    /// <returns>Kind, group id and size in bytes.</returns>
    /// <exception cref="IOException">The path cannot be examined.</exception>
    internal static (Kind Kind, uint Group, long Size) Stat(string path, bool followLink)
    {
        if (Statx(CurrentDirectory, PathBytes.ToZeroTerminated(path), followLink ? 0 : NoFollow, BasicStats, out var status) != 0)
        {
            var error = Marshal.GetLastPInvokeError();
            return error is NoSuchFile or NotDirectory || (followLink && error == TooManyLinks)
                ? (Kind.Missing, 0u, 0L)
                : throw Failure("examine", path, error);
        }

        return (KindOf(status.Mode), status.Group, (long)status.Size);
    }

    /// <summary>The absolute path without symbolic links, or null if nothing is there.</summary>
    /// <param name="path">Any path, relative to the working directory or absolute.</param>
    /// <exception cref="IOException">The path cannot be resolved.</exception>
    internal static string? RealPath(string path)
    {
        var resolved = RealPath(PathBytes.ToZeroTerminated(path), null);
        if (resolved == null)
        {
            var error = Marshal.GetLastPInvokeError();
            return error is NoSuchFile or NotDirectory or TooManyLinks ? null : throw Failure("find", path, error);
        }

        try
        {
            return PathBytes.ToText(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(resolved));
        }
        finally
        {
            NativeMemory.Free(resolved);
        }
    }

    /// <summary>Lists the names in a directory, sorted as texts.</summary>
    /// <param name="path">Directory.</param>
    /// <exception cref="IOException">The directory cannot be listed completely.</exception>
    internal static List<string> Entries(string path)
    {
        // struct dirent of 64-bit Linux: inode (8), offset (8), record length (2), type (1), zero-terminated name.
        const int nameOffset = 19;
        var stream = OpenStream(PathBytes.ToZeroTerminated(path));
        if (stream == 0)
            throw Failure("list", path, Marshal.GetLastPInvokeError());
        try
        {
            List<string> names = [];
            while (true)
            {
                // The runtime clears errno before the call, so 0 means the end of the directory.
                var entry = ReadEntry(stream);
                if (entry == null)
                {
                    if (Marshal.GetLastPInvokeError() is var error and not 0)
                        throw Failure("list", path, error);
                    names.Sort(StringComparer.Ordinal);
                    return names;
                }

                var name = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(entry + nameOffset);
                if (!name.SequenceEqual("."u8) && !name.SequenceEqual(".."u8))
                    names.Add(PathBytes.ToText(name));
            }
        }
        finally
        {
            _ = CloseStream(stream);
        }
    }

    /// <summary>Opens a regular file for sequential reading.</summary>
    /// <param name="path">File; a link is followed.</param>
    /// <returns>The open file, or null if it no longer exists.</returns>
    /// <exception cref="IOException">The file cannot be opened, or is not a regular file.</exception>
    internal static SafeFileHandle? OpenToRead(string path)
    {
        var descriptor = Open(PathBytes.ToZeroTerminated(path), CloseOnExec | NonBlocking, 0);
        if (descriptor < 0)
        {
            var error = Marshal.GetLastPInvokeError();
            return error is NoSuchFile or NotDirectory ? null : throw Failure("open", path, error);
        }

        var handle = new SafeFileHandle(descriptor, ownsHandle: true);
        if (Stat($"/proc/self/fd/{descriptor}", followLink: true).Kind != Kind.File)
        {
            handle.Dispose();
            throw new IOException($"{path.Shown()} is no regular file any more.");
        }

        _ = Advise(descriptor, 0, 0, Sequential);
        return handle;
    }

    /// <summary>Creates a file that must not exist yet.</summary>
    /// <param name="path">File.</param>
    /// <param name="mode">Permissions, before the umask.</param>
    /// <exception cref="IOException">The file cannot be created.</exception>
    internal static SafeFileHandle CreateFile(string path, UnixFileMode mode)
    {
        var descriptor = Open(PathBytes.ToZeroTerminated(path), CreateNew | CloseOnExec, (uint)mode);
        return descriptor >= 0
            ? new SafeFileHandle(descriptor, ownsHandle: true)
            : throw Failure("create", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>Creates a directory that must not exist yet, in a parent that must exist.</summary>
    /// <param name="path">Directory.</param>
    /// <exception cref="DirectoryNotFoundException">The parent does not exist.</exception>
    /// <exception cref="IOException">The directory cannot be created.</exception>
    internal static void CreateDirectory(string path)
    {
        if (MakeDirectory(PathBytes.ToZeroTerminated(path), 0x1ff) == 0)
            return;
        var error = Marshal.GetLastPInvokeError();
        throw error is NoSuchFile or NotDirectory
            ? new DirectoryNotFoundException($"{Path.GetDirectoryName(path)?.Shown()} does not exist on this host.")
            : Failure("create", path, error);
    }

    /// <summary>Creates a directory for this user alone, or finds the one that this user has made earlier.</summary>
    /// <param name="path">Directory.</param>
    /// <exception cref="IOException">It cannot be created, or something of another user has its name.</exception>
    internal static void CreatePrivateDirectory(string path)
    {
        if (MakeDirectory(PathBytes.ToZeroTerminated(path), 0x1c0) == 0)
            return;
        var error = Marshal.GetLastPInvokeError();
        if (error != AlreadyExists)
            throw Failure("create", path, error);
        if (Statx(CurrentDirectory, PathBytes.ToZeroTerminated(path), NoFollow, BasicStats, out var status) != 0)
            throw Failure("examine", path, Marshal.GetLastPInvokeError());
        if ((status.Mode & 0xf000) != 0x4000 || status.User != EffectiveUser())
            throw new IOException($"{path.Shown()} is no directory of this user. Remove it, or choose another destination.");
    }

    /// <summary>Removes a file, or a directory with all its members. Does not follow links.</summary>
    /// <param name="path">Path to remove; it need not exist.</param>
    /// <exception cref="IOException">The path or a member cannot be removed.</exception>
    internal static void Remove(string path)
    {
        // The loop visits a directory twice: before its members and after them.
        Stack<(string Path, bool IsEmptied)> pending = new([(path, false)]);
        while (pending.TryPop(out var next))
        {
            if (next.IsEmptied || Stat(next.Path, followLink: false).Kind != Kind.Directory)
            {
                var bytes = PathBytes.ToZeroTerminated(next.Path);
                if (
                    (next.IsEmptied ? RemoveDirectory(bytes) : RemoveFile(bytes)) != 0
                    && Marshal.GetLastPInvokeError() is var error and not NoSuchFile
                )
                    throw Failure("remove", next.Path, error);
                continue;
            }

            pending.Push((next.Path, true));
            foreach (var name in Entries(next.Path))
                pending.Push((Path.Join(next.Path, name), false));
        }
    }

    /// <summary>Sets the permissions of a path, regardless of the umask.</summary>
    /// <param name="path">File or directory, not a link.</param>
    /// <param name="mode">Permissions.</param>
    /// <exception cref="IOException">The permissions cannot be set.</exception>
    internal static void SetMode(string path, UnixFileMode mode)
    {
        if (ChangeMode(PathBytes.ToZeroTerminated(path), (uint)mode) != 0)
            throw Failure("set the mode of", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>Changes the group of a path and keeps its owner.</summary>
    /// <param name="path">File or directory.</param>
    /// <param name="group">Group id.</param>
    /// <exception cref="IOException">The group cannot be set.</exception>
    internal static void ChangeGroup(string path, uint group)
    {
        if (ChangeOwner(PathBytes.ToZeroTerminated(path), uint.MaxValue, group) != 0)
            throw Failure("set the group of", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>Opens a file that exists for writing. Does not follow a link.</summary>
    /// <param name="path">File.</param>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    internal static SafeFileHandle OpenToWrite(string path)
    {
        var descriptor = Open(PathBytes.ToZeroTerminated(path), WriteOnly | RefuseLink | CloseOnExec, 0);
        return descriptor >= 0
            ? new SafeFileHandle(descriptor, ownsHandle: true)
            : throw Failure("open", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>Creates a symbolic link.</summary>
    /// <param name="target">Its target.</param>
    /// <param name="path">Its path; nothing may be there.</param>
    /// <exception cref="IOException">The link cannot be created.</exception>
    internal static void MakeLink(string target, string path)
    {
        if (SymbolicLink(PathBytes.ToZeroTerminated(target), PathBytes.ToZeroTerminated(path)) != 0)
            throw Failure("create", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>Renames a path unless something has the new name.</summary>
    /// <param name="from">File or directory.</param>
    /// <param name="to">New path on the same file system.</param>
    /// <returns>False if something has the new name.</returns>
    /// <exception cref="IOException">The path cannot be renamed.</exception>
    internal static bool TryRename(string from, string to)
    {
        var (source, target) = (PathBytes.ToZeroTerminated(from), PathBytes.ToZeroTerminated(to));
        if (RenameAt(CurrentDirectory, source, CurrentDirectory, target, NoReplace) == 0)
            return true;
        var error = Marshal.GetLastPInvokeError();
        // NFS and some FUSE file systems cannot rename without replacing. There a check comes first, and nobody else may create the name in
        // between.
        if (error == InvalidArgument)
        {
            if (Stat(to, followLink: false).Kind != Kind.Missing)
                return false;
            if (RenameAt(CurrentDirectory, source, CurrentDirectory, target, 0) == 0)
                return true;
            error = Marshal.GetLastPInvokeError();
        }

        return error == AlreadyExists ? false : throw Failure("rename", from, error);
    }

    /// <summary>Flushes everything that was written to a path's file system.</summary>
    /// <param name="path">Directory on the file system.</param>
    /// <exception cref="IOException">The file system reports an error.</exception>
    internal static void SyncFileSystem(string path)
    {
        var descriptor = Open(PathBytes.ToZeroTerminated(path), OpenDirectory, 0);
        if (descriptor < 0)
            throw Failure("open", path, Marshal.GetLastPInvokeError());
        using var handle = new SafeFileHandle(descriptor, ownsHandle: true);
        if (SyncAll(descriptor) != 0)
            throw Failure("flush", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>Syncs a directory, so that its entries survive a power failure.</summary>
    /// <param name="path">Directory.</param>
    /// <exception cref="IOException">The file system reports an error.</exception>
    internal static void SyncDirectory(string path)
    {
        var descriptor = Open(PathBytes.ToZeroTerminated(path), OpenDirectory, 0);
        if (descriptor < 0)
            throw Failure("open", path, Marshal.GetLastPInvokeError());
        try
        {
            if (Sync(descriptor) != 0)
                throw Failure("sync", path, Marshal.GetLastPInvokeError());
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    private static Kind KindOf(ushort mode) =>
        (mode & 0xf000) switch
        {
            0x8000 => Kind.File,
            0x4000 => Kind.Directory,
            0xa000 => Kind.Link,
            _ => Kind.Special,
        };

    private static IOException Failure(string verb, string path, int error) =>
        new($"Could not {verb} {path.Shown()}: {new Win32Exception(error).Message}");

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true)]
    private static partial int Statx(int directory, byte[] path, int flags, uint mask, out FileStatus status);

    [LibraryImport("libc", EntryPoint = "realpath", SetLastError = true)]
    private static partial byte* RealPath(byte[] path, byte* resolved);

    [LibraryImport("libc", EntryPoint = "opendir", SetLastError = true)]
    private static partial nint OpenStream(byte[] path);

    [LibraryImport("libc", EntryPoint = "readdir", SetLastError = true)]
    private static partial byte* ReadEntry(nint stream);

    [LibraryImport("libc", EntryPoint = "closedir")]
    private static partial int CloseStream(nint stream);

    [LibraryImport("libc", EntryPoint = "chown", SetLastError = true)]
    private static partial int ChangeOwner(byte[] path, uint owner, uint group);

    [LibraryImport("libc", EntryPoint = "chmod", SetLastError = true)]
    private static partial int ChangeMode(byte[] path, uint mode);

    [LibraryImport("libc", EntryPoint = "mkdir", SetLastError = true)]
    private static partial int MakeDirectory(byte[] path, uint mode);

    [LibraryImport("libc", EntryPoint = "rmdir", SetLastError = true)]
    private static partial int RemoveDirectory(byte[] path);

    [LibraryImport("libc", EntryPoint = "unlink", SetLastError = true)]
    private static partial int RemoveFile(byte[] path);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true)]
    private static partial int Open(byte[] path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    private static partial int Advise(int descriptor, long offset, long length, int advice);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Sync(int descriptor);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    private static partial uint EffectiveUser();

    [LibraryImport("libc", EntryPoint = "syncfs", SetLastError = true)]
    private static partial int SyncAll(int descriptor);

    [LibraryImport("libc", EntryPoint = "symlink", SetLastError = true)]
    private static partial int SymbolicLink(byte[] target, byte[] path);

    [LibraryImport("libc", EntryPoint = "renameat2", SetLastError = true)]
    private static partial int RenameAt(int fromDirectory, byte[] from, int toDirectory, byte[] to, uint flags);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int descriptor);

    // Unlike struct stat, struct statx has the same layout on every architecture; 256 bytes in all.
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct FileStatus
    {
        [FieldOffset(20)]
        public uint User;

        [FieldOffset(24)]
        public uint Group;

        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(40)]
        public ulong Size;
    }
}
