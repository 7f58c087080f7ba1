using System.Collections.Concurrent;
using Librarian.Durable;
using Librarian.Durable.Worker;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class LocalActivityFaultsOnPostgres(PostgresServer server) : LocalActivityFaultTests(new PostgresDatabase(server));

public sealed class LocalActivityFaultsOnSqlite() : LocalActivityFaultTests(new SqliteDatabase());

/// <summary>Activities without a row (see <see cref="Librarian.Durable.Stores.Standby"/>) in moments at which something else happens to their instance, too.</summary>
public abstract class LocalActivityFaultTests(TestDatabase database) : EngineTests(database)
{
    private const int Warm = 5;
    private readonly ConcurrentQueue<int> _runs = new();
    private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);

    [Fact]
    public async Task StandbyMessage_BehindManyOthers_IsNotTakenAwayByTheNextLocalActivity()
    {
        void Configure(DurableTaskBuilder builder, Func<TaskActivityContext, Task> special)
        {
            AddStep(builder, special, TimeSpan.FromHours(1));
            builder.AddOrchestratorFunc<int, int>("many", async (c, _) =>
            {
                for (var i = 0; i < Warm; i++) await c.CallActivityAsync("step", i);
                var lost = c.CallActivityAsync("step", Warm);
                await c.WaitForExternalEvent<int>("go");
                for (var i = 1; i < 4; i++) await c.CallActivityAsync("step", Warm + i);
                await c.CreateTimer(c.CurrentUtcDateTime.AddMilliseconds(1), CancellationToken.None);
                await lost;
                return 1;
            });
        }

        var first = await StartAsync(b => Configure(b, async context =>
        {
            _reached.TrySetResult();
            await Task.Delay(Timeout.Infinite, context.CancellationToken);
        }));
        var id = await first.Client.ScheduleNewOrchestrationInstanceAsync("many", 0);
        await _reached.Task.WaitAsync(Limit, TestContext.Current.CancellationToken);
        await first.StopAsync();
        Assert.Equal(1, await Count("select count(*) from dt_inbox"));
        // Sent before the worker let go, and more than some turns take.
        await Execute($"""
            with recursive n(x) as (select 1 union all select x + 1 from n where x < 20000)
            insert into dt_inbox(instance_id, visible_at, kind, name, data)
            select '{id}', 1, (select {(int)Librarian.Durable.Engine.EventKind.EventRaised}), case when x = 1 then 'go' else 'other' end, '1' from n
            """);
        var second = await StartAsync(b => Configure(b, _ => Task.CompletedTask));
        Assert.Equal(1, (await EndOf(second, id)).ReadOutputAs<int>());
        Assert.Equal(2, _runs.Count(step => step == Warm));
        await AssertInvariantsAsync(second);
    }

    [Fact]
    public async Task Result_ThatComesWhileItsInstanceIsRebuilt_IsNotLost()
    {
        var faults = 0;
        var loads = 0;
        var host = await StartAsync(b =>
        {
            AddStep(b, _ =>
            {
                _reached.TrySetResult();
                return _go.Task;
            }, TimeSpan.FromHours(1));
            b.AddOrchestratorFunc<int, int>("both", async (c, _) =>
            {
                for (var i = 0; i < Warm; i++) await c.CallActivityAsync("step", i);
                await Task.WhenAll(c.CallActivityAsync("step", Warm), c.WaitForExternalEvent<int>("go"));
                return 1;
            });
        }, host => host.Worker.Triggers.Hit = async (point, _) =>
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
        });
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
    public async Task Result_OfAnActivityWhoseRowWasCommittedWithoutAnAnswer_IsRecordedThere()
    {
        var faults = 1;
        var host = await StartAsync(b =>
        {
            // Quick is a fifth of it, also on a loaded machine.
            AddStep(b, _ => _go.Task, TimeSpan.FromSeconds(3));
            b.AddOrchestratorFunc<int, int>("steps", async (c, _) =>
            {
                for (var i = 0; i <= Warm; i++) await c.CallActivityAsync("step", i);
                return 1;
            });
        }, host => host.Worker.Triggers.Hit = (point, _) =>
            point == "place.after-commit" && Interlocked.Exchange(ref faults, 0) == 1 ? throw Away() : Task.CompletedTask);
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("steps", 0);
        await Until(async () => await Count("select count(*) from dt_instance where owner is null and status = 0") == 1 && Volatile.Read(ref faults) == 0, "the instance was given up");
        Assert.Equal((1, 0), (await Count("select count(*) from dt_activity"), await Count("select count(*) from dt_inbox")));
        _go.SetResult();
        await Until(async () => await Count("select count(*) from dt_instance where status = 1") == 1, "the end", TimeSpan.FromSeconds(20));
        Assert.Equal(Warm + 1, _runs.Count);
        await AssertInvariantsAsync(host);
    }

    [Fact]
    public async Task Step_ThatHasNoRowForLongerThanASweep_IsNotTakenForLost()
    {
        var cancelled = 0;
        using var swept = new SemaphoreSlim(0);
        var host = await StartAsync(b =>
        {
            b.Configure(o => o.SweepInterval = TimeSpan.FromMilliseconds(200));
            b.Configure(o => o.HeartbeatInterval = TimeSpan.FromMilliseconds(100));
            AddStep(b, async context =>
            {
                try
                {
                    // Those before do not count, and one that is under way may have asked for the rows already.
                    while (await swept.WaitAsync(0, context.CancellationToken))
                    {
                        // Taken.
                    }

                    for (var sweep = 0; sweep < 4; sweep++) await swept.WaitAsync(context.CancellationToken);
                }
                catch (OperationCanceledException)
                {
                    Interlocked.Increment(ref cancelled);
                    throw;
                }
            }, TimeSpan.FromHours(1));
            b.AddOrchestratorFunc<int, int>("steps", async (c, _) =>
            {
                for (var i = 0; i <= Warm; i++) await c.CallActivityAsync("step", i);
                return 1;
            });
        }, host => host.Worker.Triggers.Hit = (point, _) =>
        {
            if (point == "sweep.after-reconcile") swept.Release();
            return Task.CompletedTask;
        });
        await host.Client.ScheduleNewOrchestrationInstanceAsync("steps", 0);
        await Until(async () => await Count("select count(*) from dt_instance where status = 1") == 1, "the end", TimeSpan.FromSeconds(20));
        Assert.Equal(0, cancelled);
        Assert.Equal(Warm + 1, _runs.Count);
        await AssertInvariantsAsync(host);
    }

    [Fact]
    public async Task Result_ThatComesWhileItsExecutionContinuesAsNew_DoesNotDisturbTheNext()
    {
        var turns = 0;
        var host = await StartAsync(b =>
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
                if (gated is not null) c.ContinueAsNew(1);
                return generation;
            });
        }, host => host.Worker.Triggers.Hit = async (point, _) =>
        {
            if (point != "turn.before-commit" || Interlocked.Increment(ref turns) != 2) return;
            _go.SetResult();
            await DeliveredAsync(host);
        });
        Assert.Equal(1, await RunAsync<int>(host, "generations", 0));
        Assert.Equal(1, await Count("select max(claim - created_at) from dt_instance"));
        await Until(async () => await Count("select count(*) from dt_activity") == 0, "the end of the activity");
        await AssertInvariantsAsync(host);
    }

    /// <summary>Waits until every result is in the mailbox of its instance.</summary>
    private static Task DeliveredAsync(EngineHost host) => Until(() => Task.FromResult(host.Worker.Telemetry.Worker?.Activities.RunningCount == 0), "the activity's end");

    private Exception Away() => Database.IsPostgres ? new Npgsql.NpgsqlException("the server is away") : new Microsoft.Data.Sqlite.SqliteException("busy", 5);

    private void AddStep(DurableTaskBuilder builder, Func<TaskActivityContext, Task> special, TimeSpan localTime)
    {
        builder.Configure(o => o.LocalActivityTime = localTime);
        builder.AddActivityFunc<int, int>("step", async (context, step) =>
        {
            _runs.Enqueue(step);
            if (step == Warm) await special(context);
            return step;
        });
    }
}

public sealed class MailboxSignalTests
{
    [Fact]
    public async Task Signal_SetBeforeTheWait_GoesOnWhileTheActivityBlocksItsThread()
    {
        var signal = new MailboxSignal();
        using var blocks = new ManualResetEventSlim();
        var wentOn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var loop = Task.Run(async () =>
        {
            signal.Set();
            await signal.WaitAsync(blocks.Wait);
            wentOn.SetResult();
        }, TestContext.Current.CancellationToken);
        try
        {
            await wentOn.Task.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        }
        finally
        {
            blocks.Set();
        }

        await loop;
    }
}
