using Librarian.Orchestrations.TransferManagers;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;

namespace Librarian.Orchestrations.Clone;

/// <summary>
/// Asks the peer to stage a batch (docs/spec/wire.md#clone-batch-stage, docs/spec/wire.md#push-refused). A file that the peer does not
/// accept never delays the rest of its batch.
/// </summary>
/// <remarks>
/// A crash after the peer's answer leaves staging slots at the peer. It abandons them when this site asks again (406, then 201).
/// </remarks>
[DurableTask(nameof(StageBatch))]
public sealed class StageBatch(BatchWork work, TransferIds transferIds, TransferManagerChoice managers)
    : TaskActivity<SendCloneInput, BatchStep>
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

        var pending = open.FindAll(t => t is { Status: TransferStatus.Initiated, RemoteTransferId: null });

        if (pending.Count == 0)
            return await work.Calls.StepAsync(StepOutcome.Done, input.QueueId, "All files have a staging slot.", stop);
        work.Calls.RemoveWaiting(input);
        var (peer, why) = await work.Calls.ConnectAsync(input.Destination, stop);
        if (peer is null)
            return await work.Calls.StepAsync(StepOutcome.Wait, input.QueueId, why, stop);
        // Upstream pings first, too (docs/spec/wire.md#push). A peer that hangs shows it here, before a request whose outcome would then be
        // unknown.
        if ((await work.Calls.PingAsync(peer, stop)).Error is { } silence)
            return await work.Calls.WaitAsync(input, silence, stop);
        await transferIds.AdvanceCatalogAsync(stop);
        return await new StagingRun(
            work,
            transferIds,
            managers,
            peer,
            input,
            withSlot: open.Count(t => t.RemoteTransferId is not null)
        ).RunAsync(pending, stop);
    }
}
