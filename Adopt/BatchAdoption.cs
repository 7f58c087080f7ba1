using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts the batches of outgoing transfers (the send queue).</summary>
internal sealed class BatchAdoption(AdoptTables tables, UpstreamDatabase source, CatalogContext db)
{
    /// <summary>Batches are adopted as ended; <see cref="OutgoingAdoption"/> opens those with unfinished transfers again.</summary>
    public Task RunAsync(CancellationToken cancellationToken)
    {
        var columns = source.Columns(
            "send_queue",
            "q",
            "id",
            "priority",
            "created_time",
            "retries",
            "destination",
            "consumed",
            "consumed_time",
            "completed_time",
            "failed"
        );
        return tables.AdoptAsync(
            new Kind<SendQueueItem>(
                "send_queue",
                $"SELECT {columns} FROM send_queue q ORDER BY q.id",
                row =>
                {
                    var batch = new SendQueueItem
                    {
                        Id = row.Number("id"),
                        Priority = row.Small("priority", 0),
                        CreatedTime = row.Time("created_time"),
                        Retries = row.Small("retries", 0),
                        Destination = row.Text("destination"),
                        Consumed = row.Flag("consumed", false),
                        ConsumedTime = row.TimeOrNull("consumed_time"),
                        Completed = true,
                        CompletedTime = row.TimeOrNull("completed_time"),
                        Failed = row.Flag("failed", false),
                    };
                    return new Candidate<SendQueueItem>($"{batch.Id}", batch);
                },
                rows =>
                {
                    var ids = rows.Select(q => q.Id).ToList();
                    return db.SendQueue.Where(q => EF.Parameter(ids).Contains(q.Id)).ToListAsync(cancellationToken);
                },
                batch => batch.Id,
                nameof(SendQueueItem.Destination),
                nameof(SendQueueItem.CreatedTime)
            ),
            cancellationToken
        );
    }
}
