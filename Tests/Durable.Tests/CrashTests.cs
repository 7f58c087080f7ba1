using System.Diagnostics;
using Librarian.Durable;
using Librarian.Tests.Durable.Conformance;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class CrashOnPostgres(PostgresServer server) : CrashTests(new PostgresDatabase(server))
{
    [Fact]
    public async Task TwoWorkers_KilledInTurn_NothingIsLostOrDoubled() => await KillAsync(kills: 10, workers: 2);

    [Scenario(93, "KillDuringActivity")]
    [Fact]
    public async Task Worker_KilledDuringActivity_WorkerOnAnotherNodeTakesOverAfterTheLease()
    {
        var client = await ClientAsync();
        var file = Path.Combine(Directory.CreateTempSubdirectory("librarian-crash-").FullName, "go");
        using var first = await StartWorkerAsync("node-a", "2000");
        var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("file", file);
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the first delivery");
        using var second = await StartWorkerAsync("node-b", "2000");
        await KillAsync(first);
        File.Delete(file + ".started");
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the second delivery");
        await File.WriteAllTextAsync(file, "");
        Assert.Equal(2, (await EndOf(client, id)).ReadOutputAs<int>());
        await KillAsync(second);
        Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
    }
}

public sealed class CrashOnSqlite() : CrashTests(new SqliteDatabase());

/// <summary>Worker processes killed with SIGKILL; the test's own process only starts and queries.</summary>
public abstract class CrashTests(TestDatabase database) : EngineTests(database)
{
    private const int Rounds = 4;
    private const int Generations = 2;

    // Per generation: rounds of (0+1+2), one child of 10 in round 2.
    private const int Expected = Generations * ((Rounds * 3) + 10);

    [Fact]
    public async Task Worker_KilledTwentyTimes_NothingIsLostOrDoubled() => await KillAsync(kills: 20, workers: 1);

    [Scenario(93, "KillDuringActivity")]
    [Fact]
    public async Task Worker_KilledDuringActivity_SuccessorOnTheNodeResumesLongBeforeTheLeaseEnds()
    {
        var client = await ClientAsync();
        var file = Path.Combine(Directory.CreateTempSubdirectory("librarian-crash-").FullName, "go");
        using var first = await StartWorkerAsync("node-a");
        var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("file", file);
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the first delivery");
        await KillAsync(first);
        File.Delete(file + ".started");
        using var second = await StartWorkerAsync("node-a");
        var since = Stopwatch.StartNew();
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the second delivery");
        // The lease is 12 s; what is measured here is the node's own take-over.
        Assert.True(since.Elapsed < TimeSpan.FromSeconds(4), $"took {since.Elapsed}");
        await File.WriteAllTextAsync(file, "");
        Assert.Equal(2, (await EndOf(client, id)).ReadOutputAs<int>());
        await KillAsync(second);
        Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
    }

    protected async Task KillAsync(int kills, int workers)
    {
        var client = await ClientAsync();
        await Execute("create table effect(operation text not null)");
        var random = new Random(20261123);
        var processes = new List<Process>();
        var ids = new List<string>();
        try
        {
            for (var i = 0; i < workers; i++) processes.Add(await StartWorkerAsync("node-" + i));
            for (var kill = 0; kill < kills; kill++)
            {
                ids.AddRange((await client.Client.ScheduleNewOrchestrationInstancesAsync(
                    [.. Enumerable.Range(0, 3).Select(_ => new OrchestrationStart("load", new { rounds = Rounds, generations = Generations, sum = 0 }))])).Select(start => start.InstanceId));
                await Task.Delay(random.Next(5, 250));
                var victim = random.Next(processes.Count);
                await KillAsync(processes[victim]);
                processes[victim].Dispose();
                processes[victim] = await StartWorkerAsync("node-" + victim);
            }

            foreach (var id in ids)
            {
                var end = await EndOf(client, id);
                Assert.True(end.RuntimeStatus == OrchestrationRuntimeStatus.Completed, end.FailureDetails?.ToString());
                Assert.Equal(Expected, end.ReadOutputAs<int>());
            }
        }
        finally
        {
            foreach (var process in processes)
            {
                await KillAsync(process);
                process.Dispose();
            }
        }

        Assert.Equal(ids.Count * Rounds * Generations, await Count("select count(*) from effect"));
        Assert.Equal(ids.Count * Rounds * Generations, await Count("select count(distinct operation) from effect"));
        await using var connection = Database.Connect(await Database.ConnectionStringAsync());
        await connection.OpenAsync();
        await Invariants.AssertAsync(connection);
    }

    protected Task<EngineHost> ClientAsync() => StartAsync(b => b.Configure(o => o.RunWorker = false));

    protected async Task<Process> StartWorkerAsync(string node, params string[] more)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, UseShellExecute = false };
        foreach (var argument in new[] { Path.Combine(AppContext.BaseDirectory, "Librarian.Durable.CrashHost.dll"), Database.IsPostgres ? "postgres" : "sqlite", await Database.ConnectionStringAsync(), node }.Concat(more))
            start.ArgumentList.Add(argument);
        var process = Process.Start(start)!;
        using var limit = new CancellationTokenSource(Limit);
        Assert.Equal("ready", await process.StandardOutput.ReadLineAsync(limit.Token));
        return process;
    }

    protected static async Task KillAsync(Process process)
    {
        if (!process.HasExited) process.Kill();
        await process.WaitForExitAsync();
    }
}
