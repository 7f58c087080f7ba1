using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Functions.Startup;

public sealed partial class SiteCheck
{
    /// <summary>Opens the catalog for reading; null if there is none yet, or none that this program can read.</summary>
    private async Task<CatalogDatabase?> OpenCatalogAsync(CancellationToken stop)
    {
        CatalogDatabase? catalog = null;
        try
        {
            if (CatalogDatabase.KindOf(SiteDirectory.CatalogConnection(_options)) == DatabaseKind.PostgreSql)
                catalog = await OpenPostgresAsync(stop);
            else
                catalog = await OpenSqliteAsync();
            if (catalog is null)
                return null;
            await using var db = catalog.Open();
            var applied = (await db.Database.GetAppliedMigrationsAsync(stop)).ToList();
            var known = db.Database.GetMigrations().ToList();
            var pending = EarlierMigrations.AreIn(applied) ? known.Count : known.Count - applied.Count;
            if (applied.Count == 0)
                await OkAsync("database", "empty; the first start makes the catalog");
            else if (EarlierMigrations.FindRefusal(applied) is { } tooOld)
                await ErrorAsync("database", tooOld);
            else if (!EarlierMigrations.AreIn(applied) && applied.Except(known, StringComparer.Ordinal).FirstOrDefault() is { } newer)
                await ErrorAsync(
                    "database",
                    $"the catalog was made by a newer release ('{newer}'). Run that one, or restore the backup from before the upgrade."
                );
            else if (pending > 0)
                await WarnAsync("database", $"{pending} migrations are pending; the next start applies them. Back the catalog up before.");
            else
                await OkAsync("database", "the catalog is up to date");
            if (pending == 0)
                return catalog;
        }
        catch (Exception e) when (CatalogDatabase.IsDatabaseFailure(e) || CatalogDatabase.IsAway(e) || e is ArgumentException)
        {
            await ErrorAsync(
                "database",
                $"{Where()} cannot be read: {e.GetBaseException().Message}. Start the server, or correct Site:Database."
            );
        }

        catalog?.Dispose();
        return null;
    }

    private string Where() =>
        _options.Database.Length == 0 ? Path.Combine(_options.DataDirectory, "catalog.db")
        : CatalogDatabase.KindOf(_options.Database) == DatabaseKind.PostgreSql ? DatabaseWait.Describe(_options.Database)
        : "the database of Site:Database";

    private async Task<CatalogDatabase> OpenPostgresAsync(CancellationToken stop)
    {
        var catalog = new CatalogDatabase(_options.Database);
        try
        {
            await using var db = catalog.Open();
            var logged = await db
                .Database.SqlQuery<string>(
                    $"""
                    select pg_encoding_to_char(encoding)::text || ' ' || current_setting('server_version') as "Value"
                    from pg_database where datname = current_database()
                    """
                )
                .SingleAsync(stop);
            if (logged.StartsWith("UTF8 ", StringComparison.Ordinal))
                await OkAsync("database", $"{Where()}, version {logged[5..]}");
            else
                await ErrorAsync(
                    "database",
                    $"{Where()} has the encoding {logged.Split(' ')[0]}; names of files need UTF8. "
                        + "Make another with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0."
                );
            var off = await CatalogDatabase.UnsafeSettingsAsync(db, stop);
            if (off.Count > 0 && _options.AllowUnsafeDatabase)
                await WarnAsync(
                    "database",
                    $"{string.Join(", ", off)} off, which Site:AllowUnsafeDatabase allows: "
                        + "it may forget files that senders count as safe."
                );
            else if (off.Count > 0)
                await ErrorAsync("database", DatabaseWait.Unsafe(off));
            await CompareClockAsync(
                "the database server",
                new DateTimeOffset(
                    await db.Database.SqlQuery<DateTime>($"""select clock_timestamp() at time zone 'UTC' as "Value" """).SingleAsync(stop),
                    TimeSpan.Zero
                )
            );
            return catalog;
        }
        catch
        {
            catalog.Dispose();
            throw;
        }
    }

    private async Task<CatalogDatabase?> OpenSqliteAsync()
    {
        var file =
            _options.Database.Length == 0
                ? Path.Combine(_options.DataDirectory, "catalog.db")
                : new SqliteConnectionStringBuilder(_options.Database).DataSource;
        if (!File.Exists(file))
        {
            await OkAsync("database", $"{file} does not exist; the first start makes it");
            return null;
        }

        // SQLite makes files beside a catalog even for a reader, unless the connection says that nobody writes (immutable).
        var log = new FileInfo(file + "-wal");
        if (log is not { Exists: true, Length: > 0 })
        {
            var escaped = Uri.EscapeDataString(file).Replace("%2F", "/", StringComparison.Ordinal);
            return new CatalogDatabase($"Data Source=file:{escaped}?immutable=1;Mode=ReadOnly;Pooling=False");
        }

        if (IsRunning())
        {
            await OkAsync("site", "it is running");
            return new CatalogDatabase($"Data Source={file};Mode=ReadOnly;Pooling=False");
        }

        // A killed site left changes beside the catalog, and reading them means applying them, so a copy of both files is read.
        try
        {
            _copy = Directory.CreateTempSubdirectory("librarian-check-");
            File.Copy(file, Path.Combine(_copy.FullName, "catalog.db"));
            log.CopyTo(Path.Combine(_copy.FullName, "catalog.db-wal"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            await ErrorAsync(
                "database",
                $"{file} was not closed properly, and no copy of it can be made to read it: {e.Message}. "
                    + "Start the site once, or set TMPDIR to a directory with space for it."
            );
            return null;
        }

        return new CatalogDatabase($"Data Source={Path.Combine(_copy.FullName, "catalog.db")};Pooling=False");
    }

    private bool IsRunning()
    {
        try
        {
            var path = Path.Combine(_options.DataDirectory, "site.lock");
            if (File.Exists(path))
                new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read).Dispose();
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }
}
