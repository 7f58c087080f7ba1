using System.Text.RegularExpressions;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>Checks whether a new drive may be initialised.</summary>
public sealed partial class NewDriveCheck(SiteSigningKey key, IOptions<SiteOptions> options)
{
    /// <summary>Why a drive cannot have these parameters; null if it can. Writes nothing.</summary>
    public DriveAnswer? Check(NewDrive wanted)
    {
        ArgumentNullException.ThrowIfNull(wanted);
        if (!DriveName().IsMatch(wanted.Name))
            return new DriveAnswer(
                "drive.bad_name",
                $"'{wanted.Name}' is no name for a drive. Use 1 to 64 letters, digits, '.', '-' or '_'."
            );
        if (wanted.FullFraction is not (> 0 and <= 1))
            return new DriveAnswer("drive.bad_fraction", "The share that may be filled must be above 0 and at most 1.");
        if (wanted.Destination == options.Value.Name)
            return new DriveAnswer("drive.bad_destination", "A drive cannot travel to the site that fills it.");
        if (!Path.IsPathFullyQualified(wanted.Path) || !Directory.Exists(wanted.Path))
            return new DriveAnswer(
                "drive.no_directory",
                $"{wanted.Path} is not an absolute path of a directory on this site's machine. Mount the drive there first."
            );
        if (!wanted.AllowDirectory && !IsMountPoint(wanted.Path))
            return new DriveAnswer(
                "drive.not_mounted",
                $"{wanted.Path} is not a mount point: the drive is not mounted there. Nothing was written. "
                    + "Mount it and try again, or add --directory to use the plain directory."
            );
        return options.Value.Stores.Exists(s => Overlaps(s.StorePath, wanted.Path) || Overlaps(s.StagingPath, wanted.Path))
            ? new DriveAnswer("drive.overlaps", $"{wanted.Path} overlaps a store of this site. Nothing was written.")
            : null;
    }

    /// <summary>
    /// Inspects the medium. It may be used if it is empty or holds an unfinished drive of this site; otherwise the answer says why not.
    /// </summary>
    public async Task<DriveAnswer> InspectMediumAsync(
        CatalogContext db,
        NewDrive wanted,
        Drive? existing,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(wanted);
        return await DriveMarker.TryReadAsync(wanted.Path, cancellationToken) is { } marker
            ? await InspectMarkedAsync(db, wanted, existing, marker, cancellationToken)
            : InspectUnmarked(wanted);
    }

    /// <summary>A medium with a marker may be used if that is of an initialisation that did not come to its end.</summary>
    private async Task<DriveAnswer> InspectMarkedAsync(
        CatalogContext db,
        NewDrive wanted,
        Drive? existing,
        DriveMarker marker,
        CancellationToken cancellationToken
    )
    {
        var unfinished =
            marker.Site == options.Value.Name
            && marker.Name == wanted.Name
            && marker.Destination == wanted.Destination
            && marker.Trip == (existing?.Trip ?? 0) + 1
            && marker.SiteKey == key.PublicKey
            && !await db.Drives.AnyAsync(d => d.DriveId == marker.DriveId, cancellationToken)
            && !Directory
                .EnumerateFileSystemEntries(DriveStore.DataPathOf(wanted.Path))
                .Any(e => !ForeignEntries.IsForeignName(Path.GetFileName(e)));
        // Use a new identity: with the old one, a destination that saw the drive before would find a different manifest for the same
        // trip.
        if (unfinished)
            return DriveAnswer.Done("");
        var own = existing is { State: DriveState.Lost } && marker.DriveId == existing.DriveId;
        return new DriveAnswer(
            own ? "drive.not_empty" : "drive.marked",
            own
                ? $"This is drive '{wanted.Name}', which was recorded as lost; it still holds what it carried. Nothing was written. "
                    + "Make sure that nothing on it is needed, make a new file system on it, and try again."
                : $"{wanted.Path} is drive '{marker.Name}' of site '{marker.Site}' "
                    + $"(trip {marker.Trip} to '{marker.Destination}'). Nothing was written. "
                    + "If it is not needed any more, make a new file system on it first."
        );
    }

    private static DriveAnswer InspectUnmarked(NewDrive wanted)
    {
        var found = Directory
            .EnumerateFileSystemEntries(wanted.Path)
            .Select(Path.GetFileName)
            .FirstOrDefault(n =>
                n is not (DriveStore.DataDirectory or FileName.WorkingDirectory)
                && !ForeignEntries.IsForeignName(n!)
                && !(
                    n!.StartsWith(DriveMarker.FileName, StringComparison.Ordinal)
                    && n.EndsWith(DriveFile.TemporaryExtension, StringComparison.Ordinal)
                )
            );
        var data = DriveStore.DataPathOf(wanted.Path);
        if (
            found is null
            && Directory.Exists(data)
            && Directory.EnumerateFileSystemEntries(data).Any(e => !ForeignEntries.IsForeignName(Path.GetFileName(e)))
        )
            found = DriveStore.DataDirectory;
        return found is null
            ? DriveAnswer.Done("")
            : new DriveAnswer(
                "drive.not_empty",
                $"{wanted.Path} is not empty: it holds '{found}'. Nothing was written. "
                    + "Move it away, or make a new file system on the drive, and try again."
            );
    }

    private static bool Overlaps(string a, string b)
    {
        var (first, second) = (
            Path.TrimEndingDirectorySeparator(Path.GetFullPath(a)) + "/",
            Path.TrimEndingDirectorySeparator(Path.GetFullPath(b)) + "/"
        );
        return first.StartsWith(second, StringComparison.Ordinal) || second.StartsWith(first, StringComparison.Ordinal);
    }

    private static bool IsMountPoint(string path)
    {
        var full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        return File.ReadLines("/proc/self/mountinfo")
            .Select(l => l.Split(' '))
            .Any(f => f.Length > 4 && f[4].Replace("\\040", " ", StringComparison.Ordinal) == full);
    }

    [GeneratedRegex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex DriveName();
}
