using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Npgsql;

namespace Librarian.Tests.TestKit;

/// <summary>
/// A real PostgreSQL server in a private data directory, run by an unprivileged user on a loopback port. Use it as an assembly fixture;
/// every test creates its own database, and the first one starts the server. There is no fallback: on a machine without the server's
/// programs the test fails and says what to install.
/// </summary>
public sealed class PostgresServer : IAsyncLifetime
{
    private string _root = "";
    private string _binaries = "";
    private readonly ConcurrentDictionary<string, Lazy<Task<string>>> _templates = new(StringComparer.Ordinal);
    private readonly Lazy<Task> _started;
    private int _databases;

    public PostgresServer() => _started = new Lazy<Task>(InstallAsync);

    /// <summary>Off by default, because tests kill processes, not machines. On for benchmarks, whose commits must reach the disk.</summary>
    public bool Fsync { get; init; }

    public int Port { get; private set; }

    /// <summary>Directory of the cluster.</summary>
    public string DataDirectory => Path.Combine(_root, "data");

    /// <summary>Starts nothing yet: a run of tests that need no database has none.</summary>
    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    private async Task InstallAsync()
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
                $"-p {Port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=400 {speed}",
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
    public Task<string> CreateDatabaseAsync(string encoding, CancellationToken cancellationToken = default) =>
        CreateAsync($"template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'", cancellationToken);

    /// <summary>
    /// Creates a database that begins as another one, and returns its connection string. Copying tables is many times as fast as making
    /// them.
    /// </summary>
    /// <param name="template">Name of the other one.</param>
    /// <param name="fill">Makes its tables, once.</param>
    /// <param name="cancellationToken">Stops the creation.</param>
    public async Task<string> CreateCopyAsync(string template, Func<string, Task> fill, CancellationToken cancellationToken = default)
    {
        // Before the template is made: the refusal of one test must not stay in it for all.
        QuickTier.Refuse("a PostgreSQL server");
        var original = _templates.GetOrAdd(template, _ => new Lazy<Task<string>>(() => CreateTemplateAsync(fill)));
        return await CreateAsync($"template {await original.Value}", cancellationToken);
    }

    private async Task<string> CreateTemplateAsync(Func<string, Task> fill)
    {
        var connection = await CreateDatabaseAsync();
        await fill(connection);
        var name = new NpgsqlConnectionStringBuilder(connection).Database!;
        // A database is copied only while nobody is connected to it, and a closed connection ends a moment later.
        await ExecuteAsync($"alter database {name} with allow_connections false", default);
        await ExecuteAsync($"select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = '{name}'", default);
        return name;
    }

    private async Task<string> CreateAsync(string options, CancellationToken cancellationToken)
    {
        QuickTier.Refuse("a PostgreSQL server");
        await _started.Value;
        var name = $"t{Environment.ProcessId}_{Interlocked.Increment(ref _databases)}";
        await ExecuteAsync($"create database {name} {options}", cancellationToken);
        return ConnectionString(name);
    }

    private async Task ExecuteAsync(string sql, CancellationToken cancellationToken)
    {
        await using var connection = new NpgsqlConnection(ConnectionString("postgres"));
        await connection.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private string ConnectionString(string database) =>
        $"Host=127.0.0.1;Port={Port};Username=librarian;Database={database};Maximum Pool Size=40";

    public async ValueTask DisposeAsync()
    {
        NpgsqlConnection.ClearAllPools();
        if (!_started.IsValueCreated)
            return;
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
