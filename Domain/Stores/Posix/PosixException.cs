using System.Runtime.InteropServices;

namespace Librarian.Domain.Stores.Posix;

/// <summary>Error numbers of the kernel that this code tells apart (the same on x86-64 and arm64).</summary>
internal enum Errno
{
    NotPermitted = 1,
    NoEntry = 2,
    Interrupted = 4,
    BadDescriptor = 9,
    WouldBlock = 11,
    AccessDenied = 13,
    Exists = 17,
    CrossDevice = 18,
    NotADirectory = 20,
    IsADirectory = 21,
    Invalid = 22,
    NoSpace = 28,
    ReadOnlyFileSystem = 30,
    NotImplemented = 38,
    NotEmpty = 39,
    TooManyLinks = 40,
    NotSupported = 95,
    QuotaExceeded = 122,
}

/// <summary>A failed system call. It never leaves this assembly: public methods turn it into a result.</summary>
internal sealed class PosixException : IOException
{
    internal PosixException(Errno errno, string operation, string subject)
        : base($"{operation} of '{subject}' failed: {Marshal.GetPInvokeErrorMessage((int)errno)}")
    {
        Errno = errno;
    }

    internal Errno Errno { get; }

    internal bool IsNoSpace => Errno is Errno.NoSpace or Errno.QuotaExceeded;

    /// <summary>The exception for the call that just failed on this thread.</summary>
    internal static PosixException Last(string operation, string subject) => new(LastErrno(), operation, subject);

    internal static Errno LastErrno() => (Errno)Marshal.GetLastPInvokeError();
}
