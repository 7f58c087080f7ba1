using System.Runtime.CompilerServices;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Drives;

/// <summary>One file on a store, as its manifest lists it.</summary>
/// <param name="File">The file.</param>
/// <param name="Copy">Its copy on the store.</param>
/// <param name="Path">Absolute path of the copy.</param>
/// <param name="OutgoingTransferId">The transfer opened for it, or null.</param>
public sealed record ManifestLine(FileRecord File, FileCopy Copy, string Path, long? OutgoingTransferId);

/// <summary>Lists the files on a store and, on request, prepares them to travel (docs/spec/wire.md#store-manifest).</summary>
public sealed class StoreManifests(
    CatalogDatabase database,
    OutgoingTransfers outgoing,
    EndedTransfers endedTransfers,
    DatabaseDurableTaskClient client,
    SiteStores stores,
    TimeProvider time
)
{
    /// <summary>Enables or disables a store; false if it is unknown.</summary>
    public async Task<bool> SwitchAsync(string store, bool enabled, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db
                .Stores.Where(s => s.Name == store)
                .ExecuteUpdateAsync(s => s.SetProperty(r => r.Enabled, enabled), cancellationToken) > 0;
    }

    /// <summary>Whether a peer of this name is registered.</summary>
    public async Task<bool> KnowsAsync(string librarian, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.Peers.AnyAsync(l => l.Name == librarian, cancellationToken);
    }

    /// <summary>Id of the store, or null if it is unknown.</summary>
    public async Task<long?> FindAsync(string store, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.Stores.Where(s => s.Name == store).Select(s => (long?)s.Id).SingleOrDefaultAsync(cancellationToken);
    }

    /// <summary>
    /// Lists the intact copies on a store, by id. With a destination it opens an ONGOING transfer for each copy, and first cancels one that
    /// is on its way there over a link, because the drive replaces it. With <paramref name="markUnavailable"/> it marks each copy as
    /// unavailable.
    /// </summary>
    /// <remarks>
    /// All changes are one transaction, which commits after the last line was taken: a reader of the whole list may rely on them; a reader
    /// that stops early, or a crash, changes nothing. If the answer is lost after that, the reader asks again for the same destination and
    /// gets the same lines with the same transfers, including the copies marked as unavailable, until they are acknowledged (upstream then
    /// lists nothing: weakness W09). A thousand lines are in memory at a time.
    /// </remarks>
    public async IAsyncEnumerable<ManifestLine> ListAsync(
        long storeId,
        string? destination,
        bool markUnavailable,
        [EnumeratorCancellation] CancellationToken cancellationToken
    )
    {
        const int chunk = 1000;
        await using var db = database.Open();
        // Another process of this site may have registered this store as a drive.
        await stores.RootsAsync(db, [storeId], cancellationToken);
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        for (var last = 0L; ; )
        {
            var from = last;
            var copies = await db
                .Copies.AsNoTracking()
                .Where(i =>
                    i.StoreId == storeId
                    && i.Id > from
                    && (
                        db.IntactCopies.Any(c => c.Id == i.Id)
                        || db.OutgoingTransfers.Any(t =>
                            t.CopyId == i.Id
                            && t.Destination == destination
                            && t.SendQueueId == null
                            && OutgoingTransfers.Unfinished.Contains(t.Status)
                        )
                    )
                )
                .OrderBy(i => i.Id)
                .Take(chunk)
                .Include(i => i.File)
                .ToListAsync(cancellationToken);
            if (copies.Count == 0)
                break;
            last = copies[^1].Id;
            var transfers = destination is null ? [] : await OpenTransfersAsync(db, copies, destination, cancellationToken);
            if (markUnavailable)
            {
                var ids = copies.Select(i => i.Id).ToList();
                await db
                    .Copies.Where(i => ids.Contains(i.Id))
                    .ExecuteUpdateAsync(s => s.SetProperty(i => i.Available, false), cancellationToken);
            }

            foreach (var copy in copies)
                yield return new ManifestLine(
                    copy.File!,
                    copy,
                    stores.Locate(storeId, copy.Path),
                    transfers.TryGetValue(copy.Id, out var transfer) ? transfer : null
                );
        }

        await transaction.CommitAsync(cancellationToken);
        if (destination is not null)
            client.SignalCommitted();
    }

    private async Task<Dictionary<long, long>> OpenTransfersAsync(
        CatalogContext db,
        List<FileCopy> copies,
        string destination,
        CancellationToken cancellationToken
    )
    {
        var names = copies.Select(i => i.FileName).ToList();
        var ids = copies.ConvertAll(i => i.Id);
        var open = await db
            .OutgoingTransfers.Where(t =>
                names.Contains(t.FileName) && t.Destination == destination && OutgoingTransfers.Unfinished.Contains(t.Status)
            )
            .Select(t => new
            {
                t.Id,
                t.CopyId,
                t.SendQueueId,
            })
            .ToListAsync(cancellationToken);
        // An earlier manifest of the same copy opened these transfers; they belong to no batch.
        var travelling = open.Where(t => t.SendQueueId is null && t.CopyId is { } copy && ids.Contains(copy))
            .ToDictionary(t => t.CopyId!.Value, t => t.Id);
        var kept = travelling.Values.ToHashSet();
        var replaced = open.Select(t => t.Id).Where(id => !kept.Contains(id)).ToList();
        await outgoing.FailAsync(db, replaced, "The file travels on a drive instead.", cancellationToken, TransferStatus.Cancelled);
        await endedTransfers.PublishAsync(db, replaced, cancellationToken);
        var now = time.GetUtcNow().UtcDateTime;
        var rows = copies
            .Where(i => !travelling.ContainsKey(i.Id))
            .Select(i => new OutgoingTransfer
            {
                Status = TransferStatus.Ongoing,
                Destination = destination,
                TransferSize = i.File!.Size,
                TransferChecksum = i.File.Checksum,
                StartTime = now,
                FileName = i.FileName,
                CopyId = i.Id,
                SourcePath = stores.Locate(i.StoreId, i.Path),
            })
            .ToList();
        db.OutgoingTransfers.AddRange(rows);
        await db.SaveChangesAsync(cancellationToken);
        db.ChangeTracker.Clear();
        foreach (var row in rows)
            travelling.Add(row.CopyId!.Value, row.Id);
        return travelling;
    }
}
