using System.Data.Common;
using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore.Storage;

namespace Librarian.Orchestrations.TransferEvents;

/// <summary>Updates what depends on outgoing transfers that have ended, and wakes the workflows that wait for them.</summary>
public interface IEndedTransfersHandler
{
    /// <summary>Handles the end of the transfers inside the caller's transaction, which also ends them.</summary>
    Task HandleAsync(
        CatalogContext db,
        IReadOnlyCollection<long> transferIds,
        DbTransaction transaction,
        CancellationToken cancellationToken
    );
}

/// <summary>
/// The event that outgoing transfers have ended. Whoever ends transfers publishes it and need not know which workflows wait for them.
/// </summary>
/// <param name="handlers">They are called one after the other.</param>
public sealed class EndedTransfers(IEnumerable<IEndedTransfersHandler> handlers)
{
    /// <summary>
    /// Publishes the event inside the caller's transaction, which also ends the transfers. Call
    /// <see cref="DatabaseDurableTaskClient.SignalCommitted"/> after the commit.
    /// </summary>
    public async Task PublishAsync(CatalogContext db, IReadOnlyCollection<long> transferIds, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        var transaction = db.Database.CurrentTransaction?.GetDbTransaction()
            ?? throw new InvalidOperationException("PublishAsync needs the caller's transaction.");
        foreach (var handler in handlers)
            await handler.HandleAsync(db, transferIds, transaction, cancellationToken);
    }
}
