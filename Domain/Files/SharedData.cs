using Librarian.Domain.Catalog;

namespace Librarian.Domain.Files;

/// <summary>The catalogued copies that would share data with a new one.</summary>
public static class SharedData
{
    /// <summary>
    /// The instances on one store that lie at a path, hold it (a book above it) or lie below it. Two reads of the path index, each of a
    /// few rows: asked as one condition joined by "or", SQLite reads every instance of the store.
    /// </summary>
    /// <param name="db">The catalog.</param>
    /// <param name="storeId">Row of the store.</param>
    /// <param name="location">Absolute path, as instances record it.</param>
    public static IQueryable<Instance> At(CatalogContext db, long storeId, string location)
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(location);
        var hereAndAbove = Enumerable.Range(1, location.Length - 1).Where(i => location[i] == '/').Select(i => location[..i]).Append(location).ToList();
        // '0' follows '/' in byte order: this range holds exactly the paths below.
        var (first, end) = (location + "/", location + "0");
        return db.Instances.Where(i => hereAndAbove.Contains(i.Path) && i.StoreId == storeId)
            .Concat(db.Instances.Where(i => string.Compare(i.Path, first) >= 0 && string.Compare(i.Path, end) < 0 && i.StoreId == storeId));
    }
}
