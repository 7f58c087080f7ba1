using Librarian.Client;
using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Domain.TransferManagers;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.TransferManagers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Clone;

/// <summary>
/// Copies the files of a batch to their staging slots at the peer and skips files that are there already. Only data that match the catalog
/// are announced: if a copy turns out to be corrupt, another intact copy is sent instead, or nothing.
/// </summary>
/// <remarks>
/// Each transfer manager says what a crash leaves of the bytes (<see cref="ITransferManager"/>). A crash after a corrupt copy was recorded,
/// or after the transfer was pointed to another copy, leaves a transfer that the next run sends from there. A crash between
/// the end of the transfer here and the message to the peer leaves an open transfer at the peer, which the peer's own review ends.
/// </remarks>
[DurableTask(nameof(CopyBatch))]
public sealed class CopyBatch(BatchWork work, TransferManagerChoice managers, CopyChecks checks, TimeProvider time)
    : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        List<OutgoingTransfer> transfers;
        await using (var db = work.Open())
        {
            transfers =
            [
                .. (await BatchWork.OpenTransfersAsync(db, input.QueueId, stop)).Where(t =>
                    t is { Status: TransferStatus.Ongoing, DestPath: not null }
                ),
            ];
            var queue = await db.SendQueue.SingleAsync(q => q.Id == input.QueueId, stop);
            queue.Consumed = true;
            queue.ConsumedTime ??= time.GetUtcNow().UtcDateTime;
            await db.SaveChangesAsync(stop);
        }

        var (copied, unsent) = (0, 0);
        foreach (var same in transfers.GroupBy(t => t.TransferManagerName, StringComparer.Ordinal))
        {
            var manager = managers.Of(same.Key);
            foreach (var chunk in same.Chunk(manager.FilesAtOnce))
            {
                var (peer, why) = await work.Calls.ConnectAsync(input.Destination, stop);
                if (peer is null)
                    return await work.Calls.StepAsync(StepOutcome.Wait, input.QueueId, why, stop);
                var (failures, trouble) = await SendAsync(manager, peer, chunk, stop);
                foreach (var withheld in failures.Where(f => f.UntilRepaired))
                    await work.WithholdAsync(peer, withheld.Transfer, withheld.Why, stop);
                foreach (var reason in failures.Where(f => !f.UntilRepaired).GroupBy(f => f.Why, StringComparer.Ordinal))
                    await work.AbandonAsync(peer, [.. reason.Select(f => f.Transfer)], reason.Key, stop);
                if (trouble is Refused { Status: 507 })
                    return await work.Calls.FullAsync(input, trouble, stop);
                if (trouble is not null)
                    return await work.Calls.WaitAsync(input, trouble, stop);
                copied += chunk.Length - failures.Count;
                unsent += failures.Count;
            }
        }

        return await work.Calls.StepAsync(StepOutcome.Done, input.QueueId, $"{copied} files copied, {unsent} could not be.", stop);
    }

    /// <summary>
    /// Sends files. Those whose copy differs from the catalog are sent again from another intact copy, if there is one.
    /// </summary>
    /// <returns>The files that could not be sent, and trouble of the link for which the others wait.</returns>
    private async Task<(List<Unsent> Unsent, ReplyError? Trouble)> SendAsync(
        ITransferManager manager,
        PeerClient peer,
        IReadOnlyList<OutgoingTransfer> transfers,
        CancellationToken stop
    )
    {
        var unsent = new List<Unsent>();
        var tried = new Dictionary<long, List<long>>();
        var policy = work.Policy(peer.Login.Name);
        while (transfers.Count > 0)
        {
            var sources = await SourcesAsync(transfers, stop);
            unsent.AddRange(
                transfers.Where(t => sources[t.Id].File is null).Select(t => new Unsent(t, sources[t.Id].Why, UntilRepaired: false))
            );
            var ended = new List<(OutgoingTransfer Transfer, SendingResult Result)>();
            List<OutgoingFile> files = [.. transfers.Select(t => sources[t.Id].File).OfType<OutgoingFile>()];
            var trouble = await manager.SendAsync(peer, policy, files, (file, result) => ended.Add((file.Transfer, result)), stop);
            unsent.AddRange(
                ended
                    .Where(e => e.Result.Status == SendingStatus.Failed)
                    .Select(e => new Unsent(e.Transfer, e.Result.Message, UntilRepaired: false))
            );
            var again = new List<OutgoingTransfer>();
            foreach (var (transfer, result) in ended.Where(e => e.Result.Status == SendingStatus.SourceDiffers))
            {
                if (await ReplaceSourceAsync(transfer, result.Message, tried, stop) is { } without)
                    unsent.Add(without);
                else
                    again.Add(transfer);
            }

            if (trouble is not null)
                return (unsent, trouble);
            transfers = again;
        }

        return (unsent, null);
    }

    /// <summary>Reads a copy again that differed from the catalog, and points the transfer to another one if it is not intact.</summary>
    /// <returns>Null if the transfer can be sent from another copy.</returns>
    private async Task<Unsent?> ReplaceSourceAsync(
        OutgoingTransfer transfer,
        string message,
        Dictionary<long, List<long>> tried,
        CancellationToken stop
    )
    {
        if (await ReadAgainAsync(transfer, stop) is var found && found == SecondReading.Intact)
            return new Unsent(
                transfer,
                $"{message} Read again, the copy is what the catalog says; "
                    + "if this repeats, test the machine's memory, and look for links to directories in the file.",
                UntilRepaired: false
            );
        if (!tried.TryGetValue(transfer.Id, out var copies))
            tried[transfer.Id] = copies = [];
        if (transfer.CopyId is { } copyId)
            copies.Add(copyId);
        if (await TakeOtherCopyAsync(transfer, copies, stop))
            return null;
        return found == SecondReading.Corrupt
            ? new Unsent(
                transfer,
                $"{message} The copy is corrupt, and no other intact one is here; the file is sent when it has been repaired.",
                UntilRepaired: true
            )
            : new Unsent(transfer, message, UntilRepaired: false);
    }

    private async Task<IReadOnlyDictionary<long, (OutgoingFile? File, string Why)>> SourcesAsync(
        IReadOnlyCollection<OutgoingTransfer> transfers,
        CancellationToken stop
    )
    {
        await using var db = work.Open();
        return await work.SourcesAsync(db, transfers, stop);
    }

    private async Task<SecondReading> ReadAgainAsync(OutgoingTransfer transfer, CancellationToken stop)
    {
        if (transfer.CopyId is { } copyId)
            return await checks.ReadAgainAsync(copyId, stop);
        // The transfer comes from a Python site's database, or its copy has been catalogued again: check every copy of the file.
        var found = await checks.CheckAsync(transfer.FileName, force: true, stop);
        return found is { Checks: { Count: > 0 } all } && all.All(c => !c.Matches) ? SecondReading.Corrupt : SecondReading.Unreadable;
    }

    /// <summary>Points the transfer to another intact copy; false if there is none.</summary>
    private async Task<bool> TakeOtherCopyAsync(OutgoingTransfer transfer, List<long> tried, CancellationToken stop)
    {
        await using var db = work.Open();
        var other = await db
            .IntactCopies.AsNoTracking()
            .Where(i => i.FileName == transfer.FileName && !tried.Contains(i.Id) && !db.Drives.Any(d => d.StoreId == i.StoreId))
            .OrderBy(i => i.Id)
            .Select(i => new
            {
                i.Id,
                i.StoreId,
                i.Path,
            })
            .FirstOrDefaultAsync(stop);
        if (other is null)
            return false;
        var path = work.Locate(other.StoreId, other.Path);
        (transfer.CopyId, transfer.SourcePath) = (other.Id, path);
        await db
            .OutgoingTransfers.Where(t => t.Id == transfer.Id && t.Status == TransferStatus.Ongoing)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.CopyId, other.Id).SetProperty(t => t.SourcePath, path), stop);
        return true;
    }

    /// <summary>A file that was not sent, and whether it waits until this site has an intact copy.</summary>
    private sealed record Unsent(OutgoingTransfer Transfer, string Why, bool UntilRepaired);
}
