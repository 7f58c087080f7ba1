using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>Files of which a drive may hold the last copy.</summary>
internal static class OnlyCopies
{
    /// <summary>Code of an answer that such a file prevents a wipe.</summary>
    internal const string Code = "drive.only_copy";

    /// <summary>Why a drive with this file is not wiped.</summary>
    internal static string Refusal(Drive drive, string name) =>
        $"'{name}' has no copy at '{drive.Destination}' and none on another store here: "
        + $"drive '{drive.Name}' may hold the last one. Nothing was wiped. Copy it back, or bring it to the destination, first.";

    /// <summary>The name of one such file; null when there is none.</summary>
    internal static Task<string?> FirstAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken) =>
        Of(db, drive).Select(n => (string?)n).FirstOrDefaultAsync(cancellationToken);

    /// <summary>Names of the files.</summary>
    internal static IQueryable<string> Of(CatalogContext db, Drive drive) =>
        Unacknowledged(db, drive)
            .Where(c =>
                !db.IntactCopies.Any(i =>
                    i.FileName == c.FileName && i.StoreId != drive.StoreId && !db.Drives.Any(d => d.StoreId == i.StoreId)
                )
            )
            .Select(c => c.FileName);

    /// <summary>Files on a drive that its destination is not known to hold.</summary>
    internal static IQueryable<DriveContent> Unacknowledged(CatalogContext db, Drive drive) =>
        db.DriveContents.Where(c =>
            c.DriveRow == drive.Id
            && (c.State == DriveContentState.Stored || c.State == DriveContentState.Undelivered)
            && !db.RemoteCopies.Any(r => r.FileName == c.FileName && r.Peer!.Name == drive.Destination && r.UnconfirmedSince == null)
        );
}
