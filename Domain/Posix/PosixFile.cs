using Microsoft.Win32.SafeHandles;

namespace Librarian.Domain.Posix;

/// <summary>An open file that is read or written from start to end.</summary>
internal sealed unsafe class PosixFile : IDisposable
{
    private readonly SafeFileHandle _handle;
    private readonly string _path;
    private bool _locked;
    private long? _lockedByte;

    internal PosixFile(int descriptor, string path)
    {
        _handle = new SafeFileHandle(descriptor, ownsHandle: true);
        _path = path;
    }

    public void Dispose()
    {
        // Locks are released explicitly, not by closing: a child process that is being started at this moment shares the open file until
        // its own program begins, and would keep the lock.
        if (_locked)
            _ = Libc.Lock(_handle, Libc.LockRelease);
        if (_lockedByte is { } offset)
        {
            var range = new Libc.FileLock
            {
                Type = Libc.ReleasedLock,
                Start = offset,
                Length = 1,
            };
            _ = Libc.Control(_handle, Libc.SetOpenFileLock, (nint)(&range));
        }

        _handle.Dispose();
    }

    /// <summary>Passes the open file to an unbuffered stream, which closes it.</summary>
    internal FileStream ToStream() => new(_handle, FileAccess.Read, bufferSize: 0);

    internal FileStatus Status()
    {
        Libc.StatXBuffer buffer;
        if (Libc.StatX(_handle, [0], Libc.AtEmptyPath, Libc.StatxBasicAndBirth, &buffer) != 0)
            throw PosixException.Last("status", _path);
        return FileStatus.From(&buffer);
    }

    /// <summary>Advises the kernel to read ahead more.</summary>
    internal void ExpectSequentialReads() => _ = Libc.Advise(_handle, 0, 0, Libc.AdviseSequential);

    /// <summary>Drops this file's pages from memory, except those that have not been flushed yet.</summary>
    internal void ForgetPages() => _ = Libc.Advise(_handle, 0, 0, Libc.AdviseDontNeed);

    /// <returns>Number of bytes read; 0 at the end.</returns>
    internal int Read(Span<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var count = Libc.Read(_handle, start, (nuint)buffer.Length);
                if (count >= 0)
                    return (int)count;
                if (PosixException.LastErrno() != Errno.Interrupted)
                    throw PosixException.Last("read", _path);
            }
        }
    }

    internal void Write(ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes)
        {
            var done = 0;
            while (done < bytes.Length)
            {
                var count = Libc.Write(_handle, start + done, (nuint)(bytes.Length - done));
                if (count > 0)
                    done += (int)count;
                else if (PosixException.LastErrno() != Errno.Interrupted)
                    throw PosixException.Last("write", _path);
            }
        }
    }

    /// <summary>Writes at a position, which may be behind the end.</summary>
    internal void WriteAt(ReadOnlySpan<byte> bytes, long position)
    {
        fixed (byte* start = bytes)
        {
            var done = 0;
            while (done < bytes.Length)
            {
                var count = Libc.WriteAt(_handle, start + done, (nuint)(bytes.Length - done), position + done);
                if (count > 0)
                    done += (int)count;
                else if (PosixException.LastErrno() != Errno.Interrupted)
                    throw PosixException.Last("write", _path);
            }
        }
    }

    /// <returns>Number of bytes read; 0 at the end.</returns>
    internal int ReadAt(Span<byte> buffer, long position)
    {
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var count = Libc.ReadAt(_handle, start, (nuint)buffer.Length, position);
                if (count >= 0)
                    return (int)count;
                if (PosixException.LastErrno() != Errno.Interrupted)
                    throw PosixException.Last("read", _path);
            }
        }
    }

    /// <summary>Cuts the file, or lengthens it by a hole.</summary>
    internal void SetLength(long length)
    {
        if (Libc.Truncate(_handle, length) != 0)
            throw PosixException.Last("change of length", _path);
    }

    internal void Sync()
    {
        if (Libc.Sync(_handle) != 0)
            throw PosixException.LastFlush(_path);
    }

    /// <summary>Takes ownership; only for the superuser.</summary>
    internal void SetOwner(uint user)
    {
        if (Libc.ChangeOwner(_handle, user, uint.MaxValue) != 0)
            throw PosixException.Last("change of owner", _path);
    }

    /// <summary>
    /// Whether any process has this file, which is open here for reading, open (or mapped) for writing: in that case the kernel grants no
    /// read lease. False also if the file system has no leases. A granted lease is released at once.
    /// </summary>
    internal bool IsOpenForWriting()
    {
        // When another process opens the file for writing while the lease is held, the kernel sends a signal. The default one would end
        // this process.
        if (Libc.Control(_handle, Libc.SetSignal, Libc.SignalUrgent) != 0)
            return false;
        if (Libc.Control(_handle, Libc.SetLease, Libc.ReadLease) != 0)
            return PosixException.LastErrno() == Errno.WouldBlock;
        _ = Libc.Control(_handle, Libc.SetLease, Libc.NoLease);
        return false;
    }

    internal void SetPermissions(uint permissions)
    {
        if (Libc.ChangeMode(_handle, permissions) != 0)
            throw PosixException.Last("change of mode", _path);
    }

    internal void SetModified(long nanoseconds) => SetModified(_handle, nanoseconds, _path);

    /// <returns>False if another open file description holds the lock. A lock ends with its process.</returns>
    internal bool TryLock()
    {
        if (Libc.Lock(_handle, Libc.LockExclusive | Libc.LockNonBlocking) == 0)
            return _locked = true;
        if (PosixException.LastErrno() == Errno.WouldBlock)
            return false;
        throw PosixException.Last("lock", _path);
    }

    /// <summary>
    /// Locks one byte, which need not exist, for this open file description (fcntl(2), F_OFD_SETLK). The lock ends when it is closed.
    /// </summary>
    /// <returns>False if another open file description holds the lock.</returns>
    internal bool TryLockByte(long offset)
    {
        var range = new Libc.FileLock
        {
            Type = Libc.WriteLock,
            Start = offset,
            Length = 1,
        };
        if (Libc.Control(_handle, Libc.SetOpenFileLock, (nint)(&range)) == 0)
        {
            _lockedByte = offset;
            return true;
        }

        if (PosixException.LastErrno() is Errno.WouldBlock or Errno.AccessDenied)
            return false;
        throw PosixException.Last("lock", _path);
    }

    /// <summary>Waits for the lock. Only for locks that are held for a few system calls.</summary>
    internal void Lock()
    {
        while (Libc.Lock(_handle, Libc.LockExclusive) != 0)
        {
            if (PosixException.LastErrno() != Errno.Interrupted)
                throw PosixException.Last("lock", _path);
        }

        _locked = true;
    }

    internal static void SetModified(SafeFileHandle handle, long nanoseconds, string path)
    {
        var (seconds, rest) = Math.DivRem(nanoseconds, 1_000_000_000);
        if (rest < 0)
        {
            seconds--;
            rest += 1_000_000_000;
        }

        var times = stackalloc long[4] { seconds, rest, seconds, rest };
        if (Libc.SetTimes(handle, times) != 0)
            throw PosixException.Last("change of time", path);
    }
}
