using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Peers;
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
public sealed class BatchWork(CatalogDatabase database, OutgoingTransfers outgoing, PeerDirectory directory, PeerConnections peers, ErrorLog errors, IOptions<SiteOptions> options, TimeProvider time, ILogger<BatchWork> log)
{
    /// <summary>A neighbour may be away this long before a person is told.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromDays(1);

    private static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(30);

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
        if (outcome is StepOutcome.Wait or StepOutcome.Soon or StepOutcome.Full) Logs.BatchWaits(log, queueId, message);
        var patience = time.GetUtcNow().UtcDateTime - Patience;
        if (outcome == StepOutcome.Wait && await db.SendQueue.Where(q => q.Id == queueId && q.CreatedTime < patience).Select(q => q.Destination).SingleOrDefaultAsync(cancellationToken) is { } silent)
        {
            await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.LibrarianNetworkAvailability, Matter(silent),
                $"Files have waited for '{silent}' for more than a day: {message} Nothing is lost, they are sent when it answers.", cancellationToken);
        }

        return new BatchStep(outcome, message, remaining);
    }

    /// <summary>Whether the neighbour answers at all (<c>ping/</c>, any credentials).</summary>
    public Task<Reply<PingResponse>> PingAsync(Peer peer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peer);
        return peers.For(peer.Login, PingTimeout)!.Client.PingAsync(cancellationToken);
    }

    /// <summary>Ends a step with which the neighbour, as a whole, cannot be brought further now; tells a person when only a person can help.</summary>
    public async Task<BatchStep> WaitAsync(SendCloneInput input, ReplyError error, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(error);
        if (PeerCalls.IsForPerson(error))
        {
            await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.Configuration, Matter(input.Destination),
                $"'{input.Destination}' does not let us in: {error} Files for it wait, nothing is lost. Check the address and the account that was given to add-librarian, and the account's level there (READAPPEND).", cancellationToken);
        }

        return await StepAsync(StepOutcome.Wait, input.QueueId, error.ToString()!, cancellationToken);
    }

    /// <summary>Ends a step because the neighbour has no room: it gets no new batches, and a person is told once.</summary>
    public async Task<BatchStep> FullAsync(SendCloneInput input, ReplyError error, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(error);
        await directory.MarkFullAsync(input.Destination, full: true, cancellationToken);
        await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.StoreFull, Room(input.Destination),
            $"'{input.Destination}' has no room for more files: {error} Files for it wait here, nothing is lost. Space is to be made there; it is asked again by itself.", cancellationToken);
        return await StepAsync(StepOutcome.Full, input.QueueId, error.ToString()!, cancellationToken);
    }

    /// <summary>The neighbour takes files: what was reported about its absence, our account or its room has ended.</summary>
    public async Task TakesFilesAsync(Peer peer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peer);
        await directory.MarkFullAsync(peer.Login.Name, full: false, cancellationToken);
        await AnswersAsync(peer.Login.Name, cancellationToken);
        await errors.SettleAsync(Room(peer.Login.Name), cancellationToken);
    }

    /// <summary>The neighbour lets us in: what was reported about its absence or our account has ended.</summary>
    public Task AnswersAsync(string destination, CancellationToken cancellationToken) => errors.SettleAsync(Matter(destination), cancellationToken);

    /// <summary>
    /// Ends transfers here without success and, as far as it can be reached now, at the neighbour. One that misses this finds out when it
    /// reviews its own incoming transfers (wire.md §9.4).
    /// </summary>
    /// <param name="peer">Null: the neighbour knows, or is not to be asked.</param>
    /// <param name="transfers">Which.</param>
    /// <param name="reason">Why, for people.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="status">CANCELLED for files that only stand back; nobody is told of those.</param>
    public async Task FailAsync(Peer? peer, IReadOnlyList<OutgoingTransfer> transfers, string reason, CancellationToken cancellationToken, TransferStatus status = TransferStatus.Failed)
    {
        ArgumentNullException.ThrowIfNull(transfers);
        if (transfers is not [var first, ..]) return;
        await using (var db = Open())
        {
            await outgoing.FailAsync(db, [.. transfers.Select(t => t.Id)], reason, cancellationToken, status);
        }

        foreach (var transfer in transfers)
        {
            if (status == TransferStatus.Failed) Logs.TransferGivenUp(log, transfer.Id, transfer.FileName, transfer.Destination, reason);
            else Logs.TransferStandsBack(log, transfer.Id, transfer.FileName, transfer.Destination, reason);
        }

        if (status == TransferStatus.Failed)
        {
            var what = transfers.Count == 1 ? $"'{first.FileName}'" : $"{transfers.Count} files, '{first.FileName}' the first of them,";
            await errors.RaiseAsync(ErrorSeverity.Warning, ErrorCategory.Transfer, $"send {first.FileName} to {first.Destination}",
                $"{what} did not get to '{first.Destination}' and will be offered again later; the local copies are untouched: {reason}", cancellationToken);
        }

        List<OutgoingTransfer> known = [.. transfers.Where(t => t.RemoteTransferId is not null)];
        if (peer is null || known.Count == 0) return;
        if (known is [var only]) await peer.Client.FailCloneAsync(new CloneFailRequest(only.Id, only.RemoteTransferId!.Value, reason), cancellationToken);
        else await peer.Client.UpdateCheckinAsync(new CheckinUpdateRequest([], [.. known.Select(t => t.RemoteTransferId!.Value)], Client.Wire.TransferStatus.Failed), cancellationToken);
    }

    /// <summary>
    /// Tells the neighbour of earlier transfers of these files that have ended here and that it still waits for; whether there was one. A
    /// transfer whose data it has (STAGED) is left to it.
    /// </summary>
    public async Task<bool> EndEarlierAsync(Peer peer, IReadOnlyList<OutgoingTransfer> transfers, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peer);
        List<string> names = [.. transfers.Select(t => t.FileName)];
        List<long> ended;
        await using (var db = Open())
        {
            ended = await db.OutgoingTransfers.Where(t => names.Contains(t.FileName) && t.Destination == peer.Login.Name && t.RemoteTransferId != null
                    && (t.Status == TransferStatus.Failed || t.Status == TransferStatus.Cancelled)
                    && t.Id == db.OutgoingTransfers.Where(o => o.FileName == t.FileName && o.Destination == t.Destination && o.RemoteTransferId != null).Max(o => o.Id))
                .Select(t => t.RemoteTransferId!.Value).ToListAsync(cancellationToken);
        }

        if (ended.Count == 0) return false;
        var asked = await peer.Client.GetCheckinStatusAsync(new CheckinStatusRequest([], ended), cancellationToken);
        if (!asked.IsSuccess) return false;
        List<long> waiting = [.. ended.Where(id => asked.Value.DestinationTransferStatus.GetValueOrDefault(id) is Client.Wire.TransferStatus.Initiated or Client.Wire.TransferStatus.Ongoing)];
        if (waiting.Count == 0) return false;
        var told = await peer.Client.UpdateCheckinAsync(new CheckinUpdateRequest([], waiting, Client.Wire.TransferStatus.Failed), cancellationToken);
        return told.IsSuccess && told.Value.ModifiedDestinationTransferIds.Count > 0;
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
        var ours = Checksum.Parse(transfer.TransferChecksum);
        var copy = found.Value.FirstOrDefault(f => f.Name == transfer.FileName && f.Size == transfer.TransferSize && ours.CompareTo(Checksum.Parse(f.Checksum)) == ChecksumComparison.Equal);
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
        if (!told.IsSuccess) return await WaitAsync(input, told.Error, cancellationToken);
        await AnswersAsync(input.Destination, cancellationToken);
        var modified = told.Value.ModifiedDestinationTransferIds.ToHashSet();
        List<long> accepted = [.. byRemote.Where(t => modified.Contains(t.Key)).Select(t => t.Value.Id)];
        List<long> refused = [.. byRemote.Keys.Where(id => !modified.Contains(id))];
        if (refused.Count > 0)
        {
            var asked = await peer.Client.GetCheckinStatusAsync(new CheckinStatusRequest([], refused), cancellationToken);
            if (!asked.IsSuccess) return await WaitAsync(input, asked.Error, cancellationToken);
            var gone = new List<OutgoingTransfer>();
            foreach (var transfer in refused.Select(id => byRemote[id]))
            {
                var theirs = asked.Value.DestinationTransferStatus.GetValueOrDefault(transfer.RemoteTransferId!.Value);
                if (theirs is { } known && known < Client.Wire.TransferStatus.Completed && (int)known >= (int)status) accepted.Add(transfer.Id);
                else if (theirs == Client.Wire.TransferStatus.Completed && await ReconcileAsync(peer, transfer, cancellationToken) is not false) continue;
                else gone.Add(transfer);
            }

            await FailAsync(peer, gone, $"'{input.Destination}' no longer expects the transfer: {string.Join(' ', told.Value.Reasons)}", cancellationToken);
        }

        await AdvanceAsync(accepted, from, status, cancellationToken);
        return await StepAsync(StepOutcome.Done, input.QueueId, $"{accepted.Count} files are {status}.", cancellationToken);
    }

    /// <summary>Under this name its absence and our account there are reported, so that its next answer settles them.</summary>
    private static string Matter(string destination) => $"librarian {destination}";

    private static string Room(string destination) => $"room at librarian {destination}";
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
    /// <summary>At most this many files are still copied after transfers to the neighbour were switched off (upstream W22).</summary>
    private const int SwitchedOffWithin = 16;

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

        var (copied, given) = (0, 0);
        var roots = work.Policy(input.Destination).LocalRoots;
        foreach (var chunk in transfers.Chunk(SwitchedOffWithin))
        {
            var (peer, why) = await work.ConnectAsync(input.Destination, stop);
            if (peer is null) return await work.StepAsync(StepOutcome.Wait, input.QueueId, why, stop);
            var failures = new System.Collections.Concurrent.ConcurrentBag<(OutgoingTransfer Transfer, string Why)>();
            await Parallel.ForEachAsync(chunk, new ParallelOptions { MaxDegreeOfParallelism = 2, CancellationToken = stop }, async (transfer, token) =>
            {
                if (await LocalTransferManager.CopyAsync(transfer.SourcePath!, transfer.DestPath!, transfer.FileName, roots, token) is { } problem) failures.Add((transfer, problem));
            });
            foreach (var reason in failures.GroupBy(f => f.Why, StringComparer.Ordinal)) await work.FailAsync(peer, [.. reason.Select(f => f.Transfer)], reason.Key, stop);
            copied += chunk.Length - failures.Count;
            given += failures.Count;
        }

        return await work.StepAsync(StepOutcome.Done, input.QueueId, $"{copied} files copied, {given} could not be.", stop);
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
        if (!asked.IsSuccess) return await work.WaitAsync(input, asked.Error, stop);
        await work.AnswersAsync(input.Destination, stop);
        var forgotten = new List<long>();
        var gone = new List<OutgoingTransfer>();
        foreach (var transfer in open)
        {
            var theirs = transfer.RemoteTransferId is { } id ? asked.Value.DestinationTransferStatus.GetValueOrDefault(id) : null;
            if (theirs is Client.Wire.TransferStatus.Initiated or Client.Wire.TransferStatus.Ongoing && transfer.Status == TransferStatus.Staged) forgotten.Add(transfer.RemoteTransferId!.Value);
            else if (theirs is Client.Wire.TransferStatus.Initiated or Client.Wire.TransferStatus.Ongoing or Client.Wire.TransferStatus.Staged) continue;
            else if (await work.ReconcileAsync(peer, transfer, stop) is false) gone.Add(transfer);
        }

        // It has forgotten that the bytes are there (a restored backup): say so again.
        if (forgotten.Count > 0) await peer.Client.UpdateCheckinAsync(new CheckinUpdateRequest([], forgotten, Client.Wire.TransferStatus.Staged), stop);
        await work.FailAsync(peer, gone, $"'{input.Destination}' has ended the transfer, or does not know it, and does not hold the file.", stop);
        return await work.StepAsync(StepOutcome.Soon, input.QueueId, "Waiting for the destination to verify.", stop);
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
