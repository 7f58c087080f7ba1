using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Repair;

/// <summary>Asks peers for replacements of corrupt copies (docs/spec/wire.md#corrupt, as D).</summary>
public sealed class ReplacementRequests(CatalogDatabase database, PeerConnections peers, PeerCheck setUp, IOptions<SiteOptions> options)
{
    /// <summary>The record of the corrupt copy. Deletes the record if the copy was removed from the catalog.</summary>
    public async Task<CorruptFile?> FindAsync(long id, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await db.CorruptFiles.Where(c => c.Id == id && !db.Copies.Any(i => i.Id == c.CopyId)).ExecuteDeleteAsync(cancellationToken);
        return await db.CorruptFiles.AsNoTracking().SingleOrDefaultAsync(c => c.Id == id, cancellationToken);
    }

    /// <summary>Whether a transfer brings a replacement.</summary>
    public async Task<bool> IsArrivingAsync(CorruptFile corrupt, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.IncomingTransfers.AnyAsync(
            t => t.Id == corrupt.IncomingTransferId && IncomingTransfers.Unfinished.Contains(t.Status),
            cancellationToken
        );
    }

    /// <summary>Peers that may hold a good copy, the file's source first.</summary>
    public async Task<List<string>> HoldersAsync(CorruptFile corrupt, CancellationToken cancellationToken)
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
    public async Task<string?> AskAsync(string name, CorruptFile corrupt, CancellationToken cancellationToken)
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
