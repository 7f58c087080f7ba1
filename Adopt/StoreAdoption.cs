using System.Text.Json;
using System.Text.Json.Nodes;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Adopts the rows of stores with the ids that peers know.</summary>
internal sealed class StoreAdoption(
    CatalogContext db,
    UpstreamDatabase source,
    UpstreamStores stores,
    SiteOptions options,
    AdoptRequest request,
    AdoptFindings findings
)
{
    private readonly AdoptKind _entry = findings.Begin("store_metadata");
    private readonly Dictionary<string, UpstreamStore> _adopted = stores.Adopted.Values.ToDictionary(s => s.Name, StringComparer.Ordinal);

    /// <summary>
    /// Adopts all of them. In a catalog without files, copies and transfers nothing refers to a store, so there the rows that an earlier
    /// start of the site made get new ids.
    /// </summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        _entry.InSource = _entry.Read = stores.All.Count;
        var there = await db.Stores.OrderBy(s => s.Id).ToListAsync(cancellationToken);
        var empty = await IsEmptyAsync(cancellationToken);
        ReportLeftBehind();
        if (!empty && Contradicts(there))
            return;
        var rows = Rows(there, empty);
        _entry.CatalogBefore = there.Count;
        if (empty)
        {
            rows.AddRange(await MovedAsync(there, rows, cancellationToken));
            _entry.CatalogBefore -= _adopted.Values.Count(s => there.Exists(t => t.Name == s.Name && t.Id != s.Id));
            await db.Stores.ExecuteDeleteAsync(cancellationToken);
        }

        await WriteAsync(rows, cancellationToken);
    }

    private async Task<bool> IsEmptyAsync(CancellationToken cancellationToken) =>
        !await db.Files.AnyAsync(cancellationToken)
        && !await db.Copies.AnyAsync(cancellationToken)
        && !await db.IncomingTransfers.AnyAsync(cancellationToken)
        && !await db.CloneTransfers.AnyAsync(cancellationToken);

    private void ReportLeftBehind()
    {
        foreach (var left in stores.All.Where(s => !_adopted.ContainsKey(s.Name)))
        {
            _entry.Skipped++;
            findings.Report(
                _entry,
                AdoptEffect.Skipped,
                request.SkippedStores.Contains(left.Name)
                    ? "left behind as asked (--skip-store)"
                    : "not configured here, and nothing is on it",
                left.Name
            );
        }
    }

    /// <summary>Refuses a catalog that knows the stores under other ids.</summary>
    private bool Contradicts(List<StoreRecord> there)
    {
        foreach (var wrong in _adopted.Values.Where(s => there.Exists(t => t.Name == s.Name ? t.Id != s.Id : t.Id == s.Id)))
        {
            _entry.Conflicts++;
            findings.Report(
                _entry,
                AdoptEffect.Conflict,
                $"peers know the store as {wrong.Id}, which is another one's id here",
                wrong.Name
            );
        }

        if (_entry.Conflicts == 0)
            return false;
        findings.Refuse(
            "catalog-conflict",
            $"The catalog knows stores under other ids than the source: {AdoptFindings.Quoted(_entry.Reasons.SelectMany(r => r.First))}. "
                + "Nothing was changed. Adopt into an empty catalog, before the site takes files of its own."
        );
        return true;
    }

    /// <summary>The rows of the adopted stores that have to be written.</summary>
    private List<StoreRecord> Rows(List<StoreRecord> there, bool empty)
    {
        var rows = new List<StoreRecord>();
        foreach (var (name, store) in _adopted)
        {
            var old = there.Find(t => t.Name == name);
            if (old is not null && old.Id == store.Id)
                _entry.AlreadyThere++;
            else
                _entry.Adopted++;
            if (old is not null && !empty)
                continue;
            rows.Add(
                new StoreRecord
                {
                    Id = store.Id,
                    Name = name,
                    Ingestable = store.Settings!.Ingestable,
                    Enabled = store.Enabled,
                    StoreData = old?.StoreData ?? MarkedData(store),
                }
            );
        }

        return rows;
    }

    /// <summary>Rows of stores that the source does not know: they move above all ids that the source has assigned.</summary>
    private async Task<List<StoreRecord>> MovedAsync(
        List<StoreRecord> there,
        List<StoreRecord> adopted,
        CancellationToken cancellationToken
    )
    {
        var next = Math.Max(await source.LastIdAsync("store_metadata", cancellationToken), there.Select(t => t.Id).DefaultIfEmpty().Max());
        var taken = adopted.Select(r => r.Id).ToHashSet();
        return
        [
            .. there
                .Where(t => !_adopted.ContainsKey(t.Name))
                .Select(t => new StoreRecord
                {
                    Id = taken.Contains(t.Id) ? ++next : t.Id,
                    Name = t.Name,
                    Ingestable = t.Ingestable,
                    Enabled = t.Enabled,
                    StoreData = t.StoreData,
                }),
        ];
    }

    /// <summary>Writes the rows, reads them back and compares.</summary>
    private async Task WriteAsync(List<StoreRecord> rows, CancellationToken cancellationToken)
    {
        var table = new CatalogTable<StoreRecord>(db, nameof(StoreRecord.Id), nameof(StoreRecord.Name));
        await table.InsertAsync(rows, cancellationToken);
        var now = (await db.Stores.ToListAsync(cancellationToken)).ToDictionary(s => s.Id);
        _entry.CatalogAfter = now.Count;
        _entry.Differences =
            _adopted.Values.Count(s => !now.TryGetValue(s.Id, out var row) || row.Name != s.Name)
            + rows.Count(r => !now.TryGetValue(r.Id, out var row) || !table.Values(r).AsSpan().SequenceEqual(table.Values(row)));
    }

    /// <summary>The store's row data about the disk. A new store gets its identity now, as at the first start of a site.</summary>
    private string MarkedData(UpstreamStore store)
    {
        var settings = store.Settings!;
        var marker = "";
        if (request.DryRun && StoreClaim.Examine(settings, options.Name, static _ => null)?.Refusal is { } foreseen)
            findings.Refuse("store-refused", foreseen);
        if (!request.DryRun && store.Available == 0 && !Directory.Exists(settings.StorePath))
        {
            marker = Guid.NewGuid().ToString("D");
            findings.Note(
                $"Store '{store.Name}' is away: when its disk is back at {settings.StorePath}, "
                    + $"write the line {marker} to {Path.Combine(settings.StorePath, StoreIdentity.MarkerFileName)}, "
                    + "by which the site knows it."
            );
        }
        else if (!request.DryRun)
        {
            var claim = StoreClaim.Make(settings, options.Name, static _ => null);
            if (claim.Refusal is { } refusal)
                findings.Refuse("store-refused", refusal);
            else
                marker = claim.StoreId!.Value.ToString("D");
        }

        return new JsonObject
        {
            ["staging_path"] = settings.StagingPath,
            ["store_path"] = settings.StorePath,
            ["marker"] = marker,
        }.ToJsonString(JsonSerializerOptions.Web);
    }
}
