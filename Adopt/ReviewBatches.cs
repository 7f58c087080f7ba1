using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Batches for adopted transfers that have none, so that the review of batches handles them.</summary>
internal sealed class ReviewBatches(CatalogContext db)
{
    private const int BatchSize = 1000;

    private readonly Dictionary<string, (long Id, int Count)> _batches = new(StringComparer.Ordinal);

    /// <summary>
    /// Makes a batch for transfers whose own is gone, because only batches are reviewed with their destination. Its id is negative: the
    /// Python site's next batch, which a later run may adopt, gets the next positive one.
    /// </summary>
    public async Task<long> BatchAsync(OutgoingTransfer transfer, CancellationToken cancellationToken)
    {
        if (!_batches.TryGetValue(transfer.Destination, out var batch) || batch.Count >= BatchSize)
        {
            batch = (Math.Min(0, await db.SendQueue.MinAsync(q => (long?)q.Id, cancellationToken) ?? 0) - 1, 0);
            await new CatalogTable<SendQueueItem>(db).InsertAsync(
                [
                    new SendQueueItem
                    {
                        Id = batch.Id,
                        CreatedTime = transfer.StartTime,
                        Destination = transfer.Destination,
                        Consumed = true,
                    },
                ],
                cancellationToken
            );
        }

        _batches[transfer.Destination] = (batch.Id, batch.Count + 1);
        return batch.Id;
    }
}
