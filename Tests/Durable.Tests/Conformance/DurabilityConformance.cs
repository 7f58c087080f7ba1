using System.Collections.Concurrent;
using System.Diagnostics;
using Librarian.Durable.Worker;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable.Conformance;

public sealed class DurabilityConformanceOnPostgres(PostgresServer server) : DurabilityConformance(new PostgresDatabase(server))
{
    [Fact, Scenario(93, "KillDuringActivity")]
    public async Task KillDuringActivity_AnotherNode_ResumesWhenTheLeaseHasPassed()
    {
        var lease = TimeSpan.FromSeconds(2);
        var client = await StartAsync(b => b.Configure(o => o.RunWorker = false));
        var file = NewFile();
        using var victim = await StartWorkerAsync("victim", lease);
        var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("file", file);
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the first delivery");
        using var heir = await StartWorkerAsync("heir", lease);
        // Nobody believes an expired lease before having held its own for as long.
        await Until(
            async () =>
                await Count(
                    $"select count(*) from dt_worker where node = 'heir' and lease_until - started_at >= {2 * lease.TotalMilliseconds}"
                ) == 1,
            "the heir's first full lease"
        );
        File.Delete(file + ".started");
        await KillAsync(victim);
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the second delivery");
        await File.WriteAllTextAsync(file, "");
        Assert.Equal(2, (await EndOf(client, id)).ReadOutputAs<int>());
        await KillAsync(heir);
    }

    [Fact]
    public async Task Notification_WithoutPolling_WakesTheWorkerOfAnotherHost()
    {
        var client = await StartAsync(b => b.Configure(o => o.RunWorker = false));
        var worker = await StartAsync(b =>
        {
            b.Configure(o => o.PollInterval = TimeSpan.FromHours(1));
            b.AddOrchestratorFunc<int, int>("wait", async (c, _) => await c.WaitForExternalEvent<int>("go"));
        });
        await Until(
            async () =>
                await Count("select count(*) from pg_stat_activity where datname = current_database() and query like 'listen %'") == 1,
            "the listener"
        );
        var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("wait", 0);
        await Until(
            async () => (await client.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Running,
            "the start"
        );
        await Until(async () => await Count("select count(*) from dt_instance where owner is not null") == 0, "the release");
        await client.Client.RaiseEventAsync(id, "go", 7);
        Assert.Equal(7, (await EndOf(client, id)).ReadOutputAs<int>());
    }

    [Fact]
    public async Task Notification_Unavailable_WorkIsFoundByPolling()
    {
        var client = await StartAsync(b => b.Configure(o => (o.RunWorker, o.UseNotifications) = (false, false)));
        var worker = await StartAsync(b =>
        {
            b.Configure(o => (o.PollInterval, o.UseNotifications) = (TimeSpan.FromMilliseconds(200), false));
            b.AddOrchestratorFunc<int, int>("mix", async (c, n) =>
            {
                var sum = (await Task.WhenAll(Enumerable.Range(0, 100).Select(i => c.CallActivityAsync<int>("inc", i)))).Sum();
                await c.CreateTimer(TimeSpan.FromMilliseconds(20), CancellationToken.None);
                return sum + await c.CallSubOrchestratorAsync<int>("child", 5) + await c.WaitForExternalEvent<int>("go");
            });
            b.AddOrchestratorFunc<int, int>("child", (c, n) => c.CallActivityAsync<int>("inc", n));
            b.AddActivityFunc<int, int>("inc", (_, n) => Task.FromResult(n + 1));
        });
        var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("mix", 0);
        await client.Client.RaiseEventAsync(id, "go", 1);
        Assert.Equal(5050 + 6 + 1, (await EndOf(client, id)).ReadOutputAs<int>());
        Assert.Equal(
            0,
            await Count(
                "select count(*) from pg_stat_activity "
                    + "where datname = current_database() and query like '%notify%' and pid <> pg_backend_pid()"
            )
        );
        Assert.Equal(0, await Count("select count(*) from pg_stat_activity where datname = current_database() and query like 'listen %'"));
    }
}

public sealed class DurabilityConformanceOnSqlite() : DurabilityConformance(new SqliteDatabase());

/// <summary>Scenarios 93 to 95, 102 and 103: workers that die, hang, stop, or have much to wait for.</summary>
public abstract class DurabilityConformance(TestDatabase database) : EngineTests(database)
{
    private readonly string _folder = Directory.CreateTempSubdirectory("librarian-conformance-").FullName;

    /// <summary>
    /// A lease that no test outlives: what goes on all the same has not waited for it. How soon it goes on is measured by bench/Durable.
    /// </summary>
    private static readonly TimeSpan s_endless = TimeSpan.FromHours(1);

    private int _files;
    private List<WorkerIncarnation> _pair = [];

    [Fact, Scenario(93, "KillDuringActivity")]
    public async Task KillDuringActivity_OwnNode_ResumesWithoutWaitingForTheLease()
    {
        var client = await StartAsync(b => b.Configure(o => o.RunWorker = false));
        var file = NewFile();
        using var victim = await StartWorkerAsync("node", s_endless);
        var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("file", file);
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the first delivery");
        await KillAsync(victim);
        File.Delete(file + ".started");
        using var successor = await StartWorkerAsync("node", s_endless);
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the second delivery");
        await File.WriteAllTextAsync(file, "");
        Assert.Equal(2, (await EndOf(client, id)).ReadOutputAs<int>());
        await KillAsync(successor);
    }

    [Fact, Scenario(94, "OrchestrationHang")]
    public Task OrchestrationHang_TurnLongerThanTheLease_IsNotTakenOver() =>
        UntilLeasesHoldAsync(async lease =>
        {
            var turns = 0;
            using var goOn = new ManualResetEventSlim();
            var hosts = await StartPairAsync(lease, b => b.AddOrchestratorFunc<int, int>("slow", async (c, _) =>
                    {
                        if (!c.IsReplaying)
                        {
                            Interlocked.Increment(ref turns);
                            goOn.Wait(Limit);
                        }

                        return await c.CallActivityAsync<int>("one");
                    })
                    .AddActivityFunc<int, int>("one", (_, _) => Task.FromResult(1)));
            var id = await hosts[0].Client.ScheduleNewOrchestrationInstanceAsync("slow", 0);
            await Until(() => Task.FromResult(Volatile.Read(ref turns) == 1), "the turn");
            await UntilLeasesWouldHaveEndedAsync(hosts[0], lease);
            goOn.Set();
            Assert.Equal(1, (await EndOf(hosts[0], id)).ReadOutputAs<int>());
            return (hosts, () => Assert.Equal(1, turns));
        });

    [Fact, Scenario(95, "LongRunningActivity")]
    public Task LongRunningActivity_LongerThanTheLease_IsDeliveredOnce() =>
        UntilLeasesHoldAsync(async lease =>
        {
            var deliveries = new ConcurrentQueue<int>();
            var goOn = new TaskCompletionSource();
            var hosts = await StartPairAsync(lease, b => b.AddOrchestratorFunc<int, int>("long", (c, _) => c.CallActivityAsync<int>("long"))
                    .AddActivityFunc<int, int>("long", async (c, _) =>
                    {
                        deliveries.Enqueue(c.DeliveryCount);
                        await goOn.Task.WaitAsync(c.CancellationToken);
                        return c.DeliveryCount;
                    }));
            var id = await hosts[0].Client.ScheduleNewOrchestrationInstanceAsync("long", 0);
            await Until(() => Task.FromResult(!deliveries.IsEmpty), "the delivery");
            await UntilLeasesWouldHaveEndedAsync(hosts[0], lease);
            goOn.SetResult();
            await EndOf(hosts[0], id);
            return (hosts, () => Assert.Equal([1], deliveries));
        });

    [Fact, Scenario(102, "GracefulShutdown")]
    public async Task GracefulShutdown_WorkRunning_SuccessorContinuesWithoutWaitingForTheLease()
    {
        var deliveries = new ConcurrentQueue<string>();
        var finish = new HashSet<string>();
        void Configure(IDurableTaskWorkerBuilder b, string node) =>
            b.Configure(o => (o.NodeName, o.LeaseDuration) = (node, s_endless))
                .AddOrchestratorFunc<int, int>("work", async (c, _) =>
                    await c.CallActivityAsync<int>("before") + await c.CallActivityAsync<int>("long")
                )
                .AddActivityFunc<int, int>("before", (_, _) => Task.FromResult(1))
                .AddActivityFunc<int, int>("long", async (c, _) =>
                {
                    deliveries.Enqueue(node);
                    bool done;
                    lock (finish)
                        done = finish.Contains(node);
                    if (!done)
                        await Task.Delay(Timeout.Infinite, c.CancellationToken);
                    // Given back by a drain: not a failed delivery.
                    return c.DeliveryCount;
                });
        const string First = "first",
            Second = "second";
        var stopping = await StartAsync(b => Configure(b, First));
        var id = await stopping.Client.ScheduleNewOrchestrationInstanceAsync("work", 0);
        await Until(() => Task.FromResult(deliveries.Contains(First)), "the long activity");
        lock (finish)
            finish.Add(Second);
        // On SQLite the successor can only come after it.
        var successor = Database.IsPostgres ? await StartAsync(b => Configure(b, Second)) : null;
        await stopping.StopAsync();
        successor ??= await StartAsync(b => Configure(b, Second));
        await Until(() => Task.FromResult(deliveries.Contains(Second)), "the successor's delivery");
        Assert.Equal(2, (await EndOf(successor, id)).ReadOutputAs<int>());
        Assert.Equal(1, await Count($"select count(*) from dt_history where kind = 4 and name = 'before' and instance_id = '{id}'"));
        await successor.StopAsync();
        Assert.Equal(
            0,
            await Count(
                "select (select count(*) from dt_instance where owner is not null) "
                    + "+ (select count(*) from dt_activity) + (select count(*) from dt_worker)"
            )
        );
    }

    [Fact, Scenario(103, "TenThousandWaiting")]
    public async Task TenThousandWaiting_IdleAndResumed_CostsRowsAndFewStatements()
    {
        const int Waiting = 10_000;
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int>("wait", async (c, n) =>
            {
                using var stop = new CancellationTokenSource();
                var timer = c.CreateTimer(TimeSpan.FromDays(1), stop.Token);
                var event_ = c.WaitForExternalEvent<int>("go");
                await Task.WhenAny(timer, event_);
#pragma warning disable CA1849, MA0042 // CancelAsync leaves the orchestrator's thread.
                stop.Cancel();
#pragma warning restore CA1849, MA0042
                return n + await event_;
            }));
        var ids = (
            await host.Client.ScheduleNewOrchestrationInstancesAsync([
                .. Enumerable.Range(0, Waiting).Select(i => new OrchestrationStart("wait", i)),
            ])
        )
            .Select(start => start.InstanceId)
            .ToList();
        await Until(async () => await Count($"select count(*) from dt_inbox where kind = 7") == Waiting, "all waiting");
        await Until(() => Task.FromResult(host.Worker.Telemetry.Worker!.ResidentCount == 0), "none in memory");
        // One round of everything that is done regularly has passed since the last work.
        await UntilStatementsAsync(host, 12);
        var (before, since) = (host.Store.Traffic, Stopwatch.StartNew());
        await UntilStatementsAsync(host, 24);
        var idle = (host.Store.Traffic.Statements - before.Statements) / since.Elapsed.TotalSeconds;
        Assert.True(idle <= 2, $"{idle:F2} statements/s when idle");
        await Parallel.ForEachAsync(ids, new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (id, stop) =>
            await host.Client.RaiseEventAsync(id, "go", 1, stop)
        );
        await Until(async () => await Count("select count(*) from dt_instance where status = 1") == Waiting, "all resumed");
        Assert.Equal(Waiting, await Count("select count(distinct output) from dt_instance"));
        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
        GC.SuppressFinalize(this);
    }

    protected string NewFile() => Path.Combine(_folder, $"go{_files++}");

    protected async Task<Process> StartWorkerAsync(string node, TimeSpan lease)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, UseShellExecute = false };
        SiteProcess.LiveShortly(start);
        foreach (
            var argument in new[]
            {
                SiteProcess.Precompiled("crash-host/Librarian.Durable.CrashHost.dll")
                    ?? Path.Combine(AppContext.BaseDirectory, "Librarian.Durable.CrashHost.dll"),
                Database.IsPostgres ? "postgres" : "sqlite",
                await Database.ConnectionStringAsync(),
                node,
                $"lease={lease.TotalMilliseconds}",
            }
        )
            start.ArgumentList.Add(argument);
        var process = Process.Start(start)!;
        using var limit = new CancellationTokenSource(Limit);
        Assert.Equal("ready", await process.StandardOutput.ReadLineAsync(limit.Token));
        return process;
    }

    protected static async Task KillAsync(Process process)
    {
        if (!process.HasExited)
            process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>Two workers with short leases on PostgreSQL; the one that SQLite admits.</summary>
    private async Task<List<EngineHost>> StartPairAsync(TimeSpan lease, Action<IDurableTaskWorkerBuilder> configure)
    {
        var hosts = new List<EngineHost>();
        foreach (var node in Database.IsPostgres ? ["one", "two"] : new[] { "one" })
        {
            hosts.Add(
                await StartAsync(b =>
                {
                    b.Configure(o =>
                    {
                        o.NodeName = node;
                        o.LeaseDuration = lease;
                        o.HeartbeatInterval = TimeSpan.FromMilliseconds(200);
                        o.LeaseMargin = TimeSpan.FromMilliseconds(500);
                        o.PollInterval = TimeSpan.FromMilliseconds(300);
                        o.SweepInterval = TimeSpan.FromMilliseconds(200);
                    });
                    configure(b);
                })
            );
        }

        // A worker that has lost its lease begins again as another incarnation.
        await Until(
            () =>
            {
                _pair = [.. hosts.Select(host => host.Worker.Telemetry.Worker).OfType<WorkerIncarnation>()];
                return Task.FromResult(_pair.Count == hosts.Count);
            },
            "both workers at work"
        );
        return hosts;
    }

    /// <summary>
    /// A machine that starves a worker for longer than its lease says nothing about one that renews it. Then once more, with a longer
    /// lease.
    /// </summary>
    private async Task UntilLeasesHoldAsync(Func<TimeSpan, Task<(List<EngineHost> Hosts, Action AssertNotTakenOver)>> run)
    {
        for (var lease = TimeSpan.FromMilliseconds(1500); ; lease *= 4)
        {
            Assert.True(lease < TimeSpan.FromMinutes(10), "the workers never renewed their leases in time");
            var (hosts, assertNotTakenOver) = await run(lease);
            var held = _pair.TrueForAll(worker => !worker.Lost.IsCancellationRequested);
            foreach (var host in hosts)
                await host.StopAsync();
            if (!held)
                continue;
            assertNotTakenOver();
            return;
        }
    }

    /// <summary>Every lease that was not renewed would have ended twice over, and sweeps have looked at all rows several times.</summary>
    private async Task UntilLeasesWouldHaveEndedAsync(EngineHost host, TimeSpan lease)
    {
        if (Database.IsPostgres)
        {
            var now = await Count("select (extract(epoch from clock_timestamp())*1000)::bigint");
            await Until(
                async () =>
                    await Count($"select count(*) from dt_worker where lease_until > {now + (long)(lease.TotalMilliseconds * 3)}") == 2,
                "both leases renewed"
            );
        }

        await UntilStatementsAsync(host, 60);
    }

    private static async Task UntilStatementsAsync(EngineHost host, int statements)
    {
        var before = host.Store.Traffic.Statements;
        await Until(() => Task.FromResult(host.Store.Traffic.Statements >= before + statements), $"{statements} statements");
    }
}
