using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Catalog;

/// <summary>
/// A directory counts as one file, so no name may lie inside another. Looked at after the own reservations are committed, by everything that stores:
/// of two names of which one contains the other whoever looks later sees the earlier.
/// </summary>
internal static class NestedNames
{
    /// <summary>The names that would contain this one: <c>a</c> and <c>a/b</c> of <c>a/b/c</c>.</summary>
    public static IEnumerable<string> Ancestors(string name)
    {
        for (var slash = name.IndexOf('/', StringComparison.Ordinal); slash >= 0; slash = name.IndexOf('/', slash + 1)) yield return name[..slash];
    }

    /// <summary>Which of the names something catalogued, or being stored at this moment, contains or lies in, each with a sentence for people; four statements however many names.</summary>
    public static async Task<Dictionary<string, string>> BlockedAsync(CatalogContext db, IReadOnlyCollection<string> names, CancellationToken cancellationToken)
    {
        List<string> above = [.. names.SelectMany(Ancestors).Distinct(StringComparer.Ordinal)];
        var containers = (await db.IncomingTransfers.Where(t => t.Placing && above.Contains(t.StorePath!)).Select(t => t.StorePath!).ToListAsync(cancellationToken)).ToHashSet(StringComparer.Ordinal);
        containers.UnionWith(await db.Files.Where(f => above.Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken));
        var containing = await ContainingAsync(db, names, "incoming_transfers", "store_path", "x.placing AND", cancellationToken);
        containing.UnionWith(await ContainingAsync(db, names, cancellationToken));
        var blocked = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var name in names)
        {
            if (Ancestors(name).FirstOrDefault(containers.Contains) is { } container) blocked[name] = $"'{container}' is a file of its own here (a directory counts as one); nothing can be stored inside it.";
            else if (containing.Contains(name)) blocked[name] = $"Files are stored below '{name}/' here; a file of that name would contain them.";
        }

        return blocked;
    }

    /// <summary>Which of the names have catalogued files below them; one statement, one range of the index for each name.</summary>
    public static Task<HashSet<string>> ContainingAsync(CatalogContext db, IReadOnlyCollection<string> names, CancellationToken cancellationToken) => ContainingAsync(db, names, "files", "name", "", cancellationToken);

    private static async Task<HashSet<string>> ContainingAsync(CatalogContext db, IReadOnlyCollection<string> names, string table, string column, string condition, CancellationToken cancellationToken)
    {
        // '0' follows '/' in byte order. The inner order and limit make PostgreSQL go into the index for each name, also where it thinks the table
        // is empty and would compare every name with every row.
#pragma warning disable EF1002 // Table, column and condition are this class' own words; names are a parameter.
        var found = db.Database.IsSqlite()
            ? db.Database.SqlQueryRaw<string>($$"""SELECT n.value AS "Value" FROM json_each({0}) n WHERE EXISTS (SELECT 1 FROM {{table}} x WHERE {{condition}} x.{{column}} >= n.value || '/' AND x.{{column}} < n.value || '0')""", System.Text.Json.JsonSerializer.Serialize(names))
            : db.Database.SqlQueryRaw<string>($$"""SELECT n AS "Value" FROM unnest({0}) n WHERE EXISTS (SELECT 1 FROM (SELECT x.{{column}} FROM {{table}} x WHERE {{condition}} x.{{column}} >= (n || '/') COLLATE "C" ORDER BY x.{{column}} LIMIT 1) y WHERE y.{{column}} < (n || '0') COLLATE "C")""", names.ToList());
#pragma warning restore EF1002
        return (await found.ToListAsync(cancellationToken)).ToHashSet(StringComparer.Ordinal);
    }
}
