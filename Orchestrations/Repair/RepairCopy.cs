namespace Librarian.Orchestrations.Repair;

/// <summary>Input of <see cref="RepairCopy"/>.</summary>
/// <param name="CorruptId">Row in <c>corrupt_files</c>.</param>
/// <param name="Waits">Pauses of earlier generations, for the back-off.</param>
public sealed record RepairInput(long CorruptId, int Waits = 0);

/// <summary>Where a repair stands.</summary>
public enum RepairOutcome
{
    /// <summary>Nothing is left to repair.</summary>
    Done,

    /// <summary>A replacement is on its way.</summary>
    Arriving,

    /// <summary>Nobody can send one now.</summary>
    Wait,
}

/// <summary>Answer of an activity of a repair.</summary>
/// <param name="Outcome">What to do next.</param>
/// <param name="Message">For people; shown in the orchestration's status.</param>
public sealed record RepairStep(RepairOutcome Outcome, string Message);

/// <summary>
/// Gets a good copy for a corrupt one from a neighbour (wire.md §9.5, as D). Instance id <c>repair-{corrupt}</c>. Unlike upstream, which
/// deletes the bad copy before it asks, nothing leaves its place before the replacement has been verified
/// (<see cref="Domain.Transfers.Ingest"/>), and a neighbour that cannot help now is asked again for as long as it takes.
/// </summary>
/// <remarks>
/// Both activities read the state from the catalog: a crash between any two steps, or a new generation, finds the next thing to do. A
/// crash while a neighbour is asked leaves the request open; asking again is harmless, and what it sends meanwhile is welcome.
/// </remarks>
[DurableTask(nameof(RepairCopy))]
public sealed class RepairCopy : TaskOrchestrator<RepairInput, string>
{
    private const int WaitsPerGeneration = 100;

    /// <summary>Instance id of a repair.</summary>
    public static string InstanceId(long corruptId) => $"repair-{corruptId}";

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, RepairInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        for (var waits = input.Waits; ; waits++)
        {
            var step = await context.CallActivityAsync<RepairStep>(nameof(AskForReplacement), input, PeerCalls.Options);
            context.SetCustomStatus(step);
            if (step.Outcome == RepairOutcome.Done) return step.Message;
            // Arriving or not, the next look asks for what is still missing.
            await context.CreateTimer(PeerCalls.Pause(waits, context.NewGuid()), CancellationToken.None);
            if (waits - input.Waits < WaitsPerGeneration) continue;
            // After the pause: a new generation asks at once.
            context.ContinueAsNew(input with { Waits = waits + 1 });
            return "";
        }
    }
}
