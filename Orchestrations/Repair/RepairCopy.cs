using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Repair;

/// <summary>Input of <see cref="RepairCopy"/>.</summary>
/// <param name="CorruptId">Id of the row in <c>corrupt_files</c>.</param>
/// <param name="Waits">Pauses of earlier generations, for the back-off.</param>
/// <param name="Futile">Futile wake-ups by signs of life of peers, up to the end of the earlier generation.</param>
public sealed record RepairInput(long CorruptId, int Waits = 0, int Futile = 0);

/// <summary>Outcome of one step of a repair.</summary>
public enum RepairOutcome
{
    /// <summary>Nothing is left to repair.</summary>
    Done,

    /// <summary>A replacement is on its way.</summary>
    Arriving,

    /// <summary>No peer can send a replacement now.</summary>
    Wait,
}

/// <summary>Answer of the activity of a repair.</summary>
/// <param name="Outcome">What to do next.</param>
/// <param name="Message">For people; part of the orchestration's status.</param>
public sealed record RepairStep(RepairOutcome Outcome, string Message);

/// <summary>
/// Gets a replacement for a corrupt copy from a peer (docs/spec/wire.md#repair, as D). Instance id <c>repair-{corrupt}</c>. Upstream
/// deletes the corrupt copy before it asks; this site keeps it in place until the replacement has been verified
/// (<see cref="Domain.Transfers.StagedFileIngest"/>). A peer that cannot help now is asked again until one can.
/// </summary>
/// <remarks>
/// The activity reads the state from the catalog, so after a crash at any point, or in a new generation, the repair continues where it
/// stopped. A crash while a peer is asked leaves the request open: it is harmless to ask again, and data that the peer sends meanwhile are
/// accepted.
/// </remarks>
[DurableTask(nameof(RepairCopy))]
public sealed class RepairCopy : TaskOrchestrator<RepairInput, string>
{
    private const int WaitsPerGeneration = 100;

    public static string InstanceId(long corruptId) => $"repair-{corruptId}";

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, RepairInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var peers = new PeerPause(context, input.Futile);
        var waits = input.Waits;
        for (var pauses = 0; ; pauses++)
        {
            var step = await context.CallActivityAsync<RepairStep>(nameof(AskForReplacement), input, PeerCalls.Options);
            context.SetCustomStatus(step);
            if (step.Outcome == RepairOutcome.Done)
                return step.Message;
            if (step.Outcome == RepairOutcome.Arriving)
                peers.Answered();
            // Even if a replacement is on its way, the next step asks for what is still missing.
            var end = await peers.WaitAsync(PeerCalls.Pause(waits++, context.NewGuid()), endsAtSign: step.Outcome == RepairOutcome.Wait);
            if (end == PauseEnd.PeerIsBack && peers.IsFirst)
                waits = 0;
            if (pauses < WaitsPerGeneration)
                continue;
            // Start a new generation only after the pause, because it asks at once.
            context.ContinueAsNew(input with { Waits = waits, Futile = peers.Futile });
            return "";
        }
    }
}
