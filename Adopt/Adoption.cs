using System.Data.Common;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Security;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Librarian.Adopt;

/// <summary>Lets tests stop an adoption at named points and observe its connection. Production code passes none.</summary>
/// <param name="Reach">Called at a point; an exception from it simulates the death of the process there.</param>
/// <param name="Opened">Called with the catalog's connection when it is open.</param>
public sealed record AdoptSeams(Action<string>? Reach = null, Action<DbConnection>? Opened = null);

/// <summary>Progress of an adoption.</summary>
/// <param name="Kind">The table that is being read.</param>
/// <param name="Read">Rows so far.</param>
/// <param name="InSource">Rows in the source.</param>
public sealed record AdoptProgress(string Kind, long Read, long InSource);

/// <summary>
/// Adopts the catalog of a Python Librarian into this site's: accounts, peers, files, copies, transfers with their ids, and history. It may
/// be run again at any time: existing rows stay as they are, new ones are added.
/// </summary>
/// <remarks>
/// Everything is one transaction of the catalog, which is compared with the source before it commits. So a crash (or any refusal) before
/// the commit leaves the catalog as it was, and a crash after it leaves everything. A crash may also leave: the catalog's empty tables, the
/// identity of a store that the catalog does not know yet (adopted by the next run), a part of the report file, and, on PostgreSQL, unused
/// ids. The source is never written.
/// </remarks>
/// <param name="catalog">The site's catalog; it is created when there is none.</param>
/// <param name="options">The site's settings, for its name and its stores.</param>
/// <param name="fernet">Cipher for the peers' credentials; null when the site has no key yet.</param>
/// <param name="time">The clock.</param>
/// <param name="seams">For tests.</param>
public sealed class Adoption(CatalogDatabase catalog, SiteOptions options, Fernet? fernet, TimeProvider time, AdoptSeams? seams = null)
{
    /// <summary>Adopts what is new in the source. Only defects of this program throw; everything else is in the report.</summary>
    /// <param name="request">The request.</param>
    /// <param name="progress">Called after every chunk of rows; may be null.</param>
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
            report.Refusals.Add(
                new AdoptRefusal(
                    "file-system",
                    $"{e.Message} Nothing was changed in the catalog. Correct the path or its permissions, and run again."
                )
            );
        }
        catch (Exception e) when (CatalogDatabase.IsDatabaseFailure(e))
        {
            report.Refusals.Add(
                new AdoptRefusal(
                    "database",
                    $"A database failed: {e.GetBaseException().Message} "
                        + "The catalog is as it was, unless this happened while committing; run again, it finds out."
                )
            );
        }

        if (report.Refusals.Count > 0)
            report.Outcome = AdoptOutcome.Refused;
        report.Seconds = time.GetElapsedTime(began).TotalSeconds;
        return report;
    }

    private async Task AdoptAsync(
        AdoptRequest request,
        AdoptReport report,
        AdoptLog log,
        Action<AdoptProgress>? progress,
        CancellationToken cancellationToken
    )
    {
        var tables = await CatalogSide.TablesAsync(catalog, cancellationToken);
        if (IsSource(request.From) || (tables is not null && tables.Contains("files") && !tables.Contains("__EFMigrationsHistory")))
        {
            report.Refusals.Add(
                new AdoptRefusal(
                    "catalog-is-the-source",
                    "Site:Database names the Python site's own database. Nothing was changed. "
                        + "Give this site a database of its own; the old one is only read."
                )
            );
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
            var findings = new AdoptFindings(report, log, progress);
            var stores = new UpstreamStores(source, options, request, findings);
            var now = time.GetUtcNow().UtcDateTime;
            await new SourceExamination(source, stores, options, fernet, findings).RunAsync(cancellationToken);
            if (findings.AreRefused)
                return;
            var run = new AdoptRun(source, stores, options, request, findings, now, seams ?? new AdoptSeams());
            var exists = tables is not null && tables.Contains("__EFMigrationsHistory");
            if (request.DryRun && !exists)
            {
                await RehearseAsync(run, cancellationToken);
                return;
            }

            if (!request.DryRun)
                await catalog.MigrateAsync(cancellationToken);
            await run.FillAsync(catalog, cancellationToken);
            await RefreshStatisticsAsync(report, cancellationToken);
        }
    }

    /// <summary>
    /// Refreshes statistics, because the site starts now and autovacuum would take a minute to notice. The adoption stays committed even if
    /// this fails.
    /// </summary>
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
            report.Notes.Add(
                $"PostgreSQL took no new statistics of the catalog ({e.GetBaseException().Message}). "
                    + "Everything is adopted; the site is slow until autovacuum takes them, or until you run ANALYZE."
            );
        }
    }

    /// <summary>Runs a dry run without a catalog on a temporary one, which is then deleted.</summary>
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
        if (CatalogDatabase.KindOf(from) != catalog.Kind)
            return false;
        if (catalog.Kind == DatabaseKind.Sqlite)
            return Path.GetFullPath(new SqliteConnectionStringBuilder(from).DataSource)
                == Path.GetFullPath(new SqliteConnectionStringBuilder(catalog.ConnectionString).DataSource);
        var (one, other) = (new NpgsqlConnectionStringBuilder(from), new NpgsqlConnectionStringBuilder(catalog.ConnectionString));
        return one.Host == other.Host && one.Port == other.Port && one.Database == other.Database && one.SearchPath == other.SearchPath;
    }
}
