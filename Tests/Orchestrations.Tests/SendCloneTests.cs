using System.Collections.Concurrent;
using Librarian.Durable.Testing;
using Librarian.Orchestrations.Clone;
using Microsoft.DurableTask;
using Microsoft.DurableTask.Client;
using Microsoft.DurableTask.Worker;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Orchestrations;

/// <summary>Tests how a batch reacts to its peer's answers, with activities that replay the answers and a fake clock.</summary>
public class SendCloneTests
{
    /// <summary>What the clock of <see cref="DurableTestHost"/> may add to a pause while the engine works.</summary>
    private static readonly TimeSpan Creep = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task StageBatch_AnsweredWithSoonAfterLongSilence_IsAskedAgainWithinSeconds()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch);
        var asked = new List<DateTimeOffset>();
        await using var host = await StartAsync(time, _ =>
        {
            asked.Add(time.GetUtcNow());
            // The last turn of the first generation gets the first answer that is not Wait.
            return asked.Count switch
            {
                < 100 => new BatchStep(StepOutcome.Wait, "", 1),
                < 103 => new BatchStep(StepOutcome.RetrySoon, "", 1),
                _ => new BatchStep(StepOutcome.Done, "", 0),
            };
        });
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(nameof(SendClone), new SendCloneInput(1, "archive"));

        var end = await host.RunToCompletionAsync(id, TestContext.Current.CancellationToken);

        Assert.Equal(OrchestrationRuntimeStatus.Completed, end.RuntimeStatus);
        Assert.InRange(asked[99] - asked[98], TimeSpan.FromMinutes(5), TimeSpan.FromMinutes(10) + Creep);
        for (var i = 0; i < 3; i++)
            Assert.InRange(asked[100 + i] - asked[99 + i], TimeSpan.FromSeconds(0.5) * (1 << i), TimeSpan.FromSeconds(1 << i) + Creep);
    }

    [Fact]
    public async Task StageBatch_WaitingThroughGenerations_IsNeverAskedTwiceWithoutAPause()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch);
        var asked = new List<DateTimeOffset>();
        await using var host = await StartAsync(time, _ =>
        {
            asked.Add(time.GetUtcNow());
            return new BatchStep(asked.Count < 250 ? StepOutcome.Wait : StepOutcome.Done, "", asked.Count < 250 ? 1 : 0);
        });
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(nameof(SendClone), new SendCloneInput(1, "archive"));
        await host.RunToCompletionAsync(id, TestContext.Current.CancellationToken);

        Assert.Equal(250, asked.Count);
        // Two generations end in this time, and the pause keeps its length.
        Assert.All(asked.Zip(asked.Skip(1), (a, b) => b - a).Skip(12), pause =>
            Assert.InRange(pause, TimeSpan.FromMinutes(5), TimeSpan.FromMinutes(10) + Creep)
        );
    }

    [Fact]
    public async Task StageBatch_AnsweredWithFull_IsAskedAfterPausesThatGrowToHours()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch);
        var asked = new List<DateTimeOffset>();
        await using var host = await StartAsync(time, _ =>
        {
            asked.Add(time.GetUtcNow());
            var full = time.GetUtcNow() < DateTimeOffset.UnixEpoch.AddDays(10);
            return new BatchStep(full ? StepOutcome.Full : StepOutcome.Done, "", full ? 1 : 0);
        });
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(nameof(SendClone), new SendCloneInput(1, "archive"));
        await host.RunToCompletionAsync(id, TestContext.Current.CancellationToken);

        var pauses = asked.Zip(asked.Skip(1), (a, b) => b - a).ToList();
        for (var i = 0; i < 7; i++)
            Assert.InRange(pauses[i], TimeSpan.FromSeconds(32 << i), TimeSpan.FromSeconds(64 << i) + Creep);
        Assert.All(pauses.Skip(7), p => Assert.InRange(p, TimeSpan.FromHours(1), TimeSpan.FromHours(2) + Creep));
        // More than one generation of pauses.
        Assert.InRange(asked.Count, 125, 250);
    }

    [Fact]
    public async Task Pauses_OfTwoBatches_DifferAndAreTheSameInEveryReplay()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch);
        var asked = new ConcurrentDictionary<long, List<DateTimeOffset>>();
        await using var host = await StartAsync(time, input =>
        {
            var list = asked.GetOrAdd(input.QueueId, _ => []);
            list.Add(time.GetUtcNow());
            return new BatchStep(list.Count < 12 ? StepOutcome.Wait : StepOutcome.Done, "", list.Count < 12 ? 1 : 0);
        });
        foreach (var queue in new[] { 1L, 2L })
            await host.Client.ScheduleNewOrchestrationInstanceAsync(
                nameof(SendClone),
                new SendCloneInput(queue, "archive"),
                new StartOrchestrationOptions(SendClone.InstanceId(queue))
            );
        for (var i = 0; i < 6; i++)
        {
            // Every restart begins with a replay; a pause of a different length would fail the instance as non-deterministic.
            await host.RunUntilAsync(time.GetUtcNow().AddMinutes(3), TestContext.Current.CancellationToken);
            await host.RestartAsync();
        }

        foreach (var queue in new[] { 1L, 2L })
            Assert.Equal(
                OrchestrationRuntimeStatus.Completed,
                (await host.RunToCompletionAsync(SendClone.InstanceId(queue), TestContext.Current.CancellationToken)).RuntimeStatus
            );
        Assert.NotEqual(asked[1][5] - asked[1][4], asked[2][5] - asked[2][4]);
    }

    [Fact]
    public async Task W21_PeerSwitchedOffForADay_IsLookedAtEveryTenMinutesAtMost()
    {
        // Upstream makes some 785 queries each second, and every batch behind this one waits.
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch);
        var (blocked, other) = (0, 0);
        await using var host = await StartAsync(time, input =>
        {
            var off = input.Destination == "off";
            if (off)
                blocked++;
            else
                other++;
            return off ? new BatchStep(StepOutcome.Wait, "switched off", 1) : new BatchStep(StepOutcome.Done, "", 0);
        });
        await host.Client.ScheduleNewOrchestrationInstanceAsync(nameof(SendClone), new SendCloneInput(1, "off"));
        await host.RunUntilIdleAsync(TestContext.Current.CancellationToken);
        var behind = await host.Client.ScheduleNewOrchestrationInstanceAsync(nameof(SendClone), new SendCloneInput(2, "archive"));

        await host.RunUntilIdleAsync(TestContext.Current.CancellationToken);
        Assert.Equal(OrchestrationRuntimeStatus.Completed, (await host.Client.GetInstanceAsync(behind))?.RuntimeStatus);
        Assert.Equal((1, 1), (blocked, other));
        await host.RunUntilAsync(DateTimeOffset.UnixEpoch.AddDays(1), TestContext.Current.CancellationToken);
        // Pauses double from one second to ten minutes, and each is between half of its length and all of it.
        Assert.InRange(blocked, 140, 290);
    }

    /// <summary>Starts a host whose first activity answers as the test says. The last activity only ends the batch.</summary>
    private static Task<DurableTestHost> StartAsync(FakeTimeProvider time, Func<SendCloneInput, BatchStep> stage) =>
        DurableTestHost.StartAsync(time, time.Advance, durable =>
            durable.AddTasks(tasks =>
                tasks
                    .AddOrchestrator<SendClone>()
                    .AddActivityFunc<SendCloneInput, BatchStep>(nameof(StageBatch), (_, input) => Task.FromResult(stage(input)))
                    .AddActivityFunc<SendCloneInput, string>(nameof(FinishBatch), (_, _) => Task.FromResult("finished"))
            )
        );
}
