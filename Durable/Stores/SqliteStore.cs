using System.Data;
using System.Data.Common;
using System.Globalization;
using System.Text.Json;
using Microsoft.Data.Sqlite;

namespace Librarian.Durable.Stores;

/// <summary>
/// SQLite: the embedded engine, for one process (docs/spec/durable-engine.md#r11-sqlite). All writes of the engine go through one
/// connection, one at a time; reads use other connections concurrently (WAL). Other writers of the file in this process alternate with it
/// if they share its semaphore; otherwise both sides wait for each other inside SQLite, up to 30 s.
/// </summary>
internal sealed class SqliteStore : DurableStore
{
    // Set on every open: busy_timeout and synchronous belong to the connection, and a pooled connection may be new.
    private const string Pragmas = "pragma busy_timeout=30000; pragma synchronous=full;";
    private const string TestPragmas = "pragma busy_timeout=30000; pragma synchronous=off;";
    private const int PrimaryKeyViolation = 1555;
    private readonly string _connectionString;
    private readonly string _path;
    private readonly SemaphoreSlim _turn;
    private readonly bool _ownsTurn;
    private readonly Dictionary<string, SqliteCommand> _prepared = new(StringComparer.Ordinal);
    private readonly TimeProvider? _clock;
    private SqliteConnection? _writer;

    /// <param name="connectionString">Names the file.</param>
    /// <param name="clock">Null: SQLite's own clock. Otherwise a test's clock, and nothing is flushed to disk.</param>
    /// <param name="writeTurn">A semaphore that is shared with other writers of the file; null: the store makes its own.</param>
    public SqliteStore(string connectionString, TimeProvider? clock = null, SemaphoreSlim? writeTurn = null)
    {
        _clock = clock;
        _turn = writeTurn ?? new SemaphoreSlim(1, 1);
        _ownsTurn = writeTurn is null;
        var settings = new SqliteConnectionStringBuilder(connectionString);
        if (
            settings.DataSource.Length == 0
            || settings.DataSource.Contains(":memory:", StringComparison.Ordinal)
            || settings.Mode == SqliteOpenMode.Memory
        )
            throw new ArgumentException(
                "The durable engine needs a SQLite file; an in-memory database would lose its orchestrations.",
                nameof(connectionString)
            );
        _path = Path.GetFullPath(settings.DataSource);
        _connectionString = settings.ConnectionString;
    }

    public override bool IsShared => false;

    public override string Now => _clock is not null ? "librarian_now()" : "cast(round(unixepoch('now','subsec')*1000) as integer)";

    public override long? ExactNow => _clock?.GetUtcNow().ToUnixTimeMilliseconds();

    public override string Jitter => "(0.5 + abs(random() % 1000) / 1000.0)";

    public override string SkipLocked => "";

    public override string In(string column, string parameter) => $"{column} in (select value from json_each({parameter}))";

    public override string Folded(string column) => $"lower({column})";

    public override string Rows(string parameter, params string[] columns)
    {
        var names = columns.Select(column => column.Split(' ')[0]);
        var values = string.Join(", ", names.Select(name => $"json_extract(value,'$.{name}') as {name}"));
        return $"(select {values} from json_each({parameter})) as r";
    }

    public override string HasTags(string parameter) =>
        $"not exists (select 1 from json_each({parameter}) as wanted where not exists ("
        + "select 1 from json_each(coalesce(tags,'{}')) as has where has.key=wanted.key and has.value=wanted.value))";

    public override string AsTags(string expression) => expression;

    public override async Task<StoreSession> BeginAsync(CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken);
        try
        {
            var writer = _writer ??= await OpenConnectionAsync(cancellationToken);
            return new Session(this, writer, writer.BeginTransaction(IsolationLevel.Serializable, deferred: false), Ownership.Writer);
        }
        catch
        {
            _turn.Release();
            throw;
        }
    }

    public override async Task<StoreSession> OpenAsync(CancellationToken cancellationToken) =>
        new Session(this, await OpenConnectionAsync(cancellationToken), null, Ownership.Connection);

    public override StoreSession Join(DbTransaction transaction) =>
        transaction is SqliteTransaction { Connection: { } connection } joined
            ? new Session(this, WithClock(connection), joined, Ownership.None)
            : throw new ArgumentException(
                "The durable tables are in SQLite: pass an open SqliteTransaction (EF Core: CurrentTransaction.GetDbTransaction()).",
                nameof(transaction)
            );

    public override bool IsTransient(Exception exception) =>
        exception switch
        {
            // 5: busy, 6: locked. 10, 13 and 14: the disk fails, is full, or does not open the file. People mend that; the work is not to
            // blame for it, and what runs need not end.
            SqliteException { SqliteErrorCode: 5 or 6 or 10 or 13 or 14 } => true,
            _ => exception.InnerException is { } inner && IsTransient(inner),
        };

    // 18: too large.
    public override bool RefusesValue(Exception exception) => exception is SqliteException { SqliteErrorCode: 18 } or ArgumentException;

    public override async Task EnsureSchemaAsync(CancellationToken cancellationToken)
    {
        await using (var connection = await OpenConnectionAsync(cancellationToken))
        {
            await using var wal = connection.CreateCommand();
            wal.CommandText = "pragma journal_mode=wal";
            await wal.ExecuteScalarAsync(cancellationToken);
        }

        await BringUpToDateAsync(
            new SqlStatement("select 1 from sqlite_master where name = 'dt_schema'"),
            postgres: false,
            lockOut: null,
            cancellationToken
        );
    }

    public override async Task<IAsyncDisposable> EnterAsync(CancellationToken cancellationToken)
    {
        var lockFile = _path + ".durable-lock";
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                // An flock: the kernel frees it however the process ends.
                return new FileStream(
                    lockFile,
                    new FileStreamOptions
                    {
                        Mode = FileMode.OpenOrCreate,
                        Access = FileAccess.ReadWrite,
                        Share = FileShare.None,
                        BufferSize = 1,
                        UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
                    }
                );
            }
            catch (IOException busy) when (attempt >= 50)
            {
                throw new InvalidOperationException(
                    $"DurableDatabaseInUse: another process runs a worker on '{_path}' (lock file '{lockFile}'). Nothing was changed. "
                        + "Stop it, or use PostgreSQL, on which any number of processes may work.",
                    busy
                );
            }
            catch (IOException)
            {
                // The previous process may still be draining.
                await Task.Delay(TimeSpan.FromMilliseconds(100), cancellationToken);
            }
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await _turn.WaitAsync();
        foreach (var command in _prepared.Values)
            await command.DisposeAsync();
        if (_writer is not null)
            await _writer.DisposeAsync();
        _turn.Release();
        if (_ownsTurn)
            _turn.Dispose();
    }

    private async Task<SqliteConnection> OpenConnectionAsync(CancellationToken cancellationToken)
    {
        var connection = new SqliteConnection(_connectionString);
        await connection.OpenAsync(cancellationToken);
        await using var pragmas = connection.CreateCommand();
        pragmas.CommandText = _clock is null ? Pragmas : TestPragmas;
        await pragmas.ExecuteNonQueryAsync(cancellationToken);
        return WithClock(connection);
    }

    private SqliteConnection WithClock(SqliteConnection connection)
    {
        if (_clock is { } clock)
            connection.CreateFunction("librarian_now", () => clock.GetUtcNow().ToUnixTimeMilliseconds());
        return connection;
    }

    private static void Bind(SqliteCommand command, SqlStatement statement)
    {
        foreach (var value in statement.Values)
        {
            object raw = value.Kind switch
            {
                SqlKind.TextList => JsonSerializer.Serialize(
                    (IReadOnlyCollection<string>)value.Value!,
                    StoreJson.Default.IReadOnlyCollectionString
                ),
                SqlKind.IntegerList => JsonSerializer.Serialize(
                    (IReadOnlyCollection<long>)value.Value!,
                    StoreJson.Default.IReadOnlyCollectionInt64
                ),
                _ => value.Value ?? DBNull.Value,
            };
            var name = "@" + value.Name;
            if (command.Parameters.Contains(name))
                command.Parameters[name].Value = raw;
            else
                command.Parameters.AddWithValue(name, raw);
        }
    }

    private enum Ownership
    {
        None,
        Connection,
        Writer,
    }

    private sealed class Session(SqliteStore store, SqliteConnection connection, SqliteTransaction? transaction, Ownership ownership)
        : StoreSession
    {
        public override DbConnection Connection => connection;

        public override DbTransaction? Transaction => transaction;

        public override async Task<int[]> ExecuteAsync(IReadOnlyList<SqlStatement> statements, CancellationToken cancellationToken)
        {
            var hit = new int[statements.Count];
            for (var i = 0; i < hit.Length; i++)
            {
                var command = Command(statements[i]);
                try
                {
                    hit[i] = await command.ExecuteNonQueryAsync(cancellationToken);
                }
                catch (SqliteException taken)
                    when (taken.SqliteExtendedErrorCode == PrimaryKeyViolation
                        && taken.Message.Contains("dt_history.", StringComparison.Ordinal)
                    )
                {
                    throw FenceException.HistoryTaken(taken);
                }
                finally
                {
                    await ReturnAsync(command);
                }

                if (statements[i].ExpectedRows is { } expected && expected != hit[i])
                    throw FenceException.RowsMissed(statements[i], hit[i].ToString(CultureInfo.InvariantCulture));
            }

            return hit;
        }

        public override async Task QueryAsync(
            IReadOnlyList<SqlStatement> statements,
            Action<int, DbDataReader> read,
            CancellationToken cancellationToken
        )
        {
            for (var i = 0; i < statements.Count; i++)
            {
                var command = Command(statements[i]);
                try
                {
                    await using var reader = await command.ExecuteReaderAsync(cancellationToken);
                    while (await reader.ReadAsync(cancellationToken))
                        read(i, reader);
                }
                finally
                {
                    await ReturnAsync(command);
                }
            }
        }

        public override Task CommitAsync(CancellationToken cancellationToken)
        {
            if (transaction is null || ownership != Ownership.Writer)
                return Task.CompletedTask;
            store.Count(2, 1, 0);
            return transaction.CommitAsync(cancellationToken);
        }

        public override async ValueTask DisposeAsync()
        {
            switch (ownership)
            {
                case Ownership.Writer:
                    try
                    {
                        await transaction!.DisposeAsync();
                    }
                    finally
                    {
                        store._turn.Release();
                    }

                    break;
                case Ownership.Connection:
                    await connection.DisposeAsync();
                    break;
                default:
                    break;
            }
        }

        private SqliteCommand Command(SqlStatement statement)
        {
            SqliteCommand? command = null;
            if (ownership == Ownership.Writer && !store._prepared.TryGetValue(statement.Text, out command))
            {
                command = connection.CreateCommand();
                command.CommandText = statement.Text;
                store._prepared.Add(statement.Text, command);
            }
            else if (command is null)
            {
                command = connection.CreateCommand();
                command.CommandText = statement.Text;
            }

            store.Count(1, 0, 0);
            command.Transaction = transaction;
            Bind(command, statement);
            return command;
        }

        // Commands of the writer stay prepared for their next use.
        private ValueTask ReturnAsync(SqliteCommand command) =>
            ownership == Ownership.Writer ? ValueTask.CompletedTask : command.DisposeAsync();
    }
}
