using System.Runtime.InteropServices;

namespace Librarian.Domain.Posix;

/// <summary>Error numbers of the kernel that this code distinguishes (the same on x86-64 and arm64).</summary>
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
    FileTooLarge = 27,
    NoSpace = 28,
    ReadOnlyFileSystem = 30,
    NameTooLong = 36,
    NotImplemented = 38,
    NotEmpty = 39,
    TooManyLinks = 40,
    IllegalSequence = 84,
    NotSupported = 95,
    QuotaExceeded = 122,
}

/// <summary>
/// A failed system call. The type is internal: public methods return a result for it, or callers see an <see cref="IOException"/>.
/// </summary>
internal sealed class PosixException : IOException
{
    internal PosixException(Errno errno, string operation, string subject)
        : base($"{operation} of '{subject}' failed: {Marshal.GetPInvokeErrorMessage((int)errno)}")
    {
        Errno = errno;
    }

    internal Errno Errno { get; }

    /// <summary>
    /// A flush failed. The kernel reports that once and then treats the pages as clean: a later flush of the same data succeeds and means
    /// nothing. The flushed data have to be written again.
    /// </summary>
    internal bool IsFlush { get; private init; }

    /// <summary>Whether an entry could not be created because of its name or type, so that the medium is not at fault.</summary>
    internal bool IsAboutName => Errno is Errno.Exists or Errno.Invalid or Errno.NoEntry or Errno.NameTooLong or Errno.IllegalSequence;

    internal bool IsNoSpace => Errno is Errno.NoSpace or Errno.QuotaExceeded;

    /// <summary>The exception for the call that just failed on this thread.</summary>
    internal static PosixException Last(string operation, string subject) => new(LastErrno(), operation, subject);

    /// <summary>The exception for a flush that just failed on this thread.</summary>
    internal static PosixException LastFlush(string subject) => new(LastErrno(), "flush", subject) { IsFlush = true };

    internal static Errno LastErrno() => (Errno)Marshal.GetLastPInvokeError();
}
