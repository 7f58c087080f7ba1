using System.Data.Common;
using System.Globalization;
using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Librarian.Bench.Http;

/// <summary>A real site in its own process, whose catalog holds a given number of files.</summary>
internal sealed class FilledSite : IAsyncDisposable
{
    public const string Reader = "reader";

    public const string Password = "a-good-password";

    private readonly SiteProcess _process;
    private readonly string? _postgres;

    private FilledSite(SiteProcess process, string? postgres, int files)
    {
        (_process, _postgres, Files) = (process, postgres, files);
        var now = DateTime.UtcNow;
        Newest = new DateTime(now.Ticks - (now.Ticks % TimeSpan.TicksPerSecond), DateTimeKind.Utc);
    }

    public int Files { get; }

    public DateTime Newest { get; }

    public string Url => _process.Url;

    public string StorePath => _process.StorePath;

    public string ConnectionString => _postgres ?? $"Data Source={Path.Combine(_process.Root, "data", "catalog.db")}";

    /// <summary>CPU time of the site's process. Unlike wall-clock times it hardly depends on other load of the machine.</summary>
    public TimeSpan ProcessorTime => _process.ProcessorTime;

    public SeedFile File(int number) => new(number, Files, Newest);

    public Load OpenLoad(string user) => new(Url, user, Password);

    public LibrarianClient OpenClient(string user) =>
        SiteConnection.TryCreate("http://127.0.0.1", _process.Port, user, Password, out var connection, out var error)
            ? new LibrarianClient(connection)
            : throw new InvalidOperationException(error);

    /// <summary>
    /// Creates the accounts through the site's own API, fills the catalog while the site is stopped, and starts it again.
    /// </summary>
    public static async Task<FilledSite> StartAsync(string name, string folder, PostgresServer? server, int files)
    {
        var postgres = server is null ? null : await server.CreateDatabaseAsync();
        var site = new FilledSite(new SiteProcess(name, folder, postgres), postgres, files);
        // Schedules as in production, less frequent than in the tests, and a peer that receives files.
        site._process.Set("Schedules__FindUnsyncedFiles", "0 * * * * *");
        site._process.Set("Schedules__ReceiveStaged", "30 * * * * *");
        site._process.Set("Schedules__ReviewStaleTransfers", "0 */15 * * * *");
        site._process.Set("Site__Peers__0__Name", SeedFile.PeerName);
        site._process.Set("Site__Peers__0__Send", "true");
        site._process.Set("Site__AdminPassword", Password);
        site._process.Set("Logging__LogLevel__Default", "Error");
        await site._process.StartAsync(CancellationToken.None);
        using (var admin = site.OpenClient(SiteProcess.AdminUser))
        {
            Done(await admin.CreateUserAsync(new UserCreateRequest(Reader, Password, AuthLevel.ReadOnly)));
            Done(await admin.CreateUserAsync(new UserCreateRequest(SeedFile.PeerName, Password, AuthLevel.ReadAppend)));
            Done(
                await admin.AddLibrarianAsync(
                    new LibrarianAddRequest(
                        SeedFile.PeerName,
                        "http://127.0.0.1",
                        PostgresServer.FreePort(),
                        $"{name}:{Password}",
                        CheckConnection: false
                    )
                )
            );
        }

        await site._process.KillAsync();
        await site.FillAsync();
        await site._process.StartAsync(CancellationToken.None);
        return site;

        static void Done<T>(Reply<T> reply)
        {
            if (!reply.IsSuccess)
                throw new InvalidOperationException(reply.ToString());
        }
    }

    /// <summary>Opens the bench's own connection to the site's database, with the site's durability settings.</summary>
    public async Task<DbConnection> ConnectAsync()
    {
        DbConnection connection = _postgres is not null ? new NpgsqlConnection(_postgres) : new SqliteConnection(ConnectionString);
        await connection.OpenAsync();
        if (_postgres is null)
            await ExecuteAsync(connection, "pragma synchronous=full; pragma busy_timeout=30000");
        return connection;
    }

    public async ValueTask DisposeAsync() => await _process.DisposeAsync();

    public static async Task ExecuteAsync(DbConnection connection, string sql)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.CommandTimeout = 0;
        await command.ExecuteNonQueryAsync();
    }

    private async Task FillAsync()
    {
        var rows = Enumerable.Range(0, Files).Select(File);
        if (_postgres is not null)
        {
            await using var connection = new NpgsqlConnection(_postgres);
            await connection.OpenAsync();
            // Skips the foreign key checks of every row, because the rows are known to be valid.
            await ExecuteAsync(connection, "set session_replication_role = replica; set synchronous_commit = off");
            foreach (var table in SeedTables.All(StorePath))
                await table.CopyAsync(connection, rows);
            await ExecuteAsync(
                connection,
                $"select setval(pg_get_serial_sequence('instances', 'id'), {Files.ToString(CultureInfo.InvariantCulture)})"
            );
            // Autovacuum would do this by itself within minutes.
            await ExecuteAsync(connection, "vacuum (analyze)");
            await ExecuteAsync(connection, "checkpoint");
        }
        else
        {
            // Unlike PostgreSQL's autovacuum, nothing but the site itself analyses an embedded catalog.
            await using var connection = new SqliteConnection(ConnectionString);
            await connection.OpenAsync();
            await ExecuteAsync(connection, "pragma synchronous=off; pragma foreign_keys=off; pragma cache_size=-400000");
            foreach (var table in SeedTables.All(StorePath))
                await table.InsertAsync(connection, rows);
            await ExecuteAsync(connection, "pragma wal_checkpoint(truncate)");
        }
    }
}
