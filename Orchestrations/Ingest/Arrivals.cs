using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Ingest;

/// <summary>
/// Starts the ingest of staged files: in the same transaction that marks them STAGED, and again by a timer for any that have no
/// running workflow. Both use the instance id <c>incoming-{transfer}</c>, so a file is ingested by one workflow at a time.
/// </summary>
public sealed class Arrivals(CatalogDatabase database, IncomingTransfers incoming, DurableTaskClient client, IOptions<SiteOptions> options, ILogger<Arrivals> log)
{
    private const int PageSize = 500;

    /// <summary>Instance id of a transfer's ingest.</summary>
    public static string InstanceId(long transferId) => $"incoming-{transferId}";

    /// <summary>
    /// Starts ingests inside the caller's transaction; call <see cref="DurableTaskClient.SignalCommitted"/> after the commit.
    /// </summary>
    public async Task StartAsync(CatalogContext db, IReadOnlyCollection<long> transferIds, DeletionPolicy policy, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        if (transferIds.Count == 0) return;
        var transaction = db.Database.CurrentTransaction?.GetDbTransaction() ?? throw new InvalidOperationException("StartAsync needs the caller's transaction.");
        await client.ScheduleNewOrchestrationInstancesAsync([.. transferIds.Select(id => new OrchestrationStart(
            nameof(IngestStaged), new IngestInput(id, policy), new StartOrchestrationOptions(InstanceId(id))))], transaction, cancellationToken);
    }

    /// <summary>
    /// Starts an ingest for every STAGED transfer, oldest first; one that is running already is left alone. This is the recovery
    /// after a crash, a restored backup, or an ingest that had been terminated.
    /// </summary>
    /// <returns>How many were really started.</returns>
    public async Task<int> StartAllStagedAsync(CancellationToken cancellationToken)
    {
        var started = 0;
        long after = 0;
        while (true)
        {
            await using var db = database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            var page = await db.IncomingTransfers.Where(t => t.Status == TransferStatus.Staged && t.Id > after).OrderBy(t => t.Id).Select(t => t.Id).Take(PageSize).ToListAsync(cancellationToken);
            if (page.Count == 0) break;
            var results = await client.ScheduleNewOrchestrationInstancesAsync([.. page.Select(id => new OrchestrationStart(
                nameof(IngestStaged), new IngestInput(id, DeletionPolicy.Disallowed), new StartOrchestrationOptions(InstanceId(id))))], transaction.GetDbTransaction(), cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            started += results.Count(r => r.Started);
            after = page[^1];
        }

        if (started > 0)
        {
            client.SignalCommitted();
            Logs.IngestsStarted(log, started);
        }

        return started;
    }

    /// <summary>Removes staging that ended transfers left behind.</summary>
    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        var removed = await incoming.SweepStagingAsync(cancellationToken);
        if (removed > 0) Logs.StagingSwept(log, removed);
    }

    /// <summary>
    /// Reviews transfers to this site that have been untouched for too long (wire.md §9.4): a client's abandoned upload is given up; a
    /// clone whose source does not know it any more, or has ended it, too; one whose source is merely away is left alone; one of which the source
    /// says that its data are here, which this site has missed, is ingested.
    /// </summary>
    public async Task ReviewStaleAsync(Peers.PeerConnections peers, TimeProvider time, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peers);
        ArgumentNullException.ThrowIfNull(time);
        var limit = time.GetUtcNow().UtcDateTime - options.Value.IncomingReviewAge;
        long after = 0;
        while (true)
        {
            List<IncomingTransfer> stale;
            await using (var db = database.Open())
            {
                stale = await db.IncomingTransfers.AsNoTracking()
                    .Where(t => (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing) && t.StartTime < limit && t.Id > after)
                    .OrderBy(t => t.Id).Take(PageSize).ToListAsync(cancellationToken);
            }

            if (stale.Count == 0) return;
            after = stale[^1].Id;
            await ReviewAsync(peers, stale, cancellationToken);
        }
    }

    private async Task ReviewAsync(Peers.PeerConnections peers, List<IncomingTransfer> stale, CancellationToken cancellationToken)
    {
        foreach (var group in stale.GroupBy(t => t.Source))
        {
            var clones = group.Where(t => t.SourceTransferId is not null).ToList();
            await GiveUpAsync(group.Where(t => t.SourceTransferId is null).Select(t => t.Id), "Abandoned upload.", cancellationToken);
            if (clones.Count == 0) continue;
            if (await peers.FindAsync(group.Key, cancellationToken) is not { } peer)
            {
                await GiveUpAsync(clones.Select(t => t.Id), $"Its source '{group.Key}' is not a registered librarian.", cancellationToken);
                continue;
            }

            var asked = await peer.Client.GetCheckinStatusAsync(new Client.Wire.CheckinStatusRequest([.. clones.Select(t => t.SourceTransferId!.Value).Distinct()], []), cancellationToken);
            if (!asked.IsSuccess) continue;
            await AdoptStagedAsync([.. clones.Where(t => asked.Value.SourceTransferStatus.GetValueOrDefault(t.SourceTransferId!.Value) == Client.Wire.TransferStatus.Staged).Select(t => t.Id)], cancellationToken);
            // An id that the answer leaves out is no statement about it (upstream ends the transfer on any odd reply, W13).
            var ended = clones.Where(t => asked.Value.SourceTransferStatus.TryGetValue(t.SourceTransferId!.Value, out var status)
                && status is null or Client.Wire.TransferStatus.Failed or Client.Wire.TransferStatus.Cancelled or Client.Wire.TransferStatus.Completed);
            await GiveUpAsync(ended.Select(t => t.Id), $"Its source '{group.Key}' has ended the transfer.", cancellationToken);
        }
    }

    private async Task AdoptStagedAsync(List<long> ids, CancellationToken cancellationToken)
    {
        if (ids.Count == 0) return;
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        await db.IncomingTransfers.Where(t => ids.Contains(t.Id) && (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing))
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged), cancellationToken);
        await StartAsync(db, ids, DeletionPolicy.Disallowed, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
    }

    private async Task GiveUpAsync(IEnumerable<long> ids, string reason, CancellationToken cancellationToken)
    {
        var list = ids.ToList();
        if (list.Count == 0) return;
        await using var db = database.Open();
        var given = await incoming.GiveUpAsync(db, db.IncomingTransfers.Where(t => list.Contains(t.Id)), reason, cancellationToken);
        await incoming.RemoveStagingAsync(given, cancellationToken);
    }
}
