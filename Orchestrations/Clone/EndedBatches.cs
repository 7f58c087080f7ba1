using System.Data.Common;
using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.TransferEvents;

namespace Librarian.Orchestrations.Clone;

/// <summary>Wakes a batch whose last transfer has ended.</summary>
public sealed class EndedBatches(DatabaseDurableTaskClient client) : IEndedTransfersHandler
{
    /// <inheritdoc />
    public async Task HandleAsync(
        CatalogContext db,
        IReadOnlyCollection<long> transferIds,
        DbTransaction transaction,
        CancellationToken cancellationToken
    )
    {
        foreach (var instance in await OutgoingTransfers.EndedBatchesAsync(db, transferIds, cancellationToken))
        {
            await client.RaiseEventAsync(
                instance,
                SendClone.SettledEvent,
                null,
                messageId: SendClone.SettledEvent,
                transaction,
                cancellationToken
            );
        }
    }
}
