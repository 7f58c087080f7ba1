using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Incoming;

/// <summary>Input of <see cref="IngestStaged"/>.</summary>
/// <param name="TransferId">Incoming transfer.</param>
/// <param name="Policy">Deletion policy of the new copy.</param>
/// <param name="Waits">Pauses of earlier generations.</param>
public sealed record IngestInput(long TransferId, DeletionPolicy Policy, int Waits = 0);

/// <summary>
/// Ingests one staged file from a client or a peer. Instance id <c>incoming-{transfer}</c>. Waits for the end of disk trouble, however long
/// it takes. <see cref="NotifySource"/> notifies the source of a clone.
/// </summary>
[DurableTask(nameof(IngestStaged))]
public sealed class IngestStaged : TaskOrchestrator<IngestInput, IngestResult>
{
    private const int WaitsPerGeneration = 100;

    /// <inheritdoc />
    public override async Task<IngestResult> RunAsync(TaskOrchestrationContext context, IngestInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        for (var waits = input.Waits; ; )
        {
            var result = await context.CallActivityAsync<IngestResult>(
                nameof(IngestFile),
                input,
                new ActivityOptions(PeerCalls.Options) { Queue = Queues.StagedFiles }
            );
            if (result.Outcome != IngestOutcome.TryLater)
                return result;
            context.SetCustomStatus(result);
            await context.CreateTimer(PeerCalls.Pause(waits++, context.NewGuid()), CancellationToken.None);
            if (waits - input.Waits < WaitsPerGeneration)
                continue;
            context.ContinueAsNew(input with { Waits = waits });
            return result;
        }
    }
}
