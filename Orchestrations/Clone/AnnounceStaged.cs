namespace Librarian.Orchestrations.Clone;

/// <summary>Announces STAGED for every file whose data have been copied.</summary>
[DurableTask(nameof(AnnounceStaged))]
public sealed class AnnounceStaged(BatchWork work) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        await using var db = work.Open();
        var transfers = (await BatchWork.OpenTransfersAsync(db, input.QueueId, context.CancellationToken))
            .Where(t => t.Status == TransferStatus.Ongoing)
            .ToList();
        return await work.AnnounceAsync(input, transfers, TransferStatus.Staged, [TransferStatus.Ongoing], context.CancellationToken);
    }
}
