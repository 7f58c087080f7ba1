using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>The source's side of a drive's trip after it has left: reports of the destination.</summary>
public sealed class DriveDeliveries(OutgoingTransfers outgoing, TimeProvider time)
{
    /// <summary>Most reports in one call.</summary>
    public const int MaxBatch = 1000;

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
        var reports = await SortAsync(db, deliveries, destination, cancellationToken);
        var now = time.GetUtcNow().UtcDateTime;
        await CompleteAsync(db, [.. reports.Stored.Keys], now, cancellationToken);
        await RecordCopiesAsync(db, librarian, sender, reports.Stored, saidAt, now, cancellationToken);
        foreach (var group in reports.Failed.GroupBy(d => d.Message ?? "The destination did not take it."))
            await outgoing.FailAsync(db, [.. group.Select(d => d.TransferId)], group.Key, cancellationToken);
        return reports.Refused;
    }

    /// <summary>Tells the reports that are recorded from those that do not fit the catalog.</summary>
    private static async Task<SortedReports> SortAsync(
        CatalogContext db,
        IReadOnlyList<Delivery> deliveries,
        string destination,
        CancellationToken cancellationToken
    )
    {
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
        var reports = new SortedReports([], [], []);
        foreach (var delivery in deliveries)
        {
            if (!known.TryGetValue(delivery.TransferId, out var transfer))
                reports.Refused.Add(new RefusedDelivery(delivery.TransferId, "There is no such transfer to this destination."));
            else if (transfer.FileName != delivery.Name || transfer.TransferChecksum != delivery.Checksum)
                reports.Refused.Add(
                    new RefusedDelivery(
                        delivery.TransferId,
                        $"Transfer {delivery.TransferId} is of another file. The manifest is of an earlier catalog of this site: "
                            + "bring the drive back, or restore that catalog."
                    )
                );
            else if (delivery.StoreId is null && transfer.Status == TransferStatus.Completed)
                reports.Refused.Add(new RefusedDelivery(delivery.TransferId, "It was reported as stored before."));
            else if (delivery.StoreId is null)
                reports.Failed.Add(delivery);
            // The drive had been written off, or the link was faster: the copy exists nevertheless.
            else
                reports.Stored[delivery.TransferId] = delivery;
        }

        return reports;
    }

    private static async Task CompleteAsync(CatalogContext db, List<long> storedIds, DateTime now, CancellationToken cancellationToken) =>
        await db
            .OutgoingTransfers.Where(t => storedIds.Contains(t.Id) && t.Status != TransferStatus.Completed)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Completed)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.FailureReason, (string?)null),
                cancellationToken
            );

    /// <summary>Records the copies at the destination.</summary>
    /// <param name="db">The caller's unit of work.</param>
    /// <param name="librarian">The destination's row.</param>
    /// <param name="sender">This site's name.</param>
    /// <param name="stored">Reports of stored files, by transfer.</param>
    /// <param name="saidAt">UTC time at which the receipt was written, or null.</param>
    /// <param name="now">UTC time.</param>
    /// <param name="cancellationToken">Cancels.</param>
    private static async Task RecordCopiesAsync(
        CatalogContext db,
        long librarian,
        string sender,
        Dictionary<long, Delivery> stored,
        DateTime? saidAt,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        List<string> names = [.. stored.Values.Select(d => d.Name).Distinct()];
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
                FileName = d.Value.Name,
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
    }

    /// <summary>
    /// Whether a peer may have been restored from a backup since a receipt was written: then the receipt may list copies that are gone. The
    /// catalog does not record which peer was restored, and the clocks of two sites may differ by an hour; so copies are put in doubt too
    /// often, and the site asks the peer for them. A peer that has never sent its catalog id cannot be asked, and its receipts are trusted.
    /// </summary>
    private static async Task<bool> WentBackSinceAsync(
        CatalogContext db,
        long librarian,
        DateTime written,
        CancellationToken cancellationToken
    )
    {
        var since = written - TimeSpan.FromHours(1);
        var restores = db.CatalogIncarnations.Where(c => c.Id.StartsWith(Peers.PeerCatalogs.FormerPrefix) && c.StartedTime > since);
        return await db.Peers.AnyAsync(l => l.Id == librarian && l.CatalogId != null && restores.Any(), cancellationToken);
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
        var now = time.GetUtcNow().UtcDateTime;
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

    /// <summary>A drive's transfers that have not ended.</summary>
    internal static IQueryable<OutgoingTransfer> Open(CatalogContext db, long driveRow) =>
        db.OutgoingTransfers.Where(t =>
            OutgoingTransfers.Unfinished.Contains(t.Status)
            && db.DriveContents.Any(c => c.DriveRow == driveRow && c.OutgoingTransferId == t.Id)
        );

    /// <param name="Stored">Reports of files that are at the destination, by transfer.</param>
    /// <param name="Failed">Reports of files that it did not accept.</param>
    /// <param name="Refused">Reports that do not fit the catalog.</param>
    private sealed record SortedReports(Dictionary<long, Delivery> Stored, List<Delivery> Failed, List<RefusedDelivery> Refused);
}
