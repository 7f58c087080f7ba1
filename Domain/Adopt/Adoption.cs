using System.Data.Common;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Security;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Librarian.Domain.Adopt;

/// <summary>Lets tests stop an adoption at named points and watch its connection. Production code passes none.</summary>
/// <param name="Reach">Called at a point; an exception from here simulates the death of the process there.</param>
/// <param name="Opened">Called with the catalog's connection when it is open.</param>
public sealed record AdoptSeams(Action<string>? Reach = null, Action<DbConnection>? Opened = null);

/// <summary>How far an adoption has come.</summary>
/// <param name="Kind">What is being read.</param>
/// <param name="Read">Rows so far.</param>
/// <param name="InSource">Rows in the source.</param>
public sealed record AdoptProgress(string Kind, long Read, long InSource);

/// <summary>
/// Takes the catalog of a Python Librarian over into this site's: accounts, neighbours, files, copies, transfers with their ids, and
/// history. It may be run again at any time: rows that are there are left as they are, new ones are added.
/// </summary>
/// <remarks>
/// What a crash leaves: everything is one transaction of the catalog, which is compared with the source before it commits, so a crash (or any
/// refusal) before that leaves the catalog as it was, and one after it leaves everything. Besides, a crash may leave: the catalog's empty
/// tables, the marker of a store that the catalog does not know yet (taken over by the next run), a part of the report file, and, on
/// PostgreSQL, ids that stay unused. The source is never written.
/// </remarks>
/// <param name="catalog">The site's catalog; it is made when there is none.</param>
/// <param name="options">The site's settings, for its name and its stores.</param>
/// <param name="fernet">Cipher of neighbours' credentials; null when the site has no key yet.</param>
/// <param name="time">The clock.</param>
/// <param name="seams">For tests.</param>
public sealed class Adoption(CatalogDatabase catalog, SiteOptions options, Fernet? fernet, TimeProvider time, AdoptSeams? seams = null)
{
    /// <summary>Takes over what is new in the source. Only defects of this program throw; everything else is in the report.</summary>
    /// <param name="request">What is asked for.</param>
    /// <param name="progress">Told about every chunk of rows; may be null.</param>
    /// <param name="cancellationToken">Stops; nothing is then changed.</param>
    public async Task<AdoptReport> RunAsync(AdoptRequest request, Action<AdoptProgress>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(request);
        var began = time.GetTimestamp();
        var report = new AdoptReport
        {
            DryRun = request.DryRun,
            Source = UpstreamDatabase.Describe(request.From),
            Catalog = UpstreamDatabase.Describe(catalog.ConnectionString),
            ReportFile = Path.GetFullPath(request.ReportFile),
            StartTime = time.GetUtcNow().UtcDateTime,
        };
        try
        {
            await using var log = AdoptLog.Create(request.ReportFile);
            await AdoptAsync(request, report, log, progress, cancellationToken);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            report.Refusals.Add(new AdoptRefusal("file-system", $"{e.Message} Nothing was changed in the catalog. Correct the path or its permissions, and run again."));
        }
        catch (Exception e) when (CatalogDatabase.IsDatabaseFailure(e))
        {
            report.Refusals.Add(new AdoptRefusal("database", $"A database failed: {e.GetBaseException().Message} The catalog is as it was, unless this happened while committing; run again, it finds out."));
        }

        if (report.Refusals.Count > 0) report.Outcome = AdoptOutcome.Refused;
        report.Seconds = time.GetElapsedTime(began).TotalSeconds;
        return report;
    }

    private async Task AdoptAsync(AdoptRequest request, AdoptReport report, AdoptLog log, Action<AdoptProgress>? progress, CancellationToken cancellationToken)
    {
        var tables = await CatalogSide.TablesAsync(catalog, cancellationToken);
        if (IsSource(request.From) || (tables is not null && tables.Contains("files") && !tables.Contains("__EFMigrationsHistory")))
        {
            report.Refusals.Add(new AdoptRefusal("catalog-is-the-source", "Site:Database names the Python site's own database. Nothing was changed. Give this site a database of its own; the old one is only read."));
            return;
        }

        var (source, refusal) = await UpstreamDatabase.OpenAsync(request.From, cancellationToken);
        if (source is null)
        {
            report.Refusals.Add(refusal!);
            return;
        }

        await using (source)
        {
            var run = new AdoptRun(source, options, fernet, time, request, report, log, progress, seams ?? new AdoptSeams());
            await run.ExamineAsync(cancellationToken);
            if (report.Refusals.Count > 0) return;
            var exists = tables is not null && tables.Contains("__EFMigrationsHistory");
            if (request.DryRun && !exists)
            {
                await RehearseAsync(run, cancellationToken);
                return;
            }

            if (!request.DryRun) await catalog.MigrateAsync(cancellationToken);
            await run.FillAsync(catalog, cancellationToken);
            await RefreshStatisticsAsync(report, cancellationToken);
        }
    }

    /// <summary>The site starts now; autovacuum would take a minute to notice. The adoption is committed whatever becomes of this.</summary>
    private async Task RefreshStatisticsAsync(AdoptReport report, CancellationToken cancellationToken)
    {
        try
        {
            await using var db = catalog.Open();
            CatalogDatabase.AllowLongStatements(db);
            await PlannerStatistics.RefreshAsync(db, cancellationToken);
        }
        catch (Exception e) when (e is OperationCanceledException || CatalogDatabase.IsDatabaseFailure(e))
        {
            report.Notes.Add($"PostgreSQL took no new statistics of the catalog ({e.GetBaseException().Message}). Everything is adopted; the site is slow until autovacuum takes them, or until you run ANALYZE.");
        }
    }

    /// <summary>A dry run without a catalog fills one in a directory for temporary files, which is then thrown away.</summary>
    private static async Task RehearseAsync(AdoptRun run, CancellationToken cancellationToken)
    {
        var directory = Directory.CreateTempSubdirectory("librarian-adopt-");
        try
        {
            using var scratch = new CatalogDatabase($"Data Source={Path.Combine(directory.FullName, "catalog.db")};Pooling=False");
            await scratch.MigrateAsync(cancellationToken);
            await run.FillAsync(scratch, cancellationToken);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    private bool IsSource(string from)
    {
        if (CatalogDatabase.KindOf(from) != catalog.Kind) return false;
        if (catalog.Kind == DatabaseKind.Sqlite)
            return Path.GetFullPath(new SqliteConnectionStringBuilder(from).DataSource) == Path.GetFullPath(new SqliteConnectionStringBuilder(catalog.ConnectionString).DataSource);
        var (one, other) = (new NpgsqlConnectionStringBuilder(from), new NpgsqlConnectionStringBuilder(catalog.ConnectionString));
        return one.Host == other.Host && one.Port == other.Port && one.Database == other.Database && one.SearchPath == other.SearchPath;
    }
}
