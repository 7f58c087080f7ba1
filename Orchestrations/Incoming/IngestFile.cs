using Librarian.Domain.Transfers;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Incoming;

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
