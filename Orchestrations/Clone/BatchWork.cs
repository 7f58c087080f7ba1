using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.TransferManagers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;

namespace Librarian.Orchestrations.Clone;

/// <summary>
/// Services that the activities of a batch share: they read its open transfers, announce them to the peer, and abandon, defer or withhold
/// them.
/// </summary>
public sealed partial class BatchWork(
    CatalogDatabase database,
    OutgoingTransfers outgoing,
    BatchCalls calls,
    ErrorLog errors,
    SiteStores stores,
    IOptions<SiteOptions> options,
    ILogger<BatchWork> log
)
{
    public string SiteName => options.Value.Name;

    public BatchCalls Calls => calls;

    /// <summary>Settings for a peer. A peer that is not configured gets the defaults, which grant it nothing.</summary>
    public PeerOptions Policy(string destination) =>
        options.Value.Peers.Find(p => p.Name == destination) ?? new PeerOptions { Name = destination };

    public CatalogContext Open() => database.Open();

    /// <summary>The unfinished transfers of the batch. A batch has at most 1024.</summary>
    public static Task<List<OutgoingTransfer>> OpenTransfersAsync(CatalogContext db, long queueId, CancellationToken cancellationToken) =>
        db
            .OutgoingTransfers.AsNoTracking()
            .Include(t => t.File)
            .Where(t => t.SendQueueId == queueId && OutgoingTransfers.Unfinished.Contains(t.Status))
            .OrderBy(t => t.Id)
            .ToListAsync(cancellationToken);

    /// <summary>Absolute path of a copy.</summary>
    public string Locate(long storeId, string path) => stores.Locate(storeId, path);

    /// <summary>
    /// The copy to read for each transfer, or the reason why there is none. It follows from the copy and its store as they are now, because
    /// the store may have been mounted elsewhere since the batch was made.
    /// </summary>
    public async Task<IReadOnlyDictionary<long, (OutgoingFile? File, string Why)>> SourcesAsync(
        CatalogContext db,
        IReadOnlyCollection<OutgoingTransfer> transfers,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(transfers);
        var ids = transfers.Select(t => t.CopyId).OfType<long>().ToList();
        var copies = await db
            .Copies.AsNoTracking()
            .Where(i => ids.Contains(i.Id))
            .Select(i => new CopyPath(i.Id, i.FileName, i.StoreId, i.Path))
            .ToDictionaryAsync(i => i.Id, cancellationToken);
        // The transfer comes from a Python site's database, or its copy has been catalogued again.
        var names = transfers.Where(t => t.CopyId is not { } id || !copies.ContainsKey(id)).Select(t => t.FileName).ToList();
        var others = await OtherCopiesAsync(db, names, cancellationToken);
        var homes = new Dictionary<long, LocalStore?>();
        foreach (var id in copies.Values.Concat(others.Values).Select(c => c.StoreId).Distinct())
            homes[id] = await stores.FindAsync(id, cancellationToken);
        return transfers.ToDictionary(
            t => t.Id,
            t =>
            {
                var copy = t.CopyId is { } id && copies.TryGetValue(id, out var own) ? own : others.GetValueOrDefault(t.FileName);
                if (copy is null)
                    return ((OutgoingFile?)null, "Its local copy has been removed from the catalog.");
                if (homes[copy.StoreId] is not { } store)
                    return (null, stores.WhyAway(copy.StoreId));
                return FileName.TryParse(copy.Path, out var path, out _)
                    ? (new OutgoingFile(t, store, path), "")
                    : (null, $"Its local copy at {copy.Path} lies outside its store.");
            }
        );
    }

    /// <summary>The oldest good copy of each name.</summary>
    private static async Task<Dictionary<string, CopyPath>> OtherCopiesAsync(
        CatalogContext db,
        List<string> names,
        CancellationToken cancellationToken
    )
    {
        if (names.Count == 0)
            return [];
        var copies = await db
            .Copies.AsNoTracking()
            .Where(i =>
                names.Contains(i.FileName)
                && i.Available
                && !db.Drives.Any(d => d.StoreId == i.StoreId)
                && !db.CorruptFiles.Any(c => c.CopyId == i.Id)
            )
            .Select(i => new CopyPath(i.Id, i.FileName, i.StoreId, i.Path))
            .ToListAsync(cancellationToken);
        return copies
            .GroupBy(i => i.FileName, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.MinBy(i => i.Id)!, StringComparer.Ordinal);
    }

    /// <summary>
    /// Ends transfers as FAILED here and, if the peer can be reached now, there too, and records an error. A peer that misses this notices
    /// when it reviews its incoming transfers (docs/spec/wire.md#review-of-incoming-transfers).
    /// </summary>
    /// <param name="peer">Null if the peer knows already or must not be notified.</param>
    /// <param name="transfers">The transfers to end.</param>
    /// <param name="reason">The reason, for people.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task AbandonAsync(
        PeerClient? peer,
        IReadOnlyList<OutgoingTransfer> transfers,
        string reason,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(transfers);
        if (transfers is not [var first, ..])
            return;
        await EndAsync(transfers, TransferStatus.Failed, reason, cancellationToken);
        foreach (var transfer in transfers)
            Logs.TransferAbandoned(log, transfer.Id, transfer.FileName, transfer.Destination, reason);
        var what = transfers.Count == 1 ? $"'{first.FileName}'" : $"{transfers.Count} files, '{first.FileName}' the first of them,";
        await errors.RaiseAsync(
            ErrorSeverity.Warning,
            ErrorCategory.Transfer,
            $"send {first.FileName} to {first.Destination}",
            $"{what} did not get to '{first.Destination}' and will be offered again later; the local copies are untouched: {reason}",
            cancellationToken
        );
        await EndThereAsync(peer, transfers, reason, cancellationToken);
    }

    /// <summary>
    /// Ends transfers as CANCELLED, without an error, because the peer cannot take their files now. The files are offered again later. The
    /// peer has refused these transfers, so there is nothing to end there.
    /// </summary>
    public async Task DeferAsync(IReadOnlyList<OutgoingTransfer> transfers, string reason, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(transfers);
        if (transfers.Count == 0)
            return;
        await EndAsync(transfers, TransferStatus.Cancelled, reason, cancellationToken);
        foreach (var transfer in transfers)
            Logs.TransferDeferred(log, transfer.Id, transfer.FileName, transfer.Destination, reason);
    }

    /// <summary>
    /// Ends a transfer because this site has no intact copy of the file. The error was recorded with the copy. The file is offered again
    /// when the copy has been repaired (<see cref="OutgoingTransfers.CreateBatchAsync"/>).
    /// </summary>
    public async Task WithholdAsync(PeerClient peer, OutgoingTransfer transfer, string reason, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(transfer);
        await EndAsync([transfer], TransferStatus.Failed, reason, cancellationToken);
        Logs.TransferWithheld(log, transfer.Id, transfer.FileName, transfer.Destination, reason);
        await EndThereAsync(peer, [transfer], reason, cancellationToken);
    }

    private async Task EndAsync(
        IReadOnlyList<OutgoingTransfer> transfers,
        TransferStatus status,
        string reason,
        CancellationToken cancellationToken
    )
    {
        await using var db = Open();
        await outgoing.FailAsync(db, [.. transfers.Select(t => t.Id)], reason, cancellationToken, status);
    }

    private static async Task EndThereAsync(
        PeerClient? peer,
        IReadOnlyList<OutgoingTransfer> transfers,
        string reason,
        CancellationToken cancellationToken
    )
    {
        List<OutgoingTransfer> known = [.. transfers.Where(t => t.RemoteTransferId is not null)];
        if (peer is null || known.Count == 0)
            return;
        if (known is [var only])
            await peer.Client.FailCloneAsync(new CloneFailRequest(only.Id, only.RemoteTransferId!.Value, reason), cancellationToken);
        else
            await peer.Client.UpdateCheckinAsync(
                BatchCalls.Update(peer, [.. known.Select(t => (t.RemoteTransferId!.Value, t.Id))], TransferStatus.Failed),
                cancellationToken
            );
    }

    /// <summary>
    /// Ends earlier transfers of these files at the peer that have ended here while the peer still waits for their data. Leaves alone a
    /// transfer whose data the peer has (STAGED). Returns whether the peer ended any.
    /// </summary>
    public async Task<bool> EndEarlierAsync(PeerClient peer, IReadOnlyList<OutgoingTransfer> transfers, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peer);
        List<string> names = [.. transfers.Select(t => t.FileName)];
        List<(long Theirs, long Ours)> ended;
        await using (var db = Open())
        {
            ended = (
                await db
                    .OutgoingTransfers.Where(t =>
                        names.Contains(t.FileName)
                        && t.Destination == peer.Login.Name
                        && t.RemoteTransferId != null
                        && (t.Status == TransferStatus.Failed || t.Status == TransferStatus.Cancelled)
                        && t.Id
                            == db.OutgoingTransfers.Where(o =>
                                    o.FileName == t.FileName && o.Destination == t.Destination && o.RemoteTransferId != null
                                )
                                .Max(o => o.Id)
                    )
                    .Select(t => new { t.Id, t.RemoteTransferId })
                    .ToListAsync(cancellationToken)
            ).ConvertAll(t => (t.RemoteTransferId!.Value, t.Id));
        }

        if (ended.Count == 0)
            return false;
        var asked = await peer.Client.GetCheckinStatusAsync(BatchCalls.Question(peer, ended), cancellationToken);
        if (!asked.IsSuccess)
            return false;
        List<(long Theirs, long Ours)> waiting =
        [
            .. ended.Where(t =>
                asked.Value.DestinationTransferStatus.GetValueOrDefault(t.Theirs) is TransferStatus.Initiated or TransferStatus.Ongoing
            ),
        ];
        if (waiting.Count == 0)
            return false;
        var notified = await peer.Client.UpdateCheckinAsync(BatchCalls.Update(peer, waiting, TransferStatus.Failed), cancellationToken);
        return notified.IsSuccess && notified.Value.ModifiedDestinationTransferIds.Count > 0;
    }

    /// <summary>
    /// Ends unfinished transfers whose ids the peer has just given to new transfers. The old ones got their ids from a catalog that is
    /// gone; their files are offered again. The peer is not notified, because it would apply the message to the new transfers.
    /// </summary>
    public async Task EndHoldersAsync(string destination, List<long> numbers, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(numbers);
        if (numbers.Count == 0)
            return;
        List<OutgoingTransfer> holders;
        await using (var db = Open())
        {
            holders = await db
                .OutgoingTransfers.AsNoTracking()
                .Where(t =>
                    t.Destination == destination
                    && OutgoingTransfers.Unfinished.Contains(t.Status)
                    && t.RemoteTransferId != null
                    && numbers.Contains(t.RemoteTransferId.Value)
                )
                .ToListAsync(cancellationToken);
        }

        await AbandonAsync(null, holders, $"'{destination}' has given the id of this transfer to another one.", cancellationToken);
    }

    private sealed record CopyPath(long Id, string FileName, long StoreId, string Path);
}
