using System.Collections.Concurrent;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

/// <summary>A batch of files for one peer.</summary>
/// <param name="QueueId">Row in <c>send_queue</c>.</param>
/// <param name="Destination">The peer's name.</param>
/// <param name="Files">Number of files.</param>
public sealed record SendBatch(long QueueId, string Destination, int Files);

/// <summary>Outcome of <c>clone/complete</c> (docs/spec/wire.md#clone-complete).</summary>
public enum AcknowledgeOutcome
{
    /// <summary>The remote copy is recorded, now or by an earlier delivery of the same call.</summary>
    Recorded,

    /// <summary>The caller sees no outgoing transfer with that id.</summary>
    UnknownTransfer,

    /// <summary>
    /// The transfer with that id is for another file, or has another id at the destination: one of the two catalogs was restored from a
    /// backup and uses its ids again.
    /// </summary>
    OtherTransfer,

    /// <summary>Only the id says that it is this transfer; ask the destination.</summary>
    Unproven,

    /// <summary>The transfer is in a state that cannot be completed.</summary>
    WrongState,

    /// <summary>The destination is no longer registered.</summary>
    UnknownLibrarian,
}

/// <summary>The contents of <c>clone/complete</c>.</summary>
/// <param name="TransferId">This site's outgoing transfer.</param>
/// <param name="DestinationTransferId">The destination's incoming transfer; negative when a person or a drive's receipt
/// acknowledges.</param>
/// <param name="StoreId">The destination's store.</param>
/// <param name="FileName">The file, when the destination runs this software.</param>
/// <param name="Checksum">Its checksum, likewise.</param>
/// <param name="Size">Its bytes, likewise.</param>
public sealed record Acknowledgement(
    long TransferId,
    long DestinationTransferId,
    long StoreId,
    string? FileName = null,
    string? Checksum = null,
    long? Size = null
);

/// <summary>
/// The rules for files that this site sends. Every state change is one conditional UPDATE that names the states it may leave, so that a
/// callback, a review and the batch's own orchestration can run concurrently without undoing each other.
/// </summary>
public sealed class OutgoingTransfers(TimeProvider time, SiteStores? stores = null)
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
        // A pause that ends later was recorded while the clock was ahead: it is over.
        var latest = now + LongestRetry;
        var destination = policy.Name;
        var librarian = await db.Peers.Where(l => l.Name == destination).Select(l => l.Id).FirstOrDefaultAsync(cancellationToken);
        var newest = await db.Copies.MaxAsync(i => (long?)i.Id, cancellationToken) ?? 0;
        var passed = await PassedAsync(db, destination, librarian, now, cancellationToken);
        var lacking = db.Files.AsNoTracking().Where(f => !db.RemoteCopies.Any(r => r.FileName == f.Name && r.PeerId == librarian));
        if (passed is { CreateTime: var from })
            lacking = lacking.Where(f => f.CreateTime >= from);
        var files = await lacking
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
            .Select(f => new
            {
                f.Name,
                f.Size,
                f.Checksum,
            })
            .Take(policy.BatchSize)
            .ToListAsync(cancellationToken);
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
        // A query of its own: as a part of the query above, it would number the copies of all files first.
        List<string> names = [.. files.Select(f => f.Name)];
        var found =
            names.Count == 0
                ? []
                : await db
                    .IntactCopies.AsNoTracking()
                    .Where(i => names.Contains(i.FileName) && !db.Drives.Any(d => d.StoreId == i.StoreId))
                    .Select(i => new
                    {
                        i.FileName,
                        i.Id,
                        i.StoreId,
                        i.Path,
                    })
                    .ToListAsync(cancellationToken);
        var copies = found
            .GroupBy(i => i.FileName, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.MinBy(i => i.Id)!, StringComparer.Ordinal);
        files.RemoveAll(f => !copies.ContainsKey(f.Name));
        if (files.Count == 0)
            return null;

        var queue = new SendQueueItem { CreatedTime = now, Destination = destination };
        db.SendQueue.Add(queue);
        await db.SaveChangesAsync(cancellationToken);
        queue.OrchestrationId = orchestrationId(queue.Id);
        db.OutgoingTransfers.AddRange(
            files.Select(f => new OutgoingTransfer
            {
                Status = TransferStatus.Initiated,
                Destination = destination,
                TransferSize = f.Size,
                TransferChecksum = f.Checksum,
                StartTime = now,
                FileName = f.Name,
                CopyId = copies[f.Name].Id,
                SourcePath = stores?.Locate(copies[f.Name].StoreId, copies[f.Name].Path),
                SendQueueId = queue.Id,
            })
        );
        await db.SaveChangesAsync(cancellationToken);
        return new SendBatch(queue.Id, destination, files.Count);
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

    /// <summary>
    /// Finds the batches of these transfers that have no unfinished transfer left, so that their orchestrations can be woken. Locks the
    /// batch rows first: of two callbacks that end the last two transfers at the same time, the later one sees it.
    /// </summary>
    public static async Task<IReadOnlyList<string>> SettledBatchesAsync(
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
}
