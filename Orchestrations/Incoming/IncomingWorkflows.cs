using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Incoming;

/// <summary>
/// Starts the ingest of staged files: in the transaction that marks them STAGED, and by a timer for those without a running workflow. A
/// file that comes alone, and one that is large, has a workflow of its own with the id <c>incoming-{transfer}</c>; small ones that come
/// together share one (<see cref="RoundId"/>). Two workflows may be given the same transfer: the ingest takes its lock and looks at its
/// state, so the second one finds it done.
/// </summary>
public sealed class IncomingWorkflows(
    CatalogDatabase database,
    IncomingTransfers incoming,
    DatabaseDurableTaskClient client,
    IOptions<SiteOptions> options,
    ILogger<IncomingWorkflows> log
)
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

    /// <summary>Removes staging directories of ended transfers.</summary>
    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        var removed = await incoming.SweepStagingAsync(cancellationToken);
        if (removed > 0)
            Logs.StagingSwept(log, removed);
    }

    /// <summary>
    /// Reviews incoming transfers that have been unfinished for too long (docs/spec/wire.md#review-of-incoming-transfers). Abandons a
    /// client's upload, and a clone whose source has ended it, does not know it or is not registered. Leaves a clone alone if its source
    /// only does not answer. Ingests a clone that its source reports as STAGED, because this site has missed that message.
    /// </summary>
    public async Task ReviewStaleAsync(PeerConnections peers, TimeProvider time, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peers);
        ArgumentNullException.ThrowIfNull(time);
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
            await ReviewAsync(peers, stale, cancellationToken);
        }
    }

    private async Task ReviewAsync(PeerConnections peers, List<IncomingTransfer> stale, CancellationToken cancellationToken)
    {
        foreach (var group in stale.GroupBy(t => t.Source))
        {
            var clones = group.Where(t => t.SourceTransferId is not null).ToList();
            await AbandonAsync(
                group.Where(t => t.SourceTransferId is null).Select(t => t.Id),
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

            // If the source has abandoned an id out twice, the id means the later transfer: the source's catalog was restored in between.
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
                $"Its source '{group.Key}' has abandoned the number to another transfer.",
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
            // An id that is missing from the answer says nothing about its transfer (upstream ends the transfer on any odd reply, W13).
            var ended = clones.Where(t =>
                asked.Value.SourceTransferStatus.TryGetValue(t.SourceTransferId!.Value, out var status)
                && status is null or TransferStatus.Failed or TransferStatus.Cancelled or TransferStatus.Completed
            );
            await AbandonAsync(ended.Select(t => t.Id), $"Its source '{group.Key}' has ended the transfer.", cancellationToken);
        }
    }

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
        await StartAsync(db, ids, DeletionPolicy.Disallowed, cancellationToken);
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
