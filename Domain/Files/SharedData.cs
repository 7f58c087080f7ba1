using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Files;

/// <summary>The catalogued copies that would share data with a new one.</summary>
public static class SharedData
{
    /// <summary>
    /// The copies on one store whose path is the given one, a directory above it, or below it. The query reads the path index twice, a few
    /// rows each: with one condition joined by "or", SQLite reads every copy of the store.
    /// </summary>
    /// <param name="db">The catalog.</param>
    /// <param name="storeId">Row of the store.</param>
    /// <param name="path">Path inside the store.</param>
    public static IQueryable<FileCopy> At(CatalogContext db, long storeId, string path)
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(path);
        var hereAndAbove = HereAndAbove(path).ToList();
        // '0' follows '/' in byte order, so this range holds exactly the paths below.
        var (first, end) = (path + "/", path + "0");
        return db
            .Copies.Where(i => hereAndAbove.Contains(i.Path) && i.StoreId == storeId)
            .Concat(db.Copies.Where(i => string.Compare(i.Path, first) >= 0 && string.Compare(i.Path, end) < 0 && i.StoreId == storeId));
    }

    /// <summary>
    /// Finds with two statements which of many paths would share data, and for each of them a file that it would share them with.
    /// </summary>
    public static async Task<Dictionary<string, string>> HoldersAsync(
        CatalogContext db,
        long storeId,
        IReadOnlyCollection<string> locations,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(locations);
        var hereAndAbove = locations.SelectMany(HereAndAbove).Distinct(StringComparer.Ordinal).ToList();
        var known = (
            await db
                .Copies.Where(i => hereAndAbove.Contains(i.Path) && i.StoreId == storeId)
                .Select(i => new { i.Path, i.FileName })
                .ToListAsync(cancellationToken)
        )
            .DistinctBy(i => i.Path, StringComparer.Ordinal)
            .ToDictionary(i => i.Path, i => i.FileName, StringComparer.Ordinal);
        var holding = await NestedNames.ContainingAsync(
            db,
            locations,
            "instances",
            "path",
            string.Create(System.Globalization.CultureInfo.InvariantCulture, $"x.store_id = {storeId} AND"),
            cancellationToken
        );
        var holders = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var location in locations)
        {
            if (HereAndAbove(location).FirstOrDefault(known.ContainsKey) is { } path)
                holders[location] = known[path];
            else if (holding.Contains(location))
                holders[location] = location + "/…";
        }

        return holders;
    }

    private static IEnumerable<string> HereAndAbove(string location) =>
        Enumerable.Range(0, location.Length).Where(i => location[i] == '/').Select(i => location[..i]).Append(location);
}
