using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.TransferManagers;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using ErrorCategory = Librarian.Domain.Catalog.ErrorCategory;
using ErrorSeverity = Librarian.Domain.Catalog.ErrorSeverity;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;
using TransferStatus = Librarian.Domain.Catalog.TransferStatus;

namespace Librarian.Orchestrations.Clone;

/// <summary>What the activities of one batch share: reading its open transfers, the neighbour, and giving transfers up.</summary>
public sealed class BatchWork(CatalogDatabase database, OutgoingTransfers outgoing, PeerConnections peers, ErrorLog errors, IOptions<SiteOptions> options, TimeProvider time, ILogger<BatchWork> log)
{
    /// <summary>A neighbour may be away this long before a person is told.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromDays(1);

    /// <summary>The site's own name.</summary>
    public string SiteName => options.Value.Name;

    /// <summary>Settings for a neighbour; a neighbour that is no longer configured has none of its rights.</summary>
    public PeerOptions Policy(string destination) => options.Value.Peers.Find(p => p.Name == destination) ?? new PeerOptions { Name = destination };

    /// <summary>A new unit of work.</summary>
    public CatalogContext Open() => database.Open();

    /// <summary>Transfers of the batch that have not ended, at most 1024.</summary>
    public static Task<List<OutgoingTransfer>> OpenTransfersAsync(CatalogContext db, long queueId, CancellationToken cancellationToken) =>
        db.OutgoingTransfers.AsNoTracking().Include(t => t.File)
            .Where(t => t.SendQueueId == queueId && OutgoingTransfers.Unfinished.Contains(t.Status)).OrderBy(t => t.Id).ToListAsync(cancellationToken);

    /// <summary>The neighbour, or why it cannot be called.</summary>
    public async Task<(Peer? Peer, string Why)> ConnectAsync(string destination, CancellationToken cancellationToken)
    {
        var peer = await peers.FindAsync(destination, cancellationToken);
        if (peer is null)
            return (null, $"Librarian '{destination}' is not registered, or its credentials cannot be decrypted with this site's key. Nothing was sent; add it with 'librarian add-librarian'.");
        return peer.Login.TransfersEnabled ? (peer, "") : (null, $"Transfers to '{destination}' are switched off.");
    }

    /// <summary>Ends a step: counts what is still open.</summary>
    public async Task<BatchStep> StepAsync(StepOutcome outcome, long queueId, string message, CancellationToken cancellationToken)
    {
        await using var db = Open();
        var remaining = await db.OutgoingTransfers.CountAsync(t => t.SendQueueId == queueId && OutgoingTransfers.Unfinished.Contains(t.Status), cancellationToken);
        if (outcome is StepOutcome.Wait or StepOutcome.Soon) Logs.BatchWaits(log, queueId, message);
        var patience = time.GetUtcNow().UtcDateTime - Patience;
        if (outcome == StepOutcome.Wait && await db.SendQueue.Where(q => q.Id == queueId && q.CreatedTime < patience).Select(q => q.Destination).SingleOrDefaultAsync(cancellationToken) is { } silent)
        {
            await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.LibrarianNetworkAvailability, $"librarian {silent}",
                $"Files have waited for '{silent}' for more than a day: {message} Nothing is lost, they are sent when it answers.", cancellationToken);
        }

        return new BatchStep(outcome, message, remaining);
    }

    /// <summary>Gives transfers up here and, as far as it can be reached now, at the neighbour.</summary>
    public async Task FailAsync(Peer? peer, IReadOnlyCollection<OutgoingTransfer> transfers, string reason, CancellationToken cancellationToken)
    {
        if (transfers.Count == 0) return;
        await using (var db = Open())
        {
            await outgoing.FailAsync(db, [.. transfers.Select(t => t.Id)], reason, cancellationToken);
        }

        foreach (var transfer in transfers)
        {
            Logs.TransferGivenUp(log, transfer.Id, transfer.FileName, transfer.Destination, reason);
            await errors.RaiseAsync(ErrorSeverity.Warning, ErrorCategory.Transfer, $"send {transfer.FileName} to {transfer.Destination}",
                $"'{transfer.FileName}' did not get to '{transfer.Destination}' and is offered again later; the local copy is untouched: {reason}", cancellationToken);
            // Best effort: a neighbour that misses this finds out when it reviews its own incoming transfers (wire.md §9.4).
            if (peer is not null && transfer.RemoteTransferId is { } remote
                && await peer.Client.FailCloneAsync(new CloneFailRequest(transfer.Id, remote, reason), cancellationToken) is { Error: Unreachable }) peer = null;
        }
    }

    /// <summary>Moves transfers forward.</summary>
    public async Task AdvanceAsync(IReadOnlyCollection<long> ids, TransferStatus[] from, TransferStatus to, CancellationToken cancellationToken)
    {
        if (ids.Count == 0) return;
        await using var db = Open();
        await OutgoingTransfers.AdvanceAsync(db, ids, from, to, cancellationToken);
    }

    /// <summary>
    /// Finds out whether the neighbour already holds the file (wire.md §9.3) and records its copy when the checksums agree.
    /// </summary>
    /// <returns>Null when it could not be asked; otherwise whether it holds our file.</returns>
    public async Task<bool?> ReconcileAsync(Peer peer, OutgoingTransfer transfer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peer);
        ArgumentNullException.ThrowIfNull(transfer);
        var found = await peer.Client.SearchFilesAsync(new FileSearchRequest(Name: transfer.FileName), cancellationToken);
        if (!found.IsSuccess) return null;
        var copy = found.Value.FirstOrDefault(f => f.Checksum == transfer.TransferChecksum && f.Size == transfer.TransferSize);
        if (copy?.Instances.FirstOrDefault(i => i is { Available: true, StoreId: not null })?.StoreId is not { } storeId) return false;
        await using var db = Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        await outgoing.AcknowledgeAsync(db, transfer.Id, caller: null, storeId, SiteName, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return true;
    }

    /// <summary>
    /// Tells the neighbour a new state of transfers and follows what it really did: ids it refused are looked up and either
    /// accepted as already further, or given up (upstream ignored the refusals, W34).
    /// </summary>
    public async Task<BatchStep> AnnounceAsync(SendCloneInput input, IReadOnlyList<OutgoingTransfer> transfers, TransferStatus status, TransferStatus[] from, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(transfers);
        if (transfers.Count == 0) return await StepAsync(StepOutcome.Done, input.QueueId, $"Everything is {status}.", cancellationToken);
        var (peer, why) = await ConnectAsync(input.Destination, cancellationToken);
        if (peer is null) return await StepAsync(StepOutcome.Wait, input.QueueId, why, cancellationToken);
        var byRemote = transfers.ToDictionary(t => t.RemoteTransferId!.Value);
        var told = await peer.Client.UpdateCheckinAsync(new CheckinUpdateRequest([], [.. byRemote.Keys], (Client.Wire.TransferStatus)status), cancellationToken);
        if (!told.IsSuccess) return await StepAsync(StepOutcome.Wait, input.QueueId, told.Error.ToString()!, cancellationToken);
        var accepted = told.Value.ModifiedDestinationTransferIds.Where(byRemote.ContainsKey).Select(id => byRemote[id].Id).ToList();
        var refused = told.Value.UnmodifiedDestinationTransferIds.Where(byRemote.ContainsKey).ToList();
        if (refused.Count > 0)
        {
            var asked = await peer.Client.GetCheckinStatusAsync(new CheckinStatusRequest([], refused), cancellationToken);
            if (!asked.IsSuccess) return await StepAsync(StepOutcome.Wait, input.QueueId, asked.Error.ToString()!, cancellationToken);
            var gone = new List<OutgoingTransfer>();
            foreach (var id in refused)
            {
                var theirs = asked.Value.DestinationTransferStatus.GetValueOrDefault(id);
                if (theirs is { } known && known <= Client.Wire.TransferStatus.Completed && (int)known >= (int)status) accepted.Add(byRemote[id].Id);
                else gone.Add(byRemote[id]);
            }

            await FailAsync(peer, gone, $"'{input.Destination}' no longer expects the transfer: {string.Join(' ', told.Value.Reasons)}", cancellationToken);
        }

        await AdvanceAsync(accepted, from, status, cancellationToken);
        return await StepAsync(StepOutcome.Done, input.QueueId, $"{accepted.Count} files are {status}.", cancellationToken);
    }
}

/// <summary>Asks the neighbour for staging places (wire.md §6.6.2, §9.2); one bad file never holds up the rest of its batch.</summary>
/// <remarks>A crash after the neighbour's answer leaves places there that it gives up when we ask again (406, then 201).</remarks>
[DurableTask(nameof(StageBatch))]
public sealed class StageBatch(BatchWork work, LocalTransferManager local) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        List<OutgoingTransfer> pending;
        await using (var db = work.Open())
        {
            pending = [.. (await BatchWork.OpenTransfersAsync(db, input.QueueId, stop)).Where(t => t is { Status: TransferStatus.Initiated, RemoteTransferId: null })];
        }

        if (pending.Count == 0) return await work.StepAsync(StepOutcome.Done, input.QueueId, "All files have a place.", stop);
        var (peer, why) = await work.ConnectAsync(input.Destination, stop);
        if (peer is null) return await work.StepAsync(StepOutcome.Wait, input.QueueId, why, stop);
        var reply = await peer.Client.StageCloneBatchAsync(new CloneBatchStageRequest(
            [.. pending.Select(t => new CloneBatchItem(t.TransferSize, t.TransferChecksum, t.FileName, t.FileName, t.File!.Uploader, t.Id))],
            work.SiteName, pending.Sum(t => t.TransferSize)), stop);
        return reply.IsSuccess
            ? await AcceptAsync(peer, input, pending, reply.Value, stop)
            : await RefusedAsync(peer, input, pending, reply.Error, stop);
    }

    private async Task<BatchStep> AcceptAsync(Peer peer, SendCloneInput input, List<OutgoingTransfer> pending, CloneBatchStageResponse answer, CancellationToken stop)
    {
        // A place named twice is no place: two files would overwrite each other there.
        var places = answer.Uploads.GroupBy(u => u.DestinationTransferId).Where(g => g.Count() == 1).Select(g => g.Single())
            .GroupBy(u => u.SourceTransferId).Where(g => g.Count() == 1).ToDictionary(g => g.Key, g => g.Single());
        var roots = work.Policy(input.Destination).LocalRoots;
        var provider = answer.AsyncTransferProviders.FirstOrDefault(p => p.Value is LocalProvider l && local.IsUsable(l.Hostnames));
        var usable = pending.Where(t => provider.Value is not null && places.TryGetValue(t.Id, out var p) && LocalTransferManager.IsAllowed(p.StagingLocation, roots)).ToList();
        await using (var db = work.Open())
        {
            var rows = await db.OutgoingTransfers.Where(t => t.SendQueueId == input.QueueId && t.Status == TransferStatus.Initiated).ToDictionaryAsync(t => t.Id, stop);
            foreach (var (id, place) in places)
            {
                if (!rows.TryGetValue(id, out var row)) continue;
                row.RemoteTransferId = place.DestinationTransferId;
                row.DestPath = place.StagingLocation;
                row.TransferManagerName = provider.Value is null ? null : "local";
            }

            await db.SaveChangesAsync(stop);
        }

        foreach (var transfer in pending) transfer.RemoteTransferId = places.GetValueOrDefault(transfer.Id)?.DestinationTransferId;
        await work.FailAsync(peer, [.. pending.Except(usable)], provider.Value is null
            ? $"'{input.Destination}' offers no transfer manager that works from this host."
            : $"'{input.Destination}' named a staging location outside Site:Peers:LocalRoots, or none.", stop);
        return await work.StepAsync(StepOutcome.Done, input.QueueId, $"{usable.Count} files have a place on store {answer.StoreName}.", stop);
    }

    private async Task<BatchStep> RefusedAsync(Peer peer, SendCloneInput input, List<OutgoingTransfer> pending, ReplyError error, CancellationToken stop)
    {
        if (error is not Refused refused || refused.Status >= 500 || refused.Status is 401 or 408 or 429)
            return await work.StepAsync(StepOutcome.Wait, input.QueueId, error.ToString()!, stop);
        var named = refused.Ids("source_transfer_ids").ToHashSet();
        var concerned = named.Count == 0 ? pending : [.. pending.Where(t => named.Contains(t.Id))];
        if (concerned.Count == 0) concerned = pending;
        switch (refused.Status)
        {
            case 409:
                foreach (var transfer in concerned)
                {
                    switch (await work.ReconcileAsync(peer, transfer, stop))
                    {
                        case null: return await work.StepAsync(StepOutcome.Wait, input.QueueId, refused.ToString(), stop);
                        case false: await work.FailAsync(null, [transfer], $"'{input.Destination}' holds another file of this name, or no copy of it that can be used.", stop); break;
                    }
                }

                break;
            case 406:
                // It has given up its earlier attempt at these; asking again succeeds. Wait a moment in case two of us ask in turns.
                return await work.StepAsync(StepOutcome.Soon, input.QueueId, refused.ToString(), stop);
            default:
                await work.FailAsync(null, concerned, refused.ToString(), stop);
                break;
        }

        return await work.StepAsync(StepOutcome.Again, input.QueueId, refused.ToString(), stop);
    }
}

/// <summary>Says ONGOING for every file that has a place.</summary>
[DurableTask(nameof(AnnounceOngoing))]
public sealed class AnnounceOngoing(BatchWork work) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        await using var db = work.Open();
        var transfers = (await BatchWork.OpenTransfersAsync(db, input.QueueId, context.CancellationToken))
            .Where(t => t is { Status: TransferStatus.Initiated, RemoteTransferId: not null }).ToList();
        return await work.AnnounceAsync(input, transfers, TransferStatus.Ongoing, [TransferStatus.Initiated], context.CancellationToken);
    }
}

/// <summary>Copies the files of a batch to where the neighbour wants them; a file that is there already is not copied again.</summary>
/// <remarks>
/// A crash leaves a part file inside the neighbour's staging directory, which goes with that directory; the final name appears
/// only when all bytes are on disk.
/// </remarks>
[DurableTask(nameof(CopyBatch))]
public sealed class CopyBatch(BatchWork work, TimeProvider time) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        List<OutgoingTransfer> transfers;
        await using (var db = work.Open())
        {
            transfers = [.. (await BatchWork.OpenTransfersAsync(db, input.QueueId, stop)).Where(t => t is { Status: TransferStatus.Ongoing, DestPath: not null, SourcePath: not null })];
            var queue = await db.SendQueue.SingleAsync(q => q.Id == input.QueueId, stop);
            queue.Consumed = true;
            queue.ConsumedTime ??= time.GetUtcNow().UtcDateTime;
            await db.SaveChangesAsync(stop);
        }

        var failures = new System.Collections.Concurrent.ConcurrentBag<(OutgoingTransfer Transfer, string Why)>();
        var roots = work.Policy(input.Destination).LocalRoots;
        await Parallel.ForEachAsync(transfers, new ParallelOptions { MaxDegreeOfParallelism = 2, CancellationToken = stop }, async (transfer, token) =>
        {
            if (!LocalTransferManager.IsAllowed(transfer.DestPath!, roots))
            {
                failures.Add((transfer, $"{transfer.DestPath} lies outside Site:Peers:LocalRoots."));
                return;
            }

            if (await LocalTransferManager.CopyAsync(transfer.SourcePath!, transfer.DestPath!, token) is { } problem) failures.Add((transfer, problem));
        });
        if (!failures.IsEmpty)
        {
            var (peer, _) = await work.ConnectAsync(input.Destination, stop);
            foreach (var (transfer, why) in failures) await work.FailAsync(peer, [transfer], why, stop);
        }

        return await work.StepAsync(StepOutcome.Done, input.QueueId, $"{transfers.Count - failures.Count} files copied, {failures.Count} could not be.", stop);
    }
}

/// <summary>Says STAGED for every file whose bytes are there.</summary>
[DurableTask(nameof(AnnounceStaged))]
public sealed class AnnounceStaged(BatchWork work) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        await using var db = work.Open();
        var transfers = (await BatchWork.OpenTransfersAsync(db, input.QueueId, context.CancellationToken)).Where(t => t.Status == TransferStatus.Ongoing).ToList();
        return await work.AnnounceAsync(input, transfers, TransferStatus.Staged, [TransferStatus.Ongoing], context.CancellationToken);
    }
}

/// <summary>Asks about transfers whose callback stays out (wire.md §9.3): neither a lost answer nor a reinstalled neighbour leaves them open for ever.</summary>
[DurableTask(nameof(ReviewBatch))]
public sealed class ReviewBatch(BatchWork work) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        List<OutgoingTransfer> open;
        await using (var db = work.Open())
        {
            open = await BatchWork.OpenTransfersAsync(db, input.QueueId, stop);
        }

        if (open.Count == 0) return await work.StepAsync(StepOutcome.Done, input.QueueId, "All transfers have ended.", stop);
        var (peer, why) = await work.ConnectAsync(input.Destination, stop);
        if (peer is null) return await work.StepAsync(StepOutcome.Wait, input.QueueId, why, stop);
        var asked = await peer.Client.GetCheckinStatusAsync(new CheckinStatusRequest([], [.. open.Where(t => t.RemoteTransferId is not null).Select(t => t.RemoteTransferId!.Value)]), stop);
        if (!asked.IsSuccess) return await work.StepAsync(StepOutcome.Wait, input.QueueId, asked.Error.ToString()!, stop);
        foreach (var transfer in open)
        {
            var theirs = transfer.RemoteTransferId is { } id ? asked.Value.DestinationTransferStatus.GetValueOrDefault(id) : null;
            if (theirs is Client.Wire.TransferStatus.Initiated or Client.Wire.TransferStatus.Ongoing && transfer.Status == TransferStatus.Staged)
            {
                // It has forgotten that the bytes are there (a restored backup): say so again.
                await peer.Client.UpdateCheckinAsync(new CheckinUpdateRequest([], [transfer.RemoteTransferId!.Value], Client.Wire.TransferStatus.Staged), stop);
                continue;
            }

            if (theirs is Client.Wire.TransferStatus.Initiated or Client.Wire.TransferStatus.Ongoing or Client.Wire.TransferStatus.Staged) continue;
            if (await work.ReconcileAsync(peer, transfer, stop) is false)
                await work.FailAsync(peer, [transfer], $"'{input.Destination}' says {theirs?.ToString() ?? "it does not know the transfer"} and does not hold the file.", stop);
        }

        return await work.StepAsync(StepOutcome.Wait, input.QueueId, "Waiting for the destination to verify.", stop);
    }
}

/// <summary>Closes the batch and writes its performance record.</summary>
[DurableTask(nameof(FinishBatch))]
public sealed class FinishBatch(BatchWork work, TimeProvider time) : TaskActivity<SendCloneInput, string>
{
    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        await using var db = work.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(stop);
        var queue = await db.SendQueue.SingleAsync(q => q.Id == input.QueueId, stop);
        var ended = await db.OutgoingTransfers.Where(t => t.SendQueueId == input.QueueId)
            .GroupBy(t => t.Status).Select(g => new { Status = g.Key, Count = g.Count(), Bytes = g.Sum(t => t.TransferSize) }).ToListAsync(stop);
        var completed = ended.Find(e => e.Status == TransferStatus.Completed);
        var failed = ended.Where(e => e.Status != TransferStatus.Completed).Sum(e => e.Count);
        if (!queue.Completed)
        {
            var now = time.GetUtcNow().UtcDateTime;
            queue.Completed = true;
            queue.CompletedTime = now;
            queue.Failed = completed is null;
            // A batch taken over from a Python site may have its record already: there it ended when the bytes had been moved.
            if (completed is not null && !await db.CompletedTransfers.AnyAsync(c => c.Id == queue.Id, stop))
            {
                var seconds = Math.Max(0.001, (now - queue.CreatedTime).TotalSeconds);
                db.CompletedTransfers.Add(new CompletedTransfer
                {
                    Id = queue.Id,
                    TaskId = $"local-{queue.Id}",
                    SourceEndpointId = work.SiteName,
                    DestinationEndpointId = input.Destination,
                    StartTime = queue.CreatedTime,
                    EndTime = now,
                    DurationSeconds = seconds,
                    BytesTransferred = completed.Bytes,
                    EffectiveBandwidthBps = completed.Bytes * 8 / seconds,
                });
            }

            await db.SaveChangesAsync(stop);
            await transaction.CommitAsync(stop);
        }

        return $"{completed?.Count ?? 0} files acknowledged by {input.Destination}, {failed} given up for now.";
    }
}
