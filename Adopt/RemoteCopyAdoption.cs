using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts what the source knows of copies at peers (remote instances).</summary>
internal sealed class RemoteCopyAdoption(
    AdoptTables tables,
    UpstreamDatabase source,
    CatalogContext db,
    PeerAdoption peers,
    SiteOptions options
)
{
    private readonly CatalogLookups _lookups = new(db);

    public Task RunAsync(CancellationToken cancellationToken) =>
        tables.AdoptAsync(
            new Kind<RemoteCopy>(
                "remote_instances",
                // Completing a transfer twice made two rows (docs/spec/wire.md#duplicate-remote-copies); the first one stays.
                $"""
                SELECT {source.Columns("remote_instances", "r", "id", "file_name", "store_id", "librarian_id", "copy_time", "sender")},
                  FIRST_VALUE(r.id) OVER (PARTITION BY r.file_name, r.librarian_id, r.store_id ORDER BY r.copy_time, r.id) AS keeper
                FROM remote_instances r ORDER BY r.id
                """,
                Read,
                rows =>
                {
                    var ids = rows.Select(r => r.Id).ToList();
                    return db.RemoteCopies.Where(r => EF.Parameter(ids).Contains(r.Id)).ToListAsync(cancellationToken);
                },
                copy => copy.Id,
                nameof(RemoteCopy.FileName),
                nameof(RemoteCopy.PeerId),
                nameof(RemoteCopy.StoreId)
            )
            {
                Prepare = chunk => PrepareAsync(chunk, cancellationToken),
            },
            cancellationToken
        );

    private Candidate<RemoteCopy> Read(UpstreamRow row)
    {
        var (file, store, librarian) = (
            row.TextOrNull("file_name", int.MaxValue),
            row.NumberOrNull("store_id"),
            row.NumberOrNull("librarian_id")
        );
        var copy = new RemoteCopy
        {
            Id = row.Number("id"),
            FileName = file ?? "",
            StoreId = store ?? 0,
            PeerId = peers.IdOf(librarian),
            CopyTime = row.Time("copy_time"),
            Sender = row.TextOrNull("sender") ?? options.Name,
        };
        var candidate = new Candidate<RemoteCopy>($"{copy.Id} {file}", copy);
        if (file is null)
            candidate.Skip("it names no file");
        else if (UpstreamName.Unservable(file) is not null)
            candidate.Skip("the name of its file cannot be served, see files");
        if (store is null)
            candidate.Skip("it names no store");
        if (copy.PeerId == 0)
            candidate.Skip("its librarian is not registered any more");
        if (row.Number("keeper") is var keeper && keeper != copy.Id)
            candidate.Fold("the same file on the same store of the same librarian as another remote instance", $"remote instance {keeper}");
        return candidate;
    }

    private async Task PrepareAsync(IReadOnlyList<Candidate<RemoteCopy>> chunk, CancellationToken cancellationToken)
    {
        var names = chunk.Select(c => c.Row.FileName).Distinct(StringComparer.Ordinal).ToList();
        var files = await _lookups.KnownFilesAsync(names, cancellationToken);
        var copies = (
            await db.RemoteCopies.Where(r => EF.Parameter(names).Contains(r.FileName)).ToListAsync(cancellationToken)
        ).ToDictionary(r => (r.FileName, r.PeerId, r.StoreId), r => r.Id);
        foreach (var candidate in chunk)
        {
            if (!files.Contains(candidate.Row.FileName))
                candidate.Skip(CatalogLookups.NotInCatalog);
            else if (
                copies.TryGetValue((candidate.Row.FileName, candidate.Row.PeerId, candidate.Row.StoreId), out var id)
                && id != candidate.Row.Id
            )
                candidate.IsThere("the catalog has this copy under another id", $"{id}");
        }
    }
}
