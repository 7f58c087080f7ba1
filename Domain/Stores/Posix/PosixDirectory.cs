using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Librarian.Domain.Stores.Posix;

/// <summary>
/// An open directory. Names given to its methods are single components, so no call can leave the directory, and no call
/// follows a symbolic link unless its name says so.
/// </summary>
internal sealed unsafe class PosixDirectory : IDisposable
{
    private readonly SafeFileHandle _handle;

    private PosixDirectory(int descriptor, string path)
    {
        _handle = new SafeFileHandle(descriptor, ownsHandle: true);
        Path = path;
    }

    /// <summary>Where it was opened, for messages only.</summary>
    internal string Path { get; }

    public void Dispose() => _handle.Dispose();

    /// <summary>Opens a directory by a path the operator configured; symbolic links in it are followed.</summary>
    internal static PosixDirectory Open(string path) => TryOpen(path) ?? throw new PosixException(Errno.NoEntry, "opening", path);

    internal static PosixDirectory? TryOpen(string path) => TryOpen(path, path);

    /// <summary>The same, with another path for messages.</summary>
    internal static PosixDirectory? TryOpen(string path, string shownPath)
    {
        var descriptor = Libc.OpenAt(Libc.CurrentDirectory, new EntryName(path).ZeroTerminated, Libc.OpenDirectory | Libc.OpenCloseOnExec, 0);
        if (descriptor >= 0)
            return new PosixDirectory(descriptor, shownPath);
        return PosixException.LastErrno() == Errno.NoEntry ? null : throw PosixException.Last("opening", shownPath);
    }

    /// <summary>A path that leads to this open directory, whatever is mounted at its own path meanwhile.</summary>
    internal string HeldPath => $"/proc/self/fd/{_handle.DangerousGetHandle()}";

    /// <summary>Status of a path the operator or the user named, following symbolic links; null when nothing is there.</summary>
    internal static FileStatus? StatusOfPath(string path)
    {
        Libc.StatXBuffer buffer;
        if (Libc.StatX(Libc.CurrentDirectory, new EntryName(path).ZeroTerminated, 0, Libc.StatxBasicAndBirth, &buffer) == 0)
            return FileStatus.From(&buffer);
        return IsAbsent(PosixException.LastErrno()) ? null : throw PosixException.Last("status", path);
    }

    /// <summary>Opens a file for reading by a path the operator or the user named, following symbolic links.</summary>
    internal static PosixFile OpenFileAtPath(string path)
    {
        var descriptor = Libc.OpenAt(Libc.CurrentDirectory, new EntryName(path).ZeroTerminated, ReadFlags, 0);
        return descriptor >= 0 ? new PosixFile(descriptor, path) : throw PosixException.Last("opening", path);
    }

    internal string PathOf(EntryName name) => Path + "/" + name;

    internal FileStatus Status()
    {
        Libc.StatXBuffer buffer;
        if (Libc.StatX(_handle, [0], Libc.AtEmptyPath, Libc.StatxBasicAndBirth, &buffer) != 0)
            throw PosixException.Last("status", Path);
        return FileStatus.From(&buffer);
    }

    /// <summary>Status of the entry itself (a symbolic link is not followed); null when there is none.</summary>
    internal FileStatus? Status(EntryName name) => Status(name, Libc.AtSymlinkNoFollow);

    /// <summary>Status of what the entry leads to; null when there is none or it is a link that leads nowhere.</summary>
    internal FileStatus? StatusFollowingLink(EntryName name) => Status(name, 0);

    internal PosixDirectory OpenDirectory(EntryName name) =>
        TryOpenDirectory(name) ?? throw new PosixException(Errno.NoEntry, "opening", PathOf(name));

    /// <returns>Null when there is no such entry.</returns>
    /// <exception cref="PosixException">NotADirectory for anything else under that name, symbolic links included.</exception>
    internal PosixDirectory? TryOpenDirectory(EntryName name)
    {
        var descriptor = Libc.OpenAt(_handle, name.ZeroTerminated, Libc.OpenDirectory | Libc.OpenNoFollow | Libc.OpenCloseOnExec, 0);
        if (descriptor >= 0)
            return new PosixDirectory(descriptor, PathOf(name));
        return PosixException.LastErrno() == Errno.NoEntry ? null : throw PosixException.Last("opening", PathOf(name));
    }

    internal PosixDirectory OpenDirectoryFollowingLink(EntryName name)
    {
        var descriptor = Libc.OpenAt(_handle, name.ZeroTerminated, Libc.OpenDirectory | Libc.OpenCloseOnExec, 0);
        return descriptor >= 0 ? new PosixDirectory(descriptor, PathOf(name)) : throw PosixException.Last("opening", PathOf(name));
    }

    internal PosixFile OpenFile(EntryName name) => OpenFile(name, ReadFlags | Libc.OpenNoFollow, 0);

    internal PosixFile OpenFileFollowingLink(EntryName name) => OpenFile(name, ReadFlags, 0);

    /// <summary>Creates a file that must not exist yet, for writing.</summary>
    internal PosixFile CreateFile(EntryName name, uint permissions) =>
        OpenFile(name, Libc.OpenWriteOnly | Libc.OpenCreate | Libc.OpenExclusive | Libc.OpenCloseOnExec, permissions);

    /// <summary>Opens a lock file, creating it if needed.</summary>
    internal PosixFile OpenLockFile(EntryName name) =>
        OpenFile(name, Libc.OpenReadWrite | Libc.OpenCreate | Libc.OpenNoFollow | Libc.OpenCloseOnExec, 0x180);

    /// <returns>False when an entry of that name exists already, whatever it is.</returns>
    internal bool MakeDirectory(EntryName name, uint permissions)
    {
        if (Libc.MakeDirectoryAt(_handle, name.ZeroTerminated, permissions) == 0)
            return true;
        return PosixException.LastErrno() == Errno.Exists ? false : throw PosixException.Last("creation", PathOf(name));
    }

    internal void MakeSymlink(EntryName name, byte[] zeroTerminatedTarget) =>
        Check(Libc.SymlinkAt(zeroTerminatedTarget, _handle, name.ZeroTerminated), "creation", name);

    /// <summary>What a symbolic link holds.</summary>
    internal EntryName ReadLink(EntryName name)
    {
        Span<byte> target = stackalloc byte[4096];
        fixed (byte* start = target)
        {
            var length = Libc.ReadLinkAt(_handle, name.ZeroTerminated, start, (nuint)target.Length);
            return length >= 0 ? new EntryName(target[..(int)length]) : throw PosixException.Last("reading the link", PathOf(name));
        }
    }

    internal void RemoveFile(EntryName name) => Check(Libc.UnlinkAt(_handle, name.ZeroTerminated, 0), "removal", name);

    internal void RemoveDirectory(EntryName name) =>
        Check(Libc.UnlinkAt(_handle, name.ZeroTerminated, Libc.AtRemoveDirectory), "removal", name);

    /// <summary>Renames, replacing a file or an empty directory of the new name.</summary>
    internal void Rename(EntryName name, PosixDirectory directory, EntryName newName) =>
        Check(Libc.RenameAt(_handle, name.ZeroTerminated, directory._handle, newName.ZeroTerminated), "rename", name);

    /// <summary>Renames only if nothing has the new name, decided by the kernel in one step.</summary>
    internal void RenameWithoutReplacing(EntryName name, PosixDirectory directory, EntryName newName) =>
        Check(Libc.RenameAt2(_handle, name.ZeroTerminated, directory._handle, newName.ZeroTerminated, Libc.RenameNoReplace), "rename", name);

    /// <summary>Gives a file a second name; fails with <see cref="Errno.Exists"/> when it is taken.</summary>
    internal void Link(EntryName name, PosixDirectory directory, EntryName newName) =>
        Check(Libc.LinkAt(_handle, name.ZeroTerminated, directory._handle, newName.ZeroTerminated, 0), "link", name);

    /// <summary>Makes the entries of this directory survive a power cut.</summary>
    internal void Sync()
    {
        // Some network filesystems cannot flush a directory and say so; their entries are durable when the call returns.
        if (Libc.Sync(_handle) != 0 && PosixException.LastErrno() is not (Errno.Invalid or Errno.NotSupported or Errno.ReadOnlyFileSystem))
            throw PosixException.Last("flush", Path);
    }

    /// <summary>
    /// Makes everything written to this directory's file system survive a power cut: one flush for many files. Since Linux 5.8 it also
    /// reports that the medium refused some of it.
    /// </summary>
    internal void SyncFileSystem()
    {
        if (Libc.SyncFileSystem(_handle) != 0)
            throw PosixException.Last("flush", Path);
    }

    internal void SetPermissions(uint permissions)
    {
        if (Libc.ChangeMode(_handle, permissions) != 0)
            throw PosixException.Last("change of mode", Path);
    }

    /// <summary>Changes the mode of a subdirectory that may be unreadable, without ever following a link.</summary>
    internal void SetDirectoryPermissions(EntryName name, uint permissions)
    {
        var descriptor = Libc.OpenAt(_handle, name.ZeroTerminated, Libc.OpenPathOnly | Libc.OpenDirectory | Libc.OpenNoFollow | Libc.OpenCloseOnExec, 0);
        if (descriptor < 0)
            throw PosixException.Last("opening", PathOf(name));
        using var pathOnly = new SafeFileHandle(descriptor, ownsHandle: true);
        if (Libc.ChangeMode(new EntryName($"/proc/self/fd/{descriptor}").ZeroTerminated, permissions) != 0)
            throw PosixException.Last("change of mode", PathOf(name));
    }

    internal void SetModified(long nanoseconds) => PosixFile.SetModified(_handle, nanoseconds, Path);

    /// <summary>An independent stream over the entries, without "." and "..".</summary>
    internal DirectoryStream OpenStream()
    {
        var descriptor = Libc.OpenAt(_handle, EntryName.Self.ZeroTerminated, Libc.OpenDirectory | Libc.OpenCloseOnExec, 0);
        if (descriptor < 0)
            throw PosixException.Last("opening", Path);
        var stream = Libc.OpenDirectoryStream(descriptor);
        if (stream != 0)
            return new DirectoryStream(stream, Path);
        var failure = PosixException.Last("opening", Path);
        _ = Libc.Close(descriptor);
        throw failure;
    }

    private static int ReadFlags =>
        // Non-blocking and no controlling terminal: a pipe or terminal under this name must not hang or seize the process.
        Libc.OpenReadOnly | Libc.OpenNonBlocking | Libc.OpenNoControllingTerminal | Libc.OpenCloseOnExec;

    private static bool IsAbsent(Errno errno) => errno is Errno.NoEntry or Errno.NotADirectory or Errno.TooManyLinks;

    private FileStatus? Status(EntryName name, int flags)
    {
        Libc.StatXBuffer buffer;
        if (Libc.StatX(_handle, name.ZeroTerminated, flags, Libc.StatxBasicAndBirth, &buffer) == 0)
            return FileStatus.From(&buffer);
        return IsAbsent(PosixException.LastErrno()) ? null : throw PosixException.Last("status", PathOf(name));
    }

    private PosixFile OpenFile(EntryName name, int flags, uint permissions)
    {
        var descriptor = Libc.OpenAt(_handle, name.ZeroTerminated, flags, permissions);
        return descriptor >= 0 ? new PosixFile(descriptor, PathOf(name)) : throw PosixException.Last("opening", PathOf(name));
    }

    private void Check(int result, string operation, EntryName name)
    {
        if (result != 0)
            throw PosixException.Last(operation, PathOf(name));
    }
}

/// <summary>Reads the entries of a directory one by one, so that a directory of any size needs the same memory.</summary>
internal sealed unsafe class DirectoryStream : IDisposable
{
    private readonly StreamHandle _handle;
    private readonly string _path;

    internal DirectoryStream(nint stream, string path)
    {
        _handle = new StreamHandle(stream);
        _path = path;
    }

    public void Dispose() => _handle.Dispose();

    internal void Rewind() => Libc.RewindDirectory(_handle);

    internal bool TryRead(out DirectoryEntry entry)
    {
        // struct dirent of 64-bit Linux: inode (8), offset (8), record length (2), type (1), zero-terminated name.
        const int TypeOffset = 18;
        const int NameOffset = 19;
        while (true)
        {
            var record = Libc.ReadDirectory(_handle);
            if (record == null)
            {
                if (Marshal.GetLastPInvokeError() != 0)
                    throw PosixException.Last("listing", _path);
                entry = default;
                return false;
            }

            var name = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(record + NameOffset);
            if (name.SequenceEqual("."u8) || name.SequenceEqual(".."u8))
                continue;
            entry = new DirectoryEntry(new EntryName(name), record[TypeOffset] switch
            {
                0 => EntryType.Unknown,
                4 => EntryType.Directory,
                8 => EntryType.RegularFile,
                10 => EntryType.Symlink,
                _ => EntryType.Special,
            });
            return true;
        }
    }

    private sealed class StreamHandle : SafeHandleZeroOrMinusOneIsInvalid
    {
        internal StreamHandle(nint stream)
            : base(ownsHandle: true)
        {
            SetHandle(stream);
        }

        protected override bool ReleaseHandle() => Libc.CloseDirectoryStream(handle) == 0;
    }
}
