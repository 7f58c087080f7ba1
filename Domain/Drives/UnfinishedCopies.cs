using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>The copies to a drive that a crash interrupted: reservations, and data that the catalog has never listed.</summary>
public sealed class UnfinishedCopies(CatalogDatabase database)
{
    private const int RoundFiles = 2048;

    /// <summary>Removes the data and then the reservations; false when none could be removed.</summary>
    internal async Task<bool> DropAsync(Drive drive, OpenDrive medium, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        while (true)
        {
            var left = await db
                .DriveContents.AsNoTracking()
                .Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Copying)
                .OrderBy(c => c.Id)
                .Take(RoundFiles)
                .ToListAsync(cancellationToken);
            if (left.Count == 0)
                return true;
            List<long> ids = [];
            foreach (var content in left)
            {
                // An addition that cannot be removed now keeps its row, so that it is not forgotten.
                if (await DropDataAsync(medium, content.FileName, content.AdditionId, cancellationToken))
                    ids.Add(content.Id);
            }

            if (ids.Count == 0)
                return false;
            await db
                .DriveContents.Where(c => ids.Contains(c.Id) && c.State == DriveContentState.Copying)
                .ExecuteDeleteAsync(cancellationToken);
        }
    }

    /// <summary>Removes the data of an unfinished copy from the drive; the catalog has never listed them.</summary>
    internal static async Task<bool> DropDataAsync(OpenDrive medium, string name, Guid addition, CancellationToken cancellationToken) =>
        (await medium.Store.RemoveStagingAsync(addition, cancellationToken)).IsGone
        && (!FileName.TryParse(name, out var path, out _) || (await medium.Store.DeleteAsync(path, cancellationToken)).IsGone);
}
