using System.Collections.Concurrent;
using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Files;
using Librarian.Domain.TransferManagers;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Clone;

/// <summary>
/// Copies the files of a batch to their staging slots at the peer and skips files that are there already. Only data that match the catalog
/// leave this site: if a copy turns out to be corrupt, another intact copy is sent instead, or nothing.
/// </summary>
/// <remarks>
/// A crash leaves a partial file in the peer's staging directory, which is removed with that directory; the final name appears only when
/// all bytes are on disk. A crash after a corrupt copy was recorded, or after the transfer was pointed to another copy, leaves a transfer
/// that the next run copies from there. A crash between the end of the transfer here and the message to the peer leaves an open transfer at
/// the peer, which the peer's own review ends.
/// </remarks>
[DurableTask(nameof(CopyBatch))]
public sealed class CopyBatch(BatchWork work, CopyChecks checks, TimeProvider time) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <summary>At most this many files are still copied after transfers to the peer were switched off (upstream weakness W22).</summary>
    private const int SwitchedOffWithin = 16;

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
        var roots = work.Policy(input.Destination).LocalRoots;
        foreach (var chunk in transfers.Chunk(SwitchedOffWithin))
        {
            var (peer, why) = await work.Calls.ConnectAsync(input.Destination, stop);
            if (peer is null)
                return await work.Calls.StepAsync(StepOutcome.Wait, input.QueueId, why, stop);
            var sources = await SourcesAsync(chunk, stop);
            var failures = new ConcurrentBag<Unsent>();
            await Parallel.ForEachAsync(
                chunk,
                new ParallelOptions { MaxDegreeOfParallelism = 2, CancellationToken = stop },
                async (transfer, token) =>
                {
                    if (await SendAsync(transfer, sources[transfer.Id], roots, token) is { } unsent)
                        failures.Add(unsent);
                }
            );
            foreach (var withheld in failures.Where(f => f.UntilRepaired))
                await work.WithholdAsync(peer, withheld.Transfer, withheld.Why, stop);
            foreach (var reason in failures.Where(f => !f.UntilRepaired).GroupBy(f => f.Why, StringComparer.Ordinal))
                await work.AbandonAsync(peer, [.. reason.Select(f => f.Transfer)], reason.Key, stop);
            copied += chunk.Length - failures.Count;
            unsent += failures.Count;
        }

        return await work.Calls.StepAsync(StepOutcome.Done, input.QueueId, $"{copied} files copied, {unsent} could not be.", stop);
    }

    /// <summary>Returns null if the file is at the destination.</summary>
    private async Task<Unsent?> SendAsync(
        OutgoingTransfer transfer,
        (string? Path, string Why) source,
        IReadOnlyList<string> roots,
        CancellationToken stop
    )
    {
        var expected = new ContentDescription(Checksum.Parse(transfer.TransferChecksum), transfer.TransferSize);
        var tried = new List<long>();
        while (true)
        {
            if (source.Path is not { } from)
                return new Unsent(transfer, source.Why, UntilRepaired: false);
            var sending = await LocalTransferManager.CopyAsync(from, expected, transfer.DestPath!, transfer.FileName, roots, stop);
            if (sending.Status == SendingStatus.Copied)
                return null;
            if (sending.Status == SendingStatus.Failed)
                return new Unsent(transfer, sending.Message, UntilRepaired: false);
            if (await ReadAgainAsync(transfer, stop) is var found && found == SecondReading.Intact)
                return new Unsent(
                    transfer,
                    $"{sending.Message} Read again, the copy is what the catalog says; "
                        + "if this repeats, test the machine's memory, and look for links to directories in the file.",
                    UntilRepaired: false
                );
            if (transfer.CopyId is { } copyId)
                tried.Add(copyId);
            if (!await TakeOtherCopyAsync(transfer, tried, stop))
            {
                return found == SecondReading.Corrupt
                    ? new Unsent(
                        transfer,
                        $"{sending.Message} The copy is corrupt, and no other intact one is here; "
                            + "the file is sent when it has been repaired.",
                        UntilRepaired: true
                    )
                    : new Unsent(transfer, sending.Message, UntilRepaired: false);
            }

            source = (await SourcesAsync([transfer], stop))[transfer.Id];
        }
    }

    private async Task<IReadOnlyDictionary<long, (string? Path, string Why)>> SourcesAsync(
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
