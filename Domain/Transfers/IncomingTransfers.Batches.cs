using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

public sealed partial class IncomingTransfers
{
    /// <summary>
    /// Accepts or refuses a peer's batch, everything that this site can ever accept or nothing (docs/spec/wire.md#clone-batch-stage), in
    /// one transaction and a fixed number of queries. As upstream does, an item whose earlier attempt is INITIATED or STAGED makes that
    /// attempt fail even when the batch is refused.
    /// </summary>
    public Task<StageResult> StageBatchAsync(
        IReadOnlyList<DeclaredTransfer> declared,
        long totalSize,
        string source,
        Caller caller,
        CancellationToken cancellationToken
    ) => StageBatchAsync(declared, totalSize, source, caller, ongoingFirst: true, cancellationToken);

    private async Task<StageResult> StageBatchAsync(
        IReadOnlyList<DeclaredTransfer> declared,
        long totalSize,
        string source,
        Caller caller,
        bool ongoingFirst,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(declared);
        ArgumentNullException.ThrowIfNull(caller);
        if (UnacceptableBatch(declared, totalSize, source, caller) is { } unacceptable)
            return unacceptable;
        // Files that can never be accepted do not block the others: they get no staging slot, and the answer says why.
        List<(long SourceTransferId, string Reason)> unfit = [];
        List<IncomingFile> incoming = new(declared.Count);
        foreach (var one in declared)
        {
            if (one.TryParse(out var file, out var problem))
                incoming.Add(file);
            else
                unfit.Add((one.SourceTransferId ?? -1, problem));
        }

        if (incoming.Count == 0 && unfit.Count > 0)
            return Refuse(StageRefusal.InvalidPath, unfit[0].Reason, [.. unfit.Select(u => u.SourceTransferId)]);
        var repeated = incoming.GroupBy(a => a.Destination).Where(g => g.Count() > 1).SelectMany(g => g.Skip(1)).ToList();
        if (repeated.Count > 0)
            return Refuse(StageRefusal.InvalidPath, $"'{repeated[0].Destination}' is in the batch twice.", Ids(repeated));

        return await StageAndAskCopiesAsync(incoming, unfit, totalSize, source, caller, ongoingFirst, cancellationToken);
    }

    private async Task<StageResult> StageFitAsync(
        IReadOnlyList<IncomingFile> incoming,
        List<(long SourceTransferId, string Reason)> unfit,
        long totalSize,
        string source,
        Caller caller,
        bool ongoingFirst,
        CancellationToken cancellationToken
    )
    {
        var probes = await _stores.ProbeAsync(cancellationToken);
        List<(long? StoreId, string? Staging)> abandoned;
        StageResult result;
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            var total = Math.Max(totalSize, SumOf(incoming));
            var chosen = await _stores.ChooseAsync(db, total, probes, cancellationToken);
            if (chosen is null)
            {
                await transaction.DisposeAsync();
                return await NoStoreAsync(totalSize, cancellationToken);
            }

            // The stores' rows are locked by now, so two requests of an account cannot reserve the same space; without a commit nothing
            // remains.
            if (!caller.IsAdmin && await OverdrawnAsync(db, source, total, cancellationToken) is { } overdrawn)
                return Refuse(StageRefusal.ReservedTooMuch, overdrawn, []);

            var names = incoming.Select(a => a.Destination.Value).ToList();
            var existing = await CataloguedAsync(db, names, cancellationToken);
            var (ongoing, restaged) = await UnderWayAsync(db, incoming, names, source, caller, cancellationToken);
            var (repairs, home) = await RepairsAsync(db, incoming, existing, chosen.Value.Store.Id, probes, cancellationToken);
            existing.ExceptWith(repairs.Keys);
            if (home is not null)
                chosen = home;
            var restagedIds = restaged.ConvertAll(r => r.TransferId);
            abandoned = await AbandonAsync(
                db,
                db.IncomingTransfers.Where(t => restagedIds.Contains(t.Id)),
                "The source staged the same file again.",
                cancellationToken
            );
            result = RefusalOf(incoming, existing, ongoing, restaged, ongoingFirst)
                ?? (StageResult)(
                    await AcceptBatchAsync(db, incoming, (caller, source), chosen.Value, repairs, cancellationToken) with
                    {
                        Unfit = unfit,
                    }
                );
            await transaction.CommitAsync(cancellationToken);
        }

        await RemoveStagingAsync(abandoned, cancellationToken);
        if (unfit.Count > 0)
            Logs.Unfit(_log, unfit.Count, source, unfit[0].Reason);
        return await MakeDirectoriesAsync(result, cancellationToken);
    }

    /// <summary>
    /// Accepts or refuses one file that its sender copies while it waits (docs/spec/wire.md#clone-stage): as a batch of one, but "exists"
    /// takes precedence over "ongoing".
    /// </summary>
    public Task<StageResult> StageCloneAsync(DeclaredTransfer declared, string source, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(declared);
        return StageBatchAsync([declared], declared.Size, source, caller, ongoingFirst: false, cancellationToken);
    }

    private Task<string?> OverdrawnAsync(CatalogContext db, string account, long bytes, CancellationToken cancellationToken) =>
        AccountReservations.RefusalAsync(db, [(account, bytes)], _options.Value.ReservedBytesPerAccount, cancellationToken);

    private static long SumOf(IReadOnlyList<IncomingFile> incoming) =>
        incoming.Aggregate(0L, (sum, a) => sum > long.MaxValue - a.Size ? long.MaxValue : sum + a.Size);

    private static async Task<HashSet<string>> CataloguedAsync(
        CatalogContext db,
        IReadOnlyCollection<string> names,
        CancellationToken cancellationToken
    ) =>
        (await db.Files.Where(f => names.Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken)).ToHashSet(
            StringComparer.Ordinal
        );

    private static StageResult.Refused? UnacceptableBatch(
        IReadOnlyList<DeclaredTransfer> declared,
        long totalSize,
        string source,
        Caller caller
    )
    {
        if (totalSize < 0 || declared.Any(a => a.Size < 0))
            return Refuse(StageRefusal.NegativeSize, "A declared size is negative.", []);
        if (!caller.IsAdmin && source != caller.Username)
            return Refuse(
                StageRefusal.InvalidPath,
                $"source '{source}' is not the account '{caller.Username}': "
                    + "a site's account bears its name, and callbacks go to the source.",
                []
            );
        if (DeclaredTransfer.Problem("source", source) is { } badSource)
            return Refuse(StageRefusal.InvalidPath, badSource, []);
        return null;
    }

    /// <summary>Unfinished transfers of the same files: those that go on, and the source's own earlier attempts.</summary>
    private static async Task<(List<UnderWay> Ongoing, List<UnderWay> Restaged)> UnderWayAsync(
        CatalogContext db,
        IReadOnlyList<IncomingFile> incoming,
        List<string> names,
        string source,
        Caller caller,
        CancellationToken cancellationToken
    )
    {
        var under = await db
            .IncomingTransfers.AsNoTracking()
            .Where(t => names.Contains(t.FileName!) && Unfinished.Contains(t.Status))
            .Select(t => new
            {
                t.Id,
                Name = t.FileName!,
                t.TransferChecksum,
                t.Status,
                t.Committing,
                Mine = t.Uploader == caller.Username && t.Source == source && t.SourceTransferId != null,
            })
            .ToListAsync(cancellationToken);
        var same = under.Join(
            incoming,
            t => (t.Name, t.TransferChecksum),
            a => (a.Destination.Value, a.Checksum),
            (t, a) => (Transfer: t, Incoming: a)
        );
        // Another caller's transfer is never abandoned for this caller (upstream weakness W04): it counts as under way.
        var goesOn = same.ToLookup(
            s => s.Transfer.Status == TransferStatus.Ongoing || s.Transfer.Committing || !s.Transfer.Mine,
            s => new UnderWay(s.Transfer.Id, s.Transfer.Name, s.Incoming)
        );
        return ([.. goesOn[true]], [.. goesOn[false]]);
    }

    /// <summary>In the precedence of docs/spec/wire.md#clone-stage-refusals: ongoing, then exists, then duplicate.</summary>
    private static StageResult.Refused? RefusalOf(
        IReadOnlyList<IncomingFile> incoming,
        HashSet<string> existing,
        List<UnderWay> ongoing,
        List<UnderWay> restaged,
        bool ongoingFirst
    )
    {
        if (ongoing.Count > 0 && (ongoingFirst || existing.Count == 0))
            return Refuse(
                StageRefusal.Ongoing,
                $"'{ongoing[0].Name}' is arriving already.",
                Ids(ongoing.Select(o => o.Incoming)),
                ongoing[0].TransferId
            );
        if (existing.Count > 0)
        {
            var there = incoming.Where(a => existing.Contains(a.Destination.Value)).ToList();
            return Refuse(StageRefusal.FileExists, $"'{there[0].Destination.Value}' is catalogued here.", Ids(there));
        }

        return restaged.Count == 0
            ? null
            : Refuse(
                StageRefusal.Duplicate,
                $"An earlier attempt at '{restaged[0].Name}' was abandoned; ask again.",
                Ids(restaged.Select(r => r.Incoming)),
                restaged[0].TransferId
            );
    }

    /// <summary>Makes the rows of a batch, and assigns the corrupt copies to those that replace them.</summary>
    private async Task<StageResult.Accepted> AcceptBatchAsync(
        CatalogContext db,
        IReadOnlyList<IncomingFile> incoming,
        (Caller Caller, string Source) sender,
        (SiteStore Store, long FreeBytes) chosen,
        Dictionary<string, long> repairs,
        CancellationToken cancellationToken
    )
    {
        await DropReusedAsync(db, incoming, sender.Source, cancellationToken);
        var rows = await InsertAsync(
            db,
            [.. incoming.Select(a => NewTransfer(a, sender.Caller.Username, sender.Source, chosen.Store.Id))],
            cancellationToken
        );
        if (repairs.Count > 0)
        {
            List<long> corrupt = [.. repairs.Values],
                ids = [.. rows.Select(r => r.Id)];
            await db
                .CorruptFiles.Where(c => corrupt.Contains(c.Id))
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(
                            c => c.IncomingTransferId,
                            c =>
                                db.IncomingTransfers.Where(t => ids.Contains(t.Id) && t.FileName == c.FileName)
                                    .Select(t => (long?)t.Id)
                                    .FirstOrDefault()
                        ),
                    cancellationToken
                );
        }

        return new StageResult.Accepted(
            chosen.Store,
            chosen.FreeBytes,
            [.. rows.Zip(incoming, (row, file) => SlotOf(row, file, chosen.Store))]
        );
    }

    /// <summary>
    /// Drops callbacks that are due under ids that a source uses again. A Python source that does so was restored from a backup, and the
    /// callbacks would complete the new transfers; the source finds out when it offers the old files again (409). Sites with this software
    /// compare more than ids.
    /// </summary>
    private static Task DropReusedAsync(
        CatalogContext db,
        IReadOnlyList<IncomingFile> incoming,
        string source,
        CancellationToken cancellationToken
    )
    {
        List<long> numbers = [.. incoming.Select(a => a.SourceTransferId).OfType<long>()];
        return db
            .IncomingTransfers.Where(t =>
                t.Source == source
                && t.CallbackTries != null
                && numbers.Contains(t.SourceTransferId!.Value)
                && !db.Peers.Any(l => l.Name == source && l.CatalogId != null)
            )
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.CallbackTries, (int?)null), cancellationToken);
    }

    /// <summary>
    /// Finds files that exist and are accepted nevertheless: a replacement of their corrupt copy was requested, and checksum and size
    /// match. If a whole batch consists of such files and their corrupt copies are on one store, the batch goes there; any other batch only
    /// takes those whose store is the batch's.
    /// </summary>
    /// <returns>Names with their entries in the list of corrupt copies, and the store to use instead of the chosen one.</returns>
    private async Task<(Dictionary<string, long> Repairs, (SiteStore Store, long FreeBytes)? Home)> RepairsAsync(
        CatalogContext db,
        IReadOnlyList<IncomingFile> incoming,
        HashSet<string> existing,
        long chosen,
        IReadOnlyDictionary<long, StoreProbe> probes,
        CancellationToken cancellationToken
    )
    {
        if (existing.Count == 0)
            return ([], null);
        var names = existing.ToList();
        var wanted = await db
            .CorruptFiles.Where(c =>
                c.ReplacementRequested
                && names.Contains(c.FileName)
                && !db.IncomingTransfers.Any(t =>
                    t.Id == c.IncomingTransferId && Unfinished.Contains(t.Status) && (t.Committing || t.Status == TransferStatus.Ongoing)
                )
            )
            .Join(
                db.Copies,
                c => c.CopyId,
                i => i.Id,
                (c, i) =>
                    new
                    {
                        c.Id,
                        c.FileName,
                        i.File!.Checksum,
                        i.File.Size,
                        i.StoreId,
                        i.Store!.Enabled,
                    }
            )
            .ToListAsync(cancellationToken);
        var repairs = wanted
            .Where(w => w.Enabled)
            .GroupBy(w => w.FileName, StringComparer.Ordinal)
            .Select(g => g.First())
            .Join(incoming, w => (w.FileName, w.Checksum, w.Size), a => (a.Destination.Value, a.Checksum, a.Size), (w, a) => w)
            .ToList();
        if (
            repairs.Count == incoming.Count
            && repairs is [{ StoreId: var store }, ..]
            && store != chosen
            && repairs.TrueForAll(r => r.StoreId == store)
            && _stores.Configured.FirstOrDefault(s => s.Id == store) is { } home
            && probes.GetValueOrDefault(home.Id) is { IsMounted: true } probe
            && probe.FreeBytes > repairs.Sum(r => r.Size)
        )
            return (repairs.ToDictionary(r => r.FileName, r => r.Id, StringComparer.Ordinal), (home, probe.FreeBytes));
        return (repairs.Where(r => r.StoreId == chosen).ToDictionary(r => r.FileName, r => r.Id, StringComparer.Ordinal), null);
    }

    /// <summary>An unfinished transfer of a file that is offered.</summary>
    private sealed record UnderWay(long TransferId, string Name, IncomingFile Incoming);
}
