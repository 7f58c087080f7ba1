using System.Collections.Concurrent;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class ActivityResultsOnPostgres(PostgresServer server) : ActivityResultTests(new PostgresDatabase(server));

[Quick]
public sealed class ActivityResultsOnSqlite() : ActivityResultTests(new SqliteDatabase());

/// <summary>
/// Results of activities at moments at which something else happens to their instance, too. Some quick steps come first, so that the
/// instance is in the memory of its worker.
/// </summary>
public abstract class ActivityResultTests(TestDatabase database) : EngineTests(database)
{
    private const int Warm = 5;
    private readonly ConcurrentQueue<(int Step, int Delivery)> _runs = new();
    private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);

    [Fact]
    public async Task Step_WhenTheWorkerStops_RunsOnTheNext()
    {
        var first = await StartAsync(b => AddSteps(b, HangAsync));
        var id = await first.Client.ScheduleNewOrchestrationInstanceAsync("steps", Warm + 2);
        await _reached.Task.WaitAsync(Limit, TestContext.Current.CancellationToken);
        await first.StopAsync();
        var second = await StartAsync(b => AddSteps(b, (_, _) => Task.CompletedTask));
        Assert.Equal(Warm + 2, (await EndOf(second, id)).ReadOutputAs<int>());
        // Given back by a worker that stops: no failed delivery.
        Assert.Equal([1, 1], _runs.Where(run => run.Step == Warm).Select(run => run.Delivery).Order());
        await AssertInvariantsAsync(second);
    }

    [Fact]
    public async Task Step_WhoseResultMeetsADatabaseThatIsAway_IsNotRepeated()
    {
        var faults = 0;
        var host = await StartAsync(
            b => AddSteps(b, (_, _) =>
                {
                    Volatile.Write(ref faults, 1);
                    return Task.CompletedTask;
                }),
            host =>
                host.Worker.Database.Triggers.Hit = (point, _) =>
                {
                    if (point == "turn.before-commit" && Interlocked.Exchange(ref faults, 0) == 1)
                        throw Away();
                    return Task.CompletedTask;
                }
        );
        Assert.Equal(Warm + 2, await RunAsync<int>(host, "steps", Warm + 2));
        Assert.Equal(Warm + 2, _runs.Count);
        await AssertInvariantsAsync(host);
    }

    [Fact]
    public async Task Step_WhoseInstanceIsSuspended_ResultWaitsInTheInbox()
    {
        var host = await StartAsync(b => AddSteps(b, async (_, _) =>
            {
                _reached.TrySetResult();
                await _go.Task;
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("steps", Warm + 2);
        await _reached.Task.WaitAsync(Limit, TestContext.Current.CancellationToken);
        await host.Client.SuspendInstanceAsync(id);
        await Until(
            async () => (await host.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Suspended,
            "suspended"
        );
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
        var host = await StartAsync(b => AddSteps(b, HangAsync));
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
    public async Task Step_ThatItsOrchestratorDoesNotWaitFor_OutlivesTheExecution(bool continues)
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
                if (generation > 0)
                    return generation;
                for (var i = 0; i < Warm; i++)
                    await c.CallActivityAsync("step", i);
                _ = c.CallActivityAsync("step", Warm);
                await c.WaitForExternalEvent<int>("leave");
                if (continues)
                    c.ContinueAsNew(1);
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

    [Fact]
    public async Task Result_ThatComesWhileItsInstanceIsRebuilt_IsNotLost()
    {
        var faults = 0;
        var loads = 0;
        var host = await StartAsync(
            b =>
            {
                AddSteps(b, (_, _) =>
                {
                    _reached.TrySetResult();
                    return _go.Task;
                });
                b.AddOrchestratorFunc<int, int>("both", async (c, _) =>
                {
                    for (var i = 0; i < Warm; i++)
                        await c.CallActivityAsync("step", i);
                    await Task.WhenAll(c.CallActivityAsync("step", Warm), c.WaitForExternalEvent<int>("go"));
                    return 1;
                });
            },
            host =>
                host.Worker.Database.Triggers.Hit = async (point, _) =>
                {
                    if (point == "turn.before-commit" && Interlocked.CompareExchange(ref faults, 2, 1) == 1)
                    {
                        Volatile.Write(ref loads, 1);
                        throw Away();
                    }

                    if (point == "turn.before-load" && Interlocked.CompareExchange(ref loads, 2, 1) == 1)
                    {
                        _go.SetResult();
                        await DeliveredAsync(host);
                    }
                }
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("both", 0);
        await _reached.Task.WaitAsync(Limit, TestContext.Current.CancellationToken);
        Volatile.Write(ref faults, 1);
        await host.Client.RaiseEventAsync(id, "go", 1);
        Assert.Equal(1, (await EndOf(host, id)).ReadOutputAs<int>());
        Assert.Equal(2, loads);
        Assert.Equal(Warm + 1, _runs.Count);
        await AssertInvariantsAsync(host);
    }

    [Fact]
    public async Task Result_ThatComesWhileItsExecutionContinuesAsNew_DoesNotDisturbTheNext()
    {
        var turns = 0;
        var host = await StartAsync(
            b =>
            {
                b.AddActivityFunc<int, int>("fast", (_, x) => Task.FromResult(x));
                b.AddActivityFunc<int, int>("gated", async (_, x) =>
                {
                    await _go.Task;
                    return x;
                });
                b.AddOrchestratorFunc<int, int>("generations", async (c, generation) =>
                {
                    var gated = generation == 0 ? c.CallActivityAsync<int>("gated", 0) : null;
                    await c.CallActivityAsync<int>("fast", 1);
                    if (gated is not null)
                        c.ContinueAsNew(1);
                    return generation;
                });
            },
            host =>
                host.Worker.Database.Triggers.Hit = async (point, _) =>
                {
                    if (point != "turn.before-commit" || Interlocked.Increment(ref turns) != 2)
                        return;
                    _go.SetResult();
                    await DeliveredAsync(host);
                }
        );
        Assert.Equal(1, await RunAsync<int>(host, "generations", 0));
        Assert.Equal(1, await Count("select max(claim - created_at) from dt_instance"));
        await Until(async () => await Count("select count(*) from dt_activity") == 0, "the end of the activity");
        await AssertInvariantsAsync(host);
    }

    /// <summary>Waits until every result is in the mailbox of its instance.</summary>
    private static Task DeliveredAsync(EngineHost host) =>
        Until(() => Task.FromResult(host.Worker.Telemetry.Worker?.Activities.RunningCount == 0), "the activity's end");

    private Exception Away() =>
        Database.IsPostgres ? new Npgsql.NpgsqlException("the server is away") : new Microsoft.Data.Sqlite.SqliteException("busy", 5);

    private async Task HangAsync(TaskActivityContext context, int step)
    {
        _reached.TrySetResult();
        await Task.Delay(Timeout.Infinite, context.CancellationToken);
    }

    /// <summary>An orchestrator of so many steps, of which the one after the first few does <paramref name="special"/>.</summary>
    private void AddSteps(IDurableTaskWorkerBuilder builder, Func<TaskActivityContext, int, Task> special)
    {
        builder.AddOrchestratorFunc<int, int>("steps", async (context, steps) =>
        {
            for (var i = 0; i < steps; i++)
                await context.CallActivityAsync("step", i);
            return steps;
        });
        builder.AddActivityFunc<int, int>("step", async (context, step) =>
        {
            _runs.Enqueue((step, context.DeliveryCount));
            if (step == Warm)
                await special(context, step);
            return step;
        });
    }
}
