using System.Globalization;
using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Domain.Formats;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

public sealed partial class DriveDeliveries
{
    private const int ProbePage = 256;

    /// <summary>How long a probe may read copies; after that the read continues, and the wipe is tried again.</summary>
    private static readonly TimeSpan ReadWithin = TimeSpan.FromMinutes(2);

    /// <summary>
    /// Probes the local copies of every file on a drive that the destination has not acknowledged: the wipe relies on them, and the catalog
    /// alone does not prove them.
    /// </summary>
    /// <returns>The obstacle to wiping; null when there is none.</returns>
    private async Task<DriveAnswer?> MissingProofAsync(CatalogDatabase database, Drive drive, CancellationToken cancellationToken)
    {
        for (long after = 0; ; )
        {
            List<DriveContent> page;
            List<DeclaredFile> files;
            await using (var db = database.Open())
            {
                page = await Unacknowledged(db, drive)
                    .AsNoTracking()
                    .Where(c => c.Id > after)
                    .OrderBy(c => c.Id)
                    .Take(ProbePage)
                    .ToListAsync(cancellationToken);
                var names = page.ConvertAll(c => c.FileName);
                files = await db
                    .Files.AsNoTracking()
                    .Where(f => names.Contains(f.Name))
                    .Select(f => new DeclaredFile(f.Name, f.Size, f.Checksum, f.TreeDigest))
                    .ToListAsync(cancellationToken);
            }

            if (page.Count == 0)
                return null;
            var found = await probe.ProbeAsync(files, ReadWithin, cancellationToken);
            foreach (var content in page)
            {
                switch (found.GetValueOrDefault(content.FileName))
                {
                    case { Presence: FilePresence.Intact }:
                        continue;
                    case { Presence: FilePresence.Unknown or FilePresence.Reading } later:
                        return new DriveAnswer(
                            "drive.copy_unproven",
                            $"'{content.FileName}' is not known to be at '{drive.Destination}', "
                                + $"and its copy here is not proven yet: {later.Message} Nothing was wiped; it is tried again by itself."
                        );
                    case var bad:
                        return new DriveAnswer(OnlyCopy, $"{OnlyCopyMessage(drive, content.FileName)} {bad?.Message}");
                }
            }

            after = page[^1].Id;
        }
    }

    /// <summary>
    /// Refuses a drive whose trip is not the catalog's. A later trip means that the catalog was restored from a backup, and the drive may
    /// hold the only copy of its files. The next trip's marker on an empty drive is the trace of an interrupted wipe.
    /// </summary>
    private static DriveAnswer? OtherTrip(Drive drive, OpenDrive held)
    {
        // Read again: another process may have wiped the drive before this one got its lock.
        var trip = DriveMarker.TryRead(held.Path)?.Trip;
        if (trip == drive.Trip)
            return null;
        if (trip == drive.Trip + 1 && !Directory.EnumerateFileSystemEntries(DriveStore.DataPathOf(held.Path)).Any())
            return null;
        var found = trip?.ToString(CultureInfo.InvariantCulture) ?? "nothing";
        return new DriveAnswer(
            "drive.other_trip",
            $"The marker of drive '{drive.Name}' says trip {found}, the catalog says {drive.Trip}: "
                + "the catalog was restored from an older backup, or the drive is a copy. Nothing was wiped. "
                + $"Bring its files to '{drive.Destination}' or copy them back; "
                + $"then give it up (librarian drive recycle CONN {drive.Name} --lost), "
                + "make a new file system on it and initialise it again."
        );
    }

    /// <summary>
    /// Whether a peer may have been restored from a backup since a receipt was written: then the receipt may list copies that are gone. The
    /// catalog does not record which peer was restored, and the clocks of two sites may differ by an hour; so copies are put in doubt too
    /// often, and the site asks the peer for them. A peer that has never sent its catalog id cannot be asked, and its receipts are trusted.
    /// </summary>
    private static async Task<bool> WentBackSinceAsync(
        CatalogContext db,
        long librarian,
        DateTime written,
        CancellationToken cancellationToken
    )
    {
        var since = written - TimeSpan.FromHours(1);
        var restores = db.CatalogIncarnations.Where(c => c.Id.StartsWith(Peers.PeerCatalogs.FormerPrefix) && c.StartedTime > since);
        return await db.Peers.AnyAsync(l => l.Id == librarian && l.CatalogId != null && restores.Any(), cancellationToken);
    }

    private static IQueryable<DriveContent> Unacknowledged(CatalogContext db, Drive drive) =>
        db.DriveContents.Where(c =>
            c.DriveRow == drive.Id
            && (c.State == DriveContentState.Stored || c.State == DriveContentState.Undelivered)
            && !db.RemoteCopies.Any(r => r.FileName == c.FileName && r.Peer!.Name == drive.Destination && r.UnconfirmedSince == null)
        );
}
