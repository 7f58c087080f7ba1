using System.Collections.Concurrent;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

/// <summary>A batch of files on its way to one neighbour.</summary>
/// <param name="QueueId">Row in <c>send_queue</c>.</param>
/// <param name="Destination">The neighbour's name.</param>
/// <param name="Files">Number of files.</param>
public sealed record SendBatch(long QueueId, string Destination, int Files);

/// <summary>What became of <c>clone/complete</c> (wire.md §6.6.4).</summary>
public enum AcknowledgeOutcome
{
    /// <summary>The remote copy is recorded now (or was already, by an earlier delivery of the same call).</summary>
    Recorded,

    /// <summary>No outgoing transfer of that id is visible to the caller.</summary>
    UnknownTransfer,

    /// <summary>The transfer is in a state that cannot be completed.</summary>
    WrongState,

    /// <summary>The destination is no longer registered.</summary>
    UnknownLibrarian,
}

/// <summary>
/// The rules for files this site pushes. Every state change is one conditional UPDATE that names the states it may leave, so
/// that a callback, a review and the batch's own orchestration can meet without undoing each other.
/// </summary>
public sealed class OutgoingTransfers(TimeProvider time)
{
    /// <summary>States in which a transfer is still on its way.</summary>
    public static readonly TransferStatus[] Unfinished = [TransferStatus.Initiated, TransferStatus.Ongoing, TransferStatus.Staged];

    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromHours(6);

    /// <summary>How often a look for files to send passes over all files, also over those that had a copy at the destination.</summary>
    public static readonly TimeSpan LookAtAllEvery = TimeSpan.FromMinutes(15);

    /// <summary>A file's time is taken before its row can be seen by others: files as young as this are looked at each time.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromMinutes(10);

    /// <summary>By destination; memory of this process, from which nothing but the amount of reading depends.</summary>
    private readonly ConcurrentDictionary<string, Passed> _passed = new(StringComparer.Ordinal);

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    /// <summary>
    /// Makes the next batch for a neighbour inside the caller's transaction: files that it has no known copy of, that are not
    /// on their way to it and whose last failure is far enough back, oldest first. Null when there is nothing to send.
    /// A second process that makes a batch at the same time loses on the in-flight index when it saves.
    /// </summary>
    /// <remarks>
    /// Only every <see cref="LookAtAllEvery"/> are all files looked at. In between a look begins at the oldest file without a copy there, so that it costs
    /// what is to be sent and not what was ever sent. A file whose remote copy is forgotten meanwhile waits for the next look at all.
    /// </remarks>
    public async Task<SendBatch?> CreateBatchAsync(CatalogContext db, PeerOptions policy, Func<long, string> orchestrationId, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(orchestrationId);
        var now = Now;
        var destination = policy.Name;
        var librarian = await db.Librarians.Where(l => l.Name == destination).Select(l => l.Id).FirstOrDefaultAsync(cancellationToken);
        var newest = await db.Instances.MaxAsync(i => (long?)i.Id, cancellationToken) ?? 0;
        var passed = await PassedAsync(db, destination, librarian, now, cancellationToken);
        var lacking = db.Files.AsNoTracking().Where(f => !db.RemoteInstances.Any(r => r.FileName == f.Name && r.LibrarianId == librarian));
        if (passed is { CreateTime: var from }) lacking = lacking.Where(f => f.CreateTime >= from);
        var files = await lacking
            .Where(f => !db.OutgoingTransfers.Any(t => t.FileName == f.Name && t.Destination == destination
                && (Unfinished.Contains(t.Status) || t.RetryAfter > now)))
            .Where(f => f.Instances.Any(i => i.Available && !db.Drives.Any(d => d.StoreId == i.StoreId)))
            .OrderBy(f => f.CreateTime).ThenBy(f => f.Name)
            .Select(f => new { f.Name, f.Size, f.Checksum })
            .Take(policy.BatchSize)
            .ToListAsync(cancellationToken);
        var oldest = await lacking.OrderBy(f => f.CreateTime).ThenBy(f => f.Name).Select(f => (DateTime?)f.CreateTime).FirstOrDefaultAsync(cancellationToken);
        var settled = now - Settling;
        _passed[destination] = new Passed(librarian, oldest < settled ? oldest.Value : settled, newest, passed?.LookAtAll ?? now + LookAtAllEvery);
        // By themselves: as a part of the query above, the copies of all files would be numbered first.
        List<string> names = [.. files.Select(f => f.Name)];
        var copies = names.Count == 0 ? [] : (await db.Instances.AsNoTracking().Where(i => names.Contains(i.FileName) && i.Available && !db.Drives.Any(d => d.StoreId == i.StoreId))
            .Select(i => new { i.FileName, i.Id, i.Path }).ToListAsync(cancellationToken)).GroupBy(i => i.FileName, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.MinBy(i => i.Id)!, StringComparer.Ordinal);
        files.RemoveAll(f => !copies.ContainsKey(f.Name));
        if (files.Count == 0) return null;

        var queue = new SendQueueItem { CreatedTime = now, Destination = destination };
        db.SendQueue.Add(queue);
        await db.SaveChangesAsync(cancellationToken);
        queue.OrchestrationId = orchestrationId(queue.Id);
        db.OutgoingTransfers.AddRange(files.Select(f => new OutgoingTransfer
        {
            Status = TransferStatus.Initiated,
            Destination = destination,
            TransferSize = f.Size,
            TransferChecksum = f.Checksum,
            StartTime = now,
            FileName = f.Name,
            InstanceId = copies[f.Name].Id,
            SourcePath = copies[f.Name].Path,
            SendQueueId = queue.Id,
        }));
        await db.SaveChangesAsync(cancellationToken);
        return new SendBatch(queue.Id, destination, files.Count);
    }

    /// <summary>The next look for files to send to a neighbour passes over all: one that it had is to be offered again.</summary>
    public void LookAtAll(string destination) => _passed.TryRemove(destination, out _);

    /// <summary>Where a look may begin; null when all are to be looked at, because it is time or because files have come that are older.</summary>
    private async Task<Passed?> PassedAsync(CatalogContext db, string destination, long librarian, DateTime now, CancellationToken cancellationToken)
    {
        if (!_passed.TryGetValue(destination, out var passed) || passed.Librarian != librarian || passed.LookAtAll <= now) return null;
        var (from, known) = (passed.CreateTime, passed.NewestInstance);
        return await db.Instances.AnyAsync(i => i.Id > known && i.File!.CreateTime < from, cancellationToken) ? null : passed;
    }

    /// <summary>
    /// Batches to a neighbour that this site has made and that have not ended. Those taken over from a Python site have no workflow of their
    /// own and may be many; they must not hold up new ones.
    /// </summary>
    public static Task<int> CountOpenBatchesAsync(CatalogContext db, string destination, CancellationToken cancellationToken) =>
        db.SendQueue.CountAsync(q => q.Destination == destination && !q.Completed && q.OrchestrationId != null, cancellationToken);

    /// <summary>Moves transfers of a batch forward; returns how many really were in one of <paramref name="from"/>.</summary>
    public static Task<int> AdvanceAsync(CatalogContext db, IReadOnlyCollection<long> ids, TransferStatus[] from, TransferStatus to, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        return db.OutgoingTransfers.Where(t => ids.Contains(t.Id) && from.Contains(t.Status))
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, to), cancellationToken);
    }

    /// <summary>
    /// Gives transfers up. The file is offered again after a pause that doubles with each end without success towards the same destination
    /// (15 s to 6 h), so that one bad file neither floods the neighbour nor is forgotten.
    /// </summary>
    /// <param name="db">Unit of work.</param>
    /// <param name="ids">Outgoing transfers; those that have ended are left alone.</param>
    /// <param name="reason">Why, for people.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="status">FAILED, or CANCELLED when nothing is wrong with the file and it only has to wait for its turn.</param>
    /// <returns>How many were given up.</returns>
    public async Task<int> FailAsync(CatalogContext db, IReadOnlyCollection<long> ids, string reason, CancellationToken cancellationToken,
        TransferStatus status = TransferStatus.Failed)
    {
        ArgumentNullException.ThrowIfNull(db);
        if (ids.Count == 0) return 0;
        var failures = await db.OutgoingTransfers.AsNoTracking().Where(t => ids.Contains(t.Id) && Unfinished.Contains(t.Status))
            .Select(t => new
            {
                t.Id,
                Count = db.OutgoingTransfers.Count(o => o.FileName == t.FileName && o.Destination == t.Destination
                    && (o.Status == TransferStatus.Failed || o.Status == TransferStatus.Cancelled)),
            })
            .ToListAsync(cancellationToken);
        var changed = 0;
        var now = Now;
        foreach (var group in failures.GroupBy(f => Math.Min(f.Count, 16)))
        {
            var retryAfter = now + Pause(group.Key);
            var members = group.Select(f => f.Id).ToList();
            changed += await db.OutgoingTransfers.Where(t => members.Contains(t.Id) && Unfinished.Contains(t.Status))
                .ExecuteUpdateAsync(s => s
                    .SetProperty(t => t.Status, status)
                    .SetProperty(t => t.EndTime, now)
                    .SetProperty(t => t.RetryAfter, retryAfter)
                    .SetProperty(t => t.FailureReason, reason), cancellationToken);
        }

        return changed;
    }

    /// <summary>How long a file rests after its <paramref name="failures"/>-th earlier failure.</summary>
    public static TimeSpan Pause(int failures) =>
        TimeSpan.FromTicks(Math.Min(LongestRetry.Ticks, FirstRetry.Ticks * (1L << Math.Clamp(failures, 0, 16))));

    /// <summary>
    /// Records that the destination holds a verified copy and ends the transfer, in the caller's transaction. Repeating the call
    /// is harmless: callbacks may be delivered twice (wire.md §9.7).
    /// </summary>
    /// <param name="db">Unit of work in a transaction.</param>
    /// <param name="transferId">Our outgoing transfer.</param>
    /// <param name="caller">Account that says so; null when this site found out itself or the caller is an administrator.</param>
    /// <param name="remoteStoreId">The destination's store id.</param>
    /// <param name="sender">Our own name.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task<AcknowledgeOutcome> AcknowledgeAsync(CatalogContext db, long transferId, string? caller, long remoteStoreId, string sender, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        var transfer = await db.OutgoingTransfers.AsNoTracking().Where(t => t.Id == transferId)
            .Select(t => new { t.Destination, t.FileName, t.Status, Librarian = db.Librarians.Where(l => l.Name == t.Destination).Select(l => (long?)l.Id).FirstOrDefault() })
            .SingleOrDefaultAsync(cancellationToken);
        if (transfer is null || (caller is not null && transfer.Destination != caller)) return AcknowledgeOutcome.UnknownTransfer;
        if (transfer.Librarian is not { } librarian) return AcknowledgeOutcome.UnknownLibrarian;
        var now = Now;
        if (transfer.Status == TransferStatus.Completed)
        {
            return await db.RemoteInstances.AnyAsync(r => r.FileName == transfer.FileName && r.LibrarianId == librarian && r.StoreId == remoteStoreId, cancellationToken)
                ? AcknowledgeOutcome.Recorded : AcknowledgeOutcome.WrongState;
        }

        // A callback asks for ONGOING or STAGED; what this site found out itself may end an INITIATED one too (wire.md §9.3).
        var from = caller is null ? Unfinished : [TransferStatus.Ongoing, TransferStatus.Staged];
        var changed = await db.OutgoingTransfers.Where(t => t.Id == transferId && from.Contains(t.Status))
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Completed).SetProperty(t => t.EndTime, now), cancellationToken);
        if (changed == 0) return AcknowledgeOutcome.WrongState;
        if (!await db.RemoteInstances.AnyAsync(r => r.FileName == transfer.FileName && r.LibrarianId == librarian && r.StoreId == remoteStoreId, cancellationToken))
        {
            db.RemoteInstances.Add(new RemoteInstance
            {
                FileName = transfer.FileName,
                LibrarianId = librarian,
                StoreId = remoteStoreId,
                CopyTime = now,
                Sender = sender,
            });
            await db.SaveChangesAsync(cancellationToken);
        }

        return AcknowledgeOutcome.Recorded;
    }

    /// <summary>
    /// Tells which of the batches of these transfers have no unfinished transfer left, so that their orchestrations can be woken.
    /// Locks the batch rows first: of two callbacks that end the last two transfers at the same time, the later one sees it.
    /// </summary>
    public static async Task<IReadOnlyList<string>> SettledBatchesAsync(CatalogContext db, IReadOnlyCollection<long> transferIds, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        var queues = await db.OutgoingTransfers.Where(t => transferIds.Contains(t.Id) && t.SendQueueId != null)
            .Select(t => t.SendQueueId!.Value).Distinct().OrderBy(id => id).ToListAsync(cancellationToken);
        if (queues.Count == 0) return [];
        await db.SendQueue.Where(q => queues.Contains(q.Id)).ExecuteUpdateAsync(s => s.SetProperty(q => q.Retries, q => q.Retries), cancellationToken);
        return await db.SendQueue
            .Where(q => queues.Contains(q.Id) && !q.Completed && q.OrchestrationId != null
                && !db.OutgoingTransfers.Any(t => t.SendQueueId == q.Id && Unfinished.Contains(t.Status)))
            .Select(q => q.OrchestrationId!).ToListAsync(cancellationToken);
    }

    /// <summary>All files before a time have a copy at a destination.</summary>
    /// <param name="Librarian">The destination's row: a neighbour that is removed and added anew has none of its copies.</param>
    /// <param name="CreateTime">That time.</param>
    /// <param name="NewestInstance">Newest copy when this was found; files may come later that are older.</param>
    /// <param name="LookAtAll">When it is no longer relied on.</param>
    private sealed record Passed(long Librarian, DateTime CreateTime, long NewestInstance, DateTime LookAtAll);
}
