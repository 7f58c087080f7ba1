using Librarian.Durable.Engine;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.Logging.Abstractions;

namespace Librarian.Tests.Durable;

/// <summary>Shapes of durable code that the run-time guard must leave alone, on the bare engine: turns by hand, no database.</summary>
[Quick]
public class DurableCodeTests
{
    private static readonly Dictionary<string, Func<TaskOrchestrationContext, Task<int>>> Code = new()
    {
        ["sequence"] = async c => await c.CallActivityAsync<int>("a") + await c.CallActivityAsync<int>("b"),
        ["all results"] = async c => (await Task.WhenAll(c.CallActivityAsync<int>("a"), c.CallActivityAsync<int>("b"))).Sum(),
        ["all untyped"] = async c =>
        {
            await Task.WhenAll(c.CallActivityAsync("a"), c.CreateTimer(TimeSpan.FromDays(1), CancellationToken.None));
            return 1;
        },
        ["any"] = async c =>
            await await Task.WhenAny(c.CallActivityAsync<int>("a"), c.WaitForExternalEvent<int>("e"), c.CallActivityAsync<int>("b")),
        ["event with time-out"] = async c =>
        {
            try
            {
                return await c.WaitForExternalEvent<int>("e", TimeSpan.FromDays(1));
            }
            catch (TaskCanceledException)
            {
                return await c.WaitForExternalEvent<int>("e");
            }
        },
        ["linq over helpers"] = async c => (await Task.WhenAll(Enumerable.Range(0, 50).Select(async n => n + await HelperAsync(c)))).Length,
        ["value task helper"] = async c => await EventAsync(c),
        ["async iterator"] = async c =>
        {
            var sum = 0;
            await foreach (var one in EventsAsync(c))
                sum += one;
            return sum;
        },
        ["contended semaphore"] = async c =>
        {
            using var two = new SemaphoreSlim(2);
            return (
                await Task.WhenAll(
                    Enumerable
                        .Range(0, 7)
                        .Select(async n =>
                        {
                            await two.WaitAsync();
                            try
                            {
                                return await c.CallActivityAsync<int>("a");
                            }
                            finally
                            {
                                two.Release();
                            }
                        })
                )
            ).Sum();
        },
        ["completion source between branches"] = async c =>
        {
            var ready = new TaskCompletionSource<int>();
            var branch = SetAsync();
            var got = await ready.Task;
            await branch;
            return got;
            async Task SetAsync() => ready.SetResult(await c.CallActivityAsync<int>("a"));
        },
        ["continuation"] = async c =>
            await c.CallActivityAsync<int>("a")
                .ContinueWith(done => done.Result + 1, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Current),
        ["unwrapped"] = async c =>
            await c.CallActivityAsync<int>("a")
                .ContinueWith(
                    _ => c.CallActivityAsync<int>("b"),
                    CancellationToken.None,
                    TaskContinuationOptions.None,
                    TaskScheduler.Current
                )
                .Unwrap(),
        ["yield"] = async c =>
        {
            await Task.Yield();
            var call = c.CallActivityAsync<int>("a");
            await Task.Yield();
            return await call;
        },
#pragma warning disable LDUR0004 // A completed task does not leave the flow of control.
        ["completed foreign tasks"] = async c =>
        {
            await Task.CompletedTask;
            await Task.FromResult(1).ConfigureAwait(false);
            await new ValueTask<int>(1).ConfigureAwait(false);
            return await c.CallActivityAsync<int>("a");
        },
#pragma warning restore LDUR0004
        ["token awaited with an event"] = async c =>
        {
            using var stop = new CancellationTokenSource();
            return await c.WaitForExternalEvent<int>("e").WaitAsync(stop.Token);
        },
        ["abandoned branch"] = async c =>
        {
            _ = HelperAsync(c);
            _ = c.CreateTimer(TimeSpan.FromDays(1), CancellationToken.None);
            return await c.CallActivityAsync<int>("b");
        },
        ["async local"] = async c =>
        {
            var local = new AsyncLocal<int> { Value = 5 };
            await c.CallActivityAsync<int>("a");
            return local.Value;
        },
        ["try, catch and finally"] = async c =>
        {
            try
            {
                await c.CallActivityAsync<int>("fails");
            }
            catch (TaskFailedException)
            {
                await c.CallActivityAsync<int>("a");
            }
            finally
            {
                await c.CallActivityAsync<int>("b");
            }
            return 1;
        },
        ["retries"] = async c =>
        {
            try
            {
                return await c.CallActivityAsync<int>("fails", null, TaskOptions.FromRetryPolicy(new(3, TimeSpan.FromSeconds(1))));
            }
            catch (TaskFailedException)
            {
                return 1;
            }
        },
    };

    public static TheoryData<string> Names => [.. Code.Keys.Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Names))]
    public void RunTurn_DurableCode_CompletesLiveAndRebuiltAfterEveryTurn(string what)
    {
        var (live, history) = Drive(Code[what]);
        Assert.NotNull(live);
        Assert.True(live.Status == OrchestrationRuntimeStatus.Completed, live.Failure?.ToString());
        var (rebuilt, sameHistory) = Drive(Code[what], rebuild: true);
        Assert.True(rebuilt!.Status == OrchestrationRuntimeStatus.Completed, rebuilt.Failure?.ToString());
        Assert.Equal(live.Output, rebuilt.Output);
        Assert.Equal(
            history.Select(entry => (entry.Kind, entry.TaskId, entry.Name)),
            sameHistory.Select(entry => (entry.Kind, entry.TaskId, entry.Name))
        );
    }

    private static async Task<int> HelperAsync(TaskOrchestrationContext context) => await context.CallActivityAsync<int>("a") + 1;

    private static async ValueTask<int> EventAsync(TaskOrchestrationContext context) => await context.WaitForExternalEvent<int>("e");

    private static async IAsyncEnumerable<int> EventsAsync(TaskOrchestrationContext context)
    {
        for (var i = 0; i < 3; i++)
            yield return await context.WaitForExternalEvent<int>("e");
    }

    /// <summary>Answers one call, timer or event wait per turn, in order, until the orchestration ends.</summary>
    private static (ExecutionEnd? End, List<HistoryEvent> History) Drive(
        Func<TaskOrchestrationContext, Task<int>> code,
        bool rebuild = false
    )
    {
        OrchestrationExecution Create() =>
            new(new("i", 1, "guarded", "", null, null), new Function(code), new JsonDataConverter(), NullLoggerFactory.Instance, null);
        var history = new List<HistoryEvent>();
        var execution = Create();
        var open = new Queue<HistoryEvent>();
        HistoryEvent[] inputs = [new(EventKind.ExecutionStarted, -1, "guarded", null, null, 0)];
        for (var turn = 0; turn < 1000; turn++)
        {
            var outcome = execution.RunTurn(turn, inputs);
            history.AddRange(outcome.Events);
            if (outcome.End is not null)
                return (outcome.End, history);
            foreach (var task in outcome.Tasks)
            {
                open.Enqueue(
                    task.Name == "fails"
                        ? new(
                            EventKind.TaskFailed,
                            task.TaskId,
                            null,
                            null,
                            OrchestrationExecution.FailureText(new TaskFailureDetails("x", "y", null, null, null)),
                            0
                        )
                        : new(EventKind.TaskCompleted, task.TaskId, null, "1", null, 0)
                );
            }

            foreach (var timer in outcome.Timers)
                open.Enqueue(new(EventKind.TimerFired, timer.TaskId, null, null, null, 0));
            inputs = [open.Count > 0 ? open.Dequeue() : new(EventKind.EventRaised, -1, "e", "1", null, 0)];
            if (!rebuild)
                continue;
            execution = Create();
            Assert.Null(execution.Replay(history));
        }

        return (null, history);
    }

    private sealed class Function(Func<TaskOrchestrationContext, Task<int>> code) : TaskOrchestrator<int, int>
    {
        public override Task<int> RunAsync(TaskOrchestrationContext context, int input) => code(context);
    }
}
