namespace Librarian.Tests.TestKit;

/// <summary>Where tests that kill processes, never machines, keep their databases: what they sync need not reach a disk.</summary>
public static class Scratch
{
    private const string Memory = "/dev/shm";

    // Some hundred databases of 10 MB must fit beside everything else.
    private const long Needed = 10L << 30;

    /// <summary>
    /// In memory where there is plenty, otherwise the directory for temporary files. On a disk the tests wait half of their time for syncs, and ext4
    /// looks long for an inode while many have just been deleted: a PostgreSQL database has three hundred files.
    /// </summary>
    public static string Directory { get; } =
        System.IO.Directory.Exists(Memory) && new DriveInfo(Memory).AvailableFreeSpace >= Needed && GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >= 2 * Needed
            ? Memory
            : Path.GetTempPath();

    /// <summary>A new directory there.</summary>
    public static string CreateSubdirectory(string prefix) => System.IO.Directory.CreateDirectory(Path.Combine(Directory, prefix + Guid.NewGuid().ToString("N")[..12])).FullName;
}
