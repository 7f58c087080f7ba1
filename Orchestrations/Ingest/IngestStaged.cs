using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Ingest;

/// <summary>Input of <see cref="IngestStaged"/>.</summary>
/// <param name="TransferId">Incoming transfer.</param>
/// <param name="Policy">Policy of the new instance.</param>
/// <param name="Waits">Pauses of earlier generations.</param>
public sealed record IngestInput(long TransferId, DeletionPolicy Policy, int Waits = 0);

/// <summary>
/// Ingests one staged file, whoever brought it. Instance id <c>incoming-{transfer}</c>. Trouble with the disk is waited out for as long as it
/// takes. The source of a clone is told by <see cref="TellSource"/>.
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
        for (var waits = input.Waits; ;)
        {
            var result = await context.CallActivityAsync<IngestResult>(nameof(IngestFile), input, PeerCalls.Options with { Queue = Queues.Ingest });
            if (result.Outcome != IngestOutcome.TryLater) return result;
            context.SetCustomStatus(result);
            await context.CreateTimer(PeerCalls.Pause(waits++, context.NewGuid()), CancellationToken.None);
            if (waits - input.Waits < WaitsPerGeneration) continue;
            context.ContinueAsNew(input with { Waits = waits });
            return result;
        }
    }
}

/// <summary>Names of activity queues with their own limits.</summary>
public static class Queues
{
    /// <summary>Reading and placing staged data.</summary>
    public const string Ingest = "ingest";
}

/// <summary>Runs <see cref="Domain.Transfers.Ingest"/>, which may be repeated at any point, and sees to it that the source is told.</summary>
/// <remarks>A crash between the two repeats the activity; should the whole workflow be lost, a timer finds what is still to be told.</remarks>
[DurableTask(nameof(IngestFile))]
public sealed class IngestFile(Domain.Transfers.Ingest ingest, SourceCallbacks callbacks, ILogger<IngestFile> log) : TaskActivity<IngestInput, IngestResult>
{
    /// <inheritdoc />
    public override async Task<IngestResult> RunAsync(TaskActivityContext context, IngestInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var result = await ingest.RunAsync(input.TransferId, input.Policy, context.CancellationToken);
        if (result.Outcome == IngestOutcome.TryLater) Logs.IngestWaits(log, input.TransferId, result.Message);
        else if (result is { Source: { } source, SourceTransferId: not null }) await callbacks.WakeAsync(source, context.CancellationToken);
        return result;
    }
}
