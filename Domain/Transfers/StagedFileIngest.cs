using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Stores;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Transfers;

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
    /// Most files or rounds that are ingested at once. Reads have their own limit: see <see cref="SiteOptions.IngestParallelism"/>.
    /// </summary>
    public const int MostAtOnce = 32;

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
        _transferLookups = new GroupCommit<long, Found>(MostInRound, FindTransfersAsync);
        _beginnings = new GroupCommit<IncomingTransfer, IncomingTransfer>(MostInRound, BeginAsync);
        _reservations = new GroupCommit<IncomingTransfer, Reservation>(MostInRound, ReserveAsync);
        _records = new GroupCommit<Verified, RecordOutcome>(MostInRound, RecordAsync);
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
        return await CommitVerifiedAsync(transfer, store, commit, policy, interrupted, cancellationToken);
    }

    /// <summary>Commits data whose name is reserved, step by step, and catalogues them.</summary>
    private async Task<IngestResult> CommitVerifiedAsync(
        IncomingTransfer transfer,
        LocalStore store,
        FileCommit commit,
        DeletionPolicy policy,
        bool interrupted,
        CancellationToken cancellationToken
    )
    {
        var destination = commit.Destination;
        var committed = await store.CommitFileAsync(commit, cancellationToken);
        switch (committed.Status)
        {
            case FileCommitStatus.Committed:
                if (committed.Recovered)
                    Logs.IngestResumed(_log, destination.Value, transfer.Id);
                return await CatalogueAsync(transfer, store, destination, policy, commit.Verified?.TreeDigest, cancellationToken);
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

    private static IngestResult Result(IncomingTransfer transfer, IngestOutcome outcome, string message) =>
        new(outcome, message, transfer.FileName, transfer.StoreId, transfer.Source, transfer.SourceTransferId);

    /// <summary>Call it when no run is active any more.</summary>
    public void Dispose() => _readers.Dispose();
}
