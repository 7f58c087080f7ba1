using System.Data.Common;
using System.Net.Sockets;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql;

namespace Librarian.Domain.Catalog;

/// <summary>The database engine of the catalog.</summary>
public enum DatabaseKind
{
    /// <summary>An embedded file, for one process.</summary>
    Sqlite,

    /// <summary>A PostgreSQL server, for any number of processes.</summary>
    PostgreSql,
}

/// <summary>
/// The catalog's database: creates contexts, applies migrations, and gives the durable engine its connection string. The engine uses the
/// same database, so that a catalog change and the start of an orchestration commit together.
/// </summary>
public sealed class CatalogDatabase : IDisposable
{
    /// <summary>
    /// The assembly of the migrations. They are generated from this one, so it cannot refer to them: a program that migrates does.
    /// </summary>
    internal const string MigrationsAssembly = "Librarian.Migrations";

    private static readonly TimeSpan s_longest = TimeSpan.FromHours(6);
    private readonly NpgsqlDataSource? _source;
    private readonly SemaphoreSlim? _sqliteWriteTurn;
    private readonly DbContextOptions<SqliteCatalog>? _sqlite;
    private readonly DbContextOptions<PostgresCatalog>? _postgres;

    /// <summary>Opens no connection yet.</summary>
    /// <param name="connectionString">A PostgreSQL connection string (it names a Host) or a SQLite one (<c>Data Source=…</c>).</param>
    /// <param name="interceptors">Additional EF Core interceptors (tests count statements with them).</param>
    public CatalogDatabase(string connectionString, params IInterceptor[] interceptors)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(connectionString);
        Kind = KindOf(connectionString);
        if (Kind == DatabaseKind.PostgreSql)
        {
            ConnectionString = connectionString;
            _postgres = new DbContextOptionsBuilder<PostgresCatalog>()
                .UseNpgsql(_source = OpenSource(connectionString), o => o.MigrationsAssembly(MigrationsAssembly))
                .AddInterceptors(interceptors)
                .Options;
        }
        else
        {
            ConnectionString = new SqliteConnectionStringBuilder(connectionString) { ForeignKeys = true, DefaultTimeout = 60 }.ToString();
            // A list is one parameter, as on PostgreSQL: with one parameter per element, every length would be a statement of its own, and
            // SQLite binds named parameters slowly.
            _sqlite = new DbContextOptionsBuilder<SqliteCatalog>()
                .UseSqlite(ConnectionString, o =>
                    o.UseParameterizedCollectionMode(ParameterTranslationMode.Parameter).MigrationsAssembly(MigrationsAssembly)
                )
                .AddInterceptors([SqlitePragmas.Instance, new SqliteWriteLock(_sqliteWriteTurn = new SemaphoreSlim(1, 1)), .. interceptors])
                .Options;
        }
    }

    // The catalog leaves nothing in a session (no settings, no session locks, no temporary tables), so nothing has to be reset between two
    // uses: this saves a DISCARD ALL before every unit of work.
    private static NpgsqlDataSource OpenSource(string connectionString) =>
        NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(connectionString) { NoResetOnClose = true });

    public DatabaseKind Kind { get; }

    public string ConnectionString { get; }

    /// <summary>
    /// Taken for every write to a SQLite file; code in this process that writes the same file without this class has to take it too. Null
    /// on PostgreSQL.
    /// </summary>
    public SemaphoreSlim? SqliteWriteSemaphore => _sqliteWriteTurn;

    /// <summary>Recognises the engine by the form of a connection string.</summary>
    public static DatabaseKind KindOf(string connectionString)
    {
        var builder = new DbConnectionStringBuilder { ConnectionString = connectionString };
        return builder.ContainsKey("Host") || builder.ContainsKey("Server") ? DatabaseKind.PostgreSql : DatabaseKind.Sqlite;
    }

    /// <summary>A new unit of work; dispose it.</summary>
    public CatalogContext Open() => _sqlite is not null ? new SqliteCatalog(_sqlite) : new PostgresCatalog(_postgres!);

    /// <summary>
    /// A unit of work on an open connection and transaction of the caller (such as a transactional activity's): its changes commit or roll
    /// back with that transaction.
    /// </summary>
    public CatalogContext OpenOn(DbTransaction transaction)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        var connection = transaction.Connection ?? throw new InvalidOperationException("The transaction has already ended.");
        CatalogContext context =
            Kind == DatabaseKind.Sqlite
                ? new SqliteCatalog(
                    new DbContextOptionsBuilder<SqliteCatalog>()
                        .UseSqlite(connection, o => o.UseParameterizedCollectionMode(ParameterTranslationMode.Parameter))
                        .Options
                )
                : new PostgresCatalog(new DbContextOptionsBuilder<PostgresCatalog>().UseNpgsql(connection).Options);
        context.Database.UseTransaction(transaction);
        return context;
    }

    /// <summary>
    /// Brings the schema up to date. Crash-safe: each migration is a transaction of its own, and EF Core's migration lock serialises
    /// PostgreSQL processes that start together.
    /// </summary>
    /// <exception cref="InvalidOperationException">The database is not fit for a catalog, or its catalog is too old.</exception>
    public Task MigrateAsync(CancellationToken cancellationToken) => MigrateAsync(site: null, cancellationToken);

    /// <summary>As above, for a site. The catalog of another site is refused before anything in it is changed.</summary>
    /// <param name="site">The name of the site whose catalog it has to be; null: any.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="InvalidOperationException">As above, or the catalog belongs to another site.</exception>
    public async Task MigrateAsync(string? site, CancellationToken cancellationToken)
    {
        if (Kind == DatabaseKind.Sqlite)
        {
            var file = new SqliteConnectionStringBuilder(ConnectionString).DataSource;
            if (Path.GetDirectoryName(Path.GetFullPath(file)) is { Length: > 0 } directory)
                Directory.CreateDirectory(directory);
            // Private from the beginning, whatever the umask; SQLite gives the files beside it the same mode. An existing file is never
            // opened here: closing it would drop SQLite's locks.
            if (!File.Exists(file))
                Security.PrivateFile.Create(file).Dispose();
            await using var first = new SqliteConnection(ConnectionString);
            await first.OpenAsync(cancellationToken);
            await using var wal = first.CreateCommand();
            wal.CommandText = "PRAGMA journal_mode=WAL";
            await wal.ExecuteNonQueryAsync(cancellationToken);
            // A process killed inside a migration leaves EF Core's lock row behind; SQLite has one process, so the row is stale.
            await using var stale = first.CreateCommand();
            stale.CommandText = "DROP TABLE IF EXISTS \"__EFMigrationsLock\"";
            await stale.ExecuteNonQueryAsync(cancellationToken);
        }

        await using var context = Open();
        if (context.Database.IsNpgsql())
            await RequireUtf8Async(context, cancellationToken);
        // An index over ten million rows takes minutes, and a second process waits as long for the lock.
        AllowLongStatements(context);
        if (site is not null)
            await RequireOwnerAsync(context, site, cancellationToken);
        await EarlierMigrations.ReplaceAsync(context, cancellationToken);
        // Migrating also builds the last migration's model and compares it with the present one, at every start.
        if (!(await context.Database.GetPendingMigrationsAsync(cancellationToken)).Any())
            return;
        await context.Database.MigrateAsync(cancellationToken);
    }

    private static async Task RequireOwnerAsync(CatalogContext context, string site, CancellationToken cancellationToken)
    {
        // The first migration made the table of the site.
        if (!(await context.Database.GetAppliedMigrationsAsync(cancellationToken)).Any())
            return;
        var owner = await context.Site.AsNoTracking().Select(s => s.Name).FirstOrDefaultAsync(cancellationToken);
        if (owner is not null && owner != site)
            throw new InvalidOperationException(
                $"Setting Site:Name is '{site}', but the catalog belongs to site '{owner}'. Nothing was changed. "
                    + "Correct Site:Name or Site:Database."
            );
    }

    /// <summary>
    /// With another encoding, a name that the encoding lacks fails in the middle of an ingest, or (SQL_ASCII) is stored unchecked.
    /// </summary>
    private static async Task RequireUtf8Async(CatalogContext context, CancellationToken cancellationToken)
    {
        var encoding = await context
            .Database.SqlQuery<string>(
                $"""select pg_encoding_to_char(encoding)::text as "Value" from pg_database where datname = current_database()"""
            )
            .SingleAsync(cancellationToken);
        if (encoding == "UTF8")
            return;
        throw new InvalidOperationException(
            $"The PostgreSQL database of Site:Database has the encoding {encoding}; names of files need UTF8. Nothing was changed. "
                + "Make another with CREATE DATABASE librarian ENCODING 'UTF8' TEMPLATE template0 "
                + "(move what is in this one with pg_dump and psql) and name it in Site:Database."
        );
    }

    /// <summary>
    /// For statements over every row of a drive or a table. PostgreSQL's driver times out after 30 s, and every retry would time out again.
    /// SQLite has no such limit.
    /// </summary>
    /// <param name="db">Unit of work whose later statements may take hours.</param>
    public static void AllowLongStatements(CatalogContext db)
    {
        ArgumentNullException.ThrowIfNull(db);
        if (db.Database.IsNpgsql())
            db.Database.SetCommandTimeout(s_longest);
    }

    /// <summary>Closes the pooled connections to a PostgreSQL server.</summary>
    public void Dispose()
    {
        _source?.Dispose();
        _sqliteWriteTurn?.Dispose();
    }

    /// <summary>Whether a save failed because a unique index already holds the key.</summary>
    public static bool IsUniqueViolation(Exception exception) =>
        Causes(exception)
            .Any(cause =>
                cause
                    is SqliteException { SqliteErrorCode: 19, SqliteExtendedErrorCode: 2067 or 1555 }
                        or PostgresException { SqlState: "23505" }
            );

    /// <summary>
    /// Whether the database has answered, and rolled back, because of the request itself: a value, a constraint, a deadlock. False when it
    /// cannot be reached, is busy, full or stopping: smaller requests would fail in the same way.
    /// </summary>
    public static bool IsRefusal(Exception exception) =>
        Causes(exception)
            .Any(cause =>
                cause switch
                {
                    SqliteException { SqliteErrorCode: 18 or 19 or 20 } => true,
                    // Classes of https://www.postgresql.org/docs/15/errcodes-appendix.html: data, constraints, rolled back (deadlock,
                    // serialization).
                    PostgresException { SqlState: { } state } => state.StartsWith("22", StringComparison.Ordinal)
                        || state.StartsWith("23", StringComparison.Ordinal)
                        || state.StartsWith("40", StringComparison.Ordinal),
                    _ => false,
                }
            );

    /// <summary>
    /// Whether the database did not answer, is starting or stopping, or has no connection left: the same request may succeed later. This
    /// includes a commit whose answer was lost.
    /// </summary>
    public static bool IsAway(Exception exception) =>
        Causes(exception)
            .Any(cause =>
                cause switch
                {
                    // Classes 08 (connection), 57P01 to 57P03 (stopped, crashed, starting), 53300 (too many connections).
                    PostgresException { SqlState: { } state } => state.StartsWith("08", StringComparison.Ordinal)
                        || state is "57P01" or "57P02" or "57P03" or "53300",
                    // Also when the driver's pool has no connection left.
                    NpgsqlException { InnerException: SocketException or IOException or TimeoutException } => true,
                    SocketException => true,
                    _ => false,
                }
            );

    /// <summary>
    /// Settings of a PostgreSQL server, for this account and database, that may lose acknowledged commits when its machine stops; empty
    /// when there are none.
    /// </summary>
    public static async Task<IReadOnlyList<string>> UnsafeSettingsAsync(CatalogContext db, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        if (!db.Database.IsNpgsql())
            return [];
        return await db
            .Database.SqlQuery<string>(
                $"""
                select name as "Value" from pg_settings
                where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off' order by name
                """
            )
            .ToListAsync(cancellationToken);
    }

    /// <summary>Whether the database or its driver threw the exception, also when EF Core has wrapped it.</summary>
    public static bool IsDatabaseFailure(Exception exception) => Causes(exception).Any(cause => cause is DbException);

    // EF Core wraps transient failures, deadlocks above all, in an InvalidOperationException, around the DbUpdateException of a save.
    private static IEnumerable<Exception> Causes(Exception exception)
    {
        for (var cause = exception; cause is not null; cause = cause.InnerException)
            yield return cause;
    }
}
