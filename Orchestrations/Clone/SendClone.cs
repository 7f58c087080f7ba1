namespace Librarian.Orchestrations.Clone;

/// <summary>Input of <see cref="SendClone"/>.</summary>
/// <param name="QueueId">The batch (row in <c>send_queue</c>).</param>
/// <param name="Destination">The neighbour's name.</param>
/// <param name="Waits">For the orchestration, pauses of its earlier generations; for an activity, all pauses so far.</param>
/// <param name="Soons">How often in a row the neighbour had needed a moment when the earlier generation ended.</param>
/// <param name="Fulls">How often in a row the neighbour had been full when the earlier generation ended.</param>
public sealed record SendCloneInput(long QueueId, string Destination, int Waits = 0, int Soons = 0, int Fulls = 0);

/// <summary>What one step of a batch came to.</summary>
public enum StepOutcome
{
    /// <summary>Nothing is left to do in this step.</summary>
    Done,

    /// <summary>Progress was made and more may be possible at once.</summary>
    Again,

    /// <summary>Nothing can be done now (neighbour unreachable, transfers switched off); try again after a pause.</summary>
    Wait,

    /// <summary>
    /// The neighbour has answered and needs a moment (it has just given up an earlier attempt, 406): a back-off that grew while it was away
    /// says nothing about this, so it begins anew.
    /// </summary>
    Soon,

    /// <summary>The neighbour has no room (413): it is asked again after pauses that grow to hours, and gets no new batches meanwhile.</summary>
    Full,
}

/// <summary>Answer of an activity that advances a batch.</summary>
/// <param name="Outcome">What to do next.</param>
/// <param name="Message">For people; shown in the orchestration's status.</param>
/// <param name="Remaining">Transfers of the batch that have not ended.</param>
public sealed record BatchStep(StepOutcome Outcome, string Message, int Remaining);

/// <summary>Status that <see cref="SendClone"/> shows while it runs.</summary>
/// <param name="Stage">Step it is in.</param>
/// <param name="Message">What the last activity said.</param>
/// <param name="Remaining">Transfers that have not ended.</param>
public sealed record SendCloneStatus(string Stage, string Message, int Remaining);

/// <summary>
/// Brings one batch of files to one neighbour (wire.md §9.1): stage there, say ongoing, copy, say staged, wait for its
/// callbacks, review what stays silent. Instance id <c>send-clone-{queue}</c>: starting a batch twice is harmless.
/// </summary>
/// <remarks>
/// Every activity reads the state of the batch's transfers from the catalog and does only what is still to be done, so a
/// crash between any two steps, or a new generation of this instance, simply finds the next thing to do. The neighbour may
/// be away for weeks: pauses grow to ten minutes, to two hours while it is full, and the history is cut by ContinueAsNew.
/// </remarks>
[DurableTask(nameof(SendClone))]
public sealed class SendClone : TaskOrchestrator<SendCloneInput, string>
{
    /// <summary>Event that says that no transfer of the batch is unfinished any more.</summary>
    public const string SettledEvent = "Settled";

    private const int TurnsPerGeneration = 100;

    // As a pause: 4 to 8 minutes.
    private const int FirstReview = 9;
    private static readonly string[] Delivery = [nameof(StageBatch), nameof(AnnounceOngoing), nameof(CopyBatch), nameof(AnnounceStaged)];

    /// <summary>Instance id of a batch.</summary>
    public static string InstanceId(long queueId) => $"send-clone-{queueId}";

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var (waits, soon, full, turns) = (input.Waits, input.Soons, input.Fulls, 0);
        var settled = context.WaitForExternalEvent<string?>(SettledEvent);
        foreach (var stage in Delivery)
        {
            while (true)
            {
                var step = await CallAsync(stage);
                if (step.Remaining == 0) return await FinishAsync();
                if (step.Outcome == StepOutcome.Done) break;
                turns++;
                if (step.Outcome == StepOutcome.Again)
                {
                    if (turns >= TurnsPerGeneration) return NextGeneration();
                    continue;
                }

                soon = step.Outcome == StepOutcome.Soon ? soon + 1 : 0;
                full = step.Outcome == StepOutcome.Full ? full + 1 : 0;
                var pause = full > 0 ? PeerCalls.PauseWhenFull(full - 1, context.NewGuid()) : PeerCalls.Pause(soon > 0 ? soon - 1 : waits++, context.NewGuid());
                if (await IsSettledWithinAsync(pause)) return await FinishAsync();
                // After the pause: a new generation asks at once.
                if (turns >= TurnsPerGeneration) return NextGeneration();
            }

            // It has answered: what its absence had let the pauses grow to says nothing about the next step.
            waits = 0;
        }

        // All bytes are there: the neighbour verifies them and calls back. Ask it only when it stays silent.
        while (!await IsSettledWithinAsync(PeerCalls.Pause(Math.Max(FirstReview, waits), context.NewGuid())))
        {
            var step = await CallAsync(nameof(ReviewBatch));
            if (step.Remaining == 0) break;
            waits++;
            if (++turns >= TurnsPerGeneration) return NextGeneration();
        }

        return await FinishAsync();

        async Task<BatchStep> CallAsync(string stage)
        {
            var step = await context.CallActivityAsync<BatchStep>(stage, input with { Waits = waits }, PeerCalls.Options);
            context.SetCustomStatus(new SendCloneStatus(stage, step.Message, step.Remaining));
            return step;
        }

        async Task<bool> IsSettledWithinAsync(TimeSpan pause)
        {
            using var cancel = new CancellationTokenSource();
            var timer = context.CreateTimer(pause, cancel.Token);
            if (await Task.WhenAny(settled, timer) != settled) return false;
#pragma warning disable CA1849, MA0042 // CancelAsync leaves the orchestrator's thread, and an orchestrator may only await durable tasks.
            cancel.Cancel();
#pragma warning restore CA1849, MA0042
            return true;
        }

        Task<string> FinishAsync() => context.CallActivityAsync<string>(nameof(FinishBatch), input, PeerCalls.Options);

        string NextGeneration()
        {
            context.ContinueAsNew(input with { Waits = waits, Soons = soon, Fulls = full });
            return "";
        }
    }
}
