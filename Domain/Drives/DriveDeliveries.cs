using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>What a destination says of one delivery.</summary>
/// <param name="TransferId">Our outgoing transfer, from the manifest.</param>
/// <param name="Name">The file, so that a number of another catalog (restored, installed anew) is not taken for ours.</param>
/// <param name="Checksum">Its checksum in the manifest.</param>
/// <param name="StoreId">Its store when it holds the file verified; null when it did not take it.</param>
/// <param name="Message">Why not.</param>
public sealed record Delivery(long TransferId, string Name, string Checksum, long? StoreId, string? Message);

/// <summary>A delivery that could not be recorded.</summary>
/// <param name="TransferId">As told.</param>
/// <param name="Reason">Why.</param>
public sealed record RefusedDelivery(long TransferId, string Reason);

/// <summary>How many of a drive's deliveries are in which state.</summary>
/// <param name="Open">Not heard of yet.</param>
/// <param name="Delivered">At the destination.</param>
/// <param name="Failed">Not taken there.</param>
public sealed record DeliveryCounts(long Open, long Delivered, long Failed);

/// <summary>The source's side of a drive's trip after it has left: deliveries, reuse, loss.</summary>
public sealed class DriveDeliveries(OutgoingTransfers outgoing, TimeProvider time)
{
    private const int MostNamed = 10;

    /// <summary>Most deliveries in one call.</summary>
    public const int MaxBatch = 1000;

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    /// <summary>
    /// Records what a destination says, in the caller's transaction and with a fixed number of statements. Telling it twice is harmless; a
    /// file that is stored is never unlearnt. Call <see cref="SettleAsync"/> with all ids afterwards.
    /// </summary>
    /// <param name="db">Unit of work in a transaction.</param>
    /// <param name="deliveries">At most <see cref="MaxBatch"/>.</param>
    /// <param name="destination">Who says so.</param>
    /// <param name="sender">Our own name.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task<IReadOnlyList<RefusedDelivery>> RecordAsync(CatalogContext db, IReadOnlyList<Delivery> deliveries, string destination, string sender, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(deliveries);
        if (await db.Librarians.Where(l => l.Name == destination).Select(l => (long?)l.Id).SingleOrDefaultAsync(cancellationToken) is not { } librarian)
            return [.. deliveries.Select(d => new RefusedDelivery(d.TransferId, $"'{destination}' is not a registered librarian."))];
        List<long> ids = [.. deliveries.Select(d => d.TransferId).Distinct()];
        var known = await db.OutgoingTransfers.AsNoTracking().Where(t => ids.Contains(t.Id) && t.Destination == destination)
            .Select(t => new { t.Id, t.Status, t.FileName, t.TransferChecksum }).ToDictionaryAsync(t => t.Id, cancellationToken);
        var refused = new List<RefusedDelivery>();
        var stored = new Dictionary<long, Delivery>();
        var failed = new List<Delivery>();
        foreach (var delivery in deliveries)
        {
            if (!known.TryGetValue(delivery.TransferId, out var transfer)) refused.Add(new RefusedDelivery(delivery.TransferId, "There is no such transfer to this destination."));
            else if (transfer.FileName != delivery.Name || transfer.TransferChecksum != delivery.Checksum)
                refused.Add(new RefusedDelivery(delivery.TransferId, $"Transfer {delivery.TransferId} is of another file. The manifest is of an earlier catalog of this site: bring the drive back, or restore that catalog."));
            else if (delivery.StoreId is null && transfer.Status == TransferStatus.Completed) refused.Add(new RefusedDelivery(delivery.TransferId, "It was reported as stored before."));
            else if (delivery.StoreId is null) failed.Add(delivery);
            // A drive that had been given up, or a delivery that the link overtook: the copy exists all the same.
            else stored[delivery.TransferId] = delivery;
        }

        List<long> storedIds = [.. stored.Keys];
        List<string> names = [.. storedIds.Select(id => known[id].FileName).Distinct()];
        var now = Now;
        await db.OutgoingTransfers.Where(t => storedIds.Contains(t.Id) && t.Status != TransferStatus.Completed)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Completed).SetProperty(t => t.EndTime, now).SetProperty(t => t.FailureReason, (string?)null), cancellationToken);
        var copies = (await db.RemoteInstances.AsNoTracking().Where(r => r.LibrarianId == librarian && names.Contains(r.FileName)).Select(r => new { r.FileName, r.StoreId }).ToListAsync(cancellationToken))
            .Select(r => (r.FileName, r.StoreId)).ToHashSet();
        var fresh = stored.Select(d => new RemoteInstance { FileName = known[d.Key].FileName, LibrarianId = librarian, StoreId = d.Value.StoreId!.Value, CopyTime = now, Sender = sender })
            .Where(r => copies.Add((r.FileName, r.StoreId))).ToList();
        await db.InsertRowsAsync(fresh, cancellationToken);
        foreach (var group in failed.GroupBy(d => d.Message ?? "The destination did not take it."))
            await outgoing.FailAsync(db, [.. group.Select(d => d.TransferId)], group.Key, cancellationToken);
        return refused;
    }

    /// <summary>
    /// What follows for drives when these transfers have ended, in the same transaction: a delivered file's instance on the drive has become
    /// the destination's remote instance, one that was not taken is offered to the next drive.
    /// </summary>
    /// <returns>Names of drives that have nothing open any more.</returns>
    public static async Task<IReadOnlyList<string>> SettleAsync(CatalogContext db, IReadOnlyCollection<long> transferIds, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        var drives = await db.DriveContents.Where(c => transferIds.Contains(c.OutgoingTransferId!.Value)).Select(c => c.DriveRow).Distinct().ToListAsync(cancellationToken);
        if (drives.Count == 0) return [];
        await db.Instances.Where(i => db.OutgoingTransfers.Any(t => transferIds.Contains(t.Id) && t.InstanceId == i.Id && t.Status == TransferStatus.Completed) && db.Drives.Any(d => d.StoreId == i.StoreId))
            .ExecuteDeleteAsync(cancellationToken);
        await db.DriveContents.Where(c => c.State == DriveContentState.Stored && db.OutgoingTransfers.Any(t => transferIds.Contains(t.Id) && t.Id == c.OutgoingTransferId && (t.Status == TransferStatus.Failed || t.Status == TransferStatus.Cancelled)))
            .ExecuteUpdateAsync(s => s.SetProperty(c => c.State, DriveContentState.Undelivered), cancellationToken);
        var finished = new List<long>();
        foreach (var drive in drives)
        {
            if (!await IsAnyOpenAsync(db, drive, cancellationToken)) finished.Add(drive);
        }

        return await db.Drives.Where(d => finished.Contains(d.Id) && d.State == DriveState.InTransit).Select(d => d.Name).ToListAsync(cancellationToken);
    }

    /// <summary>Where a drive's deliveries stand.</summary>
    public static async Task<DeliveryCounts> CountAsync(CatalogContext db, long driveRow, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        var counts = await db.DriveContents.Where(c => c.DriveRow == driveRow && c.OutgoingTransferId != null)
            .Join(db.OutgoingTransfers, c => c.OutgoingTransferId, t => t.Id, (c, t) => t.Status).GroupBy(s => s).Select(g => new { g.Key, Count = g.LongCount() }).ToListAsync(cancellationToken);
        long Of(params TransferStatus[] states) => counts.Where(c => states.Contains(c.Key)).Sum(c => c.Count);
        return new DeliveryCounts(Of(OutgoingTransfers.Unfinished), Of(TransferStatus.Completed), Of(TransferStatus.Failed, TransferStatus.Cancelled));
    }

    /// <summary>IN_TRANSIT becomes REUSABLE when the manifest is out and nothing is open; true when it is reusable now.</summary>
    public async Task<bool> FinishAsync(CatalogContext db, long driveRow, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        CatalogDatabase.AllowLongStatements(db);
        if (await IsAnyOpenAsync(db, driveRow, cancellationToken)) return false;
        var now = Now;
        // Asked again in the statement that changes the state: a delivery may have been reopened since.
        return await db.Drives.Where(d => d.Id == driveRow && d.State == DriveState.InTransit && d.ManifestSha256 != null
                && !db.DriveContents.Any(c => c.DriveRow == d.Id && db.OutgoingTransfers.Any(t => t.Id == c.OutgoingTransferId && OutgoingTransfers.Unfinished.Contains(t.Status))))
            .ExecuteUpdateAsync(s => s.SetProperty(d => d.State, DriveState.Reusable).SetProperty(d => d.StateSince, now).SetProperty(d => d.Problem, (string?)null), cancellationToken) > 0;
    }

    /// <summary>Allows a drive to be wiped, if every file on it is at its destination or has another copy here.</summary>
    public async Task<DriveAnswer> RecycleAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        CatalogDatabase.AllowLongStatements(db);
        ArgumentNullException.ThrowIfNull(drive);
        if (drive.State == DriveState.Recycling) return DriveAnswer.Done($"Drive '{drive.Name}' is being wiped.");
        if (drive.State != DriveState.Reusable)
        {
            var counts = await CountAsync(db, drive.Id, cancellationToken);
            return new DriveAnswer("drive.not_reusable", $"Drive '{drive.Name}' is {drive.State}, {counts.Open} of its files have not been acknowledged by '{drive.Destination}'. Nothing was wiped. Wait for the callbacks, apply the receipt with 'librarian drive acknowledge', or give the drive up with --lost.");
        }

        if (await OnlyCopyAsync(db, drive, cancellationToken) is { } name)
            return new DriveAnswer("drive.only_copy", OnlyCopyMessage(drive, name));
        var now = Now;
        await db.Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Reusable)
            .ExecuteUpdateAsync(s => s.SetProperty(d => d.State, DriveState.Recycling).SetProperty(d => d.StateSince, now).SetProperty(d => d.Problem, (string?)null), cancellationToken);
        return DriveAnswer.Done($"Drive '{drive.Name}' is wiped as soon as it is plugged in at {drive.MountPath}, and then filled again.");
    }

    /// <summary>Releases every file of a drive that will not come back, so that other drives and links carry them; the drive's name stays taken until it is initialised again.</summary>
    public async Task<DriveAnswer> GiveUpAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        CatalogDatabase.AllowLongStatements(db);
        ArgumentNullException.ThrowIfNull(drive);
        if (drive.State == DriveState.Lost) return DriveAnswer.Done($"Drive '{drive.Name}' was given up before.");
        var last = drive.State == DriveState.Recycling ? [] : await OnlyCopies(db, drive).OrderBy(n => n).Take(MostNamed).ToListAsync(cancellationToken);
        var gone = last.Count == 0 ? "" : await OnlyCopies(db, drive).CountAsync(cancellationToken) is var count
            ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $" {count} of them have no other copy here or at '{drive.Destination}' and are gone with it, unless it turns up there: {string.Join(", ", last.Select(n => $"'{n}'"))}{(count > last.Count ? ", …" : "")}.") : "";
        var now = Now;
        var row = drive.Id;
        // No pause: the next drive or the link takes them at once.
        var open = await Open(db, row).ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Cancelled).SetProperty(t => t.EndTime, now).SetProperty(t => t.FailureReason, $"Drive '{drive.Name}' was lost."), cancellationToken);
        await ForgetContentsAsync(db, drive, cancellationToken);
        await db.Drives.Where(d => d.Id == row).ExecuteUpdateAsync(s => s.SetProperty(d => d.State, DriveState.Lost).SetProperty(d => d.StateSince, now).SetProperty(d => d.Problem, (string?)null), cancellationToken);
        return DriveAnswer.Done($"Drive '{drive.Name}' is given up; {open} files that were not acknowledged are offered again, as far as there is a copy.{gone}");
    }

    /// <summary>Wipes a plugged drive and begins its next trip; what is in the way, or success.</summary>
    /// <remarks>
    /// Data first, catalog second: a crash leaves a partly wiped drive that is RECYCLING, and wiping goes on. Nothing on it is needed: that is looked
    /// at again now, because weeks may lie between <see cref="RecycleAsync"/> and the drive's return.
    /// </remarks>
    public async Task<DriveAnswer> WipeAsync(CatalogDatabase database, Drive drive, SitePublicKey key, string site, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(database);
        ArgumentNullException.ThrowIfNull(drive);
        await using (var look = database.Open())
        {
            CatalogDatabase.AllowLongStatements(look);
            if (await OnlyCopyAsync(look, drive, cancellationToken) is { } name)
            {
                await look.Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Recycling).ExecuteUpdateAsync(s => s.SetProperty(d => d.State, DriveState.Reusable), cancellationToken);
                return new DriveAnswer("drive.only_copy", OnlyCopyMessage(drive, name));
            }
        }

        using (var held = new DriveMedium(drive).TryHold())
        {
            if (held is null) return new DriveAnswer("drive.not_plugged", $"{drive.MountPath} is not drive '{drive.Name}'. Plug it in and mount it; it is then wiped by itself.");
            using var hold = DriveLock.TryTake(held.Path, out var why);
            if (hold is null) return new DriveAnswer("drive.busy", $"Drive '{drive.Name}' is not wiped: {held.Shown(why)}");
            if (await held.Store.WipeAsync(cancellationToken) is { IsGone: false } left) return new DriveAnswer("drive.wipe_failed", left.Message);
            try
            {
                foreach (var file in new[] { ManifestWriter.FileName, ReceiptWriter.FileName, UpstreamManifest.FileName, "SHA256SUMS", "README.txt", "MANIFEST.html" }) File.Delete(Path.Combine(held.Path, file));
                await MarkerOf(drive, key, site, drive.Trip + 1, Now).WriteAsync(held.Path, cancellationToken);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                return new DriveAnswer("drive.wipe_failed", $"Drive '{drive.Name}' could not be wiped: {held.Shown(e.Message)}. It is tried again.");
            }
        }

        await using var db = database.Open();
        CatalogDatabase.AllowLongStatements(db);
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var now = Now;
        await ForgetContentsAsync(db, drive, cancellationToken);
        await db.Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Recycling)
            .ExecuteUpdateAsync(s => s.SetProperty(d => d.State, DriveState.Filling).SetProperty(d => d.StateSince, now).SetProperty(d => d.Trip, drive.Trip + 1).SetProperty(d => d.ManifestTime, (DateTime?)null)
                .SetProperty(d => d.ManifestSha256, (string?)null).SetProperty(d => d.ManifestOnDrive, false).SetProperty(d => d.Problem, (string?)null), cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return DriveAnswer.Done($"Drive '{drive.Name}' is empty and begins trip {drive.Trip + 1}.");
    }

    /// <summary>The marker of a drive's trip.</summary>
    public static DriveMarker MarkerOf(Drive drive, SitePublicKey key, string site, int trip, DateTime now)
    {
        ArgumentNullException.ThrowIfNull(drive);
        return new DriveMarker { DriveId = drive.DriveId, Name = drive.Name, Site = site, SiteKey = key, Destination = drive.Destination, Trip = trip, Initialised = new DateTime(now.Ticks - (now.Ticks % 10), DateTimeKind.Utc) };
    }

    /// <summary>
    /// Whether anything on a drive is not heard of yet. Destinations report in the order of the manifest: while its last file is open, that one
    /// row answers, and a trip of a million files does not look at all of them after every thousand.
    /// </summary>
    private static async Task<bool> IsAnyOpenAsync(CatalogContext db, long driveRow, CancellationToken cancellationToken)
    {
        var last = await db.DriveContents.Where(c => c.DriveRow == driveRow).OrderByDescending(c => c.Id).Select(c => c.OutgoingTransferId).FirstOrDefaultAsync(cancellationToken);
        return (last is not null && await db.OutgoingTransfers.AnyAsync(t => t.Id == last && OutgoingTransfers.Unfinished.Contains(t.Status), cancellationToken))
            || await Open(db, driveRow).AnyAsync(cancellationToken);
    }

    private static IQueryable<OutgoingTransfer> Open(CatalogContext db, long driveRow) =>
        db.OutgoingTransfers.Where(t => OutgoingTransfers.Unfinished.Contains(t.Status) && db.DriveContents.Any(c => c.DriveRow == driveRow && c.OutgoingTransferId == t.Id));

    private static string OnlyCopyMessage(Drive drive, string name) =>
        $"'{name}' has no copy at '{drive.Destination}' and none on another store here: drive '{drive.Name}' may hold the last one. Nothing was wiped. Copy it back, or bring it to the destination, first.";

    private static Task<string?> OnlyCopyAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken) => OnlyCopies(db, drive).Select(n => (string?)n).FirstOrDefaultAsync(cancellationToken);

    private static IQueryable<string> OnlyCopies(CatalogContext db, Drive drive) =>
        db.DriveContents.Where(c => c.DriveRow == drive.Id && (c.State == DriveContentState.Stored || c.State == DriveContentState.Undelivered)
            && !db.RemoteInstances.Any(r => r.FileName == c.FileName && r.Librarian!.Name == drive.Destination)
            && !db.Instances.Any(i => i.FileName == c.FileName && i.StoreId != drive.StoreId && i.Available && !db.Drives.Any(d => d.StoreId == i.StoreId)))
            .Select(c => c.FileName);

    private static async Task ForgetContentsAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        await db.Instances.Where(i => i.StoreId == drive.StoreId).ExecuteDeleteAsync(cancellationToken);
        await db.DriveMembers.Where(m => db.DriveContents.Any(c => c.Id == m.ContentId && c.DriveRow == drive.Id)).ExecuteDeleteAsync(cancellationToken);
        await db.DriveContents.Where(c => c.DriveRow == drive.Id).ExecuteDeleteAsync(cancellationToken);
    }
}
