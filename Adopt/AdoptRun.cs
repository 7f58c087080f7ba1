using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Security;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>
/// One adoption: <see cref="ExamineAsync"/> examines only the source and the disk, <see cref="FillAsync"/> fills the catalog.
/// </summary>
internal sealed partial class AdoptRun(
    UpstreamDatabase source,
    SiteOptions options,
    Fernet? fernet,
    TimeProvider time,
    AdoptRequest request,
    AdoptReport report,
    AdoptLog log,
    Action<AdoptProgress>? progress,
    AdoptSeams seams
)
{
    private const int ChunkRows = 1000;

    /// <summary>Tables in which the catalog continues the source's ids.</summary>
    private static readonly string[] Numbered =
    [
        "store_metadata",
        "librarians",
        "instances",
        "remote_instances",
        "send_queue",
        "outgoing_transfers",
        "incoming_transfers",
        "clone_transfers",
        "corrupt_files",
        "errors",
    ];

    private readonly DateTime _now = time.GetUtcNow().UtcDateTime;
    private CatalogContext _db = null!;

    /// <summary>Fills the catalog, compares it with the source, and commits or rolls back everything.</summary>
    public async Task FillAsync(CatalogDatabase catalog, CancellationToken cancellationToken)
    {
        await using var side = await CatalogSide.OpenAsync(catalog, cancellationToken);
        if (side is null)
        {
            Refuse("adoption-running", "Another adoption into this catalog is running. Nothing was changed. Wait until it has ended.");
            return;
        }

        seams.Opened?.Invoke(side.Connection);
        _db = side.Db;
        if ((await _db.Database.GetPendingMigrationsAsync(cancellationToken)).Any())
        {
            Refuse(
                "catalog-old",
                "The catalog's tables are those of an older release. Nothing was changed. Run 'librarian-site migrate' first."
            );
            return;
        }

        await ClaimAsync(cancellationToken);
        // Stores get an identity with the site's name, which must not be a wrong one.
        if (report.Refusals.Count > 0)
            return;
        await AdoptStoresAsync(cancellationToken);
        if (report.Refusals.Count > 0)
            return;
        await AdoptUsersAsync(cancellationToken);
        await AdoptLibrariansAsync(cancellationToken);
        await AdoptFilesAsync(cancellationToken);
        await AdoptInstancesAsync(cancellationToken);
        await AdoptRemoteInstancesAsync(cancellationToken);
        await AdoptQueueAsync(cancellationToken);
        await AdoptOutgoingAsync(cancellationToken);
        await AdoptCompletedAsync(cancellationToken);
        await AdoptIncomingAsync(cancellationToken);
        await AdoptClonesAsync(cancellationToken);
        await AdoptCorruptAsync(cancellationToken);
        await AdoptErrorsAsync(cancellationToken);
        Judge();
        if (report.Refusals.Count > 0 || request.DryRun)
            return;
        foreach (var table in Numbered)
            await side.RaiseIdsAsync(table, await source.LastIdAsync(table, cancellationToken), cancellationToken);
        seams.Reach?.Invoke("before-commit");
        await side.CommitAsync(cancellationToken);
        seams.Reach?.Invoke("after-commit");
    }

    private void Refuse(string code, string message) => report.Refusals.Add(new AdoptRefusal(code, message));

    /// <summary>Claims the catalog for this site, because a catalog belongs to one site.</summary>
    private async Task ClaimAsync(CancellationToken cancellationToken)
    {
        var owner = await _db.Site.Select(s => s.Name).FirstOrDefaultAsync(cancellationToken);
        if (owner == options.Name)
            return;
        if (owner is not null)
            Refuse(
                "catalog-of-another-site",
                $"The catalog belongs to site '{owner}', but Site:Name is '{options.Name}'. Nothing was changed. "
                    + "Correct Site:Name or Site:Database."
            );
        else
            await new CatalogTable<SiteRecord>(_db).InsertAsync([new SiteRecord { Name = options.Name }], cancellationToken);
    }

    /// <summary>Adopts one table, a thousand rows at a time: read, decide, write, read back.</summary>
    private async Task AdoptAsync<T>(Kind<T> kind, CancellationToken cancellationToken)
        where T : class
    {
        var entry = new AdoptKind(kind.Name);
        report.Kinds.Add(entry);
        var table = new CatalogTable<T>(_db, kind.Identity);
        entry.CatalogBefore = entry.CatalogAfter = await table.CountAsync(cancellationToken);
        entry.InSource = await source.CountAsync(kind.Name, cancellationToken);
        UInt128 wanted = 0,
            found = 0;
        var chunk = new List<Candidate<T>>(ChunkRows);
        if (source.Has(kind.Name))
        {
            await foreach (var row in source.ReadAsync(kind.Sql, cancellationToken))
            {
                var candidate = kind.Read(row);
                if (row.Problem is { } problem)
                    candidate.Skip(problem);
                chunk.Add(candidate);
                if (chunk.Count == ChunkRows)
                    await SettleAsync();
            }
        }

        await SettleAsync();
        entry.CatalogAfter = await table.CountAsync(cancellationToken);
        entry.SourceChecksum = wanted.ToString("x32");
        entry.CatalogChecksum = found.ToString("x32");

        async Task SettleAsync()
        {
            if (chunk.Count == 0)
                return;
            seams.Reach?.Invoke($"{kind.Name} {entry.Read}");
            if (kind.Prepare is not null)
                await kind.Prepare([.. chunk.Where(c => c.Effect is null)]);
            var open = chunk.Where(c => c.Effect is null).ToList();
            // A table that was empty has no such rows: the rows of this run have other keys.
            var there = entry.CatalogBefore == 0 ? [] : (await kind.Find(open.ConvertAll(c => c.Row))).ToDictionary(kind.Key);
            foreach (var candidate in open)
            {
                if (!there.TryGetValue(kind.Key(candidate.Row), out var same))
                    continue;
                var (theirs, ours) = (table.Identity(candidate.Row), table.Identity(same));
                if (!theirs.AsSpan().SequenceEqual(ours))
                {
                    candidate.Contradict("the catalog holds something else under this key");
                    continue;
                }

                candidate.IsThere(kind.Kept?.Invoke(candidate.Row, same));
                wanted += CatalogTable<T>.Hash(theirs);
                found += CatalogTable<T>.Hash(ours);
            }

            var fresh = open.FindAll(c => c.Effect is null).ConvertAll(c => c.Row);
            var written = fresh.ConvertAll(table.Values);
            await table.InsertAsync(written, cancellationToken);
            var back = (await kind.Find(fresh)).ToDictionary(kind.Key);
            for (var i = 0; i < fresh.Count; i++)
            {
                var read = back.TryGetValue(kind.Key(fresh[i]), out var row) ? table.Values(row) : [];
                wanted += CatalogTable<T>.Hash(written[i]);
                found += CatalogTable<T>.Hash(read);
                if (!written[i].AsSpan().SequenceEqual(read))
                    entry.Differences++;
            }

            foreach (var candidate in chunk)
                Count(entry, candidate);
            chunk.Clear();
            await log.FlushAsync(cancellationToken);
            progress?.Invoke(new AdoptProgress(kind.Name, entry.Read, entry.InSource));
        }
    }

    private void Count<T>(AdoptKind entry, Candidate<T> candidate)
        where T : class
    {
        entry.Read++;
        switch (candidate.Effect)
        {
            case null:
                entry.Adopted++;
                foreach (var (effect, reason) in candidate.Remarks)
                    Report(entry, effect, reason, candidate.Label);
                return;
            case AdoptEffect.AlreadyThere:
                entry.AlreadyThere++;
                break;
            case AdoptEffect.Folded:
                entry.Folded++;
                break;
            case AdoptEffect.Skipped:
                entry.Skipped++;
                break;
            case AdoptEffect.Conflict:
                entry.Conflicts++;
                break;
        }

        if (candidate.Reason is { } why)
            Report(entry, candidate.Effect.Value, why, candidate.Label, candidate.Detail);
    }

    private void Report(AdoptKind entry, AdoptEffect effect, string reason, string label, string? detail = null)
    {
        entry.Add(effect, reason, label);
        log.Add(entry.Name, label, effect, reason, detail);
    }

    /// <summary>Compares the catalog with the source before anything is committed.</summary>
    private void Judge()
    {
        var conflicts = report.Kinds.Where(k => k.Conflicts > 0).Select(k => $"{k.Conflicts} in {k.Name}").ToList();
        if (conflicts.Count > 0)
            Refuse(
                "catalog-conflict",
                $"The catalog holds other things under keys of the source: {string.Join(", ", conflicts)}; the report names them. "
                    + "Peers know these ids, so none is changed. Nothing was changed. "
                    + "Adopt into an empty catalog, before the site takes files of its own."
            );
        else if (report.Kinds.FindAll(k => !k.Matches) is { Count: > 0 } wrong)
            Refuse(
                "catalog-differs",
                "What was read back from the catalog is not what the source holds: "
                    + $"{string.Join(", ", wrong.Select(k => k.Name))}. "
                    + "Nothing was changed. This is a defect of the program; report it with the report file."
            );
        report.Outcome = report.Kinds.Find(k => k.Name == "files") is { Skipped: > 0 }
            ? AdoptOutcome.AdoptedWithoutSomeFiles
            : AdoptOutcome.Adopted;
    }

    /// <summary>Why this site cannot use a name for a file; null when it can.</summary>
    private static string? Unservable(string name) =>
        !FileName.TryParse(name, out var path, out var refusal) ? FileName.Describe(refusal)
        : path.Value != name ? "The name is not in normal form, so nobody can ask for it."
        : null;
}
