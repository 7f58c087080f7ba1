using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Transfers;

/// <summary>Why an upload or clone was refused (docs/spec/wire.md#upload-stage, docs/spec/wire.md#clone-stage-refusals).</summary>
public enum StageRefusal
{
    NegativeSize,

    /// <summary>Above the site's limit for uploads.</summary>
    TooLarge,

    /// <summary>A name that is absolute, climbs with <c>..</c>, is empty or too long.</summary>
    InvalidPath,

    /// <summary>A file of that name exists.</summary>
    FileExists,

    /// <summary>No store has enough free space.</summary>
    NoStore,

    /// <summary>No store is mounted.</summary>
    StoreAway,

    /// <summary>Too much space is reserved for the account already.</summary>
    PromisedTooMuch,

    /// <summary>A transfer of the same file is under way already.</summary>
    Ongoing,

    /// <summary>The same file had been staged before; that attempt was abandoned, ask again.</summary>
    Duplicate,

    /// <summary>A file of that name and content is catalogued, and the state of its copy cannot be determined now.</summary>
    CopyUnknown,

    /// <summary>A file of that name and content is catalogued, and its copy is being read; ask again.</summary>
    CopyBeingRead,
}

/// <summary>The staging slot of one file.</summary>
/// <param name="TransferId">Incoming transfer.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
/// <param name="StagingName">Directory below the staging root.</param>
/// <param name="StagingLocation">Absolute path; its parents exist, it does not.</param>
/// <param name="UploadName">Normalised.</param>
/// <param name="DestinationLocation">Normalised.</param>
public sealed record StagingSlot(
    long TransferId,
    long? SourceTransferId,
    string StagingName,
    string StagingLocation,
    string UploadName,
    string DestinationLocation
);

public abstract record StageResult
{
    private StageResult() { }

    /// <summary>Accepted.</summary>
    /// <param name="Store">Store for all files.</param>
    /// <param name="FreeBytes">Free space, bytes.</param>
    /// <param name="Slots">Staging slots, one per file, in request order.</param>
    public sealed record Accepted(SiteStore Store, long FreeBytes, IReadOnlyList<StagingSlot> Slots) : StageResult
    {
        /// <summary>Files of a batch that this site can never accept, with the reason; they have no staging slot.</summary>
        public IReadOnlyList<(long SourceTransferId, string Reason)> Unfit { get; init; } = [];
    }

    /// <summary>Refused; nothing was created.</summary>
    /// <param name="Why">The reason.</param>
    /// <param name="Detail">One sentence for people.</param>
    /// <param name="SourceTransferIds">The items concerned, for batches.</param>
    /// <param name="TransferId">The conflicting transfer, if there is one.</param>
    public sealed record Refused(StageRefusal Why, string Detail, IReadOnlyList<long> SourceTransferIds, long? TransferId = null)
        : StageResult
    {
        /// <summary>Those of the items concerned whose copy here was probed and is what the sender declared.</summary>
        public IReadOnlyList<VerifiedCopy> Verified { get; init; } = [];
    }
}

/// <summary>A copy that this site was asked to accept, already holds, and has probed.</summary>
/// <param name="SourceTransferId">The sender's transfer; -1 for an upload.</param>
/// <param name="StoreId">The copy's store.</param>
/// <param name="VerifiedTime">When it was last read in full; UTC.</param>
public sealed record VerifiedCopy(long SourceTransferId, long StoreId, DateTime VerifiedTime);

/// <summary>The declaration of one file that a sender wants to send.</summary>
/// <param name="Size">Declared bytes.</param>
/// <param name="Checksum">Declared checksum, verbatim.</param>
/// <param name="UploadName">Path inside the staging directory.</param>
/// <param name="DestinationLocation">Name of the new file.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
/// <param name="TreeDigest">Tree digest of a directory; null when not sent.</param>
public sealed record IncomingFile(
    long Size,
    string Checksum,
    string UploadName,
    string DestinationLocation,
    long? SourceTransferId = null,
    string? TreeDigest = null
);

/// <summary>The rules for files that are sent to this site, up to the moment at which they are in staging.</summary>
/// <remarks>
/// A crash before the commit leaves nothing. A crash between commit and mkdir leaves a row INITIATED whose sender never got an answer; the
/// review of stale transfers ends it. A staging directory always has a row first, so none is ever without an owner.
/// </remarks>
public sealed partial class IncomingTransfers
{
    /// <summary>States in which data may still arrive or be ingested.</summary>
    public static readonly TransferStatus[] Unfinished = [TransferStatus.Initiated, TransferStatus.Ongoing, TransferStatus.Staged];

    private const int SweepChunk = 500;

    /// <summary>Most concurrent uploads that are accepted in one transaction.</summary>
    private const int MostUploadsAtOnce = 64;

    private const string InsertEach = """
        insert into incoming_transfers (status, uploader, upload_name, source, transfer_size, transfer_checksum, store_id, start_time,
            staging_path, store_path, source_transfer_id, tree_digest, "placing", flush_begun)
        select 'INITIATED', {0}, e.value->>'name', {1}, cast(e.value->>'size' as bigint), e.value->>'checksum', {2}, {3},
            e.value->>'staging', e.value->>'path', cast(e.value->>'theirs' as bigint), e.value->>'tree', false, false
        from
        """;

    private const string InsertOnSqlite = InsertEach + " json_each({4}) as e returning *";
    private const string InsertOnPostgreSql = InsertEach + " json_array_elements({4}::json) as e(value) returning *";

    private readonly CatalogDatabase _database;
    private readonly SiteStores _stores;
    private readonly CopyProbe _probe;
    private readonly ErrorLog _errors;
    private readonly IOptions<SiteOptions> _options;
    private readonly TimeProvider _time;
    private readonly ILogger<IncomingTransfers> _log;
    private readonly GroupCommit<UploadRequest, Task<StageResult>> _uploads;

    /// <summary>Staging directories that are being created: their rows are visible already, and may be abandoned.</summary>
    private readonly ConcurrentDictionary<string, Task<StagingResult?>> _making = new(StringComparer.Ordinal);

    /// <summary>One per process, so that concurrent uploads are accepted together.</summary>
    public IncomingTransfers(
        CatalogDatabase database,
        SiteStores stores,
        CopyProbe probe,
        ErrorLog errors,
        IOptions<SiteOptions> options,
        TimeProvider time,
        ILogger<IncomingTransfers> log
    )
    {
        (_database, _stores, _probe, _errors, _options, _time, _log) = (database, stores, probe, errors, options, time, log);
        _uploads = new GroupCommit<UploadRequest, Task<StageResult>>(MostUploadsAtOnce, StageUploadsAsync);
    }

    private DateTime Now => _time.GetUtcNow().UtcDateTime;

    /// <summary>Accepts or refuses a client's upload (docs/spec/wire.md#upload-stage).</summary>
    public async Task<StageResult> StageUploadAsync(
        IncomingFile incoming,
        string uploader,
        Caller caller,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(incoming);
        ArgumentNullException.ThrowIfNull(caller);
        if (incoming.Size < 0)
            return Refuse(StageRefusal.NegativeSize, $"The declared size is {incoming.Size} bytes.", []);
        if (incoming.Size > _options.Value.MaximalUploadSizeBytes)
            return Refuse(
                StageRefusal.TooLarge,
                $"The declared size is {incoming.Size} bytes; this site takes at most {_options.Value.MaximalUploadSizeBytes}.",
                []
            );
        if ((Invalid(incoming) ?? InvalidText("uploader", uploader)) is { } problem)
            return Refuse(StageRefusal.InvalidPath, problem, []);

        var probes = await _stores.ProbeAsync(cancellationToken);
        var finishing = await _uploads.RunAsync(
            new UploadRequest(incoming, uploader, caller.Username, caller.IsAdmin, probes),
            cancellationToken
        );
        var result = await finishing.WaitAsync(cancellationToken);
        return result is StageResult.Refused { Why: StageRefusal.FileExists } taken
            ? await AskCopiesAsync(incoming, uploader, caller, taken, probes, cancellationToken)
            : result;
    }

    /// <summary>
    /// Accepts uploads in one transaction and a fixed number of queries. Uploads of the same name are handled one after the other; so are
    /// all when there is not enough space for all, and each is then judged by itself. Only the catalog is queried here; work on file
    /// systems is started but not awaited.
    /// </summary>
    private async Task<IReadOnlyList<Task<StageResult>>> StageUploadsAsync(IReadOnlyList<UploadRequest> group)
    {
        var names = group.Select(r => r.Incoming.DestinationLocation).ToHashSet(StringComparer.Ordinal);
        if (names.Count < group.Count)
            return await GroupCommit.OneByOneAsync(group, StageUploadsAsync);
        HashSet<string> catalogued;
        ILookup<string, (long? StoreId, string? Staging)> given = Array.Empty<(long?, string?)>().ToLookup(_ => "");
        (SiteStore Store, long FreeBytes)? chosen = null;
        string? overdrawn = null;
        Dictionary<string, IncomingTransfer> rows = [];
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            catalogued = (await db.Files.Where(f => names.Contains(f.Name)).Select(f => f.Name).ToListAsync()).ToHashSet(
                StringComparer.Ordinal
            );
            var open = group.Where(r => !catalogued.Contains(r.Incoming.DestinationLocation)).ToList();
            if (open.Count > 0)
            {
                // A client that starts over replaces its own earlier attempt at the same file, nobody else's (upstream W4).
                var earlier = await db
                    .IncomingTransfers.Where(t =>
                        names.Contains(t.FileName!) && t.SourceTransferId == null && Unfinished.Contains(t.Status)
                    )
                    .Select(t => new
                    {
                        t.Id,
                        t.FileName,
                        t.Source,
                        t.StagingPath,
                    })
                    .ToListAsync();
                var replaced = earlier
                    .Join(open, t => (t.FileName!, t.Source), r => (r.Incoming.DestinationLocation, r.Source), (t, _) => t)
                    .ToList();
                List<long> ids = [.. replaced.Select(t => t.Id)];
                if (ids.Count > 0)
                {
                    var gone = await AbandonAsync(
                        db,
                        db.IncomingTransfers.Where(t => ids.Contains(t.Id)),
                        "Replaced by a new upload of the same file.",
                        CancellationToken.None
                    );
                    given = gone.Join(replaced, g => g.Staging, t => t.StagingPath, (g, t) => (t.FileName, Given: g))
                        .ToLookup(g => g.FileName!, g => g.Given);
                }

                // The last request has the latest probes.
                chosen = await _stores.ChooseAsync(
                    db,
                    open.Aggregate(0L, (sum, r) => sum > long.MaxValue - r.Incoming.Size ? long.MaxValue : sum + r.Incoming.Size),
                    open[^1].Probes,
                    CancellationToken.None
                );
                // The stores' rows are locked by now, so two requests of an account cannot reserve the same space.
                if (chosen is not null)
                    overdrawn = await AccountReservations.RefusalAsync(
                        db,
                        [.. open.Where(r => !r.IsAdmin).Select(r => (r.Source, r.Incoming.Size))],
                        _options.Value.PromisedBytesPerAccount,
                        CancellationToken.None
                    );
                if (overdrawn is not null)
                {
                    // Nothing is committed: an earlier attempt that this one would have replaced stays.
                    given = Array.Empty<(long?, string?)>().ToLookup(_ => "");
                }
                else if (chosen is { } home)
                {
                    foreach (var same in open.GroupBy(r => (r.Uploader, r.Source)))
                    {
                        foreach (
                            var row in await InsertAsync(
                                db,
                                [.. same.Select(r => NewTransfer(r.Incoming, r.Uploader, r.Source, home.Store.Id))],
                                CancellationToken.None
                            )
                        )
                            rows[row.FileName!] = row;
                    }
                }
                else if (group.Count == 1)
                {
                    var row = NewTransfer(open[0].Incoming, open[0].Uploader, open[0].Source, storeId: null);
                    (row.Status, row.EndTime, row.FailureReason) = (
                        TransferStatus.Failed,
                        row.StartTime,
                        "No store that is mounted has space."
                    );
                    db.IncomingTransfers.Add(row);
                    await db.SaveChangesAsync();
                }

                if (overdrawn is null && (chosen is not null || group.Count == 1))
                    await transaction.CommitAsync();
            }
        }

        // Nothing was committed.
        if ((chosen is null || overdrawn is not null) && group.Count > 1 && catalogued.Count < group.Count)
            return await GroupCommit.OneByOneAsync(group, StageUploadsAsync);
        return
        [
            .. group.Select(r =>
                r.Incoming.DestinationLocation is var name && catalogued.Contains(name)
                    ? Task.FromResult<StageResult>(Refuse(StageRefusal.FileExists, $"'{name}' is catalogued here.", []))
                : overdrawn is not null ? Task.FromResult<StageResult>(Refuse(StageRefusal.PromisedTooMuch, overdrawn, []))
                : chosen is { } slot
                    ? FinishAsync(new StageResult.Accepted(slot.Store, slot.FreeBytes, [SlotOf(rows[name], slot.Store)]), given[name])
                : RefuseFullAsync(r.Incoming.Size, given[name])
            ),
        ];
    }

    /// <summary>Creates the directories of accepted uploads, and removes those of the attempts that they replace.</summary>
    private async Task<StageResult> FinishAsync(StageResult result, IEnumerable<(long? StoreId, string? Staging)> given)
    {
        // Started before anybody else can see the committed rows: whoever abandons them waits for it (RemoveStagingAsync).
        var making = MakeDirectoriesAsync(result, CancellationToken.None);
        await RemoveStagingAsync(given, CancellationToken.None);
        return await making;
    }

    private async Task<StageResult> RefuseFullAsync(long bytes, IEnumerable<(long? StoreId, string? Staging)> given)
    {
        await RemoveStagingAsync(given, CancellationToken.None);
        return await NoStoreAsync(bytes, CancellationToken.None);
    }

    /// <summary>
    /// Accepts or refuses a peer's batch, everything that this site can ever accept or nothing (docs/spec/wire.md#clone-batch-stage), in
    /// one transaction and a fixed number of queries. As upstream does, an item whose earlier attempt is INITIATED or STAGED makes that
    /// attempt fail even when the batch is refused.
    /// </summary>
    public Task<StageResult> StageBatchAsync(
        IReadOnlyList<IncomingFile> incoming,
        long totalSize,
        string source,
        Caller caller,
        CancellationToken cancellationToken
    ) => StageAndAskCopiesAsync(incoming, totalSize, source, caller, ongoingFirst: true, cancellationToken);

    /// <summary>
    /// Accepts or refuses one file that its sender copies while it waits (docs/spec/wire.md#clone-stage): as a batch of one, but "exists"
    /// takes precedence over "ongoing".
    /// </summary>
    public Task<StageResult> StageCloneAsync(IncomingFile incoming, string source, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(incoming);
        return StageAndAskCopiesAsync([incoming], incoming.Size, source, caller, ongoingFirst: false, cancellationToken);
    }

    private async Task<StageResult> StageBatchAsync(
        IReadOnlyList<IncomingFile> incoming,
        long totalSize,
        string source,
        Caller caller,
        bool ongoingFirst,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(incoming);
        ArgumentNullException.ThrowIfNull(caller);
        if (totalSize < 0 || incoming.Any(a => a.Size < 0))
            return Refuse(StageRefusal.NegativeSize, "A declared size is negative.", []);
        if (!caller.IsAdmin && source != caller.Username)
            return Refuse(
                StageRefusal.InvalidPath,
                $"source '{source}' is not the account '{caller.Username}': "
                    + "a site's account bears its name, and callbacks go to the source.",
                []
            );
        if (InvalidText("source", source) is { } badSource)
            return Refuse(StageRefusal.InvalidPath, badSource, []);
        // Files that can never be accepted do not block the others: they get no staging slot, and the answer says why.
        List<(long SourceTransferId, string Reason)> unfit =
        [
            .. incoming.Select(a => (a.SourceTransferId ?? -1, Invalid(a)!)).Where(a => a.Item2 is not null),
        ];
        if (unfit.Count > 0)
        {
            if (unfit.Count == incoming.Count)
                return Refuse(StageRefusal.InvalidPath, unfit[0].Reason, [.. unfit.Select(u => u.SourceTransferId)]);
            incoming = [.. incoming.Where(a => Invalid(a) is null)];
        }

        var repeated = incoming.GroupBy(a => a.DestinationLocation).Where(g => g.Count() > 1).SelectMany(g => g.Skip(1)).ToList();
        if (repeated.Count > 0)
            return Refuse(StageRefusal.InvalidPath, $"'{repeated[0].DestinationLocation}' is in the batch twice.", Ids(repeated));

        var probes = await _stores.ProbeAsync(cancellationToken);
        List<(long? StoreId, string? Staging)> given;
        StageResult result;
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            var total = Math.Max(
                totalSize,
                incoming.Aggregate(0L, (sum, a) => sum > long.MaxValue - a.Size ? long.MaxValue : sum + a.Size)
            );
            var chosen = await _stores.ChooseAsync(db, total, probes, cancellationToken);
            if (chosen is null)
            {
                await transaction.DisposeAsync();
                return await NoStoreAsync(totalSize, cancellationToken);
            }

            // As above; without a commit nothing remains.
            if (
                !caller.IsAdmin
                && await AccountReservations.RefusalAsync(db, [(source, total)], _options.Value.PromisedBytesPerAccount, cancellationToken)
                    is { } overdrawn
            )
                return Refuse(StageRefusal.PromisedTooMuch, overdrawn, []);

            var names = incoming.Select(a => a.DestinationLocation).ToList();
            var existing = (await db.Files.Where(f => names.Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken)).ToHashSet(
                StringComparer.Ordinal
            );
            var under = await db
                .IncomingTransfers.AsNoTracking()
                .Where(t => names.Contains(t.FileName!) && Unfinished.Contains(t.Status))
                .Select(t => new
                {
                    t.Id,
                    Name = t.FileName!,
                    t.TransferChecksum,
                    t.Status,
                    t.Committing,
                    Mine = t.Uploader == caller.Username && t.Source == source && t.SourceTransferId != null,
                })
                .ToListAsync(cancellationToken);
            var (repairs, home) = await RepairsAsync(db, incoming, existing, chosen.Value.Store.Id, probes, cancellationToken);
            existing.ExceptWith(repairs.Keys);
            if (home is not null)
                chosen = home;
            var same = under
                .Join(
                    incoming,
                    t => (t.Name, t.TransferChecksum),
                    a => (a.DestinationLocation, a.Checksum),
                    (t, a) => (Transfer: t, Incoming: a)
                )
                .ToList();
            // Another caller's transfer is never abandoned for this caller (upstream W4): it counts as under way.
            var ongoing = same.Where(s => s.Transfer.Status == TransferStatus.Ongoing || s.Transfer.Committing || !s.Transfer.Mine)
                .ToList();
            var restaged = same.Where(s => s.Transfer.Status != TransferStatus.Ongoing && !s.Transfer.Committing && s.Transfer.Mine)
                .ToList();
            var restagedIds = restaged.Select(s => s.Transfer.Id).ToList();
            given = await AbandonAsync(
                db,
                db.IncomingTransfers.Where(t => restagedIds.Contains(t.Id)),
                "The source staged the same file again.",
                cancellationToken
            );

            // Precedence of docs/spec/wire.md#clone-stage-refusals: ongoing, then exists, then duplicate.
            if (ongoing.Count > 0 && (ongoingFirst || existing.Count == 0))
            {
                result = Refuse(
                    StageRefusal.Ongoing,
                    $"'{ongoing[0].Transfer.Name}' is arriving already.",
                    Ids(ongoing.Select(o => o.Incoming)),
                    ongoing[0].Transfer.Id
                );
            }
            else if (existing.Count > 0)
            {
                var there = incoming.Where(a => existing.Contains(a.DestinationLocation)).ToList();
                result = Refuse(StageRefusal.FileExists, $"'{there[0].DestinationLocation}' is catalogued here.", Ids(there));
            }
            else if (restaged.Count > 0)
            {
                result = Refuse(
                    StageRefusal.Duplicate,
                    $"An earlier attempt at '{restaged[0].Transfer.Name}' has been given up; ask again.",
                    Ids(restaged.Select(r => r.Incoming)),
                    restagedIds[0]
                );
            }
            else
            {
                await DropReusedAsync(db, incoming, source, cancellationToken);
                var rows = await InsertAsync(
                    db,
                    [.. incoming.Select(a => NewTransfer(a, caller.Username, source, chosen.Value.Store.Id))],
                    cancellationToken
                );
                if (repairs.Count > 0)
                {
                    List<long> corrupt = [.. repairs.Values],
                        ids = [.. rows.Select(r => r.Id)];
                    await db
                        .CorruptFiles.Where(c => corrupt.Contains(c.Id))
                        .ExecuteUpdateAsync(
                            s =>
                                s.SetProperty(
                                    c => c.IncomingTransferId,
                                    c =>
                                        db.IncomingTransfers.Where(t => ids.Contains(t.Id) && t.FileName == c.FileName)
                                            .Select(t => (long?)t.Id)
                                            .FirstOrDefault()
                                ),
                            cancellationToken
                        );
                }

                result = new StageResult.Accepted(
                    chosen.Value.Store,
                    chosen.Value.FreeBytes,
                    [.. rows.Select(r => SlotOf(r, chosen.Value.Store))]
                )
                {
                    Unfit = unfit,
                };
            }

            await transaction.CommitAsync(cancellationToken);
        }

        await RemoveStagingAsync(given, cancellationToken);
        if (unfit.Count > 0)
            Logs.Unfit(_log, unfit.Count, source, unfit[0].Reason);
        return await MakeDirectoriesAsync(result, cancellationToken);
    }

    /// <summary>
    /// Drops callbacks that are due under ids that a source uses again. A Python source that does so was restored from a backup, and the
    /// callbacks would complete the new transfers; the source finds out when it offers the old files again (409). Sites with this software
    /// compare more than ids.
    /// </summary>
    private static Task DropReusedAsync(
        CatalogContext db,
        IReadOnlyList<IncomingFile> incoming,
        string source,
        CancellationToken cancellationToken
    )
    {
        List<long> numbers = [.. incoming.Select(a => a.SourceTransferId).OfType<long>()];
        return db
            .IncomingTransfers.Where(t =>
                t.Source == source
                && t.CallbackTries != null
                && numbers.Contains(t.SourceTransferId!.Value)
                && !db.Peers.Any(l => l.Name == source && l.CatalogId != null)
            )
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.CallbackTries, (int?)null), cancellationToken);
    }

    /// <summary>
    /// Abandons those of the transfers that may still be abandoned, in the caller's transaction. Returns their staging directories: remove
    /// them with <see cref="RemoveStagingAsync"/> after the commit, never before.
    /// </summary>
    public async Task<List<(long? StoreId, string? Staging)>> AbandonAsync(
        CatalogContext db,
        IQueryable<IncomingTransfer> which,
        string reason,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        var candidates = await which
            .AsNoTracking()
            .Where(t => Unfinished.Contains(t.Status) && !t.Committing)
            .Select(t => new
            {
                t.Id,
                t.StoreId,
                t.StagingPath,
            })
            .ToListAsync(cancellationToken);
        if (candidates.Count == 0)
            return [];
        var ids = candidates.Select(c => c.Id).ToList();
        var now = Now;
        await db
            .IncomingTransfers.Where(t => ids.Contains(t.Id) && Unfinished.Contains(t.Status) && !t.Committing)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Failed)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.FailureReason, reason),
                cancellationToken
            );
        var failed = await db
            .IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Failed)
            .Select(t => t.Id)
            .ToListAsync(cancellationToken);
        foreach (var id in failed)
            Logs.IncomingAbandoned(_log, id, reason);
        return [.. candidates.Where(c => failed.Contains(c.Id)).Select(c => (c.StoreId, c.StagingPath))];
    }

    /// <summary>Removes the staging directories of ended transfers; the sweep removes later what cannot be removed now.</summary>
    public async Task RemoveStagingAsync(IEnumerable<(long? StoreId, string? Staging)> directories, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(directories);
        foreach (var (storeId, staging) in directories)
        {
            if (!Guid.TryParse(staging, out var name))
                continue;
            if (_making.TryGetValue(staging, out var making))
                await making.ContinueWith(
                    static _ => { },
                    cancellationToken,
                    TaskContinuationOptions.ExecuteSynchronously,
                    TaskScheduler.Default
                );
            if (await _stores.FindAsync(storeId, cancellationToken) is not { } store)
                continue;
            await store.RemoveIncomingAsync(name, cancellationToken);
            var removal = await store.RemoveStagingAsync(name, cancellationToken);
            if (!removal.IsGone)
                Logs.StagingNotRemoved(_log, staging, removal.Message);
        }
    }

    /// <summary>
    /// Removes staging directories of ended transfers, which a crash or an I/O error left; returns how many. Only directories with a row
    /// belong to the site: anything else that an administrator has put there stays.
    /// </summary>
    public async Task<int> SweepStagingAsync(CancellationToken cancellationToken)
    {
        var removed = 0;
        foreach (var store in _stores.Configured)
        {
            if (await _stores.FindAsync(store.Id, cancellationToken) is null)
                continue;
            var chunk = new List<string>(SweepChunk);
            await foreach (var entry in store.Store.ListStagingAsync(cancellationToken))
            {
                chunk.Add(entry.Name.ToString("D"));
                if (chunk.Count < SweepChunk)
                    continue;
                removed += await SweepAsync(store.Id, chunk, cancellationToken);
                chunk.Clear();
            }

            removed += await SweepAsync(store.Id, chunk, cancellationToken);
        }

        return removed;
    }

    private async Task<int> SweepAsync(long storeId, List<string> names, CancellationToken cancellationToken)
    {
        if (names.Count == 0)
            return 0;
        await using var db = _database.Open();
        var ended = await db
            .IncomingTransfers.Where(t => t.StoreId == storeId && names.Contains(t.StagingPath!) && !Unfinished.Contains(t.Status))
            .Select(t => t.StagingPath)
            .ToListAsync(cancellationToken);
        await RemoveStagingAsync(ended.Select(s => ((long?)storeId, s)), cancellationToken);
        return ended.Count;
    }

    /// <summary>
    /// Finds files that exist and are accepted nevertheless: a replacement of their corrupt copy was requested, and checksum and size
    /// match. If a whole batch consists of such files and their corrupt copies are on one store, the batch goes there; any other batch only
    /// takes those whose store is the batch's.
    /// </summary>
    /// <returns>Names with their entries in the list of corrupt copies, and the store to use instead of the chosen one.</returns>
    private async Task<(Dictionary<string, long> Repairs, (SiteStore Store, long FreeBytes)? Home)> RepairsAsync(
        CatalogContext db,
        IReadOnlyList<IncomingFile> incoming,
        HashSet<string> existing,
        long chosen,
        IReadOnlyDictionary<long, StoreProbe> probes,
        CancellationToken cancellationToken
    )
    {
        if (existing.Count == 0)
            return ([], null);
        var names = existing.ToList();
        var wanted = await db
            .CorruptFiles.Where(c =>
                c.ReplacementRequested
                && names.Contains(c.FileName)
                && !db.IncomingTransfers.Any(t =>
                    t.Id == c.IncomingTransferId && Unfinished.Contains(t.Status) && (t.Committing || t.Status == TransferStatus.Ongoing)
                )
            )
            .Join(
                db.Copies,
                c => c.CopyId,
                i => i.Id,
                (c, i) =>
                    new
                    {
                        c.Id,
                        c.FileName,
                        i.File!.Checksum,
                        i.File.Size,
                        i.StoreId,
                        i.Store!.Enabled,
                    }
            )
            .ToListAsync(cancellationToken);
        var repairs = wanted
            .Where(w => w.Enabled)
            .GroupBy(w => w.FileName, StringComparer.Ordinal)
            .Select(g => g.First())
            .Join(incoming, w => (w.FileName, w.Checksum, w.Size), a => (a.DestinationLocation, a.Checksum, a.Size), (w, a) => w)
            .ToList();
        if (
            repairs.Count == incoming.Count
            && repairs is [{ StoreId: var store }, ..]
            && store != chosen
            && repairs.TrueForAll(r => r.StoreId == store)
            && _stores.Configured.FirstOrDefault(s => s.Id == store) is { } home
            && probes.GetValueOrDefault(home.Id) is { IsMounted: true } probe
            && probe.FreeBytes > repairs.Sum(r => r.Size)
        )
            return (repairs.ToDictionary(r => r.FileName, r => r.Id, StringComparer.Ordinal), (home, probe.FreeBytes));
        return (repairs.Where(r => r.StoreId == chosen).ToDictionary(r => r.FileName, r => r.Id, StringComparer.Ordinal), null);
    }

    /// <summary>
    /// Refuses a transfer for which there is no store: the stores that accept data are not mounted, which is not a lack of space, or full.
    /// </summary>
    private async Task<StageResult> NoStoreAsync(long bytes, CancellationToken cancellationToken)
    {
        var probes = await _stores.ProbeAsync(cancellationToken);
        var taking = _stores.Configured.Where(s => s.Store.Options.Ingestable).ToList();
        if (taking.Count > 0 && taking.TrueForAll(s => !probes[s.Id].IsMounted))
            return Refuse(StageRefusal.StoreAway, _stores.WhyAway(taking[0].Id), []);
        await RaiseStoreFullAsync(bytes, cancellationToken);
        return Refuse(StageRefusal.NoStore, $"No enabled, ingestable store has more than {bytes} bytes free.", []);
    }

    private Task RaiseStoreFullAsync(long bytes, CancellationToken cancellationToken) =>
        _errors.RaiseAsync(
            ErrorSeverity.Error,
            ErrorCategory.StoreFull,
            "stores",
            $"A sender was refused because no enabled, ingestable store has more than {bytes} bytes free. "
                + "Nothing was lost; make space, or mount and enable a store.",
            cancellationToken
        );

    /// <summary>
    /// Inserts the rows of a batch, which differ in few columns, with one statement for any number of rows; EF Core sends one per row. Both
    /// databases read the same JSON with the same operators.
    /// </summary>
    private static async Task<List<IncomingTransfer>> InsertAsync(
        CatalogContext db,
        IReadOnlyList<IncomingTransfer> rows,
        CancellationToken cancellationToken
    )
    {
        if (rows is not [var first, ..])
            return [];
        var json = new JsonArray([
            .. rows.Select(r => new JsonObject
            {
                ["name"] = r.UploadName,
                ["size"] = r.TransferSize,
                ["checksum"] = r.TransferChecksum,
                ["staging"] = r.StagingPath,
                ["path"] = r.FileName,
                ["theirs"] = r.SourceTransferId,
                ["tree"] = r.TreeDigest,
            }),
        ]).ToJsonString();
        var started = new DateTime(first.StartTime.Ticks - (first.StartTime.Ticks % TimeSpan.TicksPerMicrosecond), DateTimeKind.Utc);
        var inserted = await db
            .IncomingTransfers.FromSqlRaw(
                db.Database.IsNpgsql() ? InsertOnPostgreSql : InsertOnSqlite,
                first.Uploader,
                first.Source,
                first.StoreId!.Value,
                started,
                json
            )
            .AsNoTracking()
            .ToListAsync(cancellationToken);
        var byStaging = inserted.ToDictionary(r => r.StagingPath!, StringComparer.Ordinal);
        return [.. rows.Select(r => byStaging[r.StagingPath!])];
    }

    private IncomingTransfer NewTransfer(IncomingFile incoming, string uploader, string source, long? storeId) =>
        new()
        {
            Status = TransferStatus.Initiated,
            Uploader = uploader,
            UploadName = incoming.UploadName,
            Source = source,
            TransferSize = incoming.Size,
            TransferChecksum = incoming.Checksum,
            TreeDigest = Checksums.TreeDigest.Understood(incoming.TreeDigest),
            StoreId = storeId,
            StartTime = Now,
            StagingPath = storeId is null ? null : Guid.NewGuid().ToString("D"),
            FileName = incoming.DestinationLocation,
            SourceTransferId = incoming.SourceTransferId,
        };

    private static StagingSlot SlotOf(IncomingTransfer row, SiteStore store) =>
        new(
            row.Id,
            row.SourceTransferId,
            row.StagingPath!,
            store.Store.LocateStaged(Guid.Parse(row.StagingPath!), Parsed(row.UploadName)),
            row.UploadName,
            row.FileName!
        );

    private async Task<StageResult> MakeDirectoriesAsync(StageResult result, CancellationToken cancellationToken)
    {
        if (result is not StageResult.Accepted accepted)
            return result;
        var making = accepted.Store.Store.CreateStagingAsync(
            [.. accepted.Slots.Select(p => (Guid.Parse(p.StagingName), Parsed(p.UploadName)))],
            cancellationToken
        );
        foreach (var slot in accepted.Slots)
            _making[slot.StagingName] = making;
        StagingResult? failed;
        try
        {
            failed = await making;
        }
        finally
        {
            foreach (var slot in accepted.Slots)
                _making.TryRemove(slot.StagingName, out _);
        }

        if (failed is null)
            return result;
        Logs.StagingNotMade(_log, accepted.Store.Store.Options.Name, failed.Message);
        await _errors.RaiseAsync(
            ErrorSeverity.Critical,
            ErrorCategory.Configuration,
            $"staging {accepted.Store.Store.Options.Name}",
            $"No staging directory could be made on store '{accepted.Store.Store.Options.Name}', so senders are refused: {failed.Message}",
            cancellationToken
        );
        var ids = accepted.Slots.Select(p => p.TransferId).ToList();
        await using var db = _database.Open();
        var given = await AbandonAsync(db, db.IncomingTransfers.Where(t => ids.Contains(t.Id)), failed.Message, cancellationToken);
        await RemoveStagingAsync(given, cancellationToken);
        return Refuse(StageRefusal.NoStore, failed.Message, Ids(accepted.Slots));
    }

    private static FileName Parsed(string normalised) =>
        FileName.TryParse(normalised, out var path, out var refusal)
            ? path
            : throw new InvalidOperationException($"'{normalised}' was accepted before: {FileName.Describe(refusal)}");

    private static string? Invalid(IncomingFile incoming)
    {
        if (!FileName.TryParse(incoming.UploadName, out _, out var refusal))
            return $"upload_name '{incoming.UploadName}': {FileName.Describe(refusal)}";
        if (!FileName.TryParse(incoming.DestinationLocation, out _, out refusal))
            return $"destination_location '{incoming.DestinationLocation}': {FileName.Describe(refusal)}";
        return InvalidText("upload_checksum", incoming.Checksum);
    }

    private static string? InvalidText(string field, string text) =>
        text.Length is 0 or > CatalogContext.MaxText || text.Any(char.IsControl)
            ? $"{field} must have 1 to 256 characters, none of them control characters."
            : null;

    private static StageResult.Refused Refuse(StageRefusal why, string detail, IReadOnlyList<long> ids, long? transferId = null) =>
        new(why, detail, ids, transferId);

    private static List<long> Ids(IEnumerable<IncomingFile> incoming) => [.. incoming.Select(a => a.SourceTransferId ?? -1)];

    private static List<long> Ids(IEnumerable<StagingSlot> slots) => [.. slots.Select(p => p.SourceTransferId ?? -1)];

    private sealed record UploadRequest(
        IncomingFile Incoming,
        string Uploader,
        string Source,
        bool IsAdmin,
        IReadOnlyDictionary<long, StoreProbe> Probes
    );
}
