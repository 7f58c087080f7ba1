using System.Diagnostics;
using Librarian.Durable;
using Microsoft.DurableTask.Client;

namespace Librarian.Bench.Durable;

internal sealed record BenchOptions(bool Quick, IReadOnlyCollection<string> Only)
{
    public int Pick(int full, int quick) => Quick ? quick : full;

    public bool Wants(string scenario) => Only.Count == 0 || Only.Contains(scenario);
}

/// <summary>All scenarios on one kind of database, each in its own database. The targets apply to PostgreSQL.</summary>
internal sealed class Scenarios(Func<Task<BenchDatabase>> create, string folder, BenchOptions options, Scoreboard board)
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(4);
    private BenchDatabase _database = null!;

    public async Task RunAsync()
    {
        foreach (
            var (name, scenario) in new (string, Func<Task>)[]
            {
                ("chain", ChainAsync),
                ("fan", FanOutAsync),
                ("sub", SubOrchestrationsAsync),
                ("timers", TimersAsync),
                ("waiting", WaitingAsync),
                ("history", HistoryAsync),
                ("workers", WorkersAsync),
                ("recovery", RecoveryAsync),
            }
        )
        {
            if (!options.Wants(name))
                continue;
            _database = await create();
            await scenario();
        }
    }

    private static OrchestrationStart[] Starts(int count, string name, object input) =>
        [.. Enumerable.Range(0, count).Select(_ => new OrchestrationStart(name, input))];

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        return sorted.Count == 0 ? double.NaN : sorted[sorted.Count / 2];
    }

    private double? OnPostgres(double target) => _database.IsPostgres ? target : null;

    /// <summary>
    /// Runs the same workload several times, each time between two measurements of the bare rate. Reports the medians of the rate and of
    /// its ratio to the mean of those two measurements.
    /// </summary>
    private async Task StepsAsync(
        string what,
        OrchestrationStart[] starts,
        int steps,
        double? commits,
        double? statements,
        double? ratio,
        bool alone = false
    )
    {
        var rates = new List<double>();
        var ratios = new List<double>();
        var bareRates = new List<double>();
        var commitsPerStep = new List<double>();
        var statementsPerStep = new List<double>();
        var roundTripsPerStep = new List<double>();
        var turns = new List<double>();
        var shapedRatios = new List<double>();
        await using var engine = await Engine.StartAsync(_database);
        // A warm-up compiles code, prepares statements and opens connections.
        await engine.RunAsync(Starts(4, "chain", 250));
        await engine.RunAsync(starts);
        var bareRows = options.Pick(2000, 500);
        var bare = await BareCommits.RateAsync(_database, bareRows);
        // A single chain suffers from every pause of the disk: of runs of 0.25 s, one in three has a pause, in the chain or in the bare
        // rate.
        for (var run = 0; run < (alone ? options.Pick(15, 5) : options.Pick(5, 3)); run++)
        {
            engine.TakeTurns();
            var cost = await engine.RunAsync(starts);
            turns.Add(Median(engine.TakeTurns()) * 1000);
            var next = await BareCommits.RateAsync(_database, bareRows);
            rates.Add(steps / cost.Time.TotalSeconds);
            ratios.Add(rates[^1] / ((bare + next) / 2));
            bareRates.Add(next);
            commitsPerStep.Add(cost.Traffic.Commits / (double)steps);
            statementsPerStep.Add(cost.Traffic.Statements / (double)steps);
            roundTripsPerStep.Add(cost.Traffic.RoundTrips / (double)steps);
            bare = next;
            if (alone && _database.IsPostgres)
                shapedRatios.Add(rates[^1] / await BareCommits.TurnShapedRateAsync(_database, bareRows));
        }

        board.Add($"{what}: rate (bare single-row commits: {Median(bareRates):N0}/s)", Median(rates), "steps/s");
        board.Add($"{what}: ratio to bare commits", Median(ratios), "", atLeast: ratio);
        // Steps that follow each other cannot be faster than their own rows: where an fsync takes 0.2 ms, writing them takes half of the
        // time.
        if (shapedRatios.Count > 0)
            board.Add($"{what}: ratio to the same rows written without the engine", Median(shapedRatios), "");
        board.Add($"{what}: commits per step", Median(commitsPerStep), "", atMost: commits);
        board.Add($"{what}: statements per step", Median(statementsPerStep), "", atMost: statements);
        board.Add($"{what}: median turn", Median(turns), "ms");
        if (_database.IsPostgres)
            board.Add($"{what}: round trips per step", Median(roundTripsPerStep), "");
    }

    private async Task ChainAsync()
    {
        var steps = options.Pick(1000, 300);
        await StepsAsync(
            $"chain 1 × {steps}",
            Starts(1, "chain", steps),
            steps,
            OnPostgres(1.2),
            OnPostgres(5),
            OnPostgres(0.35),
            alone: true
        );
        steps = options.Pick(100, 30);
        await StepsAsync($"chain 32 × {steps}", Starts(32, "chain", steps), 32 * steps, OnPostgres(1.2), OnPostgres(5), OnPostgres(0.6));
    }

    private Task FanOutAsync()
    {
        var count = options.Pick(8, 2);
        return StepsAsync(
            $"fan-out {count} × 1,024",
            Starts(count, "fan", new FanInput(1024, 0)),
            count * 1024,
            OnPostgres(0.25),
            null,
            OnPostgres(2)
        );
    }

    private Task SubOrchestrationsAsync()
    {
        var children = options.Pick(256, 64);
        return StepsAsync(
            $"{children} sub-orchestrations × 3 (per activity)",
            Starts(1, "parent", new FanInput(children, 3)),
            children * 3,
            null,
            null,
            null
        );
    }

    private async Task TimersAsync()
    {
        var count = options.Pick(10_000, 1000);
        await using var engine = await Engine.StartAsync(_database);
        await engine.RunAsync(Starts(4, "chain", 100));
        var watch = Stopwatch.StartNew();
        var due = DateTime.UtcNow + TimeSpan.FromSeconds(options.Pick(45, 8));
        var ids = (await engine.Client.ScheduleNewOrchestrationInstancesAsync(Starts(count, "timer", due)))
            .Select(start => start.InstanceId)
            .ToList();
        await UntilPersistedAsync(engine, count);
        board.Add($"{count:N0} timers: created and waiting after", watch.Elapsed.TotalSeconds, "s");
        if (DateTime.UtcNow > due)
            throw new InvalidOperationException("the timers were due before all were created");
        await Task.Delay(due - DateTime.UtcNow);
        var before = engine.ReadTraffic();
        watch.Restart();
        await engine.EndAsync(ids);
        var traffic = engine.ReadTraffic() - before;
        board.Add($"{count:N0} timers: fired and ended", count / watch.Elapsed.TotalSeconds, "timers/s");
        // Each timer needs one turn; the other commits are polls for timers and the bench's own query per instance.
        board.Add($"{count:N0} timers: commits per timer", (traffic.Commits - count) / (double)count, "");
    }

    private async Task WaitingAsync()
    {
        var count = options.Pick(10_000, 1000);
        await using var engine = await Engine.StartAsync(_database);
        await engine.RunAsync(Starts(4, "chain", 100));
        var ids = (await engine.Client.ScheduleNewOrchestrationInstancesAsync(Starts(count, "event", 0)))
            .Select(start => start.InstanceId)
            .ToList();
        await UntilPersistedAsync(engine, count);
        await Task.Delay(TimeSpan.FromSeconds(1));
        var before = engine.ReadTraffic();
        var watch = Stopwatch.StartNew();
        await Task.Delay(TimeSpan.FromSeconds(options.Pick(60, 16)));
        var idle = engine.ReadTraffic() - before;
        board.Add($"idle with {count:N0} waiting", idle.Statements / watch.Elapsed.TotalSeconds, "statements/s", atMost: OnPostgres(2));
        before = engine.ReadTraffic();
        watch.Restart();
        await Parallel.ForEachAsync(ids, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (id, stop) =>
            await engine.Client.RaiseEventAsync(id, "go", 1, stop)
        );
        board.Add($"{count:N0} events raised", count / watch.Elapsed.TotalSeconds, "events/s");
        await engine.EndAsync(ids);
        board.Add($"{count:N0} events: raised, resumed, an activity each, ended", count / watch.Elapsed.TotalSeconds, "instances/s");
        var traffic = engine.ReadTraffic() - before;
        board.Add($"{count:N0} events: commits per instance", (traffic.Commits - count) / (double)count, "");
    }

    /// <summary>Waits until all instances have started and left the memory.</summary>
    private static async Task UntilPersistedAsync(Engine engine, int count)
    {
        while (true)
        {
            var running = 0;
            await foreach (
                var _ in engine.Client.GetAllInstancesAsync(
                    new OrchestrationQuery { Statuses = [OrchestrationRuntimeStatus.Pending], PageSize = 1 }
                )
            )
            {
                running++;
                break;
            }

            if (running == 0)
                return;
            await Task.Delay(50);
        }
    }

    /// <summary>
    /// A turn of an instance in memory costs the same for any length of its history; rebuilding it is linear in that length.
    /// </summary>
    private async Task HistoryAsync()
    {
        var steps = options.Pick(5000, 1500);
        await using (var engine = await Engine.StartAsync(_database))
        {
            await engine.RunAsync(Starts(1, "chain", 500));
            Workload.StepTimes.Clear();
            await engine.RunAsync(Starts(1, "chain", steps));
            var times = Workload.StepTimes.ToArray();
            double Window(int from) =>
                Median(Enumerable.Range(from, steps / 10).Select(i => Stopwatch.GetElapsedTime(times[i], times[i + 1]).TotalMilliseconds));
            var (first, last) = (Window(0), Window(steps - (steps / 10) - 1));
            board.Add($"sticky turn, first tenth of {steps:N0} steps", first, "ms");
            board.Add($"sticky turn, last tenth: times the first", last / first, "", atMost: OnPostgres(1.5));
        }

        _database = await create();
        await using (var engine = await Engine.StartAsync(_database))
        {
            await engine.RunAsync(Starts(4, "chain", 100));
            var costs = new List<(int Steps, double Milliseconds)>();
            for (var length = options.Pick(2000, 1000); length <= options.Pick(8000, 4000); length *= 2)
            {
                var id = await engine.Client.ScheduleNewOrchestrationInstanceAsync("long-history", length);
                await UntilStatusAsync(engine, id, "\"built\"");
                var turns = new List<double>();
                for (var tick = 1; tick <= 15; tick++)
                {
                    engine.TakeTurns();
                    await engine.Client.RaiseEventAsync(id, "tick", tick);
                    await UntilStatusAsync(engine, id, tick.ToString(System.Globalization.CultureInfo.InvariantCulture));
                    while (engine.TakeTurns() is var taken && (turns.Count < tick))
                        turns.AddRange(taken);
                }

                await engine.Client.RaiseEventAsync(id, "tick", 0);
                await engine.EndAsync([id]);
                costs.Add((length, Median(turns) * 1000));
                board.Add($"rebuilding turn after {length:N0} steps", costs[^1].Milliseconds, "ms");
            }

            board.Add(
                "rebuilding turn: four times the history costs",
                costs[2].Milliseconds / costs[0].Milliseconds,
                "times",
                atMost: OnPostgres(6)
            );
        }
    }

    private static async Task UntilStatusAsync(Engine engine, string id, string status)
    {
        while ((await engine.Client.GetInstanceAsync(id, getInputsAndOutputs: true))!.SerializedCustomStatus != status)
            await Task.Delay(2);
    }

    private async Task WorkersAsync()
    {
        if (!_database.IsPostgres)
            return;
        const int Slots = 8;
        var starts = Starts(4, "fan", new FanInput(options.Pick(256, 96), 50));
        var times = new List<TimeSpan>();
        foreach (var count in new[] { 1, 4 })
        {
            _database = await create();
            await using var client = await Engine.StartAsync(_database, o => o.RunWorker = false);
            var workers = await Task.WhenAll(
                Enumerable.Range(0, count).Select(i => WorkerProcess.StartAsync(_database, "node-" + i, Slots, TimeSpan.FromSeconds(12)))
            );
            await client.RunAsync(Starts(4 * count, "fan", new FanInput(16, 50)));
            var runs = new List<TimeSpan>();
            for (var run = 0; run < 3; run++)
                runs.Add((await client.RunAsync(starts)).Time);
            times.Add(runs.Order().ElementAt(1));
            foreach (var worker in workers)
                await worker.DisposeAsync();
            board.Add(
                $"{count} worker{(count > 1 ? "s" : "")} of {Slots} slots, 4 × {options.Pick(256, 96)} activities of 50 ms",
                times[^1].TotalSeconds,
                "s"
            );
        }

        board.Add("4 workers are faster than 1", times[0] / times[1], "times", atLeast: 3);
    }

    private async Task RecoveryAsync()
    {
        await using var client = await Engine.StartAsync(_database, o => o.RunWorker = false);
        if (_database.IsPostgres)
        {
            var file = Path.Combine(folder, "other-node");
            await using var first = await WorkerProcess.StartAsync(_database, "node-a", 8, Lease);
            var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("hold", file);
            await UntilFileAsync(file + ".started");
            await using var second = await WorkerProcess.StartAsync(_database, "node-b", 8, Lease);
            // A worker treats an expired lease as expired only after it has held its own for one lease duration.
            await Task.Delay(Lease);
            File.Delete(file + ".started");
            await first.KillAsync();
            var watch = Stopwatch.StartNew();
            await UntilFileAsync(file + ".started");
            board.Add(
                $"kill -9 during an activity, lease {Lease.TotalSeconds:N0} s: runs on another node after",
                watch.Elapsed.TotalSeconds,
                "s",
                atMost: Lease.TotalSeconds + 1
            );
            await File.WriteAllTextAsync(file, "");
            await client.EndAsync([id]);
        }

        var own = Path.Combine(folder, "own-node-" + _database.Kind);
        await using var victim = await WorkerProcess.StartAsync(_database, "node-c", 8, TimeSpan.FromSeconds(12));
        var held = await client.Client.ScheduleNewOrchestrationInstanceAsync("hold", own);
        await UntilFileAsync(own + ".started");
        await victim.KillAsync();
        File.Delete(own + ".started");
        var since = Stopwatch.StartNew();
        await using var successor = await WorkerProcess.StartAsync(_database, "node-c", 8, TimeSpan.FromSeconds(12));
        var ready = since.Elapsed;
        await UntilFileAsync(own + ".started");
        board.Add("kill -9, restarted on the same node: runs again after the start of the process", since.Elapsed.TotalSeconds, "s");
        board.Add("the same, after the successor was ready", (since.Elapsed - ready).TotalSeconds, "s", atMost: 1);
        await File.WriteAllTextAsync(own, "");
        await client.EndAsync([held]);
    }

    private static async Task UntilFileAsync(string path)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (!File.Exists(path))
            await Task.Delay(2, limit.Token);
    }
}
