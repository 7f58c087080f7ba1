using Librarian.Functions.Hosting;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Functions.Hosting;

[Quick]
public sealed class TimerLoopTests
{
    private static readonly DateTimeOffset FirstDue = new(2026, 3, 1, 12, 5, 0, TimeSpan.Zero);

    [Fact]
    public async Task Loop_FirstStart_RecordsTheNextRunAndWaits()
    {
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes)).StartAsync();

        var row = await fixture.WhenAsync(r => r.Next == FirstDue);
        await fixture.SettleAsync();

        Assert.Equal("0 */5 * * * *", row.Schedule);
        Assert.Null(row.Last);
        Assert.True(fixture.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_ClockReachesTheOccurrence_RunsWithoutBeingWoken()
    {
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes)).StartAsync();
        await fixture.WhenAsync(r => r.Next == FirstDue);

        var next = fixture.Probe.NextAsync();
        await fixture.AdvanceUntilAsync(() => next.IsCompleted, TimeSpan.FromSeconds(10));

        Assert.False((await next).Timer.IsPastDue);
    }

    [Fact]
    public async Task Loop_Due_RunsOnceAndRecords()
    {
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes)).StartAsync();
        await fixture.WhenAsync(r => r.Next == FirstDue);

        fixture.Advance(FirstDue - TimerFixture.Start);
        var run = await fixture.Probe.NextAsync();
        Assert.False(run.Timer.IsPastDue);
        Assert.Equal(FirstDue.UtcDateTime, run.Timer.ScheduleStatus!.Next);
        Assert.Equal(default, run.Timer.ScheduleStatus.Last);
        var during = fixture.Store[TimerFixture.Name]!;
        Assert.NotNull(during.LeaseOwner);
        Assert.Equal(FirstDue + TimeSpan.FromMinutes(1), during.LeaseExpires);

        run.Finish.SetResult();
        var row = await fixture.WhenAsync(r => r.Last == FirstDue);
        Assert.Equal(FirstDue + TimeSpan.FromMinutes(5), row.Next);
        Assert.Null(row.LeaseOwner);
        await fixture.SettleAsync();
        Assert.True(fixture.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_MissedOccurrences_CollapseIntoOnePastDueRun()
    {
        var store = new InMemoryTimerStatusStore { [TimerFixture.Name] = Row(TimerFixture.Start - TimeSpan.FromHours(3)) };
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes), store: store).StartAsync();

        var run = await fixture.Probe.NextAsync();
        Assert.True(run.Timer.IsPastDue);
        run.Finish.SetResult();
        await fixture.WhenAsync(r => r.Last == TimerFixture.Start && r.Next == FirstDue);
        await fixture.SettleAsync();
        Assert.True(fixture.Probe.IsIdle);

        fixture.Advance(FirstDue - TimerFixture.Start);
        Assert.False((await fixture.Probe.NextAsync()).Timer.IsPastDue);
    }

    [Fact]
    public async Task Loop_RunOnStartup_RunsOnceThoughNotDue()
    {
        await using var fixture = await new TimerFixture(typeof(AtStartup)).StartAsync();

        var run = await fixture.Probe.NextAsync();
        Assert.False(run.Timer.IsPastDue);
        run.Finish.SetResult();
        await fixture.WhenAsync(r => r.Last == TimerFixture.Start && r.Next == FirstDue);
        await fixture.SettleAsync();

        Assert.True(fixture.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_ChangedSchedule_StartsAfreshWithoutCatchingUp()
    {
        var store = new InMemoryTimerStatusStore { [TimerFixture.Name] = Row(TimerFixture.Start - TimeSpan.FromHours(3), "0 0 * * * *") };
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes), store: store).StartAsync();

        await fixture.WhenAsync(r => r.Next == FirstDue && r.Schedule == "0 */5 * * * *");
        await fixture.SettleAsync();

        Assert.True(fixture.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_RunLongerThanTheInterval_IsFollowedByOneRunAndNeverOverlapped()
    {
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes)).StartAsync();
        await fixture.WhenAsync(r => r.Next == FirstDue);
        fixture.Advance(FirstDue - TimerFixture.Start);
        var first = await fixture.Probe.NextAsync();

        fixture.Advance(TimeSpan.FromMinutes(17));
        Assert.True(fixture.Probe.IsIdle);
        first.Finish.SetResult();

        var second = await fixture.Probe.NextAsync();
        Assert.False(second.Timer.IsPastDue);
        second.Finish.SetResult();
        var row = await fixture.WhenAsync(r => r.Last == FirstDue + TimeSpan.FromMinutes(17));
        Assert.Equal(FirstDue + TimeSpan.FromMinutes(20), row.Next);
        await fixture.SettleAsync();
        Assert.True(fixture.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_FailedRun_IsLoggedAndTheScheduleGoesOn()
    {
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes)).StartAsync();
        await fixture.WhenAsync(r => r.Next == FirstDue);
        fixture.Advance(FirstDue - TimerFixture.Start);

        (await fixture.Probe.NextAsync()).Finish.SetException(new InvalidOperationException("the shelf is on fire"));
        var row = await fixture.WhenAsync(r => r.Last == FirstDue);

        Assert.Equal(FirstDue + TimeSpan.FromMinutes(5), row.Next);
        var line = Assert.Single(fixture.Log.Lines, l => l.Level == LogLevel.Error);
        Assert.Equal(1003, line.Id);
        Assert.Contains("Probe", line.Text, StringComparison.Ordinal);
        Assert.Contains("the shelf is on fire", line.Text, StringComparison.Ordinal);
        fixture.Advance(TimeSpan.FromMinutes(5));
        await fixture.Probe.NextAsync();
    }

    [Fact]
    public async Task Loop_LeaseOfAKilledProcess_BlocksOnlyUntilItExpires()
    {
        var killed = Row(TimerFixture.Start - TimeSpan.FromSeconds(10)) with
        {
            LeaseOwner = "killed",
            LeaseExpires = TimerFixture.Start + TimeSpan.FromMinutes(1),
        };
        var store = new InMemoryTimerStatusStore { [TimerFixture.Name] = killed };
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes), store: store).StartAsync();

        fixture.Advance(TimeSpan.FromSeconds(59));
        await fixture.SettleAsync();
        Assert.True(fixture.Probe.IsIdle);

        fixture.Advance(TimeSpan.FromSeconds(1));
        Assert.True((await fixture.Probe.NextAsync()).Timer.IsPastDue);
        Assert.NotEqual("killed", store[TimerFixture.Name]!.LeaseOwner);
    }

    [Fact]
    public async Task Loop_LeaseOfAKilledProcessInAStoreOfItsOwn_IsNotWaitedFor()
    {
        var killed = Row(TimerFixture.Start - TimeSpan.FromSeconds(10)) with
        {
            LeaseOwner = "killed",
            LeaseExpires = TimerFixture.Start + TimeSpan.FromMinutes(1),
        };
        var store = new InMemoryTimerStatusStore { IsOfThisProcessAlone = true, [TimerFixture.Name] = killed };
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes), store: store).StartAsync();

        Assert.True((await fixture.Probe.NextAsync()).Timer.IsPastDue);
        Assert.NotEqual("killed", store[TimerFixture.Name]!.LeaseOwner);
    }

    [Fact]
    public async Task Loop_LeaseOfAProcessKilledOnThisMachine_IsNotWaitedFor()
    {
        using var process = System.Diagnostics.Process.Start("sleep", "600");
        var name = $"{ProcessIdentity.Of(process.Id)}|loop";
        var held = Row(TimerFixture.Start - TimeSpan.FromSeconds(10)) with
        {
            LeaseOwner = name,
            LeaseExpires = TimerFixture.Start + TimeSpan.FromMinutes(1),
        };
        var store = new InMemoryTimerStatusStore { [TimerFixture.Name] = held };
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes), store: store).StartAsync();
        fixture.Advance(TimeSpan.FromSeconds(30));
        await fixture.SettleAsync();
        Assert.True(fixture.Probe.IsIdle);

        process.Kill();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        fixture.Advance(TimeSpan.FromSeconds(1));
        Assert.True((await fixture.Probe.NextAsync()).Timer.IsPastDue);
        Assert.NotEqual(name, store[TimerFixture.Name]!.LeaseOwner);
    }

    [Fact]
    public void ProcessIdentity_OnlyAProcessThatHasCertainlyEnded_CountsAsEnded()
    {
        var here = ProcessIdentity.Current;
        Assert.True(here.Started > 0);
        Assert.False(ProcessIdentity.HasEnded(here.ToString()));
        Assert.True(ProcessIdentity.HasEnded((here with { Started = here.Started - 1 }).ToString()));
        Assert.True(ProcessIdentity.HasEnded((here with { ProcessId = int.MaxValue }).ToString()));
        foreach (
            var unknown in new[]
            {
                here with
                {
                    Started = here.Started - 1,
                    Boot = "another",
                },
                here with
                {
                    Started = here.Started - 1,
                    Namespace = "pid:[1]",
                },
                here with
                {
                    Started = here.Started - 1,
                    User = "another",
                },
                here with
                {
                    Started = 0,
                },
                here with
                {
                    ProcessId = -1,
                },
            }
        )
        {
            Assert.False(ProcessIdentity.HasEnded(unknown.ToString()), unknown.ToString());
        }

        // A look that fails says nothing: here a directory where the file should be.
        var folder = Directory.CreateTempSubdirectory("librarian-proc-");
        Directory.CreateDirectory(Path.Combine(folder.FullName, "7", "stat"));
        Assert.False(ProcessIdentity.HasEnded((here with { ProcessId = 7 }).ToString(), folder.FullName));
        Assert.True(ProcessIdentity.HasEnded((here with { ProcessId = 8 }).ToString(), folder.FullName));
        folder.Delete(recursive: true);

        Assert.All(["", "killed", "host:1:0123", "a|b|c|d|e|f", "|||||"], name => Assert.False(ProcessIdentity.HasEnded(name), name));
    }

    [Fact]
    public async Task Loop_RunKilledBeforeItsOccurrence_IsTakenOver()
    {
        // A run at start-up comes before the recorded occurrence; its lease alone shows that it was left unfinished.
        var killed = Row(FirstDue) with { LeaseOwner = "killed", LeaseExpires = TimerFixture.Start - TimeSpan.FromSeconds(1) };
        var store = new InMemoryTimerStatusStore { [TimerFixture.Name] = killed };
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes), store: store).StartAsync();

        (await fixture.Probe.NextAsync()).Finish.SetResult();
        await fixture.WhenAsync(r => r.Last == TimerFixture.Start && r.Next == FirstDue && r.LeaseOwner is null);
        await fixture.SettleAsync();

        Assert.True(fixture.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_LeaseOfAProcessThatFinishes_IsNotRepeated()
    {
        var busy = Row(TimerFixture.Start - TimeSpan.FromSeconds(10)) with
        {
            LeaseOwner = "other",
            LeaseExpires = TimerFixture.Start + TimeSpan.FromMinutes(1),
        };
        var store = new InMemoryTimerStatusStore { [TimerFixture.Name] = busy };
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes), store: store).StartAsync();
        await fixture.SettleAsync();

        Assert.True(await store.TrySaveAsync(TimerFixture.Name, Row(FirstDue), busy.Version, CancellationToken.None));
        fixture.Advance(TimeSpan.FromMinutes(2));
        await fixture.SettleAsync();

        Assert.True(fixture.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_TwoProcessesOneStore_RunEachOccurrenceOnce()
    {
        var time = new FakeTimeProvider(TimerFixture.Start);
        var store = new InMemoryTimerStatusStore();
        await using var one = await new TimerFixture(typeof(EveryFiveMinutes), time, store).StartAsync();
        await using var two = await new TimerFixture(typeof(EveryFiveMinutes), time, store).StartAsync();
        await one.WhenAsync(r => r.Next == FirstDue);
        await one.SettleAsync();
        await two.SettleAsync();

        for (var i = 0; i < 20; i++)
        {
            var due = store[TimerFixture.Name]!.Next;
            time.Advance(due - time.GetUtcNow());
            one.Loop.Wake(TimerFixture.Name);
            two.Loop.Wake(TimerFixture.Name);
            var winner = await Task.WhenAny(WhenRunsAsync(one), WhenRunsAsync(two));
            var (runs, other) = await winner == one ? (one, two) : (two, one);
            await other.SettleAsync();
            Assert.True(other.Probe.IsIdle);
            (await runs.Probe.NextAsync()).Finish.SetResult();
            await runs.WhenAsync(r => r.Last == due && r.LeaseOwner is null);
            await one.SettleAsync();
            await two.SettleAsync();
            Assert.True(one.Probe.IsIdle && two.Probe.IsIdle);
        }
    }

    [Fact]
    public async Task Loop_LongRun_RenewsItsLease()
    {
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes)).StartAsync();
        await fixture.WhenAsync(r => r.Next == FirstDue);
        fixture.Advance(FirstDue - TimerFixture.Start);
        var run = await fixture.Probe.NextAsync();
        var taken = fixture.Store[TimerFixture.Name]!;

        var renewed = fixture.WhenAsync(r => r.LeaseExpires > taken.LeaseExpires);
        await fixture.AdvanceUntilAsync(() => renewed.IsCompleted, TimeSpan.FromSeconds(10));

        Assert.Equal(taken.LeaseOwner, (await renewed).LeaseOwner);
        Assert.False(run.Cancellation.IsCancellationRequested);
        run.Finish.SetResult();
        await fixture.WhenAsync(r => r.Last == FirstDue && r.LeaseOwner is null);
    }

    [Fact]
    public async Task Loop_LeaseTakenByAnother_CancelsTheRunAndRecordsNothing()
    {
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes)).StartAsync();
        await fixture.WhenAsync(r => r.Next == FirstDue);
        fixture.Advance(FirstDue - TimerFixture.Start);
        var run = await fixture.Probe.NextAsync();
        var mine = fixture.Store[TimerFixture.Name]!;
        var theirs = mine with { LeaseOwner = "other", LeaseExpires = DateTimeOffset.MaxValue };
        Assert.True(await fixture.Store.TrySaveAsync(TimerFixture.Name, theirs, mine.Version, CancellationToken.None));

        await fixture.AdvanceUntilAsync(() => run.Cancellation.IsCancellationRequested, TimeSpan.FromSeconds(10));

        await fixture.SettleAsync();
        Assert.Equal(theirs with { Version = mine.Version + 1 }, fixture.Store[TimerFixture.Name]);
        Assert.Contains(fixture.Log.Lines, l => l.Id == 1004);
    }

    [Fact]
    public async Task Loop_StoreAway_GoesOnWhenItIsBack()
    {
        var store = new InMemoryTimerStatusStore { Failure = new TimeoutException("no database") };
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes), store: store).StartAsync();
        await fixture.SettleAsync();
        Assert.Contains(fixture.Log.Lines, l => l.Id == 1005 && l.Text.Contains("no database", StringComparison.Ordinal));

        store.Failure = null;
        await fixture.SettleAsync();

        Assert.Equal(FirstDue, store[TimerFixture.Name]!.Next);
    }

    [Fact]
    public async Task Loop_StoreAwayAtTheEndOfARun_RecordsWhenItIsBackWithoutRunningAgain()
    {
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes)).StartAsync();
        await fixture.WhenAsync(r => r.Next == FirstDue);
        fixture.Advance(FirstDue - TimerFixture.Start);
        var run = await fixture.Probe.NextAsync();

        fixture.Store.Failure = new TimeoutException("no database");
        run.Finish.SetResult();
        await fixture.AdvanceUntilAsync(() => fixture.Log.Lines.Any(l => l.Id == 1005), TimeSpan.Zero);
        fixture.Store.Failure = null;
        var recorded = fixture.WhenAsync(r => r.Last == FirstDue && r.LeaseOwner is null);
        await fixture.AdvanceUntilAsync(() => recorded.IsCompleted, TimeSpan.FromSeconds(1));

        await recorded;
        fixture.Advance(TimeSpan.FromMinutes(5));
        Assert.Equal(FirstDue.AddMinutes(5).UtcDateTime, (await fixture.Probe.NextAsync()).Timer.ScheduleStatus!.Next);
    }

    [Fact]
    public async Task Stop_DuringARun_FreesTheLeaseAndKeepsTheOccurrence()
    {
        var fixture = await new TimerFixture(typeof(EveryFiveMinutes)).StartAsync();
        await fixture.WhenAsync(r => r.Next == FirstDue);
        fixture.Advance(FirstDue - TimerFixture.Start);
        var run = await fixture.Probe.NextAsync();

        await fixture.DisposeAsync();

        Assert.True(run.Cancellation.IsCancellationRequested);
        var row = fixture.Store[TimerFixture.Name]!;
        Assert.Null(row.LeaseOwner);
        Assert.Null(row.Last);
        Assert.Equal(FirstDue, row.Next);
    }

    [Fact]
    public async Task Wake_NotDue_RunsNothing()
    {
        await using var fixture = await new TimerFixture(typeof(EveryFiveMinutes)).StartAsync();

        for (var i = 0; i < 10; i++)
            Assert.True(fixture.Loop.Wake("probe"));
        await fixture.SettleAsync();

        Assert.True(fixture.Probe.IsIdle);
        Assert.False(fixture.Loop.Wake("Stranger"));
    }

    [Fact]
    public void Constructor_SettingMissing_NamesFunctionAndSetting()
    {
        var exception = Assert.Throws<FunctionDiscoveryException>(() => new TimerFixture(typeof(FromSetting)));

        Assert.Contains("'Probe'", exception.Message, StringComparison.Ordinal);
        Assert.Contains("'Schedules:Probe'", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Loop_DisabledFunction_IsLeftAlone()
    {
        await using var fixture = await new TimerFixture(
            typeof(FromSetting),
            settings: new KeyValuePair<string, string?>("AzureWebJobs.Probe.Disabled", "true")
        ).StartAsync();

        Assert.False(fixture.Loop.Wake(TimerFixture.Name));
    }

    [Fact]
    public async Task Loop_ScheduleFromSetting_IsUsed()
    {
        await using var fixture = await new TimerFixture(
            typeof(FromSetting),
            settings: new KeyValuePair<string, string?>("Schedules:Probe", "00:00:20")
        ).StartAsync();

        await fixture.WhenAsync(r => r.Schedule == "00:00:20" && r.Next == TimerFixture.Start + TimeSpan.FromSeconds(20));
    }

    private static async Task<TimerFixture> WhenRunsAsync(TimerFixture fixture)
    {
        await fixture.Probe.WhenRunAsync();
        return fixture;
    }

    private static TimerStatus Row(DateTimeOffset next, string schedule = "0 */5 * * * *") =>
        new()
        {
            Schedule = schedule,
            Last = next - TimeSpan.FromMinutes(5),
            Next = next,
            LastUpdated = next - TimeSpan.FromMinutes(5),
            Version = 7,
        };

    public sealed class EveryFiveMinutes(TimerProbe probe)
    {
        [Function(TimerFixture.Name)]
        public Task Run([TimerTrigger("0 */5 * * * *", UseMonitor = false)] TimerInfo timer, CancellationToken cancellationToken) =>
            probe.RunAsync(timer, cancellationToken);
    }

    public sealed class AtStartup(TimerProbe probe)
    {
        [Function(TimerFixture.Name)]
        public Task Run(
            [TimerTrigger("0 */5 * * * *", RunOnStartup = true, UseMonitor = false)] TimerInfo timer,
            CancellationToken cancellationToken
        ) => probe.RunAsync(timer, cancellationToken);
    }

    public sealed class FromSetting(TimerProbe probe)
    {
        [Function(TimerFixture.Name)]
        public Task Run([TimerTrigger("%Schedules__Probe%", UseMonitor = false)] TimerInfo timer, CancellationToken cancellationToken) =>
            probe.RunAsync(timer, cancellationToken);
    }
}
