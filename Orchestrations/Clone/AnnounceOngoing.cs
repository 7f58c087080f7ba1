namespace Librarian.Orchestrations.Clone;

/// <summary>Announces ONGOING for every file that has a staging slot.</summary>
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
            .Where(t => t is { Status: TransferStatus.Initiated, RemoteTransferId: not null })
            .ToList();
        return await work.AnnounceAsync(input, transfers, TransferStatus.Ongoing, [TransferStatus.Initiated], context.CancellationToken);
    }
}
