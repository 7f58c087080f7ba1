using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;

namespace Librarian.Orchestrations.Incoming;

/// <summary>Input of <see cref="IngestRound"/>.</summary>
/// <param name="TransferIds">Incoming transfers, at most <see cref="Domain.Transfers.StagedFileIngest.MostInRound"/>.</param>
/// <param name="Policy">Deletion policy of the new copies.</param>
public sealed record IngestRoundInput(IReadOnlyList<long> TransferIds, DeletionPolicy Policy);

/// <summary>How the ingest of one transfer ended in a round.</summary>
/// <param name="TransferId">Incoming transfer.</param>
/// <param name="Outcome">Outcome; <see cref="IngestOutcome.TryLater"/> for one that a workflow of its own continues.</param>
/// <param name="Message">For people; null if the result of the round would be too long. The catalog has the reason of a failure.</param>
public sealed record IngestRoundEnd(long TransferId, IngestOutcome Outcome, string? Message);

/// <summary>Result of <see cref="IngestRound"/>.</summary>
/// <param name="Ingested">Number of files that are stored.</param>
/// <param name="Others">All transfers that have not ended with <see cref="IngestOutcome.Ingested"/>.</param>
public sealed record IngestRoundResult(int Ingested, IReadOnlyList<IngestRoundEnd> Others);

/// <summary>
/// Ingests small files that became STAGED together, with one activity. Instance id <see cref="IncomingWorkflows.RoundId"/>. It waits for
/// nothing: a transfer that has to wait, or that a round cannot ingest, continues in a workflow of its own, <see cref="IngestStaged"/>.
/// </summary>
/// <remarks>
/// That is simpler than a timer of the round, and safer: such a transfer has one workflow under one id, as it always had, which shows why
/// it waits and is the only one that tries again; and no transfer waits for another one's disk.
/// </remarks>
[DurableTask(nameof(IngestRound))]
public sealed class IngestRound : TaskOrchestrator<IngestRoundInput, IngestRoundResult>
{
    /// <inheritdoc />
    public override Task<IngestRoundResult> RunAsync(TaskOrchestrationContext context, IngestRoundInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        return context.CallActivityAsync<IngestRoundResult>(
            nameof(IngestFiles),
            input,
            new ActivityOptions(PeerCalls.Options) { Queue = Queues.StagedFiles }
        );
    }
}
