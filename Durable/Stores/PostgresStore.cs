using System.Collections.Concurrent;
using System.Data.Common;
using System.Globalization;
using System.Text.RegularExpressions;
using Npgsql;
using NpgsqlTypes;

namespace Librarian.Durable.Stores;

/// <summary>
/// PostgreSQL: the shared engine. The statements of one call are one batch, which takes one round trip. Without an explicit transaction the
/// server treats a batch as one transaction: it commits at the end or, after any error, not at all. Therefore fences are checked inside the
/// statements, where a miss raises an error.
/// </summary>
internal sealed partial class PostgresStore : DurableStore
{
    public const string Channel = "librarian_durable";

    /// <summary>Takes the advisory lock that the lease connection of a live incarnation holds.</summary>
    public const string TryLockWorker = "select pg_try_advisory_lock(hashtextextended('librarian-durable-worker:' || @id, 0))";

    // After its fifth use a statement keeps its plan, often one made for tables that were empty or were analysed when they were; it would
    // scan whole tables until the next autovacuum. JIT compilation never pays off for statements that take a fraction of a millisecond.
    private const string PlannerSettings = "set enable_seqscan = off; set jit = off";
    private const string FenceMark = "librarian-fence:";
    private readonly NpgsqlDataSource _source;
    private readonly ConcurrentDictionary<string, NumberedText> _plain = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, NumberedText> _fenced = new(StringComparer.Ordinal);

    public PostgresStore(string connectionString)
    {
        ConnectionString = connectionString;
        var settings = new NpgsqlConnectionStringBuilder(connectionString) { ApplicationName = "librarian-durable" };
        if (settings.MaxAutoPrepare == 0)
            settings.MaxAutoPrepare = 60;
        settings.AutoPrepareMinUsages = 2;
        // Otherwise each use of a pooled connection would send a reset; nothing here changes session state.
        settings.NoResetOnClose = true;
        var builder = new NpgsqlDataSourceBuilder(settings.ConnectionString);
        builder.UsePhysicalConnectionInitializer(
            connection =>
            {
                using var command = new NpgsqlCommand(PlannerSettings, connection);
                command.ExecuteNonQuery();
            },
            async connection =>
            {
                await using var command = new NpgsqlCommand(PlannerSettings, connection);
                await command.ExecuteNonQueryAsync();
            }
        );
        _source = builder.Build();
    }

    public string ConnectionString { get; }

    public override bool IsShared => true;

    // statement_timestamp is constant within the statement, unlike clock_timestamp, so indexes on times can be used.
    public override string Now => "(extract(epoch from statement_timestamp())*1000)::bigint";

    public override string Jitter => "(0.5 + random())";

    public override string SkipLocked => "for update skip locked";

    public override string In(string column, string parameter) => $"{column} = any({parameter})";

    public override string Folded(string column) => $"lower({column} collate \"C\")";

    public override string Rows(string parameter, params string[] columns) =>
        $"json_to_recordset({parameter}) as r({string.Join(", ", columns)})";

    public override string HasTags(string parameter) => $"tags @> {parameter}::jsonb";

    public override string AsTags(string expression) => $"({expression})::jsonb";

    public override async Task<StoreSession> BeginAsync(CancellationToken cancellationToken)
    {
        var connection = await _source.OpenConnectionAsync(cancellationToken);
        return new Session(this, connection, await connection.BeginTransactionAsync(cancellationToken), owns: true);
    }

    public override async Task<StoreSession> BeginEffectAsync(CancellationToken cancellationToken)
    {
        var session = await BeginAsync(cancellationToken);
        try
        {
            await session.ExecuteAsync(
                [new SqlStatement("set local enable_seqscan to default"), new SqlStatement("set local jit to default")],
                cancellationToken
            );
            return session;
        }
        catch
        {
            await session.DisposeAsync();
            throw;
        }
    }

    public override async Task<StoreSession> OpenAsync(CancellationToken cancellationToken) =>
        new Session(this, await _source.OpenConnectionAsync(cancellationToken), null, owns: true);

    protected override Task<StoreSession> BeginBatchAsync(CancellationToken cancellationToken) => OpenAsync(cancellationToken);

    public override StoreSession Join(DbTransaction transaction) =>
        transaction is NpgsqlTransaction { Connection: { } connection } joined
            ? new Session(this, connection, joined, owns: false)
            : throw new ArgumentException(
                "The durable tables are in PostgreSQL: pass an open NpgsqlTransaction (EF Core: CurrentTransaction.GetDbTransaction()).",
                nameof(transaction)
            );

    /// <summary>Creates a connection outside the pool, because heartbeat and notifications must not wait for a pooled one.</summary>
    public NpgsqlConnection CreateDedicatedConnection() =>
        new(
            new NpgsqlConnectionStringBuilder(ConnectionString)
            {
                Pooling = false,
                KeepAlive = 10,
                CommandTimeout = 5,
                Timeout = 5,
                ApplicationName = "librarian-durable-lease",
            }.ConnectionString
        );

    /// <summary>Whether no session holds that incarnation's lock: its process is gone (or its lease connection is being rebuilt).</summary>
    public async Task<bool> IsUnlockedAsync(string workerId, CancellationToken cancellationToken)
    {
        await using var session = await OpenAsync(cancellationToken);
        var free = (
            await session.QueryAsync(
                new SqlStatement(TryLockWorker).With("id", workerId),
                reader => reader.GetBoolean(0),
                cancellationToken
            )
        )[0];
        if (free)
            await session.ExecuteAsync(
                new SqlStatement("select pg_advisory_unlock(hashtextextended('librarian-durable-worker:' || @id, 0))").With("id", workerId),
                cancellationToken
            );
        return free;
    }

    public override bool IsTransient(Exception exception) =>
        exception switch
        {
            // 40: rolled back in favour of another transaction; 53, 57P, 58, 08: the server lacks resources, is restarting or is gone;
            // 55P03: lock not available.
            PostgresException { SqlState: { } state } => state.StartsWith("40", StringComparison.Ordinal)
                || state.StartsWith("53", StringComparison.Ordinal)
                || state.StartsWith("57P", StringComparison.Ordinal)
                || state.StartsWith("58", StringComparison.Ordinal)
                || state.StartsWith("08", StringComparison.Ordinal)
                || state is "55P03",
            NpgsqlException => true,
            TimeoutException or IOException or System.Net.Sockets.SocketException => true,
            ObjectDisposedException => true,
            _ => exception.InnerException is { } inner && IsTransient(inner),
        };

    // 22: invalid data, such as a character that the database's encoding lacks; 54: too large or too deep. Npgsql's own refusal is an
    // ArgumentException.
    public override bool RefusesValue(Exception exception) =>
        exception switch
        {
            PostgresException { SqlState: { } state } => state.StartsWith("22", StringComparison.Ordinal)
                || state.StartsWith("54", StringComparison.Ordinal),
            _ => exception is ArgumentException,
        };

    public override async Task EnsureSchemaAsync(CancellationToken cancellationToken)
    {
        var find = new SqlStatement("select 1 where to_regclass('dt_schema') is not null");
        await using (var connection = await OpenAsync(cancellationToken))
        {
            if (await IsSchemaCurrentAsync(connection, find, cancellationToken))
                return;
        }

        // "create … if not exists" in two sessions races, so only one session runs at a time.
        await BringUpToDateAsync(
            find,
            postgres: true,
            new SqlStatement("select pg_advisory_xact_lock(hashtextextended('librarian-durable-schema', 0))"),
            cancellationToken
        );
    }

    public override Task<IAsyncDisposable> EnterAsync(CancellationToken cancellationToken) =>
        Task.FromResult<IAsyncDisposable>(new Entered());

    public override ValueTask DisposeAsync() => _source.DisposeAsync();

    private NpgsqlBatchCommand ToCommand(SqlStatement statement)
    {
        var text = statement.ExpectedRows is null
            ? _plain.GetOrAdd(statement.Text, static text => new(text))
            // An unexpected number of hit rows raises an error: the mark followed by the number cannot be converted to bigint.
            : _fenced.GetOrAdd(statement.Text, static text =>
                new(
                    $"with hit as ({text} returning 1) select case when count(*) = @{SqlStatement.ExpectedRowsName} then 0 "
                        + $"else ('{FenceMark}' || count(*))::bigint end from hit"
                )
            );
        var command = new NpgsqlBatchCommand(text.Text);
        text.AddParameters(statement, command.Parameters);
        return command;
    }

    /// <summary>
    /// A statement with numbered parameters, which Npgsql sends as it is. Npgsql parses and rewrites named parameters at every use, which
    /// takes longer than the server needs for a small statement.
    /// </summary>
    private sealed partial class NumberedText
    {
        private readonly string[] _names;

        // Index at which a name's value was last found; statements with the same text usually have their values in the same order.
        private readonly int[] _places;

        public NumberedText(string text)
        {
            var names = new List<string>();
            Text = ParameterName.Replace(text, match =>
            {
                var name = match.Value[1..];
                var index = names.IndexOf(name);
                if (index < 0)
                {
                    index = names.Count;
                    names.Add(name);
                }

                return string.Create(CultureInfo.InvariantCulture, $"${index + 1}");
            });
            _names = [.. names];
            _places = new int[names.Count];
        }

        public string Text { get; }

        [GeneratedRegex("@[a-z][a-z_0-9]*", RegexOptions.CultureInvariant, matchTimeoutMilliseconds: 1000)]
        private static partial Regex ParameterName { get; }

        public void AddParameters(SqlStatement statement, NpgsqlParameterCollection parameters)
        {
            for (var i = 0; i < _names.Length; i++)
            {
                var name = _names[i];
                if (name == SqlStatement.ExpectedRowsName)
                    parameters.Add(new NpgsqlParameter<long> { TypedValue = statement.ExpectedRows!.Value });
                else
                    parameters.Add(ToParameter(statement.Values[IndexOf(statement.Values, i, name)]));
            }
        }

        private int IndexOf(List<SqlValue> values, int index, string name)
        {
            var place = Volatile.Read(ref _places[index]);
            if (place < values.Count && values[place].Name == name)
                return place;
            place = values.FindIndex(value => value.Name == name);
            if (place < 0)
                throw new InvalidOperationException($"No value for @{name} in: {Text}");
            Volatile.Write(ref _places[index], place);
            return place;
        }

        private static NpgsqlParameter ToParameter(SqlValue value) =>
            value.Kind switch
            {
                SqlKind.Text => value.Value is string text
                    ? new NpgsqlParameter<string> { NpgsqlDbType = NpgsqlDbType.Text, TypedValue = text }
                    : Null(NpgsqlDbType.Text),
                SqlKind.Integer => value.Value is long number
                    ? new NpgsqlParameter<long> { NpgsqlDbType = NpgsqlDbType.Bigint, TypedValue = number }
                    : Null(NpgsqlDbType.Bigint),
                SqlKind.Rows => new() { NpgsqlDbType = NpgsqlDbType.Json, Value = value.Value ?? DBNull.Value },
                SqlKind.Json => new() { NpgsqlDbType = NpgsqlDbType.Jsonb, Value = value.Value ?? DBNull.Value },
                SqlKind.TextList => new()
                {
                    NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Text,
                    Value = ((IReadOnlyCollection<string>)value.Value!).ToArray(),
                },
                _ => new()
                {
                    NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bigint,
                    Value = ((IReadOnlyCollection<long>)value.Value!).ToArray(),
                },
            };

        private static NpgsqlParameter Null(NpgsqlDbType type) => new() { NpgsqlDbType = type, Value = DBNull.Value };
    }

    private sealed class Entered : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
