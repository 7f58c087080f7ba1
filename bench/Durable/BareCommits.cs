using System.Data.Common;
using System.Diagnostics;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Librarian.Bench.Durable;

/// <summary>
/// The yardstick: one client that inserts one small row per transaction into a table with a primary key, one after the other, prepared, on
/// the same database in the same run. Nothing durable can be cheaper than that without sharing commits.
/// </summary>
internal static class BareCommits
{
    /// <summary>Commits per second.</summary>
    public static async Task<double> RateAsync(BenchDatabase database, int rows)
    {
        await using DbConnection connection = database.IsPostgres ? new NpgsqlConnection(database.ConnectionString) : new SqliteConnection(database.ConnectionString);
        await connection.OpenAsync();
        await using var setup = connection.CreateCommand();
        setup.CommandText = (database.IsPostgres ? "" : "pragma journal_mode=wal; pragma synchronous=full; pragma busy_timeout=30000; ")
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
}
