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
using ErrorCategory = Librarian.Domain.Catalog.ErrorCategory;
using ErrorSeverity = Librarian.Domain.Catalog.ErrorSeverity;

namespace Librarian.Orchestrations.Repair;

/// <summary>
/// One look at a corrupt copy: is it still corrupt, is a replacement arriving, and if not, who can send one. The file's source is asked
/// first, then every neighbour that holds a copy.
/// </summary>
[DurableTask(nameof(AskForReplacement))]
public sealed class AskForReplacement(CatalogDatabase database, InstanceChecks checks, PeerConnections peers, ErrorLog errors, IOptions<SiteOptions> options, ILogger<AskForReplacement> log) : TaskActivity<RepairInput, RepairStep>
{
    /// <inheritdoc />
    public override async Task<RepairStep> RunAsync(TaskActivityContext context, RepairInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        if (await FindAsync(input.CorruptId, stop) is not { } corrupt) return Done();
        if (await IsArrivingAsync(corrupt, stop)) return new RepairStep(RepairOutcome.Arriving, $"A replacement of {corrupt.InstancePath} is on its way in transfer {corrupt.IncomingTransferId}.");
        // Read again before anybody is troubled: a cable may have been the reason.
        await checks.CheckAsync(corrupt.FileName, force: true, stop);
        if (await FindAsync(input.CorruptId, stop) is not { } still) return Done();
        var reasons = new List<string>();
        foreach (var neighbour in await HoldersAsync(still, stop))
        {
            var refusal = await AskAsync(neighbour, still, stop);
            if (refusal is null) return new RepairStep(RepairOutcome.Arriving, $"'{neighbour}' sends a replacement of {still.InstancePath}.");
            Logs.RepairRefused(log, neighbour, still.FileName, refusal);
            reasons.Add($"{neighbour}: {refusal}");
        }

        var why = reasons.Count == 0 ? "no neighbour is known to hold a copy" : string.Join(' ', reasons);
        await errors.RaiseAsync(ErrorSeverity.Critical, ErrorCategory.DataIntegrity, $"repair {still.InstanceId}",
            $"The copy of '{still.FileName}' at {still.InstancePath} is corrupt and cannot be replaced now: {why} The bad copy is kept where it is; neighbours are asked again.", stop);
        return new RepairStep(RepairOutcome.Wait, why);
    }

    private static RepairStep Done() => new(RepairOutcome.Done, "Nothing is left to repair.");

    /// <summary>The entry; one whose copy has been removed from the catalog is dropped.</summary>
    private async Task<CorruptFile?> FindAsync(long id, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await db.CorruptFiles.Where(c => c.Id == id && !db.Instances.Any(i => i.Id == c.InstanceId)).ExecuteDeleteAsync(cancellationToken);
        return await db.CorruptFiles.AsNoTracking().SingleOrDefaultAsync(c => c.Id == id, cancellationToken);
    }

    private async Task<bool> IsArrivingAsync(CorruptFile corrupt, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.IncomingTransfers.AnyAsync(t => t.Id == corrupt.IncomingTransferId && IncomingTransfers.Unfinished.Contains(t.Status), cancellationToken);
    }

    private async Task<List<string>> HoldersAsync(CorruptFile corrupt, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var holders = await db.RemoteInstances.Where(r => r.FileName == corrupt.FileName).Select(r => r.Librarian!.Name).Distinct().OrderBy(n => n).ToListAsync(cancellationToken);
        var source = await db.Librarians.AnyAsync(l => l.Name == corrupt.FileSource, cancellationToken);
        return source ? [corrupt.FileSource, .. holders.Where(h => h != corrupt.FileSource)] : holders;
    }

    /// <summary>Null when the neighbour has begun to send, else why not.</summary>
    private async Task<string?> AskAsync(string neighbour, CorruptFile corrupt, CancellationToken cancellationToken)
    {
        if (await peers.FindAsync(neighbour, cancellationToken) is not { } peer) return "its registration cannot be used.";
        var self = options.Value.Name;
        var prepared = await peer.Client.PrepareCorruptAsync(new CorruptPrepareRequest(corrupt.FileName, self), cancellationToken);
        if (!prepared.IsSuccess) return prepared.Error.ToString()!;
        if (!prepared.Value.Ready) return "it is not ready.";
        // From here on its staging request for the name is accepted, although the file exists.
        await RequestAsync(corrupt.Id, requested: true, cancellationToken);
        var sent = await peer.Client.ResendCorruptAsync(new CorruptResendRequest(self, corrupt.FileName), cancellationToken);
        // Its answer may be lost while the transfer has begun; the catalog tells.
        if (await FindAsync(corrupt.Id, cancellationToken) is { } now && await IsArrivingAsync(now, cancellationToken)) return null;
        if (sent.IsSuccess && sent.Value.Success) return null;
        if (sent.Error is not Unreachable) await RequestAsync(corrupt.Id, requested: false, cancellationToken);
        return sent.Error?.ToString() ?? "it did not succeed.";
    }

    private async Task RequestAsync(long id, bool requested, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await db.CorruptFiles.Where(c => c.Id == id).ExecuteUpdateAsync(s => s.SetProperty(c => c.ReplacementRequested, requested), cancellationToken);
    }
}
