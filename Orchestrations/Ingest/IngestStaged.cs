using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Errors;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.Extensions.Logging;
using DeletionPolicy = Librarian.Domain.Catalog.DeletionPolicy;
using ErrorCategory = Librarian.Domain.Catalog.ErrorCategory;
using ErrorSeverity = Librarian.Domain.Catalog.ErrorSeverity;

namespace Librarian.Orchestrations.Ingest;

/// <summary>Input of <see cref="IngestStaged"/>.</summary>
/// <param name="TransferId">Incoming transfer.</param>
/// <param name="Policy">Policy of the new instance.</param>
/// <param name="Waits">Pauses of earlier generations.</param>
public sealed record IngestInput(long TransferId, DeletionPolicy Policy, int Waits = 0);

/// <summary>
/// Ingests one staged file, whoever brought it, and for a clone tells its source (wire.md §9.1 step 6). Instance id
/// <c>incoming-{transfer}</c>. Trouble with the disk or an unreachable source is waited out for as long as it takes.
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
        var waits = input.Waits;
        IngestResult result;
        while (true)
        {
            result = await context.CallActivityAsync<IngestResult>(nameof(IngestFile), input, PeerCalls.Options with { Queue = Queues.Ingest });
            if (result.Outcome != IngestOutcome.TryLater) break;
            context.SetCustomStatus(result);
            await context.CreateTimer(PeerCalls.Pause(waits++), CancellationToken.None);
            if (waits - input.Waits >= WaitsPerGeneration) return Again();
        }

        if (result.SourceTransferId is null) return result;
        context.SetCustomStatus(result);
        while (!await context.CallActivityAsync<bool>(nameof(TellSource), new SourceNotice(input.TransferId, result), PeerCalls.Options))
        {
            await context.CreateTimer(PeerCalls.Pause(waits++), CancellationToken.None);
            if (waits - input.Waits >= WaitsPerGeneration) return Again();
        }

        return result;

        IngestResult Again()
        {
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

/// <summary>Runs <see cref="Domain.Transfers.Ingest"/>, which may be repeated at any point.</summary>
[DurableTask(nameof(IngestFile))]
public sealed class IngestFile(Domain.Transfers.Ingest ingest, ILogger<IngestFile> log) : TaskActivity<IngestInput, IngestResult>
{
    /// <inheritdoc />
    public override async Task<IngestResult> RunAsync(TaskActivityContext context, IngestInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var result = await ingest.RunAsync(input.TransferId, input.Policy, context.CancellationToken);
        if (result.Outcome == IngestOutcome.TryLater) Logs.IngestWaits(log, input.TransferId, result.Message);
        return result;
    }
}

/// <summary>What the source is to be told.</summary>
/// <param name="TransferId">Incoming transfer.</param>
/// <param name="Result">How its ingest ended.</param>
public sealed record SourceNotice(long TransferId, IngestResult Result);

/// <summary>
/// Calls the source back: <c>clone/complete</c> after success, <c>checkin/update</c> FAILED otherwise. Answers false when the
/// source could not be reached. Safe to repeat: the source records a copy once.
/// </summary>
[DurableTask(nameof(TellSource))]
public sealed class TellSource(PeerConnections peers, ErrorLog errors, ILogger<TellSource> log) : TaskActivity<SourceNotice, bool>
{
    /// <inheritdoc />
    public override async Task<bool> RunAsync(TaskActivityContext context, SourceNotice input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        var (source, theirs) = (input.Result.Source!, input.Result.SourceTransferId!.Value);
        if (await peers.FindAsync(source, stop) is not { } peer)
        {
            Logs.CallbackRefused(log, input.TransferId, source, "It is not a registered librarian here.");
            await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.Configuration, $"callback {source}",
                $"'{source}' sends files but is not a registered librarian here, so it cannot be told that they have arrived. Add it with 'librarian add-librarian'; it also finds out by itself when it reviews its transfers.", stop);
            return true;
        }

        ReplyError? error = input.Result.Outcome == IngestOutcome.Ingested
            ? (await peer.Client.CompleteCloneAsync(new CloneCompleteRequest(theirs, input.TransferId, input.Result.StoreId!.Value), stop)).Error
            : (await peer.Client.UpdateCheckinAsync(new CheckinUpdateRequest([theirs], [], TransferStatus.Failed), stop)).Error;
        switch (error)
        {
            case null:
                return true;
            case Refused { Status: < 500 and not 401 and not 408 and not 429 } refused:
                Logs.CallbackRefused(log, input.TransferId, source, refused.ToString());
                await errors.RaiseAsync(ErrorSeverity.Warning, ErrorCategory.Transfer, $"callback {source}",
                    $"'{source}' refused to hear that transfer {input.TransferId} has ended; the file is safe here: {refused}", stop);
                return true;
            default:
                Logs.CallbackWaits(log, input.TransferId, source, error.ToString()!);
                return false;
        }
    }
}
