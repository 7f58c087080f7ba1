using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Transfers;

/// <summary>How an ingest ended.</summary>
public enum IngestOutcome
{
    /// <summary>The file is catalogued and its data are in the store; also the answer to every later attempt.</summary>
    Ingested,

    /// <summary>No such transfer, or it has ended without success.</summary>
    NotExpected,

    /// <summary>Nothing lies in staging; the transfer has failed.</summary>
    Missing,

    /// <summary>Size or checksum differ from what was declared; the transfer has failed and its staging is removed.</summary>
    Mismatch,

    /// <summary>The name is taken; the transfer has failed, its staging is removed and the stored file is untouched.</summary>
    NameTaken,

    /// <summary>The staged data may not be stored as they are (links that leave the tree, special files); failed, staging removed.</summary>
    Unacceptable,

    /// <summary>Disk or store trouble; nothing was lost and trying again later may succeed.</summary>
    TryLater,
}

/// <summary>Result of <see cref="Ingest.RunAsync"/>.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Message">For people.</param>
/// <param name="FileName">The file.</param>
/// <param name="StoreId">The store.</param>
/// <param name="Source">Who sent it.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
public sealed record IngestResult(IngestOutcome Outcome, string Message, string? FileName = null, long? StoreId = null, string? Source = null, long? SourceTransferId = null);

/// <summary>
/// Turns verified staged data into a catalogued file: one read of the data, a rename that replaces nothing, one transaction.
/// May be called any number of times for one transfer, also at the same time.
/// </summary>
/// <remarks>
/// <para>What a crash between two steps leaves, and what the next call does:
/// after the read – nothing, the data are read again; after "placing" was recorded – the name is reserved for this transfer and
/// the data are still in staging, verified again; after the rename – the data are in the store without a file's row,
/// recognised by size and checksum through <see cref="LocalStore.PlaceAsync"/>, then catalogued; after the final transaction –
/// only an empty staging directory, removed by the next call or the sweep at start.</para>
/// <para>What several runs ask the catalog at the same time goes there together (<see cref="GroupCommit{TItem, TResult}"/>), so that a thousand small files
/// cost a few transactions and not thousands. Each run still does its own steps in the order above.</para>
/// </remarks>
public sealed partial class Ingest : IDisposable
{
    /// <summary>Most files that are ingested at once. Reading is bounded apart: see <see cref="SiteOptions.IngestParallelism"/>.</summary>
    public const int MostAtOnce = 32;

    /// <summary>Files up to this many bytes cost flushes and not reading; larger ones wait for each other.</summary>
    private const long SmallFile = 1 << 20;

    private readonly CatalogDatabase _database;
    private readonly SiteStores _stores;
    private readonly IncomingTransfers _incoming;
    private readonly ErrorLog _errors;
    private readonly IOptions<SiteOptions> _options;
    private readonly TimeProvider _time;
    private readonly ILogger<Ingest> _log;
    private readonly SemaphoreSlim _readers;
    private readonly GroupCommit<long, Found> _lookUps;
    private readonly GroupCommit<IncomingTransfer, Reservation> _reservations;
    private readonly GroupCommit<Verified, RecordOutcome> _records;

    /// <summary>One per process: runs are grouped within it.</summary>
    public Ingest(CatalogDatabase database, SiteStores stores, IncomingTransfers incoming, ErrorLog errors, IOptions<SiteOptions> options, TimeProvider time, ILogger<Ingest> log)
    {
        ArgumentNullException.ThrowIfNull(options);
        (_database, _stores, _incoming, _errors, _options, _time, _log) = (database, stores, incoming, errors, options, time, log);
        _readers = new SemaphoreSlim(options.Value.IngestParallelism);
        _lookUps = new GroupCommit<long, Found>(MostAtOnce, LookUpAsync);
        _reservations = new GroupCommit<IncomingTransfer, Reservation>(MostAtOnce, ReserveAsync);
        _records = new GroupCommit<Verified, RecordOutcome>(MostAtOnce, RecordAsync);
    }

    private enum ReservationStatus
    {
        Reserved,
        NameTaken,
        NotStaged,
    }

    private enum RecordOutcome
    {
        Recorded,
        NameTaken,
        NotPlacing,
    }

    /// <summary>Ingests a transfer that is STAGED.</summary>
    /// <param name="transferId">Incoming transfer.</param>
    /// <param name="policy">Policy of the new instance.</param>
    /// <param name="cancellationToken">Stops between steps and while reading.</param>
    public async Task<IngestResult> RunAsync(long transferId, DeletionPolicy policy, CancellationToken cancellationToken)
    {
        var (transfer, bad) = await _lookUps.RunAsync(transferId, cancellationToken);
        if (transfer is null) return new IngestResult(IngestOutcome.NotExpected, $"There is no incoming transfer {transferId}.");
        if (transfer.Status == TransferStatus.Completed) return await DoneAsync(transfer, cancellationToken);
        if (transfer.Status != TransferStatus.Staged)
            return Result(transfer, IngestOutcome.NotExpected, $"The transfer is {transfer.Status}: {transfer.FailureReason ?? "its data are not complete yet"}.");
        if (transfer.Store is not { Enabled: true } || await _stores.FindAsync(transfer.StoreId, cancellationToken) is not { } store)
            return Result(transfer, IngestOutcome.TryLater, $"Store '{transfer.Store?.Name}' is switched off, not mounted or does not answer; the staged data wait.");
        if (!StorePath.TryParse(transfer.UploadName, out var uploadName, out _) || !StorePath.TryParse(transfer.StorePath, out var destination, out _)
            || !Guid.TryParse(transfer.StagingPath, out var staging))
            return await FailAsync(transfer, IngestOutcome.Unacceptable, "The transfer names no valid path.", transfer.Placing, cancellationToken);

        var expected = new ContentDescription(Checksum.Parse(transfer.TransferChecksum), transfer.TransferSize);
        if (bad is not null) return await ReplaceAsync(transfer, bad, store, staging, uploadName, expected, cancellationToken);
        // Data at the destination of a transfer that is placing may be our own, with staging already partly removed: then only the
        // placement can tell, and nothing may be judged by what is left in staging.
        var interrupted = transfer.Placing && await store.ExistsAsync(destination, cancellationToken);
        if (!interrupted && await VerifyAsync(transfer, store, staging, uploadName, destination, expected, cancellationToken) is { } unfit) return unfit;
        if (!interrupted && await ReserveNameAsync(transfer, cancellationToken) is { } refused) return refused;
        var placed = await store.PlaceAsync(PlacementOf(transfer, staging, uploadName, destination, expected), cancellationToken);
        switch (placed.Status)
        {
            case PlaceStatus.Placed:
                if (placed.Recovered) Logs.IngestResumed(_log, destination.Value, transferId);
                return await CatalogueAsync(transfer, store.Locate(destination), policy, cancellationToken);
            case PlaceStatus.TargetExists:
                return await FailAsync(transfer, IngestOutcome.NameTaken, placed.Message, placing: true, cancellationToken);
            case PlaceStatus.StagedMissing:
                return await FailAsync(transfer, IngestOutcome.Missing, placed.Message, placing: true, cancellationToken);
            case PlaceStatus.Mismatch:
                return await FailAsync(transfer, IngestOutcome.Mismatch, placed.Message, placing: true, cancellationToken);
            case PlaceStatus.Refused:
                return await FailAsync(transfer, IngestOutcome.Unacceptable, placed.Message, placing: true, cancellationToken);
            default:
                return Result(transfer, IngestOutcome.TryLater, placed.Message);
        }
    }

    private SemaphoreSlim? ReadersFor(IncomingTransfer transfer) => transfer.TransferSize > SmallFile ? _readers : null;

    private Placement PlacementOf(IncomingTransfer transfer, Guid staging, StorePath uploadName, StorePath destination, ContentDescription expected) =>
        new(staging, uploadName, destination, expected, PlacementId: staging) { Readers = ReadersFor(transfer) };

    /// <summary>Reads the staged data once, flushing them to the disk; null when they are what was declared.</summary>
    private async Task<IngestResult?> VerifyAsync(IncomingTransfer transfer, LocalStore store, Guid staging, StorePath uploadName, StorePath? destination, ContentDescription expected, CancellationToken cancellationToken)
    {
        DigestResult digest;
        var readers = ReadersFor(transfer);
        if (readers is not null) await readers.WaitAsync(cancellationToken);
        try
        {
            digest = await store.DigestStagedAsync(staging, uploadName, [expected.Checksum.Algorithm],
                new DigestOptions { FlushToDisk = true, MaxParallelism = _options.Value.ChecksumParallelism }, cancellationToken: cancellationToken);
        }
        finally
        {
            readers?.Release();
        }

        // Another run of this ingest (a stalled worker's and its successor's overlap) may have taken the data from under us: then the placement tells.
        if (!digest.Matches(expected) && transfer.Placing && destination is not null && await store.ExistsAsync(destination, cancellationToken)) return null;
        switch (digest.Status)
        {
            case DigestStatus.Complete when digest.Matches(expected):
                return null;
            case DigestStatus.Complete:
                return await FailAsync(transfer, IngestOutcome.Mismatch,
                    $"Declared {transfer.TransferSize} bytes with {transfer.TransferChecksum}, found {digest.SizeBytes} bytes with {digest.Checksums[expected.Checksum.Algorithm]}.", transfer.Placing, cancellationToken);
            case DigestStatus.Missing:
                return await FailAsync(transfer, IngestOutcome.Missing, "Nothing lies at the staging location.", transfer.Placing, cancellationToken);
            case DigestStatus.IoError or DigestStatus.NoSpace:
                return Result(transfer, IngestOutcome.TryLater, $"The staged data cannot be read: {digest.Message}");
            case DigestStatus.Changed:
                return await FailAsync(transfer, IngestOutcome.Mismatch, $"The staged data changed while they were read: {digest.FailedPath}.", transfer.Placing, cancellationToken);
            default:
                return await FailAsync(transfer, IngestOutcome.Unacceptable, digest.Message ?? digest.Status.ToString(), transfer.Placing, cancellationToken);
        }
    }

    private async Task<IReadOnlyList<Found>> LookUpAsync(IReadOnlyList<long> ids)
    {
        await using var db = _database.Open();
        var transfers = await db.IncomingTransfers.AsNoTracking().Include(t => t.Store).Where(t => ids.Contains(t.Id)).ToDictionaryAsync(t => t.Id, CancellationToken.None);
        var bad = await BadCopiesAsync(db, ids);
        return [.. ids.Select(id => new Found(transfers.GetValueOrDefault(id), bad.GetValueOrDefault(id)))];
    }

    /// <summary>Null when the name is ours.</summary>
    private async Task<IngestResult?> ReserveNameAsync(IncomingTransfer transfer, CancellationToken cancellationToken)
    {
        var reservation = await _reservations.RunAsync(transfer, cancellationToken);
        switch (reservation.Status)
        {
            case ReservationStatus.Reserved:
                return null;
            case ReservationStatus.NameTaken:
                return await FailAsync(transfer, IngestOutcome.NameTaken, reservation.Message, reservation.Placing, cancellationToken);
            default:
                await using (var db = _database.Open()) return await CurrentAsync(db, transfer, cancellationToken);
        }
    }

    /// <summary>
    /// Reserves names. The reservations are committed before the look at names above and below them, so of two names of which one contains the
    /// other, whichever looks later sees the earlier: nothing is ever stored inside a committed directory. A crash between the two leaves the
    /// reservations, and the next call looks again.
    /// </summary>
    private async Task<IReadOnlyList<Reservation>> ReserveAsync(IReadOnlyList<IncomingTransfer> group)
    {
        var names = group.Select(t => t.StorePath!).ToHashSet(StringComparer.Ordinal);
        // In one group each would see the other, and neither would be stored.
        if (names.Count < group.Count || names.Any(n => NestedNames.Ancestors(n).Any(names.Contains))) return await GroupCommit.OneByOneAsync(group, ReserveAsync);
        try
        {
            await using var db = _database.Open();
            var catalogued = (await db.Files.Where(f => names.Contains(f.Name)).Select(f => f.Name).ToListAsync()).ToHashSet(StringComparer.Ordinal);
            List<long> ids = [.. group.Where(t => !catalogued.Contains(t.StorePath!)).Select(t => t.Id)];
            await db.IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Staged).ExecuteUpdateAsync(s => s.SetProperty(t => t.Placing, true));
            var reserved = await db.IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Staged && t.Placing).Select(t => new { t.Id, t.StorePath }).ToDictionaryAsync(t => t.Id, t => t.StorePath);
            var blocked = await NestedNames.BlockedAsync(db, names, CancellationToken.None);
            return [.. group.Select(t =>
                catalogued.Contains(t.StorePath!) ? new Reservation(ReservationStatus.NameTaken, $"'{t.StorePath}' is catalogued here already.", t.Placing)
                : reserved.GetValueOrDefault(t.Id) != t.StorePath ? new Reservation(ReservationStatus.NotStaged)
                : blocked.TryGetValue(t.StorePath!, out var why) ? new Reservation(ReservationStatus.NameTaken, why, Placing: true)
                : new Reservation(ReservationStatus.Reserved))];
        }
        catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            if (group is [var only]) return [new Reservation(ReservationStatus.NameTaken, $"Another transfer is storing '{only.StorePath}' at this moment.")];
            return await GroupCommit.OneByOneAsync(group, ReserveAsync);
        }
    }

    private async Task<IngestResult> CurrentAsync(CatalogContext db, IncomingTransfer transfer, CancellationToken cancellationToken)
    {
        var now = await db.IncomingTransfers.AsNoTracking().SingleAsync(t => t.Id == transfer.Id, cancellationToken);
        return now.Status switch
        {
            TransferStatus.Completed => await DoneAsync(now, cancellationToken),
            TransferStatus.Staged => Result(now, IngestOutcome.TryLater, "Another run of this ingest is at work."),
            _ => Result(now, IngestOutcome.NotExpected, $"The transfer became {now.Status}: {now.FailureReason}"),
        };
    }

    private async Task<IngestResult> CatalogueAsync(IncomingTransfer transfer, string path, DeletionPolicy policy, CancellationToken cancellationToken)
    {
        switch (await _records.RunAsync(new Verified(transfer, path, policy), cancellationToken))
        {
            case RecordOutcome.Recorded:
                Logs.Ingested(_log, transfer.StorePath!, transfer.TransferSize, transfer.Id);
                return await DoneAsync(transfer, cancellationToken);
            case RecordOutcome.NameTaken:
                // Somebody catalogued the name without going through a transfer (an administrator's add_file); the data are identical, or
                // PlaceAsync would have answered TargetExists, so the stored copy belongs to that row.
                return await FailAsync(transfer, IngestOutcome.NameTaken, $"'{transfer.StorePath}' was catalogued meanwhile.", placing: true, cancellationToken);
            default:
                await using (var db = _database.Open()) return await CurrentAsync(db, transfer, cancellationToken);
        }
    }

    /// <summary>Completes transfers and catalogues their files, in one transaction: all of a group or, where one is refused, each by itself.</summary>
    private async Task<IReadOnlyList<RecordOutcome>> RecordAsync(IReadOnlyList<Verified> group)
    {
        var now = _time.GetUtcNow().UtcDateTime;
        List<long> ids = [.. group.Select(v => v.Transfer.Id)];
        try
        {
            await using var db = _database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync();
            var completed = await db.IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Staged && t.Placing)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Completed).SetProperty(t => t.Placing, false)
                    .SetProperty(t => t.EndTime, now).SetProperty(t => t.CallbackTries, t => t.SourceTransferId == null ? null : 0));
            if (completed == group.Count)
            {
                await db.InsertRowsAsync(group.Select(v => new FileRecord
                {
                    Name = v.Transfer.StorePath!,
                    CreateTime = now,
                    Size = v.Transfer.TransferSize,
                    Checksum = v.Transfer.TransferChecksum,
                    Uploader = v.Transfer.Uploader,
                    Source = v.Transfer.Source,
                }), CancellationToken.None);
                await db.InsertRowsAsync(group.Select(v => new Instance
                {
                    Path = v.Path,
                    FileName = v.Transfer.StorePath!,
                    StoreId = v.Transfer.StoreId!.Value,
                    DeletionPolicy = v.Policy,
                    CreatedTime = now,
                    Available = true,
                }), CancellationToken.None);
                await transaction.CommitAsync();
                return [.. group.Select(_ => RecordOutcome.Recorded)];
            }
        }
        catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            if (group.Count == 1) return [RecordOutcome.NameTaken];
        }

        return group.Count == 1 ? [RecordOutcome.NotPlacing] : await GroupCommit.OneByOneAsync(group, RecordAsync);
    }

    private async Task<IngestResult> DoneAsync(IncomingTransfer transfer, CancellationToken cancellationToken)
    {
        await _incoming.RemoveStagingAsync([(transfer.StoreId, transfer.StagingPath)], cancellationToken);
        return Result(transfer, IngestOutcome.Ingested, $"'{transfer.StorePath}' is stored and verified.");
    }

    /// <summary>
    /// Ends the transfer without success, but only in the state that this run has seen: a stalled run must not fail a transfer that
    /// another one is placing meanwhile, nor take its staging away.
    /// </summary>
    private async Task<IngestResult> FailAsync(IncomingTransfer transfer, IngestOutcome outcome, string message, bool placing, CancellationToken cancellationToken)
    {
        var now = _time.GetUtcNow().UtcDateTime;
        await using var db = _database.Open();
        var failed = await db.IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged && t.Placing == placing)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Failed).SetProperty(t => t.Placing, false)
                .SetProperty(t => t.EndTime, now).SetProperty(t => t.FailureReason, message).SetProperty(t => t.CallbackTries, CallbackDue(transfer)), cancellationToken);
        if (failed == 0) return await CurrentAsync(db, transfer, cancellationToken);
        Logs.NotIngested(_log, transfer.Id, transfer.StorePath, outcome.ToString(), message);
        await _errors.RaiseAsync(outcome == IngestOutcome.NameTaken ? ErrorSeverity.Warning : ErrorSeverity.Error, outcome == IngestOutcome.Mismatch ? ErrorCategory.DataIntegrity : ErrorCategory.Transfer,
            $"ingest {transfer.StorePath}", $"'{transfer.StorePath}' from '{transfer.Source}' was not ingested ({outcome}): {message} Nothing was stored under this name; the sender still has it and was told.", cancellationToken);
        await _incoming.RemoveStagingAsync([(transfer.StoreId, transfer.StagingPath)], cancellationToken);
        return Result(transfer, outcome, message);
    }

    /// <summary>A clone's source is to be told in any case; an upload's client waits for the answer itself.</summary>
    private static int? CallbackDue(IncomingTransfer transfer) => transfer.SourceTransferId is null ? null : 0;

    private static IngestResult Result(IncomingTransfer transfer, IngestOutcome outcome, string message) =>
        new(outcome, message, transfer.StorePath, transfer.StoreId, transfer.Source, transfer.SourceTransferId);

    /// <summary>Nothing is running any more.</summary>
    public void Dispose() => _readers.Dispose();

    /// <summary>A transfer, and the bad copy that it is to replace.</summary>
    private sealed record Found(IncomingTransfer? Transfer, BadCopy? Replaces);

    private sealed record Reservation(ReservationStatus Status, string Message = "", bool Placing = false);

    /// <summary>Data that lie at their place.</summary>
    private sealed record Verified(IncomingTransfer Transfer, string Path, DeletionPolicy Policy);
}
