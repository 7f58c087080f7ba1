using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>The site's archive of manifests and receipts.</summary>
public sealed class DriveArchive(IOptions<SiteOptions> options)
{
    /// <summary>Its directory.</summary>
    public string Root =>
        Security
            .PrivateFile.CreateDirectory(
                string.IsNullOrEmpty(options.Value.Drives.ArchiveDirectory)
                    ? Path.Combine(options.Value.DataDirectory, "drives")
                    : options.Value.Drives.ArchiveDirectory
            )
            .FullName;

    /// <summary>Path of the manifest of a trip of this site's drive.</summary>
    public string ManifestOf(Drive drive)
    {
        ArgumentNullException.ThrowIfNull(drive);
        return Path.Combine(Root, $"{drive.Name}-trip-{drive.Trip}-{drive.DriveId:N}.manifest.jsonl");
    }

    /// <summary>Path of an incoming drive's manifest.</summary>
    public string ArrivedManifest(Guid driveId, int trip) => Path.Combine(Root, $"arrival-{driveId:N}-trip-{trip}.manifest");

    /// <summary>Path of an incoming drive's receipt.</summary>
    public string ReceiptOf(IncomingDrive incoming)
    {
        ArgumentNullException.ThrowIfNull(incoming);
        return Path.Combine(Root, $"arrival-{incoming.DriveId:N}-trip-{incoming.Trip}.receipt.jsonl");
    }

    /// <summary>Opens an incoming drive's manifest at the first entry that has not been decided.</summary>
    internal async Task<IManifestCursor> OpenManifestAsync(IncomingDrive incoming, CancellationToken cancellationToken)
    {
        var path = ArrivedManifest(incoming.DriveId, incoming.Trip);
        IManifestCursor cursor = incoming.IsUpstream
            ? await UpstreamCursor.OpenAsync(path, cancellationToken)
            : await ManifestCursor.OpenAsync(path, cancellationToken);
        if (incoming.Position > 0)
            cursor.Seek(incoming.Position);
        return cursor;
    }
}
