using System.Text.Json;
using System.Text.Json.Nodes;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>A store of the source, with its contents.</summary>
/// <param name="Id">Its id there, which peers know.</param>
/// <param name="Name">Its name.</param>
/// <param name="Enabled">Whether it was switched on.</param>
/// <param name="Copies">Copies on it.</param>
/// <param name="Available">Copies that are marked available.</param>
/// <param name="Arriving">Unfinished transfers to it.</param>
/// <param name="Settings">This site's configuration of that name.</param>
internal sealed record UpstreamStore(
    long Id,
    string Name,
    bool Enabled,
    long Copies,
    long Available,
    long Arriving,
    StoreOptions? Settings
);

/// <content>Stores and keys: checks before anything is written.</content>
internal sealed partial class AdoptRun
{
    private const string UnfinishedNames = "('INITIATED', 'ONGOING', 'STAGED')";

    private readonly List<UpstreamStore> _stores = [];
    private Dictionary<long, UpstreamStore> _adoptedStores = [];

    /// <summary>Refuses problems that an administrator has to solve first. Only the source and the disk are examined.</summary>
    public async Task ExamineAsync(CancellationToken cancellationToken)
    {
        await ReadStoresAsync(cancellationToken);
        ExamineStores();
        await ExamineKeysAsync(cancellationToken);
        if (
            source.Has("remote_instances", "sender")
            && await source.ScalarAsync("SELECT sender FROM remote_instances ORDER BY id DESC LIMIT 1", cancellationToken) is string sender
            && sender != options.Name
        )
            report.Notes.Add(
                $"The Python site called itself '{sender}', this one is '{options.Name}' (Site:Name). "
                    + "Peers know the old name: their accounts and registrations of this site must be renamed, "
                    + "or Site:Name corrected."
            );
        if (
            source.Kind == DatabaseKind.PostgreSql
            && Convert.ToInt64(
                await source.ScalarAsync(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                        + "AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
                    cancellationToken
                )
            )
                is > 0
                    and var others
        )
            report.Notes.Add(
                $"{others} other connections to the source are open. If they are the Python site's, stop it and run again: "
                    + "what it does from now on is missing here."
            );
    }

    private async Task ReadStoresAsync(CancellationToken cancellationToken)
    {
        var available = source.Has("instances", "available") ? "CASE WHEN available THEN 1 ELSE 0 END" : "1";
        var columns = source.Columns("store_metadata", "s", "id", "name", "enabled");
        var sql = $"""
            SELECT {columns},
              COALESCE(n.copies, 0) AS copies, COALESCE(n.here, 0) AS here, COALESCE(t.arriving, 0) AS arriving
            FROM store_metadata s
            LEFT JOIN (
              SELECT store_id, COUNT(*) AS copies, SUM({available}) AS here FROM instances GROUP BY store_id
            ) n ON n.store_id = s.id
            LEFT JOIN (
              SELECT store_id, COUNT(*) AS arriving FROM incoming_transfers
              WHERE CAST(status AS TEXT) IN {UnfinishedNames} GROUP BY store_id
            ) t ON t.store_id = s.id
            ORDER BY s.id
            """;
        await foreach (var row in source.ReadAsync(sql, cancellationToken))
        {
            var name = row.Text("name");
            _stores.Add(
                new UpstreamStore(
                    row.Number("id"),
                    name,
                    row.Flag("enabled", true),
                    row.Number("copies"),
                    row.Number("here"),
                    row.Number("arriving"),
                    options.Stores.Find(s => s.Name == name)
                )
            );
        }
    }

    private void ExamineStores()
    {
        var unknown = request.SkippedStores.Where(name => _stores.TrueForAll(s => s.Name != name)).ToList();
        if (unknown.Count > 0)
            Refuse(
                "skip-store",
                $"--skip-store names {Quoted(unknown)}, but the source has only {Quoted(_stores.Select(s => s.Name))}. Nothing was changed."
            );
        var wanted = _stores.FindAll(s => !request.SkippedStores.Contains(s.Name));
        _adoptedStores = wanted.Where(s => s.Settings is not null).ToDictionary(s => s.Id);
        var missing = wanted.FindAll(s => s.Settings is null && s.Copies + s.Arriving > 0);
        if (missing.Count > 0)
        {
            var listed = string.Join(", ", missing.Select(s => $"'{s.Name}' ({s.Copies} copies, {s.Arriving} unfinished transfers)"));
            Refuse(
                "stores-not-configured",
                $"The source has stores that are not configured here: {listed}. Nothing was changed. "
                    + "Add Site:Stores:n:Name, :StagingPath and :StorePath for each, with the paths of the Python site's add_stores, "
                    + "or leave a store and its copies behind with --skip-store NAME."
            );
        }

        foreach (var (store, settings) in _adoptedStores.Values.Select(s => (s, s.Settings!)))
        {
            // An unmounted disk looks like lost data, and the store identity would be written to the mount point.
            if (store.Available > 0 && !HasEntries(settings.StorePath))
                Refuse(
                    "store-not-mounted",
                    $"Store '{store.Name}' has {store.Available} copies, but {settings.StorePath} does not exist or is empty. "
                        + "Nothing was changed. Mount it, or correct its StorePath in Site:Stores."
                );
            if (store.Arriving > 0 && !Directory.Exists(settings.StagingPath))
                Refuse(
                    "store-not-mounted",
                    $"{store.Arriving} unfinished transfers have their data below the staging directory of store '{store.Name}', "
                        + $"but {settings.StagingPath} does not exist. Nothing was changed. "
                        + "Mount it, or correct its StagingPath in Site:Stores."
                );
        }
    }

    private async Task ExamineKeysAsync(CancellationToken cancellationToken)
    {
        var (all, unreadable) = (0, new List<string>());
        await foreach (var row in source.ReadAsync("SELECT name, authenticator FROM librarians ORDER BY name", cancellationToken))
        {
            all++;
            var name = row.Text("name");
            if (fernet is null || !fernet.TryDecrypt(row.Text("authenticator", int.MaxValue), out var login))
                unreadable.Add(name);
            else if (login.Count(c => c == ':') > 1)
                report.Notes.Add(
                    $"The password for '{name}' has a colon. The Python site sent only the part before it, this one sends all. "
                        + $"If '{name}' refuses us, register it anew."
                );
        }

        if (unreadable.Count == 0)
            return;
        Refuse(
            "encryption-key",
            fernet is null
                ? $"The source holds encrypted credentials of {all} peers, and this site has no key. Nothing was changed. "
                    + "Set Site:EncryptionKey to the Python site's encryption_key (or Site:EncryptionKey_FILE to its encryption_key_file)."
                : "The key of this site (Site:EncryptionKey, or encryption.key in the data directory) does not decrypt the "
                    + $"credentials of {Quoted(unreadable)} ({unreadable.Count} of {all} peers). Nothing was changed. "
                    + "Set Site:EncryptionKey to the Python site's encryption_key."
        );
    }

    /// <summary>
    /// Adopts the rows of stores with the ids that peers know. In a catalog without files, copies and transfers nothing refers to a store,
    /// so there the rows that an earlier start of the site made get new ids.
    /// </summary>
    private async Task AdoptStoresAsync(CancellationToken cancellationToken)
    {
        var entry = new AdoptKind("store_metadata") { InSource = _stores.Count, Read = _stores.Count };
        report.Kinds.Add(entry);
        var table = new CatalogTable<StoreRecord>(_db, nameof(StoreRecord.Id), nameof(StoreRecord.Name));
        var there = await _db.Stores.OrderBy(s => s.Id).ToListAsync(cancellationToken);
        var empty =
            !await _db.Files.AnyAsync(cancellationToken)
            && !await _db.Copies.AnyAsync(cancellationToken)
            && !await _db.IncomingTransfers.AnyAsync(cancellationToken)
            && !await _db.CloneTransfers.AnyAsync(cancellationToken);
        var adopted = _adoptedStores.Values.ToDictionary(s => s.Name, StringComparer.Ordinal);
        foreach (var left in _stores.Where(s => !adopted.ContainsKey(s.Name)))
        {
            entry.Skipped++;
            Report(
                entry,
                AdoptEffect.Skipped,
                request.SkippedStores.Contains(left.Name)
                    ? "left behind as asked (--skip-store)"
                    : "not configured here, and nothing is on it",
                left.Name
            );
        }

        if (!empty)
        {
            foreach (var wrong in adopted.Values.Where(s => there.Exists(t => t.Name == s.Name ? t.Id != s.Id : t.Id == s.Id)))
            {
                entry.Conflicts++;
                Report(entry, AdoptEffect.Conflict, $"peers know the store as {wrong.Id}, which is another one's id here", wrong.Name);
            }

            if (entry.Conflicts > 0)
            {
                Refuse(
                    "catalog-conflict",
                    $"The catalog knows stores under other ids than the source: {Quoted(entry.Reasons.SelectMany(r => r.First))}. "
                        + "Nothing was changed. Adopt into an empty catalog, before the site takes files of its own."
                );
                return;
            }
        }

        var rows = new List<StoreRecord>();
        foreach (var (name, store) in adopted)
        {
            var old = there.Find(t => t.Name == name);
            if (old is not null && old.Id == store.Id)
                entry.AlreadyThere++;
            else
                entry.Adopted++;
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

        entry.CatalogBefore = there.Count;
        if (empty)
        {
            // Rows of stores that the source does not know move above all ids that the source has assigned.
            var next = Math.Max(
                await source.LastIdAsync("store_metadata", cancellationToken),
                there.Select(t => t.Id).DefaultIfEmpty().Max()
            );
            var taken = rows.Select(r => r.Id).ToHashSet();
            rows.AddRange(
                there
                    .Where(t => !adopted.ContainsKey(t.Name))
                    .Select(t => new StoreRecord
                    {
                        Id = taken.Contains(t.Id) ? ++next : t.Id,
                        Name = t.Name,
                        Ingestable = t.Ingestable,
                        Enabled = t.Enabled,
                        StoreData = t.StoreData,
                    })
            );
            entry.CatalogBefore -= adopted.Values.Count(s => there.Exists(t => t.Name == s.Name && t.Id != s.Id));
            await _db.Stores.ExecuteDeleteAsync(cancellationToken);
        }

        await table.InsertAsync(rows, cancellationToken);
        var now = (await _db.Stores.ToListAsync(cancellationToken)).ToDictionary(s => s.Id);
        entry.CatalogAfter = now.Count;
        entry.Differences =
            adopted.Values.Count(s => !now.TryGetValue(s.Id, out var row) || row.Name != s.Name)
            + rows.Count(r => !now.TryGetValue(r.Id, out var row) || !table.Values(r).AsSpan().SequenceEqual(table.Values(row)));
    }

    /// <summary>The store's row data about the disk. A new store gets its identity now, as at the first start of a site.</summary>
    private string MarkedData(UpstreamStore store)
    {
        var settings = store.Settings!;
        var marker = "";
        if (request.DryRun && StoreClaim.Examine(settings, options.Name, static _ => null)?.Refusal is { } foreseen)
            Refuse("store-refused", foreseen);
        if (!request.DryRun && store.Available == 0 && !Directory.Exists(settings.StorePath))
        {
            marker = Guid.NewGuid().ToString("D");
            report.Notes.Add(
                $"Store '{store.Name}' is away: when its disk is back at {settings.StorePath}, "
                    + $"write the line {marker} to {Path.Combine(settings.StorePath, StoreIdentity.MarkerFileName)}, "
                    + "by which the site knows it."
            );
        }
        else if (!request.DryRun)
        {
            var claim = StoreClaim.Make(settings, options.Name, static _ => null);
            if (claim.Refusal is { } refusal)
                Refuse("store-refused", refusal);
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

    private static bool HasEntries(string directory) =>
        Directory.Exists(directory)
        && Directory.EnumerateFileSystemEntries(directory).Any(entry => Path.GetFileName(entry) != FileName.WorkingDirectory);

    private static string Quoted(IEnumerable<string> names) => string.Join(", ", names.Select(n => $"'{n}'"));
}
