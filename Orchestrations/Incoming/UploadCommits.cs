using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Incoming;

/// <summary>A client's call that its data are complete in staging (docs/spec/wire.md#upload-commit).</summary>
/// <param name="TransferId">Incoming transfer.</param>
/// <param name="StoreName">Name of the store from the answer to the stage call.</param>
/// <param name="Destination">Final name of the file; it replaces the name from the stage call.</param>
/// <param name="Provider">Name of the transfer manager that copied the data.</param>
/// <param name="Policy">Deletion policy.</param>
public sealed record UploadCommit(long TransferId, string StoreName, FileName Destination, string Provider, DeletionPolicy Policy);

/// <summary>Outcome of an upload's commit.</summary>
public enum CommitOutcome
{
    /// <summary>The file is stored and catalogued; also the answer to a repeated commit of the same upload.</summary>
    Stored,

    /// <summary>The transfer belongs to another account, or is a clone.</summary>
    NotUploadOfCaller,

    /// <summary>No transfer has this id.</summary>
    UnknownTransfer,

    /// <summary>No store has this name, or the transfer uses another one.</summary>
    UnknownStore,

    /// <summary>The store is not mounted, or its file system does not answer.</summary>
    StoreUnavailable,

    /// <summary>
    /// Staging holds no data for this commit: none arrived, the upload was abandoned, or it is or will be stored under another name.
    /// </summary>
    NotInStaging,

    /// <summary>A file of this name exists.</summary>
    NameTaken,

    /// <summary>Size, checksum or path is wrong, or the store is disabled.</summary>
    Invalid,

    /// <summary>Disk trouble delays the ingest; the site keeps trying.</summary>
    Later,
}

/// <summary>Result of a commit.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Message">What was kept and what to do next.</param>
public sealed record CommitResult(CommitOutcome Outcome, string Message);

/// <summary>
/// Marks an upload STAGED and starts its ingest in one transaction, then waits for the workflow: uploads that are committed at the same
/// time have one together, and one wait for it. If the client or this process disappears meanwhile, the ingest still finishes, and a
/// repeated commit finds its result.
/// </summary>
public sealed class UploadCommits
{
    /// <summary>Largest number of simultaneous commits that share a transaction.</summary>
    private const int MostAtOnce = 64;

    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(5);

    private readonly CatalogDatabase _database;
    private readonly SiteStores _stores;
    private readonly IncomingWorkflows _incoming;
    private readonly DatabaseDurableTaskClient _client;
    private readonly TimeProvider _time;
    private readonly GroupCommit<(UploadCommit Commit, Caller Caller, StoreProbe Store), Marked> _marking;

    /// <summary>Use one instance per process, so that simultaneous commits share a transaction.</summary>
    public UploadCommits(
        CatalogDatabase database,
        SiteStores stores,
        IncomingWorkflows incoming,
        DatabaseDurableTaskClient client,
        TimeProvider time
    )
    {
        (_database, _stores, _incoming, _client, _time) = (database, stores, incoming, client, time);
        _marking = new GroupCommit<(UploadCommit, Caller, StoreProbe), Marked>(MostAtOnce, MarkStagedAsync);
    }

    public async Task<CommitResult> CommitAsync(UploadCommit commit, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(commit);
        ArgumentNullException.ThrowIfNull(caller);
        // Probe the store before the commit joins a group: a store that does not answer would delay the whole group.
        var storeProbe = _stores.All.FirstOrDefault(s => s.Store.Options.Name == commit.StoreName) is { } store
            ? await _stores.ProbeAsync(store, cancellationToken)
            : default;
        var marked = await _marking.RunAsync((commit, caller, storeProbe), cancellationToken);
        if (marked.Answer is { } answer)
            return answer;
        if (marked.Round is { } round)
        {
            var ended = await round.Value.WaitAsync(cancellationToken);
            if (await AnswerOfRoundAsync(ended, commit, cancellationToken) is { } done)
                return done;
        }

        return await AnswerOfIngestAsync(IncomingWorkflows.InstanceId(commit.TransferId), cancellationToken);
    }

    /// <summary>The answer to an upload that was ingested in a round; null if a workflow of its own continues.</summary>
    private async Task<CommitResult?> AnswerOfRoundAsync(
        OrchestrationMetadata ended,
        UploadCommit commit,
        CancellationToken cancellationToken
    )
    {
        if (ended.RuntimeStatus != OrchestrationRuntimeStatus.Completed || ended.ReadOutputAs<IngestRoundResult>() is not { } result)
            return Interrupted(ended);
        if (result.Others.FirstOrDefault(o => o.TransferId == commit.TransferId) is not { } other)
            return Map(IngestOutcome.Ingested, $"'{commit.Destination}' is stored and verified.");
        if (other.Outcome == IngestOutcome.TryLater)
            return null;
        return Map(other.Outcome, other.Message ?? await ReasonAsync(commit.TransferId, cancellationToken));
    }

    private async Task<string> ReasonAsync(long transferId, CancellationToken cancellationToken)
    {
        await using var db = _database.Open();
        return await db
            .IncomingTransfers.Where(t => t.Id == transferId)
            .Select(t => t.FailureReason)
            .SingleOrDefaultAsync(cancellationToken)
            ?? "";
    }

    private async Task<CommitResult> AnswerOfIngestAsync(string instance, CancellationToken cancellationToken)
    {
        while (true)
        {
            using var limit = new CancellationTokenSource(PollInterval, _time);
            using var polling = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, limit.Token);
            try
            {
                var ended = await _client.WaitForInstanceCompletionAsync(instance, getInputsAndOutputs: true, polling.Token);
                return ended.RuntimeStatus == OrchestrationRuntimeStatus.Completed && ended.ReadOutputAs<IngestResult>() is { } result
                    ? Map(result.Outcome, result.Message)
                    : Interrupted(ended);
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                var status = await _client.GetInstanceAsync(instance, getInputsAndOutputs: true, cancellationToken);
                if (
                    status?.SerializedCustomStatus is not null
                    && status.ReadCustomStatusAs<IngestResult>() is { Outcome: IngestOutcome.TryLater } waiting
                )
                    return new CommitResult(
                        CommitOutcome.Later,
                        waiting.Message + " The site keeps trying; ask search/file for the result before you delete your copy."
                    );
            }
        }
    }

    private static CommitResult Interrupted(OrchestrationMetadata ended) =>
        new(
            CommitOutcome.Later,
            $"The ingest was interrupted ({ended.RuntimeStatus}). The staged data are kept and the site tries again; "
                + "ask search/file for the result."
        );

    /// <summary>
    /// Marks uploads STAGED and starts their ingests in one transaction: rounds of those that are marked now, and a workflow for each one
    /// that was marked before.
    /// </summary>
    private async Task<IReadOnlyList<Marked>> MarkStagedAsync(IReadOnlyList<(UploadCommit Commit, Caller Caller, StoreProbe Store)> group)
    {
        List<long> ids = [.. group.Select(g => g.Commit.TransferId).Distinct()];
        // Two commits of one upload: the second has to see the result of the first.
        if (ids.Count < group.Count)
            return await GroupCommit.OneByOneAsync(group, MarkStagedAsync);
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            var transfers = await db
                .IncomingTransfers.AsNoTracking()
                .Include(t => t.Store)
                .Where(t => ids.Contains(t.Id))
                .ToDictionaryAsync(t => t.Id);
            var answers = group
                .Select(g => AnswerOrNull(g.Commit, g.Caller, g.Store, transfers.GetValueOrDefault(g.Commit.TransferId)))
                .ToList();
            var accepted = group.Where((_, i) => answers[i] is null).Select(g => g.Commit).ToList();
            var unmarked = accepted.FindAll(c => transfers[c.TransferId].Status != TransferStatus.Staged);
            if (await MarkAsync(db, unmarked, transfers) == unmarked.Count)
            {
                var workflows = await StartAsync(db, accepted, unmarked);
                await transaction.CommitAsync();
                _client.SignalCommitted();
                var rounds = workflows.Values.Where(IncomingWorkflows.IsRound).Distinct().ToDictionary(id => id, WaitForRound);
                return
                [
                    .. group.Zip(answers, (g, answer) =>
                        new Marked(answer, answer is null ? rounds.GetValueOrDefault(workflows[g.Commit.TransferId]) : null)
                    ),
                ];
            }
        }

        return group.Count == 1
            ?
            [
                new Marked(
                    new CommitResult(CommitOutcome.NotInStaging, "The upload was abandoned at this moment. Start again with upload/stage."),
                    Round: null
                ),
            ]
            : await GroupCommit.OneByOneAsync(group, MarkStagedAsync);
    }

    /// <summary>Marks transfers STAGED, with the names that their commits say; returns how many were not ended meanwhile.</summary>
    private static async Task<int> MarkAsync(CatalogContext db, List<UploadCommit> unmarked, Dictionary<long, IncomingTransfer> transfers)
    {
        var marked = 0;
        foreach (
            var same in unmarked.GroupBy(c =>
                (
                    Provider: c.Provider.Length > CatalogContext.MaxText ? c.Provider[..CatalogContext.MaxText] : c.Provider,
                    Moved: c.Destination.Value == transfers[c.TransferId].FileName ? null : c.Destination.Value
                )
            )
        )
        {
            List<long> some = [.. same.Select(c => c.TransferId)];
            marked += await db
                .IncomingTransfers.Where(t =>
                    some.Contains(t.Id) && (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing)
                )
                .ExecuteUpdateAsync(s =>
                    s.SetProperty(t => t.Status, TransferStatus.Staged)
                        .SetProperty(t => t.FileName, t => same.Key.Moved ?? t.FileName)
                        .SetProperty(t => t.TransferManagerName, same.Key.Provider)
                );
        }

        return marked;
    }

    /// <summary>Starts the ingests of accepted commits; returns the workflow of each transfer.</summary>
    private async Task<Dictionary<long, string>> StartAsync(CatalogContext db, List<UploadCommit> accepted, List<UploadCommit> unmarked)
    {
        var workflows = new Dictionary<long, string>();
        foreach (var same in accepted.GroupBy(c => (c.Policy, IsNew: unmarked.Contains(c))))
        {
            List<long> ids = [.. same.Select(c => c.TransferId)];
            foreach (
                var (id, workflow) in same.Key.IsNew
                    ? await _incoming.StartAsync(db, ids, same.Key.Policy, CancellationToken.None)
                    : await _incoming.StartEachAsync(db, ids, same.Key.Policy, CancellationToken.None)
            )
                workflows[id] = workflow;
        }

        return workflows;
    }

    /// <summary>Waits once for all uploads of a round, from the first of them that waits.</summary>
    private Lazy<Task<OrchestrationMetadata>> WaitForRound(string instance) =>
        new(() => _client.WaitForInstanceCompletionAsync(instance, getInputsAndOutputs: true, CancellationToken.None));

    /// <summary>Returns null if the ingest may start.</summary>
    private CommitResult? AnswerOrNull(UploadCommit commit, Caller caller, StoreProbe store, IncomingTransfer? transfer)
    {
        if (transfer is null)
            return new CommitResult(CommitOutcome.UnknownTransfer, $"There is no transfer {commit.TransferId}. Start with upload/stage.");
        if (transfer.Source != caller.Username || transfer.SourceTransferId is not null)
            return new CommitResult(CommitOutcome.NotUploadOfCaller, "");
        if (transfer.Store?.Name != commit.StoreName || _stores.Known(transfer.StoreId) is null)
            return new CommitResult(
                CommitOutcome.UnknownStore,
                "Use the store_name that upload/stage answered. The staged data are untouched."
            );
        return transfer.Status switch
        {
            TransferStatus.Completed when transfer.FileName == commit.Destination.Value => new CommitResult(CommitOutcome.Stored, ""),
            TransferStatus.Completed => new CommitResult(CommitOutcome.NotInStaging, $"This upload was stored as '{transfer.FileName}'."),
            TransferStatus.Failed or TransferStatus.Cancelled => new CommitResult(
                CommitOutcome.NotInStaging,
                $"This upload was abandoned: {transfer.FailureReason} Start again with upload/stage."
            ),
            TransferStatus.Staged when transfer.FileName != commit.Destination.Value => new CommitResult(
                CommitOutcome.NotInStaging,
                $"This upload is being stored as '{transfer.FileName}'."
            ),
            TransferStatus.Staged => null,
            _ when !transfer.Store.Enabled => new CommitResult(
                CommitOutcome.Invalid,
                $"Store '{transfer.Store.Name}' is switched off. The staged data wait; commit again later."
            ),
            _ when !store.IsMounted => new CommitResult(
                CommitOutcome.StoreUnavailable,
                $"Store '{transfer.Store.Name}' {(store.HasAnswered ? "is not mounted" : "does not answer")}. "
                    + "The staged data wait; commit again later."
            ),
            _ => null,
        };
    }

    private static CommitResult Map(IngestOutcome outcome, string message) =>
        new(
            outcome switch
            {
                IngestOutcome.Ingested => CommitOutcome.Stored,
                IngestOutcome.Missing or IngestOutcome.NotExpected or IngestOutcome.FlushFailed => CommitOutcome.NotInStaging,
                IngestOutcome.NameTaken => CommitOutcome.NameTaken,
                IngestOutcome.Mismatch or IngestOutcome.Unacceptable => CommitOutcome.Invalid,
                _ => CommitOutcome.Later,
            },
            message
        );

    /// <summary>One commit of a group: its answer, or the round that ingests it, or neither for a workflow of its own.</summary>
    private readonly record struct Marked(CommitResult? Answer, Lazy<Task<OrchestrationMetadata>>? Round);
}
