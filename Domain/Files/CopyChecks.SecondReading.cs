using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Files;

/// <summary>The outcome of the second reading of a copy, after a first one differed from the catalog.</summary>
public enum SecondReading
{
    /// <summary>A second reading, from the medium, matches the catalog.</summary>
    Intact,

    /// <summary>It differed twice: it is now on the list of corrupt copies, and the error log names it.</summary>
    Corrupt,

    /// <summary>It cannot be read, and the error log says so; or it is no longer catalogued as available.</summary>
    Unreadable,
}

public sealed partial class CopyChecks
{
    /// <summary>
    /// Reads one copy a second time, from the medium, after a reading for another purpose found bytes that differ from the catalog.
    /// </summary>
    /// <remarks>A crash after the copy was recorded as corrupt repeats the reading and counts it once more.</remarks>
    public async Task<SecondReading> ReadAgainAsync(long copyId, CancellationToken cancellationToken)
    {
        FileCopy? copy;
        await using (var db = database.Open())
        {
            copy = await db
                .Copies.AsNoTracking()
                .Include(i => i.File)
                .SingleOrDefaultAsync(i => i.Id == copyId && i.Available, cancellationToken);
        }

        if (copy is null)
            return SecondReading.Unreadable;
        return await CheckAsync(copy.File!, copy, force: true, cancellationToken, isSecondReading: true) switch
        {
            null => SecondReading.Unreadable,
            { Matches: true } => SecondReading.Intact,
            _ => SecondReading.Corrupt,
        };
    }
}
