using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Librarian.Client.Uploads;

/// <summary>The few Linux system calls that .NET does not offer: what kind of thing a path is, its group, and syncing a directory.</summary>
internal static partial class Posix
{
    private const int CurrentDirectory = -100; // AT_FDCWD
    private const int NoFollow = 0x100; // AT_SYMLINK_NOFOLLOW
    private const uint BasicStats = 0x7ff; // STATX_BASIC_STATS
    private const int ReadOnlyDirectory = 0x10000 | 0x80000; // O_RDONLY | O_DIRECTORY (x86-64 value) | O_CLOEXEC
    private const int ReadOnlyDirectoryArm = 0x4000 | 0x80000; // O_DIRECTORY has another value on arm64
    private const int NoSuchFile = 2; // ENOENT
    private const int NotDirectory = 20; // ENOTDIR

    internal enum Kind
    {
        Missing,
        File,
        Directory,
        Link,
        Special,
    }

    /// <summary>Kind, group and size of a path.</summary>
    /// <param name="path">Any path.</param>
    /// <param name="followLink">Whether to look at a link's target.</param>
    /// <returns>Size in bytes.</returns>
    /// <exception cref="IOException">The path cannot be examined.</exception>
    internal static (Kind Kind, uint Group, long Size) Stat(string path, bool followLink)
    {
        if (Statx(CurrentDirectory, path, followLink ? 0 : NoFollow, BasicStats, out var status) != 0)
        {
            var error = Marshal.GetLastPInvokeError();
            return error is NoSuchFile or NotDirectory ? (Kind.Missing, 0u, 0L) : throw Failure("examine", path, error);
        }

        var kind = (status.Mode & 0xf000) switch
        {
            0x8000 => Kind.File,
            0x4000 => Kind.Directory,
            0xa000 => Kind.Link,
            _ => Kind.Special,
        };
        return (kind, status.Group, (long)status.Size);
    }

    /// <summary>Gives a path another group, keeping its owner.</summary>
    /// <param name="path">File or directory.</param>
    /// <param name="group">Group id.</param>
    /// <exception cref="IOException">The caller may not do that.</exception>
    internal static void ChangeGroup(string path, uint group)
    {
        if (ChangeOwner(path, uint.MaxValue, group) != 0)
            throw Failure("set the group of", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>Makes the entries of a directory survive a power cut.</summary>
    /// <param name="path">Directory.</param>
    /// <exception cref="IOException">The disk refuses.</exception>
    internal static void SyncDirectory(string path)
    {
        var flags = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? ReadOnlyDirectoryArm : ReadOnlyDirectory;
        var descriptor = Open(path, flags);
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

    private static IOException Failure(string verb, string path, int error) =>
        new($"Could not {verb} {path}: {new Win32Exception(error).Message}");

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint mask, out FileStatus status);

    [LibraryImport("libc", EntryPoint = "chown", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChangeOwner(string path, uint owner, uint group);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Sync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int descriptor);

    // struct statx has one layout on every architecture, which struct stat has not; 256 bytes in all.
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct FileStatus
    {
        [FieldOffset(24)]
        public uint Group;

        [FieldOffset(28)]
        public ushort Mode;

        [FieldOffset(40)]
        public ulong Size;
    }
}
