using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <content>
/// Transfers keep their ids, because peers name them in calls that may still come. Unfinished transfers keep their state if this site can
/// finish them; the transfer managers that carried them are pickled Python objects, which are not read.
/// </content>
internal sealed partial class AdoptRun
{
    /// <summary>Size of the batches for transfers without a batch, which are made so that the review handles them.</summary>
    private const int ReviewBatchSize = 1000;

    private readonly Dictionary<string, (long Id, int Count)> _reviewBatches = new(StringComparer.Ordinal);

    /// <summary>Batches are adopted as ended; <see cref="AdoptOutgoingAsync"/> opens those with unfinished transfers again.</summary>
    private Task AdoptQueueAsync(CancellationToken cancellationToken)
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
        return AdoptAsync(
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
                    return _db.SendQueue.Where(q => EF.Parameter(ids).Contains(q.Id)).ToListAsync(cancellationToken);
                },
                batch => batch.Id,
                nameof(SendQueueItem.Destination),
                nameof(SendQueueItem.CreatedTime)
            ),
            cancellationToken
        );
    }

    private async Task AdoptOutgoingAsync(CancellationToken cancellationToken)
    {
        // The catalog allows one unfinished transfer per file and destination. The one with the most progress stays; of several, the
        // newest.
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
        var sql = $"""
            SELECT {columns},
              COALESCE({file}, i.file_name) AS file_name, i.file_name AS copy_file, i.store_id AS copy_store,
              FIRST_VALUE(o.id) OVER (
                PARTITION BY COALESCE({file}, i.file_name), o.destination, CASE WHEN {status} IN {UnfinishedNames} THEN 1 ELSE 0 END
                ORDER BY
                  CASE
                    WHEN {status} = 'STAGED' THEN 0 WHEN {status} = 'ONGOING' THEN 1 WHEN {remote} IS NOT NULL THEN 2 ELSE 3
                  END,
                  o.id DESC
              ) AS furthest
            FROM outgoing_transfers o LEFT JOIN instances i ON i.id = o.instance_id ORDER BY o.id
            """;
        await AdoptAsync(
            new Kind<OutgoingTransfer>(
                "outgoing_transfers",
                sql,
                Outgoing,
                rows =>
                {
                    var ids = rows.Select(t => t.Id).ToList();
                    return _db.OutgoingTransfers.Where(t => EF.Parameter(ids).Contains(t.Id)).ToListAsync(cancellationToken);
                },
                transfer => transfer.Id,
                nameof(OutgoingTransfer.Destination),
                nameof(OutgoingTransfer.FileName),
                nameof(OutgoingTransfer.TransferChecksum),
                nameof(OutgoingTransfer.StartTime)
            )
            {
                Prepare = chunk => PrepareOutgoingAsync(chunk, cancellationToken),
            },
            cancellationToken
        );

        // In the catalog a batch is open while one of its transfers is (upstream closed it when the bytes had been moved); the review of
        // silent batches starts a workflow for each.
        await _db
            .SendQueue.Where(q =>
                q.Completed && _db.OutgoingTransfers.Any(t => t.SendQueueId == q.Id && OutgoingTransfers.Unfinished.Contains(t.Status))
            )
            .ExecuteUpdateAsync(
                s => s.SetProperty(q => q.Completed, false).SetProperty(q => q.CompletedTime, (DateTime?)null),
                cancellationToken
            );
        if (await _db.SendQueue.CountAsync(q => !q.Completed && q.OrchestrationId == null, cancellationToken) is > 0 and var open)
            report.Notes.Add(
                $"{open} batches have transfers on their way. The site takes them up by itself, "
                    + $"{options.OutgoingReviewAge} after they were made (Site:OutgoingReviewAge) or at its first review."
            );
        var unnamed = await _db
            .OutgoingTransfers.Where(t => t.SendQueueId != null && OutgoingTransfers.Unfinished.Contains(t.Status))
            .Select(t => t.Destination)
            .Distinct()
            .ToListAsync(cancellationToken);
        unnamed.RemoveAll(name => options.Peers.Exists(p => p.Name == name));
        if (unnamed.Count > 0)
            report.Notes.Add(
                $"Transfers are on their way to {Quoted(unnamed)}, which Site:Peers does not name: "
                    + "configure them (Send, LocalRoots) before you start the site, "
                    + "or the transfers that have not been copied are abandoned."
            );
    }

    private Candidate<OutgoingTransfer> Outgoing(UpstreamRow row)
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
        else if (Unservable(file) is not null)
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
        if (!_librarianNames.Contains(transfer.Destination))
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

    private async Task PrepareOutgoingAsync(IReadOnlyList<Candidate<OutgoingTransfer>> chunk, CancellationToken cancellationToken)
    {
        var names = chunk
            .Select(c => c.Row.FileName)
            .Concat(chunk.Where(c => c.From.File is not null).Select(c => c.From.File!))
            .Distinct(StringComparer.Ordinal)
            .ToList();
        var files = await KnownFilesAsync(names, cancellationToken);
        var copies = await CopiesAsync(names, cancellationToken);
        var moving = (
            await _db
                .OutgoingTransfers.Where(t => EF.Parameter(names).Contains(t.FileName) && OutgoingTransfers.Unfinished.Contains(t.Status))
                .Select(t => new
                {
                    t.Id,
                    t.FileName,
                    t.Destination,
                })
                .ToListAsync(cancellationToken)
        ).ToDictionary(t => (t.FileName, t.Destination), t => t.Id);
        var ids = chunk.Select(c => c.Row.SendQueueId).OfType<long>().Distinct().ToList();
        var batches = (
            await _db.SendQueue.Where(q => EF.Parameter(ids).Contains(q.Id)).Select(q => q.Id).ToListAsync(cancellationToken)
        ).ToHashSet();
        var rows = chunk.Select(c => c.Row.Id).ToList();
        var there = (
            await _db.OutgoingTransfers.Where(t => EF.Parameter(rows).Contains(t.Id)).Select(t => t.Id).ToListAsync(cancellationToken)
        ).ToHashSet();
        foreach (var candidate in chunk)
        {
            var transfer = candidate.Row;
            if (!files.Contains(transfer.FileName))
            {
                candidate.Skip(NotInCatalog);
                continue;
            }

            transfer.CopyId = Copy(copies, candidate.From);
            if (transfer.SendQueueId is { } batch && !batches.Contains(batch))
                transfer.SendQueueId = null;
            if (!OutgoingTransfers.Unfinished.Contains(transfer.Status) || there.Contains(transfer.Id))
                continue;
            if (moving.TryGetValue((transfer.FileName, transfer.Destination), out var other) && other != transfer.Id)
                End(candidate, transfer, "this site sends the file to the same destination already");
            else if (transfer is { Status: TransferStatus.Staged, SendQueueId: null })
                transfer.SendQueueId = await ReviewBatchAsync(transfer, cancellationToken);
        }
    }

    /// <summary>
    /// Makes a batch for transfers whose own is gone, because only batches are reviewed with their destination. Its id is negative: the
    /// Python site's next batch, which a later run may adopt, gets the next positive one.
    /// </summary>
    private async Task<long> ReviewBatchAsync(OutgoingTransfer transfer, CancellationToken cancellationToken)
    {
        if (!_reviewBatches.TryGetValue(transfer.Destination, out var batch) || batch.Count >= ReviewBatchSize)
        {
            batch = (Math.Min(0, await _db.SendQueue.MinAsync(q => (long?)q.Id, cancellationToken) ?? 0) - 1, 0);
            await new CatalogTable<SendQueueItem>(_db).InsertAsync(
                [
                    new SendQueueItem
                    {
                        Id = batch.Id,
                        CreatedTime = transfer.StartTime,
                        Destination = transfer.Destination,
                        Consumed = true,
                    },
                ],
                cancellationToken
            );
        }

        _reviewBatches[transfer.Destination] = (batch.Id, batch.Count + 1);
        return batch.Id;
    }

    private Task AdoptCompletedAsync(CancellationToken cancellationToken)
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
        return AdoptAsync(
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
                    return _db.CompletedTransfers.Where(c => EF.Parameter(ids).Contains(c.Id)).ToListAsync(cancellationToken);
                },
                done => done.Id,
                nameof(CompletedTransfer.TaskId)
            )
            {
                Prepare = async chunk =>
                {
                    var ids = chunk.Select(c => c.Row.Id).ToList();
                    var batches = (
                        await _db.SendQueue.Where(q => EF.Parameter(ids).Contains(q.Id)).Select(q => q.Id).ToListAsync(cancellationToken)
                    ).ToHashSet();
                    foreach (var candidate in chunk.Where(c => !batches.Contains(c.Row.Id)))
                        candidate.Skip("its batch is not in the catalog");
                },
            },
            cancellationToken
        );
    }

    private Task AdoptIncomingAsync(CancellationToken cancellationToken)
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
        return AdoptAsync(
            new Kind<IncomingTransfer>(
                "incoming_transfers",
                $"SELECT {columns} FROM incoming_transfers t ORDER BY t.id",
                row =>
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
                        StoreId = store is { } id && _adoptedStores.ContainsKey(id) ? id : null,
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
                },
                rows =>
                {
                    var ids = rows.Select(t => t.Id).ToList();
                    return _db.IncomingTransfers.Where(t => EF.Parameter(ids).Contains(t.Id)).ToListAsync(cancellationToken);
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

    private string? WhyEnded(IncomingTransfer transfer, long? store)
    {
        if (!IncomingTransfers.Unfinished.Contains(transfer.Status))
            return null;
        if (store is null)
            return "no store had been chosen for it";
        if (!_adoptedStores.TryGetValue(store.Value, out var known))
            return LeftBehind(store.Value);
        if (Unservable(transfer.UploadName) is not null || (transfer.FileName is { } name && Unservable(name) is not null))
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

    private Task AdoptClonesAsync(CancellationToken cancellationToken)
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
        return AdoptAsync(
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
                row =>
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
                    foreach (
                        var store in new[] { transfer.SourceStoreId, transfer.DestinationStoreId }.Where(s =>
                            !_adoptedStores.ContainsKey(s)
                        )
                    )
                        candidate.Skip(LeftBehind(store));
                    if (candidate.Effect is null && OutgoingTransfers.Unfinished.Contains(transfer.Status))
                    {
                        transfer.Status = TransferStatus.Failed;
                        transfer.EndTime = _now;
                        candidate.Remark(
                            AdoptEffect.Changed,
                            "FAILED: the Python site was copying it; it is copied again when it is wanted"
                        );
                    }

                    return candidate;
                },
                rows =>
                {
                    var ids = rows.Select(t => t.Id).ToList();
                    return _db.CloneTransfers.Where(t => EF.Parameter(ids).Contains(t.Id)).ToListAsync(cancellationToken);
                },
                transfer => transfer.Id,
                nameof(CloneTransfer.SourceStoreId),
                nameof(CloneTransfer.DestinationStoreId),
                nameof(CloneTransfer.StartTime)
            )
            {
                Prepare = async chunk =>
                {
                    var copies = await CopiesAsync(
                        [.. chunk.SelectMany(c => new[] { c.From.File, c.To.File }).OfType<string>().Distinct(StringComparer.Ordinal)],
                        cancellationToken
                    );
                    foreach (var candidate in chunk)
                    {
                        candidate.Row.SourceCopyId = Copy(copies, candidate.From);
                        candidate.Row.DestinationCopyId = Copy(copies, candidate.To);
                    }
                },
            },
            cancellationToken
        );
    }

    private static long? Copy(Dictionary<(string File, long Store), long> copies, (string? File, long? Store) of) =>
        of is { File: { } file, Store: { } store } && copies.TryGetValue((file, store), out var id) ? id : null;

    private void End(Candidate<OutgoingTransfer> candidate, OutgoingTransfer transfer, string why)
    {
        transfer.Status = TransferStatus.Failed;
        transfer.EndTime = _now;
        transfer.FailureReason = $"Taken over from the Python site: {why}.";
        candidate.Remark(AdoptEffect.Changed, $"FAILED: {why}");
    }

    private void End(Candidate<IncomingTransfer> candidate, IncomingTransfer transfer, string why)
    {
        transfer.Status = TransferStatus.Failed;
        transfer.EndTime = _now;
        transfer.FailureReason = $"Taken over from the Python site: {why}.";
        candidate.Remark(AdoptEffect.Changed, $"FAILED: {why}");
    }
}
