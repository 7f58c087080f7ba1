using Librarian.Domain.Catalog;
using Librarian.Domain.Peers;
using Librarian.Domain.Transfers;

namespace Librarian.Orchestrations.Clone;

/// <summary>
/// The ids that this site and a peer give to transfers of a batch, which show when one of the two catalogs was restored from a backup.
/// </summary>
public sealed class TransferIds(
    CatalogDatabase database,
    OutgoingTransfers outgoing,
    SiteCatalog catalog,
    PeerCatalogs catalogs,
    CopyConfirmation confirmation
)
{
    /// <summary>
    /// Advances the catalog's counter. Call this before a peer gets transfer ids of this site, so that the peer notices a restored backup.
    /// </summary>
    public Task AdvanceCatalogAsync(CancellationToken cancellationToken) => catalog.AdvanceAsync(cancellationToken);

    /// <summary>The highest id that a peer has given to a transfer from this site.</summary>
    public async Task<long> HighestRemoteIdAsync(string destination, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await outgoing.HighestRemoteIdAsync(db, destination, cancellationToken);
    }

    /// <summary>
    /// Checks the ids that a peer has given out. An id that is not above all ids from before the request means that the peer's catalog was
    /// restored from a backup, so its copies are in doubt. This is the only sign that a Python site gives, because it sends no catalog
    /// headers.
    /// </summary>
    public async Task CheckRemoteIdsAsync(
        string destination,
        long highestBefore,
        IReadOnlyCollection<long> remoteIds,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(remoteIds);
        if (remoteIds.Count == 0)
            return;
        if (remoteIds.Min() <= highestBefore)
        {
            await catalogs.DoubtAsync(
                destination,
                $"it gives the id {remoteIds.Min()} to a transfer after it had come to {highestBefore}, "
                    + "so its catalog was restored from a backup or made anew.",
                cancellationToken
            );
            await using var db = database.Open();
            await outgoing.ForgetRemoteIdsAsync(db, destination, remoteIds.Min(), cancellationToken);
            await confirmation.StartAsync(cancellationToken);
        }

        outgoing.RememberRemoteId(destination, remoteIds.Max());
    }
}
