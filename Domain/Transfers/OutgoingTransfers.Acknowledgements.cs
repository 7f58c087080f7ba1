using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

public sealed partial class OutgoingTransfers
{
    /// <summary>
    /// Records a destination's statement that it holds a verified copy. The statement must match the transfer in every part that it
    /// contains, because an id alone may belong to another transfer. Repeating the call is harmless: callbacks may be delivered twice
    /// (docs/spec/wire.md#repeated-callbacks).
    /// </summary>
    /// <param name="db">Unit of work in a transaction.</param>
    /// <param name="told">The statement.</param>
    /// <param name="caller">The destination that makes it.</param>
    /// <param name="sender">This site's name.</param>
    /// <param name="isProven">True when the destination was asked and holds the file: then a transfer may end although its id there is not
    /// known.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task<AcknowledgeOutcome> AcknowledgeAsync(
        CatalogContext db,
        Acknowledgement told,
        string caller,
        string sender,
        bool isProven,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(told);
        var transfer = await db.OutgoingTransfers.AsNoTracking().SingleOrDefaultAsync(t => t.Id == told.TransferId, cancellationToken);
        if (transfer is null || transfer.Destination != caller)
            return AcknowledgeOutcome.UnknownTransfer;
        if (!Fits(transfer, told))
            return AcknowledgeOutcome.OtherTransfer;
        if (!await db.Peers.AnyAsync(l => l.Name == caller, cancellationToken))
            return AcknowledgeOutcome.UnknownLibrarian;
        if (transfer.Status is TransferStatus.Initiated or TransferStatus.Failed or TransferStatus.Cancelled)
            return AcknowledgeOutcome.WrongState;
        if (!isProven && !IsProven(transfer, told))
            return AcknowledgeOutcome.Unproven;
        var outcome = await EndAsync(
            db,
            transfer,
            told.StoreId,
            [TransferStatus.Ongoing, TransferStatus.Staged],
            sender,
            cancellationToken
        );
        // From now on the id counts too: the same callback comes again with the same id.
        if (outcome == AcknowledgeOutcome.Recorded && transfer.RemoteTransferId is null && told.DestinationTransferId > 0)
            await db
                .OutgoingTransfers.Where(t => t.Id == transfer.Id)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.RemoteTransferId, told.DestinationTransferId), cancellationToken);
        return outcome;
    }

    /// <summary>
    /// Records a copy that this site has found at the destination itself and ends the transfer, an INITIATED one too
    /// (docs/spec/wire.md#review-of-outgoing-transfers), in the caller's transaction.
    /// </summary>
    public async Task<AcknowledgeOutcome> RecordFoundAsync(
        CatalogContext db,
        long transferId,
        long remoteStoreId,
        string sender,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        return await db.OutgoingTransfers.AsNoTracking().SingleOrDefaultAsync(t => t.Id == transferId, cancellationToken) is { } transfer
            ? await EndAsync(db, transfer, remoteStoreId, Unfinished, sender, cancellationToken)
            : AcknowledgeOutcome.UnknownTransfer;
    }

    /// <summary>
    /// Records a copy that was found at the destination, whichever transfer brought it, and ends the unfinished transfer of the file to it,
    /// in the caller's transaction.
    /// </summary>
    /// <returns>That transfer; null when there is none.</returns>
    public async Task<long?> RecordCopyAsync(
        CatalogContext db,
        string fileName,
        string destination,
        long remoteStoreId,
        string sender,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        var open = await db
            .OutgoingTransfers.AsNoTracking()
            .SingleOrDefaultAsync(
                t => t.FileName == fileName && t.Destination == destination && Unfinished.Contains(t.Status),
                cancellationToken
            );
        if (open is not null)
        {
            await EndAsync(db, open, remoteStoreId, Unfinished, sender, cancellationToken);
            return open.Id;
        }

        if (
            await db.Peers.Where(l => l.Name == destination).Select(l => (long?)l.Id).SingleOrDefaultAsync(cancellationToken) is
            { } librarian
        )
            await KeepCopyAsync(db, fileName, librarian, remoteStoreId, sender, cancellationToken);
        return null;
    }

    /// <summary>Whether the parts of a statement match the transfer.</summary>
    private static bool Fits(OutgoingTransfer transfer, Acknowledgement told) =>
        (told.FileName is null || told.FileName == transfer.FileName)
        && (told.Checksum is null || told.Checksum == transfer.TransferChecksum)
        && (told.Size is null || told.Size == transfer.TransferSize)
        && (told.DestinationTransferId < 0 || transfer.RemoteTransferId is null || told.DestinationTransferId == transfer.RemoteTransferId);

    /// <summary>Proven by both ids, by name and checksum, or by a person's statement about a copy that was carried by hand.</summary>
    private static bool IsProven(OutgoingTransfer transfer, Acknowledgement told) =>
        told is { FileName: not null, Checksum: not null }
        || (
            transfer.RemoteTransferId is null
                ? transfer.SendQueueId is null && told.DestinationTransferId < 0
                : told.DestinationTransferId == transfer.RemoteTransferId
        );

    private async Task<AcknowledgeOutcome> EndAsync(
        CatalogContext db,
        OutgoingTransfer transfer,
        long remoteStoreId,
        TransferStatus[] from,
        string sender,
        CancellationToken cancellationToken
    )
    {
        if (
            await db.Peers.Where(l => l.Name == transfer.Destination).Select(l => (long?)l.Id).SingleOrDefaultAsync(cancellationToken)
            is not { } librarian
        )
            return AcknowledgeOutcome.UnknownLibrarian;
        if (transfer.Status == TransferStatus.Completed)
        {
            return await db.RemoteCopies.AnyAsync(
                r => r.FileName == transfer.FileName && r.PeerId == librarian && r.StoreId == remoteStoreId,
                cancellationToken
            )
                ? AcknowledgeOutcome.Recorded
                : AcknowledgeOutcome.WrongState;
        }

        var now = Now;
        var changed = await db
            .OutgoingTransfers.Where(t => t.Id == transfer.Id && from.Contains(t.Status))
            .ExecuteUpdateAsync(
                s => s.SetProperty(t => t.Status, TransferStatus.Completed).SetProperty(t => t.EndTime, now),
                cancellationToken
            );
        if (changed == 0)
            return AcknowledgeOutcome.WrongState;
        await KeepCopyAsync(db, transfer.FileName, librarian, remoteStoreId, sender, cancellationToken);
        return AcknowledgeOutcome.Recorded;
    }

    /// <summary>Keeps one row per file, peer and store; a copy in doubt is confirmed.</summary>
    private async Task KeepCopyAsync(
        CatalogContext db,
        string fileName,
        long librarian,
        long remoteStoreId,
        string sender,
        CancellationToken cancellationToken
    )
    {
        var same = db.RemoteCopies.Where(r => r.FileName == fileName && r.PeerId == librarian && r.StoreId == remoteStoreId);
        if (await same.ExecuteUpdateAsync(s => s.SetProperty(r => r.UnconfirmedSince, (DateTime?)null), cancellationToken) > 0)
            return;
        db.RemoteCopies.Add(
            new RemoteCopy
            {
                FileName = fileName,
                PeerId = librarian,
                StoreId = remoteStoreId,
                CopyTime = Now,
                Sender = sender,
            }
        );
        await db.SaveChangesAsync(cancellationToken);
    }
}
