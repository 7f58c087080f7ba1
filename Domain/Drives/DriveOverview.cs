using System.Collections.Concurrent;
using System.Globalization;
using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>Where a drive of this site is, and what to do next.</summary>
/// <param name="Drive">The row.</param>
/// <param name="Files">Files on its present trip.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="IsPlugged">Mounted here now.</param>
/// <param name="FreeBytes">Room left, bytes; -1 when it is not plugged.</param>
/// <param name="Deliveries">What has been heard of its files.</param>
/// <param name="NextStep">One sentence, with the command where there is one.</param>
public sealed record DriveSituation(Drive Drive, long Files, long Bytes, bool IsPlugged, long FreeBytes, DeliveryCounts Deliveries, string NextStep);

/// <summary>How far the ingest of another site's drive is.</summary>
/// <param name="Arrival">The row.</param>
/// <param name="Stored">Files taken from the drive.</param>
/// <param name="AlreadyHere">Files that were here.</param>
/// <param name="Failed">Files not taken.</param>
/// <param name="Untold">Decisions the source has not heard of.</param>
/// <param name="NextStep">One sentence.</param>
public sealed record ArrivalSituation(DriveArrival Arrival, long Stored, long AlreadyHere, long Failed, long Untold, string NextStep);

/// <summary>
/// Bytes of the present round of each ingest in this process. A round may be one book of a terabyte; its row changes only at the end, and whoever looks on
/// wants to see it move. Nothing depends on it.
/// </summary>
public sealed class DriveProgress
{
    private readonly ConcurrentDictionary<long, long> _bytes = new();

    /// <summary>A new round of an arrival begins, or its last one has been recorded.</summary>
    public void Reset(long arrivalId) => _bytes.TryRemove(arrivalId, out _);

    /// <summary>Bytes were copied.</summary>
    public void Add(long arrivalId, long bytes) => _bytes.AddOrUpdate(arrivalId, bytes, (_, before) => before + bytes);

    /// <summary>Bytes of the round under way.</summary>
    public long Of(long arrivalId) => _bytes.GetValueOrDefault(arrivalId);
}

/// <summary>Answers "where is it and what next" about drives; a fixed number of statements for any number of them.</summary>
public sealed class DriveOverview(CatalogDatabase database, DriveProgress progress)
{
    /// <summary>Drives of this site by name; one when it is named.</summary>
    public async Task<IReadOnlyList<DriveSituation>> ListDrivesAsync(string? name, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var drives = await db.Drives.AsNoTracking().Where(d => name == null || d.Name == name).OrderBy(d => d.Name).ToListAsync(cancellationToken);
        var rows = drives.ConvertAll(d => d.Id);
        var loads = await db.DriveContents.Where(c => rows.Contains(c.DriveRow)).Where(c => c.State == DriveContentState.Stored || c.State == DriveContentState.Undelivered).GroupBy(c => c.DriveRow)
            .Select(g => new { g.Key, Files = g.LongCount(), Bytes = g.Sum(c => c.Size) }).ToDictionaryAsync(g => g.Key, cancellationToken);
        var deliveries = (await db.DriveContents.Where(c => rows.Contains(c.DriveRow) && c.OutgoingTransferId != null).Join(db.OutgoingTransfers, c => c.OutgoingTransferId, t => t.Id, (c, t) => new { c.DriveRow, t.Status })
            .GroupBy(x => new { x.DriveRow, x.Status }).Select(g => new { g.Key.DriveRow, g.Key.Status, Count = g.LongCount() }).ToListAsync(cancellationToken)).ToLookup(x => x.DriveRow);
        return [.. drives.Select(drive =>
        {
            var medium = new DriveMedium(drive);
            var plugged = medium.IsPlugged;
            long Of(params TransferStatus[] states) => deliveries[drive.Id].Where(x => states.Contains(x.Status)).Sum(x => x.Count);
            var counts = new DeliveryCounts(Of(Transfers.OutgoingTransfers.Unfinished), Of(TransferStatus.Completed), Of(TransferStatus.Failed, TransferStatus.Cancelled));
            var load = loads.GetValueOrDefault(drive.Id);
            return new DriveSituation(drive, load?.Files ?? 0, load?.Bytes ?? 0, plugged, plugged ? medium.Store.FreeBytes() : -1, counts, NextStep(drive, plugged, counts));
        })];
    }

    /// <summary>Drives of other sites that were plugged in here, newest first.</summary>
    public async Task<IReadOnlyList<ArrivalSituation>> ListArrivalsAsync(string? name, CancellationToken cancellationToken)
    {
        const int most = 200;
        await using var db = database.Open();
        var arrivals = await db.DriveArrivals.AsNoTracking().Where(a => name == null || a.Name == name).OrderByDescending(a => a.Id).Take(most).ToListAsync(cancellationToken);
        var ids = arrivals.ConvertAll(a => a.Id);
        var counts = (await db.DriveArrivalFiles.Where(f => ids.Contains(f.ArrivalId)).GroupBy(f => new { f.ArrivalId, f.Outcome, f.Told })
            .Select(g => new { g.Key.ArrivalId, g.Key.Outcome, g.Key.Told, Count = g.LongCount() }).ToListAsync(cancellationToken)).ToLookup(c => c.ArrivalId);
        return [.. arrivals.Select(arrival =>
        {
            long Of(DriveFileOutcome outcome) => counts[arrival.Id].Where(c => c.Outcome == outcome).Sum(c => c.Count);
            var untold = counts[arrival.Id].Where(c => !c.Told).Sum(c => c.Count);
            var failed = Of(DriveFileOutcome.Failed);
            if (arrival.State == DriveArrivalState.Ingesting) arrival.BytesDone = Math.Min(arrival.Bytes, arrival.BytesDone + progress.Of(arrival.Id));
            return new ArrivalSituation(arrival, Of(DriveFileOutcome.Stored), Of(DriveFileOutcome.AlreadyHere), failed, untold, NextStep(arrival, failed, untold));
        })];
    }

    private static string NextStep(Drive drive, bool plugged, DeliveryCounts counts) => drive.State switch
    {
        DriveState.Filling when drive.Problem is { } problem => problem,
        DriveState.Filling => plugged ? "Nothing to do: it is filled by itself. To send it off before it is full: librarian drive manifest CONN " + drive.Name : $"Plug it in and mount it at {drive.MountPath}.",
        DriveState.Full => $"Write its manifest, then carry it to '{drive.Destination}': librarian drive manifest CONN {drive.Name}",
        DriveState.InTransit when !drive.ManifestOnDrive => drive.Problem ?? "Wait: its manifest is being written.",
        DriveState.InTransit => string.Create(CultureInfo.InvariantCulture, $"Carry it to '{drive.Destination}' and there: librarian drive ingest CONN PATH. {counts.Delivered} of {counts.Open + counts.Delivered + counts.Failed} files acknowledged. If it is lost: librarian drive recycle CONN {drive.Name} --lost"),
        DriveState.Reusable => $"Every file was acknowledged{(counts.Failed > 0 ? string.Create(CultureInfo.InvariantCulture, $" ({counts.Failed} were not taken and go on the next drive)") : "")}: librarian drive recycle CONN {drive.Name}",
        DriveState.Recycling => drive.Problem ?? "Wait: it is being wiped.",
        _ => $"Given up. If it turns up again, empty it and: librarian drive init CONN {drive.Name} PATH --destination {drive.Destination}",
    };

    private static string NextStep(DriveArrival arrival, long failed, long untold) => arrival.State switch
    {
        DriveArrivalState.Ingesting => arrival.Problem ?? "Wait: it is being ingested.",
        _ when failed > 0 => $"Done, {failed.ToString(CultureInfo.InvariantCulture)} files were not taken: librarian drive status CONN {arrival.Name} lists them. To try them again: librarian drive ingest CONN {arrival.MountPath}",
        _ when arrival.Problem is { } problem => $"Done, but {problem} Plug the drive in and repeat 'librarian drive ingest CONN {arrival.MountPath}', or send the receipt another way: librarian drive receipt.",
        _ when untold > 0 => $"Done; {untold.ToString(CultureInfo.InvariantCulture)} files are still to be reported to '{arrival.Source}', by itself when it can be reached, or by the receipt on the drive.",
        _ => "Done. The drive may be carried back.",
    };
}
