using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Incoming;

/// <summary>
/// Starts the ingest of staged files: in the transaction that marks them STAGED, and by a timer for those without a running workflow. A
/// file that comes alone, and one that is large, has a workflow of its own with the id <c>incoming-{transfer}</c>; small ones that come
/// together share one (<see cref="RoundId"/>). Two workflows may be given the same transfer: the ingest takes its lock and looks at its
/// state, so the second one finds it done.
/// </summary>
public sealed class IncomingWorkflows(CatalogDatabase database, DatabaseDurableTaskClient client, ILogger<IncomingWorkflows> log)
{
    private const string Prefix = "incoming-";
    private const string RoundPrefix = "incoming-round-";
    private const int PageSize = 2 * StagedFileIngest.MostInRound;

    public static string InstanceId(long transferId) => $"incoming-{transferId}";

    /// <summary>
    /// Id of the workflow that ingests a round: the same for the same transfers, and different from all others. So a start that is refused
    /// because the id is in use never loses a transfer: the running workflow has all of them.
    /// </summary>
    public static string RoundId(IReadOnlyList<long> transferIds)
    {
        ArgumentNullException.ThrowIfNull(transferIds);
        var ids = string.Join(',', transferIds.Order().Select(id => id.ToString(CultureInfo.InvariantCulture)));
        return $"{RoundPrefix}{transferIds.Min()}-{Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(ids)).AsSpan(0, 12))}";
    }

    /// <summary>Whether a workflow ingests a round.</summary>
    public static bool IsRound(string workflowId) => workflowId.StartsWith(RoundPrefix, StringComparison.Ordinal);

    /// <summary>
    /// Starts ingests inside the caller's transaction: rounds of the small files, and a workflow for each other one. Call
    /// <see cref="DatabaseDurableTaskClient.SignalCommitted"/> after the commit.
    /// </summary>
    /// <returns>By transfer, the id of the workflow that ingests it.</returns>
    public async Task<IReadOnlyDictionary<long, string>> StartAsync(
        CatalogContext db,
        IReadOnlyCollection<long> transferIds,
        DeletionPolicy policy,
        CancellationToken cancellationToken
    ) => await StartAsync(db, await PlanAsync(db, transferIds, policy, cancellationToken), cancellationToken);

    /// <summary>Starts a workflow for each transfer, unless it runs already; in a transaction of its own.</summary>
    public async Task StartEachAsync(IReadOnlyCollection<long> transferIds, DeletionPolicy policy, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(transferIds);
        if (transferIds.Count > 0)
            await client.ScheduleNewOrchestrationInstancesAsync(
                [.. transferIds.Select(id => Alone(id, policy).Start)],
                transaction: null,
                cancellationToken
            );
    }

    /// <summary>The same inside the caller's transaction.</summary>
    /// <returns>By transfer, the id of its workflow.</returns>
    public Task<IReadOnlyDictionary<long, string>> StartEachAsync(
        CatalogContext db,
        IReadOnlyCollection<long> transferIds,
        DeletionPolicy policy,
        CancellationToken cancellationToken
    ) => StartAsync(db, [.. transferIds.Select(id => Alone(id, policy))], cancellationToken);

    /// <summary>
    /// Starts the ingest of every STAGED transfer, oldest first, that no running workflow has. This is the recovery after a crash, a
    /// restored backup, or the termination of an ingest.
    /// </summary>
    /// <returns>The number of transfers whose ingest was started.</returns>
    public async Task<int> StartAllStagedAsync(CancellationToken cancellationToken)
    {
        List<long> staged;
        await using (var db = database.Open())
            staged = await db
                .IncomingTransfers.Where(t => t.Status == TransferStatus.Staged)
                .OrderBy(t => t.Id)
                .Select(t => t.Id)
                .ToListAsync(cancellationToken);
        if (staged.Count == 0)
            return 0;
        // Read after the transfers: a transfer and its workflow appear together. One that ends meanwhile does no harm, because an ingest
        // of a transfer that has ended only answers so.
        // A hub that is away has no list. It receives a workflow for each transfer when it is back, and refuses those that run.
        var running = client.StartsInTransaction ? await RunningAsync(cancellationToken) : [];
        var started = 0;
        foreach (var page in staged.Where(id => !running.Contains(id)).Chunk(PageSize))
        {
            await using var db = database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            if (client.StartsInTransaction)
                await StartAsync(db, page, DeletionPolicy.Disallowed, cancellationToken);
            else
                await StartEachAsync(db, page, DeletionPolicy.Disallowed, cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            // What a hub does with a start is not known.
            started += client.StartsInTransaction ? page.Length : 0;
        }

        if (started > 0)
        {
            client.SignalCommitted();
            Logs.IngestsStarted(log, started);
        }

        return started;
    }

    /// <summary>The transfers that running workflows have.</summary>
    private async Task<HashSet<long>> RunningAsync(CancellationToken cancellationToken)
    {
        var query = new InstanceQuery
        {
            Names = [nameof(IngestStaged), nameof(IngestRound)],
            InstanceIdPrefix = Prefix,
            PageSize = PageSize,
            Statuses = [OrchestrationRuntimeStatus.Pending, OrchestrationRuntimeStatus.Running, OrchestrationRuntimeStatus.Suspended],
            FetchInputsAndOutputs = true,
        };
        var running = new HashSet<long>();
        await foreach (var instance in client.GetAllInstancesAsync(query).WithCancellation(cancellationToken))
        {
            if (instance.Name == nameof(IngestRound))
                running.UnionWith(instance.ReadInputAs<IngestRoundInput>()?.TransferIds ?? []);
            else if (long.TryParse(instance.InstanceId.AsSpan(Prefix.Length), CultureInfo.InvariantCulture, out var id))
                running.Add(id);
        }

        return running;
    }

    private static (long[] TransferIds, OrchestrationStart Start) Alone(long id, DeletionPolicy policy) =>
        ([id], new OrchestrationStart(nameof(IngestStaged), new IngestInput(id, policy), new StartOrchestrationOptions(InstanceId(id))));

    /// <summary>Which workflows ingest the transfers: rounds for the small ones.</summary>
    private static async Task<List<(long[] TransferIds, OrchestrationStart Start)>> PlanAsync(
        CatalogContext db,
        IReadOnlyCollection<long> transferIds,
        DeletionPolicy policy,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        // A file that comes alone gains nothing from a round.
        List<long> small =
            transferIds.Count < 2
                ? []
                : await db
                    .IncomingTransfers.Where(t =>
                        transferIds.Contains(t.Id) && t.TransferSize <= LocalStore.LargestInRound && t.TreeDigest == null
                    )
                    .OrderBy(t => t.Id)
                    .Select(t => t.Id)
                    .ToListAsync(cancellationToken);
        return
        [
            .. small
                .Chunk(StagedFileIngest.MostInRound)
                .Select(ids =>
                    (
                        ids,
                        new OrchestrationStart(
                            nameof(IngestRound),
                            new IngestRoundInput(ids, policy),
                            new StartOrchestrationOptions(RoundId(ids))
                        )
                    )
                ),
            .. transferIds.Except(small).Select(id => Alone(id, policy)),
        ];
    }

    private async Task<IReadOnlyDictionary<long, string>> StartAsync(
        CatalogContext db,
        IReadOnlyList<(long[] TransferIds, OrchestrationStart Start)> plan,
        CancellationToken cancellationToken
    )
    {
        if (plan.Count == 0)
            return new Dictionary<long, string>();
        var transaction = db.Database.CurrentTransaction?.GetDbTransaction()
            ?? throw new InvalidOperationException("StartAsync needs the caller's transaction.");
        await client.ScheduleNewOrchestrationInstancesAsync([.. plan.Select(p => p.Start)], transaction, cancellationToken);
        return plan.SelectMany(p => p.TransferIds.Select(id => (id, p.Start.Options!.InstanceId!))).ToDictionary();
    }
}
