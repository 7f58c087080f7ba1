using System.Collections.Concurrent;
using System.Globalization;
using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>State of a drive of this site, and the next step.</summary>
/// <param name="Drive">The row.</param>
/// <param name="Files">Files on its present trip.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="IsPlugged">Mounted here now.</param>
/// <param name="FreeBytes">Free space, bytes; -1 when it is not plugged.</param>
/// <param name="Deliveries">Outcomes of its transfers so far.</param>
/// <param name="NextStep">One sentence, with the command if there is one.</param>
public sealed record DriveSituation(
    Drive Drive,
    long Files,
    long Bytes,
    bool IsPlugged,
    long FreeBytes,
    DeliveryCounts Deliveries,
    string NextStep
);

/// <summary>Progress of the ingest of an incoming drive.</summary>
/// <param name="Incoming">The row.</param>
/// <param name="Stored">Files stored from the drive.</param>
/// <param name="AlreadyHere">Files that were here.</param>
/// <param name="Failed">Files not accepted.</param>
/// <param name="Unreported">Decisions that were not reported to the source yet.</param>
/// <param name="NextStep">One sentence.</param>
public sealed record IncomingDriveOverview(
    IncomingDrive Incoming,
    long Stored,
    long AlreadyHere,
    long Failed,
    long Unreported,
    string NextStep
);

/// <summary>
/// Bytes of the present round of each ingest in this process. A round may be one directory of a terabyte, whose row changes only at the
/// end; this shows its progress to people. Nothing depends on it.
/// </summary>
public sealed class DriveProgress
{
    private readonly ConcurrentDictionary<long, long> _bytes = new();

    /// <summary>Call it when a new round of an incoming drive begins, or its last one has been recorded.</summary>
    public void Reset(long incomingDriveId) => _bytes.TryRemove(incomingDriveId, out _);

    /// <summary>Adds copied bytes.</summary>
    public void Add(long incomingDriveId, long bytes) => _bytes.AddOrUpdate(incomingDriveId, bytes, (_, before) => before + bytes);

    /// <summary>Bytes of the round under way.</summary>
    public long Of(long incomingDriveId) => _bytes.GetValueOrDefault(incomingDriveId);
}

/// <summary>Lists drives with their states and next steps; a fixed number of statements for any number of drives.</summary>
public sealed class DriveOverview(CatalogDatabase database, DriveProgress progress)
{
    /// <summary>Drives of this site by name; only the one of the given name if there is one.</summary>
    public async Task<IReadOnlyList<DriveSituation>> ListDrivesAsync(string? name, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var drives = await db
            .Drives.AsNoTracking()
            .Where(d => name == null || d.Name == name)
            .OrderBy(d => d.Name)
            .ToListAsync(cancellationToken);
        var rows = drives.ConvertAll(d => d.Id);
        var loads = await db
            .DriveContents.Where(c => rows.Contains(c.DriveRow))
            .Where(c => c.State == DriveContentState.Stored || c.State == DriveContentState.Undelivered)
            .GroupBy(c => c.DriveRow)
            .Select(g => new
            {
                g.Key,
                Files = g.LongCount(),
                Bytes = g.Sum(c => c.Size),
            })
            .ToDictionaryAsync(g => g.Key, cancellationToken);
        var deliveries = (
            await db
                .DriveContents.Where(c => rows.Contains(c.DriveRow) && c.OutgoingTransferId != null)
                .Join(db.OutgoingTransfers, c => c.OutgoingTransferId, t => t.Id, (c, t) => new { c.DriveRow, t.Status })
                .GroupBy(x => new { x.DriveRow, x.Status })
                .Select(g => new
                {
                    g.Key.DriveRow,
                    g.Key.Status,
                    Count = g.LongCount(),
                })
                .ToListAsync(cancellationToken)
        ).ToLookup(x => x.DriveRow);
        return
        [
            .. drives.Select(drive =>
            {
                var medium = new DriveMedium(drive);
                var plugged = medium.IsPlugged;
                long Of(params TransferStatus[] states) => deliveries[drive.Id].Where(x => states.Contains(x.Status)).Sum(x => x.Count);
                var counts = new DeliveryCounts(
                    Of(Transfers.OutgoingTransfers.Unfinished),
                    Of(TransferStatus.Completed),
                    Of(TransferStatus.Failed, TransferStatus.Cancelled)
                );
                var load = loads.GetValueOrDefault(drive.Id);
                return new DriveSituation(
                    drive,
                    load?.Files ?? 0,
                    load?.Bytes ?? 0,
                    plugged,
                    plugged ? medium.Store.FreeBytes() : -1,
                    counts,
                    NextStep(drive, plugged, counts)
                );
            }),
        ];
    }

    /// <summary>Incoming drives, newest first.</summary>
    public async Task<IReadOnlyList<IncomingDriveOverview>> ListArrivalsAsync(string? name, CancellationToken cancellationToken)
    {
        const int most = 200;
        await using var db = database.Open();
        var incoming = await db
            .IncomingDrives.AsNoTracking()
            .Where(a => name == null || a.Name == name)
            .OrderByDescending(a => a.Id)
            .Take(most)
            .ToListAsync(cancellationToken);
        var ids = incoming.ConvertAll(a => a.Id);
        var counts = (
            await db
                .IncomingDriveFiles.Where(f => ids.Contains(f.IncomingDriveId))
                .GroupBy(f => new
                {
                    f.IncomingDriveId,
                    f.Outcome,
                    f.Reported,
                })
                .Select(g => new
                {
                    g.Key.IncomingDriveId,
                    g.Key.Outcome,
                    g.Key.Reported,
                    Count = g.LongCount(),
                })
                .ToListAsync(cancellationToken)
        ).ToLookup(c => c.IncomingDriveId);
        return
        [
            .. incoming.Select(incoming =>
            {
                long Of(DriveFileOutcome outcome) => counts[incoming.Id].Where(c => c.Outcome == outcome).Sum(c => c.Count);
                var unreported = counts[incoming.Id].Where(c => !c.Reported).Sum(c => c.Count);
                var failed = Of(DriveFileOutcome.Failed);
                if (incoming.State == IncomingDriveState.Ingesting)
                    incoming.BytesDone = Math.Min(incoming.Bytes, incoming.BytesDone + progress.Of(incoming.Id));
                return new IncomingDriveOverview(
                    incoming,
                    Of(DriveFileOutcome.Stored),
                    Of(DriveFileOutcome.AlreadyHere),
                    failed,
                    unreported,
                    NextStep(incoming, failed, unreported)
                );
            }),
        ];
    }

    private static string NextStep(Drive drive, bool plugged, DeliveryCounts counts) =>
        drive.State switch
        {
            DriveState.Filling when drive.Problem is { } problem => problem,
            DriveState.Filling => plugged
                ? "Nothing to do: it is filled by itself. To send it off before it is full: librarian drive manifest CONN " + drive.Name
                : $"Plug it in and mount it at {drive.MountPath}.",
            DriveState.Full => $"Write its manifest, then carry it to '{drive.Destination}': librarian drive manifest CONN {drive.Name}",
            DriveState.InTransit when !drive.ManifestOnDrive => drive.Problem ?? "Wait: its manifest is being written.",
            DriveState.InTransit => string.Create(
                CultureInfo.InvariantCulture,
                $"Carry it to '{drive.Destination}' and there: librarian drive ingest CONN PATH. "
                    + $"{counts.Delivered} of {counts.Open + counts.Delivered + counts.Failed} files acknowledged. "
                    + $"If it is lost: librarian drive recycle CONN {drive.Name} --lost"
            ),
            DriveState.Reusable when counts.Failed > 0 => string.Create(
                CultureInfo.InvariantCulture,
                $"Every file was acknowledged ({counts.Failed} were not taken and go on the next drive): "
                    + $"librarian drive recycle CONN {drive.Name}"
            ),
            DriveState.Reusable => $"Every file was acknowledged: librarian drive recycle CONN {drive.Name}",
            DriveState.Recycling => drive.Problem ?? "Wait: it is being wiped.",
            _ => "Given up. If it turns up again, empty it and: "
                + $"librarian drive init CONN {drive.Name} PATH --destination {drive.Destination}",
        };

    private static string NextStep(IncomingDrive incoming, long failed, long unreported) =>
        incoming.State switch
        {
            IncomingDriveState.Ingesting => incoming.Problem ?? "Wait: it is being ingested.",
            _ when failed > 0 => $"Done, {failed.ToString(CultureInfo.InvariantCulture)} files were not taken: "
                + $"librarian drive status CONN {incoming.Name} lists them. "
                + $"To try them again: librarian drive ingest CONN {incoming.MountPath}",
            _ when incoming.Problem is { } problem =>
                $"Done, but {problem} Plug the drive in and repeat 'librarian drive ingest CONN {incoming.MountPath}', "
                    + "or send the receipt another way: librarian drive receipt.",
            _ when unreported > 0 =>
                $"Done; {unreported.ToString(CultureInfo.InvariantCulture)} files are still to be reported to '{incoming.Source}', "
                    + "by itself when it can be reached, or by the receipt on the drive.",
            _ => "Done. The drive may be carried back.",
        };
}
