using System.Data.Common;
using System.Globalization;
using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql;

namespace Librarian.Tests.Domain.Catalog;

/// <summary>Catalogs that were made before the migrations became one per database (Earlier/README.md).</summary>
public sealed class EarlierMigrationsTests(PostgresServer server) : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-earlier-");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        SqliteConnection.ClearAllPools();
        _directory.Delete(recursive: true);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Migrate_CatalogWithAllOfThem_KeepsItsRowsAndEqualsAFreshOne(DatabaseKind kind)
    {
        var connection = await MakeAsync(kind, last: true);
        await FillAsync(connection);
        var rows = await RowsAsync(connection);
        using var database = new CatalogDatabase(connection);
        await database.MigrateAsync(Stop);

        Assert.Equal(rows, await RowsAsync(connection));
        Assert.Equal(["Initial"], await HistoryAsync(connection));
        using var fresh = await Databases.CreateAsync(kind, server);
        Assert.Equal(await SchemaAsync(fresh.Database.ConnectionString), await SchemaAsync(connection));
        Assert.Equal(await HistoryAsync(fresh.Database.ConnectionString), await HistoryAsync(connection));

        // The site reads and continues it, and the next start finds nothing to do.
        await database.MigrateAsync(Stop);
        await using var db = database.Open();
        Assert.Empty(await db.Database.GetPendingMigrationsAsync(Stop));
        var copy = await db.Copies.SingleAsync(Stop);
        Assert.Equal(("obs/1.bin", "f", 7), (copy.Path, copy.FileName, copy.Id));
        db.Errors.Add(
            new ErrorRecord
            {
                Severity = ErrorSeverity.Warning,
                Category = ErrorCategory.StoreFull,
                Message = "after",
                RaisedTime = DateTime.UtcNow,
            }
        );
        await db.SaveChangesAsync(Stop);
        Assert.Equal([1L, 2L], await db.Errors.OrderBy(e => e.Id).Select(e => e.Id).ToListAsync(Stop));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Migrate_CatalogWithoutTheLastOfThem_IsRefusedAndChangesNothing(DatabaseKind kind)
    {
        var connection = await MakeAsync(kind, last: false);
        var (schema, history) = (await SchemaAsync(connection), await HistoryAsync(connection));
        using var database = new CatalogDatabase(connection);

        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => database.MigrateAsync(Stop));

        Assert.Contains("PathAndContentIndexes'", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("Nothing was changed.", refusal.Message, StringComparison.Ordinal);
        Assert.Contains("'librarian-site migrate' of commit 8e465f3", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(schema, await SchemaAsync(connection));
        Assert.Equal(history, await HistoryAsync(connection));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Migrate_CatalogOfAnotherSite_IsRefusedAndChangesNothing(DatabaseKind kind)
    {
        var connection = await MakeAsync(kind, last: true);
        await using (var open = await OpenAsync(connection))
            await ExecuteAsync(open, "insert into site (name) values ('archive')");
        var history = await HistoryAsync(connection);
        using var database = new CatalogDatabase(connection);

        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => database.MigrateAsync("mountain", Stop));

        Assert.Contains("belongs to site 'archive'", refusal.Message, StringComparison.Ordinal);
        Assert.Equal(history, await HistoryAsync(connection));
        await database.MigrateAsync("archive", Stop);
        Assert.Equal(["Initial"], await HistoryAsync(connection));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Migrate_KilledBeforeItsCommit_IsRepeated(DatabaseKind kind)
    {
        var connection = await MakeAsync(kind, last: true);
        var history = await HistoryAsync(connection);
        using (var killed = new CatalogDatabase(connection, new NoCommit()))
            await Assert.ThrowsAsync<IOException>(() => killed.MigrateAsync(Stop));
        Assert.Equal(history, await HistoryAsync(connection));

        using var database = new CatalogDatabase(connection);
        await database.MigrateAsync(Stop);
        Assert.Equal(["Initial"], await HistoryAsync(connection));
    }

    [Fact]
    public async Task Migrate_ProcessesThatStartTogether_RecordItOnce()
    {
        var connection = await MakeAsync(DatabaseKind.PostgreSql, last: true);
        var gate = new Gate(processes: 5);
        CatalogDatabase[] processes = [.. Enumerable.Range(0, 5).Select(_ => new CatalogDatabase(connection, gate))];

        await Task.WhenAll(processes.Select(p => p.MigrateAsync(Stop)));

        Assert.Equal(["Initial"], await HistoryAsync(connection));
        foreach (var process in processes)
            process.Dispose();
    }

    private async Task<string> MakeAsync(DatabaseKind kind, bool last)
    {
        var connection =
            kind == DatabaseKind.PostgreSql
                ? await server.CreateDatabaseAsync(Stop)
                : $"Data Source={Path.Combine(_directory.FullName, "catalog.db")}";
        await using var open = await OpenAsync(connection);
        if (kind == DatabaseKind.Sqlite)
            await ExecuteAsync(open, "pragma journal_mode=wal");
        foreach (var part in last ? ["1", "2"] : new[] { "1" })
        {
            await using var script = typeof(EarlierMigrationsTests).Assembly.GetManifestResourceStream($"{kind}.{part}.sql")!;
            using var text = new StreamReader(script);
            await ExecuteAsync(open, await text.ReadToEndAsync(Stop));
        }

        return connection;
    }

    private static async Task FillAsync(string connection)
    {
        await using var open = await OpenAsync(connection);
        await ExecuteAsync(
            open,
            """
            insert into site (name) values ('mountain');
            insert into store_metadata (id, name, ingestable, enabled, store_type, store_data)
              values (3, 'main', true, true, 1, '{"store_path":"/data/store"}');
            insert into files (name, create_time, size, checksum, uploader, source)
              values ('f', '2026-01-02 03:04:05', 9, 'xxh3:::00', 'ann', 'mountain'),
                ('🔭 ''g''', '2026-01-02 03:04:06', 1, 'c', 'ann', 's');
            insert into instances (id, path, file_name, store_id, deletion_policy, created_time, available)
              values (7, 'obs/1.bin', 'f', 3, 'DISALLOWED', '2026-01-02 03:04:05', true);
            insert into errors (severity, category, message, raised_time, cleared, caller)
              values ('warning', 'store_full', 'before', '2026-01-02 03:04:05', false, 'x');
            """
        );
    }

    /// <summary>The names of its migrations.</summary>
    private static async Task<List<string>> HistoryAsync(string connection) =>
        [
            .. (await ReadAsync(connection, """select "MigrationId" from "__EFMigrationsHistory" order by 1""")).Select(id =>
                id.Split('_')[1]
            ),
        ];

    /// <summary>Every row of every table.</summary>
    private static async Task<List<string>> RowsAsync(string connection)
    {
        var rows = new List<string>();
        var tables = await ReadAsync(
            connection,
            CatalogDatabase.KindOf(connection) == DatabaseKind.Sqlite
                ? "select name from sqlite_master where type = 'table' order by 1"
                : "select tablename::text from pg_tables where schemaname = 'public' order by 1"
        );
        foreach (var table in tables.Where(t => !t.StartsWith("__EF", StringComparison.Ordinal)))
            rows.AddRange((await ReadAsync(connection, $"select * from \"{table}\" order by 1")).Select(row => $"{table}: {row}"));
        return rows;
    }

    /// <summary>Columns, indexes and constraints, without the order of columns.</summary>
    private static async Task<List<string>> SchemaAsync(string connection)
    {
        if (CatalogDatabase.KindOf(connection) == DatabaseKind.PostgreSql)
            return
            [
                .. await ReadAsync(
                    connection,
                    """
                    select c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
                        pg_get_expr(d.adbin, d.adrelid), coalesce(l.collname::text, '')
                      from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relkind = 'r'
                      left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum left join pg_collation l on l.oid = a.attcollation
                      where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped
                      order by 1, 2
                    """
                ),
                .. await ReadAsync(connection, "select indexdef from pg_indexes where schemaname = 'public' order by 1"),
                .. await ReadAsync(
                    connection,
                    """
                    select conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
                      from pg_constraint where connamespace = 'public'::regnamespace order by 1, 2
                    """
                ),
            ];
        // EF Core's lock table exists only after a migration.
        var statements = await ReadAsync(
            connection,
            "select sql from sqlite_master where sql is not null and name <> '__EFMigrationsLock' order by name"
        );
        return [.. statements.SelectMany(Definitions)];
    }

    /// <summary>The parts of a SQLite statement that makes a table, in alphabetical order; other statements as they are.</summary>
    private static IEnumerable<string> Definitions(string statement)
    {
        if (!statement.StartsWith("CREATE TABLE", StringComparison.Ordinal))
            return [statement];
        var (begin, end) = (statement.IndexOf('(', StringComparison.Ordinal), statement.LastIndexOf(')'));
        var (parts, depth, from) = (new List<string>(), 0, begin + 1);
        for (var i = from; i <= end; i++)
        {
            depth += statement[i] switch
            {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            if (i < end && (statement[i] != ',' || depth > 0))
                continue;
            parts.Add(statement[..begin] + ": " + statement[from..i].Trim());
            from = i + 1;
        }

        return parts.Order(StringComparer.Ordinal);
    }

    private static async Task<DbConnection> OpenAsync(string connection)
    {
        DbConnection open =
            CatalogDatabase.KindOf(connection) == DatabaseKind.PostgreSql
                ? new NpgsqlConnection(connection)
                : new SqliteConnection(connection);
        await open.OpenAsync(Stop);
        return open;
    }

    private static async Task ExecuteAsync(DbConnection open, string sql)
    {
        await using var command = open.CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync(Stop);
    }

    private static async Task<List<string>> ReadAsync(string connection, string sql)
    {
        await using var open = await OpenAsync(connection);
        await using var command = open.CreateCommand();
        command.CommandText = sql;
        await using var reader = await command.ExecuteReaderAsync(Stop);
        var rows = new List<string>();
        while (await reader.ReadAsync(Stop))
            rows.Add(
                string.Join(
                    " | ",
                    Enumerable.Range(0, reader.FieldCount).Select(i => Convert.ToString(reader.GetValue(i), CultureInfo.InvariantCulture))
                )
            );
        return rows;
    }

    /// <summary>Takes the place of a process that is killed before it commits.</summary>
    private sealed class NoCommit : DbTransactionInterceptor
    {
        public override ValueTask<InterceptionResult> TransactionCommittingAsync(
            DbTransaction transaction,
            TransactionEventData eventData,
            InterceptionResult result,
            CancellationToken cancellationToken = default
        ) => throw new IOException("Killed.");
    }

    /// <summary>Lets no process begin its transaction before all of them have read the old record.</summary>
    private sealed class Gate(int processes) : DbTransactionInterceptor
    {
        private readonly TaskCompletionSource _all = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _arrived;

        public override async ValueTask<InterceptionResult<DbTransaction>> TransactionStartingAsync(
            DbConnection connection,
            TransactionStartingEventData eventData,
            InterceptionResult<DbTransaction> result,
            CancellationToken cancellationToken = default
        )
        {
            if (Interlocked.Increment(ref _arrived) == processes)
                _all.SetResult();
            await _all.Task.WaitAsync(Wait.Limit, cancellationToken);
            return result;
        }
    }
}
