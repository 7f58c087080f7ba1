using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Options;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;

namespace Librarian.Orchestrations.Repair;

/// <summary>Answer to a peer that asks for a replacement.</summary>
public abstract record ReplacementAnswer
{
    private ReplacementAnswer() { }

    /// <summary>The replacement can be sent, or is being sent.</summary>
    /// <param name="RemoteTransferId">
    /// Id of the peer's incoming transfer; null if the peer only asked whether a replacement can be sent.
    /// </param>
    public sealed record Ready(long? RemoteTransferId) : ReplacementAnswer;

    /// <summary>The account does not belong to that librarian, or no such librarian is registered.</summary>
    public sealed record Stranger : ReplacementAnswer;

    /// <summary>No replacement can be sent.</summary>
    /// <param name="Reason">The reason in the protocol's words.</param>
    /// <param name="Detail">The details, for people.</param>
    public sealed record Refused(string Reason, string Detail) : ReplacementAnswer;
}

/// <summary>Sends a peer a replacement for its corrupt copy (docs/spec/wire.md#corrupt, as S).</summary>
/// <remarks>
/// One transaction adds the batch of one file, its transfer and its workflow, and removes the records of the peer's copies of that file: a
/// crash leaves all or none of it. If the transfer fails, the next search for unsynced files offers the file to the peer again.
/// </remarks>
public sealed class ReplacementSender(
    CatalogDatabase database,
    CopyChecks checks,
    OutgoingTransfers outgoing,
    EndedTransfers endedTransfers,
    PeerConnections peers,
    PeerCheck setUp,
    DatabaseDurableTaskClient client,
    SiteStores stores,
    IOptions<SiteOptions> options,
    TimeProvider time
)
{
    /// <summary>The peer keeps its own request open while it waits; after this time it is asked to try again.</summary>
    private static readonly TimeSpan StageWithin = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan PingWait = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>Checks whether this site has an intact copy and can reach the peer.</summary>
    public async Task<ReplacementAnswer> PrepareAsync(
        string fileName,
        string librarian,
        Caller caller,
        CancellationToken cancellationToken
    ) => (await ExamineAsync(fileName, librarian, caller, cancellationToken)).Answer;

    /// <summary>Starts to send, and answers once the peer has named its transfer.</summary>
    public async Task<ReplacementAnswer> ResendAsync(string fileName, string librarian, Caller caller, CancellationToken cancellationToken)
    {
        var (answer, copy) = await ExamineAsync(fileName, librarian, caller, cancellationToken);
        if (copy is null)
            return answer;
        return await QueueAsync(copy, librarian, cancellationToken) is { } transfer
            ? await WaitAsync(transfer, cancellationToken)
            : new ReplacementAnswer.Refused(Reasons.CannotQueue, "Another request for the file came at the same moment. Ask again.");
    }

    private async Task<(ReplacementAnswer Answer, FileCopy? Copy)> ExamineAsync(
        string fileName,
        string librarian,
        Caller caller,
        CancellationToken cancellationToken
    )
    {
        if (caller.Username != librarian || await peers.FindAsync(librarian, cancellationToken) is not { } peer)
            return (new ReplacementAnswer.Stranger(), null);
        // Read the copy now, whatever earlier checks found: a corrupt copy must not replace a corrupt copy.
        if (await checks.CheckAsync(fileName, force: true, cancellationToken) is not { } found)
            return (new ReplacementAnswer.Refused(Reasons.FileUnknown, "Ask another librarian."), null);
        if (found.Checks.Count == 0)
            return (
                new ReplacementAnswer.Refused(
                    "We have no available copy of the file",
                    "Ask another librarian, or later: its store may be away."
                ),
                null
            );
        if (found.Checks.FirstOrDefault(c => c.Matches) is not { } good)
            return (new ReplacementAnswer.Refused(Reasons.AlsoCorrupt, "Ask another librarian."), null);
        if (!peer.Login.TransfersEnabled)
            return (new ReplacementAnswer.Refused(Reasons.CannotSend, $"Transfers to '{librarian}' are switched off here."), null);
        // The peer relies on this answer: a Python site deletes its copy before it asks for the replacement (docs/spec/wire.md#repair).
        if (setUp.WhyNotSend(librarian) is { } missing)
            return (new ReplacementAnswer.Refused(Reasons.CannotSend, missing), null);
        var ping = await peers.For(peer.Login, PingWait)!.Client.PingLoggedAsync(cancellationToken);
        return ping.IsSuccess
            ? (new ReplacementAnswer.Ready(null), good.Copy)
            : (new ReplacementAnswer.Refused(Reasons.CannotSend, $"'{librarian}' does not let us in: {ping.Error}"), null);
    }

    private async Task<long?> QueueAsync(FileCopy copy, string librarian, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().UtcDateTime;
        try
        {
            await using var db = database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            var file = await db.Files.AsNoTracking().SingleAsync(f => f.Name == copy.FileName, cancellationToken);
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
            var queue = new SendQueueItem { CreatedTime = now, Destination = librarian };
            db.SendQueue.Add(queue);
            await db.SaveChangesAsync(cancellationToken);
            queue.OrchestrationId = SendClone.InstanceId(queue.Id);
            var transfer = new OutgoingTransfer
            {
                Status = TransferStatus.Initiated,
                Destination = librarian,
                TransferSize = file.Size,
                TransferChecksum = file.Checksum,
                StartTime = now,
                FileName = file.Name,
                CopyId = copy.Id,
                SourcePath = stores.Locate(copy.StoreId, copy.Path),
                SendQueueId = queue.Id,
            };
            db.OutgoingTransfers.Add(transfer);
            await db.SaveChangesAsync(cancellationToken);
            await client.ScheduleNewOrchestrationInstanceAsync(
                nameof(SendClone),
                new SendCloneInput(queue.Id, librarian),
                new StartOrchestrationOptions(SendClone.InstanceId(queue.Id)),
                transaction.GetDbTransaction(),
                cancellationToken
            );
            await transaction.CommitAsync(cancellationToken);
            client.SignalCommitted();
            outgoing.ForceFullScan(librarian);
            return transfer.Id;
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
