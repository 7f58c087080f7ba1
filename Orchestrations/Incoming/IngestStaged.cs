using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.Extensions.Logging;

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

/// <summary>Names of activity queues that have their own limits.</summary>
public static class Queues
{
    /// <summary>Activities that verify staged data and commit them to their store.</summary>
    public const string StagedFiles = "ingest";
}

/// <summary>
/// Runs <see cref="Domain.Transfers.StagedFileIngest"/>, which can be repeated at any point, and wakes the workflow that notifies the
/// source.
/// </summary>
/// <remarks>
/// A crash between the two steps repeats the activity. If the whole workflow is lost, a timer finds notifications that are still due.
/// </remarks>
[DurableTask(nameof(IngestFile))]
public sealed class IngestFile(Domain.Transfers.StagedFileIngest ingest, SourceCallbacks callbacks, ILogger<IngestFile> log)
    : TaskActivity<IngestInput, IngestResult>
{
    /// <inheritdoc />
    public override async Task<IngestResult> RunAsync(TaskActivityContext context, IngestInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var result = await ingest.RunAsync(input.TransferId, input.Policy, context.CancellationToken);
        if (result.Outcome == IngestOutcome.TryLater)
            Logs.IngestWaits(log, input.TransferId, result.Message);
        else if (result is { Source: { } source, SourceTransferId: not null })
            await callbacks.WakeAsync(source, context.CancellationToken);
        return result;
    }
}
