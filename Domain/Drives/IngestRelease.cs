using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>Ends what an interrupted round has left when its drive is not here.</summary>
public sealed class IngestRelease(CatalogDatabase database, SiteStores stores, DriveArchive archive, IngestRecording recording)
{
    /// <summary>
    /// Ends the reservations of an interrupted round when the drive is not plugged, perhaps for ever: others must be able to use the names.
    /// Data that the round had committed are verified and recorded, the other names are released.
    /// </summary>
    internal async Task ReleaseAsync(IncomingDrive incoming, CancellationToken cancellationToken)
    {
        var manager = IngestReservations.ManagerOf(incoming);
        List<IncomingTransfer> left;
        await using (var db = database.Open())
            left = await db
                .IncomingTransfers.AsNoTracking()
                .Where(t => t.Committing && t.TransferManagerName == manager)
                .ToListAsync(cancellationToken);
        if (left.Count == 0)
            return;
        var reservations = left.ToDictionary(t => t.FileName!, StringComparer.Ordinal);
        var decisions = await FindCommittedAsync(incoming, reservations, cancellationToken);
        if (reservations.Count > 0)
            await recording.RecordAsync(incoming, decisions, reservations, null, incoming.Problem, cancellationToken);
    }

    /// <summary>
    /// Decisions for reserved entries whose data had been committed. A reservation whose data cannot be examined now is taken out, so that
    /// it stays.
    /// </summary>
    private async Task<List<IngestDecision>> FindCommittedAsync(
        IncomingDrive incoming,
        Dictionary<string, IncomingTransfer> reservations,
        CancellationToken cancellationToken
    )
    {
        var decisions = new List<IngestDecision>();
        await using var cursor = await archive.OpenManifestAsync(incoming, cancellationToken);
        for (var missing = reservations.Count; missing > 0; )
        {
            var window = await ManifestWindow.ReadAsync(cursor, cancellationToken);
            if (window.Entries.Count == 0)
                break;
            foreach (var entry in window.Entries.Where(e => e.Path is not null && reservations.ContainsKey(e.File.Name)))
            {
                missing--;
                var transfer = reservations[entry.File.Name];
                if (stores.Find(transfer.StoreId) is not { } store)
                {
                    // Its state is unknown now; it keeps its reservation.
                    reservations.Remove(entry.File.Name);
                    continue;
                }

                var committed = await entry.IsCommittedAsync(store, flush: true, cancellationToken);
                if (committed is null)
                {
                    // A read failure says nothing about it either.
                    reservations.Remove(entry.File.Name);
                    continue;
                }

                if (committed.Value)
                    decisions.Add(new IngestDecision(entry, DriveFileOutcome.Stored, transfer.StoreId, null));
                else
                    await store.RemoveStagingAsync(Guid.Parse(transfer.StagingPath!), cancellationToken);
            }
        }

        return decisions;
    }
}
