using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;

namespace Librarian.Orchestrations.Clone;

/// <summary>
/// Asks the peer about transfers whose callback is overdue (docs/spec/wire.md#review-of-outgoing-transfers), so that neither a lost answer
/// nor a reinstalled peer leaves them open forever.
/// </summary>
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

        if (open.Count == 0)
            return await work.Calls.StepAsync(StepOutcome.Done, input.QueueId, "All transfers have ended.", stop);
        work.Calls.RemoveWaiting(input);
        var (peer, why) = await work.Calls.ConnectAsync(input.Destination, stop);
        if (peer is null)
            return await work.Calls.StepAsync(StepOutcome.Wait, input.QueueId, why, stop);
        var asked = await peer.Client.GetCheckinStatusAsync(
            BatchCalls.Question(peer, [.. open.Where(t => t.RemoteTransferId is not null).Select(t => (t.RemoteTransferId!.Value, t.Id))]),
            stop
        );
        if (!asked.IsSuccess)
            return await work.Calls.WaitAsync(input, asked.Error, stop);
        await work.Calls.RecordReachableAsync(input.Destination, stop);
        var forgotten = new List<(long, long)>();
        var gone = new List<OutgoingTransfer>();
        foreach (var transfer in open)
        {
            var theirs = transfer.RemoteTransferId is { } id ? asked.Value.DestinationTransferStatus.GetValueOrDefault(id) : null;
            if (theirs is TransferStatus.Initiated or TransferStatus.Ongoing && transfer.Status == TransferStatus.Staged)
                forgotten.Add((transfer.RemoteTransferId!.Value, transfer.Id));
            else if (theirs is TransferStatus.Initiated or TransferStatus.Ongoing or TransferStatus.Staged)
                continue;
            else if (await work.ReconcileAsync(peer, transfer, probed: theirs == TransferStatus.Completed, stop) is false)
                gone.Add(transfer);
        }

        // The peer was restored from a backup and does not know that the data are in its staging: announce them again.
        if (forgotten.Count > 0)
            await peer.Client.UpdateCheckinAsync(BatchCalls.Update(peer, forgotten, TransferStatus.Staged), stop);
        await work.AbandonAsync(
            peer,
            gone,
            $"'{input.Destination}' has ended the transfer, or does not know it, and does not hold the file.",
            stop
        );
        // ReviewAsync makes its own pause; of the outcome it uses only that the peer answered.
        return await work.Calls.StepAsync(StepOutcome.RetrySoon, input.QueueId, "Waiting for the destination to verify.", stop);
    }
}
