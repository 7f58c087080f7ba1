using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Librarian.Domain.Posix;

/// <summary>
/// An open directory. Its methods take names of single components, so no call can leave the directory, and only methods whose name says so
/// follow a symbolic link.
/// </summary>
internal sealed unsafe class PosixDirectory : IDisposable
{
    private readonly SafeFileHandle _handle;

    private PosixDirectory(int descriptor, string path)
    {
        _handle = new SafeFileHandle(descriptor, ownsHandle: true);
        Path = path;
    }

    /// <summary>The path by which it was opened, for messages only.</summary>
    internal string Path { get; }

    public void Dispose() => _handle.Dispose();

    /// <summary>Opens a directory by a path that the operator configured; symbolic links in it are followed.</summary>
    internal static PosixDirectory Open(string path) => TryOpen(path) ?? throw new PosixException(Errno.NoEntry, "opening", path);

    internal static PosixDirectory? TryOpen(string path) => TryOpen(path, path);

    /// <summary>Opens a directory; messages show another path.</summary>
    internal static PosixDirectory? TryOpen(string path, string shownPath)
    {
        var descriptor = Libc.OpenAt(
            Libc.CurrentDirectory,
            new EntryName(path).ZeroTerminated,
            Libc.OpenDirectory | Libc.OpenCloseOnExec,
            0
        );
        if (descriptor >= 0)
            return new PosixDirectory(descriptor, shownPath);
        return PosixException.LastErrno() == Errno.NoEntry ? null : throw PosixException.Last("opening", shownPath);
    }

    /// <summary>A path that leads to this open directory, whatever is mounted at its own path meanwhile.</summary>
    internal string HeldPath => $"/proc/self/fd/{_handle.DangerousGetHandle()}";

    /// <summary>Status of a path that the operator or the user named, following symbolic links; null if nothing is there.</summary>
    internal static FileStatus? StatusOfPath(string path)
    {
        Libc.StatXBuffer buffer;
        if (Libc.StatX(Libc.CurrentDirectory, new EntryName(path).ZeroTerminated, 0, Libc.StatxBasicAndBirth, &buffer) == 0)
            return FileStatus.From(&buffer);
        return IsAbsent(PosixException.LastErrno()) ? null : throw PosixException.Last("status", path);
    }

    /// <summary>Opens a file for reading by a path that the operator or the user named, following symbolic links.</summary>
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

    /// <summary>Status of the entry itself, not of a link's target; null if there is no entry.</summary>
    internal FileStatus? Status(EntryName name) => Status(name, Libc.AtSymlinkNoFollow);

    /// <summary>Status of the entry or, for a link, of its target; null if there is none.</summary>
    internal FileStatus? StatusFollowingLink(EntryName name) => Status(name, 0);

    internal PosixDirectory OpenDirectory(EntryName name) =>
        TryOpenDirectory(name) ?? throw new PosixException(Errno.NoEntry, "opening", PathOf(name));

    /// <returns>Null if there is no such entry.</returns>
    /// <exception cref="PosixException">NotADirectory for anything else under that name, including symbolic links.</exception>
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

    /// <summary>Creates a new file for writing; fails if it exists.</summary>
    internal PosixFile CreateFile(EntryName name, uint permissions) =>
        OpenFile(name, Libc.OpenWriteOnly | Libc.OpenCreate | Libc.OpenExclusive | Libc.OpenCloseOnExec, permissions);

    /// <summary>Opens a file for writing without changing its content, and creates it if needed.</summary>
    internal PosixFile OpenFileToWrite(EntryName name, uint permissions) =>
        OpenFile(name, Libc.OpenWriteOnly | Libc.OpenCreate | Libc.OpenNoFollow | Libc.OpenNonBlocking | Libc.OpenCloseOnExec, permissions);

    /// <summary>Opens a file that grows at its end only, for reading too, and creates it if needed.</summary>
    internal PosixFile OpenFileToAppend(EntryName name) =>
        OpenFile(name, Libc.OpenReadWrite | Libc.OpenAppend | Libc.OpenCreate | Libc.OpenNoFollow | Libc.OpenCloseOnExec, 0x180);

    /// <summary>Opens a lock file and creates it if needed.</summary>
    internal PosixFile OpenLockFile(EntryName name) =>
        OpenFile(name, Libc.OpenReadWrite | Libc.OpenCreate | Libc.OpenNoFollow | Libc.OpenCloseOnExec, 0x180);

    /// <returns>False if an entry of that name exists already, of any type.</returns>
    internal bool MakeDirectory(EntryName name, uint permissions)
    {
        if (Libc.MakeDirectoryAt(_handle, name.ZeroTerminated, permissions) == 0)
            return true;
        return PosixException.LastErrno() == Errno.Exists ? false : throw PosixException.Last("creation", PathOf(name));
    }

    internal void MakeSymlink(EntryName name, byte[] zeroTerminatedTarget) =>
        Check(Libc.SymlinkAt(zeroTerminatedTarget, _handle, name.ZeroTerminated), "creation", name);

    /// <summary>The target text of a symbolic link.</summary>
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

    /// <summary>Renames, and replaces a file or an empty directory of the new name.</summary>
    internal void Rename(EntryName name, PosixDirectory directory, EntryName newName) =>
        Check(Libc.RenameAt(_handle, name.ZeroTerminated, directory._handle, newName.ZeroTerminated), "rename", name);

    /// <summary>Renames only if nothing has the new name; the kernel checks and renames in one step.</summary>
    internal void RenameWithoutReplacing(EntryName name, PosixDirectory directory, EntryName newName) =>
        Check(
            Libc.RenameAt2(_handle, name.ZeroTerminated, directory._handle, newName.ZeroTerminated, Libc.RenameNoReplace),
            "rename",
            name
        );

    /// <summary>Gives a file a second name; fails with <see cref="Errno.Exists"/> if that is taken.</summary>
    internal void Link(EntryName name, PosixDirectory directory, EntryName newName) =>
        Check(Libc.LinkAt(_handle, name.ZeroTerminated, directory._handle, newName.ZeroTerminated, 0), "link", name);

    /// <summary>Makes the entries of this directory survive a power cut.</summary>
    internal void Sync()
    {
        // Some network file systems cannot flush a directory and say so; their entries are durable when the call returns. "Read-only" is
        // different: it comes from a file system that a fault has shut down while the entries were still in memory.
        if (Libc.Sync(_handle) != 0 && PosixException.LastErrno() is not (Errno.Invalid or Errno.NotSupported))
            throw PosixException.LastFlush(Path);
    }

    /// <summary>
    /// Makes everything written to this directory's file system survive a power cut, with one flush for many files. Since Linux 5.8 it also
    /// reports that the medium refused some of the data.
    /// </summary>
    internal void SyncFileSystem()
    {
        if (Libc.SyncFileSystem(_handle) != 0)
            throw PosixException.LastFlush(Path);
    }

    /// <summary>Takes ownership; only for the superuser.</summary>
    internal void SetOwner(uint user)
    {
        if (Libc.ChangeOwner(_handle, user, uint.MaxValue) != 0)
            throw PosixException.Last("change of owner", Path);
    }

    internal void SetPermissions(uint permissions)
    {
        if (Libc.ChangeMode(_handle, permissions) != 0)
            throw PosixException.Last("change of mode", Path);
    }

    /// <summary>Changes the mode of a subdirectory that may be unreadable, and never follows a link.</summary>
    internal void SetDirectoryPermissions(EntryName name, uint permissions)
    {
        var descriptor = Libc.OpenAt(
            _handle,
            name.ZeroTerminated,
            Libc.OpenPathOnly | Libc.OpenDirectory | Libc.OpenNoFollow | Libc.OpenCloseOnExec,
            0
        );
        if (descriptor < 0)
            throw PosixException.Last("opening", PathOf(name));
        using var pathOnly = new SafeFileHandle(descriptor, ownsHandle: true);
        if (Libc.ChangeMode(new EntryName($"/proc/self/fd/{descriptor}").ZeroTerminated, permissions) != 0)
            throw PosixException.Last("change of mode", PathOf(name));
    }

    internal void SetModified(long nanoseconds) => PosixFile.SetModified(_handle, nanoseconds, Path);

    /// <summary>
    /// Whether the directory lists a name byte for byte. A file system that folds names finds an entry under other names, too.
    /// </summary>
    internal bool Lists(EntryName name)
    {
        using var stream = OpenStream();
        while (stream.TryRead(out var entry))
        {
            if (entry.Name.Bytes.SequenceEqual(name.Bytes))
                return true;
        }

        return false;
    }

    /// <summary>Type of the directory's file system (<see cref="Libc.Fat"/>).</summary>
    internal long FileSystemType() => Libc.FileSystemType(_handle);

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
        // Non-blocking and no controlling terminal: a pipe or terminal under this name must not block the process or become its terminal.
        Libc.OpenReadOnly
        | Libc.OpenNonBlocking
        | Libc.OpenNoControllingTerminal
        | Libc.OpenCloseOnExec;

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

/// <summary>Reads the entries of a directory one by one, so that memory use does not depend on its size.</summary>
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
            entry = new DirectoryEntry(
                new EntryName(name),
                record[TypeOffset] switch
                {
                    0 => EntryType.Unknown,
                    4 => EntryType.Directory,
                    8 => EntryType.RegularFile,
                    10 => EntryType.Symlink,
                    _ => EntryType.Special,
                }
            );
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
