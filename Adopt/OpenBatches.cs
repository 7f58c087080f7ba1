using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Opens the adopted batches that have transfers on their way, and says what becomes of them.</summary>
internal sealed class OpenBatches(CatalogContext db, SiteOptions options, AdoptFindings findings)
{
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await ReopenAsync(cancellationToken);
        if (await db.SendQueue.CountAsync(q => !q.Completed && q.OrchestrationId == null, cancellationToken) is > 0 and var open)
            findings.Note(
                $"{open} batches have transfers on their way. The site takes them up by itself, "
                    + $"{options.OutgoingReviewAge} after they were made (Site:OutgoingReviewAge) or at its first review."
            );
        await NoteUnnamedPeersAsync(cancellationToken);
    }

    private async Task ReopenAsync(CancellationToken cancellationToken)
    {
        // In the catalog a batch is open while one of its transfers is (upstream closed it when the bytes had been moved); the review of
        // silent batches starts a workflow for each.
        await db
            .SendQueue.Where(q =>
                q.Completed && db.OutgoingTransfers.Any(t => t.SendQueueId == q.Id && OutgoingTransfers.Unfinished.Contains(t.Status))
            )
            .ExecuteUpdateAsync(
                s => s.SetProperty(q => q.Completed, false).SetProperty(q => q.CompletedTime, (DateTime?)null),
                cancellationToken
            );
    }

    private async Task NoteUnnamedPeersAsync(CancellationToken cancellationToken)
    {
        var unnamed = await db
            .OutgoingTransfers.Where(t => t.SendQueueId != null && OutgoingTransfers.Unfinished.Contains(t.Status))
            .Select(t => t.Destination)
            .Distinct()
            .ToListAsync(cancellationToken);
        unnamed.RemoveAll(name => options.Peers.Exists(p => p.Name == name));
        if (unnamed.Count > 0)
            findings.Note(
                $"Transfers are on their way to {AdoptFindings.Quoted(unnamed)}, which Site:Peers does not name: "
                    + "configure them (Send, LocalRoots) before you start the site, "
                    + "or the transfers that have not been copied are abandoned."
            );
    }
}
