using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Peers;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.PeerUpkeep;

/// <summary>Removes a peer from the catalog (docs/spec/wire.md#librarians).</summary>
/// <remarks>
/// One transaction removes the peer and the records of its copies and, on request, ends the unfinished transfers to it. History stays
/// (upstream also fails COMPLETED rows: weakness W11). If the peer is added again, its answers restore the records of its copies. A crash
/// before the commit changes nothing. After a crash behind the commit the peer has not been notified, and ends its side when it reviews its
/// own transfers (docs/spec/wire.md#review-of-incoming-transfers).
/// </remarks>
public sealed class PeerRemoval(
    CatalogDatabase database,
    PeerDirectory directory,
    PeerConnections connections,
    OutgoingTransfers outgoing,
    EndedTransfers endedTransfers,
    DatabaseDurableTaskClient client
)
{
    private const int Chunk = 1000;
    private static readonly TimeSpan NotifyTimeout = TimeSpan.FromSeconds(30);

    /// <summary>Removes a peer. Returns the number of abandoned transfers, or null if the peer is unknown.</summary>
    public async Task<int?> RemoveAsync(string name, bool abandonTransfers, CancellationToken cancellationToken)
    {
        var login = await directory.FindAsync(name, cancellationToken);
        var abandoned = 0;
        var notified = new List<CloneFailRequest>();
        await using (var db = database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            if (await db.Peers.Where(l => l.Name == name).Select(l => (long?)l.Id).SingleOrDefaultAsync(cancellationToken) is not { } id)
                return null;
            while (abandonTransfers)
            {
                var open = await db
                    .OutgoingTransfers.Where(t => t.Destination == name && OutgoingTransfers.Unfinished.Contains(t.Status))
                    .OrderBy(t => t.Id)
                    .Select(t => new { t.Id, t.RemoteTransferId })
                    .Take(Chunk)
                    .ToListAsync(cancellationToken);
                if (open.Count == 0)
                    break;
                List<long> ids = [.. open.Select(t => t.Id)];
                abandoned += await outgoing.FailAsync(db, ids, $"Librarian '{name}' was removed.", cancellationToken);
                await endedTransfers.PublishAsync(db, ids, cancellationToken);
                notified.AddRange(
                    open.Where(t => t.RemoteTransferId is not null)
                        .Select(t => new CloneFailRequest(t.Id, t.RemoteTransferId!.Value, "The source has removed this librarian."))
                );
            }

            await db.RemoteCopies.Where(r => r.PeerId == id).ExecuteDeleteAsync(cancellationToken);
            await db.Peers.Where(l => l.Id == id).ExecuteDeleteAsync(cancellationToken);
            await transaction.CommitAsync(cancellationToken);
        }

        client.SignalCommitted();
        if (login is not null && connections.For(login) is { } peer)
            await NotifyAsync(peer, notified, cancellationToken);
        return abandoned;
    }

    private static async Task NotifyAsync(PeerClient peer, List<CloneFailRequest> notified, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(NotifyTimeout);
        try
        {
            foreach (var failure in notified)
            {
                if (await peer.Client.FailCloneAsync(failure, limit.Token) is { Error: Client.Unreachable })
                    return;
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // The peer notices the other transfers when it reviews its own.
        }
    }
}
