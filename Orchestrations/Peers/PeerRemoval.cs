using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Peers;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Clone;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Peers;

/// <summary>Takes a neighbour out of the catalog (wire.md §6.10.5).</summary>
/// <remarks>
/// One transaction: the neighbour, what we knew of its copies and, when asked, the transfers on their way to it. History stays (upstream
/// fails COMPLETED rows as well, W11). Should the neighbour be added again, its copies are learnt again from its answers. A crash before
/// the commit changes nothing; after it, the neighbour has not been told and ends its side when it reviews its own transfers (wire.md §9.4).
/// </remarks>
public sealed class PeerRemoval(CatalogDatabase database, PeerDirectory directory, PeerConnections connections, OutgoingTransfers outgoing, CloneScheduler scheduler, DurableTaskClient client)
{
    private const int Chunk = 1000;
    private static readonly TimeSpan TellFor = TimeSpan.FromSeconds(30);

    /// <summary>Removes it; the number of transfers given up, or null when it is unknown.</summary>
    public async Task<int?> RemoveAsync(string name, bool giveUpTransfers, CancellationToken cancellationToken)
    {
        var login = await directory.FindAsync(name, cancellationToken);
        var given = 0;
        var told = new List<CloneFailRequest>();
        await using (var db = database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            if (await db.Librarians.Where(l => l.Name == name).Select(l => (long?)l.Id).SingleOrDefaultAsync(cancellationToken) is not { } id) return null;
            while (giveUpTransfers)
            {
                var open = await db.OutgoingTransfers.Where(t => t.Destination == name && OutgoingTransfers.Unfinished.Contains(t.Status)).OrderBy(t => t.Id)
                    .Select(t => new { t.Id, t.RemoteTransferId }).Take(Chunk).ToListAsync(cancellationToken);
                if (open.Count == 0) break;
                List<long> ids = [.. open.Select(t => t.Id)];
                given += await outgoing.FailAsync(db, ids, $"Librarian '{name}' was removed.", cancellationToken);
                await scheduler.SettleAsync(db, ids, cancellationToken);
                told.AddRange(open.Where(t => t.RemoteTransferId is not null).Select(t => new CloneFailRequest(t.Id, t.RemoteTransferId!.Value, "The source has removed this librarian.")));
            }

            await db.RemoteInstances.Where(r => r.LibrarianId == id).ExecuteDeleteAsync(cancellationToken);
            await db.Librarians.Where(l => l.Id == id).ExecuteDeleteAsync(cancellationToken);
            await transaction.CommitAsync(cancellationToken);
        }

        client.SignalCommitted();
        if (login is not null && connections.For(login) is { } peer) await TellAsync(peer, told, cancellationToken);
        return given;
    }

    private static async Task TellAsync(Peer peer, List<CloneFailRequest> told, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TellFor);
        try
        {
            foreach (var failure in told)
            {
                if (await peer.Client.FailCloneAsync(failure, limit.Token) is { Error: Client.Unreachable }) return;
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // The rest it finds out by itself.
        }
    }
}
