using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts incoming transfers. Unfinished ones keep their state if their data lie where this site can finish them.</summary>
internal sealed class IncomingAdoption(AdoptTables tables, UpstreamDatabase source, CatalogContext db, UpstreamStores stores, DateTime now)
{
    public Task RunAsync(CancellationToken cancellationToken)
    {
        var columns = source.Columns(
            "incoming_transfers",
            "t",
            "id",
            "status:text",
            "uploader",
            "upload_name",
            "source",
            "transfer_size",
            "transfer_checksum",
            "store_id",
            "transfer_manager_name",
            "start_time",
            "end_time",
            "staging_path",
            "store_path",
            "source_transfer_id"
        );
        return tables.AdoptAsync(
            new Kind<IncomingTransfer>(
                "incoming_transfers",
                $"SELECT {columns} FROM incoming_transfers t ORDER BY t.id",
                Read,
                rows =>
                {
                    var ids = rows.Select(t => t.Id).ToList();
                    return db.IncomingTransfers.Where(t => EF.Parameter(ids).Contains(t.Id)).ToListAsync(cancellationToken);
                },
                transfer => transfer.Id,
                nameof(IncomingTransfer.UploadName),
                nameof(IncomingTransfer.Source),
                nameof(IncomingTransfer.TransferSize),
                nameof(IncomingTransfer.TransferChecksum),
                nameof(IncomingTransfer.StartTime)
            ),
            cancellationToken
        );
    }

    private Candidate<IncomingTransfer> Read(UpstreamRow row)
    {
        var store = row.NumberOrNull("store_id");
        var transfer = new IncomingTransfer
        {
            Id = row.Number("id"),
            Status = row.Member<TransferStatus>("status"),
            Uploader = row.TextOrNull("uploader") ?? "",
            UploadName = row.Text("upload_name"),
            Source = row.Text("source"),
            TransferSize = row.Number("transfer_size"),
            TransferChecksum = row.Text("transfer_checksum"),
            StoreId = store is { } id && stores.Adopted.ContainsKey(id) ? id : null,
            TransferManagerName = row.TextOrNull("transfer_manager_name"),
            StartTime = row.Time("start_time"),
            EndTime = row.TimeOrNull("end_time"),
            StagingPath = row.TextOrNull("staging_path"),
            FileName = row.TextOrNull("store_path"),
            SourceTransferId = row.NumberOrNull("source_transfer_id"),
        };
        var candidate = new Candidate<IncomingTransfer>(
            $"{transfer.Id} {transfer.FileName ?? transfer.UploadName} from {transfer.Source}",
            transfer
        );
        if (WhyEnded(transfer, store) is { } why)
            End(candidate, transfer, why);
        return candidate;
    }

    private string? WhyEnded(IncomingTransfer transfer, long? store)
    {
        if (!IncomingTransfers.Unfinished.Contains(transfer.Status))
            return null;
        if (store is null)
            return "no store had been chosen for it";
        if (!stores.Adopted.TryGetValue(store.Value, out var known))
            return stores.LeftBehind(store.Value);
        if (
            UpstreamName.Unservable(transfer.UploadName) is not null
            || (transfer.FileName is { } name && UpstreamName.Unservable(name) is not null)
        )
            return "its name cannot be served";
        if (!Guid.TryParseExact(transfer.StagingPath, "D", out _))
            return "it has no staging directory of the usual form";
        if (Directory.Exists(Path.Combine(known.Settings!.StagingPath, transfer.StagingPath!)))
            return null;
        return transfer.FileName is { } path && Path.Exists(Path.Combine(known.Settings.StorePath, path))
            ? "its staging directory is gone, but something lies under its name in the store; if no file of that name is catalogued, "
                + "examine it and register it with admin/add_file"
            : "its staging directory is gone";
    }

    private void End(Candidate<IncomingTransfer> candidate, IncomingTransfer transfer, string why)
    {
        transfer.Status = TransferStatus.Failed;
        transfer.EndTime = now;
        transfer.FailureReason = $"Taken over from the Python site: {why}.";
        candidate.Remark(AdoptEffect.Changed, $"FAILED: {why}");
    }
}
