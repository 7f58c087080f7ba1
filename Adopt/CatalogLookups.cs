using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>What the catalog holds of the files that a chunk of rows names.</summary>
internal sealed class CatalogLookups(CatalogContext db)
{
    /// <summary>Why a row is left out whose file the catalog does not hold.</summary>
    public const string NotInCatalog = "its file is not in the catalog (the source has no row for it, or it was left out)";

    public async Task<HashSet<string>> KnownFilesAsync(List<string> names, CancellationToken cancellationToken) =>
        (await db.Files.Where(f => EF.Parameter(names).Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken)).ToHashSet(
            StringComparer.Ordinal
        );

    /// <summary>
    /// Ids of the catalog's copies of these files by file and store; an adopted copy may represent several of the source.
    /// </summary>
    public async Task<Dictionary<(string File, long Store), long>> CopiesAsync(List<string> names, CancellationToken cancellationToken) =>
        (
            await db
                .Copies.Where(i => EF.Parameter(names).Contains(i.FileName))
                .Select(i => new
                {
                    i.Id,
                    i.FileName,
                    i.StoreId,
                })
                .ToListAsync(cancellationToken)
        ).ToDictionary(i => (i.FileName, i.StoreId), i => i.Id);

    /// <summary>The id among these of the copy that a row of the source refers to.</summary>
    public static long? Copy(Dictionary<(string File, long Store), long> copies, (string? File, long? Store) of) =>
        of is { File: { } file, Store: { } store } && copies.TryGetValue((file, store), out var id) ? id : null;
}
