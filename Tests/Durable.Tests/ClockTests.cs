using System.Diagnostics;
using Librarian.Durable.Testing;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Durable;

public sealed class ClockOnPostgres(PostgresServer server) : ClockTests(new PostgresDatabase(server));

public sealed class ClockOnSqlite() : ClockTests(new SqliteDatabase())
{
    [Fact]
    public async Task ClockIsSetBackWhileWorkflowsWait_TheyWaitAsLongAsTheyWereToldTo()
    {
        var clock = new SettableClock(new DateTimeOffset(2027, 3, 1, 0, 0, 0, TimeSpan.Zero));
        var stop = TestContext.Current.CancellationToken;
        await using var host = await DurableTestHost.StartAsync(clock, clock.Advance, static durable =>
            durable.AddOrchestratorFunc<object?, int>("twice", static async (context, _) =>
            {
                await context.CreateTimer(TimeSpan.FromMinutes(10), CancellationToken.None);
                await context.CreateTimer(TimeSpan.FromMinutes(10), CancellationToken.None);
                return 1;
            })
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("twice", cancellation: stop);
        await host.RunUntilIdleAsync(stop);

        var set = clock.GetUtcNow().AddYears(-1);
        clock.Set(set);
        var waiting = Stopwatch.StartNew();
        while (await host.Client.GetInstanceAsync(id, getInputsAndOutputs: false, stop) is { IsCompleted: false })
        {
            Assert.True(waiting.Elapsed < Limit, "It does not end, however long it waits.");
            await host.RunUntilAsync(clock.GetUtcNow().AddSeconds(10), stop);
        }

        Assert.InRange(clock.GetUtcNow(), set.AddMinutes(20), set.AddMonths(6));
    }

    /// <summary>A clock that can be set while time passes as before.</summary>
    private sealed class SettableClock(DateTimeOffset start) : FakeTimeProvider(start)
    {
        private long _offset;

        public void Set(DateTimeOffset now) => Interlocked.Exchange(ref _offset, (now - base.GetUtcNow()).Ticks);

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + new TimeSpan(Interlocked.Read(ref _offset));

        public override long GetTimestamp() => base.GetUtcNow().Ticks;
    }
}

/// <summary>The database's clock is a year behind what stands in the tables.</summary>
public abstract class ClockTests(TestDatabase database) : EngineTests(database)
{
    private const long Year = 365L * 86_400_000;

    [Fact]
    public async Task Start_RecordsOfALaterTime_TimersAndMessagesAreNotWaitedForThatLong()
    {
        void Configure(IDurableTaskWorkerBuilder builder) =>
            builder
                .AddOrchestratorFunc<int, string>("sleeps", async (c, ms) =>
                {
                    await c.CreateTimer(TimeSpan.FromMilliseconds(ms), CancellationToken.None);
                    // Its own time is still a year ahead.
                    await c.CreateTimer(TimeSpan.FromMilliseconds(ms), CancellationToken.None);
                    return "slept";
                })
                .AddOrchestratorFunc<int, string?>("waits", (c, _) => c.WaitForExternalEvent<string?>("go"))
                .AddOrchestratorFunc<int, string>("activity", (c, _) => c.CallActivityAsync<string>("act"))
                .AddActivityFunc<int, string>("act", (_, _) => Task.FromResult("acted"));
        var first = await StartAsync(Configure);
        var sleeps = await first.Client.ScheduleNewOrchestrationInstanceAsync("sleeps", 2_000);
        var waits = await first.Client.ScheduleNewOrchestrationInstanceAsync("waits", 0);
        await Until(async () => await Count("select count(*) from dt_inbox where kind = 7") == 1, "the timer's row");
        await first.StopAsync();
        await first.Client.RaiseEventAsync(waits, "go", "gone");
        var activity = await first.Client.ScheduleNewOrchestrationInstanceAsync("activity", 0);
        var later = await first.Client.ScheduleNewOrchestrationInstanceAsync(
            "waits",
            0,
            new StartOrchestrationOptions(StartAt: DateTimeOffset.UtcNow.AddDays(1))
        );
        var startsAt = await Count($"select visible_at from dt_inbox where instance_id = '{later}'");
        await Execute(
            $"update dt_inbox set visible_at = visible_at + {Year} where visible_at < 9000000000000000 and instance_id <> '{later}'"
        );
        await Execute(
            $"update dt_instance set created_at = created_at + {Year}, "
                + $"not_before = case when not_before > 0 then not_before + {Year} else 0 end where instance_id <> '{later}'"
        );
        await Execute(
            $"update dt_history set at = at + {Year}, "
                + $"data = case when kind = 6 then cast(cast(data as bigint) + {Year} as text) else data end"
        );

        var second = await StartAsync(Configure);

        Assert.Equal("gone", (await EndOf(second, waits)).ReadOutputAs<string>());
        Assert.Equal("slept", (await EndOf(second, sleeps)).ReadOutputAs<string>());
        Assert.Equal("acted", (await EndOf(second, activity)).ReadOutputAs<string>());
        // What was to begin tomorrow still does.
        Assert.Equal(startsAt, await Count($"select visible_at from dt_inbox where instance_id = '{later}'"));
    }
}
