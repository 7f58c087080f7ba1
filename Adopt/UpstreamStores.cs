using Librarian.Domain.Configuration;

namespace Librarian.Adopt;

/// <summary>The stores of the source, and which of them are adopted.</summary>
internal sealed class UpstreamStores(UpstreamDatabase source, SiteOptions options, AdoptRequest request, AdoptFindings findings)
{
    private readonly List<UpstreamStore> _all = [];

    public IReadOnlyList<UpstreamStore> All => _all;

    /// <summary>Stores that are adopted, by their ids in the source.</summary>
    public Dictionary<long, UpstreamStore> Adopted { get; private set; } = [];

    public async Task ReadAsync(CancellationToken cancellationToken)
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
              WHERE CAST(status AS TEXT) IN {UpstreamDatabase.UnfinishedNames} GROUP BY store_id
            ) t ON t.store_id = s.id
            ORDER BY s.id
            """;
        await foreach (var row in source.ReadAsync(sql, cancellationToken))
        {
            var name = row.Text("name");
            _all.Add(
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

    /// <summary>Refuses stores that an administrator has to configure or mount first.</summary>
    public void Examine()
    {
        var unknown = request.SkippedStores.Where(name => _all.TrueForAll(s => s.Name != name)).ToList();
        if (unknown.Count > 0)
            findings.Refuse(
                "skip-store",
                $"--skip-store names {AdoptFindings.Quoted(unknown)}, "
                    + $"but the source has only {AdoptFindings.Quoted(_all.Select(s => s.Name))}. Nothing was changed."
            );
        var wanted = _all.FindAll(s => !request.SkippedStores.Contains(s.Name));
        Adopted = wanted.Where(s => s.Settings is not null).ToDictionary(s => s.Id);
        var missing = wanted.FindAll(s => s.Settings is null && s.Copies + s.Arriving > 0);
        if (missing.Count > 0)
        {
            var listed = string.Join(", ", missing.Select(s => $"'{s.Name}' ({s.Copies} copies, {s.Arriving} unfinished transfers)"));
            findings.Refuse(
                "stores-not-configured",
                $"The source has stores that are not configured here: {listed}. Nothing was changed. "
                    + "Add Site:Stores:n:Name, :StagingPath and :StorePath for each, with the paths of the Python site's add_stores, "
                    + "or leave a store and its copies behind with --skip-store NAME."
            );
        }

        foreach (var (store, settings) in Adopted.Values.Select(s => (s, s.Settings!)))
        {
            // An unmounted disk looks like lost data, and the store identity would be written to the mount point.
            if (store.Available > 0 && !HasEntries(settings.StorePath))
                findings.Refuse(
                    "store-not-mounted",
                    $"Store '{store.Name}' has {store.Available} copies, but {settings.StorePath} does not exist or is empty. "
                        + "Nothing was changed. Mount it, or correct its StorePath in Site:Stores."
                );
            if (store.Arriving > 0 && !Directory.Exists(settings.StagingPath))
                findings.Refuse(
                    "store-not-mounted",
                    $"{store.Arriving} unfinished transfers have their data below the staging directory of store '{store.Name}', "
                        + $"but {settings.StagingPath} does not exist. Nothing was changed. "
                        + "Mount it, or correct its StagingPath in Site:Stores."
                );
        }
    }

    /// <summary>Why a row is left out that refers to a store which is not adopted.</summary>
    public string LeftBehind(long store) =>
        _all.Find(s => s.Id == store) is { } known ? $"its store '{known.Name}' is left behind" : $"its store {store} is not in the source";

    private static bool HasEntries(string directory) =>
        Directory.Exists(directory)
        && Directory.EnumerateFileSystemEntries(directory).Any(entry => Path.GetFileName(entry) != FileName.WorkingDirectory);
}
