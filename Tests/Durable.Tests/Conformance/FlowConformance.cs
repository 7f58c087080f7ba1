using Librarian.Tests.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Durable.Conformance;

public sealed class FlowOnPostgres(PostgresServer server) : FlowConformance(new PostgresDatabase(server));

[Quick]
public sealed class FlowOnSqlite() : FlowConformance(new SqliteDatabase());

/// <summary>Timers, events and generations under conditions that go wrong in practice.</summary>
public abstract class FlowConformance(TestDatabase database) : EngineTests(database)
{
    [Fact, Scenario(22, "InvalidTimerEventsDiscarded")]
    public async Task TimerMessage_OfAnOlderExecutionOrUnknownTask_IsDroppedUnapplied()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int>("wait", (c, _) => c.WaitForExternalEvent<int>("go")));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("wait", 0);
        await host.Client.WaitForInstanceStartAsync(id);
        await Execute(
            $"""
            insert into dt_inbox(instance_id, execution_id, visible_at, kind, task_id)
            select instance_id, execution_id - 1, 0, 7, 0 from dt_instance;
            insert into dt_inbox(instance_id, execution_id, visible_at, kind, task_id)
            select instance_id, execution_id, 0, 7, 99 from dt_instance
            """
        );
        host.Client.SignalCommitted();
        await Until(async () => await Count("select count(*) from dt_inbox") == 0, "consumption of the strays");
        await host.Client.RaiseEventAsync(id, "go", 8);
        Assert.Equal(8, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.DoesNotContain(await host.Client.ReadHistoryAsync(id), e => e.EventType == "TimerFired");
    }

    [Theory, Scenario(24, "ClockSkew"), InlineData(-10), InlineData(10)]
    public async Task Timers_WithTheWorkersClockOff_FireByTheDatabasesClock(int minutes)
    {
        var host = await StartAsync(b =>
        {
            b.Services.AddSingleton<TimeProvider>(new SkewedTime(TimeSpan.FromMinutes(minutes)));
            b.AddOrchestratorFunc<int, DateTime>("sleep", async (c, _) =>
            {
                await c.CreateTimer(TimeSpan.FromMilliseconds(50), CancellationToken.None);
                return c.CurrentUtcDateTime;
            });
        });
        var before = DateTime.UtcNow;
        var woke = await RunAsync<DateTime>(host, "sleep", 0);
        Assert.InRange(woke, before, DateTime.UtcNow.AddSeconds(1));
    }

    [Fact, Scenario(25, "ContinueAsNewThenTimer"), Scenario(67, "ContinueAsNewWithActivityAndTimer")]
    public async Task ContinueAsNew_WithActivityAndTimerEach_RunsAllGenerations()
    {
        var activities = 0;
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("tick", async (c, n) =>
                {
                    await c.CreateTimer(TimeSpan.FromMilliseconds(1), CancellationToken.None);
                    var next = await c.CallActivityAsync<int>("inc", n);
                    if (next < 20)
                        c.ContinueAsNew(next);
                    return next;
                })
                .AddActivityFunc<int, int>("inc", (_, n) => Task.FromResult(n + Interlocked.Increment(ref activities) - activities + 1))
        );
        Assert.Equal(20, await RunAsync<int>(host, "tick", 0));
        Assert.Equal(20, activities);
        await AssertInvariantsAsync(host);
    }

    [Fact, Scenario(38, "ContinueAsNewDropsEvents")]
    public async Task ContinueAsNew_WithoutPreserving_DropsKeptEvents()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, string>("drop", async (c, generation) =>
            {
                await c.WaitForExternalEvent<int>("start");
                if (generation == 0)
                {
                    c.ContinueAsNew(1, preserveUnprocessedEvents: false);
                    return "";
                }

                return await c.WaitForExternalEvent<string>("extra");
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(
            "drop",
            0,
            new StartOrchestrationOptions(StartAt: DateTimeOffset.UtcNow.AddMilliseconds(300))
        );
        await host.Client.RaiseEventAsync(id, "extra", "lost");
        await host.Client.RaiseEventAsync(id, "start", 0);
        await Until(async () => await Count("select count(*) from dt_instance where input = '1'") == 1, "the second generation");
        await host.Client.RaiseEventAsync(id, "start", 0);
        await host.Client.RaiseEventAsync(id, "extra", "kept");
        Assert.Equal("kept", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Fact, Scenario(37, "ContinueAsNewEventsArePreserved"), Scenario(65, "ManyIterations")]
    public async Task ContinueAsNew_ThousandGenerationsOfThousandEvents_KeepsOrderAndHistoryShort()
    {
        const int Events = 1000;
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<(int Count, bool Ordered), bool>("collect", async (c, state) =>
                {
                    var value = await c.WaitForExternalEvent<int>("n");
                    state = (state.Count + 1, state.Ordered && value == state.Count);
                    if (state.Count < Events)
                        c.ContinueAsNew(state);
                    return state.Ordered;
                })
                .UseJson(new System.Text.Json.JsonSerializerOptions { IncludeFields = true })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("collect", (0, true));
        for (var i = 0; i < Events; i++)
            await host.Client.RaiseEventAsync(id, "n", i);
        Assert.True((await EndOf(host, id)).ReadOutputAs<bool>());
        Assert.True(await Count("select count(*) from dt_history") < 10);
    }

    [Fact, Scenario(40, "EventContention")]
    public async Task RaiseEvent_TenSendersOfHundred_EachArrivesOnce()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int[]>("gather", async (c, n) =>
            {
                var got = new List<int>();
                while (got.Count < n)
                    got.Add(await c.WaitForExternalEvent<int>("n"));
                return [.. got];
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("gather", 1000);
        await Task.WhenAll(
            Enumerable
                .Range(0, 10)
                .Select(sender =>
                    Task.Run(async () =>
                    {
                        for (var i = 0; i < 100; i++)
                            await host.Client.RaiseEventAsync(id, "n", (sender * 100) + i);
                    })
                )
        );
        var got = (await EndOf(host, id)).ReadOutputAs<int[]>()!;
        Assert.Equal(Enumerable.Range(0, 1000), got.Order());
        Assert.All(Enumerable.Range(0, 10), sender => Assert.Equal(Enumerable.Range(sender * 100, 100), got.Where(v => v / 100 == sender)));
    }

    [Fact, Scenario(66, "ConcurrentContinueAsNew")]
    public async Task ContinueAsNew_FiftyInstancesAtOnce_NoneIsStuck()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("loop", async (c, n) =>
                {
                    await c.CallActivityAsync<int>("noop", n);
                    if (n > 0)
                        c.ContinueAsNew(n - 1);
                    return n;
                })
                .AddActivityFunc<int, int>("noop", (_, n) => Task.FromResult(n))
        );
        var started = await host.Client.ScheduleNewOrchestrationInstancesAsync([
            .. Enumerable.Range(0, 50).Select(_ => new OrchestrationStart("loop", 10)),
        ]);
        foreach (var start in started)
            Assert.Equal(OrchestrationRuntimeStatus.Completed, (await EndOf(host, start.InstanceId)).RuntimeStatus);
        await AssertInvariantsAsync(host);
    }

    [Theory, Scenario(88, "NonDeterminism")]
    [InlineData("renamed", "history has a call of activity 'a', the code did a call of activity 'x'")]
    [InlineData("removed", "history has a call of activity 'b', the code did nothing there")]
    [InlineData("reordered", "history has a call of activity 'a', the code did a call of activity 'b'")]
    [InlineData("extra", "history has nothing there, the code did a call of activity 'x'")]
    [InlineData("timer", "history has a call of activity 'a', the code did a timer")]
    [InlineData("child", "history has a call of activity 'a', the code did a call of sub-orchestrator 'a'")]
    public async Task Replay_CodeChanged_FailsNamingOrchestratorPositionAndBothSides(string change, string told)
    {
        var changed = false;
        void Configure(IDurableTaskWorkerBuilder b) =>
            b.AddOrchestratorFunc<int, int>("evolving", async (c, _) =>
                {
                    var how = changed ? change : "";
                    if (how == "timer")
                        await c.CreateTimer(TimeSpan.FromHours(1), CancellationToken.None);
                    if (how == "child")
                        await c.CallSubOrchestratorAsync<int>("a");
                    Task<int>[] calls = how switch
                    {
                        "renamed" => [c.CallActivityAsync<int>("x"), c.CallActivityAsync<int>("b")],
                        "removed" => [c.CallActivityAsync<int>("a")],
                        "reordered" => [c.CallActivityAsync<int>("b"), c.CallActivityAsync<int>("a")],
                        "extra" => [c.CallActivityAsync<int>("a"), c.CallActivityAsync<int>("b"), c.CallActivityAsync<int>("x")],
                        _ => [c.CallActivityAsync<int>("a"), c.CallActivityAsync<int>("b")],
                    };
                    await Task.WhenAll(calls);
                    return await c.WaitForExternalEvent<int>("go");
                })
                .AddActivityFunc<int, int>("a", (_, _) => Task.FromResult(1))
                .AddActivityFunc<int, int>("b", (_, _) => Task.FromResult(1))
                .AddActivityFunc<int, int>("x", (_, _) => Task.FromResult(1));
        var host = await StartAsync(Configure);
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("evolving", 0);
        await Until(async () => await Count("select count(*) from dt_history where kind = 4") == 2, "both activities");
        await host.DisposeAsync();
        changed = true;
        var second = await StartAsync(Configure);
        await second.Client.RaiseEventAsync(id, "go", 1);
        var end = await EndOf(second, id);
        Assert.Equal("NonDeterministicOrchestration", end.FailureDetails!.ErrorType);
        Assert.Contains("'evolving'", end.FailureDetails.ErrorMessage, StringComparison.Ordinal);
        Assert.Contains("position ", end.FailureDetails.ErrorMessage, StringComparison.Ordinal);
        Assert.Contains(told, end.FailureDetails.ErrorMessage, StringComparison.Ordinal);
        // The old code comes back: nothing is lost.
        await second.DisposeAsync();
        changed = false;
        var third = await StartAsync(Configure);
        await third.Client.RewindInstanceAsync(id, "");
        Assert.Equal(1, (await EndOf(third, id)).ReadOutputAs<int>());
    }

    private sealed class SkewedTime(TimeSpan skew) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + skew;
    }
}
