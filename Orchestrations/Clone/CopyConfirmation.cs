using Librarian.Domain.Catalog;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Clone;

/// <summary>Starts <see cref="ConfirmCopies"/> for peers with copies in doubt.</summary>
public sealed class CopyConfirmation(CatalogDatabase database, DatabaseDurableTaskClient client)
{
    /// <summary>Most batches of one peer that are reviewed early; a timer reviews the others.</summary>
    private const int MostReviews = 256;

    /// <summary>
    /// Starts the workflow of every peer with copies in doubt, unless it runs. The peer may have lost unfinished transfers as well, so
    /// batches that wait for its callbacks review their transfers now.
    /// </summary>
    public async Task StartAsync(CancellationToken cancellationToken)
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
                await client.RaiseEventAsync(SendClone.InstanceId(batch), PeerPresence.BackEvent, null, cancellationToken);
        }
    }

    public static string InstanceId(string peer) => "confirm-" + SourceCallbacks.NameInId(peer);
}
