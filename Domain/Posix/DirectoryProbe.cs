using System.Runtime.InteropServices;
using System.Text;

namespace Librarian.Domain.Posix;

/// <summary>Checks what this account may do in a directory, without doing it.</summary>
public static class DirectoryProbe
{
    private const int Write = 2;
    private const int Search = 1;

    /// <summary>Why nothing can be created there, also on a read-only file system; null if it can.</summary>
    public static string? WriteRefusal(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        return Libc.Access([.. Encoding.UTF8.GetBytes(path), 0], Write | Search) == 0
            ? null
            : Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError());
    }

    /// <summary>Whether two existing directories are on one file system, so that a rename can move a file from one to the other.</summary>
    public static bool AreOnOneFileSystem(string one, string other)
    {
        using var first = PosixDirectory.Open(one);
        using var second = PosixDirectory.Open(other);
        return first.Status().Identity.Device == second.Status().Identity.Device;
    }
}
