using Librarian.Durable;
using Librarian.Durable.Testing;
using Librarian.Orchestrations.Clone;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Orchestrations;

/// <summary>What a batch does with its neighbour's answers, with activities that replay them and a clock of the test's own.</summary>
public class SendCloneTests
{
    [Fact]
    public async Task StageBatch_AnsweredWithSoonAfterADayOfSilence_IsAskedAgainWithinSeconds()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch);
        var asked = new List<DateTimeOffset>();
        await using var host = await DurableTestHost.StartAsync(time, time.Advance, durable => durable
            .AddOrchestrator<SendClone>()
            .AddActivityFunc<SendCloneInput, BatchStep>(nameof(StageBatch), (_, _) =>
            {
                asked.Add(time.GetUtcNow());
                var outcome = time.GetUtcNow() < DateTimeOffset.UnixEpoch.AddDays(1) ? StepOutcome.Wait : asked.Count(at => at >= DateTimeOffset.UnixEpoch.AddDays(1)) < 3 ? StepOutcome.Soon : StepOutcome.Done;
                return Task.FromResult(new BatchStep(outcome, "", outcome == StepOutcome.Done ? 0 : 1));
            })
            .AddActivityFunc<SendCloneInput, string>(nameof(FinishBatch), (_, _) => Task.FromResult("finished")));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(nameof(SendClone), new SendCloneInput(1, "archive"));

        var end = await host.RunToCompletionAsync(id, TestContext.Current.CancellationToken);

        Assert.Equal(OrchestrationRuntimeStatus.Completed, end.RuntimeStatus);
        var answered = asked.Where(at => at >= DateTimeOffset.UnixEpoch.AddDays(1)).ToList();
        Assert.Equal(TimeSpan.FromMinutes(10), asked[^3] - asked[^4]);
        Assert.Equal([TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2)], answered.Zip(answered.Skip(1), (a, b) => b - a));
    }

    [Fact]
    public async Task W21_NeighbourSwitchedOffForADay_IsLookedAtEveryTenMinutesAtMost()
    {
        // Upstream: some 785 queries each second, and every batch behind this one waits.
        var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch);
        var (blocked, other) = (0, 0);
        await using var host = await DurableTestHost.StartAsync(time, time.Advance, durable => durable
            .AddOrchestrator<SendClone>()
            .AddActivityFunc<SendCloneInput, BatchStep>(nameof(StageBatch), (_, input) =>
            {
                var off = input.Destination == "off";
                if (off) blocked++;
                else other++;
                return Task.FromResult(off ? new BatchStep(StepOutcome.Wait, "switched off", 1) : new BatchStep(StepOutcome.Done, "", 0));
            })
            .AddActivityFunc<SendCloneInput, string>(nameof(FinishBatch), (_, _) => Task.FromResult("finished")));
        await host.Client.ScheduleNewOrchestrationInstanceAsync(nameof(SendClone), new SendCloneInput(1, "off"));
        await host.RunUntilIdleAsync(TestContext.Current.CancellationToken);
        var behind = await host.Client.ScheduleNewOrchestrationInstanceAsync(nameof(SendClone), new SendCloneInput(2, "archive"));

        await host.RunUntilIdleAsync(TestContext.Current.CancellationToken);
        Assert.Equal(OrchestrationRuntimeStatus.Completed, (await host.Client.GetInstanceAsync(behind))?.RuntimeStatus);
        Assert.Equal((1, 1), (blocked, other));
        await host.RunUntilAsync(DateTimeOffset.UnixEpoch.AddDays(1), TestContext.Current.CancellationToken);
        // A second, doubling to ten minutes.
        Assert.InRange(blocked, 140, 160);
    }
}
