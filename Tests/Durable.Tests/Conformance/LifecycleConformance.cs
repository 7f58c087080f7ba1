using System.Collections.Concurrent;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable.Conformance;

public sealed class LifecycleOnPostgres(PostgresServer server) : LifecycleConformance(new PostgresDatabase(server));

[Quick]
public sealed class LifecycleOnSqlite() : LifecycleConformance(new SqliteDatabase());

/// <summary>Restart, rewind, history, versions and the other operations on whole instances.</summary>
public abstract class LifecycleConformance(TestDatabase database) : EngineTests(database)
{
    [Fact, Scenario(72, "TerminateIdempotent")]
    public async Task Terminate_TwiceAndOnCompleted_ChangesNothingMore()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("wait", (c, _) => c.WaitForExternalEvent<int>("go"))
                .AddOrchestratorFunc<int, int>("quick", (_, x) => Task.FromResult(x))
        );
        var waiting = await host.Client.ScheduleNewOrchestrationInstanceAsync("wait", 0);
        await host.Client.TerminateInstanceAsync(waiting, "first");
        Assert.Equal("first", (await EndOf(host, waiting)).ReadOutputAs<string>());
        await host.Client.TerminateInstanceAsync(waiting, "second");
        Assert.Equal("first", (await EndOf(host, waiting)).ReadOutputAs<string>());
        Assert.Equal(7, await RunAsync<int>(host, "quick", 7));
        var done = (await host.Client.GetAllInstancesAsync(new InstanceQuery { Names = ["quick"] }).AsPages().FirstAsync())
            .Values[0]
            .InstanceId;
        await host.Client.TerminateInstanceAsync(done, "late");
        Assert.Equal(OrchestrationRuntimeStatus.Completed, (await EndOf(host, done)).RuntimeStatus);
        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
    }

    [Fact, Scenario(74, "SuspendResumeReasons")]
    public async Task SuspendAndResume_WithReasons_AreInHistoryAndRepeatsDoNothing()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int>("wait", (c, _) => c.WaitForExternalEvent<int>("go")));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("wait", 0);
        await host.Client.WaitForInstanceStartAsync(id);
        await host.Client.ResumeInstanceAsync(id, "not suspended");
        await host.Client.SuspendInstanceAsync(id, "disk full");
        await Until(
            async () => (await host.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Suspended,
            "suspension"
        );
        await host.Client.SuspendInstanceAsync(id, "again");
        await host.Client.ResumeInstanceAsync(id, "disk replaced");
        await Until(
            async () => (await host.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Running,
            "resumption"
        );
        await host.Client.RaiseEventAsync(id, "go", 5);
        Assert.Equal(5, (await EndOf(host, id)).ReadOutputAs<int>());
        var history = await host.Client.ReadHistoryAsync(id);
        Assert.Equal(
            ["\"disk full\"", "\"disk replaced\""],
            history.Where(e => e.EventType is "ExecutionSuspended" or "ExecutionResumed").Select(e => e.Reason)
        );
    }

    [Fact, Scenario(77, "WaitForInstance")]
    public async Task WaitForInstance_StartCompletionTimeoutAndRestart_ReturnsWhenReached()
    {
        void Configure(IDurableTaskWorkerBuilder b) => b.AddOrchestratorFunc<int, int>("wait", (c, _) => c.WaitForExternalEvent<int>("go"));
        var host = await StartAsync(Configure);
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("wait", 0);
        Assert.Equal(OrchestrationRuntimeStatus.Running, (await host.Client.WaitForInstanceStartAsync(id)).RuntimeStatus);
        using var brief = new CancellationTokenSource(TimeSpan.FromMilliseconds(50));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            host.Client.WaitForInstanceCompletionAsync(id, cancellation: brief.Token)
        );
        await Assert.ThrowsAsync<ArgumentException>(() => host.Client.WaitForInstanceCompletionAsync("nobody"));
        await host.DisposeAsync();
        var second = await StartAsync(Configure);
        var ended = EndOf(second, id);
        await second.Client.RaiseEventAsync(id, "go", 3);
        Assert.Equal(3, (await ended).ReadOutputAs<int>());
    }

    [Fact, Scenario(77, "WaitForInstance")]
    public async Task WaitForInstance_GivenUpFailedOrReached_LeavesNothingBehind()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int>("wait", (c, _) => c.WaitForExternalEvent<int>("go")));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("wait", 0);
        using var brief = new CancellationTokenSource(TimeSpan.FromMilliseconds(50));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            host.Client.WaitForInstanceCompletionAsync(id, cancellation: brief.Token)
        );
        await Assert.ThrowsAsync<ArgumentException>(() => host.Client.WaitForInstanceCompletionAsync("nobody"));
        await host.Client.RaiseEventAsync(id, "go", 3);
        await EndOf(host, id);
        await EndOf(host, id);
        Assert.Equal(0, host.Worker.Watch.Count);
    }

    [Fact, Scenario(84, "RestartInstance")]
    public async Task Restart_SameOrNewId_RunsAgainWithInputTagsAndVersion()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("echo", (c, x) => Task.FromResult($"{x}/{c.Version}"))
                .AddOrchestratorFunc<int, int>("wait", (c, _) => c.WaitForExternalEvent<int>("go"))
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(
            "echo",
            4,
            new StartOrchestrationOptions("one")
            {
                Version = "2",
                Tags = new Dictionary<string, string> { ["a"] = "b" },
            }
        );
        var first = await EndOf(host, id);
        var copy = await host.Client.RestartAsync(id, restartWithNewInstanceId: true);
        Assert.NotEqual(id, copy);
        var ended = await EndOf(host, copy);
        Assert.Equal("4/2", ended.ReadOutputAs<string>());
        Assert.Equal("b", ended.Tags["a"]);
        Assert.Equal(id, await host.Client.RestartAsync(id));
        Assert.True((await EndOf(host, id)).CreatedAt >= first.CreatedAt);
        await Assert.ThrowsAsync<ArgumentException>(() => host.Client.RestartAsync("nobody"));
        var busy = await host.Client.ScheduleNewOrchestrationInstanceAsync("wait", 0);
        await Assert.ThrowsAsync<OrchestrationAlreadyExistsException>(() => host.Client.RestartAsync(busy));
    }

    [Fact, Scenario(85, "RewindFailed")]
    public async Task Rewind_FailedActivityInSequence_RepeatsOnlyThatActivity()
    {
        var (calls, broken) = (new ConcurrentQueue<string>(), true);
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("seq", async (c, _) =>
                {
                    var a = await c.CallActivityAsync<string>("step", "a");
                    var t = c.CreateTimer(TimeSpan.FromHours(9), CancellationToken.None);
                    var x = await c.CallActivityAsync<string>("step", "b");
                    var d = await c.CallActivityAsync<string>("step", "c");
                    return a + x + d + t.IsCompleted;
                })
                .AddActivityFunc<string, string>("step", (c, name) =>
                {
                    calls.Enqueue(name + c.OperationId.Split('/')[^1]);
                    return name == "b" && broken ? throw new InvalidOperationException("broken") : Task.FromResult(name);
                })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("seq", 0);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await EndOf(host, id)).RuntimeStatus);
        broken = false;
        await host.Client.RewindInstanceAsync(id, "repaired");
        var end = await EndOf(host, id);
        Assert.Equal(OrchestrationRuntimeStatus.Completed, end.RuntimeStatus);
        Assert.Equal("abcFalse", end.ReadOutputAs<string>());
        Assert.Null(end.FailureDetails);
        Assert.Equal(["a0", "b2", "b2", "c3"], calls);
        Assert.Equal("\"repaired\"", Assert.Single(await host.Client.ReadHistoryAsync(id), e => e.EventType == "ExecutionRewound").Reason);
        await Assert.ThrowsAsync<InvalidOperationException>(() => host.Client.RewindInstanceAsync(id, ""));
        await Assert.ThrowsAsync<ArgumentException>(() => host.Client.RewindInstanceAsync("nobody", ""));
        await AssertInvariantsAsync(host);
    }

    [Fact, Scenario(85, "RewindFailed")]
    public async Task Rewind_FanOutWithSeveralFailures_KeepsWhatSucceeded()
    {
        var (calls, broken) = (new ConcurrentDictionary<int, int>(), true);
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("fan", async (c, _) =>
                    (await Task.WhenAll(Enumerable.Range(0, 20).Select(i => c.CallActivityAsync<int>("part", i)))).Sum()
                )
                .AddActivityFunc<int, int>("part", (_, i) =>
                {
                    calls.AddOrUpdate(i, 1, (_, n) => n + 1);
                    return i % 7 == 3 && broken ? throw new InvalidOperationException("no") : Task.FromResult(i);
                })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("fan", 0);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await EndOf(host, id)).RuntimeStatus);
        broken = false;
        await host.Client.RewindInstanceAsync(id, "");
        Assert.Equal(190, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.All(calls, entry => Assert.Equal(entry.Key % 7 == 3 ? 2 : 1, entry.Value));
        await AssertInvariantsAsync(host);
    }

    [Fact, Scenario(85, "RewindFailed")]
    public async Task Rewind_NestedChild_GoesOnWhereTheChildFailed()
    {
        var (calls, broken) = (new ConcurrentQueue<string>(), true);
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("top", async (c, _) =>
                    await c.CallSubOrchestratorAsync<string>("mid", null, new SubOrchestrationOptions(instanceId: "mid-1"))
                    + await c.CallActivityAsync<string>("step", "z")
                )
                .AddOrchestratorFunc<int, string>("mid", async (c, _) =>
                    await c.CallActivityAsync<string>("step", "m")
                    + await c.CallSubOrchestratorAsync<string>("low", null, new SubOrchestrationOptions(instanceId: "low-1"))
                )
                .AddOrchestratorFunc<int, string>("low", async (c, _) =>
                    await c.CallActivityAsync<string>("step", "k") + await c.CallActivityAsync<string>("step", "l")
                )
                .AddActivityFunc<string, string>("step", (_, name) =>
                {
                    calls.Enqueue(name);
                    return name == "l" && broken ? throw new InvalidOperationException("deep") : Task.FromResult(name);
                })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("top", 0);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await EndOf(host, id)).RuntimeStatus);
        broken = false;
        await host.Client.RewindInstanceAsync(id, "");
        Assert.Equal("mklz", (await EndOf(host, id)).ReadOutputAs<string>());
        Assert.Equal(["m", "k", "l", "l", "z"], calls);
        await AssertInvariantsAsync(host);
    }

    [Fact, Scenario(85, "RewindFailed")]
    public async Task Rewind_ChildFinishedOrPurgedMeanwhile_ReportsAgainOrStartsAfresh()
    {
        var (ran, broken) = (new ConcurrentQueue<string>(), true);
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("top", async (c, _) =>
                {
                    var slow = c.CallSubOrchestratorAsync<string>("slow", null, new SubOrchestrationOptions(instanceId: "slow-1"));
                    var gone = c.CallSubOrchestratorAsync<string>("slow", null, new SubOrchestrationOptions(instanceId: "gone-1"));
                    await c.CallActivityAsync("maybe");
                    return await slow + await gone;
                })
                .AddOrchestratorFunc<int, string>("slow", async (c, _) =>
                {
                    if (!c.IsReplaying)
                        ran.Enqueue(c.InstanceId);
                    return await c.WaitForExternalEvent<string>("go");
                })
                .AddActivityFunc<int, int>("maybe", (_, _) => broken ? throw new InvalidOperationException("no") : Task.FromResult(0))
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("top", 0);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await EndOf(host, id)).RuntimeStatus);
        foreach (var child in new[] { "slow-1", "gone-1" })
        {
            await host.Client.RaiseEventAsync(child, "go", child[..1]);
            await EndOf(host, child);
        }

        await host.Client.PurgeInstanceAsync("gone-1");
        broken = false;
        await host.Client.RewindInstanceAsync(id, "");
        await Until(() => Task.FromResult(ran.Count == 3), "the purged child's second run");
        await host.Client.RaiseEventAsync("gone-1", "go", "G");
        Assert.Equal("sG", (await EndOf(host, id)).ReadOutputAs<string>());
        Assert.Equal(1, ran.Count(child => child == "slow-1"));
        await AssertInvariantsAsync(host);
    }

    [Fact, Scenario(85, "RewindFailed")]
    public async Task Rewind_FailureThatWasHandled_StaysAndOnlyTheLastIsRepeated()
    {
        var (calls, broken) = (new ConcurrentQueue<string>(), true);
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("careful", async (c, _) =>
                {
                    var log = "";
                    try
                    {
                        log += await c.CallActivityAsync<string>("step", "first");
                    }
                    catch (TaskFailedException)
                    {
                        log += await c.CallActivityAsync<string>("step", "instead");
                    }

                    var retry = TaskOptions.FromRetryPolicy(new RetryPolicy(3, TimeSpan.FromMilliseconds(1)));
                    return log + await c.CallActivityAsync<string>("step", "second", retry);
                })
                .AddActivityFunc<string, string>("step", (_, name) =>
                {
                    calls.Enqueue(name);
                    return broken && name != "instead" ? throw new InvalidOperationException(name) : Task.FromResult(name);
                })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("careful", 0);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await EndOf(host, id)).RuntimeStatus);
        broken = false;
        await host.Client.RewindInstanceAsync(id, "");
        Assert.Equal("insteadsecond", (await EndOf(host, id)).ReadOutputAs<string>());
        Assert.Equal(["first", "instead", "second", "second", "second", "second"], calls);
        await AssertInvariantsAsync(host);
    }

    [Fact, Scenario(85, "RewindFailed")]
    public async Task Rewind_OrchestratorsOwnFault_RunsTheRepairedCode()
    {
        var broken = true;
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("buggy", async (c, _) =>
                {
                    var x = await c.CallActivityAsync<int>("one");
                    if (broken)
                        throw new InvalidOperationException("bug");
                    return x + await c.CallActivityAsync<int>("one");
                })
                .AddActivityFunc<int, int>("one", (_, _) => Task.FromResult(1))
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("buggy", 0);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await EndOf(host, id)).RuntimeStatus);
        await host.Client.RewindInstanceAsync(id, "not yet");
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await EndOf(host, id)).RuntimeStatus);
        broken = false;
        await host.Client.RewindInstanceAsync(id, "now");
        Assert.Equal(2, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.Equal(
            ["\"not yet\"", "\"now\""],
            (await host.Client.ReadHistoryAsync(id)).Where(e => e.EventType == "ExecutionRewound").Select(e => e.Reason)
        );
        await AssertInvariantsAsync(host);
    }

    [Fact, Scenario(86, "HistoryQuery")]
    public async Task History_OfEverything_ShowsEachEventInOrder()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<string, string>("all", async (c, input) =>
                {
                    await c.CreateTimer(TimeSpan.FromMilliseconds(1), CancellationToken.None);
                    var e = await c.WaitForExternalEvent<string>("go");
                    try
                    {
                        await c.CallActivityAsync("bad", "x");
                    }
                    catch (TaskFailedException) { }

                    c.SendEvent("nobody", "hello", 1);
                    return input
                        + e
                        + await c.CallSubOrchestratorAsync<string>("child", "in", new SubOrchestrationOptions(instanceId: "kid"));
                })
                .AddOrchestratorFunc<string, string>("child", (_, x) => Task.FromResult(x))
                .AddActivityFunc<string, int>("bad", (_, _) => throw new InvalidOperationException("oh"))
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("all", "start");
        await host.Client.RaiseEventAsync(id, "go", "!");
        await EndOf(host, id);
        var history = await host.Client.ReadHistoryAsync(id);
        Assert.Equal(Enumerable.Range(0, history.Count), history.Select(e => e.Sequence));
        Assert.All(history, e => Assert.InRange(e.Timestamp, DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddMinutes(5)));
        var told = history.Where(e => e.EventType != "OrchestratorStarted").ToDictionary(e => e.EventType);
        Assert.Equal("\"start\"", told["ExecutionStarted"].Input);
        Assert.NotNull(told["TimerCreated"].FireAt);
        Assert.Equal("\"!\"", told["EventRaised"].Input);
        Assert.Equal("\"x\"", told["TaskScheduled"].Input);
        Assert.Equal("oh", told["TaskFailed"].FailureDetails!.ErrorMessage);
        Assert.Equal("hello", told["EventSent"].Name);
        Assert.Equal("kid", told["SubOrchestrationCreated"].ChildInstanceId);
        Assert.Equal("\"in\"", told["SubOrchestrationCompleted"].Result);
        Assert.Equal(("Completed", "\"start!in\""), (told["ExecutionCompleted"].OrchestrationStatus, told["ExecutionCompleted"].Result));
        Assert.Contains("TimerFired", told.Keys);
        await Assert.ThrowsAsync<ArgumentException>(() => host.Client.ReadHistoryAsync("nobody"));
        Assert.Equal(["kid", id], (await host.Client.ListInstanceIdsAsync()).Values);
        var page = await host.Client.ListInstanceIdsAsync(pageSize: 1);
        Assert.Equal([id], (await host.Client.ListInstanceIdsAsync(pageSize: 1, lastInstanceKey: page.ContinuationToken)).Values);
    }

    [Theory, Scenario(90, "Versioning")]
    [InlineData(VersionMatchStrategy.None, "1 2 3")]
    [InlineData(VersionMatchStrategy.Strict, "2")]
    [InlineData(VersionMatchStrategy.CurrentOrOlder, "1 2")]
    public async Task Versions_ByStrategy_TakeOrFailInstances(VersionMatchStrategy strategy, string taken)
    {
        var host = await StartAsync(b =>
            b.UseVersioning(
                    new()
                    {
                        Version = "2",
                        MatchStrategy = strategy,
                        FailureStrategy = VersionFailureStrategy.Fail,
                    }
                )
                .AddOrchestratorFunc<int, string>("v", async (c, _) => c.Version + await c.CallActivityAsync<string>("a"))
                .AddActivityFunc<int, string>("a", (c, _) => Task.FromResult("/" + c.Version))
        );
        foreach (var version in new[] { "1", "2", "3" })
        {
            var end = await EndOf(
                host,
                await host.Client.ScheduleNewOrchestrationInstanceAsync("v", 0, new StartOrchestrationOptions { Version = version })
            );
            if (taken.Contains(version, StringComparison.Ordinal))
                Assert.Equal($"{version}/{version}", end.ReadOutputAs<string>());
            else
                Assert.Equal("VersionMismatch", end.FailureDetails!.ErrorType);
        }
    }

    [Fact, Scenario(90, "Versioning")]
    public async Task Versions_RegisteredSideBySide_RouteAndRejectedOnesWait()
    {
        void Configure(IDurableTaskWorkerBuilder b, string version) =>
            b.Configure(o => o.PollInterval = TimeSpan.FromMilliseconds(50))
                .UseVersioning(new() { Version = version, MatchStrategy = VersionMatchStrategy.CurrentOrOlder })
                .AddOrchestratorFunc<int, string>("v", (c, _) => c.CallActivityAsync<string>("a"), "1.0")
                .AddOrchestratorFunc<int, string>("v", (c, _) => Task.FromResult("new " + c.CompareVersionTo("1.0")))
                .AddActivityFunc<int, string>("a", (_, _) => Task.FromResult("old activity"), "1.0")
                .AddActivityFunc<int, string>("a", (_, _) => Task.FromResult("new activity"));
        var old = await StartAsync(b => Configure(b, "2.0"));
        var future = await old.Client.ScheduleNewOrchestrationInstanceAsync("v", 0, new StartOrchestrationOptions { Version = "10.0" });
        Assert.Equal(
            "old activity",
            (
                await EndOf(
                    old,
                    await old.Client.ScheduleNewOrchestrationInstanceAsync("v", 0, new StartOrchestrationOptions { Version = "1.0" })
                )
            ).ReadOutputAs<string>()
        );
        Assert.Equal(
            "new 1",
            (
                await EndOf(
                    old,
                    await old.Client.ScheduleNewOrchestrationInstanceAsync("v", 0, new StartOrchestrationOptions { Version = "2.0" })
                )
            ).ReadOutputAs<string>()
        );
        Assert.Equal(OrchestrationRuntimeStatus.Pending, (await old.Client.GetInstanceAsync(future))!.RuntimeStatus);
        await old.DisposeAsync();
        var current = await StartAsync(b => Configure(b, "10.0"));
        Assert.Equal("new 1", (await EndOf(current, future)).ReadOutputAs<string>());
    }

    [Fact, Scenario(69, "ContinueAsNewVersion"), Scenario(70, "ContinueAsNewKeepsTags")]
    public async Task ContinueAsNew_WithNewVersion_RunsItAndKeepsTagsAndCustomStatus()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>(
                    "v",
                    (c, _) =>
                    {
                        c.SetCustomStatus("from 1");
                        c.ContinueAsNew(new ContinueAsNewOptions { NewInput = 5, NewVersion = "2" });
                        return Task.FromResult("");
                    },
                    "1"
                )
                .AddOrchestratorFunc<int, string>("v", async (c, x) => $"{x}/{c.Version}/{await c.CallActivityAsync<string>("a")}", "2")
                .AddActivityFunc<int, string>("a", (c, _) => Task.FromResult(c.Version))
        );
        var end = await EndOf(
            host,
            await host.Client.ScheduleNewOrchestrationInstanceAsync(
                "v",
                0,
                new StartOrchestrationOptions
                {
                    Version = "1",
                    Tags = new Dictionary<string, string> { ["night"] = "2461000" },
                }
            )
        );
        Assert.Equal("5/2/2", end.ReadOutputAs<string>());
        Assert.Equal(
            ("2", "2461000", "from 1"),
            ((await host.Client.GetDetailsAsync(end.InstanceId))!.Version, end.Tags["night"], end.ReadCustomStatusAs<string>())
        );
    }

    [Fact, Scenario(47, "ChildIdCollisionInactive")]
    public async Task SubOrchestration_IdOfFinishedInstance_ReplacesIt()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("parent", (c, x) =>
                    c.CallSubOrchestratorAsync<int>("child", x, new SubOrchestrationOptions(instanceId: "kid"))
                )
                .AddOrchestratorFunc<int, int>("child", (_, x) => Task.FromResult(x))
        );
        Assert.Equal(1, await RunAsync<int>(host, "parent", 1));
        Assert.Equal(2, await RunAsync<int>(host, "parent", 2));
        Assert.Equal(2, (await host.Client.GetInstanceAsync("kid", getInputsAndOutputs: true))!.ReadOutputAs<int>());
    }

    [Theory, Scenario(50, "RetryFailedSubOrchestration"), Scenario(45, "ExplicitChildId"), InlineData(true), InlineData(false)]
    public async Task SubOrchestration_FailsTwice_IsRetriedUnderOwnOrGivenId(bool givenId)
    {
        var (attempts, ids) = (0, new ConcurrentQueue<string>());
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("parent", (c, _) =>
                {
                    var options = TaskOptions.FromRetryPolicy(new RetryPolicy(3, TimeSpan.FromMilliseconds(1)));
                    return c.CallSubOrchestratorAsync<int>("child", 0, givenId ? options.WithInstanceId("kid") : options);
                })
                .AddOrchestratorFunc<int, int>("child", (c, _) =>
                {
                    ids.Enqueue(c.InstanceId);
                    return ++attempts < 3 ? throw new InvalidOperationException("again") : Task.FromResult(attempts);
                })
        );
        Assert.Equal(3, await RunAsync<int>(host, "parent", 0));
        Assert.Equal(givenId ? 1 : 3, ids.Distinct().Count());
        if (givenId)
            Assert.Equal("kid", ids.First());
    }

    [Fact, Scenario(52, "FailedParentWithRunningChild")]
    public async Task Parent_FailsWhileItsChildRuns_IsFailedAtOnce()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("parent", async (c, input) =>
                {
                    _ = c.CallSubOrchestratorAsync<int>("child", 0, new SubOrchestrationOptions(instanceId: "kid"));
                    await c.CallActivityAsync("bad");
                    return 0;
                })
                .AddOrchestratorFunc<int, int>("child", (c, _) => c.WaitForExternalEvent<int>("go"))
                .AddActivityFunc<int, int>("bad", (_, _) => Task.FromException<int>(new InvalidOperationException("no")))
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("parent", 0);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await EndOf(host, id)).RuntimeStatus);
        Assert.False((await host.Client.GetInstanceAsync("kid"))!.IsCompleted);
        await host.Client.RaiseEventAsync("kid", "go", 1);
        Assert.Equal(OrchestrationRuntimeStatus.Completed, (await EndOf(host, "kid")).RuntimeStatus);
        await AssertInvariantsAsync(host);
    }
}
