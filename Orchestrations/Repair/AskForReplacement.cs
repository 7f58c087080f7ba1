using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Orchestrations.Peers;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Repair;

/// <summary>
/// Handles a corrupt copy once: checks whether it is still corrupt and whether a replacement is on its way; otherwise asks who can send
/// one. It asks the file's source first, then every peer that holds a copy.
/// </summary>
[DurableTask(nameof(AskForReplacement))]
public sealed class AskForReplacement(
    ReplacementRequests requests,
    CopyChecks checks,
    PeerPresence presence,
    ErrorLog errors,
    ILogger<AskForReplacement> log
) : TaskActivity<RepairInput, RepairStep>
{
    /// <inheritdoc />
    public override async Task<RepairStep> RunAsync(TaskActivityContext context, RepairInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        presence.RemoveWaiting(context.InstanceId);
        if (await requests.FindAsync(input.CorruptId, stop) is not { } corrupt)
            return Done();
        if (await requests.IsArrivingAsync(corrupt, stop))
            return new RepairStep(
                RepairOutcome.Arriving,
                $"A replacement of {corrupt.CopyPath} is on its way in transfer {corrupt.IncomingTransferId}."
            );
        // Read the copy again before another site is involved: a bad cable may have been the cause.
        await checks.CheckAsync(corrupt.FileName, force: true, stop);
        if (await requests.FindAsync(input.CorruptId, stop) is not { } still)
            return Done();
        var reasons = new List<string>();
        var holders = await requests.HoldersAsync(still, stop);
        foreach (var peer in holders)
        {
            var refusal = await requests.AskAsync(peer, still, stop);
            if (refusal is null)
            {
                await errors.SettleAsync(ErrorKey(still), stop);
                return new RepairStep(RepairOutcome.Arriving, $"'{peer}' sends a replacement of {still.CopyPath}.");
            }

            Logs.RepairRefused(log, peer, still.FileName, refusal);
            reasons.Add($"{peer}: {refusal}");
        }

        foreach (var peer in holders)
            presence.AddWaiting(peer, context.InstanceId);
        var why = reasons.Count == 0 ? "no peer is known to hold a copy" : string.Join(' ', reasons);
        await errors.RenewAsync(
            ErrorSeverity.Critical,
            ErrorCategory.DataIntegrity,
            ErrorKey(still),
            $"The copy of '{still.FileName}' at {still.CopyPath} is corrupt and cannot be replaced now: "
                + $"{why} The bad copy is kept where it is; peers are asked again.",
            stop
        );
        return new RepairStep(RepairOutcome.Wait, why);
    }

    private static string ErrorKey(CorruptFile corrupt) => $"repair {corrupt.CopyId}";

    private static RepairStep Done() => new(RepairOutcome.Done, "Nothing is left to repair.");
}
