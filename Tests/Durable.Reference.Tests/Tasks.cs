using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.DurableTask;

namespace Librarian.Tests.Durable.Reference;

/// <summary>Orchestrators and activities of the scenarios, written against Microsoft's types alone.</summary>
internal static class Tasks
{
    // By instance: each runs once on each engine.
    private static readonly ConcurrentDictionary<string, int> Calls = new(StringComparer.Ordinal);

    public static void Register(DurableTaskRegistry tasks)
    {
        RegisterActivities(tasks);
        RegisterFlow(tasks);
        RegisterFailures(tasks);
        RegisterEvents(tasks);
        RegisterGenerations(tasks);
    }

    public static string Show(TaskFailureDetails? failure) =>
        failure is null
            ? "no details"
            : $"{failure.ErrorType}: {failure.ErrorMessage}{(failure.InnerFailure is { } inner ? $" < {Show(inner)}" : "")}";

    public static string Types(TaskFailureDetails? failure) =>
        failure is null ? "no details" : failure.ErrorType + (failure.InnerFailure is { } inner ? " of " + Types(inner) : "");

    private static int Call(TaskActivityContext context) => Calls.AddOrUpdate(context.InstanceId, 1, (_, calls) => calls + 1);

    private static void RegisterActivities(DurableTaskRegistry tasks) =>
        tasks
            .AddActivityFunc<int, int>("PlusOne", (_, n) => Task.FromResult(n + 1))
            .AddActivityFunc<int, int>("Slow", async (_, milliseconds) =>
            {
                await Task.Delay(milliseconds);
                return milliseconds;
            })
            .AddActivityFunc<string, string>("Break", (_, what) => Break(what))
            .AddActivityFunc<int, int>("FailTimes", (context, times) =>
                Call(context) is var call && call <= times ? throw new TimeoutException($"attempt {call}") : Task.FromResult(call)
            )
            .AddActivityFunc<int, int>("FailOtherwise", (context, _) => Otherwise(Call(context)))
            .AddActivityFunc<object?, int>("CountCalls", (context, _) => Task.FromResult(Calls.GetValueOrDefault(context.InstanceId)))
            .AddActivityFunc<object?, string?>("Nothing", (_, _) => Task.FromResult<string?>(null));

    private static void RegisterFlow(DurableTaskRegistry tasks) =>
        tasks
            .AddOrchestrator<Chain>()
            .AddOrchestratorFunc<int, int>("Fan", async (c, n) =>
                (await Task.WhenAll(Enumerable.Range(0, n).Select(i => c.CallActivityAsync<int>("PlusOne", i)))).Sum()
            )
            .AddOrchestratorFunc<int, bool>("Sleep", async (c, milliseconds) =>
            {
                var due = c.CurrentUtcDateTime.AddMilliseconds(milliseconds);
                await c.CreateTimer(due, CancellationToken.None);
                return c.CurrentUtcDateTime >= due;
            })
            .AddOrchestratorFunc<object?, string>("CancelTimer", async (c, _) =>
            {
                using var cancellation = new CancellationTokenSource();
                var timer = c.CreateTimer(TimeSpan.FromHours(1), cancellation.Token);
                var activity = c.CallActivityAsync<int>("PlusOne", 1);
                var first = await Task.WhenAny(timer, activity);
                // CancelAsync would leave the orchestrator's flow.
#pragma warning disable CA1849, MA0042
                cancellation.Cancel();
#pragma warning restore CA1849, MA0042
                var outcome = await OutcomeAsync(async () =>
                {
                    await timer;
                    return "fired";
                });
                return $"{(first == activity ? "activity" : "timer")}, then {outcome}, {timer.Status}";
            })
            .AddOrchestratorFunc<string?, string>("Echo", (c, input) =>
                Task.FromResult($"{input ?? "null"} and {c.GetInput<string>() ?? "null"}")
            )
            .AddOrchestratorFunc<object?, string?>("ReturnNull", (_, _) => Task.FromResult<string?>(null))
            .AddOrchestratorFunc<object?, string>("NullAsNumber", (c, _) =>
                OutcomeAsync(async () => (await c.CallActivityAsync<int>("Nothing")).ToString(CultureInfo.InvariantCulture))
            )
            .AddOrchestratorFunc<string, int>("Parent", (c, child) => c.CallSubOrchestratorAsync<int>(child, 1))
            .AddOrchestratorFunc<string, string>("ParentOf", async (c, id) =>
            {
                try
                {
                    return $"child {await c.CallSubOrchestratorAsync<int>("WaitGo", null, new SubOrchestrationOptions(instanceId: id))}";
                }
                catch (TaskFailedException failure)
                {
                    return Types(failure.FailureDetails);
                }
            })
            .AddOrchestratorFunc<object?, string>("Guids", async (c, _) =>
            {
                var first = c.NewGuid();
                await c.CallActivityAsync<int>("PlusOne", 1);
                return $"differ {first != c.NewGuid()}, version {first.Version}";
            })
            .AddOrchestratorFunc<string, string>("Facts", (c, _) =>
                Task.FromResult(
                    $"{c.Name} parent {c.Parent?.Name.Name ?? "none"} replaying {c.IsReplaying} "
                        + $"{c.CurrentUtcDateTime.Kind} version '{c.Version}' properties {c.Properties.Count}"
                )
            )
            .AddOrchestratorFunc<object?, string>("Versioned", (c, _) => Task.FromResult($"code of any version for {c.Version}"))
            .AddOrchestratorFunc<object?, string>("Versioned", new TaskVersion("2"), (c, _) =>
                Task.FromResult($"code of 2 for {c.Version}")
            )
            .AddOrchestratorFunc<string, string>("LateLoser", async (c, id) =>
            {
                var held = c.CallSubOrchestratorAsync<int>("WaitGo", null, new SubOrchestrationOptions(instanceId: id));
                var fast = c.CallActivityAsync<int>("PlusOne", 1);
                var first = await Task.WhenAny(held, fast);
                return first == fast ? "fast" : "held";
            })
            .AddOrchestratorFunc<object?, string>("CustomStatus", async (c, _) =>
            {
                c.SetCustomStatus(new { Step = 1 });
                await c.CallActivityAsync<int>("PlusOne", 1);
                c.SetCustomStatus("two");
                return "ok";
            });

    private static void RegisterFailures(DurableTaskRegistry tasks) =>
        tasks
            .AddOrchestratorFunc<object?, string>("Throw", async (c, _) =>
            {
                await c.CallActivityAsync<int>("PlusOne", 1);
                return await Break("the orchestrator");
            })
            .AddOrchestratorFunc<string, string>("CallOnly", (c, activity) => c.CallActivityAsync<string>(activity, "the activity"))
            .AddOrchestratorFunc<object?, string>("CallBreak", (c, _) => c.CallActivityAsync<string>("Break", "the activity"))
            .AddOrchestratorFunc<object?, string>("CatchActivity", (c, _) =>
                OutcomeAsync(() => c.CallActivityAsync<string>("Break", "the activity"))
            )
            .AddOrchestratorFunc<string, string>("CatchChild", (c, child) => OutcomeAsync(() => c.CallSubOrchestratorAsync<string>(child)))
            .AddOrchestratorFunc<object?, string>("InnerException", async (c, _) =>
            {
                try
                {
                    return await c.CallActivityAsync<string>("Break", "the activity");
                }
                catch (TaskFailedException failure)
                {
                    return failure.InnerException?.GetType().FullName ?? "none";
                }
            })
            .AddOrchestratorFunc<int, string>("Retry", async (c, failures) =>
            {
                var policy = new RetryPolicy(4, TimeSpan.FromMilliseconds(20), 2, TimeSpan.FromMilliseconds(50));
                var outcome = await OutcomeAsync(async () =>
                    $"call {await c.CallActivityAsync<int>("FailTimes", failures, TaskOptions.FromRetryPolicy(policy))}"
                );
                return $"{outcome}; {await c.CallActivityAsync<int>("CountCalls")} calls";
            })
            .AddOrchestratorFunc<object?, string>("RetryFilter", async (c, _) =>
            {
                var policy = new RetryPolicy(10, TimeSpan.FromMilliseconds(5))
                {
                    HandleFailure = failure => failure.IsCausedBy<TimeoutException>(),
                };
                var outcome = await OutcomeAsync(async () =>
                    $"call {await c.CallActivityAsync<int>("FailOtherwise", 0, TaskOptions.FromRetryPolicy(policy))}"
                );
                return $"{outcome}; {await c.CallActivityAsync<int>("CountCalls")} calls";
            })
            .AddOrchestratorFunc<object?, string>("RetryHandler", async (c, _) =>
            {
                var seen = new List<string>();
                var call = await c.CallActivityAsync<int>(
                    "FailTimes",
                    3,
                    TaskOptions.FromRetryHandler(async retry =>
                    {
                        seen.Add($"{retry.LastAttemptNumber} {retry.LastFailure.ErrorMessage}");
                        await retry.OrchestrationContext.CreateTimer(TimeSpan.FromMilliseconds(5), CancellationToken.None);
                        return retry.LastAttemptNumber < 5;
                    })
                );
                return $"call {call} after {string.Join(", ", seen)}";
            });

    private static void RegisterEvents(DurableTaskRegistry tasks) =>
        tasks
            .AddOrchestratorFunc<object?, int>("WaitGo", (c, _) =>
            {
                c.SetCustomStatus("up");
                return c.WaitForExternalEvent<int>("go");
            })
            .AddOrchestratorFunc<int, string>("InOrder", async (c, count) =>
            {
                await c.CallActivityAsync<int>("Slow", 200);
                var got = new List<int>();
                while (got.Count < count)
                    got.Add(await c.WaitForExternalEvent<int>("A"));
                return string.Join(',', got);
            })
            .AddOrchestratorFunc<object?, string>("TwoWaiters", async (c, _) =>
            {
                var (older, newer) = (c.WaitForExternalEvent<string>("E"), c.WaitForExternalEvent<string>("E"));
                c.SetCustomStatus("up");
                await Task.WhenAny(older, newer);
                c.SetCustomStatus("one");
                await Task.WhenAll(older, newer);
                return $"older {await older}, newer {await newer}";
            })
            .AddOrchestratorFunc<object?, string>("EventTimeout", (c, _) =>
                OutcomeAsync(async () => $"{await c.WaitForExternalEvent<int>("never", TimeSpan.FromMilliseconds(50))}")
            )
            .AddOrchestratorFunc<string, string>("Send", (c, to) =>
            {
                c.SendEvent(to, "go", 42);
                return Task.FromResult("sent");
            });

    private static void RegisterGenerations(DurableTaskRegistry tasks) =>
        tasks
            .AddOrchestratorFunc<string, string>("Collect", async (c, got) =>
            {
                got += await c.WaitForExternalEvent<int>("n");
                if (got.Length < 6)
                    c.ContinueAsNew(got);
                return got;
            })
            .AddOrchestratorFunc<int, string>("StatusOfTheFirst", async (c, generation) =>
            {
                if (generation == 0)
                    c.SetCustomStatus("first");
                await c.CallActivityAsync<int>("PlusOne", 1);
                if (generation == 0)
                    c.ContinueAsNew(1);
                return "second";
            })
            .AddOrchestratorFunc<int, string>("OpenActivity", async (c, generation) =>
            {
                if (generation == 0)
                {
                    _ = c.CallActivityAsync<int>("FailTimes", 0);
                    c.ContinueAsNew(1);
                    return "first";
                }

                await c.CreateTimer(TimeSpan.FromMilliseconds(200), CancellationToken.None);
                return "second";
            })
            .AddOrchestratorFunc<int, int>("CountUp", (c, generation) =>
            {
                if (generation < 3)
                    c.ContinueAsNew(generation + 1);
                return Task.FromResult(generation * 10);
            })
            .AddOrchestratorFunc<int, string>("ThrowAfter", (c, generation) =>
            {
                if (generation > 0)
                    return Task.FromResult("second");
                c.ContinueAsNew(1);
                throw new InvalidOperationException("after ContinueAsNew");
            });

    private static Task<string> Break(string what)
    {
        try
        {
            throw new ArgumentException("the cause");
        }
        catch (ArgumentException cause)
        {
            var failure = new InvalidOperationException($"{what} broke", cause);
            failure.Data["key"] = "value";
            throw failure;
        }
    }

    private static Task<int> Otherwise(int call) => throw (call < 3 ? new TimeoutException("again") : new NotSupportedException("never"));

    /// <summary>The value, or what an orchestrator sees of the failure.</summary>
    private static async Task<string> OutcomeAsync(Func<Task<string>> task)
    {
        try
        {
            return await task();
        }
        catch (TaskFailedException failure)
        {
            return $"{failure.TaskName} #{failure.TaskId} failed: {failure.Message} [{Show(failure.FailureDetails)}]";
        }
        catch (Exception failure) when (failure is OperationCanceledException or NullReferenceException)
        {
            return failure.GetType().Name;
        }
    }
}

/// <summary>Class syntax, and a name by its class.</summary>
[DurableTask(nameof(Chain))]
internal sealed class Chain : TaskOrchestrator<int, int>
{
    public override async Task<int> RunAsync(TaskOrchestrationContext context, int input)
    {
        for (var i = 0; i < 5; i++)
            input = await context.CallActivityAsync<int>("PlusOne", input);
        return input;
    }
}
