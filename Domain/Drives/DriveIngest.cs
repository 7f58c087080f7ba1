using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>
/// Ingests the files of an incoming drive, in the order of its manifest, if each can be verified: data read from the drive against the
/// manifest, written data by reading them back. One bad file never blocks the others.
/// </summary>
/// <remarks>
/// A round decides the next entries: it reserves their names (rows of incoming transfers with <c>placing</c> set), adds the files to a
/// store, and records files, copies, decisions and the position in the manifest in one transaction. A crash leaves reservations and perhaps
/// data under their names; the next round starts at the same entries, finds its reservations, and recognises data that it had committed by
/// reading them. The manifest is read from the archive, where its bytes were checked, never from the drive.
/// </remarks>
public sealed class DriveIngest(
    CatalogDatabase database,
    DriveArchive archive,
    IngestWindow window,
    IngestRelease release,
    TimeProvider time
)
{
    /// <summary>
    /// Decides the next entries of an incoming drive. <see cref="IngestRound.Done"/> means that every entry is decided; the caller records
    /// that with <see cref="FinishAsync"/> after it has written the receipt.
    /// </summary>
    /// <param name="incomingDriveId">The incoming drive.</param>
    /// <param name="onBytes">Called with the number of bytes as they are copied.</param>
    /// <param name="cancellationToken">Stops between files.</param>
    public async Task<IngestRoundResult> RoundAsync(long incomingDriveId, Action<long>? onBytes, CancellationToken cancellationToken)
    {
        IncomingDrive incoming;
        await using (var db = database.Open())
        {
            incoming = await db.IncomingDrives.AsNoTracking().SingleAsync(a => a.Id == incomingDriveId, cancellationToken);
            if (incoming.State == IncomingDriveState.Ingested)
                return new IngestRoundResult(IngestRound.Done, "Every file has been decided.");
            await PlannerStatistics.RefreshStaleAsync(
                db,
                cancellationToken,
                "drive_arrival_files",
                "files",
                "incoming_transfers",
                "instances"
            );
        }

        // A stalled process and its successor must not write to one staging directory.
        using var claim = TryClaim(incoming);
        if (claim is null)
            return IngestRoundResult.Waiting($"Another process is ingesting drive '{incoming.Name}'.");
        using var held = OpenDrive.TryTake(
            incoming.IsUpstream ? incoming.DataPath : incoming.MountPath,
            incoming.IsUpstream ? null : incoming.DriveId,
            new LocalStoreOptions
            {
                Name = incoming.Name,
                StagingPath = incoming.DataPath,
                RootPath = incoming.DataPath,
                Ingestable = false,
            }
        );
        if (held is null)
        {
            await release.ReleaseAsync(incoming, cancellationToken);
            return IngestRoundResult.Away(incoming);
        }

        await using var cursor = await archive.OpenManifestAsync(incoming, cancellationToken);
        IngestRoundResult? noRoom = null;
        while (true)
        {
            var (entries, next) = await ManifestWindow.ReadAsync(cursor, cancellationToken);
            if (entries.Count == 0)
                return noRoom ?? new IngestRoundResult(IngestRound.Done, "Every file has been decided.");
            var (result, fits) = await window.DecideAsync(
                incoming,
                held,
                entries,
                noRoom is null ? next : null,
                onBytes,
                cancellationToken
            );
            if (fits)
                return result;
            // Nothing in this window fits anywhere; smaller files behind it may.
            noRoom ??= result;
        }
    }

    /// <summary>Ends an ingest whose entries are all decided.</summary>
    /// <param name="incomingDriveId">The incoming drive.</param>
    /// <param name="problem">Why the receipt is not on the drive; null when it is.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task FinishAsync(long incomingDriveId, string? problem, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var now = time.GetUtcNow().UtcDateTime;
        await db
            .IncomingDrives.Where(a => a.Id == incomingDriveId && a.State == IncomingDriveState.Ingesting)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(a => a.State, IncomingDriveState.Ingested)
                        .SetProperty(a => a.StateSince, now)
                        .SetProperty(a => a.Problem, problem),
                cancellationToken
            );
    }

    private FileStream? TryClaim(IncomingDrive incoming)
    {
        try
        {
            return Security.PrivateFile.Lock(Path.Combine(archive.Root, $"arrival-{incoming.Id}.lock"));
        }
        catch (IOException)
        {
            return null;
        }
    }
}
