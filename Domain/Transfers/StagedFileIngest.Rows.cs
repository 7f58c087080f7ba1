using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

public sealed partial class StagedFileIngest
{
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
        return await EndReservationAsync(transfer, reservation, cancellationToken);
    }

    private async Task<IngestResult?> EndReservationAsync(
        IncomingTransfer transfer,
        Reservation reservation,
        CancellationToken cancellationToken
    )
    {
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
        // In one group each would see the other, and neither would be stored.
        if (Entangled(group) is { Count: > 0 } entangled)
            return await ReserveApartAsync(group, entangled);
        var names = group.Select(t => t.FileName!).ToHashSet(StringComparer.Ordinal);
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
            return await GroupCommit.InHalvesAsync(group, ReserveAsync);
        }
    }

    /// <summary>Transfers of a group whose name another of them has, too, or which contains, or lies in, the name of another.</summary>
    private static HashSet<long> Entangled(IReadOnlyList<IncomingTransfer> group)
    {
        var byName = group.ToLookup(t => t.FileName!, StringComparer.Ordinal);
        var entangled = byName.Where(g => g.Skip(1).Any()).SelectMany(g => g.Select(t => t.Id)).ToHashSet();
        foreach (var transfer in group)
        {
            foreach (var above in NestedNames.Ancestors(transfer.FileName!).Where(byName.Contains))
                entangled.UnionWith(byName[above].Append(transfer).Select(t => t.Id));
        }

        return entangled;
    }

    /// <summary>Reserves the names of a group together, and those of the entangled one by one.</summary>
    private async Task<IReadOnlyList<Reservation>> ReserveApartAsync(IReadOnlyList<IncomingTransfer> group, HashSet<long> entangled)
    {
        List<IncomingTransfer> apart = [.. group.Where(t => !entangled.Contains(t.Id))];
        List<IncomingTransfer> rest = [.. group.Where(t => entangled.Contains(t.Id))];
        var results = apart.Zip(apart.Count == 0 ? [] : await ReserveAsync(apart)).ToDictionary(r => r.First.Id, r => r.Second);
        foreach (var (transfer, result) in rest.Zip(await GroupCommit.OneByOneAsync(rest, ReserveAsync)))
            results[transfer.Id] = result;
        return [.. group.Select(t => results[t.Id])];
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
        var record = await _records.RunAsync(
            new Verified(transfer, path.Value, policy, seen.Fingerprint, names ?? transfer.TreeDigest),
            cancellationToken
        );
        return await EndRecordAsync(transfer, record, cancellationToken);
    }

    private async Task<IngestResult> EndRecordAsync(IncomingTransfer transfer, RecordOutcome record, CancellationToken cancellationToken)
    {
        switch (record)
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
    /// Completes transfers and catalogues their files in one transaction; if the database refuses one of a group, its halves are recorded
    /// by themselves.
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

        return group.Count == 1 ? [RecordOutcome.NotCommitting] : await GroupCommit.InHalvesAsync(group, RecordAsync);
    }

    private async Task<IngestResult> DoneAsync(IncomingTransfer transfer, CancellationToken cancellationToken)
    {
        await _incoming.RemoveStagingAsync([(transfer.StoreId, transfer.StagingPath)], cancellationToken);
        return Stored(transfer);
    }

    private static IngestResult Stored(IncomingTransfer transfer) =>
        Result(transfer, IngestOutcome.Ingested, $"'{transfer.FileName}' is stored and verified.");

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
                + "Nothing of this transfer was stored. The sender still has it and is notified.",
            cancellationToken
        );
        await _incoming.RemoveStagingAsync([(transfer.StoreId, transfer.StagingPath)], cancellationToken);
        return Result(transfer, outcome, message);
    }

    /// <summary>A clone's source has to be notified in any case; an upload's client waits for the answer itself.</summary>
    private static int? CallbackDue(IncomingTransfer transfer) => transfer.SourceTransferId is null ? null : 0;

    /// <summary>A transfer, and the corrupt copy that it replaces.</summary>
    private sealed record Found(IncomingTransfer? Transfer, BadCopy? Replaces);

    private sealed record Reservation(ReservationStatus Status, string Message = "", bool Committing = false);
}
