using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

/// <remarks>
/// <para>Replacing a corrupt copy: the new data are verified while the bad ones still lie under their name; then the bad ones are set aside,
/// the new ones take their place, and one transaction records it. The bad ones stay aside for days.</para>
/// <para>What a crash between two steps leaves, and what the next call does: after the verification – nothing; after "placing" was recorded –
/// the same, verified again; after the bad copy was set aside – no data under the name, the verified ones in staging, placed next; after
/// the placement – good data under the name, recognised by size and checksum, recorded next; after the transaction – only an empty staging
/// directory. If the staged data vanish while the bad copy is aside, it is brought back: bad data are better than none.</para>
/// </remarks>
public sealed partial class Ingest
{
    private sealed record BadCopy(long CorruptId, long InstanceId, long StoreId, string Path, string FileName, string Checksum, long Size);

    private static async Task<Dictionary<long, BadCopy>> BadCopiesAsync(CatalogContext db, IReadOnlyList<long> transferIds)
    {
        var found = await db.CorruptFiles.Where(c => c.IncomingTransferId != null && transferIds.Contains(c.IncomingTransferId.Value))
            .Join(db.Instances, c => c.InstanceId, i => i.Id, (c, i) => new { TransferId = c.IncomingTransferId!.Value, Copy = new BadCopy(c.Id, i.Id, i.StoreId, i.Path, i.FileName, i.File!.Checksum, i.File.Size) })
            .ToListAsync();
        return found.GroupBy(f => f.TransferId).ToDictionary(g => g.Key, g => g.First().Copy);
    }

    private async Task<IngestResult> ReplaceAsync(IncomingTransfer transfer, BadCopy bad, LocalStore store, Guid staging, StorePath uploadName, ContentDescription expected, CancellationToken cancellationToken)
    {
        var root = store.Options.StorePath.TrimEnd('/') + "/";
        if (bad.StoreId != transfer.StoreId || bad.FileName != transfer.StorePath || bad.Checksum != transfer.TransferChecksum || bad.Size != transfer.TransferSize
            || !bad.Path.StartsWith(root, StringComparison.Ordinal) || !StorePath.TryParse(bad.Path[root.Length..], out var path, out _))
            return await FailAsync(transfer, IngestOutcome.NameTaken, $"'{transfer.StorePath}' is catalogued, and this is not a replacement of its bad copy.", transfer.Placing, cancellationToken);
        if (!await store.IsAsideAsync(staging, cancellationToken))
        {
            if (await VerifyAsync(transfer, store, staging, uploadName, destination: null, expected, cancellationToken) is { } unfit) return unfit;
            if (await ReserveReplacementAsync(transfer, cancellationToken) is { } refused) return refused;
            var aside = await store.SetAsideAsync(path, staging, cancellationToken);
            if (aside.Status == AsideStatus.IoError) return Result(transfer, IngestOutcome.TryLater, aside.Message);
        }

        var placed = await store.PlaceAsync(PlacementOf(transfer, staging, uploadName, path, expected), cancellationToken);
        switch (placed.Status)
        {
            case PlaceStatus.Placed:
                return await RecordReplacementAsync(transfer, bad, cancellationToken);
            case PlaceStatus.NoSpace or PlaceStatus.IoError:
                return Result(transfer, IngestOutcome.TryLater, placed.Message);
            default:
                var back = await store.BringBackAsync(path, staging, cancellationToken);
                return back.Status == AsideStatus.IoError
                    ? Result(transfer, IngestOutcome.TryLater, back.Message)
                    : await FailAsync(transfer, placed.Status == PlaceStatus.StagedMissing ? IngestOutcome.Missing : IngestOutcome.Mismatch, $"{placed.Message} The bad copy is where it was.", placing: true, cancellationToken);
        }
    }

    private async Task<IngestResult?> ReserveReplacementAsync(IncomingTransfer transfer, CancellationToken cancellationToken)
    {
        try
        {
            await using var db = _database.Open();
            var reserved = await db.IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Placing, true), cancellationToken);
            return reserved == 0 ? await CurrentAsync(db, transfer, cancellationToken) : null;
        }
        catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return await FailAsync(transfer, IngestOutcome.NameTaken, $"Another transfer is replacing '{transfer.StorePath}' at this moment.", placing: false, cancellationToken);
        }
    }

    private async Task<IngestResult> RecordReplacementAsync(IncomingTransfer transfer, BadCopy bad, CancellationToken cancellationToken)
    {
        var now = _time.GetUtcNow().UtcDateTime;
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            var completed = await db.IncomingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Staged && t.Placing)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Completed).SetProperty(t => t.Placing, false)
                    .SetProperty(t => t.EndTime, now).SetProperty(t => t.CallbackTries, CallbackDue(transfer)), cancellationToken);
            if (completed == 0) return await CurrentAsync(db, transfer, cancellationToken);
            // What was calculated from the bad copy says nothing about this one.
            var known = await db.Instances.Where(i => i.Id == bad.InstanceId).ExecuteUpdateAsync(s => s.SetProperty(i => i.Available, true)
                .SetProperty(i => i.CalculatedChecksum, (string?)null).SetProperty(i => i.CalculatedSize, (long?)null).SetProperty(i => i.ChecksumTime, (DateTime?)null), cancellationToken);
            if (known == 0)
            {
                db.Instances.Add(new Instance { Path = bad.Path, FileName = bad.FileName, StoreId = bad.StoreId, DeletionPolicy = DeletionPolicy.Disallowed, CreatedTime = now, Available = true });
                await db.SaveChangesAsync(cancellationToken);
            }

            await db.CorruptFiles.Where(c => c.Id == bad.CorruptId).ExecuteDeleteAsync(cancellationToken);
            await transaction.CommitAsync(cancellationToken);
        }

        Logs.Replaced(_log, bad.FileName, bad.Path, transfer.Id);
        return await DoneAsync(transfer, cancellationToken);
    }
}
