using CsCheck;
using Librarian.Durable.Testing;
using Librarian.Durable.Worker;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Durable.Model;

/// <summary>
/// Generated workflows, with things done to them from outside and faults inside, run on the engine and in the model
/// (<see cref="Expectation"/>); both must come to the same end. A failure is shrunk to the smallest workflow that shows it.
/// </summary>
public sealed class ModelTests
{
    private static readonly Gen<Step> Call =
        from failures in Gen.Int[0, 3]
        from attempts in Gen.Int[1, 3]
        from caught in Gen.Bool
        select new Step(StepKind.Call, failures, attempts, 0, caught, []);

    private static readonly Gen<Step> Simple = Gen.OneOf(
        Call,
        from calls in Call.Array[0, 5]
        from caught in Gen.Bool
        select new Step(StepKind.Fan, 0, 1, 0, caught, calls),
        Gen.Const(new Step(StepKind.Effect, 0, 1, 0, false, [])),
        Gen.Int[0, 10_000].Select(hours => new Step(StepKind.Timer, 0, 1, hours, false, [])),
        Gen.Const(new Step(StepKind.Status, 0, 1, 0, false, []))
    );

    private static readonly Gen<Step> AnyStep = Gen.Frequency(
        (5, Simple),
        (1, Gen.Const(new Step(StepKind.Event, 0, 1, 0, false, []))),
        (1, Gen.Int[1, 30].Select(hours => new Step(StepKind.Race, 0, 1, hours, false, []))),
        (1, from body in Simple.Array[0, 3] from caught in Gen.Bool select new Step(StepKind.Child, 0, 1, 0, caught, body))
    );

    private static readonly Gen<Scenario> Scenarios =
        from steps in AnyStep.Array[0, 6]
        from generations in Gen.Int[1, 3]
        from whole in Gen.Int[0, 60].Array[40]
        from suspensions in Gen.Int[0, 2]
        from terminates in Gen.Frequency((5, Gen.Const(false)), (1, Gen.Const(true)))
        from restarts in Gen.Int[0, 1]
        from faults in Gen.Int[0, 3]
        from seed in Gen.Int[0, int.MaxValue]
        select new Scenario(steps, generations, whole, suspensions, terminates, restarts, faults, seed);

    private static bool Long { get; } = Environment.GetEnvironmentVariable("LIBRARIAN_TEST_LONG") == "1";

    [Fact]
    public async Task AnyWorkflow_WithFaultsAndActionsFromOutside_EndsAsTheModelSays()
    {
        ModelHost? host = null;
        var ran = 0;
        try
        {
            await Scenarios.SampleAsync(
                async scenario =>
                {
                    host ??= await ModelHost.StartAsync();
                    try
                    {
                        await host.CheckAsync(scenario, ran++);
                    }
                    catch
                    {
                        // What is left in its tables belongs to the failure, not to the next workflow.
                        await host.DisposeAsync();
                        host = null;
                        throw;
                    }
                },
                iter: Long ? 3_000 : 100,
                threads: 1,
                print: static scenario => scenario.ToString()
            );
        }
        finally
        {
            if (host is not null)
                await host.DisposeAsync();
        }
    }

    [Fact]
    public async Task RunToCompletion_WaitOfAMonth_TakesNoTime()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch.AddYears(56));
        await using var host = await DurableTestHost.StartAsync(time, time.Advance, static durable =>
            durable.AddOrchestratorFunc<object?, DateTime>("month", static async (context, _) =>
            {
                await context.CreateTimer(TimeSpan.FromDays(30), CancellationToken.None);
                return context.CurrentUtcDateTime;
            })
        );
        var began = time.GetUtcNow();
        var end = await host.RunToCompletionAsync(
            await host.Client.ScheduleNewOrchestrationInstanceAsync("month", cancellation: TestContext.Current.CancellationToken),
            TestContext.Current.CancellationToken
        );
        // While the engine works, the clock moves in small steps (RunUntilIdleAsync); how many depends on the machine.
        Assert.InRange(end.ReadOutputAs<DateTime>(), began.AddDays(30).UtcDateTime, began.AddDays(30).AddHours(1).UtcDateTime);
    }

    [Fact]
    public async Task RunToCompletion_EventThatNobodyRaises_SaysSo()
    {
        var time = new FakeTimeProvider();
        await using var host = await DurableTestHost.StartAsync(time, time.Advance, static durable =>
            durable.AddOrchestratorFunc<object?, int>("waiter", static (context, _) => context.WaitForExternalEvent<int>("never"))
        );
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("waiter", cancellation: TestContext.Current.CancellationToken);
        var stuck = await Assert.ThrowsAsync<InvalidOperationException>(() =>
            host.RunToCompletionAsync(id, TestContext.Current.CancellationToken)
        );
        Assert.StartsWith("InstanceWaitsForEver: ", stuck.Message, StringComparison.Ordinal);
    }

    /// <summary>A workflow and what happens to it.</summary>
    private sealed record Scenario(
        Step[] Steps,
        int Generations,
        int[] Whole,
        int Suspensions,
        bool Terminates,
        int Restarts,
        int Faults,
        int Seed
    )
    {
        /// <summary>
        /// Every event the workflow may wait for is raised once. No two actions, and no action and a timer, fall together: each action has
        /// a minute within the hour to itself, and timers are whole hours after the start or after a resume.
        /// </summary>
        public List<OutsideAction> Actions(string path)
        {
            var actions = new List<OutsideAction>();
            double Next() => Whole[actions.Count % Whole.Length] + ((actions.Count + 1) / 64.0);
            for (var generation = Generations; generation > 0; generation--)
            {
                for (var index = 0; index < Steps.Length; index++)
                {
                    if (Steps[index].Kind is StepKind.Event or StepKind.Race)
                        actions.Add(new(ActionKind.Raise, Next(), new Workflow(Steps, generation, path, 0).PathOf(index)));
                }
            }

            for (var i = 0; i < Suspensions; i++)
            {
                var suspend = new OutsideAction(ActionKind.Suspend, Next());
                actions.Add(suspend);
                actions.Add(new(ActionKind.Resume, Math.Floor(suspend.Hours) + Next()));
            }

            if (Terminates)
                actions.Add(new(ActionKind.Terminate, Next()));
            for (var i = 0; i < Restarts; i++)
                actions.Add(new(ActionKind.Restart, Next()));
            return [.. actions.OrderBy(action => action.Hours)];
        }

        public override string ToString() =>
            $"[{string.Join("; ", Steps.Select(step => step.ToString()))}] × {Generations}, "
            + $"{string.Join(", ", Actions("w"))}, {Faults} in 10 commits lose their answer (seed {Seed})";
    }

    private sealed class ModelHost : IAsyncDisposable
    {
        private readonly FakeTimeProvider _time = new(DateTimeOffset.UnixEpoch.AddYears(56));
        private readonly CallLog _log = new();
        private DurableTestHost? _host;
        private Random _random = new(1);
        private int _faults;

        private DurableTestHost Host => _host!;

        public static async Task<ModelHost> StartAsync()
        {
            var host = new ModelHost();
            host._host = await DurableTestHost.StartAsync(host._time, host._time.Advance, durable =>
            {
                durable.AddOrchestrator<WorkflowOrchestrator>();
                durable.AddActivity<CallActivity>("call");
                durable.AddActivity<RowActivity>("effect");
                durable.Services.AddSingleton(host._log);
            });
            host.AttachFaults();
            await host.ScalarAsync("create table effect(path text not null)");
            return host;
        }

        public async Task CheckAsync(Scenario scenario, int run)
        {
            var path = $"w{run}";
            (_random, _faults) = (new(scenario.Seed), scenario.Faults);
            var workflow = new Workflow(scenario.Steps, scenario.Generations, path, 0);
            var actions = scenario.Actions(path);
            Assert.Distinct(actions.Select(action => action.Hours % 1));
            var expected = new Expectation(workflow, actions);
            var start = _time.GetUtcNow();
            var id = await Host.Client.ScheduleNewOrchestrationInstanceAsync("workflow", workflow, new StartOrchestrationOptions(path));
            foreach (var action in actions)
            {
                await Host.RunUntilAsync(start.AddHours(action.Hours));
                await DoAsync(id, action);
            }

            var end = await Host.RunToCompletionAsync(id);
            Assert.True(expected.Status == end.RuntimeStatus, $"expected {expected.Status}, was {end.RuntimeStatus}: {end.FailureDetails}");
            if (expected.Status == OrchestrationRuntimeStatus.Completed)
                Assert.Equal(expected.Sum, end.ReadOutputAs<long>());
            Assert.Equal(expected.CustomStatus, end.ReadCustomStatusAs<string>());
            Assert.Equal(
                expected.Calls.OrderBy(call => call.Key, StringComparer.Ordinal),
                _log.Of(path).OrderBy(call => call.Key, StringComparer.Ordinal)
            );
            Assert.Equal(expected.Effects.Count, await ScalarAsync($"select count(*) from effect where path like '{path}.%'"));
            Assert.Equal(expected.Effects.Count, await ScalarAsync($"select count(distinct path) from effect where path like '{path}.%'"));
            var replay = HistoryReplayer.Check(new WorkflowOrchestrator(), await HistoryReplayer.RecordAsync(Host.Client, id));
            Assert.True(replay.Matches, replay.Difference);
            await Host.RunUntilIdleAsync();
            await using var connection = new SqliteConnection(Host.ConnectionString);
            await connection.OpenAsync();
            await Invariants.AssertAsync(connection);
        }

        public ValueTask DisposeAsync() => Host.DisposeAsync();

        private async Task DoAsync(string id, OutsideAction action)
        {
            switch (action.Kind)
            {
                case ActionKind.Raise:
                    await Host.Client.RaiseEventAsync(id, action.Event, Expectation.EventValue(action.Event));
                    break;
                case ActionKind.Suspend:
                    await Host.Client.SuspendInstanceAsync(id);
                    break;
                case ActionKind.Resume:
                    await Host.Client.ResumeInstanceAsync(id);
                    break;
                case ActionKind.Terminate:
                    await Host.Client.TerminateInstanceAsync(id, new TerminateInstanceOptions(Recursive: true));
                    break;
                default:
                    await Host.RestartAsync();
                    AttachFaults();
                    break;
            }
        }

        /// <summary>
        /// Before the commit: it did not happen. After it: it did, and nobody was told. The engine cannot tell the two apart.
        /// </summary>
        private void AttachFaults() =>
            Host.Services.GetRequiredService<TurnTriggers>().Hit = (point, _) =>
            {
                lock (_log)
                {
                    if (
                        point
                            is "turn.before-load"
                                or "turn.before-commit"
                                or "turn.after-commit"
                                or "completion.before-commit"
                                or "completion.after-commit"
                                or "effect.before-commit"
                                or "effect.after-commit"
                        && _random.Next(10) < _faults
                    )
                        throw new SqliteException("the answer was lost", 5);
                }

                return Task.CompletedTask;
            };

        private async Task<long> ScalarAsync(string sql)
        {
            await using var connection = new SqliteConnection(Host.ConnectionString);
            await connection.OpenAsync();
            await using var command = connection.CreateCommand();
            command.CommandText = sql;
            return Convert.ToInt64(await command.ExecuteScalarAsync(), System.Globalization.CultureInfo.InvariantCulture);
        }
    }
}
