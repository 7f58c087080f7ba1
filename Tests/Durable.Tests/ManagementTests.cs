using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Librarian.Tests.Durable.Conformance;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.Options;

namespace Librarian.Tests.Durable;

public sealed class ManagementOnPostgres(PostgresServer server) : ManagementTests(new PostgresDatabase(server));

[Quick]
public sealed class ManagementOnSqlite() : ManagementTests(new SqliteDatabase());

public abstract class ManagementTests(TestDatabase database) : EngineTests(database)
{
    private Task<EngineHost> StartAsync() =>
        StartAsync(b =>
            b.AddOrchestratorFunc<string, string>("wait", async (c, _) =>
                {
                    c.SetCustomStatus(new Book("status", 1, []));
                    var text = "";
                    while (true)
                    {
                        var letter = await c.WaitForExternalEvent<string>("letter");
                        if (letter == "end")
                            return text;
                        if (letter == "clear")
                            c.SetCustomStatus(null);
                        text += letter;
                    }
                })
                .AddOrchestratorFunc<int, int>("quick", (_, n) => Task.FromResult(n))
                .AddOrchestratorFunc<int, int>("bad", (_, _) => throw new InvalidOperationException("bad"))
                .AddOrchestratorFunc<string, string>("family", (c, child) =>
                    c.CallSubOrchestratorAsync<string>("wait", "", new SubOrchestrationOptions(instanceId: child))
                )
        );

    private static async Task<string> Waiting(EngineHost host, string? id = null)
    {
        var instance = await host.Client.ScheduleNewOrchestrationInstanceAsync("wait", "in", new StartOrchestrationOptions(id));
        await host.Client.WaitForInstanceStartAsync(instance);
        return instance;
    }

    [Scenario(71, "Terminate")]
    [Fact]
    public async Task Terminate_RunningPendingScheduledSuspended_AllEnd()
    {
        var host = await StartAsync();
        var running = await Waiting(host);
        var scheduled = await host.Client.ScheduleNewOrchestrationInstanceAsync(
            "wait",
            "",
            new StartOrchestrationOptions(StartAt: DateTimeOffset.UtcNow.AddHours(1))
        );
        var unknown = await host.Client.ScheduleNewOrchestrationInstanceAsync("no-such-orchestrator");
        var suspended = await Waiting(host);
        await host.Client.SuspendInstanceAsync(suspended);
        await Until(
            async () => (await host.Client.GetInstanceAsync(suspended))!.RuntimeStatus == OrchestrationRuntimeStatus.Suspended,
            "suspension"
        );
        foreach (var id in new[] { running, scheduled, unknown, suspended })
        {
            await host.Client.TerminateInstanceAsync(id, (object)"enough");
            var end = await EndOf(host, id);
            Assert.Equal((OrchestrationRuntimeStatus.Terminated, "enough"), (end.RuntimeStatus, end.ReadOutputAs<string>()));
            await host.Client.TerminateInstanceAsync(id, (object)"again");
        }

        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
        Assert.Equal("enough", (await host.Client.GetInstanceAsync(running, true))!.ReadOutputAs<string>());
    }

    [Fact]
    public async Task Terminate_WithActivityRunning_CancelsItAndDropsItsResult()
    {
        var cancelled = new TaskCompletionSource();
        var started = new TaskCompletionSource();
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("busy", (c, _) => c.CallActivityAsync<int>("long"))
                .AddActivityFunc<int, int>("long", async (c, _) =>
                {
                    c.CancellationToken.Register(cancelled.SetResult);
                    started.SetResult();
                    await cancelled.Task;
                    return 1;
                })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("busy", 0);
        await started.Task.WaitAsync(Limit);
        await host.Client.TerminateInstanceAsync(id);
        Assert.Equal(OrchestrationRuntimeStatus.Terminated, (await EndOf(host, id)).RuntimeStatus);
        await cancelled.Task.WaitAsync(Limit);
        Assert.Equal(0, await Count("select count(*) from dt_activity"));
    }

    [Scenario(48, "ParentTerminated")]
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Terminate_Parent_ReachesChildrenOnlyWhenRecursive(bool recursive)
    {
        var host = await StartAsync();
        var parent = await host.Client.ScheduleNewOrchestrationInstanceAsync("family", "the-child");
        await Until(
            async () => (await host.Client.GetInstanceAsync("the-child"))?.RuntimeStatus == OrchestrationRuntimeStatus.Running,
            "the child's start"
        );
        await host.Client.TerminateInstanceAsync(parent, new TerminateInstanceOptions("stop", recursive));
        Assert.Equal(OrchestrationRuntimeStatus.Terminated, (await EndOf(host, parent)).RuntimeStatus);
        if (!recursive)
            await host.Client.RaiseEventAsync("the-child", "letter", "end");
        Assert.Equal(
            recursive ? OrchestrationRuntimeStatus.Terminated : OrchestrationRuntimeStatus.Completed,
            (await EndOf(host, "the-child")).RuntimeStatus
        );
    }

    [Scenario(73, "SuspendResume")]
    [Fact]
    public async Task Suspend_ThenEvents_ResumeAppliesThemInOrder()
    {
        var host = await StartAsync();
        var id = await Waiting(host);
        await host.Client.RaiseEventAsync(id, "letter", "a");
        await host.Client.SuspendInstanceAsync(id, "audit");
        await Until(
            async () => (await host.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Suspended,
            "suspension"
        );
        var claims = await Count("select claim from dt_instance");
        foreach (var letter in new[] { "b", "c", "d", "end" })
            await host.Client.RaiseEventAsync(id, "letter", letter);
        // Several polls: a suspended instance is not claimed for what it may not apply.
        for (var i = 0; i < 5; i++)
        {
            var before = host.Store.Traffic.Statements;
            host.Client.SignalCommitted();
            await Until(() => Task.FromResult(host.Store.Traffic.Statements > before), "a poll");
        }

        Assert.Equal(4, await Count("select count(*) from dt_inbox"));
        Assert.Equal(claims, await Count("select claim from dt_instance"));
        await host.Client.ResumeInstanceAsync(id, "done");
        Assert.Equal("abcd", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Suspend_ThenMoreMessagesThanOneTurnTakes_IsResumedInOrderOrTerminated(bool resume)
    {
        var host = await StartAsync();
        var id = await Waiting(host);
        await host.Client.SuspendInstanceAsync(id);
        await Until(
            async () => (await host.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Suspended,
            "suspension"
        );
        const int Kept = (2 * WorkQueries.Page) + 50;
        await Execute(
            $"""
            with recursive n(i) as (select 1 union all select i + 1 from n where i < {Kept})
            insert into dt_inbox(instance_id, visible_at, kind, name, data)
            select '{id}', i, {(int)EventKind.EventRaised}, 'letter', '"' || i || ',"' from n
            """
        );
        if (!resume)
        {
            await host.Client.TerminateInstanceAsync(id);
            Assert.Equal(OrchestrationRuntimeStatus.Terminated, (await EndOf(host, id)).RuntimeStatus);
            return;
        }

        await host.Client.ResumeInstanceAsync(id);
        await host.Client.RaiseEventAsync(id, "letter", "end");
        Assert.Equal(string.Concat(Enumerable.Range(1, Kept).Select(i => i + ",")), (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Fact]
    public async Task Suspend_InTheTurnThatContinuesAsNew_HoldsForTheNextExecution()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<string, string>("again", async (c, text) =>
            {
                var letter = await c.WaitForExternalEvent<string>("letter");
                if (letter == "end")
                    return text;
                c.ContinueAsNew(text + letter);
                return "";
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("again", "");
        await host.Client.WaitForInstanceStartAsync(id);
        // In one statement, so that one turn takes all of them.
        await Execute(
            $"""
            insert into dt_inbox(instance_id, visible_at, kind, name, data) values
              ('{id}', 1, {(int)EventKind.EventRaised}, 'letter', '"a"'),
              ('{id}', 2, {(int)EventKind.ExecutionSuspended}, null, '"audit"'),
              ('{id}', 3, {(int)EventKind.EventRaised}, 'letter', '"b"')
            """
        );
        host.Client.SignalCommitted();
        await Until(
            async () => (await host.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Suspended,
            "suspension"
        );
        await host.Client.RaiseEventAsync(id, "letter", "end");
        await host.Client.ResumeInstanceAsync(id);
        Assert.Equal("ab", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Fact]
    public async Task Terminate_OfAnUnknownOrchestratorBehindMoreMessagesThanOneTurnTakes_Ends()
    {
        var host = await StartAsync();
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("no-such-orchestrator");
        await Execute(
            $"""
            with recursive n(i) as (select 1 union all select i + 1 from n where i < {WorkQueries.Page})
            insert into dt_inbox(instance_id, visible_at, kind, name) select '{id}', i, {(int)EventKind.EventRaised}, 'letter' from n
            """
        );
        await host.Client.TerminateInstanceAsync(id);
        Assert.Equal(OrchestrationRuntimeStatus.Terminated, (await EndOf(host, id)).RuntimeStatus);
    }

    [Fact]
    public async Task Suspend_WithActivityRunning_KeepsItsResultUntilResumed()
    {
        var release = new TaskCompletionSource();
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("busy", (c, _) => c.CallActivityAsync<int>("long"))
                .AddActivityFunc<int, int>("long", async (_, _) =>
                {
                    await release.Task;
                    return 5;
                })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("busy", 0);
        await Until(async () => await Count("select count(*) from dt_activity where owner is not null") == 1, "the activity");
        await host.Client.SuspendInstanceAsync(id);
        await Until(
            async () => (await host.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Suspended,
            "suspension"
        );
        release.SetResult();
        await Until(async () => await Count("select count(*) from dt_inbox where kind = 4") == 1, "the kept result");
        await host.Client.SuspendInstanceAsync(id);
        await host.Client.ResumeInstanceAsync(id);
        Assert.Equal(5, (await EndOf(host, id)).ReadOutputAs<int>());
    }

    [Scenario(75, "SetCustomStatus")]
    [Fact]
    public async Task CustomStatus_SetAndCleared_IsVisibleMidRun()
    {
        var host = await StartAsync();
        var id = await Waiting(host);
        Assert.Equal("status", (await host.Client.GetInstanceAsync(id, true))!.ReadCustomStatusAs<Book>()!.Name);
        await host.Client.RaiseEventAsync(id, "letter", "x");
        await Until(async () => await Count("select count(*) from dt_history where kind = 11") == 1, "the event");
        Assert.Equal("status", (await host.Client.GetInstanceAsync(id, true))!.ReadCustomStatusAs<Book>()!.Name);
        await host.Client.RaiseEventAsync(id, "letter", "clear");
        await Until(async () => (await host.Client.GetInstanceAsync(id, true))!.SerializedCustomStatus is null, "the cleared status");
    }

    [Scenario(76, "GetInstance")]
    [Fact]
    public async Task GetInstance_WithoutData_RefusesToRead()
    {
        var host = await StartAsync();
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(
            "quick",
            4,
            new StartOrchestrationOptions
            {
                Tags = new Dictionary<string, string> { ["kind"] = "test" },
                Version = "2",
            }
        );
        var full = await EndOf(host, id);
        Assert.Equal(
            (4, 4, "test", "2", "quick"),
            (
                full.ReadInputAs<int>(),
                full.ReadOutputAs<int>(),
                full.Tags["kind"],
                (await host.Client.GetDetailsAsync(full.InstanceId))!.Version,
                full.Name
            )
        );
        var bare = await host.Client.GetInstanceAsync(id);
        Assert.Null(bare!.SerializedOutput);
        Assert.Throws<InvalidOperationException>(() => bare.ReadOutputAs<int>());
        await Assert.ThrowsAsync<ArgumentException>(() => host.Client.WaitForInstanceCompletionAsync("nobody"));
    }

    [Scenario(78, "Query")]
    [Fact]
    public async Task Query_ByEveryFilter_PagesAreStableWhileRowsChange()
    {
        var host = await StartAsync();
        var ids = new List<string>();
        for (var i = 0; i < 25; i++)
        {
            ids.Add(
                await host.Client.ScheduleNewOrchestrationInstanceAsync(
                    i % 5 == 0 ? "bad" : "quick",
                    i,
                    new StartOrchestrationOptions($"q_{i:00}%")
                    {
                        Tags = new Dictionary<string, string> { ["parity"] = i % 2 == 0 ? "even" : "odd", ["quote\"d"] = "x" },
                    }
                )
            );
        }

        foreach (var id in ids)
            await EndOf(host, id);
        await Waiting(host, "other");
        async Task<List<string>> Ids(OrchestrationQuery query) =>
            await host.Client.GetAllInstancesAsync(query).Select(found => found.InstanceId).ToListAsync();
        Assert.Equal(26, (await Ids(new())).Count);
        Assert.Equal(ids, await Ids(new InstanceQuery { InstanceIdPrefix = "q_", PageSize = 7 }));
        Assert.Equal(["q_01%"], await Ids(new InstanceQuery { InstanceIdPrefix = "q_01%" }));
        Assert.Empty(await Ids(new InstanceQuery { InstanceIdPrefix = "q%" }));
        Assert.Equal(5, (await Ids(new InstanceQuery { Statuses = [OrchestrationRuntimeStatus.Failed] })).Count);
        Assert.Equal(["other"], await Ids(new InstanceQuery { Names = ["wait"] }));
        Assert.Equal(
            13,
            (
                await Ids(
                    new InstanceQuery
                    {
                        Tags = new Dictionary<string, string> { ["parity"] = "even", ["quote\"d"] = "x" },
                    }
                )
            ).Count
        );
        Assert.Empty(await Ids(new InstanceQuery { Tags = new Dictionary<string, string> { ["parity"] = "EVEN" } }));
        Assert.Empty(await Ids(new InstanceQuery { CreatedFrom = DateTimeOffset.UtcNow.AddHours(1) }));
        Assert.Equal(
            26,
            (
                await Ids(
                    new InstanceQuery { CreatedFrom = DateTimeOffset.UtcNow.AddHours(-1), CreatedTo = DateTimeOffset.UtcNow.AddHours(1) }
                )
            ).Count
        );
        var seen = new List<string>();
        await foreach (
            var page in host.Client.GetAllInstancesAsync(new InstanceQuery { PageSize = 10, Names = ["quick", "bad"] }).AsPages()
        )
        {
            seen.AddRange(page.Values.Select(found => found.InstanceId));
            // Rows of pages already seen go away, and new ones come behind.
            await host.Client.PurgeInstanceAsync(seen[0]);
            if (page.ContinuationToken is not null)
                Assert.Equal(10, page.Values.Count);
        }

        Assert.Equal(ids, seen);
    }

    [Scenario(79, "Purge"), Scenario(80, "PurgeIdempotent")]
    [Fact]
    public async Task Purge_SingleFilterAndRecursive_LeaveNoRows()
    {
        var host = await StartAsync();
        var running = await Waiting(host);
        Assert.Equal(0, (await host.Client.PurgeInstanceAsync(running)).PurgedInstanceCount);
        var parent = await host.Client.ScheduleNewOrchestrationInstanceAsync("family", "kid");
        await Until(async () => await host.Client.GetInstanceAsync("kid") is not null, "the child");
        await host.Client.RaiseEventAsync("kid", "letter", "end");
        await EndOf(host, parent);
        Assert.Equal(2, (await host.Client.PurgeInstanceAsync(parent, new PurgeInstanceOptions(Recursive: true))).PurgedInstanceCount);
        Assert.Equal(0, (await host.Client.PurgeInstanceAsync(parent)).PurgedInstanceCount);
        var many = await host.Client.ScheduleNewOrchestrationInstancesAsync([
            .. Enumerable.Range(0, 1100).Select(i => new OrchestrationStart("quick", i)),
        ]);
        await Until(async () => await Count("select count(*) from dt_instance where status = 1") == many.Count, "all ends");
        Assert.Equal(0, (await host.Client.PurgeAllInstancesAsync(new(Statuses: [OrchestrationRuntimeStatus.Failed]))).PurgedInstanceCount);
        var purged = await host.Client.PurgeAllInstancesAsync(new(CreatedFrom: DateTimeOffset.UtcNow.AddHours(-1)));
        Assert.Equal((1100, true), (purged.PurgedInstanceCount, purged.IsComplete));
        await host.Client.TerminateInstanceAsync(running);
        await EndOf(host, running);
        Assert.Equal(1, (await host.Client.PurgeInstanceAsync(running)).PurgedInstanceCount);
        Assert.Equal(
            0,
            await Count(
                "select (select count(*) from dt_instance) + (select count(*) from dt_history) "
                    + "+ (select count(*) from dt_inbox) + (select count(*) from dt_activity)"
            )
        );
    }

    [Scenario(81, "RecreateCompleted"), Scenario(82, "RecreateRunning")]
    [Fact]
    public async Task Start_IdExists_FinishedIsReplacedActiveRefuses()
    {
        var host = await StartAsync();
        foreach (var name in new[] { "quick", "bad" })
        {
            await host.Client.ScheduleNewOrchestrationInstanceAsync(name, 1, new StartOrchestrationOptions("again"));
            await EndOf(host, "again");
        }

        await Waiting(host, "again");
        await Assert.ThrowsAsync<OrchestrationAlreadyExistsException>(() =>
            host.Client.ScheduleNewOrchestrationInstanceAsync("quick", 2, new StartOrchestrationOptions("again"))
        );
        Assert.Equal(
            new StartResult("again", false),
            await host.Client.TryScheduleNewOrchestrationInstanceAsync("quick", 2, new StartOrchestrationOptions("again"))
        );
        // No status refuses: the running one is replaced.
        await host.Client.ScheduleNewOrchestrationInstanceAsync("quick", 3, new StartOrchestrationOptions("again").WithDedupeStatuses());
        Assert.Equal(3, (await EndOf(host, "again")).ReadOutputAs<int>());
        var completedRefuses = new StartOrchestrationOptions("again").WithDedupeStatuses(OrchestrationRuntimeStatus.Completed);
        Assert.False((await host.Client.TryScheduleNewOrchestrationInstanceAsync("quick", 4, completedRefuses)).Started);
        Assert.Equal(1, await Count("select count(*) from dt_instance"));
    }

    [Scenario(83, "ConcurrentStartSameId")]
    [Fact]
    public async Task Start_SameIdConcurrently_ExactlyOneWins()
    {
        var host = await StartAsync();
        var results = await Task.WhenAll(
            Enumerable
                .Range(0, 20)
                .Select(i =>
                    Task.Run(() =>
                        host.Client.TryScheduleNewOrchestrationInstanceAsync("wait", "" + i, new StartOrchestrationOptions("single"))
                    )
                )
        );
        Assert.Single(results, result => result.Started);
    }

    [Fact]
    public async Task Start_InCallersTransaction_FollowsItsFateAndRefusalDoesNotSpoilIt()
    {
        var host = await StartAsync();
        await Execute("create table mine(id text primary key)");
        await Waiting(host, "taken");
        await using var connection = Database.Connect(await Database.ConnectionStringAsync());
        await connection.OpenAsync();
        foreach (var commit in new[] { false, true })
        {
            await using var transaction = await connection.BeginTransactionAsync();
            Assert.False(
                (
                    await host.Client.ScheduleNewOrchestrationInstanceAsync("quick", 1, new StartOrchestrationOptions("taken"), transaction)
                ).Started
            );
            Assert.True(
                (
                    await host.Client.ScheduleNewOrchestrationInstanceAsync("quick", 8, new StartOrchestrationOptions("mine"), transaction)
                ).Started
            );
            Assert.True(await host.Client.RaiseEventAsync("taken", "letter", commit ? "end" : "lost", "m1", transaction));
            Assert.False(await host.Client.RaiseEventAsync("taken", "letter", "end", "m1", transaction));
            var batch = await host.Client.ScheduleNewOrchestrationInstancesAsync(
                [new("quick", 1, new("b1")), new("quick", 1, new("taken")), new("quick", 1, new("b2"))],
                transaction
            );
            Assert.Equal([true, false, true], batch.Select(start => start.Started));
            await using var command = connection.CreateCommand();
            command.Transaction = transaction;
            command.CommandText = "insert into mine(id) values ('x')";
            await command.ExecuteNonQueryAsync();
            if (commit)
                await transaction.CommitAsync();
            else
                await transaction.RollbackAsync();
            if (!commit)
                Assert.Null(await host.Client.GetInstanceAsync("mine"));
        }

        Assert.Equal(8, (await EndOf(host, "mine")).ReadOutputAs<int>());
        Assert.Equal("", (await EndOf(host, "taken")).ReadOutputAs<string>());
        await EndOf(host, "b2");
        Assert.Equal(1, await Count("select count(*) from mine"));
    }

    [Scenario(87, "InstanceIdCharacters")]
    [Fact]
    public async Task InstanceIds_OddCharacters_AreJustText()
    {
        var host = await StartAsync();
        foreach (var id in new[] { "it's", "a/b\\c?d#e", "\"quoted\"", "schedule:send_clone", "ключ-📚", "%_", "{0}" })
        {
            Assert.Equal(id, await host.Client.ScheduleNewOrchestrationInstanceAsync("quick", 1, new StartOrchestrationOptions(id)));
            Assert.Equal(1, (await EndOf(host, id)).ReadOutputAs<int>());
        }

        await Assert.ThrowsAsync<ArgumentException>(() =>
            host.Client.ScheduleNewOrchestrationInstanceAsync("quick", 1, new StartOrchestrationOptions("a\nb"))
        );
    }

    [Fact]
    public async Task Options_LeaseTooShortForItsHeartbeat_RefusedAtStart()
    {
        var failure = await Assert.ThrowsAsync<OptionsValidationException>(() =>
            StartAsync(b =>
                b.Configure(o =>
                {
                    o.LeaseDuration = TimeSpan.FromSeconds(5);
                    o.Queues["x"] = 0;
                })
            )
        );
        Assert.Contains("LeaseDuration", failure.Message, StringComparison.Ordinal);
        Assert.Contains("'x'", failure.Message, StringComparison.Ordinal);
    }
}
