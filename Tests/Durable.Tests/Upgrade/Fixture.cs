using System.Globalization;
using System.IO.Compression;
using System.Runtime.CompilerServices;
using Microsoft.Data.Sqlite;

namespace Librarian.Tests.Durable.Upgrade;

/// <summary>Reads what <see cref="FixtureMaker"/> has written, and moves its times.</summary>
public static class Fixture
{
    /// <summary>Where the recorded ones are.</summary>
    public static string Folder { get; } = Path.Combine(Here(), "Fixtures");

    /// <summary>The recorded ones, of both databases.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        .. Directory
            .EnumerateFiles(Folder)
            .Select(file => Path.GetFileName(file).Split('.')[0])
            .Distinct(StringComparer.Ordinal)
            .Order(StringComparer.Ordinal),
    ];

    /// <summary>Makes the database, which nobody has opened, what it was when the fixture was written.</summary>
    public static async Task LoadAsync(TestDatabase database, string folder, string name)
    {
        var connectionString = await database.ConnectionStringAsync();
        var file = Path.Combine(folder, name + (database.IsPostgres ? ".sql.gz" : ".db.gz"));
        await using var zip = new GZipStream(File.OpenRead(file), CompressionMode.Decompress);
        if (database.IsPostgres)
        {
            using var sql = new StreamReader(zip);
            await ExecuteAsync(database, await sql.ReadToEndAsync());
            return;
        }

        await using var plain = File.Create(new SqliteConnectionStringBuilder(connectionString).DataSource);
        await zip.CopyToAsync(plain);
    }

    /// <summary>When the last thing happened in it.</summary>
    public static async Task<DateTimeOffset> MadeAtAsync(TestDatabase database)
    {
        await using var connection = database.Connect(await database.ConnectionStringAsync());
        await connection.OpenAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = "select max(at) from dt_history";
        return DateTimeOffset.FromUnixTimeMilliseconds(Convert.ToInt64(await command.ExecuteScalarAsync(), CultureInfo.InvariantCulture));
    }

    /// <summary>
    /// Moves the times that something waits for, instead of the clock. Histories stay as they are: the ids that an orchestrator makes
    /// follow from its times. What is visible never, or at once, stays so, and a lease for ever, too.
    /// </summary>
    public static Task MoveAsync(TestDatabase database, TimeSpan time)
    {
        const long Never = 9_000_000_000_000_000;
        var by = (long)time.TotalMilliseconds;
        return ExecuteAsync(
            database,
            $"""
            update dt_instance set created_at = created_at + {by}, updated_at = updated_at + {by}, completed_at = completed_at + {by},
              not_before = case when not_before > 0 then not_before + {by} else 0 end,
              claimed_at = case when claimed_at > 0 then claimed_at + {by} else 0 end;
            update dt_inbox set visible_at = visible_at + {by} where visible_at > 0 and visible_at < {Never};
            update dt_activity set created_at = created_at + {by},
              not_before = case when not_before > 0 then not_before + {by} else 0 end,
              claimed_at = case when claimed_at > 0 then claimed_at + {by} else 0 end;
            update dt_worker set started_at = started_at + {by}, lease_until = lease_until + {by} where lease_until < {Never};
            """
        );
    }

    private static async Task ExecuteAsync(TestDatabase database, string sql)
    {
        await using var connection = database.Connect(await database.ConnectionStringAsync());
        await connection.OpenAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync();
    }

    private static string Here([CallerFilePath] string here = "") => Path.GetDirectoryName(here)!;
}
