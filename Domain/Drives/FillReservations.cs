using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>Reserves the files of a round: rows COPYING, which keep other drives from taking the same files.</summary>
public sealed class FillReservations(CatalogDatabase database, SiteStores stores, FillErrors errors, TimeProvider time)
{
    /// <summary>Chooses files for a drive and reserves them.</summary>
    /// <param name="drive">The drive.</param>
    /// <param name="earlierDrive">A drive for the same destination that is filled first.</param>
    /// <param name="medium">The drive's medium.</param>
    /// <param name="names">What it can hold; null for everything.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>The outcome of a round that copies nothing, or null and the files.</returns>
    internal async Task<(FillResult? Outcome, List<ReservedFile> Files)> ReserveAsync(
        Drive drive,
        Drive? earlierDrive,
        OpenDrive medium,
        MediumNames? names,
        CancellationToken cancellationToken
    )
    {
        var now = time.GetUtcNow().UtcDateTime;
        await using var db = database.Open();
        if (await FreeSpace.OfAsync(db, drive, medium, cancellationToken) is not { } at)
            return (FillResult.NotPlugged(drive), []);
        var page = await WaitingFiles.OldestAsync(db, drive, earlierDrive, at.Largest, now, cancellationToken);
        if (page.Count == 0 && earlierDrive is not null)
            return (FillResult.Nothing(FillOutcome.StandBy, $"Drive '{earlierDrive.Name}' is filled first."), []);
        if (page.Count == 0)
            return (await FillObstacles.NothingFitsAsync(db, drive, at, now, cancellationToken), []);

        var choice = new RoundChoice(drive, stores, names is null ? null : new RoundNames(medium, names), at.Free, now);
        var earlier = await db
            .DriveContents.Where(c =>
                c.DriveRow == drive.Id && c.State == DriveContentState.Failed && page.Select(p => p.Name).Contains(c.FileName)
            )
            .ToDictionaryAsync(c => c.FileName, cancellationToken);
        await choice.ChooseAsync(page, earlier, cancellationToken);
        if (!await TrySaveAsync(db, choice, cancellationToken))
            return (FillResult.Nothing(FillOutcome.More, "Another drive took one of these files at this moment."), []);
        await errors.RaiseUnusableAsync(choice.Unusable, cancellationToken);
        await errors.RaiseUnfitAsync(drive, choice.Unheld, cancellationToken);
        if (choice.Files.Count == 0)
            return (FillResult.Nothing(FillOutcome.More, NoneChosen(choice)), []);
        return await ReservedAsync(db, drive, choice, cancellationToken);
    }

    /// <summary>Saves the rows; false when another drive took one of the files at this moment.</summary>
    private static async Task<bool> TrySaveAsync(CatalogContext db, RoundChoice choice, CancellationToken cancellationToken)
    {
        try
        {
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            await db.SaveChangesAsync(cancellationToken);
            await db.InsertRowsAsync(choice.Fresh, cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            return true;
        }
        catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return false;
        }
    }

    private static string NoneChosen(RoundChoice choice) =>
        choice.Unheld.Count > 0
            ? $"{choice.Unheld.Count} files wait for another drive: this one cannot hold them."
            : "Some names cannot be put on drives.";

    private static async Task<(FillResult? Outcome, List<ReservedFile> Files)> ReservedAsync(
        CatalogContext db,
        Drive drive,
        RoundChoice choice,
        CancellationToken cancellationToken
    )
    {
        // All files that this drive is copying: leftovers of an earlier round have been dropped by now.
        var rows = await db
            .DriveContents.AsNoTracking()
            .Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Copying)
            .ToDictionaryAsync(c => c.FileName, StringComparer.Ordinal, cancellationToken);
        if (!choice.Files.TrueForAll(c => rows.ContainsKey(c.Name.Value)))
            return (FillResult.FrozenMeanwhile(drive), []);
        return (
            null,
            choice.Files.ConvertAll(c => new ReservedFile(
                rows[c.Name.Value],
                c.Source,
                c.Name,
                c.Checksum,
                c.Copy.Id,
                c.Copy.StoreId,
                c.Copy.DeletionPolicy
            ))
        );
    }
}
