using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>
/// Reserves the names of a round: rows of incoming transfers with <c>placing</c> set, which keep other transfers from storing the same
/// files.
/// </summary>
public sealed class IngestReservations(SiteStores stores, ErrorLog errors, TimeProvider time)
{
    /// <summary>The owner of a drive's reservations.</summary>
    internal static string ManagerOf(IncomingDrive incoming) => $"drive:{incoming.Id}";

    /// <summary>
    /// Takes over reservations of an interrupted round for names that are now decided without a copy, so that they end with the decision.
    /// </summary>
    internal async Task TakeUpDecidedAsync(CatalogContext db, IncomingDrive incoming, IngestWork work, CancellationToken cancellationToken)
    {
        if (work.Decisions.Count == 0)
            return;
        var (manager, names) = (ManagerOf(incoming), work.Decisions.ConvertAll(d => d.Entry.File.Name));
        foreach (
            var transfer in await db
                .IncomingTransfers.AsNoTracking()
                .Where(t => t.Committing && t.TransferManagerName == manager && names.Contains(t.FileName!))
                .ToListAsync(cancellationToken)
        )
        {
            work.Reservations[transfer.FileName!] = transfer;
            if (stores.Find(transfer.StoreId) is { } store)
                await store.RemoveStagingAsync(Guid.Parse(transfer.StagingPath!), cancellationToken);
        }
    }

    /// <summary>
    /// Reserves the open entries and chooses their store. Entries that cannot be reserved now are no longer open afterwards.
    /// </summary>
    /// <returns>False when another transfer reserved one of the names at this moment; nothing is reserved then.</returns>
    internal async Task<bool> TryReserveAsync(
        CatalogContext db,
        IncomingDrive incoming,
        IngestWork work,
        CancellationToken cancellationToken
    )
    {
        var wanted = work.Open.Count;
        var probes = await stores.ProbeAsync(cancellationToken);
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            try
            {
                (work.Wait, work.Fits) = await ReserveAsync(db, incoming, probes, work, cancellationToken);
            }
            catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
            {
                return false;
            }

            work.IsWhole = work.Wait is null && work.Open.Count == wanted;
            if (work.Wait is not null)
                work.Open.Clear();
            await transaction.CommitAsync(cancellationToken);
        }

        // Not inside the transaction: the error log writes through a connection of its own, and SQLite has one writer.
        if (!work.Fits)
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.StoreFull,
                $"drive {incoming.Name}",
                $"Drive '{incoming.Name}': {work.Wait!.Message} Nothing was lost.",
                cancellationToken
            );
        if (work.Open.Count > 0)
            await PutOffNestedAsync(db, work, cancellationToken);
        if (work.Open.Count > 0)
            work.Store = stores.Configured.Single(s => s.Id == work.Reservations[work.Open[0].File.Name].StoreId);
        return true;
    }

    /// <summary>Puts off entries whose names contain, or lie below, what another transfer is storing.</summary>
    private static async Task PutOffNestedAsync(CatalogContext db, IngestWork work, CancellationToken cancellationToken)
    {
        var nested = await NestedNames.BlockedAsync(db, work.Open.ConvertAll(e => e.File.Name), cancellationToken);
        if (nested.Count == 0)
            return;
        work.Open.RemoveAll(e => nested.ContainsKey(e.File.Name));
        work.IsWhole = false;
        work.Wait = IngestRoundResult.Waiting(
            $"Another transfer is storing something that contains '{nested.Keys.First()}', or lies below it, "
                + "at this moment. Both are safe; the ingest goes on by itself."
        );
    }

    /// <summary>
    /// Takes over the reservations that an interrupted round left, and makes the missing ones, all on one store. When there is not enough
    /// space for all files, the smallest are taken, as many as fit; false when not even one fits.
    /// </summary>
    private async Task<(IngestRoundResult? Wait, bool Fits)> ReserveAsync(
        CatalogContext db,
        IncomingDrive incoming,
        IReadOnlyDictionary<long, StoreProbe> probes,
        IngestWork work,
        CancellationToken cancellationToken
    )
    {
        var open = work.Open;
        var (left, foreign) = await ReservedBeforeAsync(db, incoming, open, cancellationToken);
        if (foreign is not null && open.Count == 0)
            return (
                IngestRoundResult.Waiting(
                    $"Another transfer is storing '{foreign}' at this moment. Both are safe; the ingest goes on by itself."
                ),
                true
            );

        SiteStore store;
        if (left.Count > 0)
        {
            var id = left[0].StoreId;
            open.RemoveAll(e => left.Exists(t => t.FileName == e.File.Name && t.StoreId != id));
            left.RemoveAll(t => t.StoreId != id);
            if (id is null || !probes.GetValueOrDefault(id.Value).IsMounted)
                return (IngestRoundResult.Waiting("The store that was being written is not mounted."), true);
            store = stores.Configured.Single(s => s.Id == id);
        }
        else if (await ChooseStoreAsync(db, probes, open, cancellationToken) is { } chosen)
            store = chosen;
        else
            return (
                IngestRoundResult.Waiting(
                    $"No enabled, ingestable store has space for '{open[0].File.Name}' ({open[0].File.Size} bytes). "
                        + "Make space; the ingest goes on by itself."
                ),
                false
            );

        foreach (var transfer in left)
            work.Reservations[transfer.FileName!] = transfer;
        await ReserveMissingAsync(db, incoming, store, work, cancellationToken);
        return (null, true);
    }

    /// <summary>
    /// Reservations of an interrupted round for the open entries. Names that another transfer has reserved are no longer open; the first of
    /// them is returned.
    /// </summary>
    private static async Task<(List<IncomingTransfer> Left, string? Foreign)> ReservedBeforeAsync(
        CatalogContext db,
        IncomingDrive incoming,
        List<IngestEntry> open,
        CancellationToken cancellationToken
    )
    {
        var names = open.ConvertAll(e => e.File.Name);
        var left = await db.IncomingTransfers.Where(t => t.Committing && names.Contains(t.FileName!)).ToListAsync(cancellationToken);
        var foreign = left.Where(t => t.TransferManagerName != ManagerOf(incoming))
            .Select(t => t.FileName!)
            .ToHashSet(StringComparer.Ordinal);
        left.RemoveAll(t => foreign.Contains(t.FileName!));
        open.RemoveAll(e => foreign.Contains(e.File.Name));
        return (left, foreign.FirstOrDefault());
    }

    /// <summary>A store for all open entries, or for the smallest, which alone stay open then; null when not even one fits.</summary>
    private async Task<SiteStore?> ChooseStoreAsync(
        CatalogContext db,
        IReadOnlyDictionary<long, StoreProbe> probes,
        List<IngestEntry> open,
        CancellationToken cancellationToken
    )
    {
        var wanted = open.Sum(e => e.File.Size);
        var chosen = await stores.ChooseAsync(db, wanted, probes, cancellationToken);
        if (chosen is null)
        {
            open.Sort((a, b) => a.File.Size.CompareTo(b.File.Size));
            var (fitting, tooMany) = (0, open.Count);
            while (fitting + 1 < tooMany)
            {
                var middle = (fitting + tooMany) / 2;
                if (await stores.ChooseAsync(db, open.Take(middle).Sum(e => e.File.Size), probes, cancellationToken) is { } some)
                    (fitting, chosen) = (middle, some);
                else
                    tooMany = middle;
            }

            if (fitting == 0 && open.Count > 0)
                chosen = await stores.ChooseAsync(db, open[0].File.Size, probes, cancellationToken);
            open.RemoveRange(Math.Max(1, fitting), open.Count - Math.Max(1, fitting));
        }

        return chosen?.Store;
    }

    private async Task ReserveMissingAsync(
        CatalogContext db,
        IncomingDrive incoming,
        SiteStore store,
        IngestWork work,
        CancellationToken cancellationToken
    )
    {
        var (now, manager) = (time.GetUtcNow().UtcDateTime, ManagerOf(incoming));
        var fresh = work.Open.Where(e => !work.Reservations.ContainsKey(e.File.Name)).ToList();
        if (fresh.Count == 0)
            return;
        await db.InsertRowsAsync(
            fresh.Select(entry => new IncomingTransfer
            {
                Status = TransferStatus.Ongoing,
                Committing = true,
                Uploader = entry.File.Uploader,
                UploadName = entry.File.Name,
                Source = incoming.Source,
                TransferSize = entry.File.Size,
                TransferChecksum = entry.File.Checksum,
                StoreId = store.Id,
                TransferManagerName = manager,
                StartTime = now,
                StagingPath = Guid.NewGuid().ToString("D"),
                FileName = entry.File.Name,
                SourceTransferId = entry.File.OutgoingTransferId,
            }),
            cancellationToken
        );
        var reserved = fresh.ConvertAll(e => e.File.Name);
        foreach (
            var transfer in await db
                .IncomingTransfers.AsNoTracking()
                .Where(t => t.Committing && t.TransferManagerName == manager && reserved.Contains(t.FileName!))
                .ToListAsync(cancellationToken)
        )
            work.Reservations[transfer.FileName!] = transfer;
    }
}
