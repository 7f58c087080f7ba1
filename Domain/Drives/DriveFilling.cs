using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>
/// Copies files to a drive that its destination does not have: oldest first, one copy over all drives for that destination, and smaller
/// files when the next file does not fit.
/// </summary>
/// <remarks>
/// A round reserves files (rows COPYING), copies them with <see cref="LocalStore.AddAsync"/>, and records copies and contents in one
/// transaction. A crash leaves reservations and perhaps data, in staging or under their names; the next round begins by removing both,
/// which can only be data that the catalog does not list. The filling process holds a lock on the drive.
/// </remarks>
public sealed class DriveFilling(
    CatalogDatabase database,
    SiteStores stores,
    UnfinishedCopies unfinished,
    FillReservations reservations,
    FillCopying copying
)
{
    /// <summary>Copies one round of files to a drive.</summary>
    /// <param name="driveRow">The drive.</param>
    /// <param name="onBytes">Called with the number of bytes as they are copied.</param>
    /// <param name="cancellationToken">Stops between files.</param>
    public async Task<FillResult> RoundAsync(long driveRow, Action<long>? onBytes, CancellationToken cancellationToken)
    {
        var drive = await ReadAsync(driveRow, cancellationToken);
        if (drive.State != DriveState.Filling)
            return FillResult.Nothing(FillOutcome.Frozen, $"Drive '{drive.Name}' is not being filled.");
        using var medium = new DriveMedium(drive).TryHold();
        if (medium is null)
            return FillResult.NotPlugged(drive);
        if (medium.Marker!.Trip != drive.Trip)
            return FillResult.Nothing(
                FillOutcome.Trouble,
                $"The marker of drive '{drive.Name}' says trip {medium.Marker.Trip}, the catalog says {drive.Trip}: "
                    + "the catalog was restored from an older backup, or the drive is a copy. Nothing is written. "
                    + $"If nothing on it is needed, give it up (librarian drive recycle CONN {drive.Name} --lost), "
                    + "make a new file system on it and initialise it again."
            );
        using var hold = DriveLock.TryTake(medium.Path, out var why);
        if (hold is null)
            return FillResult.Nothing(FillOutcome.Trouble, $"Drive '{drive.Name}' is not filled: {medium.Shown(why)}");
        var earlier = await EarlierDriveAsync(drive, cancellationToken);
        if (!await unfinished.DropAsync(drive, medium, cancellationToken))
            return FillResult.Nothing(
                FillOutcome.Trouble,
                $"Drive '{drive.Name}' refuses the removal of a copy that was interrupted. "
                    + "It is tried again; if it stays so, examine the medium (dmesg)."
            );
        var names = await medium.Store.ProbeNamesAsync(cancellationToken) is { HoldsAll: false } limited ? limited : null;
        var reserved = await reservations.ReserveAsync(drive, earlier, medium, names, cancellationToken);
        if (reserved.Outcome is { } outcome)
            return outcome;
        return await copying.CopyAsync(drive, medium, names, reserved.Files, onBytes, cancellationToken);
    }

    /// <summary>Reads the drive's row; for a drive that is being filled it also brings stores and statistics up to date.</summary>
    private async Task<Drive> ReadAsync(long driveRow, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var drive = await db.Drives.AsNoTracking().SingleAsync(d => d.Id == driveRow, cancellationToken);
        if (drive.State != DriveState.Filling)
            return drive;
        await stores.RefreshDrivesAsync(db, cancellationToken);
        await PlannerStatistics.RefreshStaleAsync(
            db,
            cancellationToken,
            "drive_contents",
            "files",
            "instances",
            "outgoing_transfers",
            "remote_instances"
        );
        return drive;
    }

    /// <summary>
    /// The first plugged drive for the destination takes every file that it can hold; the others take the rest, and wait until it is full.
    /// </summary>
    private async Task<Drive?> EarlierDriveAsync(Drive drive, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var earlier = await db
            .Drives.AsNoTracking()
            .Where(d =>
                d.Destination == drive.Destination
                && d.State == DriveState.Filling
                && (d.StateSince < drive.StateSince || (d.StateSince == drive.StateSince && d.Id < drive.Id))
            )
            .OrderBy(d => d.StateSince)
            .ThenBy(d => d.Id)
            .ToListAsync(cancellationToken);
        return earlier.Find(d => d.Problem is null && new DriveMedium(d).IsPlugged);
    }
}
