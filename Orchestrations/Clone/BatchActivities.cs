using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Peers;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using ErrorCategory = Librarian.Domain.Catalog.ErrorCategory;
using ErrorSeverity = Librarian.Domain.Catalog.ErrorSeverity;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;
using TransferStatus = Librarian.Domain.Catalog.TransferStatus;

namespace Librarian.Orchestrations.Clone;

/// <summary>
/// Services that the activities of a batch share: they read its open transfers, connect to the peer and abandon transfers.
/// </summary>
public sealed class BatchWork(
    CatalogDatabase database,
    OutgoingTransfers outgoing,
    PeerDirectory directory,
    PeerConnections peers,
    PeerPresence presence,
    ErrorLog errors,
    SiteStores stores,
    SiteCatalog catalog,
    PeerCatalogs catalogs,
    CopyConfirmation confirmation,
    IOptions<SiteOptions> options,
    TimeProvider time,
    ILogger<BatchWork> log
)
{
    /// <summary>A peer may be unreachable this long before an error is recorded.</summary>
    private static readonly TimeSpan ReportErrorAfter = TimeSpan.FromDays(1);

    private static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(30);

    public string SiteName => options.Value.Name;

    /// <summary>Settings for a peer. A peer that is not configured gets the defaults, which grant it nothing.</summary>
    public PeerOptions Policy(string destination) =>
        options.Value.Peers.Find(p => p.Name == destination) ?? new PeerOptions { Name = destination };

    /// <summary>
    /// Advances the catalog's counter. Call this before a peer gets transfer ids of this site, so that the peer notices a restored backup.
    /// </summary>
    public Task CountOnAsync(CancellationToken cancellationToken) => catalog.AdvanceAsync(cancellationToken);

    /// <summary>The highest id that a peer has given to a transfer from this site.</summary>
    public async Task<long> HighestNumberAsync(string destination, CancellationToken cancellationToken)
    {
        await using var db = Open();
        return await outgoing.HighestRemoteIdAsync(db, destination, cancellationToken);
    }

    /// <summary>
    /// Checks the ids that a peer has given out. An id that is not above all ids from before the request means that the peer's catalog was
    /// restored from a backup, so its copies are in doubt. This is the only sign that a Python site gives, because it sends no catalog
    /// headers.
    /// </summary>
    public async Task WatchNumbersAsync(
        string destination,
        long highestBefore,
        IReadOnlyCollection<long> numbers,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(numbers);
        if (numbers.Count == 0)
            return;
        if (numbers.Min() <= highestBefore)
        {
            await catalogs.DoubtAsync(
                destination,
                $"it gives the number {numbers.Min()} to a transfer after it had come to {highestBefore}, "
                    + "so its catalog was restored from a backup or made anew.",
                cancellationToken
            );
            await using var db = Open();
            await outgoing.ForgetRemoteIdsAsync(db, destination, numbers.Min(), cancellationToken);
            await confirmation.StartAsync(cancellationToken);
        }

        outgoing.RememberRemoteId(destination, numbers.Max());
    }

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
    /// The path to read for each transfer, or the reason why there is none. It follows from the copy and its store as they are now, because
    /// the store may have been mounted elsewhere since the batch was made.
    /// </summary>
    public async Task<IReadOnlyDictionary<long, (string? Path, string Why)>> SourcesAsync(
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
            .Select(i => new
            {
                i.Id,
                i.FileName,
                i.StoreId,
                i.Path,
            })
            .ToDictionaryAsync(i => i.Id, cancellationToken);
        // The transfer comes from a Python site's database, or its copy has been catalogued again.
        var names = transfers.Where(t => t.CopyId is not { } id || !copies.ContainsKey(id)).Select(t => t.FileName).ToList();
        var named =
            names.Count == 0
                ? []
                : await db
                    .Copies.AsNoTracking()
                    .Where(i =>
                        names.Contains(i.FileName)
                        && i.Available
                        && !db.Drives.Any(d => d.StoreId == i.StoreId)
                        && !db.CorruptFiles.Any(c => c.CopyId == i.Id)
                    )
                    .Select(i => new
                    {
                        i.Id,
                        i.FileName,
                        i.StoreId,
                        i.Path,
                    })
                    .ToListAsync(cancellationToken);
        var others = named
            .GroupBy(i => i.FileName, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.MinBy(i => i.Id)!, StringComparer.Ordinal);
        var homes = new Dictionary<long, LocalStore?>();
        foreach (var id in copies.Values.Concat(others.Values).Select(c => c.StoreId).Distinct())
            homes[id] = await stores.FindAsync(id, cancellationToken);
        return transfers.ToDictionary(
            t => t.Id,
            t =>
            {
                var copy = t.CopyId is { } id && copies.TryGetValue(id, out var own) ? own : others.GetValueOrDefault(t.FileName);
                if (copy is null)
                    return ((string?)null, "Its local copy has been removed from the catalog.");
                if (homes[copy.StoreId] is not { } store)
                    return (null, stores.WhyAway(copy.StoreId));
                return FileName.TryParse(copy.Path, out var path, out _)
                    ? (store.Locate(path), "")
                    : (null, $"Its local copy at {copy.Path} lies outside its store.");
            }
        );
    }

    /// <summary>The peer, or the reason why it cannot be called.</summary>
    public async Task<(PeerClient? Peer, string Why)> ConnectAsync(string destination, CancellationToken cancellationToken)
    {
        var peer = await peers.FindAsync(destination, cancellationToken);
        if (peer is null)
            return (
                null,
                $"Librarian '{destination}' is not registered, or its credentials cannot be decrypted with this site's key. "
                    + "Nothing was sent; add it with 'librarian add-librarian'."
            );
        return peer.Login.TransfersEnabled ? (peer, "") : (null, $"Transfers to '{destination}' are switched off.");
    }

    /// <summary>Ends a step: counts the unfinished transfers and, when the peer has been silent for too long, records an error.</summary>
    public async Task<BatchStep> StepAsync(StepOutcome outcome, long queueId, string message, CancellationToken cancellationToken)
    {
        await using var db = Open();
        var remaining = await db.OutgoingTransfers.CountAsync(
            t => t.SendQueueId == queueId && OutgoingTransfers.Unfinished.Contains(t.Status),
            cancellationToken
        );
        if (outcome is StepOutcome.Wait or StepOutcome.RetryNow or StepOutcome.Full)
            Logs.BatchWaits(log, queueId, message);
        var reportBefore = time.GetUtcNow().UtcDateTime - ReportErrorAfter;
        if (
            outcome == StepOutcome.Wait
            && await db
                .SendQueue.Where(q => q.Id == queueId && q.CreatedTime < reportBefore)
                .Select(q => q.Destination)
                .SingleOrDefaultAsync(cancellationToken)
                is { } silent
        )
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.LibrarianNetworkAvailability,
                ErrorKey(silent),
                $"Files have waited for '{silent}' for more than a day: {message} Nothing is lost, they are sent when it answers.",
                cancellationToken
            );
        }

        return new BatchStep(outcome, message, remaining);
    }

    /// <summary>Notes that the batch calls the peer now, so that the peer's answers do not wake it.</summary>
    public void Tries(SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        presence.Tries(SendClone.InstanceId(input.QueueId));
    }

    /// <summary>
    /// Checks that the peer answers: with <c>ping/</c>, which accepts any credentials, or with <c>ping/logged</c> when the peer exchanges
    /// catalog headers.
    /// </summary>
    public Task<Reply<PingResponse>> PingAsync(PeerClient peer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peer);
        var client = peers.For(peer.Login, PingTimeout)!.Client;
        // A site of this project answers a logged ping with the state that it knows of this catalog. The check has to come before this site
        // sends ids that the peer may have seen before.
        return peer.Login.SendsCatalogHeaders ? client.PingLoggedAsync(cancellationToken) : client.PingAsync(cancellationToken);
    }

    /// <summary>
    /// Ends a step because the peer as a whole does not let the batch continue now. Records an error if only a person can help.
    /// </summary>
    public async Task<BatchStep> WaitAsync(SendCloneInput input, ReplyError error, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(error);
        if (PeerCalls.IsForPerson(error))
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.Configuration,
                ErrorKey(input.Destination),
                $"'{input.Destination}' does not let us in: {error} Files for it wait, nothing is lost. "
                    + "Check the address and the account that was given to add-librarian, and the account's level there (READAPPEND).",
                cancellationToken
            );
        }

        presence.Waits(input.Destination, SendClone.InstanceId(input.QueueId));
        return await StepAsync(StepOutcome.Wait, input.QueueId, error.ToString()!, cancellationToken);
    }

    /// <summary>Ends a step because the peer has no space. The peer gets no new batches, and one error is recorded.</summary>
    public async Task<BatchStep> FullAsync(SendCloneInput input, ReplyError error, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(error);
        await directory.MarkFullAsync(input.Destination, full: true, cancellationToken);
        await errors.RaiseAsync(
            ErrorSeverity.Error,
            ErrorCategory.StoreFull,
            FullErrorKey(input.Destination),
            $"'{input.Destination}' has no space for more files: {error} Files for it wait here, nothing is lost. "
                + "Space is to be made there; it is asked again by itself.",
            cancellationToken
        );
        return await StepAsync(StepOutcome.Full, input.QueueId, error.ToString()!, cancellationToken);
    }

    /// <summary>The peer accepts files, so errors about its absence, this site's account there and its space are settled.</summary>
    public async Task TakesFilesAsync(PeerClient peer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peer);
        await directory.MarkFullAsync(peer.Login.Name, full: false, cancellationToken);
        await AnswersAsync(peer.Login.Name, cancellationToken);
        await errors.SettleAsync(FullErrorKey(peer.Login.Name), cancellationToken);
    }

    /// <summary>The peer accepts this site's account, so errors about its absence and the account are settled.</summary>
    public Task AnswersAsync(string destination, CancellationToken cancellationToken) =>
        errors.SettleAsync(ErrorKey(destination), cancellationToken);

    /// <summary>
    /// Ends transfers here without success and, if the peer can be reached now, there too. A peer that misses this notices when it reviews
    /// its incoming transfers (docs/spec/wire.md#review-of-incoming-transfers).
    /// </summary>
    /// <param name="peer">Null if the peer knows already or must not be notified.</param>
    /// <param name="transfers">The transfers to end.</param>
    /// <param name="reason">The reason, for people.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="status">CANCELLED for files that are only deferred; these raise no error.</param>
    public async Task FailAsync(
        PeerClient? peer,
        IReadOnlyList<OutgoingTransfer> transfers,
        string reason,
        CancellationToken cancellationToken,
        TransferStatus status = TransferStatus.Failed
    )
    {
        ArgumentNullException.ThrowIfNull(transfers);
        if (transfers is not [var first, ..])
            return;
        await using (var db = Open())
        {
            await outgoing.FailAsync(db, [.. transfers.Select(t => t.Id)], reason, cancellationToken, status);
        }

        foreach (var transfer in transfers)
        {
            if (status == TransferStatus.Failed)
                Logs.TransferAbandoned(log, transfer.Id, transfer.FileName, transfer.Destination, reason);
            else
                Logs.TransferDeferred(log, transfer.Id, transfer.FileName, transfer.Destination, reason);
        }

        if (status == TransferStatus.Failed)
        {
            var what = transfers.Count == 1 ? $"'{first.FileName}'" : $"{transfers.Count} files, '{first.FileName}' the first of them,";
            await errors.RaiseAsync(
                ErrorSeverity.Warning,
                ErrorCategory.Transfer,
                $"send {first.FileName} to {first.Destination}",
                $"{what} did not get to '{first.Destination}' and will be offered again later; the local copies are untouched: {reason}",
                cancellationToken
            );
        }

        await EndThereAsync(peer, transfers, reason, cancellationToken);
    }

    /// <summary>
    /// Ends a transfer because this site has no intact copy of the file. The error was recorded with the copy. The file is offered again
    /// when the copy has been repaired (<see cref="OutgoingTransfers.CreateBatchAsync"/>).
    /// </summary>
    public async Task WithholdAsync(PeerClient peer, OutgoingTransfer transfer, string reason, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(transfer);
        await using (var db = Open())
        {
            await outgoing.FailAsync(db, [transfer.Id], reason, cancellationToken);
        }

        Logs.TransferWithheld(log, transfer.Id, transfer.FileName, transfer.Destination, reason);
        await EndThereAsync(peer, [transfer], reason, cancellationToken);
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
                Update(peer, [.. known.Select(t => (t.RemoteTransferId!.Value, t.Id))], Client.Wire.TransferStatus.Failed),
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
        var asked = await peer.Client.GetCheckinStatusAsync(Question(peer, ended), cancellationToken);
        if (!asked.IsSuccess)
            return false;
        List<(long Theirs, long Ours)> waiting =
        [
            .. ended.Where(t =>
                asked.Value.DestinationTransferStatus.GetValueOrDefault(t.Theirs)
                    is Client.Wire.TransferStatus.Initiated
                        or Client.Wire.TransferStatus.Ongoing
            ),
        ];
        if (waiting.Count == 0)
            return false;
        var notified = await peer.Client.UpdateCheckinAsync(Update(peer, waiting, Client.Wire.TransferStatus.Failed), cancellationToken);
        return notified.IsSuccess && notified.Value.ModifiedDestinationTransferIds.Count > 0;
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
        List<long> slots = [.. copy?.Instances.Where(i => i is { Available: true, StoreId: not null }).Select(i => i.StoreId!.Value) ?? []];
        if (slots.Count == 0)
            return false;
        if (!probed)
        {
            var asked = await peers
                .For(peer.Login, options.Value.ValidationTimeout)!
                .Client.ValidateFileAsync(new ValidateFileRequest(transfer.FileName), [SiteName], cancellationToken);
            if (asked.Error is Refused { Status: 400 or 404 })
                return false;
            if (!asked.IsSuccess)
                return null;
            // The answer includes copies at other sites.
            var good = asked
                .Value.Copies.Where(c => c.ComputedSameChecksum && c.CurrentSize == transfer.TransferSize && c.Librarian == peer.Login.Name)
                .Select(c => c.Store)
                .ToHashSet();
            slots.RemoveAll(p => !good.Contains(p));
            if (slots.Count == 0)
                return false;
        }

        var storeId = slots[0];
        await using var db = Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        await outgoing.RecordFoundAsync(db, transfer.Id, storeId, SiteName, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return true;
    }

    /// <summary>
    /// Announces a new state of transfers to the peer and follows its answer. Asks about the ids that the peer refused: each of these
    /// transfers either has progressed further already or is abandoned (upstream ignores the refusals, W34).
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
            return await StepAsync(StepOutcome.Done, input.QueueId, $"Everything is {status}.", cancellationToken);
        Tries(input);
        var (peer, why) = await ConnectAsync(input.Destination, cancellationToken);
        if (peer is null)
            return await StepAsync(StepOutcome.Wait, input.QueueId, why, cancellationToken);
        // If the peer has given an id out twice, the id means the later transfer: the peer's catalog was restored in between.
        var byRemote = transfers.GroupBy(t => t.RemoteTransferId!.Value).ToDictionary(g => g.Key, g => g.MaxBy(t => t.Id)!);
        await FailAsync(
            null,
            [.. transfers.Except(byRemote.Values)],
            $"'{input.Destination}' has given the number of this transfer to another one.",
            cancellationToken
        );
        var notified = await peer.Client.UpdateCheckinAsync(
            Update(peer, [.. byRemote.Select(t => (t.Key, t.Value.Id))], (Client.Wire.TransferStatus)status),
            cancellationToken
        );
        if (!notified.IsSuccess)
            return await WaitAsync(input, notified.Error, cancellationToken);
        await AnswersAsync(input.Destination, cancellationToken);
        var modified = notified.Value.ModifiedDestinationTransferIds.ToHashSet();
        List<long> accepted = [.. byRemote.Where(t => modified.Contains(t.Key)).Select(t => t.Value.Id)];
        List<long> refused = [.. byRemote.Keys.Where(id => !modified.Contains(id))];
        if (refused.Count > 0)
        {
            var asked = await peer.Client.GetCheckinStatusAsync(
                Question(peer, refused.ConvertAll(id => (id, byRemote[id].Id))),
                cancellationToken
            );
            if (!asked.IsSuccess)
                return await WaitAsync(input, asked.Error, cancellationToken);
            var gone = new List<OutgoingTransfer>();
            foreach (var transfer in refused.Select(id => byRemote[id]))
            {
                var theirs = asked.Value.DestinationTransferStatus.GetValueOrDefault(transfer.RemoteTransferId!.Value);
                if (theirs is { } known && known < Client.Wire.TransferStatus.Completed && (int)known >= (int)status)
                    accepted.Add(transfer.Id);
                else if (
                    theirs == Client.Wire.TransferStatus.Completed
                    && await ReconcileAsync(peer, transfer, probed: true, cancellationToken) is not false
                )
                    continue;
                else
                    gone.Add(transfer);
            }

            await FailAsync(
                peer,
                gone,
                $"'{input.Destination}' no longer expects the transfer: {string.Join(' ', notified.Value.Reasons)}",
                cancellationToken
            );
        }

        await AdvanceAsync(accepted, from, status, cancellationToken);
        return await StepAsync(StepOutcome.Done, input.QueueId, $"{accepted.Count} files are {status}.", cancellationToken);
    }

    /// <summary>
    /// Ends unfinished transfers whose ids the peer has just given to new transfers. The old ones got their ids from a catalog that is
    /// gone; their files are offered again. The peer is not notified, because it would apply the message to the new transfers.
    /// </summary>
    public async Task ReleaseNumbersAsync(string destination, List<long> numbers, CancellationToken cancellationToken)
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

        await FailAsync(null, holders, $"'{destination}' has given the number of this transfer to another one.", cancellationToken);
    }

    /// <summary>
    /// A status update for the peer's transfers. For a site of this project it includes this site's ids, because a restored catalog hands
    /// out its ids again.
    /// </summary>
    public static CheckinUpdateRequest Update(
        PeerClient peer,
        IReadOnlyList<(long Theirs, long Ours)> transfers,
        Client.Wire.TransferStatus status
    )
    {
        ArgumentNullException.ThrowIfNull(peer);
        return new(
            [],
            [.. transfers.Select(t => t.Theirs)],
            status,
            DestinationCounterpartIds: peer.Login.SendsCatalogHeaders ? [.. transfers.Select(t => t.Ours)] : null
        );
    }

    /// <summary>A status query for the peer's transfers, built like <see cref="Update"/>.</summary>
    public static CheckinStatusRequest Question(PeerClient peer, IReadOnlyList<(long Theirs, long Ours)> transfers)
    {
        ArgumentNullException.ThrowIfNull(peer);
        return new(
            [],
            [.. transfers.Select(t => t.Theirs)],
            DestinationCounterpartIds: peer.Login.SendsCatalogHeaders ? [.. transfers.Select(t => t.Ours)] : null
        );
    }

    /// <summary>
    /// Error key for the peer's absence and for problems of this site's account there. The peer's next answer settles both.
    /// </summary>
    private static string ErrorKey(string destination) => $"librarian {destination}";

    private static string FullErrorKey(string destination) => $"room at librarian {destination}";
}

/// <summary>Announces ONGOING for every file that has a staging slot.</summary>
[DurableTask(nameof(AnnounceOngoing))]
public sealed class AnnounceOngoing(BatchWork work) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        await using var db = work.Open();
        var transfers = (await BatchWork.OpenTransfersAsync(db, input.QueueId, context.CancellationToken))
            .Where(t => t is { Status: TransferStatus.Initiated, RemoteTransferId: not null })
            .ToList();
        return await work.AnnounceAsync(input, transfers, TransferStatus.Ongoing, [TransferStatus.Initiated], context.CancellationToken);
    }
}

/// <summary>Announces STAGED for every file whose data have been copied.</summary>
[DurableTask(nameof(AnnounceStaged))]
public sealed class AnnounceStaged(BatchWork work) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        await using var db = work.Open();
        var transfers = (await BatchWork.OpenTransfersAsync(db, input.QueueId, context.CancellationToken))
            .Where(t => t.Status == TransferStatus.Ongoing)
            .ToList();
        return await work.AnnounceAsync(input, transfers, TransferStatus.Staged, [TransferStatus.Ongoing], context.CancellationToken);
    }
}

/// <summary>
/// Asks the peer about transfers whose callback is overdue (docs/spec/wire.md#review-of-outgoing-transfers), so that neither a lost answer
/// nor a reinstalled peer leaves them open forever.
/// </summary>
[DurableTask(nameof(ReviewBatch))]
public sealed class ReviewBatch(BatchWork work) : TaskActivity<SendCloneInput, BatchStep>
{
    /// <inheritdoc />
    public override async Task<BatchStep> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        List<OutgoingTransfer> open;
        await using (var db = work.Open())
        {
            open = await BatchWork.OpenTransfersAsync(db, input.QueueId, stop);
        }

        if (open.Count == 0)
            return await work.StepAsync(StepOutcome.Done, input.QueueId, "All transfers have ended.", stop);
        work.Tries(input);
        var (peer, why) = await work.ConnectAsync(input.Destination, stop);
        if (peer is null)
            return await work.StepAsync(StepOutcome.Wait, input.QueueId, why, stop);
        var asked = await peer.Client.GetCheckinStatusAsync(
            BatchWork.Question(peer, [.. open.Where(t => t.RemoteTransferId is not null).Select(t => (t.RemoteTransferId!.Value, t.Id))]),
            stop
        );
        if (!asked.IsSuccess)
            return await work.WaitAsync(input, asked.Error, stop);
        await work.AnswersAsync(input.Destination, stop);
        var forgotten = new List<(long, long)>();
        var gone = new List<OutgoingTransfer>();
        foreach (var transfer in open)
        {
            var theirs = transfer.RemoteTransferId is { } id ? asked.Value.DestinationTransferStatus.GetValueOrDefault(id) : null;
            if (
                theirs is Client.Wire.TransferStatus.Initiated or Client.Wire.TransferStatus.Ongoing
                && transfer.Status == TransferStatus.Staged
            )
                forgotten.Add((transfer.RemoteTransferId!.Value, transfer.Id));
            else if (
                theirs is Client.Wire.TransferStatus.Initiated or Client.Wire.TransferStatus.Ongoing or Client.Wire.TransferStatus.Staged
            )
                continue;
            else if (await work.ReconcileAsync(peer, transfer, probed: theirs == Client.Wire.TransferStatus.Completed, stop) is false)
                gone.Add(transfer);
        }

        // The peer was restored from a backup and does not know that the data are in its staging: announce them again.
        if (forgotten.Count > 0)
            await peer.Client.UpdateCheckinAsync(BatchWork.Update(peer, forgotten, Client.Wire.TransferStatus.Staged), stop);
        await work.FailAsync(
            peer,
            gone,
            $"'{input.Destination}' has ended the transfer, or does not know it, and does not hold the file.",
            stop
        );
        return await work.StepAsync(StepOutcome.RetryNow, input.QueueId, "Waiting for the destination to verify.", stop);
    }
}

/// <summary>Closes the batch and writes its performance record.</summary>
[DurableTask(nameof(FinishBatch))]
public sealed class FinishBatch(BatchWork work, TimeProvider time) : TaskActivity<SendCloneInput, string>
{
    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskActivityContext context, SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        await using var db = work.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(stop);
        var queue = await db.SendQueue.SingleAsync(q => q.Id == input.QueueId, stop);
        var ended = await db
            .OutgoingTransfers.Where(t => t.SendQueueId == input.QueueId)
            .GroupBy(t => t.Status)
            .Select(g => new
            {
                Status = g.Key,
                Count = g.Count(),
                Bytes = g.Sum(t => t.TransferSize),
            })
            .ToListAsync(stop);
        var completed = ended.Find(e => e.Status == TransferStatus.Completed);
        var failed = ended.Where(e => e.Status != TransferStatus.Completed).Sum(e => e.Count);
        if (!queue.Completed)
        {
            var now = time.GetUtcNow().UtcDateTime;
            queue.Completed = true;
            queue.CompletedTime = now;
            queue.Failed = completed is null;
            // A batch that was adopted from a Python site may have its record already; there a batch ended when its data had been moved.
            if (completed is not null && !await db.CompletedTransfers.AnyAsync(c => c.Id == queue.Id, stop))
            {
                var seconds = Math.Max(0.001, (now - queue.CreatedTime).TotalSeconds);
                db.CompletedTransfers.Add(
                    new CompletedTransfer
                    {
                        Id = queue.Id,
                        TaskId = $"local-{queue.Id}",
                        SourceEndpointId = work.SiteName,
                        DestinationEndpointId = input.Destination,
                        StartTime = queue.CreatedTime,
                        EndTime = now,
                        DurationSeconds = seconds,
                        BytesTransferred = completed.Bytes,
                        EffectiveBandwidthBps = completed.Bytes * 8 / seconds,
                    }
                );
            }

            await db.SaveChangesAsync(stop);
            await transaction.CommitAsync(stop);
        }

        return $"{completed?.Count ?? 0} files acknowledged by {input.Destination}, {failed} given up for now.";
    }
}
