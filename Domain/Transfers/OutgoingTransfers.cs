using System.Collections.Concurrent;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

/// <summary>
/// The rules for files that this site sends. Every state change is one conditional UPDATE that names the states it may leave, so that a
/// callback, a review and the batch's own orchestration can run concurrently without undoing each other.
/// </summary>
public sealed partial class OutgoingTransfers(TimeProvider time, SiteStores? stores = null)
{
    /// <summary>States in which a transfer is still on its way.</summary>
    public static readonly TransferStatus[] Unfinished = [TransferStatus.Initiated, TransferStatus.Ongoing, TransferStatus.Staged];

    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromHours(6);

    /// <summary>
    /// A start time further in the future than this was recorded while the clock was ahead; clocks of a site's processes differ by less.
    /// </summary>
    public static readonly TimeSpan ClockTolerance = TimeSpan.FromHours(1);

    /// <summary>
    /// How often the search for files to send scans all files, including those before the oldest file without a copy at the destination.
    /// </summary>
    public static readonly TimeSpan FullScanInterval = TimeSpan.FromMinutes(15);

    /// <summary>A file's time is taken before its row becomes visible: files younger than this are included in every search.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromMinutes(10);

    /// <summary>By destination. Process memory; it only affects how much is read.</summary>
    private readonly ConcurrentDictionary<string, Passed> _passed = new(StringComparer.Ordinal);

    /// <summary>How many of the latest transfers are searched for ids of destinations.</summary>
    private const long LastTransfers = 100_000;

    /// <summary>Highest id by destination; process memory.</summary>
    private readonly ConcurrentDictionary<string, long> _highest = new(StringComparer.Ordinal);

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    /// <summary>
    /// Creates the next batch for a peer in the caller's transaction, oldest files first: files without a known copy there, not on their
    /// way there, past the pause after their last failure, and with an intact copy here. Null when there is nothing to send. If a second
    /// process creates a batch at the same time, the in-flight index rejects its save.
    /// </summary>
    /// <remarks>
    /// All files are scanned only every <see cref="FullScanInterval"/>. In between, the search begins at the oldest file without a copy
    /// there, so that its cost depends on the files still to be sent and not on those ever sent. A file whose remote copy is forgotten
    /// meanwhile waits for the next full scan.
    /// </remarks>
    public async Task<SendBatch?> CreateBatchAsync(
        CatalogContext db,
        PeerOptions policy,
        Func<long, string> orchestrationId,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(orchestrationId);
        var now = Now;
        var destination = policy.Name;
        var librarian = await db.Peers.Where(l => l.Name == destination).Select(l => l.Id).FirstOrDefaultAsync(cancellationToken);
        var newest = await db.Copies.MaxAsync(i => (long?)i.Id, cancellationToken) ?? 0;
        var passed = await PassedAsync(db, destination, librarian, now, cancellationToken);
        var lacking = db.Files.AsNoTracking().Where(f => !db.RemoteCopies.Any(r => r.FileName == f.Name && r.PeerId == librarian));
        if (passed is { CreateTime: var from })
            lacking = lacking.Where(f => f.CreateTime >= from);
        var files = await ToSendAsync(lacking, db, policy, now, cancellationToken);
        await RememberPassedAsync(destination, librarian, lacking, newest, passed, now, cancellationToken);
        var copies = await CopiesToSendAsync(db, [.. files.Select(f => f.Name)], cancellationToken);
        files.RemoveAll(f => !copies.ContainsKey(f.Name));
        if (files.Count == 0)
            return null;

        var queueId = await QueueAsync(db, destination, orchestrationId, cancellationToken);
        db.OutgoingTransfers.AddRange(files.Select(f => NewTransfer(f, copies[f.Name], destination, queueId)));
        await db.SaveChangesAsync(cancellationToken);
        return new SendBatch(queueId, destination, files.Count);
    }

    /// <summary>Creates a batch of one copy that is sent although the destination may know the file, in the caller's transaction.</summary>
    /// <returns>The batch and its transfer.</returns>
    public async Task<(long QueueId, long TransferId)> QueueCopyAsync(
        CatalogContext db,
        FileCopy copy,
        string destination,
        Func<long, string> orchestrationId,
        CancellationToken cancellationToken
    )
    {
        var file = await db
            .Files.AsNoTracking()
            .Where(f => f.Name == copy.FileName)
            .Select(f => new FileToSend(f.Name, f.Size, f.Checksum))
            .SingleAsync(cancellationToken);
        var queueId = await QueueAsync(db, destination, orchestrationId, cancellationToken);
        var transfer = NewTransfer(file, new CopyToSend(copy.FileName, copy.Id, copy.StoreId, copy.Path), destination, queueId);
        db.OutgoingTransfers.Add(transfer);
        await db.SaveChangesAsync(cancellationToken);
        return (queueId, transfer.Id);
    }

    private async Task<long> QueueAsync(
        CatalogContext db,
        string destination,
        Func<long, string> orchestrationId,
        CancellationToken cancellationToken
    )
    {
        var queue = new SendQueueItem { CreatedTime = Now, Destination = destination };
        db.SendQueue.Add(queue);
        await db.SaveChangesAsync(cancellationToken);
        queue.OrchestrationId = orchestrationId(queue.Id);
        return queue.Id;
    }

    private OutgoingTransfer NewTransfer(FileToSend file, CopyToSend copy, string destination, long queueId) =>
        new()
        {
            Status = TransferStatus.Initiated,
            Destination = destination,
            TransferSize = file.Size,
            TransferChecksum = file.Checksum,
            StartTime = Now,
            FileName = file.Name,
            CopyId = copy.Id,
            SourcePath = stores?.Locate(copy.StoreId, copy.Path),
            SendQueueId = queueId,
        };

    /// <summary>Those of the files that are not on their way, are past their pause and have an intact copy here, oldest first.</summary>
    private static Task<List<FileToSend>> ToSendAsync(
        IQueryable<FileRecord> lacking,
        CatalogContext db,
        PeerOptions policy,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        // A pause that ends later was recorded while the clock was ahead: it is over.
        var latest = now + LongestRetry;
        var destination = policy.Name;
        return lacking
            .Where(f =>
                !db.OutgoingTransfers.Any(t =>
                    t.FileName == f.Name
                    && t.Destination == destination
                    && (Unfinished.Contains(t.Status) || (t.RetryAfter > now && t.RetryAfter <= latest))
                )
            )
            .Where(f => db.IntactCopies.Any(i => i.FileName == f.Name && !db.Drives.Any(d => d.StoreId == i.StoreId)))
            .OrderBy(f => f.CreateTime)
            .ThenBy(f => f.Name)
            .Select(f => new FileToSend(f.Name, f.Size, f.Checksum))
            .Take(policy.BatchSize)
            .ToListAsync(cancellationToken);
    }

    /// <summary>Remembers where the next search for files without a copy at the destination may begin.</summary>
    private async Task RememberPassedAsync(
        string destination,
        long librarian,
        IQueryable<FileRecord> lacking,
        long newest,
        Passed? passed,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        var oldest = await lacking
            .OrderBy(f => f.CreateTime)
            .ThenBy(f => f.Name)
            .Select(f => (DateTime?)f.CreateTime)
            .FirstOrDefaultAsync(cancellationToken);
        var settled = now - Settling;
        _passed[destination] = new Passed(
            librarian,
            oldest < settled ? oldest.Value : settled,
            newest,
            passed?.ForceFullScan ?? now + FullScanInterval
        );
    }

    /// <summary>For each name an intact copy that can be sent.</summary>
    private static async Task<Dictionary<string, CopyToSend>> CopiesToSendAsync(
        CatalogContext db,
        List<string> names,
        CancellationToken cancellationToken
    )
    {
        // A query of its own: as a part of the search for files, it would number the copies of all files first.
        var found =
            names.Count == 0
                ? []
                : await db
                    .IntactCopies.AsNoTracking()
                    .Where(i => names.Contains(i.FileName) && !db.Drives.Any(d => d.StoreId == i.StoreId))
                    .Select(i => new CopyToSend(i.FileName, i.Id, i.StoreId, i.Path))
                    .ToListAsync(cancellationToken);
        return found
            .GroupBy(i => i.FileName, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.MinBy(i => i.Id)!, StringComparer.Ordinal);
    }

    /// <summary>
    /// The highest id that a destination has given to one of the latest transfers; 0 when there is none. Only the latest are read, and only
    /// once: higher ids that other processes receive are in the rows of their transfers, and so are not lost.
    /// </summary>
    public async Task<long> HighestRemoteIdAsync(CatalogContext db, string destination, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        if (_highest.TryGetValue(destination, out var known))
            return known;
        var from = (await db.OutgoingTransfers.MaxAsync(t => (long?)t.Id, cancellationToken) ?? 0) - LastTransfers;
        known = await db
            .OutgoingTransfers.Where(t => t.Id > from && t.Destination == destination && t.RemoteTransferId != null)
            .MaxAsync(t => t.RemoteTransferId, cancellationToken)
            ?? 0;
        return _highest.GetOrAdd(destination, known);
    }

    /// <summary>Records an id that a destination has given.</summary>
    public void RememberRemoteId(string destination, long number) =>
        _highest.AddOrUpdate(destination, number, (_, before) => Math.Max(before, number));

    /// <summary>
    /// Forgets ids from this one on, in transfers that have ended: they belong to a catalog that the destination has lost.
    /// </summary>
    public async Task ForgetRemoteIdsAsync(CatalogContext db, string destination, long from, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        _highest[destination] = 0;
        var after = (await db.OutgoingTransfers.MaxAsync(t => (long?)t.Id, cancellationToken) ?? 0) - LastTransfers;
        await db
            .OutgoingTransfers.Where(t =>
                t.Id > after && t.Destination == destination && t.RemoteTransferId >= from && !Unfinished.Contains(t.Status)
            )
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.RemoteTransferId, (long?)null), cancellationToken);
    }

    /// <summary>
    /// Makes the next search for files to send to a peer scan all files, because one that the peer had has to be offered again.
    /// </summary>
    public void ForceFullScan(string destination) => _passed.TryRemove(destination, out _);

    /// <summary>
    /// Where a search may begin; null when all files have to be scanned, because it is time or because older files have been added.
    /// </summary>
    private async Task<Passed?> PassedAsync(
        CatalogContext db,
        string destination,
        long librarian,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        if (
            !_passed.TryGetValue(destination, out var passed)
            || passed.Librarian != librarian
            || passed.ForceFullScan <= now
            || passed.ForceFullScan > now + FullScanInterval
        )
            return null;
        var (from, known) = (passed.CreateTime, passed.NewestInstance);
        return await db.Copies.AnyAsync(i => i.Id > known && i.File!.CreateTime < from, cancellationToken) ? null : passed;
    }

    /// <summary>
    /// Batches to a peer that this site created and that have not ended. Batches adopted from a Python site have no workflow and may be
    /// many; they must not block new ones.
    /// </summary>
    public static Task<int> CountOpenBatchesAsync(CatalogContext db, string destination, CancellationToken cancellationToken) =>
        db.SendQueue.CountAsync(q => q.Destination == destination && !q.Completed && q.OrchestrationId != null, cancellationToken);

    /// <summary>Moves transfers of a batch forward; returns how many really were in one of <paramref name="from"/>.</summary>
    public static Task<int> AdvanceAsync(
        CatalogContext db,
        IReadOnlyCollection<long> ids,
        TransferStatus[] from,
        TransferStatus to,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        return db
            .OutgoingTransfers.Where(t => ids.Contains(t.Id) && from.Contains(t.Status))
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, to), cancellationToken);
    }

    /// <summary>
    /// Ends transfers without success. The file is offered again after a pause that doubles with each such end towards the same destination
    /// (15 s to 6 h), so that one bad file neither floods the peer nor is forgotten.
    /// </summary>
    /// <param name="db">Unit of work.</param>
    /// <param name="ids">Outgoing transfers; those that have ended are left alone.</param>
    /// <param name="reason">Why, for people.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="status">FAILED, or CANCELLED when the file is sound and is only deferred.</param>
    /// <returns>How many were ended.</returns>
    public async Task<int> FailAsync(
        CatalogContext db,
        IReadOnlyCollection<long> ids,
        string reason,
        CancellationToken cancellationToken,
        TransferStatus status = TransferStatus.Failed
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        if (ids.Count == 0)
            return 0;
        var failures = await db
            .OutgoingTransfers.AsNoTracking()
            .Where(t => ids.Contains(t.Id) && Unfinished.Contains(t.Status))
            .Select(t => new
            {
                t.Id,
                Count = db.OutgoingTransfers.Count(o =>
                    o.FileName == t.FileName
                    && o.Destination == t.Destination
                    && (o.Status == TransferStatus.Failed || o.Status == TransferStatus.Cancelled)
                ),
            })
            .ToListAsync(cancellationToken);
        var changed = 0;
        var now = Now;
        foreach (var group in failures.GroupBy(f => Math.Min(f.Count, 16)))
        {
            var retryAfter = now + Pause(group.Key);
            var members = group.Select(f => f.Id).ToList();
            changed += await db
                .OutgoingTransfers.Where(t => members.Contains(t.Id) && Unfinished.Contains(t.Status))
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(t => t.Status, status)
                            .SetProperty(t => t.EndTime, now)
                            .SetProperty(t => t.RetryAfter, retryAfter)
                            .SetProperty(t => t.FailureReason, reason),
                    cancellationToken
                );
        }

        return changed;
    }

    /// <summary>The pause before a file is offered again, after <paramref name="failures"/> earlier failures.</summary>
    public static TimeSpan Pause(int failures) =>
        TimeSpan.FromTicks(Math.Min(LongestRetry.Ticks, FirstRetry.Ticks * (1L << Math.Clamp(failures, 0, 16))));

    /// <summary>
    /// Finds the batches of these transfers that have no unfinished transfer left, so that their orchestrations can be woken. Locks the
    /// batch rows first: of two callbacks that end the last two transfers at the same time, the later one sees it.
    /// </summary>
    public static async Task<IReadOnlyList<string>> EndedBatchesAsync(
        CatalogContext db,
        IReadOnlyCollection<long> transferIds,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        var queues = await db
            .OutgoingTransfers.Where(t => transferIds.Contains(t.Id) && t.SendQueueId != null)
            .Select(t => t.SendQueueId!.Value)
            .Distinct()
            .OrderBy(id => id)
            .ToListAsync(cancellationToken);
        if (queues.Count == 0)
            return [];
        await db
            .SendQueue.Where(q => queues.Contains(q.Id))
            .ExecuteUpdateAsync(s => s.SetProperty(q => q.Retries, q => q.Retries), cancellationToken);
        return await db
            .SendQueue.Where(q =>
                queues.Contains(q.Id)
                && !q.Completed
                && q.OrchestrationId != null
                && !db.OutgoingTransfers.Any(t => t.SendQueueId == q.Id && Unfinished.Contains(t.Status))
            )
            .Select(q => q.OrchestrationId!)
            .ToListAsync(cancellationToken);
    }

    /// <summary>The fact that all files before a time have a copy at a destination.</summary>
    /// <param name="Librarian">The destination's row: a peer that was removed and added again has none of its copies.</param>
    /// <param name="CreateTime">That time.</param>
    /// <param name="NewestInstance">Newest copy when this was found; older files may be added later.</param>
    /// <param name="ForceFullScan">When this fact expires.</param>
    private sealed record Passed(long Librarian, DateTime CreateTime, long NewestInstance, DateTime ForceFullScan);

    private sealed record FileToSend(string Name, long Size, string Checksum);

    private sealed record CopyToSend(string FileName, long Id, long StoreId, string Path);
}
