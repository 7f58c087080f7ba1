using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Transfers;

/// <summary>The rules for files that are sent to this site, up to the moment at which they are in staging.</summary>
/// <remarks>
/// A crash before the commit leaves nothing. A crash between commit and mkdir leaves a row INITIATED whose sender never got an answer; the
/// review of stale transfers ends it. A staging directory always has a row first, so none is ever without an owner.
/// </remarks>
public sealed partial class IncomingTransfers
{
    /// <summary>States in which data may still arrive or be ingested.</summary>
    public static readonly TransferStatus[] Unfinished = [TransferStatus.Initiated, TransferStatus.Ongoing, TransferStatus.Staged];

    private const string InsertEach = """
        insert into incoming_transfers (status, uploader, upload_name, source, transfer_size, transfer_checksum, store_id, start_time,
            staging_path, store_path, source_transfer_id, tree_digest, "placing", flush_begun)
        select 'INITIATED', {0}, e.value->>'name', {1}, cast(e.value->>'size' as bigint), e.value->>'checksum', {2}, {3},
            e.value->>'staging', e.value->>'path', cast(e.value->>'theirs' as bigint), e.value->>'tree', false, false
        from
        """;

    private const string InsertOnSqlite = InsertEach + " json_each({4}) as e returning *";
    private const string InsertOnPostgreSql = InsertEach + " json_array_elements({4}::json) as e(value) returning *";

    private readonly CatalogDatabase _database;
    private readonly SiteStores _stores;
    private readonly CopyProbe _probe;
    private readonly ErrorLog _errors;
    private readonly IOptions<SiteOptions> _options;
    private readonly TimeProvider _time;
    private readonly ILogger<IncomingTransfers> _log;
    private readonly GroupCommit<UploadRequest, Task<StageResult>> _uploads;

    /// <summary>Staging directories that are being created: their rows are visible already, and may be abandoned.</summary>
    private readonly ConcurrentDictionary<string, Task<StagingResult?>> _making = new(StringComparer.Ordinal);

    /// <summary>One per process, so that concurrent uploads are accepted together.</summary>
    public IncomingTransfers(
        CatalogDatabase database,
        SiteStores stores,
        CopyProbe probe,
        ErrorLog errors,
        IOptions<SiteOptions> options,
        TimeProvider time,
        ILogger<IncomingTransfers> log
    )
    {
        (_database, _stores, _probe, _errors, _options, _time, _log) = (database, stores, probe, errors, options, time, log);
        _uploads = new GroupCommit<UploadRequest, Task<StageResult>>(MostUploadsAtOnce, StageUploadsAsync);
    }

    private DateTime Now => _time.GetUtcNow().UtcDateTime;

    /// <summary>
    /// Refuses a transfer for which there is no store: the stores that accept data are not mounted, which is not a lack of space, or full.
    /// </summary>
    private async Task<StageResult> NoStoreAsync(long bytes, CancellationToken cancellationToken)
    {
        var probes = await _stores.ProbeAsync(cancellationToken);
        var taking = _stores.Configured.Where(s => s.Store.Options.Ingestable).ToList();
        if (taking.Count > 0 && taking.TrueForAll(s => !probes[s.Id].IsMounted))
            return Refuse(StageRefusal.StoreAway, _stores.WhyAway(taking[0].Id), []);
        await RaiseStoreFullAsync(bytes, cancellationToken);
        return Refuse(StageRefusal.NoStore, $"No enabled, ingestable store has more than {bytes} bytes free.", []);
    }

    private Task RaiseStoreFullAsync(long bytes, CancellationToken cancellationToken) =>
        _errors.RaiseAsync(
            ErrorSeverity.Error,
            ErrorCategory.StoreFull,
            "stores",
            $"A sender was refused because no enabled, ingestable store has more than {bytes} bytes free. "
                + "Nothing was lost; make space, or mount and enable a store.",
            cancellationToken
        );

    /// <summary>
    /// Inserts the rows of a batch, which differ in few columns, with one statement for any number of rows; EF Core sends one per row. Both
    /// databases read the same JSON with the same operators.
    /// </summary>
    private static async Task<List<IncomingTransfer>> InsertAsync(
        CatalogContext db,
        IReadOnlyList<IncomingTransfer> rows,
        CancellationToken cancellationToken
    )
    {
        if (rows is not [var first, ..])
            return [];
        var json = new JsonArray([
            .. rows.Select(r => new JsonObject
            {
                ["name"] = r.UploadName,
                ["size"] = r.TransferSize,
                ["checksum"] = r.TransferChecksum,
                ["staging"] = r.StagingPath,
                ["path"] = r.FileName,
                ["theirs"] = r.SourceTransferId,
                ["tree"] = r.TreeDigest,
            }),
        ]).ToJsonString();
        var started = new DateTime(first.StartTime.Ticks - (first.StartTime.Ticks % TimeSpan.TicksPerMicrosecond), DateTimeKind.Utc);
        var inserted = await db
            .IncomingTransfers.FromSqlRaw(
                db.Database.IsNpgsql() ? InsertOnPostgreSql : InsertOnSqlite,
                first.Uploader,
                first.Source,
                first.StoreId!.Value,
                started,
                json
            )
            .AsNoTracking()
            .ToListAsync(cancellationToken);
        var byStaging = inserted.ToDictionary(r => r.StagingPath!, StringComparer.Ordinal);
        return [.. rows.Select(r => byStaging[r.StagingPath!])];
    }

    private IncomingTransfer NewTransfer(IncomingFile incoming, string uploader, string source, long? storeId) =>
        new()
        {
            Status = TransferStatus.Initiated,
            Uploader = uploader,
            UploadName = incoming.UploadName.Value,
            Source = source,
            TransferSize = incoming.Size,
            TransferChecksum = incoming.Checksum,
            TreeDigest = Contracts.TreeDigest.Understood(incoming.TreeDigest),
            StoreId = storeId,
            StartTime = Now,
            StagingPath = storeId is null ? null : Guid.NewGuid().ToString("D"),
            FileName = incoming.Destination.Value,
            SourceTransferId = incoming.SourceTransferId,
        };

    private static StagingSlot SlotOf(IncomingTransfer row, IncomingFile incoming, SiteStore store) =>
        new(
            row.Id,
            row.SourceTransferId,
            row.StagingPath!,
            store.Store.LocateStaged(Guid.Parse(row.StagingPath!), incoming.UploadName),
            incoming.UploadName,
            incoming.Destination
        );

    private static StageResult.Refused Refuse(StageRefusal why, string detail, IReadOnlyList<long> ids, long? transferId = null) =>
        new(why, detail, ids, transferId);

    private static List<long> Ids(IEnumerable<IncomingFile> incoming) => [.. incoming.Select(a => a.SourceTransferId ?? -1)];

    private static List<long> Ids(IEnumerable<StagingSlot> slots) => [.. slots.Select(p => p.SourceTransferId ?? -1)];
}
