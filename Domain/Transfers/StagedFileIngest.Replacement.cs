using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

/// <remarks>
/// <para>Replaces a corrupt copy: the new data are verified while the bad data still have their name; then the bad data are quarantined,
/// the new data are committed, and one transaction records it. The bad data stay in quarantine for days.</para>
/// <para>A crash between two steps leaves the following, and the next call continues from there: after the verification – nothing; after
/// "placing" was recorded – the same, verified again; after the bad copy was quarantined (a missing copy leaves nothing to quarantine) – no
/// data under the name, the verified data in staging, committed next; after the commit of the file – good data under the name, recognised
/// by size and checksum, recorded next; after the transaction – only an empty staging directory. If the staged data vanish while the bad
/// copy is in quarantine, the bad copy is restored: bad data are better than none.</para>
/// </remarks>
public sealed partial class StagedFileIngest
{
    private sealed record BadCopy(
        long CorruptId,
        long CopyId,
        long StoreId,
        string Path,
        string FileName,
        string Checksum,
        long Size,
        string? TreeDigest
    );

    private static async Task<Dictionary<long, BadCopy>> BadCopiesAsync(CatalogContext db, IReadOnlyList<long> transferIds)
    {
        var found = await db
            .CorruptFiles.Where(c => c.IncomingTransferId != null && transferIds.Contains(c.IncomingTransferId.Value))
            .Join(
                db.Copies,
                c => c.CopyId,
                i => i.Id,
                (c, i) =>
                    new
                    {
                        TransferId = c.IncomingTransferId!.Value,
                        Copy = new BadCopy(c.Id, i.Id, i.StoreId, i.Path, i.FileName, i.File!.Checksum, i.File.Size, i.File.TreeDigest),
                    }
            )
            .ToListAsync();
        return found.GroupBy(f => f.TransferId).ToDictionary(g => g.Key, g => g.First().Copy);
    }

    private async Task<IngestResult> ReplaceAsync(
        IncomingTransfer transfer,
        BadCopy bad,
        LocalStore store,
        Guid staging,
        FileName uploadName,
        ContentDescription expected,
        CancellationToken cancellationToken
    )
    {
        if (
            bad.StoreId != transfer.StoreId
            || bad.FileName != transfer.FileName
            || bad.Checksum != transfer.TransferChecksum
            || bad.Size != transfer.TransferSize
            || !FileName.TryParse(bad.Path, out var path, out _)
        )
            return await FailAsync(
                transfer,
                IngestOutcome.NameTaken,
                $"'{transfer.FileName}' is catalogued, and this is not a replacement of its bad copy.",
                transfer.Committing,
                cancellationToken
            );
        var quarantine = await store.IsQuarantinedAsync(staging, cancellationToken);
        if (quarantine == Presence.Unknown)
            return await AwayAsync(transfer);
        // A missing copy leaves nothing in quarantine. If this transfer is committing and its staged data are gone, they may be in the
        // store already; only the commit can tell.
        var left = transfer.Committing && !await store.IsStagedAsync(staging, uploadName, cancellationToken);
        DigestResult? verified = null;
        if (quarantine == Presence.Absent && !left)
        {
            (var unfit, verified) = await VerifyAsync(transfer, store, staging, uploadName, destination: null, expected, cancellationToken);
            if (unfit is not null)
                return unfit;
            if (bad.TreeDigest is not null && verified?.TreeDigest != bad.TreeDigest)
                return await FailAsync(
                    transfer,
                    IngestOutcome.Mismatch,
                    $"Members of '{transfer.FileName}' arrived under other names than they have in the catalog "
                        + $"({verified?.TreeDigest} instead of {bad.TreeDigest}). The bad copy is where it was.",
                    transfer.Committing,
                    cancellationToken
                );
            if (await ReserveReplacementAsync(transfer, cancellationToken) is { } refused)
                return refused;
            var moved = await store.QuarantineAsync(path, staging, cancellationToken);
            if (moved.Status == QuarantineStatus.IoError)
                return Result(transfer, IngestOutcome.TryLater, moved.Message);
        }

        var commit = FileCommitOf(transfer, staging, uploadName, path, expected) with { Verified = verified };
        var committed = await store.CommitFileAsync(commit, cancellationToken);
        return await EndReplacementAsync(transfer, bad, store, commit, committed, path, cancellationToken);
    }

    private async Task<IngestResult> EndReplacementAsync(
        IncomingTransfer transfer,
        BadCopy bad,
        LocalStore store,
        FileCommit commit,
        FileCommitResult committed,
        FileName path,
        CancellationToken cancellationToken
    )
    {
        switch (committed.Status)
        {
            case FileCommitStatus.Committed:
                return await RecordReplacementAsync(
                    transfer,
                    bad,
                    (await store.FingerprintAsync(path, cancellationToken)).Fingerprint,
                    cancellationToken
                );
            case FileCommitStatus.TargetExists:
                // Somebody has put data there since the bad copy was quarantined.
                var taken = await store.ExamineTakenAsync(commit, cancellationToken);
                if (taken.Status == TakenStatus.Identical)
                    return await RecordReplacementAsync(
                        transfer,
                        bad,
                        (await store.FingerprintAsync(path, cancellationToken)).Fingerprint,
                        cancellationToken
                    );
                return taken.Status == TakenStatus.Later
                    ? Result(transfer, IngestOutcome.TryLater, taken.Message)
                    : await FailAsync(
                        transfer,
                        IngestOutcome.NameTaken,
                        $"{taken.Message} The bad copy stays in quarantine.",
                        committing: true,
                        cancellationToken
                    );
            case FileCommitStatus.NoSpace or FileCommitStatus.IoError:
                return await WaitAsync(transfer, committed);
            default:
                var back = await store.RestoreFromQuarantineAsync(path, commit.StagingName, cancellationToken);
                return back.Status == QuarantineStatus.IoError
                    ? Result(transfer, IngestOutcome.TryLater, back.Message)
                    : await FailAsync(
                        transfer,
                        committed.Status == FileCommitStatus.StagedMissing ? IngestOutcome.Missing : IngestOutcome.Mismatch,
                        $"{committed.Message} The bad copy is where it was.",
                        committing: true,
                        cancellationToken
                    );
        }
    }

    private async Task<IngestResult?> ReserveReplacementAsync(IncomingTransfer transfer, CancellationToken cancellationToken)
    {
        try
        {
            await using var db = _database.Open();
            var reserved = await db
                .IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Committing, true), cancellationToken);
            return reserved == 0 ? await CurrentAsync(db, transfer, cancellationToken) : null;
        }
        catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return await FailAsync(
                transfer,
                IngestOutcome.NameTaken,
                $"Another transfer is replacing '{transfer.FileName}' at this moment.",
                committing: false,
                cancellationToken
            );
        }
    }

    private async Task<IngestResult> RecordReplacementAsync(
        IncomingTransfer transfer,
        BadCopy bad,
        string? fingerprint,
        CancellationToken cancellationToken
    )
    {
        var now = _time.GetUtcNow().UtcDateTime;
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            var completed = await db
                .IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged && t.Committing)
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(t => t.Status, TransferStatus.Completed)
                            .SetProperty(t => t.Committing, false)
                            .SetProperty(t => t.FlushBegun, false)
                            .SetProperty(t => t.EndTime, now)
                            .SetProperty(t => t.CallbackTries, CallbackDue(transfer)),
                    cancellationToken
                );
            if (completed == 0)
                return await CurrentAsync(db, transfer, cancellationToken);
            await RecordCopyAsync(db, bad, fingerprint, now, cancellationToken);
            await db.CorruptFiles.Where(c => c.Id == bad.CorruptId).ExecuteDeleteAsync(cancellationToken);
            await transaction.CommitAsync(cancellationToken);
        }

        Logs.Replaced(_log, bad.FileName, _stores.Locate(bad.StoreId, bad.Path), transfer.Id);
        await _errors.SettleAsync($"copy {bad.CopyId}", cancellationToken);
        await _errors.SettleAsync($"repair {bad.CopyId}", cancellationToken);
        return await DoneAsync(transfer, cancellationToken);
    }

    private static async Task RecordCopyAsync(
        CatalogContext db,
        BadCopy bad,
        string? fingerprint,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        // Checksums calculated from the bad copy do not apply to this one.
        var known = await db
            .Copies.Where(i => i.Id == bad.CopyId)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(i => i.Available, true)
                        .SetProperty(i => i.Fingerprint, fingerprint)
                        .SetProperty(i => i.VerifiedTime, now)
                        .SetProperty(i => i.CalculatedChecksum, (string?)null)
                        .SetProperty(i => i.CalculatedSize, (long?)null)
                        .SetProperty(i => i.ChecksumTime, (DateTime?)null),
                cancellationToken
            );
        if (known == 0)
        {
            db.Copies.Add(
                new FileCopy
                {
                    Path = bad.Path,
                    FileName = bad.FileName,
                    StoreId = bad.StoreId,
                    DeletionPolicy = DeletionPolicy.Disallowed,
                    CreatedTime = now,
                    Available = true,
                    Fingerprint = fingerprint,
                    VerifiedTime = now,
                }
            );
            await db.SaveChangesAsync(cancellationToken);
        }
    }
}
