using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>The files that wait for a drive, and how long one pauses after a failure.</summary>
internal static class WaitingFiles
{
    private const int RoundFiles = 2048;

    internal static readonly TimeSpan FirstRest = TimeSpan.FromMinutes(1);
    internal static readonly TimeSpan LongestRest = TimeSpan.FromHours(6);

    /// <summary>
    /// How long a drive does not get a file that it cannot hold; other drives are not affected. Longer than <see cref="OtherRests"/>.
    /// </summary>
    internal static readonly TimeSpan UnfitRest = TimeSpan.FromDays(30);

    /// <summary>A shorter pause belongs to the file, on whatever drive it failed.</summary>
    private static readonly TimeSpan OtherRests = TimeSpan.FromDays(1);

    /// <summary>Files that wait for a drive, whatever their size.</summary>
    internal static IQueryable<FileRecord> Of(CatalogContext db, Drive drive, DateTime now)
    {
        // A pause that ends later was recorded while the clock was ahead: it is over. A file that a drive cannot hold pauses for long, and
        // on that drive only.
        var (destination, driveId, latest, unfitFrom, unfitTo) = (
            drive.Destination,
            drive.Id,
            now + LongestRest,
            now + OtherRests,
            now + UnfitRest
        );
        return db
            .Files.AsNoTracking()
            .Where(f => f.Source != destination)
            .Where(f => !db.RemoteCopies.Any(r => r.FileName == f.Name && r.Peer!.Name == destination))
            // A file that a link has begun to move stays with the link; one that only waits for the link does not.
            .Where(f =>
                !db.OutgoingTransfers.Any(t =>
                    t.FileName == f.Name
                    && t.Destination == destination
                    && (t.Status == TransferStatus.Ongoing || t.Status == TransferStatus.Staged)
                )
            )
            .Where(f =>
                !db.DriveContents.Any(c =>
                    c.FileName == f.Name
                    && c.Destination == destination
                    && (
                        c.State == DriveContentState.Copying
                        || c.State == DriveContentState.Stored
                        || (
                            c.RetryAfter > now
                            && (c.RetryAfter <= latest || (c.DriveRow == driveId && c.RetryAfter >= unfitFrom && c.RetryAfter <= unfitTo))
                        )
                    )
                )
            )
            .Where(f => db.IntactCopies.Any(i => i.FileName == f.Name && !db.Drives.Any(d => d.StoreId == i.StoreId)));
    }

    /// <summary>The oldest waiting files of at most <paramref name="largest"/> bytes, as many as one round may take.</summary>
    /// <param name="db">The catalog.</param>
    /// <param name="drive">The drive.</param>
    /// <param name="earlierDrive">A drive that is filled first: only files that it cannot hold are left for this one.</param>
    /// <param name="largest">Largest file that fits.</param>
    /// <param name="now">UTC time.</param>
    /// <param name="cancellationToken">Cancels.</param>
    internal static Task<List<WaitingFile>> OldestAsync(
        CatalogContext db,
        Drive drive,
        Drive? earlierDrive,
        long largest,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        var wanted = Of(db, drive, now);
        var unfitFrom = now + OtherRests;
        if (earlierDrive is { Id: var earlierRow })
            wanted = wanted.Where(f =>
                db.DriveContents.Any(c =>
                    c.FileName == f.Name && c.DriveRow == earlierRow && c.State == DriveContentState.Failed && c.RetryAfter >= unfitFrom
                )
            );
        return wanted
            .Where(f => f.Size <= largest)
            .OrderBy(f => f.CreateTime)
            .ThenBy(f => f.Name)
            .Take(RoundFiles)
            .Select(f => new WaitingFile
            {
                Name = f.Name,
                Size = f.Size,
                Checksum = f.Checksum,
                Uploader = f.Uploader,
                Source = f.Source,
                Copies = db
                    .IntactCopies.Where(i => i.FileName == f.Name && !db.Drives.Any(d => d.StoreId == i.StoreId))
                    .OrderBy(i => i.Id)
                    .Select(i => new WaitingCopy
                    {
                        Id = i.Id,
                        StoreId = i.StoreId,
                        Path = i.Path,
                        DeletionPolicy = i.DeletionPolicy,
                    })
                    .ToList(),
            })
            .ToListAsync(cancellationToken);
    }
}
