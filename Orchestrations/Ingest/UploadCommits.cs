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
public sealed class UploadCommits(CatalogDatabase database, SiteStores stores, Arrivals arrivals, DurableTaskClient client, TimeProvider time)
{
    private static readonly TimeSpan LookAt = TimeSpan.FromSeconds(5);

    /// <summary>Commits an upload.</summary>
    public async Task<CommitResult> CommitAsync(UploadCommit commit, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(commit);
        ArgumentNullException.ThrowIfNull(caller);
        if (await StageAsync(commit, caller, cancellationToken) is { } early) return early;
        client.SignalCommitted();
        var instance = Arrivals.InstanceId(commit.TransferId);
        while (true)
        {
            using var look = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            using var timer = time.CreateTimer(static s => ((CancellationTokenSource)s!).Cancel(), look, LookAt, Timeout.InfiniteTimeSpan);
            try
            {
                var ended = await client.WaitForInstanceCompletionAsync(instance, getInputsAndOutputs: true, look.Token);
                return ended.RuntimeStatus == OrchestrationRuntimeStatus.Completed && ended.ReadOutputAs<IngestResult>() is { } result
                    ? Map(result)
                    : new CommitResult(CommitOutcome.Later, $"The ingest was interrupted ({ended.RuntimeStatus}). The staged data are kept and the site tries again; ask search/file for the result.");
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                var status = await client.GetInstanceAsync(instance, getInputsAndOutputs: true, cancellationToken);
                if (status?.SerializedCustomStatus is not null && status.ReadCustomStatusAs<IngestResult>() is { Outcome: IngestOutcome.TryLater } waiting)
                    return new CommitResult(CommitOutcome.Later, waiting.Message + " The site keeps trying; ask search/file for the result before you delete your copy.");
            }
        }
    }

    private async Task<CommitResult?> StageAsync(UploadCommit commit, Caller caller, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var transfer = await db.IncomingTransfers.AsNoTracking().Include(t => t.Store).SingleOrDefaultAsync(t => t.Id == commit.TransferId, cancellationToken);
        if (transfer is null) return new CommitResult(CommitOutcome.UnknownTransfer, $"There is no transfer {commit.TransferId}. Start with upload/stage.");
        if (transfer.Source != caller.Username || transfer.SourceTransferId is not null) return new CommitResult(CommitOutcome.NotYours, "");
        if (transfer.Store?.Name != commit.StoreName || stores.Find(transfer.StoreId) is not { } store)
            return new CommitResult(CommitOutcome.UnknownStore, "Use the store_name that upload/stage answered. The staged data are untouched.");
        if (!StorePath.TryParse(commit.Destination, out var destination, out var refusal))
            return new CommitResult(CommitOutcome.Invalid, $"destination_location: {StorePath.Describe(refusal)} The staged data are untouched.");
        switch (transfer.Status)
        {
            case TransferStatus.Completed when transfer.StorePath == destination.Value:
                return new CommitResult(CommitOutcome.Stored, "");
            case TransferStatus.Completed:
                return new CommitResult(CommitOutcome.NotInStaging, $"This upload was stored as '{transfer.StorePath}'.");
            case TransferStatus.Failed or TransferStatus.Cancelled:
                return new CommitResult(CommitOutcome.NotInStaging, $"This upload has been given up: {transfer.FailureReason} Start again with upload/stage.");
            case TransferStatus.Staged when transfer.StorePath != destination.Value:
                return new CommitResult(CommitOutcome.NotInStaging, $"This upload is being stored as '{transfer.StorePath}'.");
        }

        if (transfer.Status != TransferStatus.Staged)
        {
            if (!transfer.Store.Enabled || !store.IsAvailable)
                return new CommitResult(CommitOutcome.Invalid, $"Store '{transfer.Store.Name}' is switched off or not mounted. The staged data wait; commit again later.");
            var staged = await db.IncomingTransfers
                .Where(t => t.Id == commit.TransferId && (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing))
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged).SetProperty(t => t.StorePath, destination.Value)
                    .SetProperty(t => t.TransferManagerName, commit.Provider.Length > CatalogContext.MaxText ? commit.Provider.Substring(0, CatalogContext.MaxText) : commit.Provider), cancellationToken);
            if (staged == 0) return new CommitResult(CommitOutcome.NotInStaging, "The upload was given up at this moment. Start again with upload/stage.");
        }

        await arrivals.StartAsync(db, [commit.TransferId], commit.Policy, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return null;
    }

    private static CommitResult Map(IngestResult result) => new(result.Outcome switch
    {
        IngestOutcome.Ingested => CommitOutcome.Stored,
        IngestOutcome.Missing or IngestOutcome.NotExpected => CommitOutcome.NotInStaging,
        IngestOutcome.NameTaken => CommitOutcome.NameTaken,
        IngestOutcome.Mismatch or IngestOutcome.Unacceptable => CommitOutcome.Invalid,
        _ => CommitOutcome.Later,
    }, result.Message);
}
