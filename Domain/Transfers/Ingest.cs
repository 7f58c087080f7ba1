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
/// What a crash between two steps leaves, and what the next call does:
/// after the read – nothing, the data are read again; after "placing" was recorded – the name is reserved for this transfer and
/// the data are still in staging, verified again; after the rename – the data are in the store without a file's row,
/// recognised by size and checksum through <see cref="LocalStore.PlaceAsync"/>, then catalogued; after the final transaction –
/// only an empty staging directory, removed by the next call or the sweep at start.
/// </remarks>
public sealed partial class Ingest(CatalogDatabase database, SiteStores stores, IncomingTransfers incoming, ErrorLog errors, IOptions<SiteOptions> options, TimeProvider time, ILogger<Ingest> log)
{
    /// <summary>Ingests a transfer that is STAGED.</summary>
    /// <param name="transferId">Incoming transfer.</param>
    /// <param name="policy">Policy of the new instance.</param>
    /// <param name="cancellationToken">Stops between steps and while reading.</param>
    public async Task<IngestResult> RunAsync(long transferId, DeletionPolicy policy, CancellationToken cancellationToken)
    {
        IncomingTransfer? transfer;
        await using (var db = database.Open())
        {
            transfer = await db.IncomingTransfers.AsNoTracking().Include(t => t.Store).SingleOrDefaultAsync(t => t.Id == transferId, cancellationToken);
        }

        if (transfer is null) return new IngestResult(IngestOutcome.NotExpected, $"There is no incoming transfer {transferId}.");
        if (transfer.Status == TransferStatus.Completed) return await DoneAsync(transfer, cancellationToken);
        if (transfer.Status != TransferStatus.Staged)
            return Result(transfer, IngestOutcome.NotExpected, $"The transfer is {transfer.Status}: {transfer.FailureReason ?? "its data are not complete yet"}.");
        if (transfer.Store is not { Enabled: true } || stores.Find(transfer.StoreId) is not { IsAvailable: true } store)
            return Result(transfer, IngestOutcome.TryLater, $"Store '{transfer.Store?.Name}' is switched off or not mounted; the staged data wait.");
        if (!StorePath.TryParse(transfer.UploadName, out var uploadName, out _) || !StorePath.TryParse(transfer.StorePath, out var destination, out _)
            || !Guid.TryParse(transfer.StagingPath, out var staging))
            return await FailAsync(transfer, IngestOutcome.Unacceptable, "The transfer names no valid path.", transfer.Placing, cancellationToken);

        var expected = new ContentDescription(Checksum.Parse(transfer.TransferChecksum), transfer.TransferSize);
        if (await ReplacementAsync(transfer.Id, cancellationToken) is { } bad) return await ReplaceAsync(transfer, bad, store, staging, uploadName, expected, cancellationToken);
        // Data at the destination of a transfer that is placing may be our own, with staging already partly removed: then only the
        // placement can tell, and nothing may be judged by what is left in staging.
        var interrupted = transfer.Placing && await store.ExistsAsync(destination, cancellationToken);
        if (!interrupted && await VerifyAsync(transfer, store, staging, uploadName, destination, expected, cancellationToken) is { } unfit) return unfit;
        if (!interrupted && await ReserveAsync(transfer, cancellationToken) is { } refused) return refused;
        var placed = await store.PlaceAsync(new Placement(staging, uploadName, destination, expected, PlacementId: staging), cancellationToken);
        switch (placed.Status)
        {
            case PlaceStatus.Placed:
                if (placed.Recovered) Logs.IngestResumed(log, destination.Value, transferId);
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

    /// <summary>Reads the staged data once, flushing them to the disk; null when they are what was declared.</summary>
    private async Task<IngestResult?> VerifyAsync(IncomingTransfer transfer, LocalStore store, Guid staging, StorePath uploadName, StorePath? destination, ContentDescription expected, CancellationToken cancellationToken)
    {
        var digest = await store.DigestStagedAsync(staging, uploadName, [expected.Checksum.Algorithm],
            new DigestOptions { FlushToDisk = true, MaxParallelism = options.Value.ChecksumParallelism }, cancellationToken: cancellationToken);
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

    /// <summary>
    /// Reserves the name; null when it is ours. The reservation is committed before the look at names above and below it, so of
    /// two names of which one contains the other, whichever looks later sees the earlier: nothing is ever stored inside a committed
    /// directory. A crash between the two leaves the reservation, and the next call looks again.
    /// </summary>
    private async Task<IngestResult?> ReserveAsync(IncomingTransfer transfer, CancellationToken cancellationToken)
    {
        var name = transfer.StorePath!;
        try
        {
            await using var db = database.Open();
            if (await db.Files.AnyAsync(f => f.Name == name, cancellationToken))
                return await FailAsync(transfer, IngestOutcome.NameTaken, $"'{name}' is catalogued here already.", transfer.Placing, cancellationToken);
            var reserved = await db.IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged && t.StorePath == name)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Placing, true), cancellationToken);
            if (reserved == 0) return await CurrentAsync(db, transfer, cancellationToken);
            var above = Ancestors(name);
            // '0' follows '/' in byte order: this range holds exactly the names below ours.
            var (first, end) = (name + "/", name + "0");
            var blocking = await db.Files.Where(f => above.Contains(f.Name) || (string.Compare(f.Name, first) >= 0 && string.Compare(f.Name, end) < 0))
                    .Select(f => f.Name).FirstOrDefaultAsync(cancellationToken)
                ?? await db.IncomingTransfers.Where(t => t.Placing && (above.Contains(t.StorePath!) || (string.Compare(t.StorePath, first) >= 0 && string.Compare(t.StorePath, end) < 0)))
                    .Select(t => t.StorePath).FirstOrDefaultAsync(cancellationToken);
            return blocking is null ? null : await FailAsync(transfer, IngestOutcome.NameTaken,
                $"'{blocking}' is a file of its own (a directory counts as one); neither can lie inside the other.", placing: true, cancellationToken);
        }
        catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return await FailAsync(transfer, IngestOutcome.NameTaken, $"Another transfer is storing '{name}' at this moment.", placing: false, cancellationToken);
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

    private static List<string> Ancestors(string name)
    {
        var result = new List<string>();
        for (var slash = name.IndexOf('/', StringComparison.Ordinal); slash >= 0; slash = name.IndexOf('/', slash + 1)) result.Add(name[..slash]);
        return result;
    }

    private async Task<IngestResult> CatalogueAsync(IncomingTransfer transfer, string path, DeletionPolicy policy, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().UtcDateTime;
        try
        {
            await using var db = database.Open();
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            var completed = await db.IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged && t.Placing)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Completed).SetProperty(t => t.Placing, false)
                    .SetProperty(t => t.EndTime, now).SetProperty(t => t.CallbackTries, CallbackDue(transfer)), cancellationToken);
            if (completed == 0) return await CurrentAsync(db, transfer, cancellationToken);
            db.Files.Add(new FileRecord
            {
                Name = transfer.StorePath!,
                CreateTime = now,
                Size = transfer.TransferSize,
                Checksum = transfer.TransferChecksum,
                Uploader = transfer.Uploader,
                Source = transfer.Source,
            });
            db.Instances.Add(new Instance
            {
                Path = path,
                FileName = transfer.StorePath!,
                StoreId = transfer.StoreId!.Value,
                DeletionPolicy = policy,
                CreatedTime = now,
                Available = true,
            });
            await db.SaveChangesAsync(cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            Logs.Ingested(log, transfer.StorePath!, transfer.TransferSize, transfer.Id);
        }
        catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            // Somebody catalogued the name without going through a transfer (an administrator's add_file); the data are identical, or
            // PlaceAsync would have answered TargetExists, so the stored copy belongs to that row.
            return await FailAsync(transfer, IngestOutcome.NameTaken, $"'{transfer.StorePath}' was catalogued meanwhile.", placing: true, cancellationToken);
        }

        return await DoneAsync(transfer, cancellationToken);
    }

    private async Task<IngestResult> DoneAsync(IncomingTransfer transfer, CancellationToken cancellationToken)
    {
        await incoming.RemoveStagingAsync([(transfer.StoreId, transfer.StagingPath)], cancellationToken);
        return Result(transfer, IngestOutcome.Ingested, $"'{transfer.StorePath}' is stored and verified.");
    }

    /// <summary>
    /// Ends the transfer without success, but only in the state that this run has seen: a stalled run must not fail a transfer that
    /// another one is placing meanwhile, nor take its staging away.
    /// </summary>
    private async Task<IngestResult> FailAsync(IncomingTransfer transfer, IngestOutcome outcome, string message, bool placing, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow().UtcDateTime;
        await using var db = database.Open();
        var failed = await db.IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged && t.Placing == placing)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Failed).SetProperty(t => t.Placing, false)
                .SetProperty(t => t.EndTime, now).SetProperty(t => t.FailureReason, message).SetProperty(t => t.CallbackTries, CallbackDue(transfer)), cancellationToken);
        if (failed == 0) return await CurrentAsync(db, transfer, cancellationToken);
        Logs.NotIngested(log, transfer.Id, transfer.StorePath, outcome.ToString(), message);
        await errors.RaiseAsync(outcome == IngestOutcome.NameTaken ? ErrorSeverity.Warning : ErrorSeverity.Error, outcome == IngestOutcome.Mismatch ? ErrorCategory.DataIntegrity : ErrorCategory.Transfer,
            $"ingest {transfer.StorePath}", $"'{transfer.StorePath}' from '{transfer.Source}' was not ingested ({outcome}): {message} Nothing was stored under this name; the sender still has it and was told.", cancellationToken);
        await incoming.RemoveStagingAsync([(transfer.StoreId, transfer.StagingPath)], cancellationToken);
        return Result(transfer, outcome, message);
    }

    /// <summary>A clone's source is to be told in any case; an upload's client waits for the answer itself.</summary>
    private static int? CallbackDue(IncomingTransfer transfer) => transfer.SourceTransferId is null ? null : 0;

    private static IngestResult Result(IncomingTransfer transfer, IngestOutcome outcome, string message) =>
        new(outcome, message, transfer.StorePath, transfer.StoreId, transfer.Source, transfer.SourceTransferId);
}
