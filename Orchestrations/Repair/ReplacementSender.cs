using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Repair;

/// <summary>Sends a peer a replacement for its corrupt copy (docs/spec/wire.md#corrupt, as S).</summary>
/// <remarks>
/// One transaction adds the batch of one file, its transfer and its workflow, and removes the records of the peer's copies of that file: a
/// crash leaves all or none of it. If the transfer fails, the next search for unsynced files offers the file to the peer again.
/// </remarks>
public sealed class ReplacementSender(
    CatalogDatabase database,
    ReplacementOffer offer,
    OutgoingTransfers outgoing,
    EndedTransfers endedTransfers,
    DatabaseDurableTaskClient client,
    IOptions<SiteOptions> options,
    TimeProvider time
)
{
    /// <summary>The peer keeps its own request open while it waits; after this time it is asked to try again.</summary>
    private static readonly TimeSpan StageWithin = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>Checks whether this site has an intact copy and can reach the peer.</summary>
    public async Task<ReplacementAnswer> PrepareAsync(
        string fileName,
        string librarian,
        Caller caller,
        CancellationToken cancellationToken
    ) => (await offer.ExamineAsync(fileName, librarian, caller, cancellationToken)).Answer;

    /// <summary>Starts to send, and answers once the peer has named its transfer.</summary>
    public async Task<ReplacementAnswer> ResendAsync(string fileName, string librarian, Caller caller, CancellationToken cancellationToken)
    {
        var (answer, copy) = await offer.ExamineAsync(fileName, librarian, caller, cancellationToken);
        if (copy is null)
            return answer;
        return await QueueAsync(copy, librarian, cancellationToken) is { } transfer
            ? await WaitAsync(transfer, cancellationToken)
            : new ReplacementAnswer.Refused(Reasons.CannotQueue, "Another request for the file came at the same moment. Ask again.");
    }

    private async Task<long?> QueueAsync(FileCopy copy, string librarian, CancellationToken cancellationToken)
    {
        try
        {
            await using var db = database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            var earlier = await db
                .OutgoingTransfers.Where(t =>
                    t.FileName == copy.FileName && t.Destination == librarian && OutgoingTransfers.Unfinished.Contains(t.Status)
                )
                .Select(t => t.Id)
                .ToListAsync(cancellationToken);
            await outgoing.FailAsync(db, earlier, "Sent anew in place of a corrupt copy.", cancellationToken, TransferStatus.Cancelled);
            await endedTransfers.PublishAsync(db, earlier, cancellationToken);
            await db
                .RemoteCopies.Where(r => r.FileName == copy.FileName && r.Peer!.Name == librarian)
                .ExecuteDeleteAsync(cancellationToken);
            var (queueId, transferId) = await outgoing.QueueCopyAsync(db, copy, librarian, SendClone.InstanceId, cancellationToken);
            await client.ScheduleNewOrchestrationInstanceAsync(
                nameof(SendClone),
                new SendCloneInput(queueId, librarian),
                new StartOrchestrationOptions(SendClone.InstanceId(queueId)),
                transaction.GetDbTransaction(),
                cancellationToken
            );
            await transaction.CommitAsync(cancellationToken);
            client.SignalCommitted();
            outgoing.ForceFullScan(librarian);
            return transferId;
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return null;
        }
    }

    /// <summary>Waits for the transfer's progress in the catalog, because the workflow may run in another process of the site.</summary>
    private async Task<ReplacementAnswer> WaitAsync(long transferId, CancellationToken cancellationToken)
    {
        var began = time.GetTimestamp();
        while (true)
        {
            await using (var db = database.Open())
            {
                var transfer = await db.OutgoingTransfers.AsNoTracking().SingleAsync(t => t.Id == transferId, cancellationToken);
                if (
                    transfer is
                    {
                        RemoteTransferId: { } remote,
                        Status: not (TransferStatus.Initiated or TransferStatus.Failed or TransferStatus.Cancelled)
                    }
                )
                    return new ReplacementAnswer.Ready(remote);
                if (transfer.Status is TransferStatus.Failed or TransferStatus.Cancelled or TransferStatus.Completed)
                    return new ReplacementAnswer.Refused(Reasons.CannotQueue, transfer.FailureReason ?? "You hold the file, as it seems.");
            }

            if (time.GetElapsedTime(began) > StageWithin)
                return new ReplacementAnswer.Refused(
                    Reasons.CannotQueue,
                    $"{options.Value.Name} could not agree on a place with you in {StageWithin.TotalSeconds:0} s; it goes on trying."
                );
            await Task.Delay(PollInterval, time, cancellationToken);
        }
    }
}
