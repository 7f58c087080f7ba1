using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;

namespace Librarian.Domain.Drives;

/// <summary>
/// A drive of this site as it is mounted here, or not. A directory without the drive's marker is not the drive: nothing is read from it or
/// written to it, so an empty mount point is never taken for an empty drive.
/// </summary>
public sealed class DriveMedium
{
    /// <summary>Directory of the files below the drive's root.</summary>
    public const string DataDirectory = "data";

    private const int MaxMarkerBytes = 64 * 1024;
    private readonly Guid _driveId;

    /// <param name="drive">The catalog's row.</param>
    public DriveMedium(Drive drive)
    {
        ArgumentNullException.ThrowIfNull(drive);
        _driveId = drive.DriveId;
        Root = drive.MountPath.TrimEnd('/') is { Length: > 0 } root ? root : "/";
        Store = new LocalStore(new LocalStoreOptions
        {
            Name = drive.Name,
            StagingPath = StagingPathOf(Root),
            StorePath = DataPathOf(Root),
            Ingestable = false,
            ReportFullFraction = drive.FullFraction,
        });
    }

    /// <summary>Where the drive is mounted.</summary>
    public string Root { get; }

    /// <summary>Its files.</summary>
    public LocalStore Store { get; }

    /// <summary>Whether the drive, and no other and nothing else, is mounted now.</summary>
    public bool IsPlugged => Store.IsAvailable && IdentityAt(Root) == _driveId;

    /// <summary>Path of the files of a drive mounted at <paramref name="root"/>.</summary>
    public static string DataPathOf(string root) => $"{root.TrimEnd('/')}/{DataDirectory}";

    /// <summary>Where copies to the drive are made before they get their names.</summary>
    public static string StagingPathOf(string root) => $"{root.TrimEnd('/')}/{StorePath.WorkingDirectory}/staging";

    /// <summary>Which drive is mounted at a directory, by its marker; null for none. Looks at once and holds nothing.</summary>
    public static Guid? IdentityAt(string root)
    {
        try
        {
            var file = new FileInfo(Path.Combine(root, DriveMarker.FileName));
            if (!file.Exists || file.Length > MaxMarkerBytes) return null;
            using var marker = JsonDocument.Parse(File.ReadAllBytes(file.FullName));
            return marker.RootElement.ValueKind == JsonValueKind.Object && marker.RootElement.TryGetProperty("drive_id", out var id)
                && id.ValueKind == JsonValueKind.String && id.TryGetGuid(out var guid) ? guid : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }
}
