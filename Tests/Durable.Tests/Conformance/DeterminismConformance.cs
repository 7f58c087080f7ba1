using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable.Conformance;

public sealed class DeterminismOnPostgres(PostgresServer server) : DeterminismConformance(new PostgresDatabase(server));

[Quick]
public sealed class DeterminismOnSqlite() : DeterminismConformance(new SqliteDatabase());

/// <summary>
/// Changed code and escaped code, as far as <see cref="FlowConformance"/> and <see cref="CompositionTests"/> do not have them: the whole
/// engine on both databases.
/// </summary>
public abstract class DeterminismConformance(TestDatabase database) : EngineTests(database)
{
    [Theory, Scenario(88, "NonDeterminism")]
    [InlineData("timer-to-event", "history has a timer, the code did a sent event 'note'")]
    [InlineData("child-renamed", "history has a call of sub-orchestrator 'child', the code did a call of sub-orchestrator 'stranger'")]
    [InlineData(
        "child-id",
        "history has a call of sub-orchestrator 'child' as instance 'child-of-it', the code did it as instance 'another'"
    )]
    [InlineData("event-renamed", "history has a sent event 'note', the code did a sent event 'other'")]
    [InlineData("event-removed", "history has a sent event 'note', the code did nothing there")]
    [InlineData("timer-extra", "history has nothing there, the code did a timer")]
    [InlineData("ended", "history has another turn, the code had ended as Completed")]
    [InlineData("continued", "history has another turn, the code had continued as new")]
    public async Task NonDeterminism_OtherThanActivities_FailsNamingOrchestratorPositionAndBothSides(string change, string told)
    {
        var changed = false;
        void Configure(IDurableTaskWorkerBuilder b) =>
            b.AddOrchestratorFunc<int, int>("evolving", async (c, input) =>
                {
                    var how = changed ? change : "";
                    if (how == "timer-to-event")
                        c.SendEvent("nobody", "note", 1);
                    else
                        await c.CreateTimer(TimeSpan.FromMilliseconds(1), CancellationToken.None);
                    var (name, id) = (how == "child-renamed" ? "stranger" : "child", how == "child-id" ? "another" : "child-of-it");
                    await c.CallSubOrchestratorAsync<int>(name, 1, new SubOrchestrationOptions(instanceId: id));
                    if (how != "event-removed")
                        c.SendEvent("nobody", how == "event-renamed" ? "other" : "note", 1);
                    if (how == "timer-extra")
                        _ = c.CreateTimer(TimeSpan.FromDays(1), CancellationToken.None);
                    if (how == "continued")
                        c.ContinueAsNew(1);
                    return how is "ended" or "continued" ? 7 : await c.WaitForExternalEvent<int>("go");
                })
                .AddOrchestratorFunc<int, int>("child", (_, n) => Task.FromResult(n))
                .AddOrchestratorFunc<int, int>("stranger", (_, n) => Task.FromResult(n));
        var host = await StartAsync(Configure);
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("evolving", 0);
        await Until(async () => await Count("select count(*) from dt_history where kind = 12") == 1, "the sent event");
        await host.DisposeAsync();
        changed = true;
        var second = await StartAsync(Configure);
        await second.Client.RaiseEventAsync(id, "go", 1);
        var end = await EndOf(second, id);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, end.RuntimeStatus);
        Assert.Equal("NonDeterministicOrchestration", end.FailureDetails!.ErrorType);
        Assert.Contains("orchestrator 'evolving'", end.FailureDetails.ErrorMessage, StringComparison.Ordinal);
        Assert.Matches("at position [0-9]+:", end.FailureDetails.ErrorMessage);
        Assert.Contains(told, end.FailureDetails.ErrorMessage, StringComparison.Ordinal);
        // The old code comes back: nothing is lost, and the message that met the wrong code is applied.
        await second.DisposeAsync();
        changed = false;
        var third = await StartAsync(Configure);
        await third.Client.RewindInstanceAsync(id, "");
        Assert.Equal(1, (await EndOf(third, id)).ReadOutputAs<int>());
    }

    [Fact, Scenario(89, "AwaitNonDurableTask")]
    public async Task AwaitNonDurableTask_CancellationOnAnotherThread_FailsItAlthoughATimerIsOutstanding()
    {
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int>("escape", async (c, _) =>
            {
                using var stop = new CancellationTokenSource();
                var year = c.CreateTimer(TimeSpan.FromDays(365), stop.Token);
#pragma warning disable LDUR0004 // What the run-time guard is to find.
                await stop.CancelAsync();
#pragma warning restore LDUR0004
                await year;
                return 0;
            }));
        var end = await EndOf(host, await host.Client.ScheduleNewOrchestrationInstanceAsync("escape", 0));
        Assert.Equal(OrchestrationRuntimeStatus.Failed, end.RuntimeStatus);
        Assert.Equal("NonDeterministicOrchestration", end.FailureDetails!.ErrorType);
        Assert.Contains("orchestrator 'escape'", end.FailureDetails.ErrorMessage, StringComparison.Ordinal);
    }

    /// <summary>The instance is in nobody's memory when the task at last comes back.</summary>
    [Theory, Scenario(89, "AwaitNonDurableTask")]
    [InlineData("unknown source")]
    [InlineData("side branch")]
    [InlineData("clock in a token")]
    public async Task AwaitNonDurableTask_ComesBackAfterTheInstanceLeftMemory_FailsIt(string how)
    {
        var outside = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var clock = new CancellationTokenSource();
        var host = await StartAsync(b => b.AddOrchestratorFunc<string, int>("escape", async (c, kind) =>
            {
                if (kind == "side branch")
                    _ = ElsewhereAsync();
                if (kind == "unknown source")
                    await Task.WhenAny(c.WaitForExternalEvent<int>("never"), outside.Task);
                await c.WaitForExternalEvent<int>("never", kind == "clock in a token" ? clock.Token : CancellationToken.None);
                return 0;

                async Task ElsewhereAsync() => await outside.Task;
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("escape", how);
        await Until(
            async () => await Count("select count(*) from dt_instance where status = 0 and owner is null") == 1,
            "waiting, in no memory"
        );
        outside.SetResult();
        // As a token with CancelAfter does: its callbacks run on a thread whose exceptions would end the process.
        await Task.Run(clock.Cancel);
        var end = await EndOf(host, id);
        Assert.Equal(OrchestrationRuntimeStatus.Failed, end.RuntimeStatus);
        Assert.Contains(
            "orchestrator 'escape' left its flow of control after its turn",
            end.FailureDetails!.ErrorMessage,
            StringComparison.Ordinal
        );
        Assert.Equal(0, await Count("select count(*) from dt_inbox"));
        Assert.Equal(0, await Count("select count(*) from dt_history where kind = 18"));
    }

    [Fact, Scenario(89, "AwaitNonDurableTask")]
    public async Task AwaitNonDurableTask_OfAnExecutionThatContinuedAsNew_DoesNotTouchTheNextOne()
    {
        var outside = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var host = await StartAsync(b => b.AddOrchestratorFunc<int, int>("escape", async (c, n) =>
            {
                if (n == 0)
                {
                    _ = ElsewhereAsync();
                    c.ContinueAsNew(1);
                    return 0;
                }

                return await c.WaitForExternalEvent<int>("go");

                async Task ElsewhereAsync() => await outside.Task;
            }));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("escape", 0);
        await Until(
            async () => await Count("select count(*) from dt_instance where status = 0 and owner is null and input = '1'") == 1,
            "the second execution"
        );
        outside.SetResult();
        await host.Client.RaiseEventAsync(id, "go", 5);
        Assert.Equal(5, (await EndOf(host, id)).ReadOutputAs<int>());
    }
}
