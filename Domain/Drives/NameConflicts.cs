using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>Catalogued files that contain one of some names, or lie below one.</summary>
internal sealed class NameConflicts
{
    private readonly HashSet<string> _containers;
    private readonly IReadOnlySet<string> _containing;

    private NameConflicts(HashSet<string> containers, IReadOnlySet<string> containing) =>
        (_containers, _containing) = (containers, containing);

    /// <summary>Reads the conflicts of names with the catalog.</summary>
    internal static async Task<NameConflicts> ReadAsync(CatalogContext db, List<string> names, CancellationToken cancellationToken)
    {
        List<string> above = [.. names.SelectMany(NestedNames.Ancestors).Distinct(StringComparer.Ordinal)];
        var containers = (await db.Files.Where(f => above.Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken)).ToHashSet(
            StringComparer.Ordinal
        );
        var containing = await NestedNames.ContainingAsync(db, names, cancellationToken);
        return new NameConflicts(containers, containing);
    }

    /// <summary>Why no file of this name can be stored; null when one can.</summary>
    internal string? Describe(string name)
    {
        if (NestedNames.Ancestors(name).FirstOrDefault(_containers.Contains) is { } container)
            return $"'{container}' is a file of its own here (a directory counts as one); nothing can be stored inside it.";
        return _containing.Contains(name) ? $"Files are stored below '{name}/' here; a file of that name would contain them." : null;
    }
}
