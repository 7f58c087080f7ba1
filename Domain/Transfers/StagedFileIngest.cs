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

    /// <summary>Staging is empty; the transfer has failed.</summary>
    Missing,

    /// <summary>Size or checksum differ from the declaration; the transfer has failed and its staging is removed.</summary>
    Mismatch,

    /// <summary>The name is taken; the transfer has failed, its staging is removed and the stored file is untouched.</summary>
    NameTaken,

    /// <summary>
    /// The staged data may not be stored (links that leave the tree, special files); the transfer has failed and its staging is removed.
    /// </summary>
    Unacceptable,

    /// <summary>A disk or store problem; nothing was lost and a later attempt may succeed.</summary>
    TryLater,

    /// <summary>
    /// The disk did not persist the staged data, so reading them from memory proves nothing; the transfer has failed, its staging is
    /// removed, and the data have to be sent again.
    /// </summary>
    FlushFailed,
}

/// <summary>Result of <see cref="StagedFileIngest.RunAsync"/>.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Message">For people.</param>
/// <param name="FileName">The file.</param>
/// <param name="StoreId">The store.</param>
/// <param name="Source">The sender.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
public sealed record IngestResult(
    IngestOutcome Outcome,
    string Message,
    string? FileName = null,
    long? StoreId = null,
    string? Source = null,
    long? SourceTransferId = null
);

/// <summary>
/// Turns verified staged data into a catalogued file: one read of the data, a rename that replaces nothing, one transaction. It may be
/// called any number of times for one transfer, also concurrently.
/// </summary>
/// <remarks>
/// <para>A crash between two steps leaves the following, and the next call continues from there: after the read – nothing, the data are
/// read again; after "placing" was recorded – the name is reserved for this transfer and the data are still in staging, verified again;
/// after the rename – the data are in the store without a file's row, recognised by size and checksum through
/// <see cref="LocalStore.CommitFileAsync"/>, then catalogued; after the final transaction – only an empty staging directory, removed by the
/// next call or the sweep.</para>
/// <para>The kernel reports a failed flush once; afterwards the same data can be read and "flushed", but are not on the disk. So a failed
/// flush ends the transfer for good. <see cref="IncomingTransfer.FlushBegun"/> covers the time between the failure and its record: it is
/// set before anything is flushed and cleared when the result of the flushes is known, and a run that finds it set writes the data anew
/// instead of renaming them.</para>
/// <para>Catalog queries of concurrent runs are grouped (<see cref="GroupCommit{TItem, TResult}"/>), so that a thousand small files cost a
/// few transactions and not thousands. Each run still does its own steps in the order above.</para>
/// </remarks>
public sealed partial class StagedFileIngest : IDisposable
{
    /// <summary>
    /// Most files that are ingested at once. Reads have their own limit: see <see cref="SiteOptions.IngestParallelism"/>.
    /// </summary>
    public const int MostAtOnce = 32;

    /// <summary>Files up to this many bytes cost flushes rather than reads; larger files wait for each other.</summary>
    private const long SmallFile = 1 << 20;

    private readonly CatalogDatabase _database;
    private readonly SiteStores _stores;
    private readonly IncomingTransfers _incoming;
    private readonly ErrorLog _errors;
    private readonly IOptions<SiteOptions> _options;
    private readonly TimeProvider _time;
    private readonly ILogger<StagedFileIngest> _log;
    private readonly SemaphoreSlim _readers;
    private readonly KeyedLocks _turns = new();
    private readonly GroupCommit<long, Found> _transferLookups;
    private readonly GroupCommit<IncomingTransfer, IncomingTransfer> _beginnings;
    private readonly GroupCommit<IncomingTransfer, Reservation> _reservations;
    private readonly GroupCommit<Verified, RecordOutcome> _records;

    /// <summary>One per process, because concurrent runs are grouped within it.</summary>
    public StagedFileIngest(
        CatalogDatabase database,
        SiteStores stores,
        IncomingTransfers incoming,
        ErrorLog errors,
        IOptions<SiteOptions> options,
        TimeProvider time,
        ILogger<StagedFileIngest> log
    )
    {
        ArgumentNullException.ThrowIfNull(options);
        (_database, _stores, _incoming, _errors, _options, _time, _log) = (database, stores, incoming, errors, options, time, log);
        _readers = new SemaphoreSlim(options.Value.IngestParallelism);
        _transferLookups = new GroupCommit<long, Found>(MostAtOnce, FindTransfersAsync);
        _beginnings = new GroupCommit<IncomingTransfer, IncomingTransfer>(MostAtOnce, BeginAsync);
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
        NotCommitting,
    }

    /// <summary>Ingests a transfer that is STAGED.</summary>
    /// <param name="transferId">Incoming transfer.</param>
    /// <param name="policy">Policy of the new copy.</param>
    /// <param name="cancellationToken">Stops between steps and while reading.</param>
    public async Task<IngestResult> RunAsync(long transferId, DeletionPolicy policy, CancellationToken cancellationToken)
    {
        // One run at a time, in this process and (with the store's lock) among all processes of the site: half-done work that a run finds
        // must come from a dead run, not from one that is active.
        using var turn = await _turns.EnterAsync(transferId, cancellationToken);
        return await RunAloneAsync(transferId, policy, cancellationToken);
    }

    private async Task<IngestResult> RunAloneAsync(long transferId, DeletionPolicy policy, CancellationToken cancellationToken)
    {
        var (transfer, bad) = await _transferLookups.RunAsync(transferId, cancellationToken);
        if (transfer is null)
            return new IngestResult(IngestOutcome.NotExpected, $"There is no incoming transfer {transferId}.");
        if (transfer.Status != TransferStatus.Staged)
            return await EndedAsync(transfer, cancellationToken);
        if (transfer.Store is not { Enabled: true } || await _stores.FindAsync(transfer.StoreId, cancellationToken) is not { } store)
            return Result(transfer, IngestOutcome.TryLater, AwayMessage(transfer));
        if (
            !FileName.TryParse(transfer.UploadName, out var uploadName, out _)
            || !FileName.TryParse(transfer.FileName, out var destination, out _)
            || !Guid.TryParse(transfer.StagingPath, out var staging)
        )
            return await FailAsync(
                transfer,
                IngestOutcome.Unacceptable,
                "The transfer names no valid path.",
                transfer.Committing,
                cancellationToken
            );
        var (taken, refusal) = await store.TryLockCommitAsync(staging, cancellationToken);
        if (refusal is not null)
            return Result(transfer, IngestOutcome.TryLater, refusal.Message);
        using var storeTurn = taken;
        transfer = await _beginnings.RunAsync(transfer, cancellationToken);
        if (transfer.Status != TransferStatus.Staged)
            return await EndedAsync(transfer, cancellationToken);
        try
        {
            return await AttemptAsync(transfer, bad, store, staging, uploadName, destination, policy, cancellationToken);
        }
        catch (OperationCanceledException)
        {
            // No flush has failed; otherwise its result would have come first.
            await ForgetFlushAsync(transfer);
            throw;
        }
    }

    private async Task<IngestResult> EndedAsync(IncomingTransfer transfer, CancellationToken cancellationToken) =>
        transfer.Status == TransferStatus.Completed
            ? await DoneAsync(transfer, cancellationToken)
            : Result(
                transfer,
                IngestOutcome.NotExpected,
                $"The transfer is {transfer.Status}: {transfer.FailureReason ?? "its data are not complete yet"}."
            );

    private async Task<IngestResult> AttemptAsync(
        IncomingTransfer transfer,
        BadCopy? bad,
        LocalStore store,
        Guid staging,
        FileName uploadName,
        FileName destination,
        DeletionPolicy policy,
        CancellationToken cancellationToken
    )
    {
        var expected = new ContentDescription(Checksum.Parse(transfer.TransferChecksum), transfer.TransferSize);
        if (bad is not null)
            return await ReplaceAsync(transfer, bad, store, staging, uploadName, expected, cancellationToken);
        // If this transfer is committing, data under its name may be its own, with staging already partly removed: then only the commit can
        // tell, and the rest of staging proves nothing.
        var found = transfer.Committing ? await store.ExistsAsync(destination, cancellationToken) : Presence.Absent;
        if (found == Presence.Unknown)
            return await AwayAsync(transfer);
        var interrupted = found == Presence.Present;
        var commit = FileCommitOf(transfer, staging, uploadName, destination, expected);
        if (!interrupted)
        {
            var (isBack, later) = await PutBackAsync(transfer, store, staging, destination, cancellationToken);
            if (later is not null)
                return later;
            if (isBack)
                return await AdoptAsync(transfer, store, commit, policy, interrupted: true, cancellationToken);
        }

        var (unfit, verified) = interrupted
            ? default
            : await VerifyAsync(transfer, store, staging, uploadName, destination, expected, cancellationToken);
        if (unfit is not null)
            return unfit;
        commit = commit with { Verified = verified };
        if (!interrupted && await ReserveNameAsync(transfer, cancellationToken) is { } refused)
            return refused;
        var committed = await store.CommitFileAsync(commit, cancellationToken);
        switch (committed.Status)
        {
            case FileCommitStatus.Committed:
                if (committed.Recovered)
                    Logs.IngestResumed(_log, destination.Value, transfer.Id);
                return await CatalogueAsync(transfer, store, destination, policy, verified?.TreeDigest, cancellationToken);
            case FileCommitStatus.TargetExists:
                return await AdoptAsync(transfer, store, commit, policy, interrupted, cancellationToken);
            case FileCommitStatus.StagedMissing:
                return await FailAsync(transfer, IngestOutcome.Missing, committed.Message, committing: true, cancellationToken);
            case FileCommitStatus.Mismatch:
                return await FailAsync(transfer, IngestOutcome.Mismatch, committed.Message, committing: true, cancellationToken);
            case FileCommitStatus.Refused:
                return await FailAsync(transfer, IngestOutcome.Unacceptable, committed.Message, committing: true, cancellationToken);
            default:
                return await WaitAsync(transfer, committed);
        }
    }

    private Task<IngestResult> AwayAsync(IncomingTransfer transfer) => WaitAsync(transfer, AwayMessage(transfer));

    private static string AwayMessage(IncomingTransfer transfer) =>
        $"Store '{transfer.Store?.Name}' is switched off, not mounted or does not answer; the staged data wait.";

    /// <summary>Ends a run in which no flush has failed.</summary>
    private async Task<IngestResult> WaitAsync(IncomingTransfer transfer, string message)
    {
        await ForgetFlushAsync(transfer);
        return Result(transfer, IngestOutcome.TryLater, message);
    }

    /// <summary>
    /// Ends a run in which the commit of the file did not succeed: after a flush that failed, or may have failed, the mark stays.
    /// </summary>
    private Task<IngestResult> WaitAsync(IncomingTransfer transfer, FileCommitResult committed) =>
        committed.Status == FileCommitStatus.NoSpace || committed.Code == "store.unavailable"
            ? WaitAsync(transfer, committed.Message)
            : Task.FromResult(Result(transfer, IngestOutcome.TryLater, committed.Message));

    /// <summary>
    /// Clears the mark that this run has set; the mark of an earlier run stays. A crash before this leaves the mark, which costs a copy.
    /// </summary>
    private async Task ForgetFlushAsync(IncomingTransfer transfer)
    {
        if (transfer.FlushBegun)
            return;
        await using var db = _database.Open();
        await db
            .IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.FlushBegun, false));
    }

    private SemaphoreSlim? ReadersFor(IncomingTransfer transfer) => transfer.TransferSize > SmallFile ? _readers : null;

    private FileCommit FileCommitOf(
        IncomingTransfer transfer,
        Guid staging,
        FileName uploadName,
        FileName destination,
        ContentDescription expected
    ) =>
        new(staging, uploadName, destination, expected, CommitId: staging)
        {
            Readers = ReadersFor(transfer),
            Rewrite = transfer.FlushBegun,
        };

    /// <summary>Reads the staged data once and flushes them to the disk; the first result is null when the data are as declared.</summary>
    private async Task<(IngestResult? Unfit, DigestResult? Verified)> VerifyAsync(
        IncomingTransfer transfer,
        LocalStore store,
        Guid staging,
        FileName uploadName,
        FileName? destination,
        ContentDescription expected,
        CancellationToken cancellationToken
    )
    {
        DigestResult digest;
        var readers = ReadersFor(transfer);
        if (readers is not null)
            await readers.WaitAsync(cancellationToken);
        try
        {
            digest = await store.DigestStagedAsync(
                staging,
                uploadName,
                [expected.Checksum.Algorithm, ChecksumAlgorithm.Xxh3],
                new DigestOptions
                {
                    FlushToDisk = true,
                    TakeOver = true,
                    MaxParallelism = _options.Value.ChecksumParallelism,
                },
                cancellationToken: cancellationToken
            );
        }
        finally
        {
            readers?.Release();
        }

        // If the store's lock was lost (an NFS server forgot it), another run may have committed the data meanwhile: then the commit tells.
        if (
            !digest.Matches(expected)
            && transfer.Committing
            && destination is not null
            && await store.ExistsAsync(destination, cancellationToken) != Presence.Absent
        )
            return default;
        switch (digest.Status)
        {
            case DigestStatus.Complete when digest.Matches(expected) && transfer.TreeDigest is { } names && digest.TreeDigest != names:
                return (
                    await FailAsync(
                        transfer,
                        IngestOutcome.Mismatch,
                        "The members of the directory have the declared contents, but not the declared names: "
                            + $"{digest.TreeDigest} instead of {names}.",
                        transfer.Committing,
                        cancellationToken
                    ),
                    null
                );
            case DigestStatus.Complete when digest.Matches(expected):
                return (null, digest);
            case DigestStatus.Complete:
                return (
                    await FailAsync(
                        transfer,
                        IngestOutcome.Mismatch,
                        $"Declared {transfer.TransferSize} bytes with {transfer.TransferChecksum}, "
                            + $"found {digest.SizeBytes} bytes with {digest.Checksums[expected.Checksum.Algorithm]}.",
                        transfer.Committing,
                        cancellationToken
                    ),
                    null
                );
            case DigestStatus.Missing:
                return (
                    await FailAsync(
                        transfer,
                        IngestOutcome.Missing,
                        "Nothing lies at the staging location.",
                        transfer.Committing,
                        cancellationToken
                    ),
                    null
                );
            case DigestStatus.IoError or DigestStatus.NoSpace:
                return (await WaitAsync(transfer, $"The staged data cannot be read: {digest.Message}"), null);
            case DigestStatus.FlushFailed:
                // Must not be cancelled: the next run would find nothing wrong.
                return (
                    await FailAsync(
                        transfer,
                        IngestOutcome.FlushFailed,
                        $"The disk did not keep the staged data ({digest.Message}). "
                            + "They are discarded, for nobody can know what of them is on it. "
                            + "Check the space and health of the staging disk; the file has to be sent again.",
                        transfer.Committing,
                        CancellationToken.None
                    ),
                    null
                );
            case DigestStatus.Changed:
                return (
                    await FailAsync(
                        transfer,
                        IngestOutcome.Mismatch,
                        $"The staged data changed while they were read: {digest.FailedPath}.",
                        transfer.Committing,
                        cancellationToken
                    ),
                    null
                );
            default:
                return (
                    await FailAsync(
                        transfer,
                        IngestOutcome.Unacceptable,
                        digest.Message ?? digest.Status.ToString(),
                        transfer.Committing,
                        cancellationToken
                    ),
                    null
                );
        }
    }

    private async Task<IReadOnlyList<Found>> FindTransfersAsync(IReadOnlyList<long> ids)
    {
        await using var db = _database.Open();
        var transfers = await db
            .IncomingTransfers.AsNoTracking()
            .Include(t => t.Store)
            .Where(t => ids.Contains(t.Id))
            .ToDictionaryAsync(t => t.Id, CancellationToken.None);
        var bad = await BadCopiesAsync(db, ids);
        return [.. ids.Select(id => new Found(transfers.GetValueOrDefault(id), bad.GetValueOrDefault(id)))];
    }

    /// <summary>
    /// Marks that flushes begin, for runs that hold the store's lock. A transfer that is marked already is read again from the catalog,
    /// because its row was read before the lock was taken.
    /// </summary>
    private async Task<IReadOnlyList<IncomingTransfer>> BeginAsync(IReadOnlyList<IncomingTransfer> group)
    {
        List<long> ids = [.. group.Where(t => !t.FlushBegun).Select(t => t.Id)];
        await using var db = _database.Open();
        var unmarked = db.IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Staged && !t.FlushBegun);
        // If one was marked or has ended meanwhile, it does not pay to find out which: all are written anew.
        var areNew = ids.Count == 0 || await unmarked.ExecuteUpdateAsync(s => s.SetProperty(t => t.FlushBegun, true)) == ids.Count;
        if (areNew && ids.Count == group.Count)
            return group;
        List<long> ambiguous = [.. group.Where(t => t.FlushBegun || !areNew).Select(t => t.Id)];
        var now = await db
            .IncomingTransfers.AsNoTracking()
            .Include(t => t.Store)
            .Where(t => ambiguous.Contains(t.Id))
            .ToDictionaryAsync(t => t.Id);
        return [.. group.Select(t => now.GetValueOrDefault(t.Id, t))];
    }

    /// <summary>Reserves the transfer's name; null when it succeeds.</summary>
    private async Task<IngestResult?> ReserveNameAsync(IncomingTransfer transfer, CancellationToken cancellationToken)
    {
        var reservation = await _reservations.RunAsync(transfer, cancellationToken);
        switch (reservation.Status)
        {
            case ReservationStatus.Reserved:
                return null;
            case ReservationStatus.NameTaken:
                return await FailAsync(transfer, IngestOutcome.NameTaken, reservation.Message, reservation.Committing, cancellationToken);
            default:
                await using (var db = _database.Open())
                    return await CurrentAsync(db, transfer, cancellationToken);
        }
    }

    /// <summary>
    /// Reserves names. The reservations are committed before names above and below them are checked; so of two names of which one contains
    /// the other, the later check sees the earlier reservation, and nothing is ever stored inside a committed directory. A crash between
    /// the two leaves the reservations, and the next call checks again.
    /// </summary>
    private async Task<IReadOnlyList<Reservation>> ReserveAsync(IReadOnlyList<IncomingTransfer> group)
    {
        var names = group.Select(t => t.FileName!).ToHashSet(StringComparer.Ordinal);
        // In one group each would see the other, and neither would be stored.
        if (names.Count < group.Count || names.Any(n => NestedNames.Ancestors(n).Any(names.Contains)))
            return await GroupCommit.OneByOneAsync(group, ReserveAsync);
        try
        {
            await using var db = _database.Open();
            var catalogued = (await db.Files.Where(f => names.Contains(f.Name)).Select(f => f.Name).ToListAsync()).ToHashSet(
                StringComparer.Ordinal
            );
            List<long> ids = [.. group.Where(t => !catalogued.Contains(t.FileName!)).Select(t => t.Id)];
            await db
                .IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Staged)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Committing, true));
            var reserved = await db
                .IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Staged && t.Committing)
                .Select(t => new { t.Id, t.FileName })
                .ToDictionaryAsync(t => t.Id, t => t.FileName);
            var blocked = await NestedNames.BlockedAsync(db, names, CancellationToken.None);
            return
            [
                .. group.Select(t =>
                    catalogued.Contains(t.FileName!)
                        ? new Reservation(ReservationStatus.NameTaken, $"'{t.FileName}' is catalogued here already.", t.Committing)
                    : reserved.GetValueOrDefault(t.Id) != t.FileName ? new Reservation(ReservationStatus.NotStaged)
                    : blocked.TryGetValue(t.FileName!, out var why) ? new Reservation(ReservationStatus.NameTaken, why, Committing: true)
                    : new Reservation(ReservationStatus.Reserved)
                ),
            ];
        }
        catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            if (group is [var only])
                return [new Reservation(ReservationStatus.NameTaken, $"Another transfer is storing '{only.FileName}' at this moment.")];
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

    private async Task<IngestResult> CatalogueAsync(
        IncomingTransfer transfer,
        LocalStore store,
        FileName path,
        DeletionPolicy policy,
        string? names,
        CancellationToken cancellationToken
    )
    {
        // Taken from the committed data, with their final modes.
        var seen = await store.FingerprintAsync(path, cancellationToken);
        switch (
            await _records.RunAsync(
                new Verified(transfer, path.Value, policy, seen.Fingerprint, names ?? transfer.TreeDigest),
                cancellationToken
            )
        )
        {
            case RecordOutcome.Recorded:
                Logs.Ingested(_log, transfer.FileName!, transfer.TransferSize, transfer.Id);
                return await DoneAsync(transfer, cancellationToken);
            case RecordOutcome.NameTaken:
                // The name was catalogued without a transfer (an administrator's add_file). The data are identical, or CommitFileAsync
                // would have answered TargetExists, so the stored copy belongs to that row.
                return await FailAsync(
                    transfer,
                    IngestOutcome.NameTaken,
                    $"'{transfer.FileName}' was catalogued meanwhile.",
                    committing: true,
                    cancellationToken
                );
            default:
                await using (var db = _database.Open())
                    return await CurrentAsync(db, transfer, cancellationToken);
        }
    }

    /// <summary>
    /// Completes transfers and catalogues their files in one transaction; if the database refuses one of a group, each is recorded by
    /// itself.
    /// </summary>
    private async Task<IReadOnlyList<RecordOutcome>> RecordAsync(IReadOnlyList<Verified> group)
    {
        var now = _time.GetUtcNow().UtcDateTime;
        List<long> ids = [.. group.Select(v => v.Transfer.Id)];
        try
        {
            await using var db = _database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync();
            var completed = await db
                .IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Staged && t.Committing)
                .ExecuteUpdateAsync(s =>
                    s.SetProperty(t => t.Status, TransferStatus.Completed)
                        .SetProperty(t => t.Committing, false)
                        .SetProperty(t => t.FlushBegun, false)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.CallbackTries, t => t.SourceTransferId == null ? null : 0)
                );
            if (completed == group.Count)
            {
                await db.InsertRowsAsync(
                    group.Select(v => new FileRecord
                    {
                        Name = v.Transfer.FileName!,
                        CreateTime = now,
                        Size = v.Transfer.TransferSize,
                        Checksum = v.Transfer.TransferChecksum,
                        Uploader = v.Transfer.Uploader,
                        Source = v.Transfer.Source,
                        TreeDigest = v.TreeDigest,
                    }),
                    CancellationToken.None
                );
                await db.InsertRowsAsync(
                    group.Select(v => new FileCopy
                    {
                        Path = v.Path,
                        FileName = v.Transfer.FileName!,
                        StoreId = v.Transfer.StoreId!.Value,
                        DeletionPolicy = v.Policy,
                        CreatedTime = now,
                        Available = true,
                        Fingerprint = v.Fingerprint,
                        VerifiedTime = now,
                    }),
                    CancellationToken.None
                );
                await transaction.CommitAsync();
                return [.. group.Select(_ => RecordOutcome.Recorded)];
            }
        }
        catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            if (group.Count == 1)
                return [RecordOutcome.NameTaken];
        }

        return group.Count == 1 ? [RecordOutcome.NotCommitting] : await GroupCommit.OneByOneAsync(group, RecordAsync);
    }

    private async Task<IngestResult> DoneAsync(IncomingTransfer transfer, CancellationToken cancellationToken)
    {
        await _incoming.RemoveStagingAsync([(transfer.StoreId, transfer.StagingPath)], cancellationToken);
        return Result(transfer, IngestOutcome.Ingested, $"'{transfer.FileName}' is stored and verified.");
    }

    /// <summary>
    /// Ends the transfer without success, but only in the state that this run has seen: a stalled run must not fail a transfer that another
    /// run is committing meanwhile, nor remove its staging.
    /// </summary>
    private async Task<IngestResult> FailAsync(
        IncomingTransfer transfer,
        IngestOutcome outcome,
        string message,
        bool committing,
        CancellationToken cancellationToken
    )
    {
        var now = _time.GetUtcNow().UtcDateTime;
        await using var db = _database.Open();
        var failed = await db
            .IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged && t.Committing == committing)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Failed)
                        .SetProperty(t => t.Committing, false)
                        .SetProperty(t => t.FlushBegun, false)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.FailureReason, message)
                        .SetProperty(t => t.CallbackTries, CallbackDue(transfer)),
                cancellationToken
            );
        if (failed == 0)
            return await CurrentAsync(db, transfer, cancellationToken);
        Logs.NotIngested(_log, transfer.Id, transfer.FileName, outcome.ToString(), message);
        await _errors.RaiseAsync(
            outcome == IngestOutcome.NameTaken ? ErrorSeverity.Warning : ErrorSeverity.Error,
            outcome is IngestOutcome.Mismatch or IngestOutcome.FlushFailed ? ErrorCategory.DataIntegrity : ErrorCategory.Transfer,
            $"ingest {transfer.FileName}",
            $"'{transfer.FileName}' from '{transfer.Source}' was not ingested ({outcome}): {message} "
                + "Nothing was stored under this name; the sender still has it and was told.",
            cancellationToken
        );
        await _incoming.RemoveStagingAsync([(transfer.StoreId, transfer.StagingPath)], cancellationToken);
        return Result(transfer, outcome, message);
    }

    /// <summary>A clone's source has to be notified in any case; an upload's client waits for the answer itself.</summary>
    private static int? CallbackDue(IncomingTransfer transfer) => transfer.SourceTransferId is null ? null : 0;

    private static IngestResult Result(IncomingTransfer transfer, IngestOutcome outcome, string message) =>
        new(outcome, message, transfer.FileName, transfer.StoreId, transfer.Source, transfer.SourceTransferId);

    /// <summary>Call it when no run is active any more.</summary>
    public void Dispose() => _readers.Dispose();

    /// <summary>A transfer, and the corrupt copy that it replaces.</summary>
    private sealed record Found(IncomingTransfer? Transfer, BadCopy? Replaces);

    private sealed record Reservation(ReservationStatus Status, string Message = "", bool Committing = false);

    /// <summary>Data that are committed under their final name.</summary>
    private sealed record Verified(IncomingTransfer Transfer, string Path, DeletionPolicy Policy, string? Fingerprint, string? TreeDigest);
}
