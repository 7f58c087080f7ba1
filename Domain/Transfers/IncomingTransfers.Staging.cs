using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

public sealed partial class IncomingTransfers
{
    private const int SweepChunk = 500;

    private async Task<StageResult> MakeDirectoriesAsync(StageResult result, CancellationToken cancellationToken)
    {
        if (result is not StageResult.Accepted accepted)
            return result;
        var making = accepted.Store.Store.CreateStagingAsync(
            [.. accepted.Slots.Select(p => (Guid.Parse(p.StagingName), p.UploadName))],
            cancellationToken
        );
        foreach (var slot in accepted.Slots)
            _making[slot.StagingName] = making;
        StagingResult? failed;
        try
        {
            failed = await making;
        }
        finally
        {
            foreach (var slot in accepted.Slots)
                _making.TryRemove(slot.StagingName, out _);
        }

        if (failed is null)
            return result;
        Logs.StagingNotMade(_log, accepted.Store.Store.Options.Name, failed.Message);
        await _errors.RaiseAsync(
            ErrorSeverity.Critical,
            ErrorCategory.Configuration,
            $"staging {accepted.Store.Store.Options.Name}",
            $"No staging directory could be made on store '{accepted.Store.Store.Options.Name}', so senders are refused: {failed.Message}",
            cancellationToken
        );
        var ids = accepted.Slots.Select(p => p.TransferId).ToList();
        await using var db = _database.Open();
        var abandoned = await AbandonAsync(db, db.IncomingTransfers.Where(t => ids.Contains(t.Id)), failed.Message, cancellationToken);
        await RemoveStagingAsync(abandoned, cancellationToken);
        return Refuse(StageRefusal.NoStore, failed.Message, Ids(accepted.Slots));
    }

    /// <summary>
    /// Abandons those of the transfers that may still be abandoned, in the caller's transaction. Returns their staging directories: remove
    /// them with <see cref="RemoveStagingAsync"/> after the commit, never before.
    /// </summary>
    public async Task<List<(long? StoreId, string? Staging)>> AbandonAsync(
        CatalogContext db,
        IQueryable<IncomingTransfer> which,
        string reason,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        var candidates = await which
            .AsNoTracking()
            .Where(t => Unfinished.Contains(t.Status) && !t.Committing)
            .Select(t => new
            {
                t.Id,
                t.StoreId,
                t.StagingPath,
            })
            .ToListAsync(cancellationToken);
        if (candidates.Count == 0)
            return [];
        var ids = candidates.Select(c => c.Id).ToList();
        var now = Now;
        await db
            .IncomingTransfers.Where(t => ids.Contains(t.Id) && Unfinished.Contains(t.Status) && !t.Committing)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Failed)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.FailureReason, reason),
                cancellationToken
            );
        var failed = await db
            .IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Failed)
            .Select(t => t.Id)
            .ToListAsync(cancellationToken);
        foreach (var id in failed)
            Logs.IncomingAbandoned(_log, id, reason);
        return [.. candidates.Where(c => failed.Contains(c.Id)).Select(c => (c.StoreId, c.StagingPath))];
    }

    /// <summary>Removes the staging directories of ended transfers; the sweep removes later what cannot be removed now.</summary>
    public async Task RemoveStagingAsync(IEnumerable<(long? StoreId, string? Staging)> directories, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(directories);
        foreach (var (storeId, staging) in directories)
        {
            if (!Guid.TryParse(staging, out var name))
                continue;
            if (_making.TryGetValue(staging, out var making))
                await making.ContinueWith(
                    static _ => { },
                    cancellationToken,
                    TaskContinuationOptions.ExecuteSynchronously,
                    TaskScheduler.Default
                );
            if (await _stores.FindAsync(storeId, cancellationToken) is not { } store)
                continue;
            await store.RemoveIncomingAsync(name, cancellationToken);
            var removal = await store.RemoveStagingAsync(name, cancellationToken);
            if (!removal.IsGone)
                Logs.StagingNotRemoved(_log, staging, removal.Message);
        }
    }

    /// <summary>
    /// Removes staging directories of ended transfers, which a crash or an I/O error left; returns how many. Only directories with a row
    /// belong to the site: anything else that an administrator has put there stays.
    /// </summary>
    public async Task<int> SweepStagingAsync(CancellationToken cancellationToken)
    {
        var removed = 0;
        foreach (var store in _stores.Configured)
        {
            if (await _stores.FindAsync(store.Id, cancellationToken) is null)
                continue;
            try
            {
                removed += await SweepStoreAsync(store, cancellationToken);
            }
            catch (IOException e)
            {
                // One store whose staging cannot be listed must not keep the site from starting, or the others from being swept.
                Logs.StagingNotSwept(_log, store.Store.Options.Name, e.Message);
            }
        }

        return removed;
    }

    private async Task<int> SweepStoreAsync(SiteStore store, CancellationToken cancellationToken)
    {
        var removed = 0;
        var chunk = new List<string>(SweepChunk);
        await foreach (var entry in store.Store.ListStagingAsync(cancellationToken))
        {
            chunk.Add(entry.Name.ToString("D"));
            if (chunk.Count < SweepChunk)
                continue;
            removed += await SweepAsync(store.Id, chunk, cancellationToken);
            chunk.Clear();
        }

        return removed + await SweepAsync(store.Id, chunk, cancellationToken);
    }

    private async Task<int> SweepAsync(long storeId, List<string> names, CancellationToken cancellationToken)
    {
        if (names.Count == 0)
            return 0;
        await using var db = _database.Open();
        var ended = await db
            .IncomingTransfers.Where(t => t.StoreId == storeId && names.Contains(t.StagingPath!) && !Unfinished.Contains(t.Status))
            .Select(t => t.StagingPath)
            .ToListAsync(cancellationToken);
        await RemoveStagingAsync(ended.Select(s => ((long?)storeId, s)), cancellationToken);
        return ended.Count;
    }
}
