using System.Runtime.CompilerServices;
using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Clone;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Drives;

/// <summary>One file on a store, as its manifest lists it.</summary>
/// <param name="File">The file.</param>
/// <param name="Instance">Its copy on the store.</param>
/// <param name="OutgoingTransferId">The transfer opened for it, or null.</param>
public sealed record ManifestLine(FileRecord File, Instance Instance, long? OutgoingTransferId);

/// <summary>Lists what lies on a store and, when asked, makes it ready to travel (wire.md §6.10.4).</summary>
public sealed class StoreManifests(CatalogDatabase database, OutgoingTransfers outgoing, CloneScheduler scheduler, DurableTaskClient client, TimeProvider time)
{
    /// <summary>Switches a store on or off; false when it is unknown.</summary>
    public async Task<bool> SwitchAsync(string store, bool enabled, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.Stores.Where(s => s.Name == store).ExecuteUpdateAsync(s => s.SetProperty(r => r.Enabled, enabled), cancellationToken) > 0;
    }

    /// <summary>Whether a neighbour of that name is registered.</summary>
    public async Task<bool> KnowsAsync(string librarian, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.Librarians.AnyAsync(l => l.Name == librarian, cancellationToken);
    }

    /// <summary>The store's id, or null.</summary>
    public async Task<long?> FindAsync(string store, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.Stores.Where(s => s.Name == store).Select(s => (long?)s.Id).SingleOrDefaultAsync(cancellationToken);
    }

    /// <summary>
    /// The available copies on a store, by id. With a destination a transfer ONGOING is opened for each (one on its way there over a
    /// link is cancelled first: the drive replaces it), and with <paramref name="markUnavailable"/> each is marked as away.
    /// </summary>
    /// <remarks>
    /// All changes are one transaction, which ends after the last line was taken: whoever reads the list to its end may rely on them, and a
    /// reader that breaks off, or a crash, changes nothing. A reader whose answer was lost after that asks again for the same destination and
    /// gets the same lines with the same transfers, the copies marked as away included, until they are acknowledged (upstream lists nothing,
    /// W9). A thousand lines are in memory at a time.
    /// </remarks>
    public async IAsyncEnumerable<ManifestLine> ListAsync(long storeId, string? destination, bool markUnavailable, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        const int chunk = 1000;
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        for (var last = 0L; ;)
        {
            var from = last;
            var instances = await db.Instances.AsNoTracking()
                .Where(i => i.StoreId == storeId && i.Id > from && (i.Available || db.OutgoingTransfers.Any(t => t.InstanceId == i.Id && t.Destination == destination
                    && t.SendQueueId == null && OutgoingTransfers.Unfinished.Contains(t.Status))))
                .OrderBy(i => i.Id).Take(chunk).Include(i => i.File).ToListAsync(cancellationToken);
            if (instances.Count == 0) break;
            last = instances[^1].Id;
            var transfers = destination is null ? [] : await OpenTransfersAsync(db, instances, destination, cancellationToken);
            if (markUnavailable)
            {
                var ids = instances.Select(i => i.Id).ToList();
                await db.Instances.Where(i => ids.Contains(i.Id)).ExecuteUpdateAsync(s => s.SetProperty(i => i.Available, false), cancellationToken);
            }

            foreach (var instance in instances) yield return new ManifestLine(instance.File!, instance, transfers.TryGetValue(instance.Id, out var transfer) ? transfer : null);
        }

        await transaction.CommitAsync(cancellationToken);
        if (destination is not null) client.SignalCommitted();
    }

    private async Task<Dictionary<long, long>> OpenTransfersAsync(CatalogContext db, List<Instance> instances, string destination, CancellationToken cancellationToken)
    {
        var names = instances.Select(i => i.FileName).ToList();
        var ids = instances.ConvertAll(i => i.Id);
        var open = await db.OutgoingTransfers.Where(t => names.Contains(t.FileName) && t.Destination == destination && OutgoingTransfers.Unfinished.Contains(t.Status))
            .Select(t => new { t.Id, t.InstanceId, t.SendQueueId }).ToListAsync(cancellationToken);
        // An earlier manifest of this very copy has opened these; no batch carries them.
        var travelling = open.Where(t => t.SendQueueId is null && t.InstanceId is { } instance && ids.Contains(instance)).ToDictionary(t => t.InstanceId!.Value, t => t.Id);
        var kept = travelling.Values.ToHashSet();
        var replaced = open.Select(t => t.Id).Where(id => !kept.Contains(id)).ToList();
        await outgoing.FailAsync(db, replaced, "The file travels on a drive instead.", cancellationToken, TransferStatus.Cancelled);
        await scheduler.SettleAsync(db, replaced, cancellationToken);
        var now = time.GetUtcNow().UtcDateTime;
        var rows = instances.Where(i => !travelling.ContainsKey(i.Id)).Select(i => new OutgoingTransfer
        {
            Status = TransferStatus.Ongoing,
            Destination = destination,
            TransferSize = i.File!.Size,
            TransferChecksum = i.File.Checksum,
            StartTime = now,
            FileName = i.FileName,
            InstanceId = i.Id,
            SourcePath = i.Path,
        }).ToList();
        db.OutgoingTransfers.AddRange(rows);
        await db.SaveChangesAsync(cancellationToken);
        db.ChangeTracker.Clear();
        foreach (var row in rows) travelling.Add(row.InstanceId!.Value, row.Id);
        return travelling;
    }
}
