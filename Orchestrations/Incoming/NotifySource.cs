using System.Text.Json.Serialization;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Incoming;

/// <summary>Input of <see cref="NotifySource"/>.</summary>
/// <param name="Source">The peer's name.</param>
/// <param name="Waits">Pauses in a row, for the back-off; an answer starts anew, for the back-off.</param>
/// <param name="Futile">Futile wake-ups by signs of life of the peer, up to the end of the earlier generation.</param>
public sealed record NotifySourceInput(string Source, int Waits = 0, int Futile = 0);

/// <summary>Outcome of one page of callbacks.</summary>
public enum NotifyOutcome
{
    /// <summary>No callback is due.</summary>
    Done,

    /// <summary>Some callbacks were made; there may be more.</summary>
    [JsonStringEnumMemberName("Again")]
    Continue,

    /// <summary>The source cannot be notified now.</summary>
    Wait,
}

/// <summary>Answer of <see cref="NotifyPage"/>; also the status of <see cref="NotifySource"/>.</summary>
/// <param name="Outcome">What to do next.</param>
/// <param name="Message">For people.</param>
public sealed record NotifyStep(NotifyOutcome Outcome, string Message);

/// <summary>
/// Calls one source back about all of its transfers that have ended here (docs/spec/wire.md#push-callback). Instance id
/// <c>tell-{source}</c>: each source has one such workflow, so a source that is away costs one call per pause, however many files wait for
/// it. The workflow continues until the source answers.
/// </summary>
/// <remarks>
/// The catalog records the due callbacks; the workflow only paces the calls. When none is due it waits for a moment, because the next file
/// is probably near, and ends. A wake-up that arrives in the turn in which the workflow ends is lost; the timer repeats it.
/// </remarks>
[DurableTask(NotifySource.TaskName)]
public sealed class NotifySource : TaskOrchestrator<NotifySourceInput, string>
{
    /// <summary>The name in histories, which workflows of earlier builds have too.</summary>
    public const string TaskName = "TellSource";

    /// <summary>Event: more callbacks are due.</summary>
    public const string MoreEvent = "More";

    private const int StepsPerGeneration = 100;
    private static readonly TimeSpan IdleDebounce = TimeSpan.FromSeconds(30);

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, NotifySourceInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var waits = input.Waits;
        var peer = new PeerPause(context, input.Futile);
        for (var steps = 0; steps < StepsPerGeneration; steps++)
        {
            var step = await context.CallActivityAsync<NotifyStep>(NotifyPage.TaskName, input, PeerCalls.Options);
            context.SetCustomStatus(step);
            if (step.Outcome == NotifyOutcome.Wait)
            {
                if (await peer.WaitAsync(PeerCalls.Pause(waits++, context.NewGuid())) == PauseEnd.PeerIsBack && peer.IsFirst)
                    waits = 0;
                continue;
            }

            peer.Answered();
            waits = 0;
            if (step.Outcome == NotifyOutcome.Continue)
                continue;
            if (!await IsMoreAsync())
                return step.Message;
            // Start a new generation, because an event is taken once per generation: otherwise the next wake-up would count as a repetition
            // of this one.
            break;
        }

        context.ContinueAsNew(input with { Waits = waits, Futile = peer.Futile });
        return "";

        async Task<bool> IsMoreAsync()
        {
            try
            {
                await context.WaitForExternalEvent<string?>(MoreEvent, IdleDebounce);
                return true;
            }
            catch (TaskCanceledException)
            {
                return false;
            }
        }
    }
}
