using System.Collections.Concurrent;
using Librarian.Durable;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class LocalActivitiesOnPostgres(PostgresServer server) : LocalActivityTests(new PostgresDatabase(server));

public sealed class LocalActivitiesOnSqlite() : LocalActivityTests(new SqliteDatabase());

/// <summary>
/// Quick activities run without a row in <c>dt_activity</c> (see <see cref="Librarian.Durable.Stores.Standby"/>). In each test some quick steps come first, so that the engine
/// takes the next for quick; that one then does what the test is about.
/// </summary>
public abstract class LocalActivityTests(TestDatabase database) : EngineTests(database)
{
    private const int Warm = 5;
    private readonly ConcurrentQueue<(int Step, int Delivery)> _runs = new();
    private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);

    [Fact]
    public async Task Step_OfAQuickActivity_HasNoRowAndItsInstanceAMessageThatStandsBy()
    {
        long rows = -1, standby = -1;
        var host = await StartAsync(b => AddSteps(b, async (_, step) =>
        {
            if (step != Warm) return;
            rows = await Count("select count(*) from dt_activity");
            standby = await Count("select count(*) from dt_inbox where kind = 19");
        }));
        Assert.Equal(10, await RunAsync<int>(host, "steps", 10));
        Assert.Equal((0, 1), (rows, standby));
        await AssertInvariantsAsync(host);
    }

    [Fact]
    public async Task Step_ThatTakesLongThisTime_GetsARowWithItsProgressAndRunsOnce()
    {
        var host = await StartAsync(b => AddSteps(b, (context, _) =>
        {
            context.Heartbeat("half");
            return _go.Task;
        }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("steps", Warm + 2);
        await Until(async () => (await host.Client.GetPendingActivitiesAsync(id)) is [{ SerializedProgress: "\"half\"" }], "a row with progress");
        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
        _go.SetResult();
        Assert.Equal(Warm + 2, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.Equal(Warm + 2, _runs.Count);
        await AssertInvariantsAsync(host);
    }

    [Fact]
    public async Task Step_OfAWorkerThatIsTakenForDead_IsDeliveredAgainAndItsOwnResultDropped()
    {
        var placing = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var zombie = await StartAsync(b => AddSteps(b, (context, _) =>
        {
            context.Heartbeat(null);
            return _go.Task;
        }), host => host.Worker.Triggers.Hit = async (point, _) =>
        {
            if (point != "place.before-commit") return;
            _reached.TrySetResult();
            await placing.Task;
        });
        var id = await zombie.Client.ScheduleNewOrchestrationInstanceAsync("steps", Warm + 2);
        await _reached.Task.WaitAsync(Limit, TestContext.Current.CancellationToken);
        // What a reaper does to a worker whose lease has passed. The heir of a SQLite file is the same process.
        await Execute("update dt_instance set owner = null");
        await zombie.Worker.Leases.ReapAsync([], expired: false, CancellationToken.None);
        zombie.Client.SignalCommitted();
        _go.SetResult();
        await Until(async () => await Count("select count(*) from dt_history where kind = 4 and task_id = 5") == 1, "the step's end");
        placing.SetResult();
        Assert.Equal(Warm + 2, (await EndOf(zombie, id)).ReadOutputAs<int>());
        Assert.Equal([1, 2], _runs.Where(run => run.Step == Warm).Select(run => run.Delivery).Order());
        Assert.Equal(1, await Count("select count(*) from dt_history where kind = 4 and task_id = 5"));
        await AssertInvariantsAsync(zombie);
    }

    [Fact]
    public async Task Step_WhenTheWorkerStops_RunsOnTheNext()
    {
        var first = await StartAsync(b => AddSteps(b, async (context, _) =>
        {
            _reached.TrySetResult();
            await Task.Delay(Timeout.Infinite, context.CancellationToken);
        }));
        var id = await first.Client.ScheduleNewOrchestrationInstanceAsync("steps", Warm + 2);
        await _reached.Task.WaitAsync(Limit, TestContext.Current.CancellationToken);
        await first.StopAsync();
        var second = await StartAsync(b => AddSteps(b, (_, _) => Task.CompletedTask));
        Assert.Equal(Warm + 2, (await EndOf(second, id)).ReadOutputAs<int>());
        Assert.Equal([1, 2], _runs.Where(run => run.Step == Warm).Select(run => run.Delivery).Order());
        await AssertInvariantsAsync(second);
    }

    [Fact]
    public async Task Step_WhoseResultMeetsADatabaseThatIsAway_IsNotRepeated()
    {
        var faults = 0;
        var host = await StartAsync(b => AddSteps(b, (_, _) =>
        {
            Volatile.Write(ref faults, 1);
            return Task.CompletedTask;
        }), host => host.Worker.Triggers.Hit = (point, _) =>
        {
            if (point == "turn.before-commit" && Interlocked.Exchange(ref faults, 0) == 1) throw Away();
            return Task.CompletedTask;
        });
        Assert.Equal(Warm + 2, await RunAsync<int>(host, "steps", Warm + 2));
        Assert.Equal(Warm + 2, _runs.Count);
        await AssertInvariantsAsync(host);
    }

    [Fact]
    public async Task Step_WhoseInstanceIsSuspended_GetsARowAndItsResultWaits()
    {
        var host = await StartAsync(b => AddSteps(b, async (_, _) =>
        {
            _reached.TrySetResult();
            await _go.Task;
        }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("steps", Warm + 2);
        await _reached.Task.WaitAsync(Limit, TestContext.Current.CancellationToken);
        await host.Client.SuspendInstanceAsync(id);
        await Until(async () => (await host.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Suspended, "suspended");
        Assert.Equal((1, 0), (await Count("select count(*) from dt_activity"), await Count("select count(*) from dt_inbox")));
        _go.SetResult();
        await Until(async () => await Count("select count(*) from dt_inbox where kind = 4") == 1, "the result in the inbox");
        await host.Client.ResumeInstanceAsync(id);
        Assert.Equal(Warm + 2, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.Equal(Warm + 2, _runs.Count);
        await AssertInvariantsAsync(host);
    }

    [Fact]
    public async Task Step_WhoseInstanceIsTerminated_IsCancelledAndLeavesNothing()
    {
        var host = await StartAsync(b => AddSteps(b, async (context, _) =>
        {
            _reached.TrySetResult();
            await Task.Delay(Timeout.Infinite, context.CancellationToken);
        }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("steps", Warm + 2);
        await _reached.Task.WaitAsync(Limit, TestContext.Current.CancellationToken);
        await host.Client.TerminateInstanceAsync(id);
        Assert.Equal(OrchestrationRuntimeStatus.Terminated, (await EndOf(host, id)).RuntimeStatus);
        await AssertInvariantsAsync(host);
        Assert.Equal(Warm + 1, _runs.Count);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Step_ThatItsOrchestratorDoesNotWaitFor_GetsARowWithTheEndOfTheExecution(bool continues)
    {
        var generations = 0;
        var host = await StartAsync(b =>
        {
            AddSteps(b, async (_, _) =>
            {
                _reached.TrySetResult();
                await _go.Task;
            });
            b.AddOrchestratorFunc<int, int>("leave", async (c, generation) =>
            {
                if (generation > 0) return generation;
                for (var i = 0; i < Warm; i++) await c.CallActivityAsync("step", i);
                _ = c.CallActivityAsync("step", Warm);
                await c.WaitForExternalEvent<int>("leave");
                if (continues) c.ContinueAsNew(1);
                return generation;
            });
        });
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("leave", generations);
        await _reached.Task.WaitAsync(Limit, TestContext.Current.CancellationToken);
        await host.Client.RaiseEventAsync(id, "leave", 1);
        Assert.Equal(continues ? 1 : 0, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.Equal(1, await Count("select count(*) from dt_activity"));
        _go.SetResult();
        await Until(async () => await Count("select count(*) from dt_activity") == 0, "the end of the activity");
        Assert.Equal(Warm + 1, _runs.Count);
        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
    }

    private Exception Away() => Database.IsPostgres ? new Npgsql.NpgsqlException("the server is away") : new Microsoft.Data.Sqlite.SqliteException("busy", 5);

    /// <summary>An orchestrator of so many steps, of which the one after the first few does <paramref name="special"/>.</summary>
    private void AddSteps(DurableTaskBuilder builder, Func<TaskActivityContext, int, Task> special)
    {
        // Quick is relative to it, and a loaded machine must not make the first steps slow. A heartbeat asks for a row at once.
        builder.Configure(o => o.LocalActivityTime = TimeSpan.FromHours(1));
        builder.AddOrchestratorFunc<int, int>("steps", async (context, steps) =>
        {
            for (var i = 0; i < steps; i++) await context.CallActivityAsync("step", i);
            return steps;
        });
        builder.AddActivityFunc<int, int>("step", async (context, step) =>
        {
            _runs.Enqueue((step, context.DeliveryCount));
            if (step == Warm) await special(context, step);
            return step;
        });
    }
}
