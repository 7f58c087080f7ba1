using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>
/// Adopts outgoing transfers. They keep their ids, because peers name them in calls that may still come. Unfinished transfers keep their
/// state if this site can finish them; the transfer managers that carried them are pickled Python objects, which are not read.
/// </summary>
internal sealed class OutgoingAdoption(AdoptTables tables, UpstreamDatabase source, CatalogContext db, PeerAdoption peers, DateTime now)
{
    private readonly CatalogLookups _lookups = new(db);
    private readonly ReviewBatches _reviews = new(db);

    public Task RunAsync(CancellationToken cancellationToken) =>
        tables.AdoptAsync(
            new Kind<OutgoingTransfer>(
                "outgoing_transfers",
                Sql(),
                Read,
                rows =>
                {
                    var ids = rows.Select(t => t.Id).ToList();
                    return db.OutgoingTransfers.Where(t => EF.Parameter(ids).Contains(t.Id)).ToListAsync(cancellationToken);
                },
                transfer => transfer.Id,
                nameof(OutgoingTransfer.Destination),
                nameof(OutgoingTransfer.FileName),
                nameof(OutgoingTransfer.TransferChecksum),
                nameof(OutgoingTransfer.StartTime)
            )
            {
                Prepare = chunk => PrepareAsync(chunk, cancellationToken),
            },
            cancellationToken
        );

    private string Sql()
    {
        // The catalog allows one unfinished transfer per file and destination. The one with the most progress stays; of several, the
        // newest.
        const string Unfinished = UpstreamDatabase.UnfinishedNames;
        var status = "CAST(o.status AS TEXT)";
        var file = source.Column("outgoing_transfers", "o", "file_name");
        var remote = source.Column("outgoing_transfers", "o", "remote_transfer_id");
        var columns = source.Columns(
            "outgoing_transfers",
            "o",
            "id",
            "status:text",
            "destination",
            "transfer_size",
            "transfer_checksum",
            "start_time",
            "end_time",
            "remote_transfer_id",
            "transfer_manager_name",
            "send_queue_id",
            "source_path",
            "dest_path"
        );
        return $"""
            SELECT {columns},
              COALESCE({file}, i.file_name) AS file_name, i.file_name AS copy_file, i.store_id AS copy_store,
              FIRST_VALUE(o.id) OVER (
                PARTITION BY COALESCE({file}, i.file_name), o.destination, CASE WHEN {status} IN {Unfinished} THEN 1 ELSE 0 END
                ORDER BY
                  CASE
                    WHEN {status} = 'STAGED' THEN 0 WHEN {status} = 'ONGOING' THEN 1 WHEN {remote} IS NOT NULL THEN 2 ELSE 3
                  END,
                  o.id DESC
              ) AS furthest
            FROM outgoing_transfers o LEFT JOIN instances i ON i.id = o.instance_id ORDER BY o.id
            """;
    }

    private Candidate<OutgoingTransfer> Read(UpstreamRow row)
    {
        var file = row.TextOrNull("file_name", int.MaxValue);
        var transfer = new OutgoingTransfer
        {
            Id = row.Number("id"),
            Status = row.Member<TransferStatus>("status"),
            Destination = row.Text("destination"),
            TransferSize = row.Number("transfer_size"),
            TransferChecksum = row.Text("transfer_checksum"),
            StartTime = row.Time("start_time"),
            EndTime = row.TimeOrNull("end_time"),
            FileName = file ?? "",
            RemoteTransferId = row.NumberOrNull("remote_transfer_id"),
            TransferManagerName = row.TextOrNull("transfer_manager_name"),
            SendQueueId = row.NumberOrNull("send_queue_id"),
            SourcePath = row.TextOrNull("source_path", 4096),
            DestPath = row.TextOrNull("dest_path", 4096),
        };
        var candidate = new Candidate<OutgoingTransfer>($"{transfer.Id} {file} to {transfer.Destination}", transfer)
        {
            From = (row.TextOrNull("copy_file", int.MaxValue), row.NumberOrNull("copy_store")),
        };
        if (file is null)
            candidate.Skip("it names no file");
        else if (UpstreamName.Unservable(file) is not null)
            candidate.Skip("the name of its file cannot be served, see files");
        if (candidate.Effect is null && WhyEnded(transfer, row.Number("furthest")) is { } why)
            End(candidate, transfer, why);
        return candidate;
    }

    /// <summary>Why an unfinished transfer cannot be finished here; null when it can, or has ended.</summary>
    private string? WhyEnded(OutgoingTransfer transfer, long furthest)
    {
        if (!OutgoingTransfers.Unfinished.Contains(transfer.Status))
            return null;
        if (!peers.IsRegistered(transfer.Destination))
            return "its destination is not a registered librarian";
        if (furthest != transfer.Id)
            return "another transfer of the file to the same destination is further, or newer";
        return transfer switch
        {
            // The destination has the bytes: it calls back, or is asked.
            { Status: TransferStatus.Staged } => null,
            { Status: TransferStatus.Initiated, RemoteTransferId: null } =>
                "the destination had not agreed to it; the file is offered again",
            // A drive carries it; the destination calls back when it has read the drive.
            { Status: TransferStatus.Ongoing, SendQueueId: null, RemoteTransferId: null } => null,
            { SendQueueId: null } or { RemoteTransferId: null } or { SourcePath: null } or { DestPath: null } =>
                "the Python site had not recorded where to copy it; the file is offered again",
            _ => null,
        };
    }

    private async Task PrepareAsync(IReadOnlyList<Candidate<OutgoingTransfer>> chunk, CancellationToken cancellationToken)
    {
        var names = chunk
            .Select(c => c.Row.FileName)
            .Concat(chunk.Where(c => c.From.File is not null).Select(c => c.From.File!))
            .Distinct(StringComparer.Ordinal)
            .ToList();
        var files = await _lookups.KnownFilesAsync(names, cancellationToken);
        var copies = await _lookups.CopiesAsync(names, cancellationToken);
        var moving = await MovingAsync(names, cancellationToken);
        var ids = chunk.Select(c => c.Row.SendQueueId).OfType<long>().Distinct().ToList();
        var batches = (
            await db.SendQueue.Where(q => EF.Parameter(ids).Contains(q.Id)).Select(q => q.Id).ToListAsync(cancellationToken)
        ).ToHashSet();
        var rows = chunk.Select(c => c.Row.Id).ToList();
        var there = (
            await db.OutgoingTransfers.Where(t => EF.Parameter(rows).Contains(t.Id)).Select(t => t.Id).ToListAsync(cancellationToken)
        ).ToHashSet();
        foreach (var candidate in chunk)
        {
            var transfer = candidate.Row;
            if (!files.Contains(transfer.FileName))
            {
                candidate.Skip(CatalogLookups.NotInCatalog);
                continue;
            }

            transfer.CopyId = CatalogLookups.Copy(copies, candidate.From);
            if (transfer.SendQueueId is { } batch && !batches.Contains(batch))
                transfer.SendQueueId = null;
            if (!OutgoingTransfers.Unfinished.Contains(transfer.Status) || there.Contains(transfer.Id))
                continue;
            if (moving.TryGetValue((transfer.FileName, transfer.Destination), out var other) && other != transfer.Id)
                End(candidate, transfer, "this site sends the file to the same destination already");
            else if (transfer is { Status: TransferStatus.Staged, SendQueueId: null })
                transfer.SendQueueId = await _reviews.BatchAsync(transfer, cancellationToken);
        }
    }

    /// <summary>Ids of the catalog's unfinished transfers of these files, by file and destination.</summary>
    private async Task<Dictionary<(string File, string Destination), long>> MovingAsync(
        List<string> names,
        CancellationToken cancellationToken
    ) =>
        (
            await db
                .OutgoingTransfers.Where(t => EF.Parameter(names).Contains(t.FileName) && OutgoingTransfers.Unfinished.Contains(t.Status))
                .Select(t => new
                {
                    t.Id,
                    t.FileName,
                    t.Destination,
                })
                .ToListAsync(cancellationToken)
        ).ToDictionary(t => (t.FileName, t.Destination), t => t.Id);

    private void End(Candidate<OutgoingTransfer> candidate, OutgoingTransfer transfer, string why)
    {
        transfer.Status = TransferStatus.Failed;
        transfer.EndTime = now;
        transfer.FailureReason = $"Taken over from the Python site: {why}.";
        candidate.Remark(AdoptEffect.Changed, $"FAILED: {why}");
    }
}
