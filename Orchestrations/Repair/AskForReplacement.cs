using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Repair;

/// <summary>
/// Handles a corrupt copy once: checks whether it is still corrupt and whether a replacement is on its way; otherwise asks who can send
/// one. It asks the file's source first, then every peer that holds a copy.
/// </summary>
[DurableTask(nameof(AskForReplacement))]
public sealed class AskForReplacement(
    CatalogDatabase database,
    CopyChecks checks,
    PeerConnections peers,
    PeerCheck setUp,
    PeerPresence presence,
    ErrorLog errors,
    IOptions<SiteOptions> options,
    ILogger<AskForReplacement> log
) : TaskActivity<RepairInput, RepairStep>
{
    /// <inheritdoc />
    public override async Task<RepairStep> RunAsync(TaskActivityContext context, RepairInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        presence.Tries(context.InstanceId);
        if (await FindAsync(input.CorruptId, stop) is not { } corrupt)
            return Done();
        if (await IsArrivingAsync(corrupt, stop))
            return new RepairStep(
                RepairOutcome.Arriving,
                $"A replacement of {corrupt.CopyPath} is on its way in transfer {corrupt.IncomingTransferId}."
            );
        // Read the copy again before another site is involved: a bad cable may have been the cause.
        await checks.CheckAsync(corrupt.FileName, force: true, stop);
        if (await FindAsync(input.CorruptId, stop) is not { } still)
            return Done();
        var reasons = new List<string>();
        var holders = await HoldersAsync(still, stop);
        foreach (var peer in holders)
        {
            var refusal = await AskAsync(peer, still, stop);
            if (refusal is null)
            {
                await errors.SettleAsync(ErrorKey(still), stop);
                return new RepairStep(RepairOutcome.Arriving, $"'{peer}' sends a replacement of {still.CopyPath}.");
            }

            Logs.RepairRefused(log, peer, still.FileName, refusal);
            reasons.Add($"{peer}: {refusal}");
        }

        foreach (var peer in holders)
            presence.Waits(peer, context.InstanceId);
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

    /// <summary>The record of the corrupt copy. Deletes the record if the copy was removed from the catalog.</summary>
    private async Task<CorruptFile?> FindAsync(long id, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await db.CorruptFiles.Where(c => c.Id == id && !db.Copies.Any(i => i.Id == c.CopyId)).ExecuteDeleteAsync(cancellationToken);
        return await db.CorruptFiles.AsNoTracking().SingleOrDefaultAsync(c => c.Id == id, cancellationToken);
    }

    private async Task<bool> IsArrivingAsync(CorruptFile corrupt, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.IncomingTransfers.AnyAsync(
            t => t.Id == corrupt.IncomingTransferId && IncomingTransfers.Unfinished.Contains(t.Status),
            cancellationToken
        );
    }

    private async Task<List<string>> HoldersAsync(CorruptFile corrupt, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var holders = await db
            .RemoteCopies.Where(r => r.FileName == corrupt.FileName)
            .Select(r => r.Peer!.Name)
            .Distinct()
            .OrderBy(n => n)
            .ToListAsync(cancellationToken);
        var source = await db.Peers.AnyAsync(l => l.Name == corrupt.FileSource, cancellationToken);
        return source ? [corrupt.FileSource, .. holders.Where(h => h != corrupt.FileSource)] : holders;
    }

    /// <summary>Returns null if the peer has begun to send, otherwise the reason why not.</summary>
    private async Task<string?> AskAsync(string name, CorruptFile corrupt, CancellationToken cancellationToken)
    {
        if (await peers.FindAsync(name, cancellationToken) is not { } peer)
            return "its registration cannot be used.";
        // Check this before the peer is asked: its staging request would be refused for the same reason, and the peer could not explain the
        // refusal.
        if (await setUp.WhyNotReceiveAsync(name, cancellationToken) is { } missing)
            return missing;
        var self = options.Value.Name;
        var prepared = await peer.Client.PrepareCorruptAsync(new CorruptPrepareRequest(corrupt.FileName, self), cancellationToken);
        if (!prepared.IsSuccess)
            return prepared.Error.ToString()!;
        if (!prepared.Value.Ready)
            return "it is not ready.";
        // From now on the peer's staging request for the name is accepted, although the file exists.
        await RequestAsync(corrupt.Id, requested: true, cancellationToken);
        var sent = await peer.Client.ResendCorruptAsync(new CorruptResendRequest(self, corrupt.FileName), cancellationToken);
        // The answer may be lost although the transfer has begun; the catalog shows whether it has.
        if (await FindAsync(corrupt.Id, cancellationToken) is { } now && await IsArrivingAsync(now, cancellationToken))
            return null;
        if (sent.IsSuccess && sent.Value.Success)
            return null;
        if (sent.Error is not Unreachable)
            await RequestAsync(corrupt.Id, requested: false, cancellationToken);
        return sent.Error?.ToString() ?? "it did not succeed.";
    }

    private async Task RequestAsync(long id, bool requested, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await db
            .CorruptFiles.Where(c => c.Id == id)
            .ExecuteUpdateAsync(s => s.SetProperty(c => c.ReplacementRequested, requested), cancellationToken);
    }
}
