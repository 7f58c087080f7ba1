using Librarian.Domain.Catalog;

namespace Librarian.Domain.Stores;

/// <summary>Where the store on a drive is, and how it is recognised.</summary>
public static class DriveStore
{
    /// <summary>Directory of the files below the drive's root.</summary>
    public const string DataDirectory = "data";

    /// <summary>Path of the files of a drive mounted at <paramref name="root"/>.</summary>
    public static string DataPathOf(string root) => $"{root.TrimEnd('/')}/{DataDirectory}";

    /// <summary>Staging directory of a drive, for copies that do not have their final names yet.</summary>
    public static string StagingPathOf(string root) => $"{root.TrimEnd('/')}/{FileName.WorkingDirectory}/staging";

    /// <summary>Settings of the store on a drive. Each time it opens its root, it finds this drive's marker there or nothing.</summary>
    /// <param name="drive">The catalog's row.</param>
    public static LocalStoreOptions OptionsOf(Drive drive)
    {
        ArgumentNullException.ThrowIfNull(drive);
        var root = drive.MountPath.TrimEnd('/') is { Length: > 0 } path ? path : "/";
        return new LocalStoreOptions
        {
            Name = drive.Name,
            StagingPath = StagingPathOf(root),
            RootPath = DataPathOf(root),
            Ingestable = false,
            ReportFullFraction = drive.FullFraction,
            Medium = new StoreMedium(root, root, drive.DriveId),
        };
    }
}
