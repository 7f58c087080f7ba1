using System.Data;
using System.Data.Common;
using System.Runtime.CompilerServices;
using Librarian.Domain.Catalog;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Librarian.Adopt;

/// <summary>
/// The database of a Python Librarian (docs/spec/upstream.md#database), opened so that it cannot be written: SQLite read-only, PostgreSQL
/// in a READ ONLY transaction. All reads see one snapshot. Existing tables and columns are queried first: later releases added some, and
/// upstream's model and migrations disagree. Pickled columns are never read.
/// </summary>
internal sealed class UpstreamDatabase : IAsyncDisposable
{
    /// <summary>Tables of every release of version 2, with the columns that an adoption requires.</summary>
    private static readonly Dictionary<string, string[]> Required = new(StringComparer.Ordinal)
    {
        ["files"] = ["name", "size", "checksum", "uploader", "source"],
        ["instances"] = ["id", "path", "file_name", "store_id"],
        ["remote_instances"] = ["id", "file_name", "store_id", "librarian_id", "copy_time"],
        ["store_metadata"] = ["id", "name"],
        ["incoming_transfers"] =
        [
            "id",
            "status",
            "upload_name",
            "source",
            "transfer_size",
            "transfer_checksum",
            "store_id",
            "start_time",
            "staging_path",
            "store_path",
        ],
        ["outgoing_transfers"] =
        [
            "id",
            "status",
            "destination",
            "transfer_size",
            "transfer_checksum",
            "start_time",
            "instance_id",
            "remote_transfer_id",
        ],
        ["librarians"] = ["id", "name", "url", "port", "authenticator"],
        ["users"] = ["username", "auth_token", "auth_level"],
    };

    /// <summary>The source's names of the statuses of unfinished transfers, as SQL.</summary>
    public const string UnfinishedNames = "('INITIATED', 'ONGOING', 'STAGED')";

    private readonly DbConnection _connection;
    private readonly Dictionary<string, HashSet<string>> _tables = new(StringComparer.Ordinal);
    private DbTransaction? _transaction;

    private UpstreamDatabase(DatabaseKind kind, DbConnection connection)
    {
        Kind = kind;
        _connection = connection;
    }

    public DatabaseKind Kind { get; }

    /// <summary>Its location, without password.</summary>
    public static string Describe(string connectionString)
    {
        if (CatalogDatabase.KindOf(connectionString) == DatabaseKind.Sqlite)
            return new SqliteConnectionStringBuilder(connectionString).DataSource;
        var server = new NpgsqlConnectionStringBuilder(connectionString);
        return $"{server.Database} at {server.Host}:{server.Port}";
    }

    /// <summary>Opens the database; the second value says why it cannot be used.</summary>
    public static async Task<(UpstreamDatabase? Database, AdoptRefusal? Refusal)> OpenAsync(
        string connectionString,
        CancellationToken cancellationToken
    )
    {
        var kind = CatalogDatabase.KindOf(connectionString);
        DbConnection connection =
            kind == DatabaseKind.Sqlite
                ? new SqliteConnection(
                    new SqliteConnectionStringBuilder(connectionString) { Mode = SqliteOpenMode.ReadOnly, Pooling = false }.ToString()
                )
                : new NpgsqlConnection(
                    new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false, CommandTimeout = 0 }.ToString()
                );
        var database = new UpstreamDatabase(kind, connection);
        try
        {
            await connection.OpenAsync(cancellationToken);
            database._transaction =
                kind == DatabaseKind.Sqlite
                    ? ((SqliteConnection)connection).BeginTransaction(deferred: true)
                    : await connection.BeginTransactionAsync(IsolationLevel.RepeatableRead, cancellationToken);
            if (kind == DatabaseKind.PostgreSql)
                await database.ScalarAsync("SET TRANSACTION READ ONLY", cancellationToken);
            await database.ReadSchemaAsync(cancellationToken);
            if (database.Unfit() is not { } unfit)
                return (database, null);
            await database.DisposeAsync();
            return (null, unfit);
        }
        catch (DbException e)
        {
            await database.DisposeAsync();
            return (
                null,
                new AdoptRefusal(
                    "source-unreadable",
                    $"The source {Describe(connectionString)} cannot be read: {e.Message} Nothing was changed. "
                        + "Correct --from; the account needs to read all tables, "
                        + "and a SQLite file with a left-over journal must be opened once by the Python site."
                )
            );
        }
    }

    /// <summary>Whether there is such a table.</summary>
    public bool Has(string table) => _tables.ContainsKey(table);

    /// <summary>Whether there is such a column.</summary>
    public bool Has(string table, string column) => _tables.TryGetValue(table, out var columns) && columns.Contains(column);

    /// <summary>
    /// A select list: each column as it is, or NULL where the source's release lacks it. A name that ends with <c>:text</c> is cast,
    /// because PostgreSQL stores enums in types of their own.
    /// </summary>
    public string Columns(string table, string alias, params string[] columns) =>
        string.Join(
            ", ",
            columns.Select(entry =>
            {
                var (name, cast) = entry.EndsWith(":text", StringComparison.Ordinal) ? (entry[..^5], true) : (entry, false);
                return !Has(table, name) ? $"NULL AS {name}"
                    : cast ? $"CAST({alias}.{name} AS TEXT) AS {name}"
                    : $"{alias}.{name} AS {name}";
            })
        );

    /// <summary>A column, or NULL where it is missing.</summary>
    public string Column(string table, string alias, string column) => Has(table, column) ? $"{alias}.{column}" : "NULL";

    /// <summary>Number of rows in a table; 0 when it is missing.</summary>
    public async Task<long> CountAsync(string table, CancellationToken cancellationToken) =>
        Has(table) ? Convert.ToInt64(await ScalarAsync($"SELECT COUNT(*) FROM {table}", cancellationToken)) : 0;

    /// <summary>
    /// The highest id that the source has assigned, as far as it still knows: peers may still name transfers whose rows are gone, so their
    /// ids must not be assigned again.
    /// </summary>
    public async Task<long> LastIdAsync(string table, CancellationToken cancellationToken)
    {
        if (!Has(table, "id"))
            return 0;
        var highest = Convert.ToInt64(await ScalarAsync($"SELECT COALESCE(MAX(id), 0) FROM {table}", cancellationToken));
        object? given = null;
        if (Kind == DatabaseKind.PostgreSql)
        {
            if (await ScalarAsync($"SELECT pg_get_serial_sequence('{table}', 'id')", cancellationToken) is string sequence)
                given = await ScalarAsync($"SELECT last_value FROM {sequence}", cancellationToken);
        }
        else if (Has("sqlite_sequence"))
        {
            given = await ScalarAsync($"SELECT seq FROM sqlite_sequence WHERE name = '{table}'", cancellationToken);
        }

        return Math.Max(highest, given is null or DBNull ? 0 : Convert.ToInt64(given));
    }

    /// <summary>The first value of a query's result.</summary>
    public async Task<object?> ScalarAsync(string sql, CancellationToken cancellationToken)
    {
        await using var command = Command(sql);
        return await command.ExecuteScalarAsync(cancellationToken);
    }

    /// <summary>Reads rows; one <see cref="UpstreamRow"/> instance presents each in turn.</summary>
    public async IAsyncEnumerable<UpstreamRow> ReadAsync(string sql, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using var command = Command(sql);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var row = new UpstreamRow(reader);
        while (await reader.ReadAsync(cancellationToken))
        {
            row.Begin();
            yield return row;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_transaction is not null)
            await _transaction.DisposeAsync();
        await _connection.DisposeAsync();
    }

    private DbCommand Command(string sql)
    {
        var command = _connection.CreateCommand();
        command.CommandText = sql;
        command.CommandTimeout = 0;
        command.Transaction = _transaction;
        return command;
    }

    private async Task ReadSchemaAsync(CancellationToken cancellationToken)
    {
        var sql =
            Kind == DatabaseKind.Sqlite
                ? "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
                : "SELECT table_name::text, column_name::text FROM information_schema.columns "
                    + "WHERE table_schema = ANY (current_schemas(false)::text[])";
        await using var command = Command(sql);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            var table = reader.GetString(0);
            if (!_tables.TryGetValue(table, out var columns))
                _tables[table] = columns = new HashSet<string>(StringComparer.Ordinal);
            columns.Add(reader.GetString(1));
        }
    }

    private AdoptRefusal? Unfit()
    {
        if (Has("__EFMigrationsHistory"))
            return new AdoptRefusal(
                "source-is-a-catalog",
                "The source is a catalog of this program, not the database of a Python Librarian. Nothing was changed. "
                    + "Name the Python site's database with --from."
            );
        var missing = Required
            .SelectMany(t => Has(t.Key) ? t.Value.Where(c => !Has(t.Key, c)).Select(c => $"{t.Key}.{c}") : [t.Key])
            .ToList();
        return missing.Count == 0
            ? null
            : new AdoptRefusal(
                "source-not-upstream",
                "The source is not the database of a Python Librarian of version 2 or later: "
                    + $"it lacks {string.Join(", ", missing)}. "
                    + "Nothing was changed. Name the right database with --from."
            );
    }
}
