using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Transfers;
using Librarian.Domain.Peers;
using Librarian.Orchestrations.Drives;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Clone;

/// <summary>Finds files that a neighbour lacks and starts a <see cref="SendClone"/> per batch.</summary>
/// <remarks>
/// Batch, transfers and orchestration are recorded in one transaction: a crash leaves all of them or none. Two processes that
/// do this at once meet on the in-flight index; the loser's batch vanishes and its files are in the winner's.
/// </remarks>
public sealed class CloneScheduler(CatalogDatabase database, OutgoingTransfers outgoing, PeerDirectory peers, DurableTaskClient client, IOptions<SiteOptions> options, TimeProvider time, ILogger<CloneScheduler> log)
{
    /// <summary>Starts batches for every neighbour we send to, up to its limit; returns how many files were scheduled.</summary>
    public async Task<int> ScheduleAsync(CancellationToken cancellationToken)
    {
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
    /// Wakes the review of batches whose transfers are older than the review age (wire.md §9.3); a batch whose workflow is gone
    /// (terminated, or lost with a restored backup) gets a new one.
    /// </summary>
    public async Task<int> ReviewStaleAsync(CancellationToken cancellationToken)
    {
        var limit = time.GetUtcNow().UtcDateTime - options.Value.OutgoingReviewAge;
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var open = await db.SendQueue.Where(q => !q.Completed && q.CreatedTime < limit).OrderBy(q => q.Id).Take(500).ToListAsync(cancellationToken);
        if (open.Count == 0) return 0;
        var results = await client.ScheduleNewOrchestrationInstancesAsync([.. open.Select(q => Start(q.Id, q.Destination))], transaction.GetDbTransaction(), cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
        return results.Count(r => r.Started);
    }

    /// <summary>Wakes batches that have just settled, inside the caller's transaction.</summary>
    public async Task SettleAsync(CatalogContext db, IReadOnlyCollection<long> transferIds, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        var transaction = db.Database.CurrentTransaction?.GetDbTransaction() ?? throw new InvalidOperationException("SettleAsync needs the caller's transaction.");
        foreach (var instance in await OutgoingTransfers.SettledBatchesAsync(db, transferIds, cancellationToken))
        {
            await client.RaiseEventAsync(instance, SendClone.SettledEvent, null, messageId: SendClone.SettledEvent, transaction, cancellationToken);
        }

        foreach (var drive in await DriveDeliveries.SettleAsync(db, transferIds, cancellationToken))
        {
            await client.RaiseEventAsync(DriveTrip.InstanceId(drive), DriveTrip.WakeEvent, null, messageId: null, transaction, cancellationToken);
        }
    }

    private async Task<SendBatch?> ScheduleBatchAsync(PeerOptions policy, int most, CancellationToken cancellationToken)
    {
        try
        {
            await using var db = database.Open();
            if (await OutgoingTransfers.CountOpenBatchesAsync(db, policy.Name, cancellationToken) >= most) return null;
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            if (await outgoing.CreateBatchAsync(db, policy, SendClone.InstanceId, cancellationToken) is not { } batch) return null;
            var start = Start(batch.QueueId, batch.Destination);
            await client.ScheduleNewOrchestrationInstanceAsync(start.Name, start.Input, start.Options, transaction.GetDbTransaction(), cancellationToken);
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
