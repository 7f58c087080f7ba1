// Measures the HTTP API of a site with a million files, compared with a site with a tenth of them, on both databases. The sites are real
// processes; the clients run in this process. Absolute times depend on the machine and its other load; ratios within one run are
// meaningful.
//   dotnet run -c Release --project bench/Http -- [--quick] [--postgres | --sqlite] [--files 1000000]
//     [--only name,search,ping,batch,validate,stage] [--hold]
// --hold waits for Enter before the sites stop, to inspect their databases. The exit code is 1 if a target was missed.
using System.Diagnostics;
using System.Globalization;
using Librarian.Bench;
using Librarian.Bench.Http;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;

CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
var quick = args.Contains("--quick");
var options = new BenchOptions(
    quick,
    int.Parse(Option("--files") ?? (quick ? "20000" : "1000000"), CultureInfo.InvariantCulture),
    Option("--only")?.Split(',') ?? []
);
var board = new Scoreboard();
Console.WriteLine(
    $"# HTTP contract, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, commit {await CommitAsync()}, "
        + $"{Environment.ProcessorCount} cores, .NET {Environment.Version}{(quick ? ", quick" : "")}"
);
var folder = Directory.CreateTempSubdirectory("librarian-bench-").FullName;
try
{
    if (!args.Contains("--sqlite"))
    {
        await using var server = new PostgresServer { Fsync = true };
        await server.InitializeAsync();
        await RunAsync("PostgreSQL, fsync on", server);
    }

    if (!args.Contains("--postgres"))
        await RunAsync("SQLite, WAL, synchronous=full", null);
}
finally
{
    SqliteConnection.ClearAllPools();
    Directory.Delete(folder, recursive: true);
}

Console.WriteLine(board.AllMet ? "\nEvery target met." : "\nA target was MISSED.");
return board.AllMet ? 0 : 1;

async Task RunAsync(string title, PostgresServer? server)
{
    var prefix = server is null ? "sqlite" : "postgres";
    await using var few = await FilledSite.StartAsync(prefix + "-few", folder, server, options.FewFiles);
    var watch = Stopwatch.StartNew();
    await using var many = await FilledSite.StartAsync(prefix + "-many", folder, server, options.Files);
    Console.WriteLine(
        $"\n{options.Files:N0} files written in {watch.Elapsed.TotalSeconds:N0} s. "
            + $"Load average {await LoadAverageAsync()} at the beginning."
    );
    Scoreboard.Title(title);
    using (var scenarios = new Scenarios(few, many, options, board))
        await scenarios.RunAsync();
    Console.WriteLine($"\nLoad average {await LoadAverageAsync()} at the end.");
    if (!args.Contains("--hold"))
        return;
    Console.WriteLine($"Holding {few.ConnectionString} and {many.ConnectionString}, sites at {few.Url} and {many.Url}. Press Enter.");
    Console.ReadLine();
}

string? Option(string name) => Array.IndexOf(args, name) is >= 0 and var at && at + 1 < args.Length ? args[at + 1] : null;

static async Task<string> LoadAverageAsync() => string.Join(' ', (await File.ReadAllTextAsync("/proc/loadavg")).Split(' ').Take(3));

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
