using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Clone;

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
        var ended = await db
            .OutgoingTransfers.Where(t => t.SendQueueId == input.QueueId)
            .GroupBy(t => t.Status)
            .Select(g => new
            {
                Status = g.Key,
                Count = g.Count(),
                Bytes = g.Sum(t => t.TransferSize),
            })
            .ToListAsync(stop);
        var completed = ended.Find(e => e.Status == TransferStatus.Completed);
        var failed = ended.Where(e => e.Status != TransferStatus.Completed).Sum(e => e.Count);
        if (!queue.Completed)
        {
            var now = time.GetUtcNow().UtcDateTime;
            queue.Completed = true;
            queue.CompletedTime = now;
            queue.Failed = completed is null;
            // A batch that was adopted from a Python site may have its record already; there a batch ended when its data had been moved.
            if (completed is not null && !await db.CompletedTransfers.AnyAsync(c => c.Id == queue.Id, stop))
            {
                var seconds = Math.Max(0.001, (now - queue.CreatedTime).TotalSeconds);
                db.CompletedTransfers.Add(
                    new CompletedTransfer
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
                    }
                );
            }

            await db.SaveChangesAsync(stop);
            await transaction.CommitAsync(stop);
        }

        return $"{completed?.Count ?? 0} files acknowledged by {input.Destination}, {failed} not sent; they are offered again.";
    }
}
