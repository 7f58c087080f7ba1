using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts the copies (instances) on the adopted stores.</summary>
internal sealed class CopyAdoption(
    AdoptTables tables,
    UpstreamDatabase source,
    CatalogContext db,
    UpstreamStores stores,
    AdoptRequest request
)
{
    private readonly CatalogLookups _lookups = new(db);

    public Task RunAsync(CancellationToken cancellationToken)
    {
        var columns = source.Columns(
            "instances",
            "i",
            "id",
            "path",
            "file_name",
            "store_id",
            "deletion_policy:text",
            "created_time",
            "available",
            "calculated_checksum",
            "calculated_size",
            "checksum_time"
        );
        var available = source.Column("instances", "i", "available");
        return tables.AdoptAsync(
            new Kind<FileCopy>(
                "instances",
                // Of several rows for one file on one store the catalog keeps one: the oldest that is marked available.
                $"""
                SELECT {columns},
                  FIRST_VALUE(i.id) OVER (PARTITION BY i.file_name, i.store_id ORDER BY {available} DESC, i.id) AS keeper
                FROM instances i ORDER BY i.id
                """,
                Read,
                rows =>
                {
                    var ids = rows.Select(i => i.Id).ToList();
                    return db.Copies.Where(i => EF.Parameter(ids).Contains(i.Id)).ToListAsync(cancellationToken);
                },
                copy => copy.Id,
                nameof(FileCopy.FileName),
                nameof(FileCopy.StoreId)
            )
            {
                Prepare = chunk => PrepareAsync(chunk, cancellationToken),
            },
            cancellationToken
        );
    }

    private Candidate<FileCopy> Read(UpstreamRow row)
    {
        var (file, store, path) = (row.TextOrNull("file_name", int.MaxValue), row.NumberOrNull("store_id"), row.Text("path", 4096));
        var known = store is { } id ? stores.Adopted.GetValueOrDefault(id) : null;
        var inside = known is null ? null : StoreRoots.Inside(known.Settings!.StorePath, path);
        var copy = new FileCopy
        {
            Id = row.Number("id"),
            Path = inside ?? path,
            FileName = file ?? "",
            StoreId = store ?? 0,
            DeletionPolicy = row.Member<DeletionPolicy>("deletion_policy", DeletionPolicy.Disallowed),
            CreatedTime = row.TimeOrNull("created_time") ?? DateTime.UnixEpoch,
            Available = row.Flag("available", !source.Has("instances", "available")),
            CalculatedChecksum = row.TextOrNull("calculated_checksum"),
            CalculatedSize = row.NumberOrNull("calculated_size"),
            ChecksumTime = row.TimeOrNull("checksum_time"),
        };
        var candidate = new Candidate<FileCopy>($"{copy.Id} {path}", copy);
        if (file is null)
            candidate.Skip("it names no file");
        else if (UpstreamName.Unservable(file) is not null)
            candidate.Skip("the name of its file cannot be served, see files");
        if (store is null)
            candidate.Skip("it names no store");
        else if (known is null)
            candidate.Skip(stores.LeftBehind(store.Value));
        else if (inside is null)
            candidate.Remark(
                AdoptEffect.Noted,
                $"its path is not below the StorePath of store '{known.Name}', "
                    + "so it is neither read nor sent until one of them is corrected"
            );
        if (row.Number("keeper") is var keeper && keeper != copy.Id)
            candidate.Fold("the same file on the same store as another instance", $"instance {keeper}");
        return candidate;
    }

    private async Task PrepareAsync(IReadOnlyList<Candidate<FileCopy>> chunk, CancellationToken cancellationToken)
    {
        var names = chunk.Select(c => c.Row.FileName).Distinct(StringComparer.Ordinal).ToList();
        var files = await db
            .Files.Where(f => EF.Parameter(names).Contains(f.Name))
            .ToDictionaryAsync(f => f.Name, f => f.Size, cancellationToken);
        var copies = await _lookups.CopiesAsync(names, cancellationToken);
        foreach (var candidate in chunk)
        {
            if (!files.ContainsKey(candidate.Row.FileName))
                candidate.Skip(CatalogLookups.NotInCatalog);
            else if (copies.TryGetValue((candidate.Row.FileName, candidate.Row.StoreId), out var id) && id != candidate.Row.Id)
                candidate.IsThere("the catalog has this copy under another id", $"{id}");
        }

        if (request.CheckDisk)
            await CopyCheck.RunAsync(chunk, stores, files, cancellationToken);
    }
}
