using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Ingest;

/// <summary>What a client says when its bytes are in staging (wire.md §6.3.2).</summary>
/// <param name="TransferId">Incoming transfer.</param>
/// <param name="StoreName">Store named at staging.</param>
/// <param name="Destination">Final name; authoritative.</param>
/// <param name="Provider">How it copied.</param>
/// <param name="Policy">Deletion policy.</param>
public sealed record UploadCommit(long TransferId, string StoreName, string Destination, string Provider, DeletionPolicy Policy);

/// <summary>How a commit ended.</summary>
public enum CommitOutcome
{
    /// <summary>Stored and catalogued; also the answer to a repeated commit of the same upload.</summary>
    Stored,

    /// <summary>The transfer belongs to somebody else.</summary>
    NotYours,

    /// <summary>No such transfer.</summary>
    UnknownTransfer,

    /// <summary>No such store, or not the one of this transfer.</summary>
    UnknownStore,

    /// <summary>The store is not mounted, or its file system does not answer.</summary>
    StoreUnavailable,

    /// <summary>Nothing in staging, or the transfer was given up.</summary>
    NotInStaging,

    /// <summary>The name is taken.</summary>
    NameTaken,

    /// <summary>Wrong size, checksum or path, or a store that is switched off.</summary>
    Invalid,

    /// <summary>Disk trouble; the site keeps trying.</summary>
    Later,
}

/// <summary>Result of a commit.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Message">What was not lost and what to do next.</param>
public sealed record CommitResult(CommitOutcome Outcome, string Message);

/// <summary>
/// Marks an upload STAGED and starts its ingest in one transaction, then waits for the workflow. When the client, or this process,
/// goes away meanwhile, the ingest still finishes, and a repeated commit finds its result.
/// </summary>
public sealed class UploadCommits
{
    /// <summary>Commits that are recorded in one transaction when they come at the same time.</summary>
    private const int MostAtOnce = 64;

    private static readonly TimeSpan LookAt = TimeSpan.FromSeconds(5);

    private readonly CatalogDatabase _database;
    private readonly SiteStores _stores;
    private readonly Arrivals _arrivals;
    private readonly DurableTaskClient _client;
    private readonly TimeProvider _time;
    private readonly GroupCommit<(UploadCommit Commit, Caller Caller, StoreLook Store), CommitResult?> _stages;

    /// <summary>One per process: commits that come at the same time are recorded together.</summary>
    public UploadCommits(CatalogDatabase database, SiteStores stores, Arrivals arrivals, DurableTaskClient client, TimeProvider time)
    {
        (_database, _stores, _arrivals, _client, _time) = (database, stores, arrivals, client, time);
        _stages = new GroupCommit<(UploadCommit, Caller, StoreLook), CommitResult?>(MostAtOnce, StageAsync);
    }

    /// <summary>Commits an upload.</summary>
    public async Task<CommitResult> CommitAsync(UploadCommit commit, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(commit);
        ArgumentNullException.ThrowIfNull(caller);
        // Before the group: one whose store does not answer would hold up all.
        var seen = _stores.All.FirstOrDefault(s => s.Store.Options.Name == commit.StoreName) is { } store ? await _stores.LookAsync(store, cancellationToken) : default;
        if (await _stages.RunAsync((commit, caller, seen), cancellationToken) is { } early) return early;
        var instance = Arrivals.InstanceId(commit.TransferId);
        while (true)
        {
            using var look = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            using var timer = _time.CreateTimer(static s => ((CancellationTokenSource)s!).Cancel(), look, LookAt, Timeout.InfiniteTimeSpan);
            try
            {
                var ended = await _client.WaitForInstanceCompletionAsync(instance, getInputsAndOutputs: true, look.Token);
                return ended.RuntimeStatus == OrchestrationRuntimeStatus.Completed && ended.ReadOutputAs<IngestResult>() is { } result
                    ? Map(result)
                    : new CommitResult(CommitOutcome.Later, $"The ingest was interrupted ({ended.RuntimeStatus}). The staged data are kept and the site tries again; ask search/file for the result.");
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                var status = await _client.GetInstanceAsync(instance, getInputsAndOutputs: true, cancellationToken);
                if (status?.SerializedCustomStatus is not null && status.ReadCustomStatusAs<IngestResult>() is { Outcome: IngestOutcome.TryLater } waiting)
                    return new CommitResult(CommitOutcome.Later, waiting.Message + " The site keeps trying; ask search/file for the result before you delete your copy.");
            }
        }
    }

    /// <summary>Marks uploads STAGED and starts their ingests, in one transaction; null for one whose ingest is on its way, otherwise its answer.</summary>
    private async Task<IReadOnlyList<CommitResult?>> StageAsync(IReadOnlyList<(UploadCommit Commit, Caller Caller, StoreLook Store)> group)
    {
        List<long> ids = [.. group.Select(g => g.Commit.TransferId).Distinct()];
        // Two commits of one upload: the second is to find what the first has done.
        if (ids.Count < group.Count) return await GroupCommit.OneByOneAsync(group, StageAsync);
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            var transfers = await db.IncomingTransfers.AsNoTracking().Include(t => t.Store).Where(t => ids.Contains(t.Id)).ToDictionaryAsync(t => t.Id);
            var early = group.Select(g => Judge(g.Commit, g.Caller, g.Store, transfers.GetValueOrDefault(g.Commit.TransferId))).ToList();
            var going = group.Where((_, i) => early[i] is null).Select(g => g.Commit).ToList();
            var arriving = going.FindAll(c => transfers[c.TransferId].Status != TransferStatus.Staged);
            var marked = 0;
            foreach (var same in arriving.GroupBy(c => (Provider: c.Provider.Length > CatalogContext.MaxText ? c.Provider[..CatalogContext.MaxText] : c.Provider, Moved: Destination(c) == transfers[c.TransferId].StorePath ? null : Destination(c))))
            {
                List<long> some = [.. same.Select(c => c.TransferId)];
                marked += await db.IncomingTransfers.Where(t => some.Contains(t.Id) && (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing))
                    .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged).SetProperty(t => t.StorePath, t => same.Key.Moved ?? t.StorePath).SetProperty(t => t.TransferManagerName, same.Key.Provider));
            }

            if (marked == arriving.Count)
            {
                foreach (var same in going.GroupBy(c => c.Policy)) await _arrivals.StartAsync(db, [.. same.Select(c => c.TransferId)], same.Key, CancellationToken.None);
                await transaction.CommitAsync();
                _client.SignalCommitted();
                return early;
            }
        }

        return group.Count == 1
            ? [new CommitResult(CommitOutcome.NotInStaging, "The upload was given up at this moment. Start again with upload/stage.")]
            : await GroupCommit.OneByOneAsync(group, StageAsync);
    }

    /// <summary>Null: its ingest may start.</summary>
    private CommitResult? Judge(UploadCommit commit, Caller caller, StoreLook store, IncomingTransfer? transfer)
    {
        if (transfer is null) return new CommitResult(CommitOutcome.UnknownTransfer, $"There is no transfer {commit.TransferId}. Start with upload/stage.");
        if (transfer.Source != caller.Username || transfer.SourceTransferId is not null) return new CommitResult(CommitOutcome.NotYours, "");
        if (transfer.Store?.Name != commit.StoreName || _stores.Known(transfer.StoreId) is null)
            return new CommitResult(CommitOutcome.UnknownStore, "Use the store_name that upload/stage answered. The staged data are untouched.");
        if (!StorePath.TryParse(commit.Destination, out var destination, out var refusal))
            return new CommitResult(CommitOutcome.Invalid, $"destination_location: {StorePath.Describe(refusal)} The staged data are untouched.");
        return transfer.Status switch
        {
            TransferStatus.Completed when transfer.StorePath == destination.Value => new CommitResult(CommitOutcome.Stored, ""),
            TransferStatus.Completed => new CommitResult(CommitOutcome.NotInStaging, $"This upload was stored as '{transfer.StorePath}'."),
            TransferStatus.Failed or TransferStatus.Cancelled => new CommitResult(CommitOutcome.NotInStaging, $"This upload has been given up: {transfer.FailureReason} Start again with upload/stage."),
            TransferStatus.Staged when transfer.StorePath != destination.Value => new CommitResult(CommitOutcome.NotInStaging, $"This upload is being stored as '{transfer.StorePath}'."),
            TransferStatus.Staged => null,
            _ when !transfer.Store.Enabled => new CommitResult(CommitOutcome.Invalid, $"Store '{transfer.Store.Name}' is switched off. The staged data wait; commit again later."),
            _ when !store.IsMounted =>
                new CommitResult(CommitOutcome.StoreUnavailable, $"Store '{transfer.Store.Name}' {(store.HasAnswered ? "is not mounted" : "does not answer")}. The staged data wait; commit again later."),
            _ => null,
        };
    }

    private static string Destination(UploadCommit commit) => StorePath.TryParse(commit.Destination, out var path, out _) ? path.Value : throw new InvalidOperationException($"'{commit.Destination}' was accepted before.");

    private static CommitResult Map(IngestResult result) => new(result.Outcome switch
    {
        IngestOutcome.Ingested => CommitOutcome.Stored,
        IngestOutcome.Missing or IngestOutcome.NotExpected => CommitOutcome.NotInStaging,
        IngestOutcome.NameTaken => CommitOutcome.NameTaken,
        IngestOutcome.Mismatch or IngestOutcome.Unacceptable => CommitOutcome.Invalid,
        _ => CommitOutcome.Later,
    }, result.Message);
}
