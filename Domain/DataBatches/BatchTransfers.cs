using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.DataBatches;

/// <summary>The transfers of data batches in the catalog.</summary>
internal static class BatchTransfers
{
    private const int PageSize = 1000;

    /// <summary>Where the data of transfers belong; null for those that take none any more.</summary>
    /// <param name="database">The catalog.</param>
    /// <param name="ids">The transfers.</param>
    /// <param name="storeId">The store that staged them.</param>
    /// <param name="cancellationToken">Cancels.</param>
    internal static async Task<StagedTransfer?[]> FindAsync(
        CatalogDatabase database,
        IReadOnlyList<long> ids,
        long storeId,
        CancellationToken cancellationToken
    )
    {
        var found = new Dictionary<long, StagedTransfer>();
        await using var db = database.Open();
        foreach (var page in ids.Chunk(PageSize))
        {
            var rows = await db
                .IncomingTransfers.Where(t =>
                    page.Contains(t.Id)
                    && t.StoreId == storeId
                    && (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing)
                )
                .Select(t => new
                {
                    t.Id,
                    t.StagingPath,
                    t.UploadName,
                })
                .ToListAsync(cancellationToken);
            foreach (var row in rows)
            {
                if (Guid.TryParse(row.StagingPath, out var staging) && FileName.TryParse(row.UploadName, out var name, out _))
                    found[row.Id] = new StagedTransfer(staging, name);
            }
        }

        return [.. ids.Select(found.GetValueOrDefault)];
    }

    /// <summary>The store that staged a transfer of a caller; null if there is no such transfer.</summary>
    internal static async Task<long?> StoreOfAsync(CatalogDatabase database, long id, Caller caller, CancellationToken cancellationToken)
    {
        var isAdmin = caller.IsAdmin;
        await using var db = database.Open();
        return await db
            .IncomingTransfers.Where(t => t.Id == id && (isAdmin || t.Source == caller.Username || t.Uploader == caller.Username))
            .Select(t => t.StoreId)
            .SingleOrDefaultAsync(cancellationToken);
    }

    /// <summary>Those of the transfers that were abandoned. One that is staged or stored was not, though it takes no data either.</summary>
    internal static async Task<IReadOnlyList<long>> AbandonedAsync(
        CatalogDatabase database,
        IReadOnlyList<long> ids,
        CancellationToken cancellationToken
    )
    {
        var alive = new HashSet<long>();
        await using var db = database.Open();
        foreach (var page in ids.Chunk(PageSize))
            alive.UnionWith(
                await db
                    .IncomingTransfers.Where(t =>
                        page.Contains(t.Id) && t.Status != TransferStatus.Failed && t.Status != TransferStatus.Cancelled
                    )
                    .Select(t => t.Id)
                    .ToListAsync(cancellationToken)
            );
        return [.. ids.Where(id => !alive.Contains(id))];
    }

    /// <summary>Why a new batch must not be made of these transfers; null if it may.</summary>
    internal static async Task<string?> ProblemAsync(
        CatalogDatabase database,
        BatchLayout layout,
        long storeId,
        Caller caller,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        foreach (var page in layout.Transfers.Zip(layout.Sizes).Chunk(PageSize))
        {
            long[] ids = [.. page.Select(t => t.First)];
            var rows = await db
                .IncomingTransfers.Where(t => ids.Contains(t.Id))
                .Select(t => new
                {
                    t.Id,
                    t.StoreId,
                    t.TransferSize,
                    IsCallers = t.Source == caller.Username || (t.SourceTransferId != null && t.Uploader == caller.Username),
                })
                .ToDictionaryAsync(t => t.Id, cancellationToken);
            foreach (var (id, size) in page)
            {
                // The answer for another account's transfer must not say more than that for an unknown id.
                if (!rows.TryGetValue(id, out var row) || (!row.IsCallers && !caller.IsAdmin))
                    return $"There is no transfer {id} of yours.";
                if (row.StoreId != storeId)
                    return $"Transfer {id} was staged on another store than the first: make a batch for each.";
                if (row.TransferSize != size)
                    return $"Transfer {id} was declared with {row.TransferSize} bytes, and its layout has {size}.";
            }
        }

        return null;
    }

    /// <summary>Records that the bytes of transfers come as a data batch, so that a client that starts again goes on with it.</summary>
    internal static async Task MarkAsync(CatalogDatabase database, IReadOnlyList<long> ids, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        foreach (var page in ids.Chunk(PageSize))
            await db
                .IncomingTransfers.Where(t => page.Contains(t.Id) && t.TransferManagerName == null)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.TransferManagerName, IncomingTransfers.DataBatchManager), cancellationToken);
    }

    /// <summary>Whether at least one of the transfers still takes data.</summary>
    internal static async Task<bool> AnyOpenAsync(CatalogDatabase database, IReadOnlyList<long> ids, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        foreach (var page in ids.Chunk(PageSize))
        {
            if (
                await db.IncomingTransfers.AnyAsync(
                    t => page.Contains(t.Id) && (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing),
                    cancellationToken
                )
            )
                return true;
        }

        return false;
    }
}
