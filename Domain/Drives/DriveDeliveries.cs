using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>A destination's report about one transfer that travelled on a drive.</summary>
/// <param name="TransferId">This site's outgoing transfer, from the manifest.</param>
/// <param name="Name">The file, so that an id from another catalog (restored, or installed anew) is not mistaken for this one's.</param>
/// <param name="Checksum">Its checksum in the manifest.</param>
/// <param name="StoreId">The destination's store when it holds the file verified; null when it did not accept the file.</param>
/// <param name="Message">Why not.</param>
public sealed record Delivery(long TransferId, string Name, string Checksum, long? StoreId, string? Message);

/// <summary>A report that could not be recorded.</summary>
/// <param name="TransferId">As in the report.</param>
/// <param name="Reason">Why.</param>
public sealed record RefusedDelivery(long TransferId, string Reason);

/// <summary>Number of a drive's transfers by outcome.</summary>
/// <param name="Open">Not reported yet.</param>
/// <param name="Delivered">At the destination.</param>
/// <param name="Failed">Not accepted there.</param>
public sealed record DeliveryCounts(long Open, long Delivered, long Failed);

/// <summary>The source's side of a drive's trip after it has left: reports of the destination, reuse, loss.</summary>
public sealed partial class DriveDeliveries(OutgoingTransfers outgoing, CopyProbe probe, TimeProvider time)
{
    private const int MostNamed = 10;
    private const string OnlyCopy = "drive.only_copy";

    /// <summary>Most reports in one call.</summary>
    public const int MaxBatch = 1000;

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    /// <summary>
    /// Records a destination's reports, in the caller's transaction and with a fixed number of statements. Repeating a report is harmless;
    /// a file that is recorded as stored stays so. Call <see cref="SettleAsync"/> with all ids afterwards.
    /// </summary>
    /// <param name="db">Unit of work in a transaction.</param>
    /// <param name="deliveries">At most <see cref="MaxBatch"/>.</param>
    /// <param name="destination">The reporting site.</param>
    /// <param name="sender">This site's name.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="saidAt">UTC time at which a receipt was written; null for a report that the destination makes now.</param>
    public async Task<IReadOnlyList<RefusedDelivery>> RecordAsync(
        CatalogContext db,
        IReadOnlyList<Delivery> deliveries,
        string destination,
        string sender,
        CancellationToken cancellationToken,
        DateTime? saidAt = null
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(deliveries);
        if (
            await db.Peers.Where(l => l.Name == destination).Select(l => (long?)l.Id).SingleOrDefaultAsync(cancellationToken)
            is not { } librarian
        )
            return [.. deliveries.Select(d => new RefusedDelivery(d.TransferId, $"'{destination}' is not a registered librarian."))];
        List<long> ids = [.. deliveries.Select(d => d.TransferId).Distinct()];
        var known = await db
            .OutgoingTransfers.AsNoTracking()
            .Where(t => ids.Contains(t.Id) && t.Destination == destination)
            .Select(t => new
            {
                t.Id,
                t.Status,
                t.FileName,
                t.TransferChecksum,
            })
            .ToDictionaryAsync(t => t.Id, cancellationToken);
        var refused = new List<RefusedDelivery>();
        var stored = new Dictionary<long, Delivery>();
        var failed = new List<Delivery>();
        foreach (var delivery in deliveries)
        {
            if (!known.TryGetValue(delivery.TransferId, out var transfer))
                refused.Add(new RefusedDelivery(delivery.TransferId, "There is no such transfer to this destination."));
            else if (transfer.FileName != delivery.Name || transfer.TransferChecksum != delivery.Checksum)
                refused.Add(
                    new RefusedDelivery(
                        delivery.TransferId,
                        $"Transfer {delivery.TransferId} is of another file. The manifest is of an earlier catalog of this site: "
                            + "bring the drive back, or restore that catalog."
                    )
                );
            else if (delivery.StoreId is null && transfer.Status == TransferStatus.Completed)
                refused.Add(new RefusedDelivery(delivery.TransferId, "It was reported as stored before."));
            else if (delivery.StoreId is null)
                failed.Add(delivery);
            // The drive had been written off, or the link was faster: the copy exists nevertheless.
            else
                stored[delivery.TransferId] = delivery;
        }

        List<long> storedIds = [.. stored.Keys];
        List<string> names = [.. storedIds.Select(id => known[id].FileName).Distinct()];
        var now = Now;
        await db
            .OutgoingTransfers.Where(t => storedIds.Contains(t.Id) && t.Status != TransferStatus.Completed)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Completed)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.FailureReason, (string?)null),
                cancellationToken
            );
        var copies = (
            await db
                .RemoteCopies.AsNoTracking()
                .Where(r => r.PeerId == librarian && names.Contains(r.FileName))
                .Select(r => new { r.FileName, r.StoreId })
                .ToListAsync(cancellationToken)
        )
            .Select(r => (r.FileName, r.StoreId))
            .ToHashSet();
        var outdated = saidAt is { } written && await WentBackSinceAsync(db, librarian, written, cancellationToken);
        var fresh = stored
            .Select(d => new RemoteCopy
            {
                FileName = known[d.Key].FileName,
                PeerId = librarian,
                StoreId = d.Value.StoreId!.Value,
                CopyTime = now,
                Sender = sender,
                UnconfirmedSince = outdated ? now : null,
            })
            .Where(r => copies.Add((r.FileName, r.StoreId)))
            .ToList();
        await db.InsertRowsAsync(fresh, cancellationToken);
        // A copy in doubt is confirmed by its holder's report. A report from before the holder was restored from a backup confirms nothing.
        var stores = stored.Values.Select(d => d.StoreId!.Value).Distinct().ToList();
        if (!outdated)
            await db
                .RemoteCopies.Where(r =>
                    r.PeerId == librarian && names.Contains(r.FileName) && stores.Contains(r.StoreId) && r.UnconfirmedSince != null
                )
                .ExecuteUpdateAsync(s => s.SetProperty(r => r.UnconfirmedSince, (DateTime?)null), cancellationToken);
        foreach (var group in failed.GroupBy(d => d.Message ?? "The destination did not take it."))
            await outgoing.FailAsync(db, [.. group.Select(d => d.TransferId)], group.Key, cancellationToken);
        return refused;
    }

    /// <summary>
    /// Updates drives whose transfers have ended, in the same transaction: a delivered file's copy on the drive has become the
    /// destination's remote copy, and a file that was not accepted is offered to the next drive.
    /// </summary>
    /// <returns>Names of drives without unfinished transfers.</returns>
    public static async Task<IReadOnlyList<string>> SettleAsync(
        CatalogContext db,
        IReadOnlyCollection<long> transferIds,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        var drives = await db
            .DriveContents.Where(c => transferIds.Contains(c.OutgoingTransferId!.Value))
            .Select(c => c.DriveRow)
            .Distinct()
            .ToListAsync(cancellationToken);
        if (drives.Count == 0)
            return [];
        await db
            .Copies.Where(i =>
                db.OutgoingTransfers.Any(t => transferIds.Contains(t.Id) && t.CopyId == i.Id && t.Status == TransferStatus.Completed)
                && db.Drives.Any(d => d.StoreId == i.StoreId)
            )
            .ExecuteDeleteAsync(cancellationToken);
        await db
            .DriveContents.Where(c =>
                c.State == DriveContentState.Stored
                && db.OutgoingTransfers.Any(t =>
                    transferIds.Contains(t.Id)
                    && t.Id == c.OutgoingTransferId
                    && (t.Status == TransferStatus.Failed || t.Status == TransferStatus.Cancelled)
                )
            )
            .ExecuteUpdateAsync(s => s.SetProperty(c => c.State, DriveContentState.Undelivered), cancellationToken);
        var finished = new List<long>();
        foreach (var drive in drives)
        {
            if (!await IsAnyOpenAsync(db, drive, cancellationToken))
                finished.Add(drive);
        }

        return await db
            .Drives.Where(d => finished.Contains(d.Id) && d.State == DriveState.InTransit)
            .Select(d => d.Name)
            .ToListAsync(cancellationToken);
    }

    /// <summary>Counts a drive's transfers by outcome.</summary>
    public static async Task<DeliveryCounts> CountAsync(CatalogContext db, long driveRow, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        var counts = await db
            .DriveContents.Where(c => c.DriveRow == driveRow && c.OutgoingTransferId != null)
            .Join(db.OutgoingTransfers, c => c.OutgoingTransferId, t => t.Id, (c, t) => t.Status)
            .GroupBy(s => s)
            .Select(g => new { g.Key, Count = g.LongCount() })
            .ToListAsync(cancellationToken);
        long Of(params TransferStatus[] states) => counts.Where(c => states.Contains(c.Key)).Sum(c => c.Count);
        return new DeliveryCounts(
            Of(OutgoingTransfers.Unfinished),
            Of(TransferStatus.Completed),
            Of(TransferStatus.Failed, TransferStatus.Cancelled)
        );
    }

    /// <summary>
    /// Moves a drive from IN_TRANSIT to REUSABLE when its manifest is written and no transfer is open; true when it became reusable now.
    /// </summary>
    public async Task<bool> FinishAsync(CatalogContext db, long driveRow, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        CatalogDatabase.AllowLongStatements(db);
        if (await IsAnyOpenAsync(db, driveRow, cancellationToken))
            return false;
        var now = Now;
        // Checked again in the statement that changes the state: a transfer may have been reopened since.
        return await db
                .Drives.Where(d =>
                    d.Id == driveRow
                    && d.State == DriveState.InTransit
                    && d.ManifestSha256 != null
                    && !db.DriveContents.Any(c =>
                        c.DriveRow == d.Id
                        && db.OutgoingTransfers.Any(t => t.Id == c.OutgoingTransferId && OutgoingTransfers.Unfinished.Contains(t.Status))
                    )
                )
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(d => d.State, DriveState.Reusable)
                            .SetProperty(d => d.StateSince, now)
                            .SetProperty(d => d.Problem, (string?)null),
                    cancellationToken
                ) > 0;
    }

    /// <summary>Allows a drive to be wiped if every file on it is at its destination or has another copy here.</summary>
    public async Task<DriveAnswer> RecycleAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        CatalogDatabase.AllowLongStatements(db);
        ArgumentNullException.ThrowIfNull(drive);
        if (drive.State == DriveState.Recycling)
            return DriveAnswer.Done($"Drive '{drive.Name}' is being wiped.");
        if (drive.State != DriveState.Reusable)
        {
            var counts = await CountAsync(db, drive.Id, cancellationToken);
            return new DriveAnswer(
                "drive.not_reusable",
                $"Drive '{drive.Name}' is {drive.State}, {counts.Open} of its files have not been acknowledged by '{drive.Destination}'. "
                    + "Nothing was wiped. Wait for the callbacks, apply the receipt with 'librarian drive acknowledge', "
                    + "or give the drive up with --lost."
            );
        }

        if (await OnlyCopyAsync(db, drive, cancellationToken) is { } name)
            return new DriveAnswer(OnlyCopy, OnlyCopyMessage(drive, name));
        var now = Now;
        await db
            .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Reusable)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(d => d.State, DriveState.Recycling)
                        .SetProperty(d => d.StateSince, now)
                        .SetProperty(d => d.Problem, (string?)null),
                cancellationToken
            );
        return DriveAnswer.Done($"Drive '{drive.Name}' is wiped as soon as it is plugged in at {drive.MountPath}, and then filled again.");
    }

    /// <summary>
    /// Releases every file of a drive that will not come back, so that other drives and links carry them; the drive's name stays taken
    /// until it is initialised again.
    /// </summary>
    public async Task<DriveAnswer> AbandonAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        CatalogDatabase.AllowLongStatements(db);
        ArgumentNullException.ThrowIfNull(drive);
        if (drive.State == DriveState.Lost)
            return DriveAnswer.Done($"Drive '{drive.Name}' was recorded as lost before.");
        var last =
            drive.State == DriveState.Recycling
                ? []
                : await OnlyCopies(db, drive).OrderBy(n => n).Take(MostNamed).ToListAsync(cancellationToken);
        var named = string.Join(", ", last.Select(n => $"'{n}'"));
        var gone =
            last.Count == 0 ? ""
            : await OnlyCopies(db, drive).CountAsync(cancellationToken) is var count
                ? string.Create(
                    System.Globalization.CultureInfo.InvariantCulture,
                    $" {count} of them have no other copy here or at '{drive.Destination}' and are gone with it, "
                        + $"unless it turns up there: {named}{(count > last.Count ? ", …" : "")}."
                )
            : "";
        var now = Now;
        var row = drive.Id;
        // No pause: the next drive or the link may take them at once.
        var open = await Open(db, row)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Cancelled)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.FailureReason, $"Drive '{drive.Name}' was lost."),
                cancellationToken
            );
        await ForgetContentsAsync(db, drive, cancellationToken);
        await db
            .Drives.Where(d => d.Id == row)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(d => d.State, DriveState.Lost)
                        .SetProperty(d => d.StateSince, now)
                        .SetProperty(d => d.Problem, (string?)null),
                cancellationToken
            );
        return DriveAnswer.Done(
            $"Drive '{drive.Name}' is recorded as lost; {open} unacknowledged files are offered again, as far as there is a copy.{gone}"
        );
    }

    /// <summary>Wipes a plugged drive and begins its next trip; returns success or the obstacle.</summary>
    /// <remarks>
    /// Data first, catalog second: a crash leaves a partly wiped drive in state RECYCLING, and the wipe continues. That nothing on the
    /// drive is needed is checked again here, because weeks may pass between <see cref="RecycleAsync"/> and the drive's return.
    /// </remarks>
    public async Task<DriveAnswer> WipeAsync(
        CatalogDatabase database,
        Drive drive,
        SitePublicKey key,
        string site,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(database);
        ArgumentNullException.ThrowIfNull(drive);
        await using (var check = database.Open())
        {
            CatalogDatabase.AllowLongStatements(check);
            if (await OnlyCopyAsync(check, drive, cancellationToken) is { } name)
                return await KeepAsync(database, drive, OnlyCopyMessage(drive, name), cancellationToken);
        }

        using var held = new DriveMedium(drive).TryHold();
        if (held is null)
            return new DriveAnswer(
                "drive.not_plugged",
                $"{drive.MountPath} is not drive '{drive.Name}'. Plug it in and mount it; it is then wiped by itself."
            );
        // Held until the end of the transaction: the next process finds either nothing done or the next trip.
        using var hold = DriveLock.TryTake(held.Path, out var why);
        if (hold is null)
            return new DriveAnswer("drive.busy", $"Drive '{drive.Name}' is not wiped: {held.Shown(why)}");
        await using var db = database.Open();
        CatalogDatabase.AllowLongStatements(db);
        if (!await db.Drives.AnyAsync(d => d.Id == drive.Id && d.State == DriveState.Recycling && d.Trip == drive.Trip, cancellationToken))
            return DriveAnswer.Done($"Drive '{drive.Name}' was wiped by another process of this site.");
        if (OtherTrip(drive, held) is { } other)
            return other;
        if (await MissingProofAsync(database, drive, cancellationToken) is { } unproven)
            return unproven.Code == OnlyCopy ? await KeepAsync(database, drive, unproven.Message, cancellationToken) : unproven;
        if (await held.Store.WipeAsync(cancellationToken) is { IsGone: false } left)
            return new DriveAnswer("drive.wipe_failed", left.Message);
        try
        {
            foreach (
                var file in new[]
                {
                    ManifestWriter.FileName,
                    ReceiptWriter.FileName,
                    UpstreamManifest.FileName,
                    "SHA256SUMS",
                    "README.txt",
                    "MANIFEST.html",
                }
            )
                File.Delete(Path.Combine(held.Path, file));
            await MarkerOf(drive, key, site, drive.Trip + 1, Now).WriteAsync(held.Path, cancellationToken);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer(
                "drive.wipe_failed",
                $"Drive '{drive.Name}' could not be wiped: {held.Shown(e.Message)}. It is tried again."
            );
        }

        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var now = Now;
        await ForgetContentsAsync(db, drive, cancellationToken);
        await db
            .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Recycling)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(d => d.State, DriveState.Filling)
                        .SetProperty(d => d.StateSince, now)
                        .SetProperty(d => d.Trip, drive.Trip + 1)
                        .SetProperty(d => d.ManifestTime, (DateTime?)null)
                        .SetProperty(d => d.ManifestSha256, (string?)null)
                        .SetProperty(d => d.ManifestOnDrive, false)
                        .SetProperty(d => d.Problem, (string?)null),
                cancellationToken
            );
        await transaction.CommitAsync(cancellationToken);
        return DriveAnswer.Done($"Drive '{drive.Name}' is empty and begins trip {drive.Trip + 1}.");
    }

    /// <summary>Returns a drive to REUSABLE, for a person to decide, because it may hold the last copy of a file.</summary>
    private static async Task<DriveAnswer> KeepAsync(CatalogDatabase database, Drive drive, string why, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        // The trip is compared too: another process may have wiped the drive meanwhile, and this answer is about its contents before that.
        await db
            .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Recycling && d.Trip == drive.Trip)
            .ExecuteUpdateAsync(s => s.SetProperty(d => d.State, DriveState.Reusable), cancellationToken);
        return new DriveAnswer(OnlyCopy, why);
    }

    public static DriveMarker MarkerOf(Drive drive, SitePublicKey key, string site, int trip, DateTime now)
    {
        ArgumentNullException.ThrowIfNull(drive);
        return new DriveMarker
        {
            DriveId = drive.DriveId,
            Name = drive.Name,
            Site = site,
            SiteKey = key,
            Destination = drive.Destination,
            Trip = trip,
            Initialised = new DateTime(now.Ticks - (now.Ticks % 10), DateTimeKind.Utc),
        };
    }

    /// <summary>
    /// Whether a drive has unfinished transfers. Destinations report in the order of the manifest: while its last file is open, that one
    /// row answers, so that a trip of a million files is not scanned after every thousand reports.
    /// </summary>
    private static async Task<bool> IsAnyOpenAsync(CatalogContext db, long driveRow, CancellationToken cancellationToken)
    {
        var last = await db
            .DriveContents.Where(c => c.DriveRow == driveRow)
            .OrderByDescending(c => c.Id)
            .Select(c => c.OutgoingTransferId)
            .FirstOrDefaultAsync(cancellationToken);
        return (
                last is not null
                && await db.OutgoingTransfers.AnyAsync(
                    t => t.Id == last && OutgoingTransfers.Unfinished.Contains(t.Status),
                    cancellationToken
                )
            ) || await Open(db, driveRow).AnyAsync(cancellationToken);
    }

    private static IQueryable<OutgoingTransfer> Open(CatalogContext db, long driveRow) =>
        db.OutgoingTransfers.Where(t =>
            OutgoingTransfers.Unfinished.Contains(t.Status)
            && db.DriveContents.Any(c => c.DriveRow == driveRow && c.OutgoingTransferId == t.Id)
        );

    private static string OnlyCopyMessage(Drive drive, string name) =>
        $"'{name}' has no copy at '{drive.Destination}' and none on another store here: "
        + $"drive '{drive.Name}' may hold the last one. Nothing was wiped. Copy it back, or bring it to the destination, first.";

    private static Task<string?> OnlyCopyAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken) =>
        OnlyCopies(db, drive).Select(n => (string?)n).FirstOrDefaultAsync(cancellationToken);

    private static IQueryable<string> OnlyCopies(CatalogContext db, Drive drive) =>
        Unacknowledged(db, drive)
            .Where(c =>
                !db.IntactCopies.Any(i =>
                    i.FileName == c.FileName && i.StoreId != drive.StoreId && !db.Drives.Any(d => d.StoreId == i.StoreId)
                )
            )
            .Select(c => c.FileName);

    private static async Task ForgetContentsAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        await db.Copies.Where(i => i.StoreId == drive.StoreId).ExecuteDeleteAsync(cancellationToken);
        await db
            .DriveMembers.Where(m => db.DriveContents.Any(c => c.Id == m.ContentId && c.DriveRow == drive.Id))
            .ExecuteDeleteAsync(cancellationToken);
        await db.DriveContents.Where(c => c.DriveRow == drive.Id).ExecuteDeleteAsync(cancellationToken);
    }
}
