using System.Collections.Concurrent;
using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Librarian.Durable.Worker;
using Librarian.Tests.Durable.Conformance;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Librarian.Tests.Durable;

public sealed class DurabilityOnPostgres(PostgresServer server) : DurabilityTests(new PostgresDatabase(server))
{
    private static void FastLease(IDurableTaskWorkerBuilder b, string node) =>
        b.Configure(o =>
        {
            o.NodeName = node;
            o.LeaseDuration = TimeSpan.FromMilliseconds(1500);
            o.HeartbeatInterval = TimeSpan.FromMilliseconds(200);
            o.LeaseMargin = TimeSpan.FromMilliseconds(500);
            o.PollInterval = TimeSpan.FromMilliseconds(500);
        });

    [Scenario(96, "ZombieWorker")]
    [Fact]
    public async Task Turn_CommitAfterTheInstanceWasTakenOver_IsFenced()
    {
        var stuck = new TaskCompletionSource();
        var reached = new TaskCompletionSource();
        var effects = new ConcurrentQueue<string>();
        void Configure(IDurableTaskWorkerBuilder b, string node)
        {
            FastLease(b, node);
            b.AddOrchestratorFunc<int, int>("fenced", (c, _) => c.CallActivityAsync<int>("effect"));
            b.AddActivityFunc<int, int>("effect", (_, _) =>
            {
                effects.Enqueue(node);
                return Task.FromResult(1);
            });
        }

        // A zombie: it hangs just before its commit, longer than anybody would wait for it.
        var zombie = await StartAsync(
            b => Configure(b, "zombie"),
            host =>
                host.Worker.Database.Triggers.Hit = async (point, _) =>
                {
                    if (point != "turn.before-commit" || !reached.TrySetResult())
                        return;
                    await stuck.Task;
                }
        );
        var id = await zombie.Client.ScheduleNewOrchestrationInstanceAsync("fenced", 0);
        await reached.Task.WaitAsync(Limit);
        var heir = await StartAsync(b => Configure(b, "heir"));
        // What a reaper does to a worker whose lease has passed.
        await Execute("delete from dt_worker where node = 'zombie'; update dt_instance set owner = null");
        heir.Client.SignalCommitted();
        Assert.Equal(1, (await EndOf(heir, id)).ReadOutputAs<int>());
        stuck.SetResult();
        await Until(async () => await Count("select count(*) from dt_worker where node = 'zombie'") == 1, "the zombie's new incarnation");
        // By the heir, or by the zombie's new incarnation when that was quicker; never by both.
        Assert.Single(effects);
        Assert.Equal(1, await Count("select count(*) from dt_history where kind = 3"));
    }

    [Fact]
    public async Task Start_WhileATransactionWrites_WaitsForNobody()
    {
        var first = await StartAsync(b => b.Configure(o => o.NodeName = "first"));
        await using var writer = Database.Connect(await Database.ConnectionStringAsync());
        await writer.OpenAsync(TestContext.Current.CancellationToken);
        await using var transaction = await writer.BeginTransactionAsync(TestContext.Current.CancellationToken);
        await using var command = writer.CreateCommand();
        command.Transaction = transaction;
        foreach (var table in new[] { "dt_instance", "dt_inbox", "dt_activity", "dt_history", "dt_worker" })
        {
            command.CommandText = $"delete from {table} where false";
            await command.ExecuteNonQueryAsync(TestContext.Current.CancellationToken);
        }

        await StartAsync(b => b.Configure(o => o.NodeName = "second")).WaitAsync(Limit);
        Assert.Equal(1, await Count("select count(*) from dt_worker where node = 'second'"));
        await first.StopAsync();
    }

    [Fact]
    public async Task Worker_OfAStartedHost_IsOnRecordUntilTheHostStopsHoweverSoon()
    {
        for (var round = 0; round < 10; round++)
        {
            // A lease that no starved machine loses: a worker that has lost it begins again under another id.
            var host = await StartAsync(b => b.Configure(o => o.NodeName = "seen"));
            Assert.Equal(1, await Count("select count(*) from dt_worker where node = 'seen'"));
            await host.StopAsync();
            Assert.Equal(0, await Count("select count(*) from dt_worker where node = 'seen'"));
        }
    }

    [Fact]
    public async Task Worker_LeaseReaped_BeginsNewIncarnationAndActivityIsCancelled()
    {
        var tokens = new ConcurrentQueue<CancellationToken>();
        var host = await StartAsync(b =>
        {
            FastLease(b, "only");
            b.AddOrchestratorFunc<int, int>("hold", (c, _) => c.CallActivityAsync<int>("hold"));
            b.AddActivityFunc<int, int>("hold", async (c, _) =>
            {
                tokens.Enqueue(c.CancellationToken);
                if (tokens.Count == 1)
                    await Task.Delay(Timeout.Infinite, c.CancellationToken);
                return 0;
            });
        });
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("hold", 0);
        await Until(() => Task.FromResult(tokens.Count == 1), "the first delivery");
        var first = host.Worker.Telemetry.Worker!;
        await Execute("delete from dt_worker; update dt_instance set owner = null; update dt_activity set owner = null");
        await EndOf(host, id);
        // A starved worker notices by itself that its lease has ended, and then the first delivery does not count.
        Assert.InRange(tokens.Count, 2, int.MaxValue);
        Assert.True(tokens.First().IsCancellationRequested);
        Assert.True(first.Lost.IsCancellationRequested && first.Stopping.IsCancellationRequested);
    }

    [Scenario(98, "DatabaseCrashRestart")]
    [Fact]
    public async Task Database_CrashesUnderLoad_NothingIsLostOrStuck()
    {
        await using var own = new PostgresServer();
        await ((IAsyncLifetime)own).InitializeAsync();
        await using var crashing = new PostgresDatabase(own);
        var connection = await crashing.ConnectionStringAsync();
        var done = 0;
        void Configure(IDurableTaskWorkerBuilder b, string node)
        {
            FastLease(b, node);
            b.AddOrchestratorFunc<int, int>("sum", async (c, n) =>
            {
                var total = 0;
                for (var i = 0; i < n; i++)
                    total += (await Task.WhenAll(c.CallActivityAsync<int>("one"), c.CallActivityAsync<int>("one"))).Sum();
                return total;
            });
            b.AddActivityFunc<int, int>("one", async (_, _) =>
            {
                // So that the load lasts.
                await Task.Delay(5);
                Interlocked.Increment(ref done);
                return 1;
            });
        }

        await using var one = await EngineHost.StartAsync(crashing, b => Configure(b, "one"));
        await using var two = await EngineHost.StartAsync(crashing, b => Configure(b, "two"));
        var started = await one.Client.ScheduleNewOrchestrationInstancesAsync([
            .. Enumerable.Range(0, 20).Select(_ => new OrchestrationStart("sum", 30)),
        ]);
        await Until(() => Task.FromResult(Volatile.Read(ref done) > 50), "load");
        await own.StopAsync("immediate");
        // For longer than the leases, so that both workers must begin anew.
        await Task.Delay(2000);
        await own.StartAsync();
        foreach (var start in started)
        {
            OrchestrationMetadata? end = null;
            await Until(
                async () =>
                {
                    end = await one.Client.GetInstanceAsync(start.InstanceId, true);
                    return end!.IsCompleted;
                },
                "the end of " + start.InstanceId
            );
            Assert.True(end!.RuntimeStatus == OrchestrationRuntimeStatus.Completed, end.FailureDetails?.ToString());
            Assert.Equal(60, end.ReadOutputAs<int>());
        }

        await using var check = crashing.Connect(connection);
        await check.OpenAsync();
        await Invariants.AssertAsync(check);
    }
}

public sealed class DurabilityOnSqlite() : DurabilityTests(new SqliteDatabase())
{
    [Fact]
    public async Task Worker_SecondProcessOnTheFile_IsRefused()
    {
        await StartAsync(b => b.AddOrchestratorFunc<int, int>("x", (_, n) => Task.FromResult(n)));
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() =>
            StartAsync(b => b.AddOrchestratorFunc<int, int>("x", (_, n) => Task.FromResult(n)))
        );
        Assert.StartsWith("DurableDatabaseInUse", refused.Message, StringComparison.Ordinal);
        Assert.Contains("PostgreSQL", refused.Message, StringComparison.Ordinal);
    }
}

public abstract class DurabilityTests(TestDatabase database) : EngineTests(database)
{
    [Fact]
    public async Task Schema_OfAnOlderProgram_IsBroughtUpToDate()
    {
        await (await StartAsync(_ => { })).StopAsync();
        await Execute("update dt_schema set version = 1; drop index dt_inbox_due");
        await (await StartAsync(_ => { })).StopAsync();
        Assert.Equal(Schema.Version, await Count("select version from dt_schema"));
        await Execute("drop index dt_inbox_due");
    }

    [Fact]
    public async Task Schema_OfANewerProgram_IsRefusedAndLeftAlone()
    {
        await (await StartAsync(_ => { })).StopAsync();
        await Execute($"update dt_schema set version = {Schema.Version + 1}; drop index dt_inbox_due");
        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(_ => { }));
        Assert.StartsWith("DurableSchemaTooNew:", refusal.Message, StringComparison.Ordinal);
        await Execute("create index dt_inbox_due on dt_inbox(visible_at, instance_id)");
    }

    [Fact]
    public void Schema_Changed_HasANewVersion()
    {
        // Databases of a version are taken as they are: whoever changes a statement raises Schema.Version and writes the new sum here.
        var sum = Convert.ToHexString(
            System.Security.Cryptography.SHA256.HashData(
                System.Text.Encoding.UTF8.GetBytes(string.Join('\n', Schema.Statements(Database.IsPostgres)))
            )
        )[..16];
        Assert.Equal((3, Database.IsPostgres ? "C0C92C4F1437ACFB" : "A1145E691D7A75F4"), (Schema.Version, sum));
    }

    [Fact]
    public async Task Turn_ThatCannotReadItsMessages_KeepsTheResultsItHadTaken()
    {
        var (running, finish) = (
            new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously),
            new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)
        );
        var (entered, goOn) = (
            new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously),
            new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)
        );
        var (holds, fails) = (0, 0);
        var host = await StartAsync(
            b =>
                b.AddOrchestratorFunc<int, int>("both", async (c, _) =>
                    {
                        var work = c.CallActivityAsync<int>("work");
                        await c.WaitForExternalEvent<int>("first");
                        return await work;
                    })
                    .AddActivityFunc<int, int>("work", async (_, _) =>
                    {
                        running.SetResult();
                        await finish.Task;
                        return 7;
                    }),
            created =>
                created.Services.GetRequiredService<TurnTriggers>().Hit = async (point, _) =>
                {
                    if (point != "turn.before-load")
                        return;
                    if (Interlocked.Exchange(ref holds, 0) == 1)
                    {
                        entered.SetResult();
                        await goOn.Task;
                    }
                    else if (Interlocked.Exchange(ref fails, 0) == 1)
                        throw new IOException("the database went away");
                }
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("both", 0);
        await running.Task.WaitAsync(Limit);
        Volatile.Write(ref holds, 1);
        // The look is held before there is an event: one that was on its way already would take it and leave none to hold.
        var worker = host.Services.GetRequiredService<Telemetry>().Worker!;
        worker.NotifyOrSignal(id);
        await entered.Task.WaitAsync(Limit);
        await host.Client.RaiseEventAsync(id, "first", 1);
        // While that turn is on its way a result is handed over and more messages are said to be there: the next turn takes both.
        finish.SetResult();
        await Until(() => Task.FromResult(worker.Activities.RunningCount == 0), "the hand-over of the result");
        worker.NotifyOrSignal(id);
        Volatile.Write(ref fails, 1);
        goOn.SetResult();
        Assert.Equal(7, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.Equal(0, Volatile.Read(ref fails));
    }

    [Fact]
    public async Task Release_ThatTheDatabaseRefusesForAWhile_IsRepeatedAndTheWorkerLives()
    {
        var (turns, refusals) = (0, 0);
        var host = await StartAsync(
            b =>
                b.AddOrchestratorFunc<int, int>("call", (c, _) => c.CallActivityAsync<int>("work"))
                    .AddActivityFunc<int, int>("work", (_, _) => Task.FromResult(7)),
            created =>
                created.Worker.Database.Triggers.Hit = (point, _) =>
                {
                    // The commit's answer is lost, so the activity it inserted is given back; and that is refused, say for want of a right.
                    if (point == "turn.after-commit" && Interlocked.Increment(ref turns) == 1)
                        throw new TimeoutException("injected");
                    if (point == "release.before-commit" && Interlocked.Increment(ref refusals) <= 2)
                        throw new InvalidOperationException("permission denied");
                    return Task.CompletedTask;
                }
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("call", 0);
        Assert.Equal(7, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.True(Volatile.Read(ref refusals) > 2);
    }

    [Fact]
    public async Task Completion_ThatTheDatabaseRefusesForAWhile_KeepsItsResult()
    {
        // Full, cancelled, a right withdrawn, read-only; full, broken, read-only.
        Queue<Exception> faults = new(
            Database.IsPostgres
                ? ((string[])["53100", "57014", "42501", "25006"]).Select(state => new PostgresException(
                    "injected",
                    "ERROR",
                    "ERROR",
                    state
                ))
                : ((int[])[13, 10, 8]).Select(code => new SqliteException("injected", code))
        );
        Assert.Equal((OrchestrationRuntimeStatus.Completed, 7), await EndAfterFaultsOfACompletionAsync(faults));
        Assert.Empty(faults);
    }

    [Fact]
    public async Task Completion_WithAValueThatTheDatabaseCannotStore_FailsTheActivity()
    {
        Queue<Exception> faults = new([
            Database.IsPostgres ? new PostgresException("injected", "ERROR", "ERROR", "22P05") : new SqliteException("injected", 18),
        ]);
        Assert.Equal((OrchestrationRuntimeStatus.Failed, 0), await EndAfterFaultsOfACompletionAsync(faults));
    }

    private async Task<(OrchestrationRuntimeStatus Status, int Output)> EndAfterFaultsOfACompletionAsync(Queue<Exception> faults)
    {
        var finish = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var host = await StartAsync(
            b =>
                b.AddOrchestratorFunc<int, int>("call", (c, _) => c.CallActivityAsync<int>("work"))
                    .AddActivityFunc<int, int>("work", async (_, _) =>
                    {
                        await finish.Task;
                        return 7;
                    }),
            created =>
                created.Worker.Database.Triggers.Hit = (point, _) =>
                    point == "completion.before-commit" && faults.TryDequeue(out var fault) ? throw fault : Task.CompletedTask
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("call", 0);
        await host.Client.WaitForInstanceStartAsync(id);
        // While it is suspended, results go through the inbox.
        await host.Client.SuspendInstanceAsync(id);
        await Until(
            async () => (await host.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Suspended,
            "suspension"
        );
        finish.SetResult();
        await Until(async () => await Count("select count(*) from dt_inbox where kind in (4, 5)") == 1, "the completion");
        await host.Client.ResumeInstanceAsync(id);
        var end = await EndOf(host, id);
        return (end.RuntimeStatus, end.ReadOutputAs<int>());
    }

    [Fact]
    public async Task Activity_FreedAndClaimedAgainByItsWorker_CancelsTheEarlierDelivery()
    {
        var tokens = new ConcurrentQueue<CancellationToken>();
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("hold", (c, _) => c.CallActivityAsync<int>("hold"))
                .AddActivityFunc<int, int>("hold", async (c, _) =>
                {
                    tokens.Enqueue(c.CancellationToken);
                    if (tokens.Count == 1)
                        await Task.Delay(Timeout.Infinite, c.CancellationToken);
                    return c.DeliveryCount;
                })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("hold", 0);
        await Until(() => Task.FromResult(tokens.Count == 1), "the first delivery");
        await Execute("update dt_activity set owner = null");
        host.Client.SignalCommitted();
        Assert.Equal(2, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.True(tokens.First().IsCancellationRequested);
    }

    [Fact]
    public async Task Stop_WithATurnCommitting_DoesNotRunTheActivityThatItBegins()
    {
        var (committed, goOn, running, ran) = (
            new TaskCompletionSource(),
            new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously),
            new TaskCompletionSource(),
            0
        );
        var host = await StartAsync(
            b =>
                b.AddOrchestratorFunc<string, int>("call", (c, name) => c.CallActivityAsync<int>(name))
                    .AddActivityFunc<int, int>("early", async (c, _) =>
                    {
                        // The drain cancels what runs; only then the held turn begins its activity.
                        c.CancellationToken.Register(goOn.SetResult);
                        running.SetResult();
                        await Task.Delay(Timeout.Infinite, c.CancellationToken);
                        return 1;
                    })
                    .AddActivityFunc<int, int>("late", async (c, _) =>
                    {
                        Interlocked.Increment(ref ran);
                        await Task.Delay(Timeout.Infinite, c.CancellationToken);
                        return 1;
                    }),
            created =>
                created.Worker.Database.Triggers.Hit = async (point, instance) =>
                {
                    if (point != "turn.after-commit" || instance != "held")
                        return;
                    committed.SetResult();
                    await goOn.Task;
                }
        );
        await host.Client.ScheduleNewOrchestrationInstanceAsync("call", "early");
        await running.Task.WaitAsync(Limit);
        await host.Client.ScheduleNewOrchestrationInstanceAsync("call", "late", new StartOrchestrationOptions("held"));
        await committed.Task.WaitAsync(Limit);
        await host.StopAsync();
        Assert.Equal(0, ran);
        Assert.Equal(2, await Count("select count(*) from dt_activity where owner is null and attempts = 0"));
    }

    [Scenario(92, "KillAroundCommit")]
    [Theory]
    [InlineData("turn.before-commit")]
    [InlineData("turn.after-commit")]
    public async Task Turn_FaultAroundItsCommit_IsRebuiltFromRowsAndNothingIsDoubled(string faultPoint)
    {
        var faults = 0;
        var host = await StartAsync(
            b =>
                b.AddOrchestratorFunc<int, int>("steps", async (c, n) =>
                    {
                        for (var i = 0; i < 8; i++)
                            n = (await Task.WhenAll(c.CallActivityAsync<int>("inc", n), c.CallActivityAsync<int>("inc", n)))[0];
                        return n;
                    })
                    .AddActivityFunc<int, int>("inc", (_, n) => Task.FromResult(n + 1)),
            // Every third commit: refused before it happened, or its answer lost after it happened.
            host =>
                host.Worker.Database.Triggers.Hit = (point, _) =>
                    point == faultPoint && Interlocked.Increment(ref faults) % 3 == 0
                        ? throw new TimeoutException("injected")
                        : Task.CompletedTask
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("steps", 0);
        Assert.Equal(8, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.True(faults >= 8, "the injection was never reached");
        await AssertInvariantsAsync(host);
    }

    [Scenario(101, "TransactionalActivity")]
    [Fact]
    public async Task TransactionalActivity_CommitsEffectAndCompletionTogether()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("record", async (c, _) =>
                {
                    await c.CallActivityAsync(nameof(RecordActivity), "kept");
                    try
                    {
                        await c.CallActivityAsync(nameof(RecordActivity), "fail");
                        return "no failure";
                    }
                    catch (TaskFailedException failure)
                    {
                        return failure.FailureDetails.ErrorMessage;
                    }
                })
                .AddActivity<RecordActivity>()
        );
        await Execute("create table effect(operation text primary key, note text)");
        Assert.Equal("after writing", await RunAsync<string>(host, "record", 0));
        Assert.Equal(1, await Count("select count(*) from effect"));
        Assert.Equal(1, await Count("select count(*) from effect where note = 'kept'"));
        await AssertInvariantsAsync(host);
    }

    [Scenario(60, "AbortedWorkIsRedelivered"), Scenario(102, "GracefulShutdown")]
    [Fact]
    public async Task Stop_WithWorkRunning_DrainsAndSuccessorContinuesAtOnce()
    {
        var hold = true;
        var deliveries = new ConcurrentQueue<int>();
        void Configure(IDurableTaskWorkerBuilder b) =>
            b.AddOrchestratorFunc<int, int>("work", async (c, _) =>
                    await c.CallActivityAsync<int>("before") + await c.CallActivityAsync<int>("long")
                )
                .AddActivityFunc<int, int>("before", (_, _) => Task.FromResult(1))
                .AddActivityFunc<int, int>("long", async (c, _) =>
                {
                    deliveries.Enqueue(c.DeliveryCount);
                    if (hold)
                        await Task.Delay(Timeout.Infinite, c.CancellationToken);
                    return 10;
                });
        var first = await StartAsync(Configure);
        var id = await first.Client.ScheduleNewOrchestrationInstanceAsync("work", 0);
        await Until(() => Task.FromResult(deliveries.Count == 1), "the long activity");
        await first.DisposeAsync();
        Assert.Equal(
            0,
            await Count(
                "select (select count(*) from dt_instance where owner is not null) "
                    + "+ (select count(*) from dt_activity where owner is not null) + (select count(*) from dt_worker)"
            )
        );
        hold = false;
        var second = await StartAsync(Configure);
        Assert.Equal(11, (await EndOf(second, id)).ReadOutputAs<int>());
        Assert.Equal([1, 1], deliveries);
        Assert.Equal(1, await Count("select count(*) from dt_history where kind = 4 and name = 'before'"));
    }

    [Scenario(97, "TwoWorkersOneInstance")]
    [Fact]
    public async Task Writes_WithAStaleClaim_AreFenced()
    {
        var host = await StartAsync(b => b.Configure(o => o.RunWorker = false));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("x", 1);
        var worker = host.Worker;
        async Task<ClaimedInstance> ClaimAsync(string owner) =>
            Assert.Single(
                (
                    await worker.Database.Queries.PollAsync(
                        new(owner, 10, TimeSpan.FromSeconds(1), ["x"], ["a"], [("", 10)]),
                        CancellationToken.None
                    )
                ).Instances
            );
        static Turn TurnOf(ClaimedInstance claim, int first, params ScheduledTask[] tasks)
        {
            var outcome = new TurnOutcome { Events = [HistoryEvent.TurnStarted(1)] };
            outcome.Tasks.AddRange(tasks);
            return new(claim, outcome, first, 1, [], [], Release: false)
            {
                Activities = [.. tasks.Select(task => new ActivityRow(task, null, 1, 0))],
            };
        }

        var stale = await ClaimAsync("w");
        await Execute("update dt_instance set owner = null");
        // Even the same worker: a turn of an earlier claim may still be under way.
        var current = await ClaimAsync("w");
        await worker.Database.Turns.CommitAsync(TurnOf(current, 0, new ScheduledTask(0, "a", null, "")), CancellationToken.None);
        await Assert.ThrowsAsync<FenceException>(() => worker.Database.Turns.CommitAsync(TurnOf(stale, 1), CancellationToken.None));
        var activity = Assert.Single(
            (
                await worker.Database.Queries.PollAsync(
                    new("w", 0, TimeSpan.FromSeconds(1), ["x"], ["a"], [("", 10)]),
                    CancellationToken.None
                )
            ).Activities
        );
        Assert.Empty(
            await worker.Database.Queries.CompleteAsync(
                [new(activity with { Claim = activity.Claim - 1 }, "1", null)],
                CancellationToken.None
            )
        );
        Assert.Empty(await worker.Database.Queries.CompleteAsync([new(activity with { Owner = "z" }, "1", null)], CancellationToken.None));
        Assert.Equal([id], await worker.Database.Queries.CompleteAsync([new(activity, "1", null)], CancellationToken.None));
        Assert.Empty(await worker.Database.Queries.CompleteAsync([new(activity, "1", null)], CancellationToken.None));
        Assert.Equal(1, await Count("select count(*) from dt_inbox where kind = 4"));
        Assert.Equal(1, await Count("select count(*) from dt_history"));
    }

    [Fact]
    public async Task Replay_AfterRestart_DoesNotRepeatFinishedSteps()
    {
        var ran = 0;
        void Configure(IDurableTaskWorkerBuilder b) =>
            b.AddOrchestratorFunc<int, int>("resume", async (c, _) =>
                {
                    var a = await c.CallActivityAsync<int>("count");
                    var e = await c.WaitForExternalEvent<int>("go");
                    return a + e;
                })
                .AddActivityFunc<int, int>("count", (_, _) => Task.FromResult(++ran));
        var first = await StartAsync(Configure);
        var id = await first.Client.ScheduleNewOrchestrationInstanceAsync("resume", 0);
        await Until(async () => await Count("select count(*) from dt_history where kind = 4") == 1, "the step");
        await first.DisposeAsync();
        var second = await StartAsync(Configure);
        await second.Client.RaiseEventAsync(id, "go", 10);
        Assert.Equal(11, (await EndOf(second, id)).ReadOutputAs<int>());
        Assert.Equal(1, ran);
    }

    public sealed class RecordActivity : TransactionalActivity<string, int>
    {
        public override async Task<int> RunAsync(TransactionalActivityContext context, string input)
        {
            await using var command = context.Connection.CreateCommand();
            command.Transaction = context.Transaction;
            command.CommandText = "insert into effect(operation, note) values (@operation, @note)";
            foreach (var (name, value) in new[] { ("operation", context.OperationId), ("note", input) })
            {
                var parameter = command.CreateParameter();
                parameter.ParameterName = name;
                parameter.Value = value;
                command.Parameters.Add(parameter);
            }

            await command.ExecuteNonQueryAsync();
            return input == "fail" ? throw new InvalidOperationException("after writing") : 1;
        }
    }
}
