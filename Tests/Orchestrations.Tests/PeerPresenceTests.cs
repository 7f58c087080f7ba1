using Librarian.Durable.Testing;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.Repair;
using Microsoft.DurableTask;
using Microsoft.DurableTask.Worker;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Orchestrations;

/// <summary>Tests workflows that wait for a peer and its signs of life, with activities that stand for the peer and a fake clock.</summary>
public class PeerPresenceTests
{
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UnixEpoch);
    private readonly List<DateTimeOffset> _asked = [];
    private PeerPresence _presence = null!;
    private bool _isAway = true;

    public static TheoryData<string> Workflows => [nameof(SendClone), NotifySource.TaskName, nameof(RepairCopy)];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Theory, MemberData(nameof(Workflows))]
    public async Task Workflow_PeerIsBackAfterAnHour_GoesOnWithinSeconds(string workflow)
    {
        await using var host = await StartAsync();
        var id = await BeginAsync(host, workflow);
        await host.RunUntilAsync(_time.GetUtcNow().AddHours(1), Stop);
        Assert.InRange(_asked[^1] - _asked[^2], TimeSpan.FromMinutes(4), TimeSpan.FromMinutes(10.5));
        var before = _asked.Count;

        _isAway = false;
        await _presence.WakeWaitingAsync("archive", Stop);
        var heard = _time.GetUtcNow();
        await host.RunToCompletionAsync(id, Stop);

        Assert.Equal(before + 1, _asked.Count);
        // The test's clock creeps while the engine works.
        Assert.InRange(_asked[^1] - heard, TimeSpan.Zero, TimeSpan.FromSeconds(12));
    }

    [Theory, MemberData(nameof(Workflows))]
    public async Task Workflow_PeerFailsOnceMoreAfterItsSignOfLife_IsAskedAfterPausesThatBeginAnew(string workflow)
    {
        await using var host = await StartAsync();
        await BeginAsync(host, workflow);
        await host.RunUntilAsync(_time.GetUtcNow().AddHours(1), Stop);
        var before = _asked.Count;
        await _presence.WakeWaitingAsync("archive", Stop);
        await host.RunUntilAsync(_time.GetUtcNow().AddSeconds(8), Stop);
        // One call at once, then after pauses of one, two and four seconds, each shortened by up to a half.
        Assert.InRange(_asked.Count - before, 3, 5);
    }

    [Theory, MemberData(nameof(Workflows))]
    public async Task Workflow_PeerThatCallsUsAndRefusesOurCalls_IsNotHammered(string workflow)
    {
        await using var host = await StartAsync();
        await BeginAsync(host, workflow);
        var start = _time.GetUtcNow();
        for (var calls = 1; calls <= 240; calls++)
        {
            await host.RunUntilAsync(start.AddSeconds(30 * calls), Stop);
            // A restart replays the wake-ups.
            if (calls % 60 == 0)
                await RestartAsync(host);
            await _presence.WakeWaitingAsync("archive", Stop);
        }

        // In the second hour: one wake-up every ten minutes, and the pauses between them. A call for each sign of life would make 120.
        Assert.InRange(_asked.Count(a => a > start.AddHours(1)), 6, 24);

        // The peer is not forgotten: when it accepts calls again, the work continues after the shortest time between wake-ups.
        _isAway = false;
        var before = _asked.Count;
        await host.RunUntilAsync(_time.GetUtcNow().AddMinutes(10), Stop);
        Assert.Equal(before + 1, _asked.Count);
    }

    [Fact]
    public async Task Heard_ManyTimes_RaisesOneEventPerWait()
    {
        await using var host = await StartAsync();
        var id = await BeginAsync(host, nameof(SendClone));
        await host.RunUntilAsync(_time.GetUtcNow().AddHours(1), Stop);
        for (var bursts = 1; bursts <= 3; bursts++)
        {
            for (var i = 0; i < 100; i++)
                await _presence.WakeWaitingAsync("archive", Stop);
            await _presence.WakeWaitingAsync("somebody else", Stop);
            await host.RunUntilIdleAsync(Stop);
            Assert.Equal(bursts, (await host.Client.ReadHistoryAsync(id, Stop)).Count(e => e.EventType == "EventRaised"));
            // The workflow has called the peer and waits again; only a later sign of life counts.
            Assert.Equal(["archive"], _presence.Awaited);
            await host.RunUntilAsync(_time.GetUtcNow() + PeerPresence.AtMostEvery, Stop);
        }
    }

    [Fact]
    public async Task SendClone_HistoryOfTheReleaseBefore_IsReplayedWithoutADifference()
    {
        var steps = 0;
        await using var host = await DurableTestHost.StartAsync(_time, _time.Advance, durable => durable.AddTasks(tasks =>
                tasks
                    .AddOrchestrator<SendCloneBefore>()
                    .AddActivityFunc<SendCloneInput, BatchStep>(nameof(StageBatch), (_, _) => Task.FromResult(
                            ++steps switch
                            {
                                < 8 => new BatchStep(StepOutcome.Wait, "", 1),
                                8 => new BatchStep(StepOutcome.RetrySoon, "", 1),
                                9 => new BatchStep(StepOutcome.Full, "", 1),
                                10 => new BatchStep(StepOutcome.Continue, "", 1),
                                _ => new BatchStep(StepOutcome.Done, "", 1),
                            }
                        ))
                    .AddActivityFunc<SendCloneInput, BatchStep>(nameof(AnnounceOngoing), (_, _) =>
                        Task.FromResult(new BatchStep(StepOutcome.Done, "", 1))
                    )
                    .AddActivityFunc<SendCloneInput, BatchStep>(nameof(CopyBatch), (_, _) =>
                        Task.FromResult(new BatchStep(StepOutcome.Done, "", 1))
                    )
                    .AddActivityFunc<SendCloneInput, BatchStep>(nameof(AnnounceStaged), (_, _) =>
                        Task.FromResult(new BatchStep(StepOutcome.Done, "", 1))
                    )
                    .AddActivityFunc<SendCloneInput, BatchStep>(nameof(ReviewBatch), (_, _) =>
                        Task.FromResult(new BatchStep(StepOutcome.Wait, "", 1))
                    )
                    .AddActivityFunc<SendCloneInput, string>(nameof(FinishBatch), (_, _) => Task.FromResult("finished"))
            ));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync(
            nameof(SendClone),
            new SendCloneInput(1, "archive"),
            new StartOrchestrationOptions(SendClone.InstanceId(1))
        );
        await host.RunUntilAsync(_time.GetUtcNow().AddHours(2), Stop);
        var running = await HistoryReplayer.RecordAsync(host.Client, id, Stop);
        await host.Client.RaiseEventAsync(id, SendClone.SettledEvent, null, Stop);
        await host.RunToCompletionAsync(id, Stop);

        Assert.InRange(steps, 11, 11);
        Assert.Null(HistoryReplayer.Check(new SendClone(), running).Difference);
        Assert.Null(HistoryReplayer.Check(new SendClone(), await HistoryReplayer.RecordAsync(host.Client, id, Stop)).Difference);
    }

    private async Task<string> BeginAsync(DurableTestHost host, string workflow) =>
        workflow switch
        {
            nameof(SendClone) => await host.Client.ScheduleNewOrchestrationInstanceAsync(
                workflow,
                new SendCloneInput(1, "archive"),
                new StartOrchestrationOptions(workflow)
            ),
            NotifySource.TaskName => await host.Client.ScheduleNewOrchestrationInstanceAsync(
                workflow,
                new NotifySourceInput("archive"),
                new StartOrchestrationOptions(workflow)
            ),
            _ => await host.Client.ScheduleNewOrchestrationInstanceAsync(
                workflow,
                new RepairInput(1),
                new StartOrchestrationOptions(workflow)
            ),
        };

    private async Task<DurableTestHost> StartAsync()
    {
        var host = await DurableTestHost.StartAsync(_time, _time.Advance, durable =>
            durable.AddTasks(tasks =>
                tasks
                    .AddOrchestrator<SendClone>()
                    .AddOrchestrator<NotifySource>()
                    .AddOrchestrator<RepairCopy>()
                    .AddActivityFunc<SendCloneInput, BatchStep>(nameof(StageBatch), (context, _) =>
                        Task.FromResult(Ask(context) ? new BatchStep(StepOutcome.Done, "", 0) : new BatchStep(StepOutcome.Wait, "", 1))
                    )
                    .AddActivityFunc<NotifySourceInput, NotifyStep>(NotifyPage.TaskName, (context, _) =>
                        Task.FromResult(new NotifyStep(Ask(context) ? NotifyOutcome.Done : NotifyOutcome.Wait, ""))
                    )
                    .AddActivityFunc<RepairInput, RepairStep>(nameof(AskForReplacement), (context, _) =>
                        Task.FromResult(new RepairStep(Ask(context) ? RepairOutcome.Done : RepairOutcome.Wait, ""))
                    )
                    .AddActivityFunc<SendCloneInput, string>(nameof(FinishBatch), (_, _) => Task.FromResult("finished"))
            )
        );
        _presence = new PeerPresence(host.Client, _time, NullLogger<PeerPresence>.Instance);
        return host;
    }

    /// <summary>
    /// Restarts the host. The presence belongs to the process and is lost, so the test registers the waiting workflows again.
    /// </summary>
    private async Task RestartAsync(DurableTestHost host)
    {
        var awaited = _presence.IsAwaited("archive");
        await host.RestartAsync();
        _presence = new PeerPresence(host.Client, _time, NullLogger<PeerPresence>.Instance);
        if (!awaited)
            return;
        foreach (var workflow in new[] { nameof(SendClone), NotifySource.TaskName, nameof(RepairCopy) })
            if (await host.Client.GetInstanceAsync(workflow) is not null)
                _presence.AddWaiting("archive", workflow);
    }

    /// <summary>Does what every activity that calls a peer does.</summary>
    private bool Ask(TaskActivityContext context)
    {
        _presence.RemoveWaiting(context.InstanceId);
        _asked.Add(_time.GetUtcNow());
        if (_isAway)
            _presence.AddWaiting("archive", context.InstanceId);
        return !_isAway;
    }

    /// <summary>SendClone as it was released before it listened to signs of life; some sites still run instances that it started.</summary>
    [DurableTask(nameof(SendClone))]
    private sealed class SendCloneBefore : TaskOrchestrator<SendCloneInput, string>
    {
        private static readonly string[] Delivery =
        [
            nameof(StageBatch),
            nameof(AnnounceOngoing),
            nameof(CopyBatch),
            nameof(AnnounceStaged),
        ];

        public override async Task<string> RunAsync(TaskOrchestrationContext context, SendCloneInput input)
        {
            ArgumentNullException.ThrowIfNull(context);
            ArgumentNullException.ThrowIfNull(input);
            var settled = context.WaitForExternalEvent<string?>(SendClone.SettledEvent);
            foreach (var stage in Delivery)
            {
                while (true)
                {
                    var step = await context.CallActivityAsync<BatchStep>(stage, input);
                    if (step.Outcome == StepOutcome.Done)
                        break;
                    if (step.Outcome == StepOutcome.Continue)
                        continue;
                    context.NewGuid();
                    if (await IsSettledWithinAsync(TimeSpan.FromMinutes(1)))
                        return await context.CallActivityAsync<string>(nameof(FinishBatch), input);
                }
            }

            while (!await IsSettledWithinAsync(TimeSpan.FromMinutes(5)))
                await context.CallActivityAsync<BatchStep>(nameof(ReviewBatch), input);
            return await context.CallActivityAsync<string>(nameof(FinishBatch), input);

            async Task<bool> IsSettledWithinAsync(TimeSpan pause)
            {
                using var cancel = new CancellationTokenSource();
                var timer = context.CreateTimer(pause, cancel.Token);
                if (await Task.WhenAny(settled, timer) != settled)
                    return false;
#pragma warning disable CA1849, MA0042 // CancelAsync leaves the orchestrator's thread; an orchestrator may await only durable tasks.
                cancel.Cancel();
#pragma warning restore CA1849, MA0042
                return true;
            }
        }
    }
}
