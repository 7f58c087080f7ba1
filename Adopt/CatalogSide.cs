using System.Data.Common;
using Librarian.Domain.Catalog;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Librarian.Adopt;

/// <summary>The catalog while it is being filled: one connection and one transaction, which commits at the end or not at all.</summary>
internal sealed class CatalogSide : IAsyncDisposable
{
    /// <summary>Key of the advisory lock that prevents two concurrent adoptions into one PostgreSQL catalog.</summary>
    private const long LockKey = 0x6c69_6261_646f_7074;

    private readonly DbConnection _connection;
    private readonly DbTransaction _transaction;

    private CatalogSide(DbConnection connection, DbTransaction transaction, CatalogContext db)
    {
        _connection = connection;
        _transaction = transaction;
        Db = db;
    }

    /// <summary>The unit of work; nothing is tracked.</summary>
    public CatalogContext Db { get; }

    /// <summary>Opens the catalog; null when another adoption holds the lock.</summary>
    public static async Task<CatalogSide?> OpenAsync(CatalogDatabase catalog, CancellationToken cancellationToken)
    {
        DbConnection connection =
            catalog.Kind == DatabaseKind.Sqlite
                ? new SqliteConnection(new SqliteConnectionStringBuilder(catalog.ConnectionString) { Pooling = false }.ToString())
                : new NpgsqlConnection(
                    new NpgsqlConnectionStringBuilder(catalog.ConnectionString) { Pooling = false, CommandTimeout = 0 }.ToString()
                );
        try
        {
            await connection.OpenAsync(cancellationToken);
            // Files are read in the order of their names, but copies and transfers are not: a larger cache keeps their indexes' pages in
            // memory.
            if (catalog.Kind == DatabaseKind.Sqlite)
                await ExecuteAsync(
                    connection,
                    null,
                    "PRAGMA synchronous=FULL; PRAGMA busy_timeout=30000; PRAGMA cache_size=-65536",
                    cancellationToken
                );
            var transaction = await connection.BeginTransactionAsync(cancellationToken);
            var side = new CatalogSide(connection, transaction, catalog.OpenOn(transaction));
            side.Db.ChangeTracker.QueryTrackingBehavior = QueryTrackingBehavior.NoTracking;
            side.Db.Database.SetCommandTimeout(0);
            if (
                catalog.Kind == DatabaseKind.Sqlite
                || await side.ScalarAsync($"SELECT pg_try_advisory_xact_lock({LockKey})", cancellationToken) is true
            )
                return side;
            await side.DisposeAsync();
            return null;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    /// <summary>The connection, for tests that observe it.</summary>
    public DbConnection Connection => _connection;

    /// <summary>Names of the tables in a database that may have no catalog yet; null when there is no such database file.</summary>
    public static async Task<HashSet<string>?> TablesAsync(CatalogDatabase catalog, CancellationToken cancellationToken)
    {
        if (catalog.Kind == DatabaseKind.Sqlite && !File.Exists(new SqliteConnectionStringBuilder(catalog.ConnectionString).DataSource))
            return null;
        await using DbConnection connection =
            catalog.Kind == DatabaseKind.Sqlite
                ? new SqliteConnection(
                    new SqliteConnectionStringBuilder(catalog.ConnectionString)
                    {
                        Pooling = false,
                        Mode = SqliteOpenMode.ReadWrite,
                    }.ToString()
                )
                : new NpgsqlConnection(new NpgsqlConnectionStringBuilder(catalog.ConnectionString) { Pooling = false }.ToString());
        await connection.OpenAsync(cancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText =
            catalog.Kind == DatabaseKind.Sqlite
                ? "SELECT name FROM sqlite_master WHERE type = 'table'"
                : "SELECT table_name::text FROM information_schema.tables WHERE table_schema = ANY (current_schemas(false)::text[])";
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var tables = new HashSet<string>(StringComparer.Ordinal);
        while (await reader.ReadAsync(cancellationToken))
            tables.Add(reader.GetString(0));
        return tables;
    }

    /// <summary>
    /// Raises the next id of a table above <paramref name="floor"/> and above every id in it. On PostgreSQL this does not roll back with
    /// the transaction: after a crash a few ids stay unused.
    /// </summary>
    public async Task RaiseIdsAsync(string table, long floor, CancellationToken cancellationToken)
    {
        var highest = Math.Max(floor, Convert.ToInt64(await ScalarAsync($"SELECT COALESCE(MAX(id), 0) FROM {table}", cancellationToken)));
        if (highest <= 0)
            return;
        if (_connection is NpgsqlConnection)
        {
            var sequence = $"pg_get_serial_sequence('{table}', 'id')";
            await ScalarAsync($"SELECT setval({sequence}, GREATEST({highest}, nextval({sequence})))", cancellationToken);
            return;
        }

        await ExecuteAsync(
            _connection,
            _transaction,
            $"UPDATE sqlite_sequence SET seq = {highest} WHERE name = '{table}' AND seq < {highest}",
            cancellationToken
        );
        await ExecuteAsync(
            _connection,
            _transaction,
            $"INSERT INTO sqlite_sequence (name, seq) SELECT '{table}', {highest} "
                + $"WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '{table}')",
            cancellationToken
        );
    }

    public Task CommitAsync(CancellationToken cancellationToken) => _transaction.CommitAsync(cancellationToken);

    public async ValueTask DisposeAsync()
    {
        await Db.DisposeAsync();
        await _transaction.DisposeAsync();
        await _connection.DisposeAsync();
    }

    private async Task<object?> ScalarAsync(string sql, CancellationToken cancellationToken)
    {
        await using var command = _connection.CreateCommand();
        command.CommandText = sql;
        command.Transaction = _transaction;
        return await command.ExecuteScalarAsync(cancellationToken);
    }

    private static async Task ExecuteAsync(
        DbConnection connection,
        DbTransaction? transaction,
        string sql,
        CancellationToken cancellationToken
    )
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.Transaction = transaction;
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
