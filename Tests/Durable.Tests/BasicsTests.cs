using System.Collections.Concurrent;
using Librarian.Tests.Durable.Conformance;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Librarian.Tests.Durable;

public sealed class BasicsOnPostgres(PostgresServer server) : BasicsTests(new PostgresDatabase(server));

[Quick]
public sealed class BasicsOnSqlite() : BasicsTests(new SqliteDatabase());

public sealed record Book(string Name, int Files, List<string> Shelves);

public readonly record struct Point(int X, int Y);

[DurableTask("chain")]
public sealed class ChainOrchestrator : TaskOrchestrator<int, int>
{
    public override async Task<int> RunAsync(TaskOrchestrationContext context, int input)
    {
        for (var i = 0; i < 10; i++)
            input = await context.CallActivityAsync<int>("plus-one", input);
        return input;
    }
}

[DurableTask("plus-one")]
public sealed class PlusOneActivity(ScopeProbe probe) : TaskActivity<int, int>
{
    public override Task<int> RunAsync(TaskActivityContext context, int input)
    {
        probe.Seen.Add(probe);
        return Task.FromResult(input + 1);
    }
}

public sealed class ScopeProbe(ConcurrentBag<ScopeProbe> seen)
{
    public ConcurrentBag<ScopeProbe> Seen { get; } = seen;
}

public abstract class BasicsTests(TestDatabase database) : EngineTests(database)
{
    [Scenario(1, "EmptyOrchestration"), Scenario(12, "GetInput")]
    [Fact]
    public async Task Orchestrator_WithoutAwaits_Completes()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<string?, string>("echo", (c, input) =>
                Task.FromResult($"{c.Name}/{c.InstanceId.Length}/{input ?? "null"}/{c.GetInput<string>() ?? "null"}")
            )
        );
        Assert.Equal("echo/32/null/null", await RunAsync<string>(host, "echo"));
        Assert.Equal("echo/32/hi/hi", await RunAsync<string>(host, "echo", "hi"));
    }

    [Scenario(2, "SingleActivity"), Scenario(3, "ActivityChain"), Scenario(14, "MethodAndClassSyntax")]
    [Fact]
    public async Task ActivityChain_TenClasses_FeedsResultsInAScopeEach()
    {
        var seen = new ConcurrentBag<ScopeProbe>();
        var host = await StartAsync(b =>
        {
            b.Services.AddScoped(_ => new ScopeProbe(seen));
            b.AddOrchestrator<ChainOrchestrator>().AddActivity<PlusOneActivity>();
        });
        Assert.Equal(15, await RunAsync<int>(host, "chain", 5));
        Assert.Equal(10, seen.Distinct().Count());
        Assert.Equal(0, await Count("select count(*) from dt_activity"));
        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
    }

    [Scenario(4, "ActivityFanOut"), Scenario(5, "LargeFanOut"), Scenario(6, "DoubleFanOut")]
    [Theory]
    [InlineData(20)]
    [InlineData(1024)]
    [InlineData(4096)]
    public async Task FanOut_ManyActivities_ResultsInCallOrder(int width)
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, long[]>("fan", async (c, n) =>
                {
                    var first = await Task.WhenAll(Enumerable.Range(0, n).Select(i => c.CallActivityAsync<long>("square", i)));
                    var second = await Task.WhenAll(first.Take(10).Select(i => c.CallActivityAsync<long>("square", i)));
                    return [.. first, .. second];
                })
                .AddActivityFunc<long, long>("square", (_, i) => Task.FromResult(i * i))
        );
        var expected = Enumerable.Range(0, width).Select(i => (long)i * i).ToList();
        expected.AddRange(expected.Take(10).Select(i => i * i).ToList());
        Assert.Equal(expected, await RunAsync<long[]>(host, "fan", width));
    }

    [Scenario(7, "ActivityArgumentTypes")]
    [Fact]
    public async Task Activity_ArgumentTypes_RoundTrip()
    {
        var big = new string('x', 100_000) + "\0\"\\ü\U0001F4DA";
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<string, bool>("types", async (c, text) =>
                    await c.CallActivityAsync<string?>("echo-null") is null
                    && await c.CallActivityAsync<string>("echo-text", text) == text
                    && await c.CallActivityAsync<Point>("echo-point", new Point(1, 2)) == new Point(1, 2)
                    && (await c.CallActivityAsync<Book>("echo-book", new Book("b", 3, ["s", "t"]))).Shelves.Count == 2
                )
                .AddActivityFunc<string?, string?>("echo-null", (_, v) => Task.FromResult(v))
                .AddActivityFunc<string, string>("echo-text", (_, v) => Task.FromResult(v))
                .AddActivityFunc<Point, Point>("echo-point", (_, v) => Task.FromResult(v))
                .AddActivityFunc<Book, Book>("echo-book", (_, v) => Task.FromResult(v))
        );
        Assert.True(await RunAsync<bool>(host, "types", big));
    }

    [Scenario(8, "IsReplaying"), Scenario(9, "CurrentUtcDateTime"), Scenario(10, "NewGuid"), Scenario(11, "CreateReplaySafeLogger")]
    [Fact]
    public async Task Replay_AfterEveryWait_RepeatsTimeAndGuidsAndLogsOnce()
    {
        var runs = new ConcurrentQueue<(bool Replaying, DateTime Now, Guid Id, int Step)>();
        var log = new ListLoggerProvider();
        var host = await StartAsync(b =>
        {
            b.Services.AddSingleton<ILoggerProvider>(log);
            b.AddOrchestratorFunc<int, int>("replay", async (c, steps) =>
            {
                var logger = c.CreateReplaySafeLogger("replay-test");
                for (var i = 0; i < steps; i++)
                {
                    runs.Enqueue((c.IsReplaying, c.CurrentUtcDateTime, c.NewGuid(), i));
#pragma warning disable CA2254
                    logger.LogWarning("step " + i);
#pragma warning restore CA2254
                    // A timer releases the instance, so every step is rebuilt from history.
                    await c.CreateTimer(TimeSpan.FromMilliseconds(1), CancellationToken.None);
                }

                return steps;
            });
        });
        Assert.Equal(4, await RunAsync<int>(host, "replay", 4));
        var steps = runs.GroupBy(run => run.Step).OrderBy(group => group.Key).ToList();
        Assert.All(steps, step => Assert.Single(step, run => !run.Replaying));
        Assert.All(steps, step => Assert.Single(step.Select(run => (run.Now, run.Id)).Distinct()));
        Assert.Equal(4, steps.Select(step => step.First().Id).Distinct().Count());
        Assert.True(steps.Zip(steps.Skip(1)).All(pair => pair.First.First().Now < pair.Second.First().Now));
        Assert.True(runs.Count > 4, "nothing was replayed");
        Assert.Equal(["step 0", "step 1", "step 2", "step 3"], log.Lines.Where(line => line.StartsWith("step", StringComparison.Ordinal)));
    }

    [Scenario(13, "MultipleOrchestrators")]
    [Fact]
    public async Task ManyInstances_AtOnce_AllComplete()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, int>("add", async (c, n) =>
                    await c.CallActivityAsync<int>("inc", n) + await c.CallActivityAsync<int>("inc", n)
                )
                .AddActivityFunc<int, int>("inc", (_, n) => Task.FromResult(n + 1))
        );
        var started = await host.Client.ScheduleNewOrchestrationInstancesAsync([
            .. Enumerable.Range(0, 100).Select(i => new OrchestrationStart("add", i)),
        ]);
        Assert.All(started, start => Assert.True(start.Started));
        for (var i = 0; i < started.Count; i++)
            Assert.Equal(2 * (i + 1), (await EndOf(host, started[i].InstanceId)).ReadOutputAs<int>());
    }

    [Fact]
    public async Task Queue_WithLimit_IsNeverExceededAndUnservedQueueWaits()
    {
        int running = 0,
            most = 0;
        var both = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var host = await StartAsync(b =>
            b.Configure(o => o.Queues["transfer"] = 2)
                .AddOrchestratorFunc<int, int>("copy", async (c, n) =>
                    (
                        await Task.WhenAll(
                            Enumerable
                                .Range(0, n)
                                .Select(i => c.CallActivityAsync<int>("move", i, new ActivityOptions { Queue = "transfer" }))
                        )
                    ).Length
                )
                .AddOrchestratorFunc<int, int>("elsewhere", (c, _) =>
                    c.CallActivityAsync<int>("move", 1, new ActivityOptions { Queue = "drive-7" })
                )
                .AddActivityFunc<int, int>("move", async (_, n) =>
                {
                    var now = Interlocked.Increment(ref running);
                    for (var seen = most; now > seen; seen = most)
                        Interlocked.CompareExchange(ref most, now, seen);
                    // Two are at work at once, however slow the machine is.
                    if (now == 2)
                        both.TrySetResult();
                    await both.Task.WaitAsync(Limit);
                    // Time for a third, which would be one too many.
                    await Task.Delay(5);
                    Interlocked.Decrement(ref running);
                    return n;
                })
        );
        var waiting = await host.Client.ScheduleNewOrchestrationInstanceAsync("elsewhere", 0);
        Assert.Equal(20, await RunAsync<int>(host, "copy", 20));
        Assert.Equal(2, most);
        Assert.Equal(OrchestrationRuntimeStatus.Running, (await host.Client.GetInstanceAsync(waiting))!.RuntimeStatus);
        Assert.Equal(1, await Count("select count(*) from dt_activity where queue = 'drive-7' and owner is null"));
    }
}

public sealed class ListLoggerProvider : ILoggerProvider, ILogger
{
    public ConcurrentQueue<string> Lines { get; } = new();

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel,
        EventId eventId,
        TState state,
        Exception? exception,
        Func<TState, Exception?, string> formatter
    ) => Lines.Enqueue(formatter(state, exception) + (exception is null ? "" : " " + exception));

    public void Dispose()
    {
        // Nothing is held.
    }
}
