using Librarian.Functions.Hosting;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Functions.Hosting;

/// <summary>The clock of a site's machine is set while timers wait, run, or are not there at all.</summary>
[Quick]
public sealed class ClockJumpTests
{
    private const int Jumped = 1013;
    private const int BehindRecords = 1014;
    private static readonly DateTimeOffset FirstDue = new(2026, 3, 1, 12, 5, 0, TimeSpan.Zero);

    [Theory]
    [InlineData("0 */5 * * * *", 1)]
    [InlineData("0 */5 * * * *", 365)]
    [InlineData("00:05:00", 1)]
    [InlineData("0 17 3 * * *", 2)]
    public async Task ClockGoesBack_RecordedRunFurtherThanAPeriod_IsRecomputed(string schedule, int days)
    {
        var clock = new SettableClock();
        await using var fixture = await new TimerFixture(
            typeof(TimerLoopTests.FromSetting),
            clock,
            settings: new KeyValuePair<string, string?>("Schedules:Probe", schedule)
        ).StartAsync();
        var before = await fixture.WhenAsync(r => r.Schedule == schedule);
        await fixture.SettleAsync();

        clock.Set(fixture.Time.GetUtcNow().AddDays(-days));
        await fixture.SettleAsync();

        Assert.True(TimerSchedule.TryParse(schedule, out var parsed, out _));
        Assert.Equal(parsed.NextAfter(fixture.Time.GetUtcNow(), fixture.Time.LocalTimeZone), fixture.Store[TimerFixture.Name]!.Next);
        Assert.NotEqual(before.Next, fixture.Store[TimerFixture.Name]!.Next);
        Assert.True(fixture.Probe.IsIdle);
        fixture.Advance(fixture.Store[TimerFixture.Name]!.Next - fixture.Time.GetUtcNow());
        (await fixture.Probe.NextAsync()).Finish.SetResult();
    }

    [Fact]
    public async Task ClockIsAYearAheadForAMinute_RunsOnceThereAndGoesOnAfterwards()
    {
        var clock = new SettableClock();
        await using var fixture = await new TimerFixture(typeof(TimerLoopTests.EveryFiveMinutes), clock).StartAsync();
        await fixture.WhenAsync(r => r.Next == FirstDue);
        await fixture.SettleAsync();

        clock.Set(TimerFixture.Start.AddYears(1));
        fixture.Loop.Wake(TimerFixture.Name);
        (await fixture.Probe.NextAsync()).Finish.SetResult();
        await fixture.WhenAsync(r => r.Next > TimerFixture.Start.AddYears(1));
        clock.Set(TimerFixture.Start);
        await fixture.SettleAsync();

        Assert.Equal(FirstDue, fixture.Store[TimerFixture.Name]!.Next);
        Assert.Equal(2, fixture.Log.Lines.Count(l => l.Level == LogLevel.Warning && l.Id == Jumped));
        Assert.DoesNotContain(fixture.Log.Lines, l => l.Id == BehindRecords);
        fixture.Advance(FirstDue - TimerFixture.Start);
        Assert.False((await fixture.Probe.NextAsync()).Timer.IsPastDue);
    }

    [Fact]
    public async Task Start_RecordsOfALaterTime_AreRecomputedAndToldOfOnce()
    {
        var store = new InMemoryTimerStatusStore
        {
            [TimerFixture.Name] = Recorded("0 */5 * * * *", TimerFixture.Start.AddYears(1)),
            ["Other"] = Recorded("0 0 * * * *", TimerFixture.Start.AddYears(1)),
        };
        await using var fixture = await new TimerFixture(typeof(Two), store: store).StartAsync();

        await fixture.WhenAsync(r => r.Next == FirstDue);
        await fixture.WhenAsync(r => r.Next == new DateTimeOffset(2026, 3, 1, 13, 0, 0, TimeSpan.Zero));
        await fixture.SettleAsync();

        var told = Assert.Single(fixture.Log.Lines, l => l.Level == LogLevel.Warning);
        Assert.Equal(BehindRecords, told.Id);
        Assert.Contains("2027-03-01 12:00:30Z", told.Text, StringComparison.Ordinal);
        Assert.Contains("2026-03-01 12:00:30Z", told.Text, StringComparison.Ordinal);
        Assert.True(fixture.Probe.IsIdle);
    }

    [Fact]
    public async Task ClockIsSetBack_ManyTimersManyLooks_IsToldOfOnceWithBothTimes()
    {
        var clock = new SettableClock();
        await using var fixture = await new TimerFixture(typeof(Two), clock).StartAsync();
        await fixture.WhenAsync(r => r.Next == FirstDue);
        await fixture.SettleAsync();

        clock.Set(TimerFixture.Start.AddDays(-1));
        for (var i = 0; i < 5; i++)
        {
            await fixture.SettleAsync();
            fixture.Loop.Wake("Other");
            fixture.Time.Advance(TimeSpan.FromSeconds(1));
        }

        var told = Assert.Single(fixture.Log.Lines, l => l.Level == LogLevel.Warning);
        Assert.Equal(Jumped, told.Id);
        Assert.Contains("2026-02-28 12:00:30Z", told.Text, StringComparison.Ordinal);
        Assert.Contains("2026-03-01 12:00:30Z", told.Text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ClockOfAnotherProcessIsSomeSecondsAhead_ItsRecordStands()
    {
        // Written by a process whose clock said 12:05 already.
        var store = new InMemoryTimerStatusStore { [TimerFixture.Name] = Recorded("0 */5 * * * *", FirstDue.AddMinutes(5)) };
        var time = new FakeTimeProvider(FirstDue - TimeSpan.FromSeconds(5));
        await using var fixture = await new TimerFixture(typeof(TimerLoopTests.EveryFiveMinutes), time, store).StartAsync();

        await fixture.SettleAsync();

        Assert.Equal(FirstDue.AddMinutes(5), store[TimerFixture.Name]!.Next);
        Assert.DoesNotContain(fixture.Log.Lines, l => l.Level == LogLevel.Warning);
    }

    [Fact]
    public async Task LeaseOfADeadProcessInTheFarFuture_IsTakenOverWhenNobodyRenewsIt()
    {
        var dead = Recorded("0 */5 * * * *", TimerFixture.Start.AddYears(1)) with
        {
            LeaseOwner = "dead",
            LeaseExpires = TimerFixture.Start.AddYears(1).AddMinutes(1),
        };
        var store = new InMemoryTimerStatusStore { [TimerFixture.Name] = dead };
        await using var fixture = await new TimerFixture(typeof(TimerLoopTests.EveryFiveMinutes), store: store).StartAsync();
        await fixture.SettleAsync();

        fixture.Advance(TimeSpan.FromSeconds(59));
        await fixture.SettleAsync();
        Assert.True(fixture.Probe.IsIdle);
        fixture.Advance(TimeSpan.FromSeconds(1));

        (await fixture.Probe.NextAsync()).Finish.SetResult();
        await fixture.WhenAsync(r => r.LeaseOwner is null && r.Next == FirstDue);
    }

    [Fact]
    public async Task LeaseOfALivingProcessInTheFarFuture_IsLeftAloneWhileItIsRenewed()
    {
        var busy = Recorded("0 */5 * * * *", TimerFixture.Start.AddYears(1)) with
        {
            LeaseOwner = "other",
            LeaseExpires = TimerFixture.Start.AddYears(1).AddMinutes(1),
        };
        var store = new InMemoryTimerStatusStore { [TimerFixture.Name] = busy };
        await using var fixture = await new TimerFixture(typeof(TimerLoopTests.EveryFiveMinutes), store: store).StartAsync();

        for (var i = 0; i < 5; i++)
        {
            await fixture.SettleAsync();
            Assert.True(await store.TrySaveAsync(TimerFixture.Name, busy, busy.Version + i, CancellationToken.None));
            await fixture.SettleAsync();
            fixture.Advance(TimeSpan.FromSeconds(40));
            await fixture.SettleAsync();
            Assert.True(fixture.Probe.IsIdle);
        }
    }

    private static TimerStatus Recorded(string schedule, DateTimeOffset next) =>
        new()
        {
            Schedule = schedule,
            Next = next,
            LastUpdated = next - TimeSpan.FromMinutes(5),
            Version = 7,
        };

    /// <summary>A clock that can be set while time passes as before; setting a <see cref="FakeTimeProvider"/> moves both.</summary>
    private sealed class SettableClock() : FakeTimeProvider(TimerFixture.Start)
    {
        private long _offset;

        public void Set(DateTimeOffset now) => Interlocked.Exchange(ref _offset, (now - base.GetUtcNow()).Ticks);

        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + new TimeSpan(Interlocked.Read(ref _offset));

        public override long GetTimestamp() => base.GetUtcNow().Ticks;
    }

    public sealed class Two(TimerProbe probe)
    {
        [Function(TimerFixture.Name)]
        public Task Run([TimerTrigger("0 */5 * * * *", UseMonitor = false)] TimerInfo timer, CancellationToken cancellationToken) =>
            probe.RunAsync(timer, cancellationToken);

        [Function("Other")]
        public Task RunOther([TimerTrigger("0 0 * * * *", UseMonitor = false)] TimerInfo timer, CancellationToken cancellationToken) =>
            probe.RunAsync(timer, cancellationToken);
    }
}
