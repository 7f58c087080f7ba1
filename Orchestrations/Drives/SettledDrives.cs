using System.Data.Common;
using Librarian.Domain.Catalog;
using Librarian.Domain.Drives;
using Librarian.Orchestrations.TransferEvents;

namespace Librarian.Orchestrations.Drives;

/// <summary>
/// Settles the contents of drives whose transfers have ended (<see cref="DriveDeliveries.SettleAsync"/>), and wakes the drives' trips.
/// </summary>
public sealed class SettledDrives(DatabaseDurableTaskClient client) : IEndedTransfersHandler
{
    /// <inheritdoc />
    public async Task HandleAsync(
        CatalogContext db,
        IReadOnlyCollection<long> transferIds,
        DbTransaction transaction,
        CancellationToken cancellationToken
    )
    {
        foreach (var drive in await DriveDeliveries.SettleAsync(db, transferIds, cancellationToken))
        {
            await client.RaiseEventAsync(
                DriveTrip.InstanceId(drive),
                DriveTrip.WakeEvent,
                null,
                messageId: null,
                transaction,
                cancellationToken
            );
        }
    }
}
