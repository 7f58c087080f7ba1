// Measures the cost of the durable engine per step, compared with bare single-row commits on the same database in the same run. Commits,
// statements and round trips per step are the same on other machines; rates are not, but their ratio to the bare rate roughly is.
//   dotnet run -c Release --project bench/Durable -- [--quick] [--postgres | --sqlite] [--only chain,fan,…] [--on connection string]
// --on uses an empty database of an existing server, to inspect that server while one scenario runs.
// The exit code is 1 if a target was missed.
using System.Diagnostics;
using System.Globalization;
using Librarian.Bench;
using Librarian.Bench.Durable;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
if (args is ["worker", ..])
    return await WorkerProcess.MainAsync(args);
var options = new BenchOptions(args.Contains("--quick"), Option("--only")?.Split(',') ?? []);
var board = new Scoreboard();
Console.WriteLine(
    $"# Durable engine, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, commit {await CommitAsync()}, "
        + $"{Environment.ProcessorCount} cores, .NET {Environment.Version}{(options.Quick ? ", quick" : "")}"
);
var folder = Directory.CreateTempSubdirectory("librarian-bench-").FullName;
try
{
    if (!args.Contains("--sqlite"))
    {
        Scoreboard.Title("PostgreSQL, fsync on");
        if (Option("--on") is { } database)
        {
            await new Scenarios(() => Task.FromResult(new BenchDatabase("postgres", database)), folder, options, board).RunAsync();
        }
        else
        {
            await using var server = new PostgresServer { Fsync = true };
            await server.InitializeAsync();
            await new Scenarios(async () => new("postgres", await server.CreateDatabaseAsync()), folder, options, board).RunAsync();
        }
    }

    if (!args.Contains("--postgres"))
    {
        Scoreboard.Title("SQLite, WAL, synchronous=full");
        var files = 0;
        await new Scenarios(
            () => Task.FromResult(new BenchDatabase("sqlite", $"Data Source={Path.Combine(folder, $"bench{++files}.db")}")),
            folder,
            options,
            board
        ).RunAsync();
    }
}
finally
{
    SqliteConnection.ClearAllPools();
    Directory.Delete(folder, recursive: true);
}

Console.WriteLine(board.AllMet ? "\nEvery target met." : "\nA target was MISSED.");
return board.AllMet ? 0 : 1;

string? Option(string name) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : null;

static async Task<string> CommitAsync()
{
    using var git = Process.Start(
        new ProcessStartInfo("git", ["rev-parse", "--short", "HEAD"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        }
    );
    return git is null ? "unknown" : (await git.StandardOutput.ReadToEndAsync()).Trim();
}
