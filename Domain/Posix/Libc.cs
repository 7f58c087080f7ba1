using System.Runtime.InteropServices;

namespace Librarian.Domain.Posix;

/// <summary>
/// System calls that the stores need and .NET does not offer. They are relative to an open directory, so that nobody can replace a path
/// component by a symbolic link between a check and its use. Linux on x86-64 and arm64 only.
/// </summary>
internal static unsafe partial class Libc
{
    private const string Library = "libc";

    internal const int CurrentDirectory = -100;

    internal const int OpenReadOnly = 0;
    internal const int OpenWriteOnly = 1;
    internal const int OpenReadWrite = 2;
    internal const int OpenCreate = 0x40;
    internal const int OpenExclusive = 0x80;
    internal const int OpenAppend = 0x400;
    internal const int OpenNoControllingTerminal = 0x100;
    internal const int OpenNonBlocking = 0x800;
    internal const int OpenCloseOnExec = 0x80000;
    internal const int OpenPathOnly = 0x200000;

    internal const int AtSymlinkNoFollow = 0x100;
    internal const int AtRemoveDirectory = 0x200;
    internal const int AtEmptyPath = 0x1000;

    internal const uint RenameNoReplace = 1;
    internal const uint StatxBasicAndBirth = 0xfff;
    internal const int LockExclusive = 2;
    internal const int LockNonBlocking = 4;
    internal const int LockRelease = 8;
    internal const int SetOpenFileLock = 37;
    internal const short WriteLock = 1;
    internal const short ReleasedLock = 2;
    internal const int SetSignal = 10;
    internal const int SetLease = 1024;
    internal const int ReadLease = 0;
    internal const int NoLease = 2;
    internal const int SignalUrgent = 23;
    internal const int AdviseSequential = 2;
    internal const int AdviseDontNeed = 4;

    /// <summary>Type of FAT file systems (MSDOS_SUPER_MAGIC).</summary>
    internal const long Fat = 0x4d44;

    private static readonly bool Arm = RuntimeInformation.ProcessArchitecture == Architecture.Arm64;

    // These two differ between architectures in the kernel's headers.
    internal static int OpenDirectory => Arm ? 0x4000 : 0x10000;

    internal static int OpenNoFollow => Arm ? 0x8000 : 0x20000;

    [LibraryImport(Library, EntryPoint = "openat", SetLastError = true)]
    internal static partial int OpenAt(int directory, byte[] path, int flags, uint mode);

    [LibraryImport(Library, EntryPoint = "openat", SetLastError = true)]
    internal static partial int OpenAt(SafeHandle directory, byte[] path, int flags, uint mode);

    [LibraryImport(Library, EntryPoint = "access", SetLastError = true)]
    internal static partial int Access(byte[] path, int mode);

    [LibraryImport(Library, EntryPoint = "close", SetLastError = true)]
    internal static partial int Close(int descriptor);

    [LibraryImport(Library, EntryPoint = "mkdirat", SetLastError = true)]
    internal static partial int MakeDirectoryAt(SafeHandle directory, byte[] path, uint mode);

    [LibraryImport(Library, EntryPoint = "unlinkat", SetLastError = true)]
    internal static partial int UnlinkAt(SafeHandle directory, byte[] path, int flags);

    [LibraryImport(Library, EntryPoint = "renameat", SetLastError = true)]
    internal static partial int RenameAt(SafeHandle oldDirectory, byte[] oldPath, SafeHandle newDirectory, byte[] newPath);

    [LibraryImport(Library, EntryPoint = "renameat2", SetLastError = true)]
    internal static partial int RenameAt2(SafeHandle oldDirectory, byte[] oldPath, SafeHandle newDirectory, byte[] newPath, uint flags);

    [LibraryImport(Library, EntryPoint = "linkat", SetLastError = true)]
    internal static partial int LinkAt(SafeHandle oldDirectory, byte[] oldPath, SafeHandle newDirectory, byte[] newPath, int flags);

    [LibraryImport(Library, EntryPoint = "symlinkat", SetLastError = true)]
    internal static partial int SymlinkAt(byte[] target, SafeHandle directory, byte[] path);

    [LibraryImport(Library, EntryPoint = "readlinkat", SetLastError = true)]
    internal static partial nint ReadLinkAt(SafeHandle directory, byte[] path, byte* buffer, nuint size);

    [LibraryImport(Library, EntryPoint = "statx", SetLastError = true)]
    internal static partial int StatX(SafeHandle directory, byte[] path, int flags, uint mask, StatXBuffer* buffer);

    [LibraryImport(Library, EntryPoint = "statx", SetLastError = true)]
    internal static partial int StatX(int directory, byte[] path, int flags, uint mask, StatXBuffer* buffer);

    [LibraryImport(Library, EntryPoint = "read", SetLastError = true)]
    internal static partial nint Read(SafeHandle file, byte* buffer, nuint count);

    [LibraryImport(Library, EntryPoint = "write", SetLastError = true)]
    internal static partial nint Write(SafeHandle file, byte* buffer, nuint count);

    [LibraryImport(Library, EntryPoint = "pwrite", SetLastError = true)]
    internal static partial nint WriteAt(SafeHandle file, byte* buffer, nuint count, long offset);

    [LibraryImport(Library, EntryPoint = "pread", SetLastError = true)]
    internal static partial nint ReadAt(SafeHandle file, byte* buffer, nuint count, long offset);

    [LibraryImport(Library, EntryPoint = "ftruncate", SetLastError = true)]
    internal static partial int Truncate(SafeHandle file, long length);

    [LibraryImport(Library, EntryPoint = "fsync", SetLastError = true)]
    internal static partial int Sync(SafeHandle file);

    [LibraryImport(Library, EntryPoint = "syncfs", SetLastError = true)]
    internal static partial int SyncFileSystem(SafeHandle file);

    [LibraryImport(Library, EntryPoint = "posix_fadvise")]
    internal static partial int Advise(SafeHandle file, long offset, long length, int advice);

    [LibraryImport(Library, EntryPoint = "fchmod", SetLastError = true)]
    internal static partial int ChangeMode(SafeHandle file, uint mode);

    /// <summary>A group of uint.MaxValue leaves the group unchanged.</summary>
    [LibraryImport(Library, EntryPoint = "fchown", SetLastError = true)]
    internal static partial int ChangeOwner(SafeHandle file, uint user, uint group);

    // The function is variadic in C, which makes no difference on Linux.
    [LibraryImport(Library, EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int Control(SafeHandle file, int command, nint argument);

    [LibraryImport(Library, EntryPoint = "chmod", SetLastError = true)]
    internal static partial int ChangeMode(byte[] path, uint mode);

    [LibraryImport(Library, EntryPoint = "futimens", SetLastError = true)]
    internal static partial int SetTimes(SafeHandle file, long* accessAndModification);

    [LibraryImport(Library, EntryPoint = "flock", SetLastError = true)]
    internal static partial int Lock(SafeHandle file, int operation);

    [LibraryImport(Library, EntryPoint = "geteuid")]
    internal static partial uint EffectiveUserId();

    [LibraryImport(Library, EntryPoint = "fdopendir", SetLastError = true)]
    internal static partial nint OpenDirectoryStream(int descriptor);

    [LibraryImport(Library, EntryPoint = "fstatfs", SetLastError = true)]
    private static partial int FileSystemStatus(SafeHandle file, byte* buffer);

    // SetLastError also clears errno before the call, which tells readdir's end of directory from its failure.
    [LibraryImport(Library, EntryPoint = "readdir", SetLastError = true)]
    internal static partial byte* ReadDirectory(SafeHandle stream);

    [LibraryImport(Library, EntryPoint = "rewinddir")]
    internal static partial void RewindDirectory(SafeHandle stream);

    [LibraryImport(Library, EntryPoint = "closedir")]
    internal static partial int CloseDirectoryStream(nint stream);

    /// <summary>Type of the file system that contains a directory, the first field of <c>struct statfs</c>; 0 if unknown.</summary>
    internal static long FileSystemType(SafeHandle directory)
    {
        var buffer = stackalloc byte[256];
        return FileSystemStatus(directory, buffer) == 0 ? *(long*)buffer : 0;
    }

    /// <summary>The kernel's <c>struct flock</c> on 64-bit architectures.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct FileLock
    {
        internal short Type;
        internal short Whence;
        internal long Start;
        internal long Length;
        internal int Process;
    }

    /// <summary>The kernel's <c>struct statx</c>, whose layout is the same on every architecture.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    internal struct StatXBuffer
    {
        [FieldOffset(16)]
        internal uint Links;

        [FieldOffset(20)]
        internal uint User;

        [FieldOffset(28)]
        internal ushort Mode;

        [FieldOffset(32)]
        internal ulong Inode;

        [FieldOffset(40)]
        internal long Size;

        [FieldOffset(80)]
        internal long BirthSeconds;

        [FieldOffset(88)]
        internal uint BirthNanoseconds;

        [FieldOffset(96)]
        internal long ChangedSeconds;

        [FieldOffset(104)]
        internal uint ChangedNanoseconds;

        [FieldOffset(112)]
        internal long ModifiedSeconds;

        [FieldOffset(120)]
        internal uint ModifiedNanoseconds;

        [FieldOffset(136)]
        internal uint DeviceMajor;

        [FieldOffset(140)]
        internal uint DeviceMinor;
    }
}
