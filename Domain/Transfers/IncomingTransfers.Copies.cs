using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

/// <remarks>
/// A catalogued name is refused as existing only after its copies were probed, because a sender deletes its own copy when it learns that
/// the file is here. If every copy is missing or corrupt, the file is accepted as a replacement; if that cannot be determined, it is
/// refused in a way that no sender takes for success. The probes run outside every transaction, and after the group in which uploads are
/// accepted.
/// </remarks>
public sealed partial class IncomingTransfers
{
    /// <summary>How long an upload waits while a copy is read. The read of a larger copy continues, and the uploader asks again.</summary>
    private static readonly TimeSpan UploadReadWait = TimeSpan.FromSeconds(30);

    /// <summary>The same for a batch, whose other files wait meanwhile.</summary>
    private static readonly TimeSpan BatchReadWait = TimeSpan.FromSeconds(10);

    private async Task<StageResult> AskCopiesAsync(
        IncomingFile incoming,
        string uploader,
        Caller caller,
        StageResult.Refused taken,
        IReadOnlyDictionary<long, StoreProbe> probes,
        CancellationToken cancellationToken
    )
    {
        var found = await _probe.ProbeAsync([Declared(incoming)], UploadReadWait, cancellationToken);
        // The file was forgotten meanwhile: the uploader asks again.
        if (!found.TryGetValue(incoming.Destination.Value, out var finding))
            return taken;
        return finding.Presence switch
        {
            FilePresence.Intact => taken with
            {
                Verified = [new VerifiedCopy(-1, finding.StoreId!.Value, finding.VerifiedTime ?? default)],
            },
            FilePresence.Lost => await StageReplacementAsync(incoming, uploader, caller.Username, finding, probes, cancellationToken),
            FilePresence.Unknown => Refuse(StageRefusal.CopyUnknown, finding.Message, []),
            FilePresence.Reading => Refuse(StageRefusal.CopyBeingRead, finding.Message, []),
            _ => taken with { Detail = finding.Message },
        };
    }

    /// <summary>
    /// Accepts an upload in place of a missing or corrupt copy, on the store of that copy. A crash before the commit leaves nothing. A
    /// crash after it leaves the same as for any upload: a row whose sender got no answer, which the review of stale transfers abandons,
    /// and a copy that still waits for a replacement.
    /// </summary>
    private async Task<StageResult> StageReplacementAsync(
        IncomingFile incoming,
        string uploader,
        string source,
        FileFinding finding,
        IReadOnlyDictionary<long, StoreProbe> probes,
        CancellationToken cancellationToken
    )
    {
        List<(long? StoreId, string? Staging)> abandoned;
        StageResult.Accepted accepted;
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            var lost = await LostCopiesAsync(db, finding, cancellationToken);
            if (lost.Count == 0 || lost.Exists(l => l.Busy))
                return Refuse(StageRefusal.CopyBeingRead, $"{finding.Message} A replacement is being stored at this moment.", []);
            var home = lost.Select(l =>
                    (
                        l.Id,
                        l.Name,
                        l.Enabled,
                        Store: _stores.Configured.FirstOrDefault(s => s.Id == l.StoreId),
                        Probe: probes.GetValueOrDefault(l.StoreId)
                    )
                )
                .ToList();
            if (home.Find(h => h.Enabled && h.Store is not null && h.Probe.IsMounted) is not { Store: { } store, Probe: var probe } usable)
                return Refuse(
                    StageRefusal.CopyUnknown,
                    $"{finding.Message} Its store '{lost[0].Name}' is switched off or away, so it cannot be replaced now.",
                    []
                );
            if (probe.FreeBytes <= incoming.Size)
            {
                await transaction.DisposeAsync();
                return await RefuseFullAsync(incoming.Size, []);
            }

            (accepted, abandoned) = await AcceptReplacementAsync(
                db,
                incoming,
                (uploader, source),
                usable.Id,
                (store, probe),
                cancellationToken
            );
            await transaction.CommitAsync(cancellationToken);
        }

        return await FinishAsync(accepted, abandoned);
    }

    private static Task<List<LostCopy>> LostCopiesAsync(CatalogContext db, FileFinding finding, CancellationToken cancellationToken) =>
        db
            .CorruptFiles.Where(c => finding.LostCopies!.Contains(c.CopyId))
            .OrderBy(c => c.CopyId)
            .Join(
                db.Copies,
                c => c.CopyId,
                i => i.Id,
                (c, i) =>
                    new LostCopy(
                        c.Id,
                        i.StoreId,
                        i.Store!.Enabled,
                        i.Store.Name,
                        // A replacement from another sender that is complete, or under way, may finish.
                        db.IncomingTransfers.Any(t =>
                            t.Id == c.IncomingTransferId
                            && Unfinished.Contains(t.Status)
                            && (t.Committing || t.Status != TransferStatus.Initiated)
                        )
                    )
            )
            .ToListAsync(cancellationToken);

    private async Task<(StageResult.Accepted Accepted, List<(long? StoreId, string? Staging)> Abandoned)> AcceptReplacementAsync(
        CatalogContext db,
        IncomingFile incoming,
        (string Uploader, string Source) sender,
        long corruptId,
        (SiteStore Store, StoreProbe Probe) home,
        CancellationToken cancellationToken
    )
    {
        var (uploader, source) = sender;
        var (store, probe) = home;
        var name = incoming.Destination.Value;
        var abandoned = await AbandonAsync(
            db,
            db.IncomingTransfers.Where(t => t.FileName == name && t.Source == source && t.SourceTransferId == null),
            "Replaced by a new upload of the same file.",
            cancellationToken
        );
        var row = (await InsertAsync(db, [NewTransfer(incoming, uploader, source, store.Id)], cancellationToken))[0];
        await db
            .CorruptFiles.Where(c => c.Id == corruptId)
            .ExecuteUpdateAsync(
                s => s.SetProperty(c => c.ReplacementRequested, true).SetProperty(c => c.IncomingTransferId, row.Id),
                cancellationToken
            );
        return (new StageResult.Accepted(store, probe.FreeBytes, [SlotOf(row, incoming, store)]), abandoned);
    }

    private async Task<StageResult> StageAndAskCopiesAsync(
        IReadOnlyList<IncomingFile> incoming,
        List<(long SourceTransferId, string Reason)> unfit,
        long totalSize,
        string source,
        Caller caller,
        bool ongoingFirst,
        CancellationToken cancellationToken
    )
    {
        var result = await StageFitAsync(incoming, unfit, totalSize, source, caller, ongoingFirst, cancellationToken);
        if (result is not StageResult.Refused { Why: StageRefusal.FileExists } taken)
            return result;
        var named = taken.SourceTransferIds.ToHashSet();
        var there = incoming.Where(a => named.Contains(a.SourceTransferId ?? -1)).ToList();
        var found = await _probe.ProbeAsync(there.ConvertAll(Declared), BatchReadWait, cancellationToken);
        var judged = there
            .Where(a => found.ContainsKey(a.Destination.Value))
            .Select(a => (Incoming: a, Finding: found[a.Destination.Value]))
            .ToList();
        await RequestReplacementsAsync(
            [.. judged.Where(j => j.Finding.Presence == FilePresence.Lost).SelectMany(j => j.Finding.LostCopies!)],
            cancellationToken
        );

        // These come first: a sender that only understands "exists" must not take these files for existing.
        var unsure = judged.FindAll(j => j.Finding.Presence is FilePresence.Unknown or FilePresence.Reading);
        if (unsure.Count > 0)
        {
            return Refuse(
                unsure.Exists(u => u.Finding.Presence == FilePresence.Unknown) ? StageRefusal.CopyUnknown : StageRefusal.CopyBeingRead,
                $"'{unsure[0].Incoming.Destination.Value}': {unsure[0].Finding.Message}",
                Ids(unsure.Select(u => u.Incoming))
            );
        }

        var firm = judged.FindAll(j => j.Finding.Presence != FilePresence.Lost);
        if (firm.Count > 0)
            return Existing(firm);
        // All are accepted now. If the second attempt is refused too, their store is not that of the rest of the batch, or is full.
        var again = await StageFitAsync(incoming, unfit, totalSize, source, caller, ongoingFirst, cancellationToken);
        return again is StageResult.Refused { Why: StageRefusal.FileExists } still
            ? Refuse(
                StageRefusal.CopyUnknown,
                "The copies here are missing or damaged and are replaced on the store where they lay, "
                    + "which cannot take this batch. Send these files by themselves.",
                still.SourceTransferIds
            )
            : again;
    }

    private static StageResult.Refused Existing(List<(IncomingFile Incoming, FileFinding Finding)> firm) =>
        Refuse(
            StageRefusal.FileExists,
            firm[0].Finding is { Presence: not FilePresence.Intact } other
                ? $"'{firm[0].Incoming.Destination.Value}': {other.Message}"
                : $"'{firm[0].Incoming.Destination.Value}' is catalogued here.",
            Ids(firm.Select(f => f.Incoming))
        ) with
        {
            Verified =
            [
                .. firm.Where(f => f.Finding.Presence == FilePresence.Intact)
                    .Select(f => new VerifiedCopy(
                        f.Incoming.SourceTransferId ?? -1,
                        f.Finding.StoreId!.Value,
                        f.Finding.VerifiedTime ?? default
                    )),
            ],
        };

    private async Task RequestReplacementsAsync(List<long> copies, CancellationToken cancellationToken)
    {
        if (copies.Count == 0)
            return;
        await using var db = _database.Open();
        await db
            .CorruptFiles.Where(c => copies.Contains(c.CopyId))
            .ExecuteUpdateAsync(s => s.SetProperty(c => c.ReplacementRequested, true), cancellationToken);
    }

    private static DeclaredFile Declared(IncomingFile incoming) =>
        new(incoming.Destination.Value, incoming.Size, incoming.Checksum, incoming.TreeDigest);

    private sealed record LostCopy(long Id, long StoreId, bool Enabled, string Name, bool Busy);
}
