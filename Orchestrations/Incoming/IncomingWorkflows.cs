using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Incoming;

/// <summary>
/// Starts the ingest of staged files: in the transaction that marks them STAGED, and by a timer for those without a running workflow. Both
/// use the instance id <c>incoming-{transfer}</c>, so one workflow at a time ingests a file.
/// </summary>
public sealed class IncomingWorkflows(CatalogDatabase database, DatabaseDurableTaskClient client, ILogger<IncomingWorkflows> log)
{
    private const int PageSize = 500;

    public static string InstanceId(long transferId) => $"incoming-{transferId}";

    /// <summary>
    /// Starts ingests inside the caller's transaction. Call <see cref="DatabaseDurableTaskClient.SignalCommitted"/> after the commit.
    /// </summary>
    public async Task StartAsync(
        CatalogContext db,
        IReadOnlyCollection<long> transferIds,
        DeletionPolicy policy,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        if (transferIds.Count == 0)
            return;
        var transaction = db.Database.CurrentTransaction?.GetDbTransaction()
            ?? throw new InvalidOperationException("StartAsync needs the caller's transaction.");
        await client.ScheduleNewOrchestrationInstancesAsync(
            [
                .. transferIds.Select(id => new OrchestrationStart(
                    nameof(IngestStaged),
                    new IngestInput(id, policy),
                    new StartOrchestrationOptions(InstanceId(id))
                )),
            ],
            transaction,
            cancellationToken
        );
    }

    /// <summary>
    /// Starts an ingest for every STAGED transfer, oldest first, unless it is running. This is the recovery after a crash, a restored
    /// backup, or the termination of an ingest.
    /// </summary>
    /// <returns>The number of ingests that were started.</returns>
    public async Task<int> StartAllStagedAsync(CancellationToken cancellationToken)
    {
        var started = 0;
        long after = 0;
        while (true)
        {
            await using var db = database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            var page = await db
                .IncomingTransfers.Where(t => t.Status == TransferStatus.Staged && t.Id > after)
                .OrderBy(t => t.Id)
                .Select(t => t.Id)
                .Take(PageSize)
                .ToListAsync(cancellationToken);
            if (page.Count == 0)
                break;
            var results = await client.ScheduleNewOrchestrationInstancesAsync(
                [
                    .. page.Select(id => new OrchestrationStart(
                        nameof(IngestStaged),
                        new IngestInput(id, DeletionPolicy.Disallowed),
                        new StartOrchestrationOptions(InstanceId(id))
                    )),
                ],
                transaction.GetDbTransaction(),
                cancellationToken
            );
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
}
