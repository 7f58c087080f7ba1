namespace Librarian.Domain.Drives;

/// <summary>
/// The lock on a plugged drive: an operating system lock on a file of the drive, so that a stalled process and its successor do not write
/// at the same time. It ends with its process.
/// </summary>
public sealed class DriveLock : IDisposable
{
    private readonly FileStream _file;

    private DriveLock(FileStream file) => _file = file;

    private const int TryAgain = 11;

    /// <summary>Takes the lock; null when another process holds it, or the drive cannot be written.</summary>
    /// <param name="root">A path of the drive's root.</param>
    /// <param name="why">Which of the two, and what to do.</param>
    public static DriveLock? TryTake(string root, out string why)
    {
        var path = Path.Combine(root, FileName.WorkingDirectory, "lock");
        why = "";
        try
        {
            // A drive comes from elsewhere: its lock must not be a link.
            if (new FileInfo(path).LinkTarget is not null)
                File.Delete(path);
            return new DriveLock(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            why =
                (e.HResult & 0xffff) == TryAgain || e.Message.Contains("being used by another process", StringComparison.Ordinal)
                    ? "Another process works on it; it goes on by itself."
                    : $"It cannot be written: {e.Message} Mount it writable for the site's account, "
                        + "or replace it if the kernel reports errors of the medium (dmesg).";
            return null;
        }
    }

    /// <inheritdoc />
    public void Dispose() => _file.Dispose();
}
