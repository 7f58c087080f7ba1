using System.Text.Json.Serialization;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Clone;

/// <summary>Input of <see cref="SendClone"/>.</summary>
/// <param name="QueueId">The batch (row in <c>send_queue</c>).</param>
/// <param name="Destination">The peer's name.</param>
/// <param name="Waits">For the orchestration: pauses of its earlier generations. For an activity: all pauses so far.</param>
/// <param name="Soons">Consecutive answers, up to the end of the earlier generation, by which the peer asked for a moment.</param>
/// <param name="Fulls">Consecutive answers, up to the end of the earlier generation, by which the peer was full.</param>
/// <param name="Futile">Futile wake-ups by signs of life of the peer, up to the end of the earlier generation.</param>
public sealed record SendCloneInput(long QueueId, string Destination, int Waits = 0, int Soons = 0, int Fulls = 0, int Futile = 0);

/// <summary>Outcome of one step of a batch.</summary>
public enum StepOutcome
{
    /// <summary>The step is complete.</summary>
    Done,

    /// <summary>The step made progress and can continue at once.</summary>
    [JsonStringEnumMemberName("Again")]
    Continue,

    /// <summary>The step cannot continue now (peer unreachable, transfers switched off); it is tried again after a pause.</summary>
    Wait,

    /// <summary>
    /// The peer answered and needs a moment (406: it has just abandoned an earlier attempt). The back-off starts anew, because pauses that
    /// grew while the peer was away do not apply here.
    /// </summary>
    [JsonStringEnumMemberName("Soon")]
    RetryNow,

    /// <summary>
    /// The peer has no space (413): it is asked again after pauses that grow to two hours, and gets no new batches meanwhile.
    /// </summary>
    Full,
}

/// <summary>Answer of an activity of a batch.</summary>
/// <param name="Outcome">What to do next.</param>
/// <param name="Message">For people; part of the orchestration's status.</param>
/// <param name="Remaining">Unfinished transfers of the batch.</param>
public sealed record BatchStep(StepOutcome Outcome, string Message, int Remaining);

/// <summary>Status of a running <see cref="SendClone"/>.</summary>
/// <param name="Stage">The activity that ran last.</param>
/// <param name="Message">Its message.</param>
/// <param name="Remaining">Unfinished transfers.</param>
/// <param name="Outcome">Its outcome.</param>
public sealed record SendCloneStatus(string Stage, string Message, int Remaining, StepOutcome Outcome);

/// <summary>
/// Sends one batch of files to one peer (docs/spec/wire.md#push): stages it there, announces ONGOING, copies, announces STAGED, waits for
/// the peer's callbacks, and reviews transfers that stay silent. Instance id <c>send-clone-{queue}</c>: it is harmless to start a batch
/// twice.
/// </summary>
/// <remarks>
/// Every activity reads the state of the batch's transfers from the catalog and does only the remaining work, so after a crash between any
/// two steps, or in a new generation of this instance, the workflow continues where it stopped. The peer may be away for weeks: pauses grow
/// to ten minutes, or to two hours while it is full, and ContinueAsNew cuts the history. A sign of life of the peer ends the pauses that
/// its absence caused (<see cref="Peers.PeerPresence"/>).
/// </remarks>
[DurableTask(nameof(SendClone))]
public sealed class SendClone : TaskOrchestrator<SendCloneInput, string>
{
    /// <summary>Event: all transfers of the batch have ended.</summary>
    public const string SettledEvent = "Settled";

    private const int TurnsPerGeneration = 100;

    // The pause with this index is 4 to 8 minutes.
    private const int FirstReview = 9;
    private static readonly string[] Delivery = [nameof(StageBatch), nameof(AnnounceOngoing), nameof(CopyBatch), nameof(AnnounceStaged)];

    public static string InstanceId(long queueId) => $"send-clone-{queueId}";

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var (waits, soon, full, turns) = (input.Waits, input.Soons, input.Fulls, 0);
        var settled = context.WaitForExternalEvent<string?>(SettledEvent);
        var peer = new PeerPause(context, input.Futile);
        var isAway = false;
        foreach (var stage in Delivery)
        {
#pragma warning disable DURABLE0011 // The analyzer does not see that NextGeneration is the ContinueAsNew of this loop.
            while (true)
#pragma warning restore DURABLE0011
            {
                var step = await CallAsync(stage);
                if (step.Remaining == 0)
                    return await FinishAsync();
                if (step.Outcome == StepOutcome.Done)
                    break;
                turns++;
                if (step.Outcome == StepOutcome.Continue)
                {
                    if (turns >= TurnsPerGeneration)
                        return NextGeneration();
                    continue;
                }

                soon = step.Outcome == StepOutcome.RetryNow ? soon + 1 : 0;
                full = step.Outcome == StepOutcome.Full ? full + 1 : 0;
                var pause =
                    full > 0
                        ? PeerCalls.PauseWhenFull(full - 1, context.NewGuid())
                        : PeerCalls.Pause(soon > 0 ? soon - 1 : waits++, context.NewGuid());
                if (await IsSettledWithinAsync(pause))
                    return await FinishAsync();
                // Start a new generation only after the pause, because it calls the peer at once.
                if (turns >= TurnsPerGeneration)
                    return NextGeneration();
            }

            // The peer has answered, so pauses that grew during its absence do not apply to the next step.
            waits = 0;
        }

        // All bytes are at the peer; it verifies them and calls back. Ask it only if it stays silent, or if it was restored from a backup
        // (CopyConfirmation): then it may have forgotten the transfers.
        while (!await IsSettledWithinAsync(PeerCalls.Pause(Math.Max(FirstReview, waits), context.NewGuid()), listen: true))
        {
            var step = await CallAsync(nameof(ReviewBatch));
            if (step.Remaining == 0)
                break;
            waits++;
            if (++turns >= TurnsPerGeneration)
                return NextGeneration();
        }

        return await FinishAsync();

        async Task<BatchStep> CallAsync(string stage)
        {
            var step = await context.CallActivityAsync<BatchStep>(stage, input with { Waits = waits }, PeerCalls.Options);
            context.SetCustomStatus(new SendCloneStatus(stage, step.Message, step.Remaining, step.Outcome));
            isAway = step.Outcome == StepOutcome.Wait;
            if (!isAway)
                peer.Answered();
            return step;
        }

        async Task<bool> IsSettledWithinAsync(TimeSpan pause, bool listen = false)
        {
            var end = await peer.WaitAsync(pause, settled, listen || isAway);
            if (end == PauseEnd.PeerIsBack && peer.IsFirst)
                waits = 0;
            return end == PauseEnd.Other;
        }

        Task<string> FinishAsync() => context.CallActivityAsync<string>(nameof(FinishBatch), input, PeerCalls.Options);

        string NextGeneration()
        {
            context.ContinueAsNew(input with { Waits = waits, Soons = soon, Fulls = full, Futile = peer.Futile });
            return "";
        }
    }
}
