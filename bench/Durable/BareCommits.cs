using System.Data.Common;
using System.Diagnostics;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Librarian.Bench.Durable;

/// <summary>
/// The reference for rates: one client inserts one small row per transaction into a table with a primary key, one after the other,
/// prepared, on the same database in the same run. No durable step can be cheaper without sharing commits.
/// </summary>
internal static class BareCommits
{
    /// <summary>Measures the rate in commits per second.</summary>
    public static async Task<double> RateAsync(BenchDatabase database, int rows)
    {
        await using DbConnection connection = database.IsPostgres
            ? new NpgsqlConnection(database.ConnectionString)
            : new SqliteConnection(database.ConnectionString);
        await connection.OpenAsync();
        await using var setup = connection.CreateCommand();
        setup.CommandText =
            (database.IsPostgres ? "" : "pragma journal_mode=wal; pragma synchronous=full; pragma busy_timeout=30000; ")
            + "create table if not exists bare(id bigint primary key, note text); delete from bare";
        await setup.ExecuteNonQueryAsync();
        await using var insert = connection.CreateCommand();
        insert.CommandText = "insert into bare(id, note) values (@id, @note)";
        var id = insert.CreateParameter();
        (id.ParameterName, id.Value) = ("id", 0L);
        var note = insert.CreateParameter();
        (note.ParameterName, note.Value) = ("note", "one small row");
        insert.Parameters.Add(id);
        insert.Parameters.Add(note);
        await insert.PrepareAsync();
        var watch = Stopwatch.StartNew();
        for (var i = 0L; i < rows; i++)
        {
            id.Value = i;
            await insert.ExecuteNonQueryAsync();
        }

        return rows / watch.Elapsed.TotalSeconds;
    }

    /// <summary>
    /// Measures the rate, in transactions per second, of the writes that a chained step of a quick activity needs (one updated instance,
    /// three rows of history), by one client, pipelined in one round trip, prepared, on tables with only the engine's keys: the engine's
    /// step without the engine. PostgreSQL only.
    /// </summary>
    public static async Task<double> TurnShapedRateAsync(BenchDatabase database, int rows)
    {
        await using var connection = new NpgsqlConnection(database.ConnectionString);
        await connection.OpenAsync();
        await using (var setup = connection.CreateCommand())
        {
            setup.CommandText = """
                create table if not exists bare_instance(id text primary key, status bigint, updated_at bigint, owner text, claim bigint)
                  with (fillfactor=70);
                create index if not exists bare_instance_owner on bare_instance(owner) where owner is not null;
                create table if not exists bare_history(id text, seq bigint, kind bigint, task bigint, name text, data text, at bigint,
                  primary key(id, seq));
                truncate bare_instance, bare_history;
                insert into bare_instance values ('0123456789abcdef0123456789abcdef', 0, 0, 'worker', 1)
                """;
            await setup.ExecuteNonQueryAsync();
        }

        await using var batch = new NpgsqlBatch(connection);
        var (seq, now) = (new NpgsqlParameter<long>(), new NpgsqlParameter<long>());
        void Add(string text, params NpgsqlParameter[] parameters)
        {
            var command = new NpgsqlBatchCommand(text);
            foreach (var parameter in parameters)
                command.Parameters.Add(parameter);
            batch.BatchCommands.Add(command);
        }

        const string Id = "'0123456789abcdef0123456789abcdef'";
        var (historyAt, done, next) = (new NpgsqlParameter<long>(), new NpgsqlParameter<long>(), new NpgsqlParameter<long>());
        Add(
            $"update bare_instance set status = 0, updated_at = $1, owner = 'worker' where id = {Id} and owner = 'worker' and claim = 1",
            now
        );
        Add(
            $"insert into bare_history values ({Id}, $1, 1, -1, null, null, $2), "
                + $"({Id}, $1 + 1, 4, $3, 'step', '1', $2), ({Id}, $1 + 2, 3, $4, 'step', '1', $2)",
            seq,
            historyAt,
            done,
            next
        );
        await batch.PrepareAsync();
        var watch = Stopwatch.StartNew();
        for (var i = 0L; i < rows; i++)
        {
            (done.TypedValue, next.TypedValue, seq.TypedValue) = (i, i + 1, 3 * i);
            (now.TypedValue, historyAt.TypedValue) = (i, i);
            await batch.ExecuteNonQueryAsync();
        }

        return rows / watch.Elapsed.TotalSeconds;
    }
}
