using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Clone;

/// <summary>Records copies that destinations report with <c>clone/complete</c>.</summary>
public sealed class CopyAcknowledgements(
    CatalogDatabase database,
    OutgoingTransfers outgoing,
    EndedTransfers endedTransfers,
    PeerConnections peers,
    DatabaseDurableTaskClient client
)
{
    private static readonly TimeSpan LookUpTimeout = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Handles <c>clone/complete</c>. The message has to match the transfer. If it does not, or if it contains only ids, this site asks the
    /// destination: it records the copy if the destination holds the file, whichever transfer brought it, and refuses otherwise.
    /// </summary>
    /// <remarks>
    /// A destination does not repeat a callback that was refused. The file is not forgotten: this site does not count the copy, so it
    /// offers the file again, gets the answer that the file exists (409), and checks the copy.
    /// </remarks>
    public async Task<AcknowledgeOutcome> CompleteAsync(
        Acknowledgement acknowledgement,
        Caller caller,
        string siteName,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(acknowledgement);
        ArgumentNullException.ThrowIfNull(caller);
        var name = caller.Username;
        if (caller.IsAdmin)
        {
            // An administrator completes on behalf of the destination and has only the destination's rights: ONGOING or STAGED.
            await using var db = database.Open();
            name = await db
                .OutgoingTransfers.Where(t => t.Id == acknowledgement.TransferId)
                .Select(t => t.Destination)
                .SingleOrDefaultAsync(cancellationToken)
                ?? "";
        }

        var outcome = await RecordAsync(acknowledgement, name, siteName, isProven: false, cancellationToken);
        if (outcome == AcknowledgeOutcome.Unproven)
            return await ProveAsync(acknowledgement, name, siteName, cancellationToken);
        if (
            outcome is AcknowledgeOutcome.Recorded or AcknowledgeOutcome.UnknownLibrarian
            || acknowledgement is not { FileName: { } file, Checksum: { } checksum, Size: { } size }
        )
            return outcome;
        return await RecordByFileAsync(file, checksum, size, name, siteName, cancellationToken) ? AcknowledgeOutcome.Recorded : outcome;
    }

    private async Task<AcknowledgeOutcome> RecordAsync(
        Acknowledgement acknowledgement,
        string destination,
        string siteName,
        bool isProven,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var outcome = await outgoing.AcknowledgeAsync(db, acknowledgement, destination, siteName, isProven, cancellationToken);
        if (outcome != AcknowledgeOutcome.Recorded)
            return outcome;
        await endedTransfers.PublishAsync(db, [acknowledgement.TransferId], cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
        return outcome;
    }

    /// <summary>
    /// The message contains only ids. A drive may come from a site without a link, so the message is accepted if its destination cannot be
    /// asked. It is refused if the destination answers that it has no such file.
    /// </summary>
    private async Task<AcknowledgeOutcome> ProveAsync(
        Acknowledgement acknowledgement,
        string destination,
        string siteName,
        CancellationToken cancellationToken
    )
    {
        OutgoingTransfer transfer;
        await using (var db = database.Open())
        {
            transfer = await db.OutgoingTransfers.AsNoTracking().SingleAsync(t => t.Id == acknowledgement.TransferId, cancellationToken);
        }

        var (answered, store) = await FindRemoteCopyAsync(
            destination,
            transfer.FileName,
            transfer.TransferChecksum,
            transfer.TransferSize,
            cancellationToken
        );
        // A transfer without a batch went on a drive.
        if (store is null && (answered || transfer.SendQueueId is not null))
            return AcknowledgeOutcome.OtherTransfer;
        return await RecordAsync(acknowledgement, destination, siteName, isProven: true, cancellationToken);
    }

    /// <summary>
    /// Records the copy by its file, although the ids do not match: the ids date from before a catalog was
    /// restored, but the file is the same.
    /// </summary>
    private async Task<bool> RecordByFileAsync(
        string file,
        string checksum,
        long size,
        string destination,
        string siteName,
        CancellationToken cancellationToken
    )
    {
        await using (var db = database.Open())
        {
            if (!await db.Files.AnyAsync(f => f.Name == file && f.Checksum == checksum && f.Size == size, cancellationToken))
                return false;
            if (
                await db.RemoteCopies.AnyAsync(
                    r => r.FileName == file && r.Peer!.Name == destination && r.UnconfirmedSince == null,
                    cancellationToken
                )
            )
                return true;
        }

        if ((await FindRemoteCopyAsync(destination, file, checksum, size, cancellationToken)).Store is not { } store)
            return false;
        await using var write = database.Open();
        await using var transaction = await write.Database.BeginTransactionAsync(cancellationToken);
        if (await outgoing.RecordCopyAsync(write, file, destination, store, siteName, cancellationToken) is { } ended)
            await endedTransfers.PublishAsync(write, [ended], cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
        return true;
    }

    private async Task<(bool Answered, long? Store)> FindRemoteCopyAsync(
        string destination,
        string file,
        string checksum,
        long size,
        CancellationToken cancellationToken
    )
    {
        if (await peers.FindAsync(destination, cancellationToken) is not { } found || peers.For(found.Login, LookUpTimeout) is not { } peer)
            return (false, null);
        var reply = await peer.Client.SearchFilesAsync(new FileSearchRequest(Name: file), cancellationToken);
        return reply.IsSuccess ? (true, RemoteCopySearch.StoreOf(reply.Value, file, checksum, size)) : (false, null);
    }
}
