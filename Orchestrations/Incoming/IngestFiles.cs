using Librarian.Domain.Transfers;

namespace Librarian.Orchestrations.Incoming;

/// <summary>
/// Runs <see cref="Domain.Transfers.StagedFileIngest.RunRoundAsync"/>, which can be repeated at any point, starts a workflow for each
/// transfer that is not done, and wakes the workflows that notify the sources.
/// </summary>
/// <remarks>
/// A crash between two steps repeats the activity: transfers that have ended answer the same again, and a workflow that runs already is not
/// started twice. If the whole workflow is lost, timers find transfers that are still STAGED and notifications that are still due.
/// </remarks>
[DurableTask(nameof(IngestFiles))]
public sealed class IngestFiles(Domain.Transfers.StagedFileIngest ingest, IncomingWorkflows workflows, SourceCallbacks callbacks)
    : TaskActivity<IngestRoundInput, IngestRoundResult>
{
    /// <summary>Characters of messages in a result; payloads of the engine are limited.</summary>
    private const int MostText = 60_000;

    private const string Alone = "It is ingested by itself.";

    /// <inheritdoc />
    public override async Task<IngestRoundResult> RunAsync(TaskActivityContext context, IngestRoundInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        var results = await ingest.RunRoundAsync([.. input.TransferIds.Select(id => new StagedTransfer(id, input.Policy))], stop);
        var all = input.TransferIds.Zip(results).ToList();
        List<long> open = [.. all.Where(r => r.Second is null or { Outcome: IngestOutcome.TryLater }).Select(r => r.First)];
        await workflows.StartEachAsync(open, input.Policy, stop);
        foreach (
            var source in results
                .Where(r => r is { SourceTransferId: not null, Outcome: not IngestOutcome.TryLater })
                .Select(r => r!.Source)
                .OfType<string>()
                .Distinct(StringComparer.Ordinal)
        )
            await callbacks.WakeAsync(source, stop);
        return new IngestRoundResult(
            results.Count(r => r is { Outcome: IngestOutcome.Ingested }),
            Shortened(
                all.Where(r => r.Second is not { Outcome: IngestOutcome.Ingested })
                    .Select(r => new IngestRoundEnd(r.First, r.Second?.Outcome ?? IngestOutcome.TryLater, r.Second?.Message ?? Alone))
            )
        );
    }

    private static List<IngestRoundEnd> Shortened(IEnumerable<IngestRoundEnd> ends)
    {
        var text = 0;
        return [.. ends.Select(e => (text += e.Message!.Length) <= MostText ? e : e with { Message = null })];
    }
}
