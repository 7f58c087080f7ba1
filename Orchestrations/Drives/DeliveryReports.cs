using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>Records what destinations report on the files of this site's drives.</summary>
public sealed class DeliveryReports(
    CatalogDatabase database,
    DriveDeliveries deliveries,
    EndedTransfers endedTransfers,
    DatabaseDurableTaskClient client,
    IOptions<SiteOptions> options
)
{
    /// <summary>Records a destination's report on its files, in one transaction.</summary>
    /// <param name="notified">At most <see cref="DriveDeliveries.MaxBatch"/> files.</param>
    /// <param name="destination">The site that reports.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="saidAt">UTC time when the receipt was written; null if the destination reports directly.</param>
    public async Task<IReadOnlyList<RefusedDelivery>> RecordAsync(
        IReadOnlyList<Delivery> notified,
        string destination,
        CancellationToken cancellationToken,
        DateTime? saidAt = null
    )
    {
        ArgumentNullException.ThrowIfNull(notified);
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var refused = await deliveries.RecordAsync(db, notified, destination, options.Value.Name, cancellationToken, saidAt);
        await endedTransfers.PublishAsync(db, [.. notified.Select(d => d.TransferId)], cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
        return refused;
    }
}
