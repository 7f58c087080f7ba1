using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts transfers between two stores of the site. Unfinished ones become failed: nothing of them can be continued.</summary>
internal sealed class CloneAdoption(AdoptTables tables, UpstreamDatabase source, CatalogContext db, UpstreamStores stores, DateTime now)
{
    private readonly CatalogLookups _lookups = new(db);

    public Task RunAsync(CancellationToken cancellationToken)
    {
        var columns = source.Columns(
            "clone_transfers",
            "c",
            "id",
            "status:text",
            "start_time",
            "end_time",
            "source_store_id",
            "destination_store_id",
            "transfer_manager_name"
        );
        return tables.AdoptAsync(
            new Kind<CloneTransfer>(
                "clone_transfers",
                $"""
                SELECT {columns},
                  a.file_name AS from_file, a.store_id AS from_store, b.file_name AS to_file, b.store_id AS to_store
                FROM clone_transfers c
                LEFT JOIN instances a ON a.id = c.source_instance_id
                LEFT JOIN instances b ON b.id = c.destination_instance_id
                ORDER BY c.id
                """,
                Read,
                rows =>
                {
                    var ids = rows.Select(t => t.Id).ToList();
                    return db.CloneTransfers.Where(t => EF.Parameter(ids).Contains(t.Id)).ToListAsync(cancellationToken);
                },
                transfer => transfer.Id,
                nameof(CloneTransfer.SourceStoreId),
                nameof(CloneTransfer.DestinationStoreId),
                nameof(CloneTransfer.StartTime)
            )
            {
                Prepare = chunk => PrepareAsync(chunk, cancellationToken),
            },
            cancellationToken
        );
    }

    private Candidate<CloneTransfer> Read(UpstreamRow row)
    {
        var transfer = new CloneTransfer
        {
            Id = row.Number("id"),
            Status = row.Member<TransferStatus>("status"),
            StartTime = row.Time("start_time"),
            EndTime = row.TimeOrNull("end_time"),
            SourceStoreId = row.Number("source_store_id"),
            DestinationStoreId = row.Number("destination_store_id"),
            TransferManagerName = row.TextOrNull("transfer_manager_name"),
        };
        var candidate = new Candidate<CloneTransfer>($"{transfer.Id}", transfer)
        {
            From = (row.TextOrNull("from_file", int.MaxValue), row.NumberOrNull("from_store")),
            To = (row.TextOrNull("to_file", int.MaxValue), row.NumberOrNull("to_store")),
        };
        foreach (var store in new[] { transfer.SourceStoreId, transfer.DestinationStoreId }.Where(s => !stores.Adopted.ContainsKey(s)))
            candidate.Skip(stores.LeftBehind(store));
        if (candidate.Effect is null && OutgoingTransfers.Unfinished.Contains(transfer.Status))
        {
            transfer.Status = TransferStatus.Failed;
            transfer.EndTime = now;
            candidate.Remark(AdoptEffect.Changed, "FAILED: the Python site was copying it; it is copied again when it is wanted");
        }

        return candidate;
    }

    private async Task PrepareAsync(IReadOnlyList<Candidate<CloneTransfer>> chunk, CancellationToken cancellationToken)
    {
        var copies = await _lookups.CopiesAsync(
            [.. chunk.SelectMany(c => new[] { c.From.File, c.To.File }).OfType<string>().Distinct(StringComparer.Ordinal)],
            cancellationToken
        );
        foreach (var candidate in chunk)
        {
            candidate.Row.SourceCopyId = CatalogLookups.Copy(copies, candidate.From);
            candidate.Row.DestinationCopyId = CatalogLookups.Copy(copies, candidate.To);
        }
    }
}
