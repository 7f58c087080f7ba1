using Librarian.Functions.Timers;
using Librarian.Tests.TestKit;
using Microsoft.DurableTask.Client;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Functions.Api;

public sealed class PostgresPurgeTimerTests(PostgresDurableSite site) : PurgeTimerTests(site), IClassFixture<PostgresDurableSite>;

[Quick]
public sealed class SqlitePurgeTimerTests(SqliteDurableSite site) : PurgeTimerTests(site), IClassFixture<SqliteDurableSite>;

/// <summary>The timer that removes finished orchestrations by age, with the default retentions of 30 and 90 days.</summary>
public abstract class PurgeTimerTests(DurableSite site)
{
    [Fact]
    public async Task PurgeFinishedInstances_DaysPass_RemovesEachKindAtItsAge()
    {
        var completed = await site.EndedAsync("p-completed");
        var failed = await site.EndedAsync("p-failed", "fail");
        var terminated = await site.RunningAsync("p-terminated");
        await site.PostAsync($"instances/{terminated}/terminate");
        await site.UntilAsync(terminated, OrchestrationRuntimeStatus.Terminated);
        var running = await site.RunningAsync("p-running");
        var suspended = await site.RunningAsync("p-suspended");
        await site.PostAsync($"instances/{suspended}/suspend");
        await site.UntilAsync(suspended, OrchestrationRuntimeStatus.Suspended);
        // It took two months and has ended just now: its age counts from the end.
        var slow = await site.EndedAsync("p-slow");
        await using (var db = site.Site.Catalog.Open())
            Assert.Equal(
                1,
                await db.Database.ExecuteSqlAsync($"update dt_instance set created_at = created_at - 5184000000 where instance_id = {slow}")
            );

        Assert.Empty(await RunAsync(29));
        Assert.Equal([slow, completed, failed, terminated, running, suspended], await IdsAsync());

        Assert.Equal(["Purged 3 finished orchestrations that ended before "], await RunAsync(31));
        Assert.Equal([failed, running, suspended], await IdsAsync());
        await Assert.ThrowsAsync<ArgumentException>(() => site.Client.GetOrchestrationHistoryAsync(completed));

        Assert.Equal(["Purged 1 failed orchestrations that ended before "], await RunAsync(91));
        Assert.Equal([running, suspended], await IdsAsync());
        Assert.Empty(await RunAsync(36_500));
        Assert.Equal([running, suspended], await IdsAsync());
        await using (var db = site.Site.Catalog.Open())
            Assert.Equal(
                0,
                await db
                    .Database.SqlQuery<int>(
                        $"select count(*) as \"Value\" from dt_history where instance_id not in (select instance_id from dt_instance)"
                    )
                    .SingleAsync()
            );
    }

    private async Task<string[]> IdsAsync() =>
        [
            .. (await site.GetAsync("instances?instanceIdPrefix=p-"))
                .Json.EnumerateArray()
                .Select(i => i.GetProperty("instanceId").GetString()!),
        ];

    /// <summary>Runs the timer some days from now; returns how its log lines begin.</summary>
    private async Task<string[]> RunAsync(int days)
    {
        var log = new RecordingLogger();
        var timers = ActivatorUtilities.CreateInstance<OrchestrationTimers>(
            site.Site.Services,
            new FakeTimeProvider(DateTimeOffset.UtcNow.AddDays(days)),
            log
        );
        await timers.PurgeFinishedInstancesAsync(new TimerInfo(), CancellationToken.None);
        return [.. log.Lines];
    }

    private sealed class RecordingLogger : ILogger<OrchestrationTimers>
    {
        public List<string> Lines { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel,
            EventId eventId,
            TState state,
            Exception? exception,
            Func<TState, Exception?, string> formatter
        )
        {
            Assert.Equal(4300, eventId.Id);
            Lines.Add(formatter(state, exception).Split("20", 2)[0]);
        }
    }
}
