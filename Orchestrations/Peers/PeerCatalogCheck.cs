using Librarian.Domain.Catalog;
using Librarian.Domain.Peers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Peers;

/// <summary>
/// Starts <see cref="ConfirmCopies"/> for peers with copies in doubt, and pings all peers, so that a restored catalog is noticed even if
/// nothing is sent.
/// </summary>
public sealed class PeerCatalogCheck(
    CatalogDatabase database,
    PeerDirectory directory,
    PeerConnections peers,
    SiteCatalog own,
    DatabaseDurableTaskClient client
)
{
    private const int AtOnce = 4;

    /// <summary>Most batches of one peer that are reviewed early; a timer reviews the others.</summary>
    private const int MostReviews = 256;

    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Pings every peer once; call and answer carry what each site knows of the other's catalog. Then starts to confirm the copies in
    /// doubt.
    /// </summary>
    public async Task GreetAsync(CancellationToken cancellationToken)
    {
        await own.AdvanceAsync(cancellationToken);
        await Parallel.ForEachAsync(
            await directory.ListAsync(cancellationToken),
            new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = cancellationToken },
            async (row, token) =>
            {
                // Ignore a failed ping: it tells nothing about a catalog, and workflows that need the peer record the error.
                if (await directory.FindAsync(row.Name, token) is { } login && peers.For(login, AnswerWithin) is { } peer)
                    await peer.Client.PingLoggedAsync(token);
            }
        );
        await ConfirmAsync(cancellationToken);
    }

    /// <summary>
    /// Starts the workflow of every peer with copies in doubt, unless it runs. The peer may have lost unfinished transfers as well, so
    /// batches that wait for its callbacks review their transfers now.
    /// </summary>
    public async Task ConfirmAsync(CancellationToken cancellationToken)
    {
        List<string> names;
        await using (var db = database.Open())
        {
            names = await db
                .Peers.Where(l => db.RemoteCopies.Any(r => r.PeerId == l.Id && r.UnconfirmedSince != null))
                .OrderBy(l => l.Name)
                .Select(l => l.Name)
                .ToListAsync(cancellationToken);
        }

        foreach (var name in names)
        {
            await client.TryScheduleNewOrchestrationInstanceAsync(
                nameof(ConfirmCopies),
                new ConfirmInput(name),
                new StartOrchestrationOptions(InstanceId(name)),
                cancellationToken
            );
            List<long> open;
            await using (var db = database.Open())
                open = await db
                    .SendQueue.Where(q => !q.Completed && q.Destination == name)
                    .OrderBy(q => q.Id)
                    .Select(q => q.Id)
                    .Take(MostReviews)
                    .ToListAsync(cancellationToken);
            foreach (var batch in open)
                await client.RaiseEventAsync(Clone.SendClone.InstanceId(batch), PeerPresence.BackEvent, null, cancellationToken);
        }
    }

    public static string InstanceId(string peer) => "confirm-" + Incoming.SourceCallbacks.InstanceId(peer)["tell-".Length..];
}
