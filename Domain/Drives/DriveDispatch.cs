using Librarian.Domain.Catalog;
using Librarian.Domain.Formats;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>Freezes a drive and writes its manifest: to the site's archive, which is authoritative, and from there to the drive.</summary>
/// <remarks>
/// The freeze is one transaction of a fixed number of statements: state, transfers, availability of the copies. Afterwards the rows behind
/// the manifest do not change, so it can be written any number of times with the same bytes, and a lost answer loses nothing. A crash while
/// the archive is written leaves a temporary file that the next attempt replaces; a crash while the drive is written leaves files that the
/// next attempt replaces. Transfers cannot be acknowledged before the manifest has left the archive, because their ids are in it.
/// </remarks>
public sealed class DriveDispatch(CatalogDatabase database, ManifestArchive manifests, DriveArchive archive, TimeProvider time)
{
    /// <summary>
    /// Ends the filling and opens a transfer for every file on the drive, in the caller's transaction. Repeating it on a frozen drive is
    /// harmless.
    /// </summary>
    /// <returns>The answer, and the transfers over a link that were cancelled because the drive carries their files.</returns>
    public async Task<(DriveAnswer Answer, IReadOnlyList<long> Cancelled)> FreezeAsync(
        CatalogContext db,
        Drive drive,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(drive);
        CatalogDatabase.AllowLongStatements(db);
        if (drive.State == DriveState.InTransit)
        {
            // Requested again with the drive plugged in: the manifest is written anew, whatever happened to the one on the drive.
            if (drive.ManifestOnDrive && new DriveMedium(drive).IsPlugged)
                await db
                    .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.InTransit)
                    .ExecuteUpdateAsync(s => s.SetProperty(d => d.ManifestOnDrive, false), cancellationToken);
            return (DriveAnswer.Done($"Drive '{drive.Name}' is frozen already."), []);
        }

        if (drive.State is not (DriveState.Filling or DriveState.Full))
            return (
                new DriveAnswer(
                    "drive.wrong_state",
                    $"Drive '{drive.Name}' is {drive.State}: there is nothing to write a manifest of. Nothing was changed."
                ),
                []
            );
        var now = time.GetUtcNow().UtcDateTime;
        if (!await TryLockAsync(db, drive, now, cancellationToken))
            return (
                new DriveAnswer("drive.wrong_state", $"Drive '{drive.Name}' changed at this moment. Nothing was changed; ask again."),
                []
            );
        var row = drive.Id;
        await db.DriveContents.Where(c => c.DriveRow == row && c.State != DriveContentState.Stored).ExecuteDeleteAsync(cancellationToken);
        if (!await db.DriveContents.AnyAsync(c => c.DriveRow == row, cancellationToken))
            return (new DriveAnswer("drive.empty", $"Drive '{drive.Name}' holds no files. Nothing was changed."), []);

        var online = await CancelOnlineAsync(db, drive, now, cancellationToken);
        await OpenTransfersAsync(db, drive, now, cancellationToken);
        await db
            .Copies.Where(i => i.StoreId == drive.StoreId)
            .ExecuteUpdateAsync(s => s.SetProperty(i => i.Available, false), cancellationToken);
        return (DriveAnswer.Done($"Drive '{drive.Name}' is frozen; its manifest is being written."), online);
    }

    /// <summary>Locks the drive's row and freezes it; false when its state has changed.</summary>
    private static async Task<bool> TryLockAsync(CatalogContext db, Drive drive, DateTime now, CancellationToken cancellationToken)
    {
        var row = drive.Id;
        return await db
                .Drives.Where(d => d.Id == row && (d.State == DriveState.Filling || d.State == DriveState.Full))
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(d => d.State, DriveState.InTransit)
                            .SetProperty(d => d.StateSince, now)
                            .SetProperty(d => d.ManifestTime, now)
                            .SetProperty(d => d.ManifestSha256, (string?)null)
                            .SetProperty(d => d.ManifestOnDrive, false)
                            .SetProperty(d => d.Problem, (string?)null),
                    cancellationToken
                ) > 0;
    }

    /// <summary>Cancels transfers over the link of files that the drive carries; returns them.</summary>
    private static async Task<List<long>> CancelOnlineAsync(
        CatalogContext db,
        Drive drive,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        var (row, destination) = (drive.Id, drive.Destination);
        // The drive replaces transfers that wait for, or are on, the link.
        var online = await db
            .OutgoingTransfers.Where(t =>
                t.Destination == destination
                && OutgoingTransfers.Unfinished.Contains(t.Status)
                && db.DriveContents.Any(c => c.DriveRow == row && c.FileName == t.FileName)
            )
            .Select(t => t.Id)
            .ToListAsync(cancellationToken);
        await db
            .OutgoingTransfers.Where(t =>
                t.Destination == destination
                && OutgoingTransfers.Unfinished.Contains(t.Status)
                && db.DriveContents.Any(c => c.DriveRow == row && c.FileName == t.FileName)
            )
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Cancelled)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.FailureReason, "The file travels on a drive instead."),
                cancellationToken
            );
        return online;
    }

    /// <summary>Opens a transfer for every file on the drive.</summary>
    private static async Task OpenTransfersAsync(CatalogContext db, Drive drive, DateTime now, CancellationToken cancellationToken)
    {
        var (row, destination) = (drive.Id, drive.Destination);
        await PlannerStatistics.RefreshAsync(db, cancellationToken, "drive_contents", "files", "instances");
        await db.Database.ExecuteSqlAsync(
            $"""
            INSERT INTO outgoing_transfers (status, destination, transfer_size, transfer_checksum, start_time, file_name, instance_id,
                source_path, transfer_manager_name)
            SELECT 'ONGOING', {destination}, f.size, f.checksum, {now}, f.name, i.id, i.path, 'drive'
            FROM drive_contents c JOIN files f ON f.name = c.file_name
                JOIN instances i ON i.file_name = c.file_name AND i.store_id = {drive.StoreId}
            WHERE c.drive_row = {row} AND NOT EXISTS (
                SELECT 1 FROM remote_instances r JOIN librarians l ON l.id = r.librarian_id
                WHERE r.file_name = c.file_name AND l.name = {destination}
            )
            ORDER BY c.id
            """,
            cancellationToken
        );
        await PlannerStatistics.RefreshAsync(db, cancellationToken, "outgoing_transfers");
        await db.Database.ExecuteSqlAsync(
            $"""
            UPDATE drive_contents SET outgoing_transfer_id = (SELECT t.id FROM outgoing_transfers t
                WHERE t.file_name = drive_contents.file_name AND t.destination = {destination} AND t.status = 'ONGOING')
            WHERE drive_row = {row}
            """,
            cancellationToken
        );
    }

    /// <summary>Writes the manifest of a frozen drive to the archive, unless it is there, and to the drive if that is plugged.</summary>
    public async Task<DriveAnswer> WriteAsync(long driveRow, CancellationToken cancellationToken)
    {
        Drive drive;
        await using (var db = database.Open())
            drive = await db.Drives.AsNoTracking().SingleAsync(d => d.Id == driveRow, cancellationToken);
        if (drive.State != DriveState.InTransit || drive.ManifestOnDrive)
            return DriveAnswer.Done($"Drive '{drive.Name}' has its manifest.");
        var path = archive.ManifestOf(drive);
        if (await ArchiveAsync(drive, path, cancellationToken) is { } lost)
            return lost;
        using var medium = new DriveMedium(drive).TryHold();
        if (medium is null)
            return new DriveAnswer(
                "drive.not_plugged",
                $"The manifest is in the archive, but {drive.MountPath} is not drive '{drive.Name}'. "
                    + "Plug it in and mount it; the manifest is then written to it by itself."
            );
        if (medium.Marker!.Trip != drive.Trip)
            return new DriveAnswer(
                "drive.other_trip",
                $"The marker of drive '{drive.Name}' says trip {medium.Marker.Trip}, the catalog says {drive.Trip}: "
                    + "the catalog was restored from an older backup, or the drive is a copy. "
                    + "No manifest is written to it, because no destination would take it."
            );
        if (await PutOnAsync(drive, medium, path, cancellationToken) is { } failed)
            return failed;
        await using (var db = database.Open())
            await db
                .Drives.Where(d => d.Id == driveRow && d.State == DriveState.InTransit)
                .ExecuteUpdateAsync(
                    s => s.SetProperty(d => d.ManifestOnDrive, true).SetProperty(d => d.Problem, (string?)null),
                    cancellationToken
                );
        return DriveAnswer.Done($"Drive '{drive.Name}' has its manifest and may be unplugged.");
    }

    /// <summary>Writes the manifest to the archive, unless it is there; returns the obstacle, or null.</summary>
    private async Task<DriveAnswer?> ArchiveAsync(Drive drive, string path, CancellationToken cancellationToken)
    {
        if (drive.ManifestSha256 is not null && File.Exists(path))
            return null;
        var seal = await manifests.WriteAsync(drive, path, drive.ManifestSha256, cancellationToken);
        if (drive.ManifestSha256 is { } before && before != seal.Sha256)
            return new DriveAnswer(
                "drive.archive_lost",
                $"The archived manifest of drive '{drive.Name}' is missing ({path}) "
                    + $"and could not be made again with the same bytes. Copy {ManifestWriter.FileName} from the drive to that path."
            );
        await using var db = database.Open();
        await db
            .Drives.Where(d => d.Id == drive.Id)
            .ExecuteUpdateAsync(s => s.SetProperty(d => d.ManifestSha256, seal.Sha256), cancellationToken);
        drive.ManifestSha256 = seal.Sha256;
        return null;
    }

    /// <summary>Writes the archived manifest and its pages to the drive; returns the obstacle, or null.</summary>
    private static async Task<DriveAnswer?> PutOnAsync(Drive drive, OpenDrive medium, string path, CancellationToken cancellationToken)
    {
        try
        {
            using var hold = DriveLock.TryTake(medium.Path, out var why);
            if (hold is null)
                return new DriveAnswer(
                    "drive.busy",
                    $"The manifest is in the archive, but not on drive '{drive.Name}': {medium.Shown(why)}"
                );
            await CopyAsync(path, medium.Path, ManifestWriter.FileName, cancellationToken);
            await DrivePages.WriteAsync(path, medium.Path, cancellationToken);
            var written = await ManifestReader.CheckAsync(Path.Combine(medium.Path, ManifestWriter.FileName), cancellationToken);
            if (written.Seal?.Sha256 != drive.ManifestSha256)
                return new DriveAnswer(
                    "drive.write_failed",
                    $"The manifest was written to drive '{drive.Name}' and could not be read back: "
                        + $"{medium.Shown(written.Refusal?.Message) ?? "it is another one"} Nothing was lost; it is tried again. "
                        + "If it stays so, the medium is bad."
                );
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer(
                "drive.write_failed",
                $"The manifest is in the archive, but could not be written to drive '{drive.Name}': {medium.Shown(e.Message)}. "
                    + "Nothing was lost; it is tried again."
            );
        }
    }

    private static async Task CopyAsync(string source, string root, string name, CancellationToken cancellationToken)
    {
        await using var from = new FileStream(
            source,
            FileMode.Open,
            FileAccess.Read,
            FileShare.Read,
            1 << 16,
            FileOptions.Asynchronous | FileOptions.SequentialScan
        );
        await using var to = DriveFile.Create(root, name);
        await from.CopyToAsync(to.Stream, cancellationToken);
        await to.CommitAsync(cancellationToken);
    }
}
