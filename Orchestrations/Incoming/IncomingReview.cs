using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.DataBatches;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Incoming;

/// <summary>
/// Asks the sources of incoming transfers that have been silent for too long, and ends those that nobody will complete.
/// </summary>
public sealed class IncomingReview(
    CatalogDatabase database,
    IncomingTransfers incoming,
    IncomingWorkflows workflows,
    IncomingBatches batches,
    DatabaseDurableTaskClient client,
    PeerConnections peers,
    IOptions<SiteOptions> options,
    TimeProvider time
)
{
    private const int PageSize = 500;

    /// <summary>
    /// Reviews incoming transfers that have been unfinished for too long (docs/spec/wire.md#review-of-incoming-transfers). Abandons a
    /// client's upload, and a clone whose source has ended it, does not know it or is not registered. Leaves a clone alone if its source
    /// only does not answer. Ingests a clone that its source reports as STAGED, because this site has missed that message.
    /// </summary>
    public async Task ReviewStaleAsync(CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().UtcDateTime;
        var (limit, ahead) = (now - options.Value.IncomingReviewAge, now + OutgoingTransfers.ClockTolerance);
        // These transfers began while the clock was ahead. Their age counts from now; otherwise they would keep their space until the clock
        // reaches that time again.
        await using (var db = database.Open())
        {
            await db
                .IncomingTransfers.Where(t =>
                    (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing) && t.StartTime > ahead
                )
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.StartTime, now), cancellationToken);
        }

        long after = 0;
        while (true)
        {
            List<IncomingTransfer> stale;
            await using (var db = database.Open())
            {
                stale = await db
                    .IncomingTransfers.AsNoTracking()
                    .Where(t =>
                        (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing) && t.StartTime < limit && t.Id > after
                    )
                    .OrderBy(t => t.Id)
                    .Take(PageSize)
                    .ToListAsync(cancellationToken);
            }

            if (stale.Count == 0)
                return;
            after = stale[^1].Id;
            await ReviewAsync(stale, cancellationToken);
        }
    }

    private async Task ReviewAsync(List<IncomingTransfer> stale, CancellationToken cancellationToken)
    {
        // The bytes of an upload may come for weeks, with weeks between them.
        var arriving = stale.Exists(IsDataBatch) ? await batches.ArrivingAsync(cancellationToken) : [];
        foreach (var group in stale.GroupBy(t => t.Source))
        {
            var clones = group.Where(t => t.SourceTransferId is not null).ToList();
            await AbandonAsync(
                group.Where(t => t.SourceTransferId is null && !(IsDataBatch(t) && arriving?.Contains(t.Id) != false)).Select(t => t.Id),
                "It was not committed within Site:IncomingReviewAge.",
                cancellationToken
            );
            if (clones.Count == 0)
                continue;
            if (await peers.FindAsync(group.Key, cancellationToken) is not { } peer)
            {
                await AbandonAsync(clones.Select(t => t.Id), $"Its source '{group.Key}' is not a registered librarian.", cancellationToken);
                continue;
            }

            // If the source has given an id out twice, the id means the later transfer: the source's catalog was restored in between.
            var latest = clones.GroupBy(t => t.SourceTransferId!.Value).Select(g => g.MaxBy(t => t.Id)!).ToList();
            var asked = await peer.Client.GetCheckinStatusAsync(
                new Client.Wire.CheckinStatusRequest(
                    [.. latest.Select(t => t.SourceTransferId!.Value)],
                    [],
                    peer.Login.SendsCatalogHeaders ? latest.ConvertAll(t => t.Id) : null
                ),
                cancellationToken
            );
            if (!asked.IsSuccess)
                continue;
            await AbandonAsync(
                clones.Except(latest).Select(t => t.Id),
                $"Its source '{group.Key}' has given the id to another transfer.",
                cancellationToken
            );
            clones = latest;
            await IngestReportedStagedAsync(
                [
                    .. clones
                        .Where(t => asked.Value.SourceTransferStatus.GetValueOrDefault(t.SourceTransferId!.Value) == TransferStatus.Staged)
                        .Select(t => t.Id),
                ],
                cancellationToken
            );
            // An id that is missing from the answer says nothing about its transfer (upstream weakness W13: any odd reply ends it there).
            var ended = clones.Where(t =>
                asked.Value.SourceTransferStatus.TryGetValue(t.SourceTransferId!.Value, out var status)
                && status is null or TransferStatus.Failed or TransferStatus.Cancelled or TransferStatus.Completed
            );
            await AbandonAsync(ended.Select(t => t.Id), $"Its source '{group.Key}' has ended the transfer.", cancellationToken);
        }
    }

    private static bool IsDataBatch(IncomingTransfer transfer) => transfer.TransferManagerName == IncomingTransfers.DataBatchManager;

    private async Task IngestReportedStagedAsync(List<long> ids, CancellationToken cancellationToken)
    {
        if (ids.Count == 0)
            return;
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        await db
            .IncomingTransfers.Where(t =>
                ids.Contains(t.Id) && (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing)
            )
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged), cancellationToken);
        await workflows.StartAsync(db, ids, DeletionPolicy.Disallowed, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
    }

    private async Task AbandonAsync(IEnumerable<long> ids, string reason, CancellationToken cancellationToken)
    {
        var list = ids.ToList();
        if (list.Count == 0)
            return;
        await using var db = database.Open();
        var abandoned = await incoming.AbandonAsync(db, db.IncomingTransfers.Where(t => list.Contains(t.Id)), reason, cancellationToken);
        await incoming.RemoveStagingAsync(abandoned, cancellationToken);
    }
}
