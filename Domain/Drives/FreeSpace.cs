using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>A drive's contents and space.</summary>
/// <param name="Files">Files on it.</param>
/// <param name="Free">Bytes for further files, after the manifest's share.</param>
/// <param name="FreeWhenEmpty">The same if the drive were empty.</param>
internal sealed record FreeSpace(long Files, long Free, long FreeWhenEmpty)
{
    /// <summary>Bytes that a file needs beyond its own, for its last block and its directory entry.</summary>
    internal const long SpacePerFile = 4096;

    /// <summary>Bytes that a file needs in the manifest and its pages.</summary>
    internal const long ReservePerFile = 2048;

    private const long Reserve = 1 << 20;

    /// <summary>Largest file that fits; -1 for none.</summary>
    public long Largest => Math.Max(-1, Free - SpacePerFile - ReservePerFile);

    /// <summary>Largest file that would fit if the drive were empty.</summary>
    public long LargestEver => Math.Max(-1, FreeWhenEmpty - SpacePerFile - ReservePerFile);

    /// <summary>Bytes of the drive that a file of this size takes.</summary>
    internal static long TakenBy(long size) => size + SpacePerFile + ReservePerFile;

    /// <summary>Space of a drive for further files, and when empty; null when the drive is gone.</summary>
    internal static async Task<FreeSpace?> OfAsync(CatalogContext db, Drive drive, OpenDrive medium, CancellationToken cancellationToken)
    {
        var held = await db
            .DriveContents.Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Stored)
            .GroupBy(c => 1)
            .Select(g => new
            {
                Files = g.LongCount(),
                Members = g.Sum(c => c.Members),
                Bytes = g.Sum(c => c.Size),
            })
            .SingleOrDefaultAsync(cancellationToken);
        var free = medium.Store.FreeBytes();
        if (free < 0)
            return null;
        var entries = (held?.Files ?? 0) + (held?.Members ?? 0);
        // The manifest and its pages need space too, and they are written last.
        return new FreeSpace(
            held?.Files ?? 0,
            free - Reserve - (ReservePerFile * entries),
            free - Reserve + (held?.Bytes ?? 0) + (SpacePerFile * entries)
        );
    }
}
