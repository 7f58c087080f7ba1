namespace Librarian.Tests.TestKit;

/// <summary>Directory for databases of tests that kill processes but never machines: their data need not reach a disk.</summary>
public static class Scratch
{
    private const string Memory = "/dev/shm";

    // Some hundred databases of 10 MB have to fit beside everything else.
    private const long Needed = 10L << 30;

    /// <summary>
    /// In memory if there is plenty of it, otherwise the directory for temporary files. On a disk the tests spend half of their time
    /// waiting for syncs, and ext4 searches long for a free inode after many deletions: a PostgreSQL database has three hundred files.
    /// </summary>
    public static string Directory { get; } =
        System.IO.Directory.Exists(Memory)
        && new DriveInfo(Memory).AvailableFreeSpace >= Needed
        && GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >= 2 * Needed
            ? Memory
            : Path.GetTempPath();

    /// <summary>Creates a new directory in <see cref="Directory"/>.</summary>
    public static string CreateSubdirectory(string prefix) =>
        System.IO.Directory.CreateDirectory(Path.Combine(Directory, prefix + Guid.NewGuid().ToString("N")[..12])).FullName;
}
