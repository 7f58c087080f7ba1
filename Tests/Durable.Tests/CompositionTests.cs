using Librarian.Tests.Durable.Conformance;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class CompositionOnPostgres(PostgresServer server) : CompositionTests(new PostgresDatabase(server));

[Quick]
public sealed class CompositionOnSqlite() : CompositionTests(new SqliteDatabase());

/// <summary>Sub-orchestrations, failures, retries and ContinueAsNew.</summary>
public abstract class CompositionTests(TestDatabase database) : EngineTests(database)
{
    [Scenario(41, "SubOrchestration"), Scenario(44, "NestedThreeLevels"), Scenario(51, "ParentIsVisible")]
    [Fact]
    public async Task SubOrchestration_ThreeLevels_ResultAndParentAreKnown()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("top", (c, _) => c.CallSubOrchestratorAsync<string>("middle", 1))
                .AddOrchestratorFunc<int, string>("middle", async (c, n) =>
                    c.Parent!.Name + ">" + await c.CallSubOrchestratorAsync<string>("leaf", n + 1)
                )
                .AddOrchestratorFunc<int, string>("leaf", (c, n) => Task.FromResult($"{c.Parent!.Name}>{n}"))
        );
        Assert.Equal("top>middle>2", await RunAsync<string>(host, "top", 0));
        Assert.Equal(1, await Count("select count(*) from dt_instance where parent_id is null"));
    }

    [Scenario(42, "SubOrchestrationFailure")]
    [Fact]
    public async Task SubOrchestration_Fails_ThrowsInParent()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("parent", async (c, _) =>
                {
                    try
                    {
                        await c.CallSubOrchestratorAsync("child");
                        return "no failure";
                    }
                    catch (TaskFailedException failure)
                    {
                        return failure.TaskName + ": " + failure.FailureDetails.ErrorMessage;
                    }
                })
                .AddOrchestratorFunc<int, int>("child", (_, _) => throw new InvalidDataException("broken child"))
        );
        Assert.Equal("child: broken child", await RunAsync<string>(host, "parent", 0));
    }

    [Scenario(43, "ParallelSubOrchestrations")]
    [Fact]
    public async Task SubOrchestrations_HundredParallelWithBigPayloads_AllReturn()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("parent", async (c, n) =>
                    (
                        await Task.WhenAll(
                            Enumerable.Range(0, n).Select(i => c.CallSubOrchestratorAsync<string>("child", new string('x', 20_000 + i)))
                        )
                    ).Sum(text => text.Length)
                )
                .AddOrchestratorFunc<string, string>("child", (_, text) => Task.FromResult(text))
        );
        Assert.Equal((100 * 20_000) + 4_950, await RunAsync<int>(host, "parent", 100));
    }

    [Scenario(46, "ChildIdCollisionActive")]
    [Fact]
    public async Task SubOrchestration_IdInUse_FailsTheCallAndNotTheParent()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("child", async (c, n) => n == 0 ? await c.WaitForExternalEvent<int>("end") : n)
                .AddOrchestratorFunc<string, string>("parent", async (c, child) =>
                {
                    try
                    {
                        return "child said "
                            + await c.CallSubOrchestratorAsync<int>("child", 5, new SubOrchestrationOptions(instanceId: child));
                    }
                    catch (TaskFailedException failure) when (failure.FailureDetails.IsCausedBy<OrchestrationAlreadyExistsException>())
                    {
                        return "collision";
                    }
                })
        );
        var child = await host.Client.ScheduleNewOrchestrationInstanceAsync("child", 0, new StartOrchestrationOptions("the-child"));
        await host.Client.WaitForInstanceStartAsync(child);
        Assert.Equal("collision", await RunAsync<string>(host, "parent", child));
        await host.Client.RaiseEventAsync(child, "end", 1);
        Assert.Equal(1, (await EndOf(host, child)).ReadOutputAs<int>());
        Assert.Equal("child said 5", await RunAsync<string>(host, "parent", child));
    }

    [Scenario(49, "ChildFinishesAfterParent")]
    [Fact]
    public async Task SubOrchestration_OutlivesItsParent_ItsMessageIsDropped()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("parent", async (c, n) =>
                {
                    _ = c.CallSubOrchestratorAsync<int>("child", 0, new SubOrchestrationOptions(instanceId: "late-child"));
                    await c.CreateTimer(TimeSpan.FromMilliseconds(1), CancellationToken.None);
                    throw new InvalidOperationException("parent gives up");
                })
                .AddOrchestratorFunc<int, int>("child", (c, _) => c.WaitForExternalEvent<int>("end"))
        );
        var parent = await host.Client.ScheduleNewOrchestrationInstanceAsync("parent", 0);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await EndOf(host, parent)).RuntimeStatus);
        await host.Client.RaiseEventAsync("late-child", "end", 9);
        Assert.Equal(9, (await EndOf(host, "late-child")).ReadOutputAs<int>());
        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
    }

    [Scenario(53, "UnhandledActivityException"), Scenario(54, "CatchActivityException"), Scenario(56, "InnerExceptionDetailsPreserved")]
    [Fact]
    public async Task Activity_Throws_DetailsReachTheOrchestratorAndTheStatus()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("uncaught", (c, _) => c.CallActivityAsync<string>("bad"))
                .AddOrchestratorFunc<int, string>("caught", async (c, _) =>
                {
                    try
                    {
                        return await c.CallActivityAsync<string>("bad");
                    }
                    catch (TaskFailedException failure)
                    {
                        var details = failure.FailureDetails;
                        var good = await c.CallActivityAsync<string>("good");
                        return $"{details.ErrorType}|{details.InnerFailure!.ErrorMessage}|{details.Properties!["shelf"]}|"
                            + $"{details.IsCausedBy<SystemException>()}|{good}";
                    }
                })
                .AddActivityFunc<int, string>("bad", (_, _) =>
                {
                    var failure = new InvalidOperationException("outer", new IOException("disk"));
                    failure.Data["shelf"] = "S7";
                    throw failure;
                })
                .AddActivityFunc<int, string>("good", (_, _) => Task.FromResult("on"))
        );
        Assert.Equal("System.InvalidOperationException|disk|S7|True|on", await RunAsync<string>(host, "caught", 0));
        var end = await EndOf(host, await host.Client.ScheduleNewOrchestrationInstanceAsync("uncaught", 0));
        Assert.Equal(OrchestrationRuntimeStatus.Failed, end.RuntimeStatus);
        Assert.Equal(typeof(TaskFailedException).FullName, end.FailureDetails!.ErrorType);
        Assert.Equal("Task 'bad' (#0) failed with an unhandled exception: outer", end.FailureDetails.ErrorMessage);
        Assert.Contains("at ", end.FailureDetails.InnerFailure!.StackTrace, StringComparison.Ordinal);
    }

    [Scenario(55, "UnhandledOrchestratorException")]
    [Fact]
    public async Task Orchestrator_Throws_InstanceFailsWithDetails()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("boom", (_, _) => throw new InvalidDataException("no good", new IOException("deep")))
        );
        var end = await EndOf(host, await host.Client.ScheduleNewOrchestrationInstanceAsync("boom", 0));
        Assert.Equal(OrchestrationRuntimeStatus.Failed, end.RuntimeStatus);
        Assert.Equal(
            ("System.IO.InvalidDataException", "no good", "deep"),
            (end.FailureDetails!.ErrorType, end.FailureDetails.ErrorMessage, end.FailureDetails.InnerFailure!.ErrorMessage)
        );
    }

    [Scenario(57, "RetryPolicy")]
    [Fact]
    public async Task RetryPolicy_FailsTwice_BacksOffAndSucceeds()
    {
        var attempts = 0;
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("retry", async (c, _) =>
                {
                    var before = c.CurrentUtcDateTime;
                    var policy = new RetryPolicy(
                        5,
                        TimeSpan.FromMilliseconds(30),
                        backoffCoefficient: 2,
                        maxRetryInterval: TimeSpan.FromMilliseconds(40)
                    );
                    var result = await c.CallActivityAsync<int>("flaky", null, TaskOptions.FromRetryPolicy(policy));
                    return $"{result} after {(c.CurrentUtcDateTime - before).TotalMilliseconds >= 70}";
                })
                .AddActivityFunc<int, int>("flaky", (_, _) => ++attempts < 3 ? throw new IOException("not yet") : Task.FromResult(attempts))
        );
        Assert.Equal("3 after True", await RunAsync<string>(host, "retry", 0));
    }

    [Scenario(57, "RetryPolicy")]
    [Fact]
    public async Task RetryPolicy_AttemptsTimeoutOrPredicate_EndIt()
    {
        var calls = 0;
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("limits", async (c, which) =>
                {
                    var policy = which switch
                    {
                        0 => new RetryPolicy(3, TimeSpan.FromMilliseconds(1)),
                        1 => new RetryPolicy(1000, TimeSpan.FromMilliseconds(20), retryTimeout: TimeSpan.FromMilliseconds(20)),
                        _ => new RetryPolicy(1000, TimeSpan.FromMilliseconds(1))
                        {
                            HandleFailure = details => !details.IsCausedBy<IOException>(),
                        },
                    };
                    try
                    {
                        return await c.CallActivityAsync<int>("always", null, new TaskOptions(policy));
                    }
                    catch (TaskFailedException)
                    {
                        return -1;
                    }
                })
                .AddActivityFunc<int, int>("always", (_, _) =>
                {
                    calls++;
                    throw new IOException("always");
                })
        );
        Assert.Equal(-1, await RunAsync<int>(host, "limits", 0));
        Assert.Equal(3, calls);
        calls = 0;
        Assert.Equal(-1, await RunAsync<int>(host, "limits", 1));
        // The second only when the first had failed within the 20 ms.
        Assert.InRange(calls, 1, 2);
        calls = 0;
        Assert.Equal(-1, await RunAsync<int>(host, "limits", 2));
        Assert.Equal(1, calls);
    }

    [Scenario(58, "RetryHandler")]
    [Fact]
    public async Task RetryHandler_Decides_AfterEachFailure()
    {
        var seen = new List<int>();
        var calls = 0;
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("handled", (c, _) => c.CallSubOrchestratorAsync<int>(
                        "flaky",
                        null,
                        TaskOptions.FromRetryHandler(async retry =>
                        {
                            if (!retry.OrchestrationContext.IsReplaying)
                                seen.Add(retry.LastAttemptNumber);
                            await retry.OrchestrationContext.CreateTimer(TimeSpan.FromMilliseconds(1), CancellationToken.None);
                            return retry.LastAttemptNumber < 4;
                        })
                    ))
                .AddOrchestratorFunc<int, int>("flaky", (_, _) => ++calls < 4 ? throw new IOException("not yet") : Task.FromResult(calls))
        );
        Assert.Equal(4, await RunAsync<int>(host, "handled", 0));
        Assert.Equal([1, 2, 3], seen);
    }

    [Scenario(59, "UnregisteredTask")]
    [Fact]
    public async Task Activity_NameUnknownHere_WaitsForAWorkerThatHasIt()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int>("needs", (c, n) => c.CallActivityAsync<int>("elsewhere", n)));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("needs", 4);
        await Until(async () => await Count("select count(*) from dt_activity where owner is null") == 1, "the free activity");
        await host.DisposeAsync();
        var other = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("needs", (c, n) => c.CallActivityAsync<int>("elsewhere", n))
                .AddActivityFunc<int, int>("elsewhere", (_, n) => Task.FromResult(n * 2))
        );
        Assert.Equal(8, (await EndOf(other, id)).ReadOutputAs<int>());
    }

    [Scenario(61, "NonSerializableResult")]
    [Fact]
    public async Task Activity_ResultCannotBeSerializedOrIsTooBig_FailsTheStepOnly()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<string, string>("step", async (c, which) =>
                {
                    try
                    {
                        await c.CallActivityAsync(which);
                        return "fine";
                    }
                    catch (TaskFailedException failure)
                    {
                        return failure.FailureDetails.ErrorType;
                    }
                })
                .AddActivityFunc<int, object>("cycle", (_, _) => Task.FromResult<object>(new Cycle()))
                .AddActivityFunc<int, string>("huge", (_, _) => Task.FromResult(new string('x', 300_000)))
                .AddActivityFunc<int, int>("ok", (_, _) => Task.FromResult(1))
        );
        Assert.Equal("System.Text.Json.JsonException", await RunAsync<string>(host, "step", "cycle"));
        Assert.Equal(typeof(PayloadTooLargeException).FullName, await RunAsync<string>(host, "step", "huge"));
        Assert.Equal("fine", await RunAsync<string>(host, "step", "ok"));
    }

    public sealed class Cycle
    {
        public Cycle Self => this;
    }

    [Scenario(62, "PoisonTurn")]
    [Fact]
    public async Task Turn_ThatAlwaysFails_BacksOffAndFailsAsPoison()
    {
        var tries = 0;
        var host = await StartAsync(
            b => b.Configure(o => o.MaxDeliveries = 3).AddOrchestratorFunc<int, int>("poison", (_, n) => Task.FromResult(n)),
            host =>
                host.Worker.Database.Triggers.Hit = (point, _) =>
                    point == "turn.before-commit" && ++tries <= 3
                        ? throw new InvalidOperationException("this turn cannot be stored")
                        : Task.CompletedTask
        );
        var end = await EndOf(host, await host.Client.ScheduleNewOrchestrationInstanceAsync("poison", 1));
        Assert.Equal(OrchestrationRuntimeStatus.Failed, end.RuntimeStatus);
        Assert.Equal("Poison", end.FailureDetails!.ErrorType);
        Assert.Contains("this turn cannot be stored", end.FailureDetails.ErrorMessage, StringComparison.Ordinal);
        Assert.Equal(4, tries);
    }

    [Scenario(59, "UnregisteredTask"), Scenario(63, "PoisonActivity")]
    [Fact]
    public async Task Activity_NeverComesBack_FailsAsPoisonWithoutRetry()
    {
        var ran = 0;
        void Configure(IDurableTaskWorkerBuilder b) =>
            b.Configure(o => o.MaxDeliveries = 3)
                .AddOrchestratorFunc<int, string>("calls", async (c, _) =>
                {
                    try
                    {
                        return await c.CallActivityAsync<string>(
                            "killer",
                            null,
                            new TaskOptions(new RetryPolicy(10, TimeSpan.FromMilliseconds(1)))
                        );
                    }
                    catch (TaskFailedException failure)
                    {
                        return failure.FailureDetails.ErrorType;
                    }
                })
                .AddActivityFunc<int, string>("killer", async (c, _) =>
                {
                    ran++;
                    await Task.Delay(Timeout.Infinite, c.CancellationToken);
                    return "back";
                });
        var host = await StartAsync(Configure);
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("calls", 0);
        await Until(() => Task.FromResult(ran == 1), "the first delivery");
        await host.DisposeAsync();
        // As if three workers had died with it: a drain itself does not count as a delivery.
        Assert.Equal(1, await Count("select count(*) from dt_activity where attempts = 0 and owner is null"));
        await Execute("update dt_activity set attempts = 3");
        var next = await StartAsync(Configure);
        Assert.Equal("Poison", (await EndOf(next, id)).ReadOutputAs<string>());
        Assert.Equal(1, ran);
    }

    [Scenario(64, "ContinueAsNew")]
    [Fact]
    public async Task ContinueAsNew_ManyGenerations_HistoryDoesNotGrow()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("generations", async (c, n) =>
                {
                    await c.CallActivityAsync<int>("touch", n);
                    if (n % 20 == 0)
                        await c.CreateTimer(TimeSpan.FromMilliseconds(1), CancellationToken.None);
                    if (n < 200)
                        c.ContinueAsNew(n + 1);
                    return n;
                })
                .AddActivityFunc<int, int>("touch", (_, n) => Task.FromResult(n))
        );
        Assert.Equal(200, await RunAsync<int>(host, "generations", 1));
        Assert.InRange(await Count("select count(*) from dt_history"), 1, 20);
        Assert.Equal(0, await Count("select count(*) from dt_activity"));
    }

    [Scenario(68, "ResultOfOldExecutionDropped")]
    [Fact]
    public async Task ContinueAsNew_WithWorkOutstanding_OldResultIsDropped()
    {
        var release = new TaskCompletionSource();
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("drop", async (c, n) =>
                {
                    if (n == 0)
                    {
                        _ = c.CallActivityAsync<string>("slow", "old");
                        await c.CreateTimer(TimeSpan.FromMilliseconds(20), CancellationToken.None);
                        c.ContinueAsNew(1);
                        return "";
                    }

                    var waiting = c.CallActivityAsync<string>("slow", "new");
                    await c.WaitForExternalEvent<int>("go");
                    return await waiting;
                })
                .AddActivityFunc<string, string>("slow", async (_, text) =>
                {
                    if (text == "old")
                        await release.Task;
                    return text;
                })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("drop", 0);
        await Until(async () => await Count("select count(*) from dt_history where kind = 4") == 1, "the new execution's result");
        release.SetResult();
        await Until(async () => await Count("select count(*) from dt_activity") == 0, "the old activity's end");
        await host.Client.RaiseEventAsync(id, "go", 1);
        Assert.Equal("new", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Fact]
    public async Task Orchestrator_ChangedSinceItsHistory_FailsNamingBothSides()
    {
        foreach (
            var (change, expected) in new[]
            {
                ("renamed", "a call of activity 'other'"),
                ("removed", "did nothing there"),
                ("reordered", "a timer"),
                ("extra", "history has nothing there"),
            }
        )
        {
            var first = await StartAsync(b =>
                b.AddOrchestratorFunc<int, int>("changing", async (c, _) =>
                    {
                        await c.CallActivityAsync<int>("step", 1);
                        return await c.WaitForExternalEvent<int>("end");
                    })
                    .AddActivityFunc<int, int>("step", (_, n) => Task.FromResult(n))
                    .AddActivityFunc<int, int>("other", (_, n) => Task.FromResult(n))
            );
            var id = await first.Client.ScheduleNewOrchestrationInstanceAsync("changing", 0, new StartOrchestrationOptions(change));
            await Until(
                async () => await Count($"select count(*) from dt_history where kind = 4 and instance_id = '{change}'") == 1,
                "the first step"
            );
            await first.DisposeAsync();
            var second = await StartAsync(b =>
                b.AddOrchestratorFunc<int, int>("changing", async (c, _) =>
                    {
                        if (change == "renamed")
                            await c.CallActivityAsync<int>("other", 1);
                        if (change == "reordered")
                            await c.CreateTimer(TimeSpan.FromMilliseconds(1), CancellationToken.None);
                        if (change is "reordered" or "extra")
                            await c.CallActivityAsync<int>("step", 1);
                        if (change == "extra")
                            await c.CallActivityAsync<int>("other", 1);
                        return await c.WaitForExternalEvent<int>("end");
                    })
                    .AddActivityFunc<int, int>("step", (_, n) => Task.FromResult(n))
                    .AddActivityFunc<int, int>("other", (_, n) => Task.FromResult(n))
            );
            await second.Client.RaiseEventAsync(id, "end", 1);
            var end = await EndOf(second, id);
            Assert.Equal(OrchestrationRuntimeStatus.Failed, end.RuntimeStatus);
            Assert.Equal("NonDeterministicOrchestration", end.FailureDetails!.ErrorType);
            Assert.Contains("'changing'", end.FailureDetails.ErrorMessage, StringComparison.Ordinal);
            Assert.Contains(expected, end.FailureDetails.ErrorMessage, StringComparison.Ordinal);
            await second.DisposeAsync();
        }
    }

    [Scenario(89, "AwaitNonDurableTask")]
    [Theory]
    [InlineData("foreign")]
    [InlineData("configure")]
    [InlineData("run")]
    public async Task Orchestrator_AwaitsForeignTask_FailsInsteadOfHanging(string how)
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<string, int>("escape", async (c, kind) =>
                {
#pragma warning disable LDUR0003, LDUR0004 // What the run-time guard is to find.
                    // Never done within the turn, however slow the machine is.
                    if (kind == "foreign")
                        await Task.Delay(TimeSpan.FromHours(1));
                    if (kind == "configure")
                        await c.CallActivityAsync<int>("step", 1).ConfigureAwait(false);
                    if (kind == "run")
                        await Task.Run(() => c.CallActivityAsync<int>("step", 1));
#pragma warning restore LDUR0003, LDUR0004
                    return await c.CallActivityAsync<int>("step", 2);
                })
                .AddActivityFunc<int, int>("step", (_, n) => Task.FromResult(n))
        );
        var end = await EndOf(host, await host.Client.ScheduleNewOrchestrationInstanceAsync("escape", how));
        Assert.Equal(OrchestrationRuntimeStatus.Failed, end.RuntimeStatus);
        Assert.Contains("NonDeterministicOrchestration", end.FailureDetails!.ToString(), StringComparison.Ordinal);
    }
}
