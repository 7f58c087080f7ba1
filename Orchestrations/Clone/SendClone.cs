using System.Text.Json.Serialization;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Clone;

/// <summary>Input of <see cref="SendClone"/>.</summary>
/// <param name="QueueId">The batch (row in <c>send_queue</c>).</param>
/// <param name="Destination">The peer's name.</param>
/// <param name="Waits">Pauses in a row, for the back-off; an answer or the peer's return starts anew.</param>
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
    RetrySoon,

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
/// the peer's callbacks, and reviews transfers that stay silent. Instance id <c>send-clone-{queue}</c>, made from the batch's row, so a
/// batch that is started twice runs once.
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

    private const int StepsPerGeneration = 100;

    // The pause with this index is 4 to 8 minutes.
    private const int FirstReview = 9;
    private static readonly string[] Steps = [nameof(StageBatch), nameof(AnnounceOngoing), nameof(CopyBatch), nameof(AnnounceStaged)];

    public static string InstanceId(long queueId) => $"send-clone-{queueId}";

    /// <inheritdoc />
    public override Task<string> RunAsync(TaskOrchestrationContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        return new Run(context, input).SendAsync();
    }

    private enum StepEnd
    {
        /// <summary>The step is complete for every file.</summary>
        Complete,

        /// <summary>All transfers of the batch have ended.</summary>
        AllEnded,

        /// <summary>The history is long enough; the next generation continues.</summary>
        NextGeneration,
    }

    /// <summary>One generation of the workflow.</summary>
    private sealed class Run
    {
        private readonly TaskOrchestrationContext _context;
        private readonly SendCloneInput _input;
        private readonly Task<string?> _settled;
        private readonly PeerPause _peer;
        private int _waits;
        private int _retriesSoon;
        private int _timesFull;
        private int _steps;
        private bool _isAway;

        public Run(TaskOrchestrationContext context, SendCloneInput input)
        {
            (_context, _input) = (context, input);
            (_waits, _retriesSoon, _timesFull) = (input.Waits, input.Soons, input.Fulls);
            _settled = context.WaitForExternalEvent<string?>(SettledEvent);
            _peer = new PeerPause(context, input.Futile);
        }

        public async Task<string> SendAsync()
        {
            foreach (var activity in Steps)
            {
                var end = await RepeatAsync(activity);
                if (end == StepEnd.NextGeneration)
                    return NextGeneration();
                if (end == StepEnd.AllEnded)
                    return await FinishAsync();
                // The peer has answered, so pauses that grew during its absence do not apply to the next step.
                _waits = 0;
            }

            return await ReviewAsync() == StepEnd.NextGeneration ? NextGeneration() : await FinishAsync();
        }

        /// <summary>Repeats one step until it is complete for every file.</summary>
        private async Task<StepEnd> RepeatAsync(string activity)
        {
            while (true)
            {
                var step = await CallAsync(activity);
                if (step.Remaining == 0)
                    return StepEnd.AllEnded;
                if (step.Outcome == StepOutcome.Done)
                    return StepEnd.Complete;
                _steps++;
                if (step.Outcome != StepOutcome.Continue && await IsSettledWithinAsync(PauseAfter(step.Outcome)))
                    return StepEnd.AllEnded;
                // Start a new generation only after the pause, because it calls the peer at once.
                if (_steps >= StepsPerGeneration)
                    return StepEnd.NextGeneration;
            }
        }

        /// <summary>
        /// All bytes are at the peer; it verifies them and calls back. Asks it only if it stays silent, or if it was restored from a backup
        /// (CopyConfirmation): then it may have forgotten the transfers.
        /// </summary>
        private async Task<StepEnd> ReviewAsync()
        {
            while (!await IsSettledWithinAsync(PeerCalls.Pause(Math.Max(FirstReview, _waits), _context.NewGuid()), endsAtSign: true))
            {
                var step = await CallAsync(nameof(ReviewBatch));
                if (step.Remaining == 0)
                    break;
                _waits++;
                if (++_steps >= StepsPerGeneration)
                    return StepEnd.NextGeneration;
            }

            return StepEnd.AllEnded;
        }

        private TimeSpan PauseAfter(StepOutcome outcome)
        {
            _retriesSoon = outcome == StepOutcome.RetrySoon ? _retriesSoon + 1 : 0;
            _timesFull = outcome == StepOutcome.Full ? _timesFull + 1 : 0;
            return _timesFull > 0
                ? PeerCalls.PauseWhenFull(_timesFull - 1, _context.NewGuid())
                : PeerCalls.Pause(_retriesSoon > 0 ? _retriesSoon - 1 : _waits++, _context.NewGuid());
        }

        private async Task<BatchStep> CallAsync(string activity)
        {
            var step = await _context.CallActivityAsync<BatchStep>(activity, _input with { Waits = _waits }, PeerCalls.Options);
            _context.SetCustomStatus(new SendCloneStatus(activity, step.Message, step.Remaining, step.Outcome));
            _isAway = step.Outcome == StepOutcome.Wait;
            if (!_isAway)
                _peer.Answered();
            return step;
        }

        private async Task<bool> IsSettledWithinAsync(TimeSpan pause, bool endsAtSign = false)
        {
            var end = await _peer.WaitAsync(pause, _settled, endsAtSign || _isAway);
            if (end == PauseEnd.PeerIsBack && _peer.IsFirst)
                _waits = 0;
            return end == PauseEnd.Other;
        }

        private Task<string> FinishAsync() => _context.CallActivityAsync<string>(nameof(FinishBatch), _input, PeerCalls.Options);

        private string NextGeneration()
        {
            _context.ContinueAsNew(_input with { Waits = _waits, Soons = _retriesSoon, Fulls = _timesFull, Futile = _peer.Futile });
            return "";
        }
    }
}
