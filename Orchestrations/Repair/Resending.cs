using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Files;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Options;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;
using TransferStatus = Librarian.Domain.Catalog.TransferStatus;

namespace Librarian.Orchestrations.Repair;

/// <summary>What this site answers to a neighbour whose copy is bad.</summary>
public abstract record ResendAnswer
{
    private ResendAnswer()
    {
    }

    /// <summary>It can be, or is being, sent.</summary>
    /// <param name="RemoteTransferId">The neighbour's own incoming transfer; null for a mere question.</param>
    public sealed record Ready(long? RemoteTransferId) : ResendAnswer;

    /// <summary>The account is not the librarian's own, or no such librarian is registered.</summary>
    public sealed record Stranger : ResendAnswer;

    /// <summary>It cannot be sent.</summary>
    /// <param name="Reason">As the contract words it.</param>
    /// <param name="Detail">For people.</param>
    public sealed record Refused(string Reason, string Detail) : ResendAnswer;
}

/// <summary>Sends a neighbour a good copy in place of its corrupt one (wire.md §6.9, as S).</summary>
/// <remarks>
/// The batch of one file, its transfer, its workflow and the removal of the copies that we believed the neighbour to have are one
/// transaction: a crash leaves all or none. If nothing comes of it, the next search for unsynced files offers the file to the neighbour again.
/// </remarks>
public sealed class Resending(CatalogDatabase database, InstanceChecks checks, OutgoingTransfers outgoing, CloneScheduler scheduler, PeerConnections peers, DurableTaskClient client, IOptions<SiteOptions> options, TimeProvider time)
{
    /// <summary>The neighbour waits for our answer with its own request open; past this it is told to ask again.</summary>
    private static readonly TimeSpan StageWithin = TimeSpan.FromSeconds(60);

    private static readonly TimeSpan PingWait = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(100);

    /// <summary>Whether a good copy is here and the neighbour can be reached.</summary>
    public async Task<ResendAnswer> PrepareAsync(string fileName, string librarian, Caller caller, CancellationToken cancellationToken) =>
        (await ExamineAsync(fileName, librarian, caller, cancellationToken)).Answer;

    /// <summary>Starts to send, and answers when the neighbour has named its transfer.</summary>
    public async Task<ResendAnswer> ResendAsync(string fileName, string librarian, Caller caller, CancellationToken cancellationToken)
    {
        var (answer, copy) = await ExamineAsync(fileName, librarian, caller, cancellationToken);
        if (copy is null) return answer;
        return await QueueAsync(copy, librarian, cancellationToken) is { } transfer
            ? await WaitAsync(transfer, cancellationToken)
            : new ResendAnswer.Refused(Reasons.CannotQueue, "Another request for the file came at the same moment. Ask again.");
    }

    private async Task<(ResendAnswer Answer, Instance? Copy)> ExamineAsync(string fileName, string librarian, Caller caller, CancellationToken cancellationToken)
    {
        if (caller.Username != librarian || await peers.FindAsync(librarian, cancellationToken) is not { } peer) return (new ResendAnswer.Stranger(), null);
        // Read now, whatever is remembered: a bad copy must not replace a bad copy.
        if (await checks.CheckAsync(fileName, force: true, cancellationToken) is not { } found) return (new ResendAnswer.Refused(Reasons.FileUnknown, "Ask another librarian."), null);
        if (found.Checks.Count == 0) return (new ResendAnswer.Refused("We have no available copy of the file", "Ask another librarian, or later: its store may be away."), null);
        if (found.Checks.FirstOrDefault(c => c.Matches) is not { } good) return (new ResendAnswer.Refused(Reasons.AlsoCorrupt, "Ask another librarian."), null);
        if (!peer.Login.TransfersEnabled) return (new ResendAnswer.Refused(Reasons.CannotSend, $"Transfers to '{librarian}' are switched off here."), null);
        var ping = await peers.For(peer.Login, PingWait)!.Client.PingLoggedAsync(cancellationToken);
        return ping.IsSuccess ? (new ResendAnswer.Ready(null), good.Instance) : (new ResendAnswer.Refused(Reasons.CannotSend, $"'{librarian}' does not let us in: {ping.Error}"), null);
    }

    private async Task<long?> QueueAsync(Instance copy, string librarian, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().UtcDateTime;
        try
        {
            await using var db = database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            var file = await db.Files.AsNoTracking().SingleAsync(f => f.Name == copy.FileName, cancellationToken);
            var earlier = await db.OutgoingTransfers.Where(t => t.FileName == copy.FileName && t.Destination == librarian && OutgoingTransfers.Unfinished.Contains(t.Status)).Select(t => t.Id).ToListAsync(cancellationToken);
            await outgoing.FailAsync(db, earlier, "Sent anew in place of a corrupt copy.", cancellationToken, TransferStatus.Cancelled);
            await scheduler.SettleAsync(db, earlier, cancellationToken);
            await db.RemoteInstances.Where(r => r.FileName == copy.FileName && r.Librarian!.Name == librarian).ExecuteDeleteAsync(cancellationToken);
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
                InstanceId = copy.Id,
                SourcePath = copy.Path,
                SendQueueId = queue.Id,
            };
            db.OutgoingTransfers.Add(transfer);
            await db.SaveChangesAsync(cancellationToken);
            await client.ScheduleNewOrchestrationInstanceAsync(nameof(SendClone), new SendCloneInput(queue.Id, librarian), new StartOrchestrationOptions(SendClone.InstanceId(queue.Id)), transaction.GetDbTransaction(), cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            client.SignalCommitted();
            outgoing.LookAtAll(librarian);
            return transfer.Id;
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return null;
        }
    }

    /// <summary>The workflow may run in another process of the site, so the catalog is where its progress shows.</summary>
    private async Task<ResendAnswer> WaitAsync(long transferId, CancellationToken cancellationToken)
    {
        var began = time.GetTimestamp();
        while (true)
        {
            await using (var db = database.Open())
            {
                var transfer = await db.OutgoingTransfers.AsNoTracking().SingleAsync(t => t.Id == transferId, cancellationToken);
                if (transfer is { RemoteTransferId: { } remote, Status: not (TransferStatus.Initiated or TransferStatus.Failed or TransferStatus.Cancelled) }) return new ResendAnswer.Ready(remote);
                if (transfer.Status is TransferStatus.Failed or TransferStatus.Cancelled or TransferStatus.Completed) return new ResendAnswer.Refused(Reasons.CannotQueue, transfer.FailureReason ?? "You hold the file, as it seems.");
            }

            if (time.GetElapsedTime(began) > StageWithin) return new ResendAnswer.Refused(Reasons.CannotQueue, $"{options.Value.Name} could not agree on a place with you in {StageWithin.TotalSeconds:0} s; it goes on trying.");
            await Task.Delay(Look, time, cancellationToken);
        }
    }
}
