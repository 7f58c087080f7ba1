using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Peers;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Clone;

/// <summary>Finds files that a peer lacks and starts a <see cref="SendClone"/> for each batch.</summary>
/// <remarks>
/// One transaction records the batch, its transfers and its orchestration: a crash leaves all of them or none. If two processes do this at
/// the same time, the unique index on unfinished transfers rejects one of them; its batch is rolled back, and the files are in the other's
/// batch.
/// </remarks>
public sealed class CloneScheduler(
    CatalogDatabase database,
    OutgoingTransfers outgoing,
    PeerDirectory peers,
    DatabaseDurableTaskClient client,
    IOptions<SiteOptions> options,
    TimeProvider time,
    ILogger<CloneScheduler> log
)
{
    /// <summary>Starts batches for every peer that this site sends to, up to the peer's limit. Returns the number of files.</summary>
    public async Task<int> ScheduleAsync(CancellationToken cancellationToken)
    {
        // Starts of earlier batches may have been lost after the commit.
        if (!client.StartsInTransaction)
            await StartOpenAsync(TimeSpan.Zero, cancellationToken);
        var files = 0;
        foreach (var policy in options.Value.Peers.Where(p => p.Send))
        {
            var most = await peers.BatchesAllowedAsync(policy.Name, policy.MaxBatchesInFlight, cancellationToken);
            while (most > 0 && await ScheduleBatchAsync(policy, most, cancellationToken) is { } batch)
            {
                files += batch.Files;
                Logs.BatchStarted(log, batch.QueueId, batch.Files, batch.Destination);
            }
        }

        return files;
    }

    /// <summary>
    /// Wakes the review of batches whose transfers are older than the review age (docs/spec/wire.md#review-of-outgoing-transfers). A batch
    /// whose workflow is gone (terminated, or lost with a restored backup) gets a new one.
    /// </summary>
    public Task<int> ReviewStaleAsync(CancellationToken cancellationToken) =>
        StartOpenAsync(options.Value.OutgoingReviewAge, cancellationToken);

    private async Task<int> StartOpenAsync(TimeSpan olderThan, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().UtcDateTime;
        var limit = now - olderThan;
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        // These batches were made while the clock was ahead. Their age counts from now; otherwise they would not be reviewed until the
        // clock reaches that time again.
        var ahead = now + OutgoingTransfers.ClockTolerance;
        await db
            .SendQueue.Where(q => !q.Completed && q.CreatedTime > ahead)
            .ExecuteUpdateAsync(s => s.SetProperty(q => q.CreatedTime, now), cancellationToken);
        var open = await db
            .SendQueue.Where(q => !q.Completed && q.CreatedTime < limit)
            .OrderBy(q => q.Id)
            .Take(500)
            .ToListAsync(cancellationToken);
        if (open.Count == 0)
        {
            await transaction.CommitAsync(cancellationToken);
            return 0;
        }

        var results = await client.ScheduleNewOrchestrationInstancesAsync(
            [.. open.Select(q => Start(q.Id, q.Destination))],
            transaction.GetDbTransaction(),
            cancellationToken
        );
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
        return results.Count(r => r.Started);
    }

    private async Task<SendBatch?> ScheduleBatchAsync(PeerOptions policy, int most, CancellationToken cancellationToken)
    {
        try
        {
            await using var db = database.Open();
            if (await OutgoingTransfers.CountOpenBatchesAsync(db, policy.Name, cancellationToken) >= most)
                return null;
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            if (await outgoing.CreateBatchAsync(db, policy, SendClone.InstanceId, cancellationToken) is not { } batch)
                return null;
            var start = Start(batch.QueueId, batch.Destination);
            await client.ScheduleNewOrchestrationInstanceAsync(
                start.Name,
                start.Input,
                start.Options,
                transaction.GetDbTransaction(),
                cancellationToken
            );
            await transaction.CommitAsync(cancellationToken);
            client.SignalCommitted();
            return batch;
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return null;
        }
    }

    private static OrchestrationStart Start(long queueId, string destination) =>
        new(nameof(SendClone), new SendCloneInput(queueId, destination), new StartOrchestrationOptions(SendClone.InstanceId(queueId)));
}
