using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Catalog;

/// <summary>
/// A directory counts as one file, so no name may lie inside another. Everything that stores files checks this after its own reservations
/// are committed: of two names of which one contains the other, the later check sees the earlier reservation.
/// </summary>
internal static class NestedNames
{
    /// <summary>The names that would contain this one: <c>a</c> and <c>a/b</c> for <c>a/b/c</c>.</summary>
    public static IEnumerable<string> Ancestors(string name)
    {
        for (var slash = name.IndexOf('/', StringComparison.Ordinal); slash >= 0; slash = name.IndexOf('/', slash + 1))
            yield return name[..slash];
    }

    /// <summary>
    /// Finds the names that contain, or lie in, a name that is catalogued or being committed now, each with a sentence for people; four
    /// statements for any number of names.
    /// </summary>
    public static async Task<Dictionary<string, string>> BlockedAsync(
        CatalogContext db,
        IReadOnlyCollection<string> names,
        CancellationToken cancellationToken
    )
    {
        List<string> above = [.. names.SelectMany(Ancestors).Distinct(StringComparer.Ordinal)];
        var containers = (
            await db
                .IncomingTransfers.Where(t => t.Committing && above.Contains(t.FileName!))
                .Select(t => t.FileName!)
                .ToListAsync(cancellationToken)
        ).ToHashSet(StringComparer.Ordinal);
        containers.UnionWith(await db.Files.Where(f => above.Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken));
        var containing = await ContainingAsync(db, names, "incoming_transfers", "store_path", "x.placing AND", cancellationToken);
        containing.UnionWith(await ContainingAsync(db, names, cancellationToken));
        var blocked = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var name in names)
        {
            if (Ancestors(name).FirstOrDefault(containers.Contains) is { } container)
                blocked[name] = $"'{container}' is a file of its own here (a directory counts as one); nothing can be stored inside it.";
            else if (containing.Contains(name))
                blocked[name] = $"Files are stored below '{name}/' here; a file of that name would contain them.";
        }

        return blocked;
    }

    /// <summary>Finds the names that have catalogued files below them; one statement, and one range of the index for each name.</summary>
    public static Task<HashSet<string>> ContainingAsync(
        CatalogContext db,
        IReadOnlyCollection<string> names,
        CancellationToken cancellationToken
    ) => ContainingAsync(db, names, "files", "name", "", cancellationToken);

    /// <summary>The same for the values of another indexed column; the condition ends with AND and refers to the row as x.</summary>
    internal static async Task<HashSet<string>> ContainingAsync(
        CatalogContext db,
        IReadOnlyCollection<string> names,
        string table,
        string column,
        string condition,
        CancellationToken cancellationToken
    )
    {
        // '0' follows '/' in byte order. The inner ORDER BY and LIMIT make PostgreSQL use the index for each name, even where it assumes
        // that the table is empty and would compare every name with every row.
#pragma warning disable EF1002 // Table, column and condition contain no user input; names are a parameter.
        var found = db.Database.IsSqlite()
            ? db.Database.SqlQueryRaw<string>(
                $$"""
                SELECT n.value AS "Value" FROM json_each({0}) n WHERE EXISTS (
                  SELECT 1 FROM {{table}} x WHERE {{condition}} x.{{column}} >= n.value || '/' AND x.{{column}} < n.value || '0'
                )
                """,
                System.Text.Json.JsonSerializer.Serialize(names)
            )
            : db.Database.SqlQueryRaw<string>(
                $$"""
                SELECT n AS "Value" FROM unnest({0}) n WHERE EXISTS (
                  SELECT 1 FROM (
                    SELECT x.{{column}} FROM {{table}} x WHERE {{condition}} x.{{column}} >= (n || '/') COLLATE "C"
                    ORDER BY x.{{column}} LIMIT 1
                  ) y WHERE y.{{column}} < (n || '0') COLLATE "C"
                )
                """,
                names.ToList()
            );
#pragma warning restore EF1002
        return (await found.ToListAsync(cancellationToken)).ToHashSet(StringComparer.Ordinal);
    }
}
