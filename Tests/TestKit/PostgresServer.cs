using System.Runtime.InteropServices;
using Npgsql;

namespace Librarian.Tests.TestKit;

/// <summary>
/// A real PostgreSQL server in a private data directory, run by an unprivileged user on a loopback port. Use it as an assembly fixture;
/// every test creates its own database. There is no fallback: on a machine without the server's programs the test fails and says what to
/// install.
/// </summary>
public sealed class PostgresServer : IAsyncLifetime
{
    private string _root = "";
    private string _binaries = "";
    private int _databases;

    /// <summary>Off by default, because tests kill processes, not machines. On for benchmarks, whose commits must reach the disk.</summary>
    public bool Fsync { get; init; }

    public int Port { get; private set; }

    /// <summary>Directory of the cluster.</summary>
    public string DataDirectory => Path.Combine(_root, "data");

    public async ValueTask InitializeAsync()
    {
        _binaries = FindBinaries();
        _root = Path.Combine(Fsync ? Path.GetTempPath() : Scratch.Directory, "librarian-pg-" + Guid.NewGuid().ToString("N")[..12]);
        Directory.CreateDirectory(_root);
        if (RunsAsRoot)
            await RunAsync("chown", ["postgres", _root], asServerUser: false);
        await RunAsync(
            Path.Combine(_binaries, "initdb"),
            ["-D", DataDirectory, "-U", "librarian", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        );
        Port = FreePort();
        await StartAsync();
    }

    /// <summary>Starts the server on <see cref="Port"/>, also after <see cref="StopAsync"/>.</summary>
    /// <remarks>
    /// Without <see cref="Fsync"/> the server also runs without autovacuum, which visits each of hundreds of databases every minute, and
    /// without compiled queries: both only cost time in a server that lives for a few minutes.
    /// </remarks>
    public Task StartAsync()
    {
        var speed = Fsync
            ? ""
            : " -c fsync=off -c full_page_writes=off -c autovacuum=off -c jit=off -c wal_level=minimal -c max_wal_senders=0";
        return RunAsync(
            Path.Combine(_binaries, "pg_ctl"),
            [
                "-D",
                DataDirectory,
                "-l",
                Path.Combine(_root, "log"),
                "-w",
                "-t",
                "60",
                "-o",
                $"-p {Port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200 {speed}",
                "start",
            ]
        );
    }

    /// <summary>Stops the server; mode <c>immediate</c> is a crash.</summary>
    public Task StopAsync(string mode = "fast") =>
        RunAsync(Path.Combine(_binaries, "pg_ctl"), ["-D", DataDirectory, "-m", mode, "-w", "stop"]);

    /// <summary>Creates an empty database and returns its connection string.</summary>
    public Task<string> CreateDatabaseAsync(CancellationToken cancellationToken = default) =>
        CreateDatabaseAsync("UTF8", cancellationToken);

    /// <summary>Creates an empty database with an encoding and returns its connection string.</summary>
    public async Task<string> CreateDatabaseAsync(string encoding, CancellationToken cancellationToken = default)
    {
        var name = $"t{Environment.ProcessId}_{Interlocked.Increment(ref _databases)}";
        await using var connection = new NpgsqlConnection(ConnectionString("postgres"));
        await connection.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand(
            $"create database {name} encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0",
            connection
        );
        await command.ExecuteNonQueryAsync(cancellationToken);
        return ConnectionString(name);
    }

    private string ConnectionString(string database) =>
        $"Host=127.0.0.1;Port={Port};Username=librarian;Database={database};Maximum Pool Size=40";

    public async ValueTask DisposeAsync()
    {
        NpgsqlConnection.ClearAllPools();
        if (File.Exists(Path.Combine(DataDirectory, "postmaster.pid")))
            await StopAsync("immediate");
        if (Directory.Exists(_root))
            Directory.Delete(_root, recursive: true);
    }

    /// <summary>A loopback port of this process alone, until its end; see <see cref="Ports"/>.</summary>
    public static int FreePort() => Ports.Take();

    private static bool RunsAsRoot => geteuid() == 0;

    private static string FindBinaries()
    {
        const string Debian = "/usr/lib/postgresql";
        var candidates = (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(':', StringSplitOptions.RemoveEmptyEntries)
            .AsEnumerable();
        if (Directory.Exists(Debian))
        {
            candidates = candidates.Concat(
                Directory
                    .GetDirectories(Debian)
                    .OrderByDescending(d => int.TryParse(Path.GetFileName(d), out var v) ? v : 0)
                    .Select(d => Path.Combine(d, "bin"))
            );
        }

        return candidates.FirstOrDefault(d => File.Exists(Path.Combine(d, "initdb")))
            ?? throw new InvalidOperationException(
                "No PostgreSQL server programs (initdb, pg_ctl) on PATH or under /usr/lib/postgresql. "
                    + "Install them: apt-get install postgresql"
            );
    }

    private Task RunAsync(string program, string[] arguments, bool asServerUser = true)
    {
        // PostgreSQL refuses to run as root; Debian's package creates the account "postgres".
        return asServerUser && RunsAsRoot
            ? ProcessRunner.RunAsync("setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", program, .. arguments], _root)
            : ProcessRunner.RunAsync(program, arguments, _root);
    }

    [DllImport("libc")]
    private static extern uint geteuid();
}
