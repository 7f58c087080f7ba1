using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts the history of completed transfers, of those batches that the catalog has.</summary>
internal sealed class CompletedTransferAdoption(AdoptTables tables, UpstreamDatabase source, CatalogContext db)
{
    public Task RunAsync(CancellationToken cancellationToken)
    {
        var columns = source.Columns(
            "completed_transfers",
            "c",
            "id",
            "task_id",
            "source_endpoint_id",
            "destination_endpoint_id",
            "start_time",
            "end_time",
            "duration_seconds",
            "bytes_transferred",
            "effective_bandwidth_bps"
        );
        return tables.AdoptAsync(
            new Kind<CompletedTransfer>(
                "completed_transfers",
                $"SELECT {columns} FROM completed_transfers c ORDER BY c.id",
                row =>
                {
                    var done = new CompletedTransfer
                    {
                        Id = row.Number("id"),
                        TaskId = row.Text("task_id"),
                        SourceEndpointId = row.Text("source_endpoint_id"),
                        DestinationEndpointId = row.Text("destination_endpoint_id"),
                        StartTime = row.Time("start_time"),
                        EndTime = row.Time("end_time"),
                        DurationSeconds = row.Fraction("duration_seconds"),
                        BytesTransferred = row.Number("bytes_transferred"),
                        EffectiveBandwidthBps = row.Fraction("effective_bandwidth_bps"),
                    };
                    return new Candidate<CompletedTransfer>($"{done.Id} {done.TaskId}", done);
                },
                rows =>
                {
                    var ids = rows.Select(c => c.Id).ToList();
                    return db.CompletedTransfers.Where(c => EF.Parameter(ids).Contains(c.Id)).ToListAsync(cancellationToken);
                },
                done => done.Id,
                nameof(CompletedTransfer.TaskId)
            )
            {
                Prepare = async chunk =>
                {
                    var ids = chunk.Select(c => c.Row.Id).ToList();
                    var batches = (
                        await db.SendQueue.Where(q => EF.Parameter(ids).Contains(q.Id)).Select(q => q.Id).ToListAsync(cancellationToken)
                    ).ToHashSet();
                    foreach (var candidate in chunk.Where(c => !batches.Contains(c.Row.Id)))
                        candidate.Skip("its batch is not in the catalog");
                },
            },
            cancellationToken
        );
    }
}
