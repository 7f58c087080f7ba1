using Librarian.Functions.Hosting;
using Librarian.Tests.SampleSite;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Functions.Hosting;

public sealed class TimerLoopTests
{
    private static readonly DateTimeOffset FirstDue = new(2026, 3, 1, 12, 5, 0, TimeSpan.Zero);

    [Fact]
    public async Task Loop_FirstStart_RecordsTheNextRunAndWaits()
    {
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes)).StartAsync();

        var row = await rig.WhenAsync(r => r.Next == FirstDue);
        await rig.SettleAsync();

        Assert.Equal("0 */5 * * * *", row.Schedule);
        Assert.Null(row.Last);
        Assert.True(rig.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_ClockReachesTheOccurrence_RunsWithoutBeingWoken()
    {
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes)).StartAsync();
        await rig.WhenAsync(r => r.Next == FirstDue);

        var next = rig.Probe.NextAsync();
        await rig.AdvanceUntilAsync(() => next.IsCompleted, TimeSpan.FromSeconds(10));

        Assert.False((await next).Timer.IsPastDue);
    }

    [Fact]
    public async Task Loop_Due_RunsOnceAndRecords()
    {
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes)).StartAsync();
        await rig.WhenAsync(r => r.Next == FirstDue);

        rig.Advance(FirstDue - TimerRig.Start);
        var run = await rig.Probe.NextAsync();
        Assert.False(run.Timer.IsPastDue);
        Assert.Equal(FirstDue.UtcDateTime, run.Timer.ScheduleStatus!.Next);
        Assert.Equal(default, run.Timer.ScheduleStatus.Last);
        var during = rig.Store[TimerRig.Name]!;
        Assert.NotNull(during.LeaseOwner);
        Assert.Equal(FirstDue + TimeSpan.FromMinutes(1), during.LeaseExpires);

        run.Finish.SetResult();
        var row = await rig.WhenAsync(r => r.Last == FirstDue);
        Assert.Equal(FirstDue + TimeSpan.FromMinutes(5), row.Next);
        Assert.Null(row.LeaseOwner);
        await rig.SettleAsync();
        Assert.True(rig.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_MissedOccurrences_CollapseIntoOnePastDueRun()
    {
        var store = new InMemoryTimerStatusStore { [TimerRig.Name] = Row(TimerRig.Start - TimeSpan.FromHours(3)) };
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes), store: store).StartAsync();

        var run = await rig.Probe.NextAsync();
        Assert.True(run.Timer.IsPastDue);
        run.Finish.SetResult();
        await rig.WhenAsync(r => r.Last == TimerRig.Start && r.Next == FirstDue);
        await rig.SettleAsync();
        Assert.True(rig.Probe.IsIdle);

        rig.Advance(FirstDue - TimerRig.Start);
        Assert.False((await rig.Probe.NextAsync()).Timer.IsPastDue);
    }

    [Fact]
    public async Task Loop_NoMonitor_DoesNotCatchUp()
    {
        var store = new InMemoryTimerStatusStore { [TimerRig.Name] = Row(TimerRig.Start - TimeSpan.FromHours(3)) };
        await using var rig = await new TimerRig(typeof(WithoutMonitor), store: store).StartAsync();

        await rig.WhenAsync(r => r.Next == FirstDue);
        await rig.SettleAsync();

        Assert.True(rig.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_RunOnStartup_RunsOnceThoughNotDue()
    {
        await using var rig = await new TimerRig(typeof(AtStartup)).StartAsync();

        var run = await rig.Probe.NextAsync();
        Assert.False(run.Timer.IsPastDue);
        run.Finish.SetResult();
        await rig.WhenAsync(r => r.Last == TimerRig.Start && r.Next == FirstDue);
        await rig.SettleAsync();

        Assert.True(rig.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_ChangedSchedule_StartsAfreshWithoutCatchingUp()
    {
        var store = new InMemoryTimerStatusStore { [TimerRig.Name] = Row(TimerRig.Start - TimeSpan.FromHours(3), "0 0 * * * *") };
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes), store: store).StartAsync();

        await rig.WhenAsync(r => r.Next == FirstDue && r.Schedule == "0 */5 * * * *");
        await rig.SettleAsync();

        Assert.True(rig.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_RunLongerThanTheInterval_IsFollowedByOneRunAndNeverOverlapped()
    {
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes)).StartAsync();
        await rig.WhenAsync(r => r.Next == FirstDue);
        rig.Advance(FirstDue - TimerRig.Start);
        var first = await rig.Probe.NextAsync();

        rig.Advance(TimeSpan.FromMinutes(17));
        Assert.True(rig.Probe.IsIdle);
        first.Finish.SetResult();

        var second = await rig.Probe.NextAsync();
        Assert.False(second.Timer.IsPastDue);
        second.Finish.SetResult();
        var row = await rig.WhenAsync(r => r.Last == FirstDue + TimeSpan.FromMinutes(17));
        Assert.Equal(FirstDue + TimeSpan.FromMinutes(20), row.Next);
        await rig.SettleAsync();
        Assert.True(rig.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_FailedRun_IsLoggedAndTheScheduleGoesOn()
    {
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes)).StartAsync();
        await rig.WhenAsync(r => r.Next == FirstDue);
        rig.Advance(FirstDue - TimerRig.Start);

        (await rig.Probe.NextAsync()).Finish.SetException(new InvalidOperationException("the shelf is on fire"));
        var row = await rig.WhenAsync(r => r.Last == FirstDue);

        Assert.Equal(FirstDue + TimeSpan.FromMinutes(5), row.Next);
        var line = Assert.Single(rig.Log.Lines, l => l.Level == LogLevel.Error);
        Assert.Equal(1003, line.Id);
        Assert.Contains("Probe", line.Text, StringComparison.Ordinal);
        Assert.Contains("the shelf is on fire", line.Text, StringComparison.Ordinal);
        rig.Advance(TimeSpan.FromMinutes(5));
        await rig.Probe.NextAsync();
    }

    [Fact]
    public async Task Loop_LeaseOfAKilledProcess_BlocksOnlyUntilItExpires()
    {
        var killed = Row(TimerRig.Start - TimeSpan.FromSeconds(10)) with { LeaseOwner = "killed", LeaseExpires = TimerRig.Start + TimeSpan.FromMinutes(1) };
        var store = new InMemoryTimerStatusStore { [TimerRig.Name] = killed };
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes), store: store).StartAsync();

        rig.Advance(TimeSpan.FromSeconds(59));
        await rig.SettleAsync();
        Assert.True(rig.Probe.IsIdle);

        rig.Advance(TimeSpan.FromSeconds(1));
        Assert.True((await rig.Probe.NextAsync()).Timer.IsPastDue);
        Assert.NotEqual("killed", store[TimerRig.Name]!.LeaseOwner);
    }

    [Fact]
    public async Task Loop_LeaseOfAKilledProcessInAStoreOfItsOwn_IsNotWaitedFor()
    {
        var killed = Row(TimerRig.Start - TimeSpan.FromSeconds(10)) with { LeaseOwner = "killed", LeaseExpires = TimerRig.Start + TimeSpan.FromMinutes(1) };
        var store = new InMemoryTimerStatusStore { IsOfThisProcessAlone = true, [TimerRig.Name] = killed };
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes), store: store).StartAsync();

        Assert.True((await rig.Probe.NextAsync()).Timer.IsPastDue);
        Assert.NotEqual("killed", store[TimerRig.Name]!.LeaseOwner);
    }

    [Fact]
    public async Task Loop_LeaseOfAProcessKilledOnThisMachine_IsNotWaitedFor()
    {
        using var process = System.Diagnostics.Process.Start("sleep", "600");
        var name = $"{ProcessIdentity.Of(process.Id)}|loop";
        var held = Row(TimerRig.Start - TimeSpan.FromSeconds(10)) with { LeaseOwner = name, LeaseExpires = TimerRig.Start + TimeSpan.FromHours(1) };
        var store = new InMemoryTimerStatusStore { [TimerRig.Name] = held };
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes), store: store).StartAsync();
        rig.Advance(TimeSpan.FromMinutes(5));
        await rig.SettleAsync();
        Assert.True(rig.Probe.IsIdle);

        process.Kill();
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        rig.Advance(TimeSpan.FromMinutes(1));
        Assert.True((await rig.Probe.NextAsync()).Timer.IsPastDue);
        Assert.NotEqual(name, store[TimerRig.Name]!.LeaseOwner);
    }

    [Fact]
    public void ProcessIdentity_OnlyAProcessThatHasCertainlyEnded_CountsAsEnded()
    {
        var here = ProcessIdentity.Current;
        Assert.True(here.Started > 0);
        Assert.False(ProcessIdentity.HasEnded(here.ToString()));
        Assert.True(ProcessIdentity.HasEnded((here with { Started = here.Started - 1 }).ToString()));
        Assert.True(ProcessIdentity.HasEnded((here with { ProcessId = int.MaxValue }).ToString()));
        foreach (var unknown in new[]
        {
            here with { Started = here.Started - 1, Boot = "another" }, here with { Started = here.Started - 1, Namespace = "pid:[1]" },
            here with { Started = here.Started - 1, User = "another" }, here with { Started = 0 }, here with { ProcessId = -1 },
        })
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
        var killed = Row(FirstDue) with { LeaseOwner = "killed", LeaseExpires = TimerRig.Start - TimeSpan.FromSeconds(1) };
        var store = new InMemoryTimerStatusStore { [TimerRig.Name] = killed };
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes), store: store).StartAsync();

        (await rig.Probe.NextAsync()).Finish.SetResult();
        await rig.WhenAsync(r => r.Last == TimerRig.Start && r.Next == FirstDue && r.LeaseOwner is null);
        await rig.SettleAsync();

        Assert.True(rig.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_LeaseOfAProcessThatFinishes_IsNotRepeated()
    {
        var busy = Row(TimerRig.Start - TimeSpan.FromSeconds(10)) with { LeaseOwner = "other", LeaseExpires = TimerRig.Start + TimeSpan.FromMinutes(1) };
        var store = new InMemoryTimerStatusStore { [TimerRig.Name] = busy };
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes), store: store).StartAsync();
        await rig.SettleAsync();

        Assert.True(await store.TrySaveAsync(TimerRig.Name, Row(FirstDue), busy.Version, CancellationToken.None));
        rig.Advance(TimeSpan.FromMinutes(2));
        await rig.SettleAsync();

        Assert.True(rig.Probe.IsIdle);
    }

    [Fact]
    public async Task Loop_TwoProcessesOneStore_RunEachOccurrenceOnce()
    {
        var time = new FakeTimeProvider(TimerRig.Start);
        var store = new InMemoryTimerStatusStore();
        await using var one = await new TimerRig(typeof(EveryFiveMinutes), time, store).StartAsync();
        await using var two = await new TimerRig(typeof(EveryFiveMinutes), time, store).StartAsync();
        await one.WhenAsync(r => r.Next == FirstDue);
        await one.SettleAsync();
        await two.SettleAsync();

        for (var i = 0; i < 20; i++)
        {
            var due = store[TimerRig.Name]!.Next;
            time.Advance(due - time.GetUtcNow());
            one.Loop.Wake(TimerRig.Name);
            two.Loop.Wake(TimerRig.Name);
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
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes)).StartAsync();
        await rig.WhenAsync(r => r.Next == FirstDue);
        rig.Advance(FirstDue - TimerRig.Start);
        var run = await rig.Probe.NextAsync();
        var taken = rig.Store[TimerRig.Name]!;

        var renewed = rig.WhenAsync(r => r.LeaseExpires > taken.LeaseExpires);
        await rig.AdvanceUntilAsync(() => renewed.IsCompleted, TimeSpan.FromSeconds(10));

        Assert.Equal(taken.LeaseOwner, (await renewed).LeaseOwner);
        Assert.False(run.Cancellation.IsCancellationRequested);
        run.Finish.SetResult();
        await rig.WhenAsync(r => r.Last == FirstDue && r.LeaseOwner is null);
    }

    [Fact]
    public async Task Loop_LeaseTakenByAnother_CancelsTheRunAndRecordsNothing()
    {
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes)).StartAsync();
        await rig.WhenAsync(r => r.Next == FirstDue);
        rig.Advance(FirstDue - TimerRig.Start);
        var run = await rig.Probe.NextAsync();
        var mine = rig.Store[TimerRig.Name]!;
        var theirs = mine with { LeaseOwner = "other", LeaseExpires = DateTimeOffset.MaxValue };
        Assert.True(await rig.Store.TrySaveAsync(TimerRig.Name, theirs, mine.Version, CancellationToken.None));

        await rig.AdvanceUntilAsync(() => run.Cancellation.IsCancellationRequested, TimeSpan.FromSeconds(10));

        await rig.SettleAsync();
        Assert.Equal(theirs with { Version = mine.Version + 1 }, rig.Store[TimerRig.Name]);
        Assert.Contains(rig.Log.Lines, l => l.Id == 1004);
    }

    [Fact]
    public async Task Loop_StoreAway_GoesOnWhenItIsBack()
    {
        var store = new InMemoryTimerStatusStore { Failure = new TimeoutException("no database") };
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes), store: store).StartAsync();
        await rig.SettleAsync();
        Assert.Contains(rig.Log.Lines, l => l.Id == 1005 && l.Text.Contains("no database", StringComparison.Ordinal));

        store.Failure = null;
        await rig.SettleAsync();

        Assert.Equal(FirstDue, store[TimerRig.Name]!.Next);
    }

    [Fact]
    public async Task Loop_StoreAwayAtTheEndOfARun_RecordsWhenItIsBackWithoutRunningAgain()
    {
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes)).StartAsync();
        await rig.WhenAsync(r => r.Next == FirstDue);
        rig.Advance(FirstDue - TimerRig.Start);
        var run = await rig.Probe.NextAsync();

        rig.Store.Failure = new TimeoutException("no database");
        run.Finish.SetResult();
        await rig.AdvanceUntilAsync(() => rig.Log.Lines.Any(l => l.Id == 1005), TimeSpan.Zero);
        rig.Store.Failure = null;
        var recorded = rig.WhenAsync(r => r.Last == FirstDue && r.LeaseOwner is null);
        await rig.AdvanceUntilAsync(() => recorded.IsCompleted, TimeSpan.FromSeconds(1));

        await recorded;
        rig.Advance(TimeSpan.FromMinutes(5));
        Assert.Equal(FirstDue.AddMinutes(5).UtcDateTime, (await rig.Probe.NextAsync()).Timer.ScheduleStatus!.Next);
    }

    [Fact]
    public async Task Stop_DuringARun_FreesTheLeaseAndKeepsTheOccurrence()
    {
        var rig = await new TimerRig(typeof(EveryFiveMinutes)).StartAsync();
        await rig.WhenAsync(r => r.Next == FirstDue);
        rig.Advance(FirstDue - TimerRig.Start);
        var run = await rig.Probe.NextAsync();

        await rig.DisposeAsync();

        Assert.True(run.Cancellation.IsCancellationRequested);
        var row = rig.Store[TimerRig.Name]!;
        Assert.Null(row.LeaseOwner);
        Assert.Null(row.Last);
        Assert.Equal(FirstDue, row.Next);
    }

    [Fact]
    public async Task Wake_NotDue_RunsNothing()
    {
        await using var rig = await new TimerRig(typeof(EveryFiveMinutes)).StartAsync();

        for (var i = 0; i < 10; i++) Assert.True(rig.Loop.Wake("probe"));
        await rig.SettleAsync();

        Assert.True(rig.Probe.IsIdle);
        Assert.False(rig.Loop.Wake("Stranger"));
    }

    [Fact]
    public void Constructor_SettingMissing_NamesFunctionAndSetting()
    {
        var exception = Assert.Throws<FunctionDiscoveryException>(() => new TimerRig(typeof(FromSetting)));

        Assert.Contains("'Probe'", exception.Message, StringComparison.Ordinal);
        Assert.Contains("'Schedules:Probe'", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Loop_DisabledFunction_IsLeftAlone()
    {
        await using var rig = await new TimerRig(typeof(FromSetting), settings: new KeyValuePair<string, string?>("AzureWebJobs.Probe.Disabled", "true")).StartAsync();

        Assert.False(rig.Loop.Wake(TimerRig.Name));
    }

    [Fact]
    public async Task Loop_ScheduleFromSetting_IsUsed()
    {
        await using var rig = await new TimerRig(typeof(FromSetting), settings: new KeyValuePair<string, string?>("Schedules:Probe", "00:00:20")).StartAsync();

        await rig.WhenAsync(r => r.Schedule == "00:00:20" && r.Next == TimerRig.Start + TimeSpan.FromSeconds(20));
    }

    private static async Task<TimerRig> WhenRunsAsync(TimerRig rig)
    {
        await rig.Probe.WhenRunAsync();
        return rig;
    }

    private static TimerStatus Row(DateTimeOffset next, string schedule = "0 */5 * * * *") =>
        new() { Schedule = schedule, Last = next - TimeSpan.FromMinutes(5), Next = next, LastUpdated = next - TimeSpan.FromMinutes(5), Version = 7 };

    public sealed class EveryFiveMinutes(TimerProbe probe)
    {
        [Function(TimerRig.Name)]
        public Task Run([TimerTrigger("0 */5 * * * *")] TimerInfo timer, CancellationToken cancellationToken) => probe.RunAsync(timer, cancellationToken);
    }

    public sealed class WithoutMonitor(TimerProbe probe)
    {
        [Function(TimerRig.Name)]
        public Task Run([TimerTrigger("0 */5 * * * *", UseMonitor = false)] TimerInfo timer, CancellationToken cancellationToken) => probe.RunAsync(timer, cancellationToken);
    }

    public sealed class AtStartup(TimerProbe probe)
    {
        [Function(TimerRig.Name)]
        public Task Run([TimerTrigger("0 */5 * * * *", RunOnStartup = true)] TimerInfo timer, CancellationToken cancellationToken) => probe.RunAsync(timer, cancellationToken);
    }

    public sealed class FromSetting(TimerProbe probe)
    {
        [Function(TimerRig.Name)]
        public Task Run([TimerTrigger("%Schedules__Probe%")] TimerInfo timer, CancellationToken cancellationToken) => probe.RunAsync(timer, cancellationToken);
    }
}
