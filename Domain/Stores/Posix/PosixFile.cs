using Microsoft.Win32.SafeHandles;

namespace Librarian.Domain.Stores.Posix;

/// <summary>An open file, read or written from start to end.</summary>
internal sealed unsafe class PosixFile : IDisposable
{
    private readonly SafeFileHandle _handle;
    private readonly string _path;
    private bool _locked;

    internal PosixFile(int descriptor, string path)
    {
        _handle = new SafeFileHandle(descriptor, ownsHandle: true);
        _path = path;
    }

    public void Dispose()
    {
        // Released by name, not by closing: a child process being started at this moment shares the open file until it begins
        // its own program, and would keep the lock alive.
        if (_locked)
            _ = Libc.Lock(_handle, Libc.LockRelease);
        _handle.Dispose();
    }

    /// <summary>Hands the open file over to a stream without a buffer, which closes it.</summary>
    internal FileStream ToStream() => new(_handle, FileAccess.Read, bufferSize: 0);

    internal FileStatus Status()
    {
        Libc.StatXBuffer buffer;
        if (Libc.StatX(_handle, [0], Libc.AtEmptyPath, Libc.StatxBasicAndBirth, &buffer) != 0)
            throw PosixException.Last("status", _path);
        return FileStatus.From(&buffer);
    }

    /// <summary>Tells the kernel to read ahead generously.</summary>
    internal void ExpectSequentialReads() => _ = Libc.Advise(_handle, 0, 0, Libc.AdviseSequential);

    /// <summary>Drops what memory holds of this file, except what has not been flushed yet.</summary>
    internal void ForgetPages() => _ = Libc.Advise(_handle, 0, 0, Libc.AdviseDontNeed);

    /// <returns>Bytes read; 0 at the end.</returns>
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

    internal void Sync()
    {
        if (Libc.Sync(_handle) != 0)
            throw PosixException.Last("flush", _path);
    }

    internal void SetPermissions(uint permissions)
    {
        if (Libc.ChangeMode(_handle, permissions) != 0)
            throw PosixException.Last("change of mode", _path);
    }

    internal void SetModified(long nanoseconds) => SetModified(_handle, nanoseconds, _path);

    /// <returns>False when another open file description holds the lock. A lock dies with its process.</returns>
    internal bool TryLock()
    {
        if (Libc.Lock(_handle, Libc.LockExclusive | Libc.LockNonBlocking) == 0)
            return _locked = true;
        if (PosixException.LastErrno() == Errno.WouldBlock)
            return false;
        throw PosixException.Last("lock", _path);
    }

    /// <summary>Waits for the lock; for holders that keep it only for a few system calls.</summary>
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
