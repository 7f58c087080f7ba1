using System.Diagnostics;
using Librarian.Tests.Durable.Crash;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

/// <summary>
/// Worker processes that are killed, frozen or cut off while they work; the test's own process only starts, signals and queries. The load
/// and its right answers are computed by a model (<see cref="LoadInput.Expected"/>), effects are recorded outside the engine.
/// </summary>
public abstract class CrashFixture(TestDatabase database) : EngineTests(database)
{
    protected const int Rounds = 4;
    protected const int Generations = 2;

    // Each takes twenty steps a second and is replayed whole after every kill: dozens of them leave the rest no time.
    private const int MostEndless = 4;
    private readonly DirectoryInfo _folder = new(Scratch.CreateSubdirectory("librarian-crash-"));
    private readonly List<(string Id, bool Endless)> _instances = [];
    private readonly List<Process> _processes = [];
    private readonly Lock _gate = new();

    protected static bool Long { get; } = Environment.GetEnvironmentVariable("LIBRARIAN_TEST_LONG") == "1";

    /// <summary>Printed with every run; LIBRARIAN_TEST_SEED repeats one.</summary>
    protected static int Seed { get; } =
        int.TryParse(Environment.GetEnvironmentVariable("LIBRARIAN_TEST_SEED"), out var seed) ? seed : 20261124;

    protected string Record => Path.Combine(_folder.FullName, "record");

    protected string NewFile(string name) => Path.Combine(_folder.FullName, name);

    protected Task<EngineHost> ClientAsync() => StartAsync(b => b.Configure(o => o.RunWorker = false));

    protected async Task<Process> StartWorkerAsync(string node, params string[] more)
    {
        var process = Launch(await Database.ConnectionStringAsync(), node, more);
        using var limit = new CancellationTokenSource(Limit);
        Assert.Equal("ready", await process.StandardOutput.ReadLineAsync(limit.Token));
        return process;
    }

    /// <summary>Starts a worker without waiting for it.</summary>
    protected Process Launch(string connectionString, string node, params string[] more)
    {
        QuickTier.Refuse("a worker in a process of its own");
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, UseShellExecute = false };
        SiteProcess.LiveShortly(start);
        foreach (
            var argument in new[]
            {
                SiteProcess.Precompiled("crash-host/Librarian.Durable.CrashHost.dll")
                    ?? Path.Combine(AppContext.BaseDirectory, "Librarian.Durable.CrashHost.dll"),
                Database.IsPostgres ? "postgres" : "sqlite",
                connectionString,
                node,
                "record=" + Record,
            }.Concat(more)
        )
            start.ArgumentList.Add(argument);
        var process = Process.Start(start)!;
        lock (_gate)
            _processes.Add(process);
        return process;
    }

    protected static async Task KillAsync(Process process)
    {
        if (!process.HasExited)
            process.Kill();
        await process.WaitForExitAsync();
    }

    protected async Task PrepareAsync() => await Execute("create table effect(operation text not null)");

    /// <summary>
    /// Starts three instances of load and, until there are a few, an endless one, and sends every event twice under one message id, as a
    /// peer that lost the answer would.
    /// </summary>
    protected async Task AddLoadAsync(EngineHost client)
    {
        bool endless;
        lock (_gate)
            endless = _instances.Count(instance => instance.Endless) < MostEndless;
        var ids = Enumerable.Range(0, endless ? 4 : 3).Select(_ => Guid.NewGuid().ToString("N")).ToList();
        // With ids of our own, asking again after a lost answer starts nothing twice.
        await AgainAsync(() =>
            client.Client.ScheduleNewOrchestrationInstancesAsync([
                .. ids.Select(
                    (id, index) =>
                        index < 3
                            ? new OrchestrationStart("load", new LoadInput(Rounds, Generations, 0), new(id))
                            : new OrchestrationStart("endless", 0, new(id))
                ),
            ])
        );
        foreach (var id in ids.Take(3))
        {
            for (var generation = Generations; generation > 0; generation--)
            {
                var (name, message) = ("bonus-" + generation, "message-" + generation);
                for (var delivery = 0; delivery < 2; delivery++)
                    await AgainAsync(() => client.Client.RaiseEventAsync(id, name, 1000, message));
            }
        }

        lock (_gate)
            _instances.AddRange(ids.Select((id, index) => (id, index == 3)));
    }

    /// <summary>Waits until fewer instances than that are unfinished, endless ones not counted.</summary>
    protected Task BacklogBelowAsync(int instances) =>
        Until(
            async () => await Count("select count(*) from dt_instance where name = 'load' and completed_at is null") < instances,
            "fewer unfinished instances"
        );

    private static async Task AgainAsync(Func<Task> call)
    {
        using var limit = new CancellationTokenSource(Limit);
        while (true)
        {
            try
            {
                await call();
                return;
            }
            catch (Npgsql.NpgsqlException) when (!limit.IsCancellationRequested)
            {
                // The database is just being crashed or restarted.
                await Task.Delay(50, CancellationToken.None);
            }
        }
    }

    /// <summary>Terminates the endless ones, waits for the rest and checks answers, effects and tables.</summary>
    protected async Task SettleAsync(EngineHost client)
    {
        using var stop = new CancellationTokenSource(TimeSpan.FromMinutes(Long ? 15 : 5));
        // Of connections to a server that has crashed meanwhile, none is of use.
        Npgsql.NpgsqlConnection.ClearAllPools();
        foreach (var (id, _) in _instances.Where(instance => instance.Endless))
            await AgainAsync(() => client.Client.TerminateInstanceAsync(id, "enough"));
        foreach (var (id, endless) in _instances)
        {
            OrchestrationMetadata end;
            try
            {
                end = await client.Client.WaitForInstanceCompletionAsync(id, getInputsAndOutputs: true, stop.Token);
            }
            catch (OperationCanceledException limit)
            {
                throw new TimeoutException($"Instance {id} does not end. {await LeftAsync(id)}", limit);
            }

            if (endless)
            {
                Assert.Equal(OrchestrationRuntimeStatus.Terminated, end.RuntimeStatus);
                continue;
            }

            Assert.True(end.RuntimeStatus == OrchestrationRuntimeStatus.Completed, end.FailureDetails?.ToString());
            Assert.Equal(LoadInput.Expected(Rounds, Generations), end.ReadOutputAs<int>());
        }

        var loads = _instances.Count(instance => !instance.Endless);
        var ids = _instances.Where(instance => !instance.Endless).Select(instance => instance.Id).ToHashSet(StringComparer.Ordinal);
        Assert.Equal(loads * Rounds * Generations, await Count("select count(*) from effect"));
        Assert.Equal(loads * Rounds * Generations, await Count("select count(distinct operation) from effect"));
        // At least once: every call left its mark outside. Children have ids of their own.
        var runs = Directory.GetFiles(_folder.FullName, "record.*").SelectMany(File.ReadLines).ToList();
        var recorded = runs.Distinct(StringComparer.Ordinal)
            .GroupBy(line => line.Split('/')[0], StringComparer.Ordinal)
            .ToDictionary(group => group.Key, group => group.Count(), StringComparer.Ordinal);
        Assert.All(ids, id => Assert.Equal(Rounds * Generations * 3, recorded.GetValueOrDefault(id)));
        await using var connection = Database.Connect(await Database.ConnectionStringAsync());
        await connection.OpenAsync(stop.Token);
        await Until(
            async () => await Count("select (select count(*) from dt_inbox) + (select count(*) from dt_activity)") == 0,
            "the removal of the last rows"
        );
        await Invariants.AssertAsync(connection);
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{loads} loads, {loads * Rounds * Generations} exactly-once effects, {runs.Count} runs of recorded activities, seed {Seed}"
        );
    }

    /// <summary>What is left in the tables, and who is alive, for the message of a test that has waited in vain.</summary>
    private async Task<string> LeftAsync(string id)
    {
        var text = new System.Text.StringBuilder($"{_processes.Count(p => !p.HasExited)} of {_processes.Count} processes live.\n");
        await using var connection = Database.Connect(await Database.ConnectionStringAsync());
        await connection.OpenAsync();
        foreach (
            var query in new[]
            {
                "select * from dt_worker",
                $"select * from dt_instance where instance_id = '{id}'",
                $"select * from dt_inbox where instance_id = '{id}'",
                $"select * from dt_activity where instance_id = '{id}'",
                $"select seq, kind, task_id, name, at from dt_history where instance_id = '{id}' order by seq desc limit 12",
                "select name, status, count(*) from dt_instance group by name, status",
            }
        )
        {
            await using var command = connection.CreateCommand();
            command.CommandText = query;
            await using var rows = await command.ExecuteReaderAsync();
            text.AppendLine(query);
            while (await rows.ReadAsync())
                text.AppendJoin(
                        ", ",
                        Enumerable
                            .Range(0, rows.FieldCount)
                            .Where(i => !rows.IsDBNull(i))
                            .Select(i => $"{rows.GetName(i)}={rows.GetValue(i)}")
                    )
                    .AppendLine();
        }

        return text.ToString();
    }

    /// <summary>
    /// Kills workers (each its own loop: start, live 10 ms to 2 s, die) until <paramref name="kills"/> have died, adding load now and then.
    /// </summary>
    protected async Task<int> KillAtRandomAsync(EngineHost client, int workers, int kills, Func<Random, string> node, params string[] more)
    {
        var (died, lives) = (0, 0);
        var loops = Enumerable
            .Range(0, workers)
            .Select(async slot =>
            {
                var random = new Random(Seed + slot + (workers * 100));
                while (Volatile.Read(ref died) < kills)
                {
                    if (Interlocked.Increment(ref lives) % (workers * 3) == 1)
                        await AddLoadAsync(client);
                    var process = await StartWorkerAsync($"node-{slot}{node(random)}", more);
                    // Short lives are more frequent than long ones: 10 ms to 2 s, evenly on a logarithmic scale.
                    await Task.Delay(TimeSpan.FromMilliseconds(10 * Math.Pow(200, random.NextDouble())));
                    await KillAsync(process);
                    Interlocked.Increment(ref died);
                }
            });
        await Task.WhenAll(loops);
        return died;
    }

    public override async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            await KillAsync(process);
            process.Dispose();
        }

        await base.DisposeAsync();
        _folder.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }
}
