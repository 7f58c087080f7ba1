using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Librarian.Tests.TestKit;
using Microsoft.Extensions.Logging.Abstractions;

namespace Librarian.Tests.Durable;

public sealed class RewindOnPostgres(PostgresServer server) : RewindTests(new PostgresDatabase(server))
{
    [Fact]
    public async Task Rewind_WhileATransactionalActivityCommits_WaitsForIt()
    {
        var (reached, goOn) = (new TaskCompletionSource(), new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        var id = await FailedBeforeItsEffectAsync();
        var late = await StartLateAsync(created =>
            created.Worker.Database.Triggers.Hit = (point, _) =>
                point == "effect.before-commit" && reached.TrySetResult() ? goOn.Task : Task.CompletedTask
        );
        await reached.Task.WaitAsync(Limit);
        var rewinding = late.Client.RewindInstanceAsync(id, "");
        await Until(
            async () =>
                await Count("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'") > 0,
            "the wait"
        );
        goOn.SetResult();
        await rewinding;
        Assert.Equal(7, (await EndOf(late, id)).ReadOutputAs<int>());
        Assert.Equal(1, await Count("select count(*) from effect"));
    }
}

[Quick]
public sealed class RewindOnSqlite() : RewindTests(new SqliteDatabase());

/// <summary>What an instance had been told or done when it failed is neither lost nor done twice by the rewind.</summary>
public abstract class RewindTests(TestDatabase database) : EngineTests(database)
{
    private static IDurableTaskWorkerBuilder Letters(IDurableTaskWorkerBuilder b) =>
        b.AddOrchestratorFunc<int, string>("letters", async (c, _) =>
            {
                for (var text = ""; ; )
                {
                    var letter = await c.WaitForExternalEvent<string>("letter");
                    if (letter == "end")
                        return text;
                    text += await c.CallActivityAsync<string>("echo", letter);
                }
            })
            .AddActivityFunc<string, string>("echo", (_, letter) => Task.FromResult(letter));

    [Fact]
    public async Task Rewind_FailedByChangedCodeInTheTurnThatResumedIt_GoesOnWithTheKeptMessages()
    {
        var host = await StartAsync(b => Letters(b));
        var id = await SuspendedWithLettersAsync(host);
        await host.DisposeAsync();
        var changed = await StartAsync(b => b.AddOrchestratorFunc<int, string>("letters", (c, _) => c.CallActivityAsync<string>("new")));
        await changed.Client.ResumeInstanceAsync(id);
        Assert.Equal("NonDeterministicOrchestration", (await EndOf(changed, id)).FailureDetails!.ErrorType);
        await changed.DisposeAsync();
        await RewindToEndAsync(await StartAsync(b => Letters(b)), id);
    }

    [Fact]
    public async Task Rewind_FailedAsPoisonInTheTurnThatResumedIt_GoesOnWithTheKeptMessages()
    {
        var host = await StartPoisonedAsync();
        var id = await SuspendedWithLettersAsync(host);
        _poisoned = 2;
        await host.Client.ResumeInstanceAsync(id);
        Assert.Equal("Poison", (await EndOf(host, id)).FailureDetails!.ErrorType);
        await RewindToEndAsync(host, id);
    }

    [Fact]
    public async Task Rewind_PoisonForTheSecondTime_StillHasTheMessages()
    {
        var host = await StartPoisonedAsync();
        var id = await SuspendedWithLettersAsync(host);
        _poisoned = 2;
        await host.Client.ResumeInstanceAsync(id);
        await EndOf(host, id);
        await AtRestAsync(host);
        _poisoned = 2;
        await host.Client.RewindInstanceAsync(id, "");
        Assert.Equal("Poison", (await EndOf(host, id)).FailureDetails!.ErrorType);
        await RewindToEndAsync(host, id);
    }

    [Fact]
    public async Task Rewind_FailedAsPoisonWithAnUnprocessedEvent_DropsItsRepetition()
    {
        var host = await StartPoisonedAsync();
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("letters", 0);
        await host.Client.WaitForInstanceStartAsync(id);
        await AtRestAsync(host);
        _poisoned = 2;
        await host.Client.RaiseEventAsync(id, "letter", "a", "callback-1");
        Assert.Equal("Poison", (await EndOf(host, id)).FailureDetails!.ErrorType);
        await host.Client.RewindInstanceAsync(id, "");
        await host.Client.RaiseEventAsync(id, "letter", "a", "callback-1");
        await host.Client.RaiseEventAsync(id, "letter", "end");
        Assert.Equal("a", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Fact]
    public async Task Rewind_TransactionalActivityThatEndedAfterItsInstanceHadFailed_HasOneEffect()
    {
        var id = await FailedBeforeItsEffectAsync();
        var late = await StartLateAsync();
        await Until(async () => await Count("select count(*) from effect") == 1, "the effect");
        await late.Worker.Database.Leases.DropStrayMessagesAsync(CancellationToken.None);
        await late.Client.RewindInstanceAsync(id, "");
        Assert.Equal(7, (await EndOf(late, id)).ReadOutputAs<int>());
        Assert.Equal(1, await Count("select count(*) from effect"));
        await AssertInvariantsAsync(late);
    }

    [Fact]
    public async Task Failure_WithAResultThatCameAfterItsTurnHadRead_KeepsIt()
    {
        var host = await StartAsync(b => b.Configure(o => o.RunWorker = false));
        var claim = await FenceTests.ClaimAsync(host, "x");
        await host.Worker.Database.Turns.CommitAsync(FenceTests.Full(claim), CancellationToken.None);
        var activity = new ClaimedActivity(claim.InstanceId, claim.Identity.ExecutionId, 0, "a", "", null, claim.Owner, 1, 1);
        await host.Worker.Database.Queries.CompleteAsync([new(activity, "7", null)], CancellationToken.None);
        await host.Client.RaiseEventAsync(claim.InstanceId, "letter", "a");
        var end = new TurnOutcome
        {
            Events = [HistoryEvent.TurnStarted(1)],
            End = new(OrchestrationRuntimeStatus.Failed, null, new TaskFailureDetails("x", "x", null, null, null)),
        };
        await host.Worker.Database.Turns.CommitAsync(new(claim, end, 1, 1, [], [], Release: true), CancellationToken.None);
        Assert.Equal(
            (1, (int)EventKind.TaskCompleted),
            (await Count("select count(*) from dt_inbox"), await Count("select kind from dt_inbox"))
        );
    }

    [Fact]
    public async Task Reopening_OfAnActivityWhoseResultHasArrived_LeavesIt()
    {
        var host = await StartAsync(b => b.Configure(o => o.RunWorker = false));
        var claim = await FenceTests.ClaimAsync(host, "x");
        await host.Worker.Database.Turns.CommitAsync(FenceTests.Full(claim), CancellationToken.None);
        var activity = new ClaimedActivity(claim.InstanceId, claim.Identity.ExecutionId, 0, "a", "", null, claim.Owner, 1, 1);
        await host.Worker.Database.Queries.CompleteAsync([new(activity, "7", null)], CancellationToken.None);
        var rewound = new Turn(claim, new() { Events = [HistoryEvent.TurnStarted(1)] }, 1, 1, [], [], Release: true)
        {
            LateActivities = [new(new(0, "a", null, ""), null, 2, 0), new(new(1, "b", null, ""), null, 2, 0)],
        };
        await host.Worker.Database.Turns.CommitAsync(rewound, CancellationToken.None);
        Assert.Equal((1, 1), (await Count("select count(*) from dt_activity"), await Count("select task_id from dt_activity")));
    }

    private int _poisoned;

    private Task<EngineHost> StartPoisonedAsync() =>
        StartAsync(
            b => Letters(b).Configure(o => o.MaxDeliveries = 2),
            created =>
                created.Worker.Database.Triggers.Hit = (point, _) =>
                    point == "turn.before-load" && _poisoned > 0 && _poisoned-- > 0
                        ? throw new InvalidOperationException("injected")
                        : Task.CompletedTask
        );

    private static IDurableTaskWorkerBuilder Effects(IDurableTaskWorkerBuilder b, bool broken) =>
        b.AddOrchestratorFunc<int, int>("both", async (c, _) =>
            {
                var effect = c.CallActivityAsync<int>(nameof(EffectActivity), 0, new ActivityOptions { Queue = "later" });
                await c.CallActivityAsync<int>("maybe");
                return await effect;
            })
            .AddActivityFunc<int, int>("maybe", (_, _) => broken ? throw new InvalidOperationException("no") : Task.FromResult(0))
            .AddActivity<EffectActivity>();

    /// <summary>An instance that failed while its transactional activity waits for a host that serves its queue.</summary>
    protected async Task<string> FailedBeforeItsEffectAsync()
    {
        await Execute("create table effect(operation text)");
        var host = await StartAsync(b => Effects(b, broken: true));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("both", 0);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, (await EndOf(host, id)).RuntimeStatus);
        await host.DisposeAsync();
        return id;
    }

    protected Task<EngineHost> StartLateAsync(Action<EngineHost>? beforeStart = null) =>
        StartAsync(b => Effects(b, broken: false).Configure(o => o.Queues["later"] = 1), beforeStart);

    /// <summary>
    /// Waits until no instance is in memory: one that just leaves it may look for messages once more, and meet what is meant for its next
    /// turn.
    /// </summary>
    private static Task AtRestAsync(EngineHost host) =>
        Until(() => Task.FromResult(host.Worker.Telemetry.Worker is { ResidentCount: 0 }), "all instances have left the memory");

    private static async Task<string> SuspendedWithLettersAsync(EngineHost host)
    {
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("letters", 0);
        await host.Client.WaitForInstanceStartAsync(id);
        await host.Client.SuspendInstanceAsync(id);
        await Until(
            async () => (await host.Client.GetInstanceAsync(id))!.RuntimeStatus == OrchestrationRuntimeStatus.Suspended,
            "suspension"
        );
        await host.Client.RaiseEventAsync(id, "letter", "a");
        await host.Client.RaiseEventAsync(id, "letter", "b");
        await AtRestAsync(host);
        return id;
    }

    private static async Task RewindToEndAsync(EngineHost host, string id)
    {
        await host.Client.RewindInstanceAsync(id, "");
        await host.Client.RaiseEventAsync(id, "letter", "c");
        await host.Client.RaiseEventAsync(id, "letter", "end");
        Assert.Equal("abc", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    public sealed class EffectActivity : TransactionalActivity<int, int>
    {
        public override async Task<int> RunAsync(TransactionalActivityContext context, int input)
        {
            await using var command = context.Connection.CreateCommand();
            command.Transaction = context.Transaction;
            command.CommandText = "insert into effect values ('once')";
            await command.ExecuteNonQueryAsync();
            return 7;
        }
    }
}

[Quick]
public class RewindPlanTests
{
    [Fact]
    public void Turn_ThatFailsBeforeAResultHadItsTurn_RecordsItForTheRewind()
    {
        static OrchestrationExecution Create() =>
            new(new("i", 1, "both", "", null, null), new Both(), new JsonDataConverter(), NullLoggerFactory.Instance, null);
        List<HistoryEvent> history = [];
        var first = Create();
        history.AddRange(first.RunTurn(1, [new(EventKind.ExecutionStarted, -1, "both", null, null, 1)]).Events);
        HistoryEvent[] inputs =
        [
            new(
                EventKind.TaskFailed,
                0,
                "bad",
                null,
                OrchestrationExecution.FailureText(new TaskFailureDetails("x", "x", null, null, null)),
                2
            ),
            new(EventKind.TaskCompleted, 1, "good", "7", null, 2),
            new(EventKind.EventRaised, -1, "letter", "1", null, 2),
        ];
        history.AddRange(first.RunTurn(2, inputs).Events);

        Assert.Null(Create().Replay(history));
        var plan = RewindPlan.Make(history, Create);
        var rewound = plan.Execution.RunRewoundTurn(3, plan, [new(EventKind.ExecutionRewound, -1, null, null, null, 3)]);

        Assert.Equal(["bad"], rewound.ReopenedTasks.Select(task => task.Name));
        Assert.Equal(
            [EventKind.OrchestratorStarted, EventKind.TaskCompleted, EventKind.EventRaised, EventKind.ExecutionRewound],
            rewound.Events.Select(entry => entry.Kind)
        );
    }

    private sealed class Both : TaskOrchestrator<int, int>
    {
        public override async Task<int> RunAsync(TaskOrchestrationContext context, int input)
        {
            var bad = context.CallActivityAsync<int>("bad");
            var good = context.CallActivityAsync<int>("good");
            return await bad + await good;
        }
    }
}
