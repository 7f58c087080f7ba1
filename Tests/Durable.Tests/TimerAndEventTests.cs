using Librarian.Tests.Durable.Conformance;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class TimersAndEventsOnPostgres(PostgresServer server) : TimerAndEventTests(new PostgresDatabase(server));

[Quick]
public sealed class TimersAndEventsOnSqlite() : TimerAndEventTests(new SqliteDatabase());

public abstract class TimerAndEventTests(TestDatabase database) : EngineTests(database)
{
    [Scenario(15, "SingleTimer")]
    [Fact]
    public async Task CreateTimer_Single_WaitsAtLeastThatLong()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, double>("sleep", async (c, ms) =>
            {
                var before = c.CurrentUtcDateTime;
                await c.CreateTimer(TimeSpan.FromMilliseconds(ms), CancellationToken.None);
                return (c.CurrentUtcDateTime - before).TotalMilliseconds;
            }));
        Assert.True(await RunAsync<double>(host, "sleep", 120) >= 120);
    }

    [Scenario(17, "ConcurrentTimers")]
    [Fact]
    public async Task CreateTimer_SameDueTime_AllFire()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int>("together", async (c, n) =>
            {
                var due = c.CurrentUtcDateTime.AddMilliseconds(50);
                await Task.WhenAll(Enumerable.Range(0, n).Select(_ => c.CreateTimer(due, CancellationToken.None)));
                return n;
            }));
        Assert.Equal(25, await RunAsync<int>(host, "together", 25));
    }

    [Scenario(16, "LongTimer"), Scenario(21, "CompletionCancelsPendingTimers")]
    [Fact]
    public async Task CreateTimer_YearsAhead_IsOneRowAndGoneWhenTheInstanceEnds()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, string>("years", async (c, _) =>
            {
                var timer = c.CreateTimer(TimeSpan.FromDays(3650), CancellationToken.None);
                return await Task.WhenAny(timer, c.WaitForExternalEvent<string>("go")) == timer ? "timer" : "event";
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("years", 0);
        await Until(async () => await Count("select count(*) from dt_inbox where kind = 7") == 1, "the timer's row");
        await host.Client.RaiseEventAsync(id, "go", "now");
        Assert.Equal("event", (await EndOf(host, id)).ReadOutputAs<string>());
        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
    }

    [Scenario(18, "TimerCancellation")]
    [Fact]
    public async Task CreateTimer_Cancelled_ThrowsAndForgetsTheRow()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("cancel", async (c, _) =>
                {
                    using var cancellation = new CancellationTokenSource();
                    var timer = c.CreateTimer(TimeSpan.FromDays(1), cancellation.Token);
                    var winner = await Task.WhenAny(timer, c.CallActivityAsync<int>("quick"));
                    cancellation.Cancel();
                    if (winner == timer)
                        return "timer first";
                    try
                    {
                        await timer;
                        return "not cancelled";
                    }
                    catch (TaskCanceledException)
                    {
                        await c.WaitForExternalEvent<int>("look");
                        return "cancelled";
                    }
                })
                .AddActivityFunc<int, int>("quick", (_, _) => Task.FromResult(1))
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("cancel", 0);
        await Until(async () => await Count("select count(*) from dt_history where kind = 4") == 1, "the activity's end");
        Assert.Equal(0, await Count("select count(*) from dt_inbox where kind = 7"));
        await host.Client.RaiseEventAsync(id, "look", 1);
        Assert.Equal("cancelled", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Scenario(19, "TimerExpiration")]
    [Fact]
    public async Task CreateTimer_FiresFirstInWhenAny_LateLoserIsIgnored()
    {
        var release = new TaskCompletionSource();
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("race", async (c, _) =>
                {
                    var slow = c.CallActivityAsync<int>("slow");
                    var timer = c.CreateTimer(TimeSpan.FromMilliseconds(20), CancellationToken.None);
                    var first = await Task.WhenAny(slow, timer) == timer ? "timer" : "activity";
                    await c.WaitForExternalEvent<int>("end");
                    return first;
                })
                .AddActivityFunc<int, int>("slow", async (_, _) =>
                {
                    await release.Task;
                    return 1;
                })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("race", 0);
        await Until(async () => await Count("select count(*) from dt_history where kind = 7") == 1, "the timer");
        release.SetResult();
        await Until(async () => await Count("select count(*) from dt_activity") == 0, "the loser's end");
        await host.Client.RaiseEventAsync(id, "end", 0);
        Assert.Equal("timer", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Scenario(20, "TimerSurvivesDowntime")]
    [Fact]
    public async Task CreateTimer_DueWhileNoWorkerLives_FiresAtStart()
    {
        void Configure(IDurableTaskWorkerBuilder b) => b.AddOrchestratorFunc<int, int>("nap", async (c, _) =>
            {
                await c.CreateTimer(TimeSpan.FromHours(1), CancellationToken.None);
                return 7;
            });
        var first = await StartAsync(Configure);
        var id = await first.Client.ScheduleNewOrchestrationInstanceAsync("nap", 0);
        await Until(async () => await Count("select count(*) from dt_inbox where kind = 7") == 1, "the timer's row");
        await first.DisposeAsync();
        // Nobody lived for two hours.
        await Execute("update dt_inbox set visible_at = visible_at - 7200000 where kind = 7");
        var second = await StartAsync(Configure);
        Assert.Equal(7, (await EndOf(second, id)).ReadOutputAs<int>());
    }

    [Scenario(23, "ScheduledStart")]
    [Fact]
    public async Task Schedule_StartAtInFuture_IsPendingThenRuns()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int>("later", (_, n) => Task.FromResult(n)));
        var far = new StartOrchestrationOptions(StartAt: DateTimeOffset.UtcNow.AddHours(1));
        var waiting = await host.Client.ScheduleNewOrchestrationInstanceAsync("later", 3, far);
        var at = DateTimeOffset.UtcNow.AddMilliseconds(400);
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("later", 3, new StartOrchestrationOptions(StartAt: at));
        var end = await EndOf(host, id);
        Assert.Equal(3, end.ReadOutputAs<int>());
        Assert.True(end.LastUpdatedAt >= at.AddMilliseconds(-1), $"ran at {end.LastUpdatedAt:o}, not before {at:o}");
        Assert.Equal(OrchestrationRuntimeStatus.Pending, (await host.Client.GetInstanceAsync(waiting))!.RuntimeStatus);
    }

    private static async Task<string> Collect(TaskOrchestrationContext c, int n)
    {
        var text = "";
        for (var i = 0; i < n; i++)
            text += await c.WaitForExternalEvent<string>("Letter");
        return text;
    }

    [Scenario(26, "ExternalEvents"), Scenario(36, "EventNamesCaseInsensitive")]
    [Fact]
    public async Task ExternalEvents_Sequential_ArriveInOrderWhateverTheCase()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, string>("collect", Collect));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("collect", 5);
        foreach (var (letter, name) in new[] { ("a", "letter"), ("b", "LETTER"), ("c", "Letter"), ("d", "letter"), ("e", "leTTer") })
            await host.Client.RaiseEventAsync(id, name, letter);
        Assert.Equal("abcde", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Scenario(29, "EventBeforeFirstTurn")]
    [Fact]
    public async Task ExternalEvents_BeforeFirstTurn_AreKept()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, string>("collect", Collect));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(
            "collect",
            2,
            new StartOrchestrationOptions(StartAt: DateTimeOffset.UtcNow.AddMilliseconds(200))
        );
        await host.Client.RaiseEventAsync(id, "letter", "x");
        await host.Client.RaiseEventAsync(id, "letter", "y");
        Assert.Equal("xy", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Scenario(28, "EventBeforeWaiter")]
    [Fact]
    public async Task ExternalEvents_BeforeWaiter_AreBuffered()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, string>("late", async (c, n) =>
            {
                await c.WaitForExternalEvent<int>("open");
                return await Collect(c, n);
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("late", 3);
        foreach (var letter in "abc")
            await host.Client.RaiseEventAsync(id, "letter", letter.ToString());
        await Until(async () => await Count("select count(*) from dt_history where kind = 11") == 3, "three buffered events");
        await host.Client.RaiseEventAsync(id, "open", 1);
        Assert.Equal("abc", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Scenario(27, "ExternalEventsInParallel"), Scenario(30, "LifoWaiters")]
    [Fact]
    public async Task ExternalEvents_SeveralWaiters_NewestIsServedFirst()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, string>("lifo", async (c, _) =>
            {
                var waiters = Enumerable.Range(0, 3).Select(_ => c.WaitForExternalEvent<string>("x")).ToList();
                return string.Concat(await Task.WhenAll(waiters));
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("lifo", 0);
        await host.Client.WaitForInstanceStartAsync(id);
        foreach (var letter in "abc")
            await host.Client.RaiseEventAsync(id, "x", letter.ToString());
        Assert.Equal("cba", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Scenario(31, "CancelledWaiterDoesNotConsume")]
    [Fact]
    public async Task ExternalEvents_CancelledWaiter_DoesNotConsume()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, string>("abandon", async (c, _) =>
            {
                using var cancellation = new CancellationTokenSource();
                var kept = c.WaitForExternalEvent<string>("x");
                var abandoned = c.WaitForExternalEvent<string>("x", cancellation.Token);
                cancellation.Cancel();
                return abandoned.IsCanceled + await kept;
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("abandon", 0);
        await host.Client.RaiseEventAsync(id, "x", "1");
        Assert.Equal("True1", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Scenario(32, "WaitWithTimeout")]
    [Fact]
    public async Task WaitForExternalEvent_WithTimeout_EventTimerOrCancellationWins()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, string>("timeout", async (c, _) =>
            {
                var text = await c.WaitForExternalEvent<string>("first", TimeSpan.FromHours(1));
                try
                {
                    await c.WaitForExternalEvent<string>("never", TimeSpan.FromMilliseconds(20));
                }
                catch (TaskCanceledException)
                {
                    text += "-timeout";
                }

                using var cancellation = new CancellationTokenSource();
                var outer = c.WaitForExternalEvent<string>("never", TimeSpan.FromHours(1), cancellation.Token);
                cancellation.Cancel();
                try
                {
                    await outer;
                }
                catch (OperationCanceledException)
                {
                    text += "-cancelled";
                }

                return text;
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("timeout", 0);
        await host.Client.RaiseEventAsync(id, "first", "event");
        Assert.Equal("event-timeout-cancelled", (await EndOf(host, id)).ReadOutputAs<string>());
        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
    }

    [Scenario(33, "EventToCompletedDiscarded"), Scenario(34, "EventToUnknown")]
    [Fact]
    public async Task RaiseEvent_ToFinishedOrUnknown_IsDroppedAndSaidSo()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int>("done", (_, n) => Task.FromResult(n)));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("done", 1);
        await EndOf(host, id);
        Assert.False(await host.Client.RaiseEventAsync(id, "x", 1, messageId: null));
        Assert.False(await host.Client.RaiseEventAsync("nobody", "x", 1, messageId: null));
        Assert.Null(await host.Client.GetInstanceAsync("nobody"));
        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
    }

    [Scenario(39, "DuplicateCallback")]
    [Fact]
    public async Task RaiseEvent_SameMessageIdTwice_IsAppliedOnce()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, string>("collect", Collect));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("collect", 3);
        await host.Client.RaiseEventAsync(id, "letter", "a", "message-1");
        // Once while it waits or right after, and once when it is surely in the history.
        await host.Client.RaiseEventAsync(id, "letter", "a", "message-1");
        await Until(
            async () =>
                await Count("select count(*) from dt_history where kind = 11") == 1 && await Count("select count(*) from dt_inbox") == 0,
            "the first application"
        );
        await host.Client.RaiseEventAsync(id, "letter", "a", "message-1");
        await host.Client.RaiseEventAsync(id, "letter", "b", "message-2");
        await host.Client.RaiseEventAsync(id, "letter", "c", "message-3");
        Assert.Equal("abc", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Scenario(35, "SendEvent")]
    [Fact]
    public async Task SendEvent_BetweenOrchestrations_Arrives()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("listener", (c, _) => c.WaitForExternalEvent<string>("hello"))
                .AddOrchestratorFunc<string, int>("speaker", (c, to) =>
                {
                    c.SendEvent(to, "hello", "from " + c.Name);
                    return Task.FromResult(1);
                })
        );
        var listener = await host.Client.ScheduleNewOrchestrationInstanceAsync("listener", 0);
        await RunAsync<int>(host, "speaker", listener);
        Assert.Equal("from speaker", (await EndOf(host, listener)).ReadOutputAs<string>());
    }

    [Fact]
    public async Task ContinueAsNew_Under300Events_KeepsAllInOrder()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<List<int>, List<int>>("eternal", async (c, seen) =>
            {
                seen.Add(await c.WaitForExternalEvent<int>("n"));
                if (seen.Count < 300)
                    c.ContinueAsNew(seen);
                return seen;
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("eternal", new List<int>());
        for (var i = 0; i < 300; i++)
            await host.Client.RaiseEventAsync(id, "n", i);
        Assert.Equal(Enumerable.Range(0, 300), (await EndOf(host, id)).ReadOutputAs<List<int>>());
    }
}
