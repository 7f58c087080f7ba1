using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;

namespace Librarian.Orchestrations.Clone;

public sealed partial class BatchWork
{
    /// <summary>
    /// Announces a new state of transfers to the peer and follows its answer. Asks about the ids that the peer refused: each of these
    /// transfers either has progressed further already or is abandoned (upstream ignores the refusals: weakness W34).
    /// </summary>
    public async Task<BatchStep> AnnounceAsync(
        SendCloneInput input,
        IReadOnlyList<OutgoingTransfer> transfers,
        TransferStatus status,
        TransferStatus[] from,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(transfers);
        if (transfers.Count == 0)
            return await calls.StepAsync(StepOutcome.Done, input.QueueId, $"Everything is {status}.", cancellationToken);
        calls.RemoveWaiting(input);
        var (peer, why) = await calls.ConnectAsync(input.Destination, cancellationToken);
        if (peer is null)
            return await calls.StepAsync(StepOutcome.Wait, input.QueueId, why, cancellationToken);
        // If the peer has given an id out twice, the id means the later transfer: the peer's catalog was restored in between.
        var byRemote = transfers.GroupBy(t => t.RemoteTransferId!.Value).ToDictionary(g => g.Key, g => g.MaxBy(t => t.Id)!);
        await AbandonAsync(
            null,
            [.. transfers.Except(byRemote.Values)],
            $"'{input.Destination}' has given the id of this transfer to another one.",
            cancellationToken
        );
        var notified = await peer.Client.UpdateCheckinAsync(
            BatchCalls.Update(peer, [.. byRemote.Select(t => (t.Key, t.Value.Id))], status),
            cancellationToken
        );
        if (!notified.IsSuccess)
            return await calls.WaitAsync(input, notified.Error, cancellationToken);
        await calls.RecordReachableAsync(input.Destination, cancellationToken);
        var modified = notified.Value.ModifiedDestinationTransferIds.ToHashSet();
        List<long> accepted = [.. byRemote.Where(t => modified.Contains(t.Key)).Select(t => t.Value.Id)];
        List<long> refused = [.. byRemote.Keys.Where(id => !modified.Contains(id))];
        if (refused.Count > 0)
        {
            var asked = await peer.Client.GetCheckinStatusAsync(
                BatchCalls.Question(peer, refused.ConvertAll(id => (id, byRemote[id].Id))),
                cancellationToken
            );
            if (!asked.IsSuccess)
                return await calls.WaitAsync(input, asked.Error, cancellationToken);
            var there = asked.Value.DestinationTransferStatus;
            var gone = await GoneAsync(peer, refused.ConvertAll(id => byRemote[id]), there, status, accepted, cancellationToken);
            var reason = $"'{input.Destination}' no longer expects the transfer: {string.Join(' ', notified.Value.Reasons)}";
            await AbandonAsync(peer, gone, reason, cancellationToken);
        }

        await AdvanceAsync(accepted, from, status, cancellationToken);
        return await calls.StepAsync(StepOutcome.Done, input.QueueId, $"{accepted.Count} files are {status}.", cancellationToken);
    }

    /// <summary>
    /// Those of the refused transfers that the peer no longer expects. Those that have progressed there count as accepted.
    /// </summary>
    private async Task<List<OutgoingTransfer>> GoneAsync(
        PeerClient peer,
        List<OutgoingTransfer> refused,
        IReadOnlyDictionary<long, TransferStatus?> there,
        TransferStatus status,
        List<long> accepted,
        CancellationToken cancellationToken
    )
    {
        var gone = new List<OutgoingTransfer>();
        foreach (var transfer in refused)
        {
            var theirs = there.GetValueOrDefault(transfer.RemoteTransferId!.Value);
            if (theirs is { } known && known < TransferStatus.Completed && (int)known >= (int)status)
                accepted.Add(transfer.Id);
            else if (
                theirs == TransferStatus.Completed
                && await ReconcileAsync(peer, transfer, probed: true, cancellationToken) is not false
            )
                continue;
            else
                gone.Add(transfer);
        }

        return gone;
    }

    /// <summary>
    /// Finds out whether the peer already holds the file (docs/spec/wire.md#review-of-outgoing-transfers). Records the copy if the
    /// checksums agree and the peer has checked the data: for its refusal (<see cref="CopyEvidence"/>), to complete the transfer, or now,
    /// by reading the copy. A catalog entry alone does not prove a copy.
    /// </summary>
    /// <param name="peer">The peer.</param>
    /// <param name="transfer">This site's transfer.</param>
    /// <param name="probed">Whether the peer has checked its copy.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <returns>Null if the peer could not be asked; otherwise whether it holds this site's file.</returns>
    public async Task<bool?> ReconcileAsync(PeerClient peer, OutgoingTransfer transfer, bool probed, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peer);
        ArgumentNullException.ThrowIfNull(transfer);
        var found = await peer.Client.SearchFilesAsync(new FileSearchRequest(Name: transfer.FileName), cancellationToken);
        if (!found.IsSuccess)
            return null;
        var ours = Checksum.Parse(transfer.TransferChecksum);
        var copy = found.Value.FirstOrDefault(f =>
            f.Name == transfer.FileName
            && f.Size == transfer.TransferSize
            && ours.CompareTo(Checksum.Parse(f.Checksum)) == ChecksumComparison.Equal
            && (f.TreeDigest is null || transfer.File?.TreeDigest is null || f.TreeDigest == transfer.File.TreeDigest)
        );
        List<long> storeIds =
        [
            .. copy?.Instances.Where(i => i is { Available: true, StoreId: not null }).Select(i => i.StoreId!.Value) ?? [],
        ];
        if (storeIds.Count == 0)
            return false;
        if (!probed)
        {
            var asked = await calls
                .WithTimeout(peer, options.Value.ValidationTimeout)
                .ValidateFileAsync(new ValidateFileRequest(transfer.FileName), [SiteName], cancellationToken);
            if (asked.Error is Refused { Status: 400 or 404 })
                return false;
            if (!asked.IsSuccess)
                return null;
            // The answer includes copies at other sites.
            var good = asked
                .Value.Copies.Where(c => c.ComputedSameChecksum && c.CurrentSize == transfer.TransferSize && c.Librarian == peer.Login.Name)
                .Select(c => c.Store)
                .ToHashSet();
            storeIds.RemoveAll(id => !good.Contains(id));
            if (storeIds.Count == 0)
                return false;
        }

        var storeId = storeIds[0];
        await using var db = Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        await outgoing.RecordFoundAsync(db, transfer.Id, storeId, SiteName, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return true;
    }

    public async Task AdvanceAsync(
        IReadOnlyCollection<long> ids,
        TransferStatus[] from,
        TransferStatus to,
        CancellationToken cancellationToken
    )
    {
        if (ids.Count == 0)
            return;
        await using var db = Open();
        await OutgoingTransfers.AdvanceAsync(db, ids, from, to, cancellationToken);
    }
}
