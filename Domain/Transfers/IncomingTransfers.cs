using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Transfers;

/// <summary>Why an upload or clone was not accepted; each is a documented answer of wire.md §6.3.1 and §6.6.2.</summary>
public enum StageRefusal
{
    /// <summary>Negative size.</summary>
    NegativeSize,

    /// <summary>Above the site's limit for uploads.</summary>
    TooLarge,

    /// <summary>A name that is absolute, climbs with <c>..</c>, is empty or too long.</summary>
    InvalidPath,

    /// <summary>A file of that name exists.</summary>
    FileExists,

    /// <summary>No store has room.</summary>
    NoStore,

    /// <summary>The same file is arriving already.</summary>
    Ongoing,

    /// <summary>The same file had been staged before; that attempt has been given up, ask again.</summary>
    Duplicate,
}

/// <summary>Where a sender is to put one file.</summary>
/// <param name="TransferId">Incoming transfer.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
/// <param name="StagingName">Directory below the staging root.</param>
/// <param name="StagingLocation">Absolute path; its parents exist, itself not.</param>
/// <param name="UploadName">Normalised.</param>
/// <param name="DestinationLocation">Normalised.</param>
public sealed record StagedPlace(long TransferId, long? SourceTransferId, string StagingName, string StagingLocation, string UploadName, string DestinationLocation);

/// <summary>Result of a stage call.</summary>
public abstract record StageResult
{
    private StageResult()
    {
    }

    /// <summary>Accepted.</summary>
    /// <param name="Store">Store chosen for all.</param>
    /// <param name="FreeBytes">Room left, bytes.</param>
    /// <param name="Places">One per file, in request order.</param>
    public sealed record Accepted(SiteStore Store, long FreeBytes, IReadOnlyList<StagedPlace> Places) : StageResult;

    /// <summary>Refused; nothing was created.</summary>
    /// <param name="Why">The reason.</param>
    /// <param name="Detail">One sentence for people.</param>
    /// <param name="SourceTransferIds">The items concerned, for batches.</param>
    /// <param name="TransferId">The transfer in the way, when there is one.</param>
    public sealed record Refused(StageRefusal Why, string Detail, IReadOnlyList<long> SourceTransferIds, long? TransferId = null) : StageResult;
}

/// <summary>One file that a sender wants to bring.</summary>
/// <param name="Size">Declared bytes.</param>
/// <param name="Checksum">Declared checksum, verbatim.</param>
/// <param name="UploadName">Path inside the staging directory.</param>
/// <param name="DestinationLocation">Name of the file to be.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
public sealed record Arrival(long Size, string Checksum, string UploadName, string DestinationLocation, long? SourceTransferId = null);

/// <summary>
/// The rules for files that are brought to this site, up to the moment at which they lie in staging.
/// </summary>
/// <remarks>
/// A crash leaves: before the commit, nothing; between commit and mkdir, a row INITIATED whose sender never got an answer and
/// which the review of stale transfers ends; staging directories always have a row first, so none is ever without an owner.
/// </remarks>
public sealed class IncomingTransfers
{
    /// <summary>States in which data may still arrive or be ingested.</summary>
    public static readonly TransferStatus[] Unfinished = [TransferStatus.Initiated, TransferStatus.Ongoing, TransferStatus.Staged];

    private const int SweepChunk = 500;

    /// <summary>Uploads that are accepted in one transaction when they are asked for at the same time.</summary>
    private const int MostUploadsAtOnce = 64;

    private const string InsertEach = """
        insert into incoming_transfers (status, uploader, upload_name, source, transfer_size, transfer_checksum, store_id, start_time, staging_path, store_path, source_transfer_id, "placing")
        select 'INITIATED', {0}, e.value->>'name', {1}, cast(e.value->>'size' as bigint), e.value->>'checksum', {2}, {3}, e.value->>'staging', e.value->>'path', cast(e.value->>'theirs' as bigint), false
        from
        """;

    private const string InsertOnSqlite = InsertEach + " json_each({4}) as e returning *";
    private const string InsertOnPostgreSql = InsertEach + " json_array_elements({4}::json) as e(value) returning *";

    private readonly CatalogDatabase _database;
    private readonly SiteStores _stores;
    private readonly ErrorLog _errors;
    private readonly IOptions<SiteOptions> _options;
    private readonly TimeProvider _time;
    private readonly ILogger<IncomingTransfers> _log;
    private readonly GroupCommit<UploadRequest, Task<StageResult>> _uploads;

    /// <summary>Staging directories that are being made: the row of each can be seen already, and be given up.</summary>
    private readonly ConcurrentDictionary<string, Task<StagingResult?>> _making = new(StringComparer.Ordinal);

    /// <summary>One per process: uploads that are asked for at the same time are accepted together.</summary>
    public IncomingTransfers(CatalogDatabase database, SiteStores stores, ErrorLog errors, IOptions<SiteOptions> options, TimeProvider time, ILogger<IncomingTransfers> log)
    {
        (_database, _stores, _errors, _options, _time, _log) = (database, stores, errors, options, time, log);
        _uploads = new GroupCommit<UploadRequest, Task<StageResult>>(MostUploadsAtOnce, StageUploadsAsync);
    }

    private DateTime Now => _time.GetUtcNow().UtcDateTime;

    /// <summary>Accepts or refuses a client's upload (wire.md §6.3.1).</summary>
    public async Task<StageResult> StageUploadAsync(Arrival arrival, string uploader, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(arrival);
        ArgumentNullException.ThrowIfNull(caller);
        if (arrival.Size < 0) return Refuse(StageRefusal.NegativeSize, $"The declared size is {arrival.Size} bytes.", []);
        if (arrival.Size > _options.Value.MaximalUploadSizeBytes)
            return Refuse(StageRefusal.TooLarge, $"The declared size is {arrival.Size} bytes; this site takes at most {_options.Value.MaximalUploadSizeBytes}.", []);
        if ((Invalid(arrival) ?? InvalidText("uploader", uploader)) is { } problem) return Refuse(StageRefusal.InvalidPath, problem, []);

        var looks = await _stores.LookAsync(cancellationToken);
        var finishing = await _uploads.RunAsync(new UploadRequest(arrival, uploader, caller.Username, looks), cancellationToken);
        return await finishing.WaitAsync(cancellationToken);
    }

    /// <summary>
    /// Accepts uploads in one transaction and a fixed number of queries. Those of one name go one after the other, and so do all when there is not
    /// room for all: each is then judged by itself. Only the catalog is asked here; what each upload needs of a file system is begun, and not waited for.
    /// </summary>
    private async Task<IReadOnlyList<Task<StageResult>>> StageUploadsAsync(IReadOnlyList<UploadRequest> group)
    {
        var names = group.Select(r => r.Arrival.DestinationLocation).ToHashSet(StringComparer.Ordinal);
        if (names.Count < group.Count) return await GroupCommit.OneByOneAsync(group, StageUploadsAsync);
        HashSet<string> catalogued;
        ILookup<string, (long? StoreId, string? Staging)> given = Array.Empty<(long?, string?)>().ToLookup(_ => "");
        (SiteStore Store, long FreeBytes)? chosen = null;
        Dictionary<string, IncomingTransfer> rows = [];
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            catalogued = (await db.Files.Where(f => names.Contains(f.Name)).Select(f => f.Name).ToListAsync()).ToHashSet(StringComparer.Ordinal);
            var open = group.Where(r => !catalogued.Contains(r.Arrival.DestinationLocation)).ToList();
            if (open.Count > 0)
            {
                // A client that starts over replaces its own earlier attempt at the same file, nobody else's (upstream W4).
                var earlier = await db.IncomingTransfers.Where(t => names.Contains(t.StorePath!) && t.SourceTransferId == null && Unfinished.Contains(t.Status)).Select(t => new { t.Id, t.StorePath, t.Source, t.StagingPath }).ToListAsync();
                var replaced = earlier.Join(open, t => (t.StorePath!, t.Source), r => (r.Arrival.DestinationLocation, r.Source), (t, _) => t).ToList();
                List<long> ids = [.. replaced.Select(t => t.Id)];
                if (ids.Count > 0)
                {
                    var gone = await GiveUpAsync(db, db.IncomingTransfers.Where(t => ids.Contains(t.Id)), "Replaced by a new upload of the same file.", CancellationToken.None);
                    given = gone.Join(replaced, g => g.Staging, t => t.StagingPath, (g, t) => (t.StorePath, Given: g)).ToLookup(g => g.StorePath!, g => g.Given);
                }

                // Whoever came last has looked last.
                chosen = await _stores.ChooseAsync(db, open.Aggregate(0L, (sum, r) => sum > long.MaxValue - r.Arrival.Size ? long.MaxValue : sum + r.Arrival.Size), open[^1].Looks, CancellationToken.None);
                if (chosen is { } home)
                {
                    foreach (var same in open.GroupBy(r => (r.Uploader, r.Source)))
                    {
                        foreach (var row in await InsertAsync(db, [.. same.Select(r => NewTransfer(r.Arrival, r.Uploader, r.Source, home.Store.Id))], CancellationToken.None)) rows[row.StorePath!] = row;
                    }
                }
                else if (group.Count == 1)
                {
                    var row = NewTransfer(open[0].Arrival, open[0].Uploader, open[0].Source, storeId: null);
                    (row.Status, row.EndTime, row.FailureReason) = (TransferStatus.Failed, row.StartTime, "No store has room.");
                    db.IncomingTransfers.Add(row);
                    await db.SaveChangesAsync();
                }

                if (chosen is not null || group.Count == 1) await transaction.CommitAsync();
            }
        }

        // Nothing of it was committed.
        if (chosen is null && group.Count > 1 && catalogued.Count < group.Count) return await GroupCommit.OneByOneAsync(group, StageUploadsAsync);
        return [.. group.Select(r => r.Arrival.DestinationLocation is var name && catalogued.Contains(name)
            ? Task.FromResult<StageResult>(Refuse(StageRefusal.FileExists, $"'{name}' is catalogued here.", []))
            : chosen is { } place
                ? FinishAsync(new StageResult.Accepted(place.Store, place.FreeBytes, [Place(rows[name], place.Store)]), given[name])
                : RefuseFullAsync(r.Arrival.Size, given[name]))];
    }

    /// <summary>Makes the directories of what was accepted, and removes those that it replaces.</summary>
    private async Task<StageResult> FinishAsync(StageResult result, IEnumerable<(long? StoreId, string? Staging)> given)
    {
        // Begun before anybody else can see the rows that were committed just now: who gives them up waits for it (RemoveStagingAsync).
        var making = MakeDirectoriesAsync(result, CancellationToken.None);
        await RemoveStagingAsync(given, CancellationToken.None);
        return await making;
    }

    private async Task<StageResult> RefuseFullAsync(long bytes, IEnumerable<(long? StoreId, string? Staging)> given)
    {
        await TellFullAsync(bytes, CancellationToken.None);
        await RemoveStagingAsync(given, CancellationToken.None);
        return Refuse(StageRefusal.NoStore, $"No enabled, ingestable store has more than {bytes} bytes free.", []);
    }

    /// <summary>
    /// Accepts or refuses a neighbour's batch, all or nothing (wire.md §6.6.2), in one transaction and a fixed number of
    /// queries. As upstream, items whose earlier attempt was INITIATED or STAGED make that attempt fail even when the batch is refused.
    /// </summary>
    public Task<StageResult> StageBatchAsync(IReadOnlyList<Arrival> arrivals, long totalSize, string source, Caller caller, CancellationToken cancellationToken) =>
        StageBatchAsync(arrivals, totalSize, source, caller, ongoingFirst: true, cancellationToken);

    /// <summary>Accepts or refuses one file that its sender copies while it waits (wire.md §6.6.1): as a batch of one, but "exists" goes before "ongoing".</summary>
    public Task<StageResult> StageCloneAsync(Arrival arrival, string source, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(arrival);
        return StageBatchAsync([arrival], arrival.Size, source, caller, ongoingFirst: false, cancellationToken);
    }

    private async Task<StageResult> StageBatchAsync(IReadOnlyList<Arrival> arrivals, long totalSize, string source, Caller caller, bool ongoingFirst, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(arrivals);
        ArgumentNullException.ThrowIfNull(caller);
        if (totalSize < 0 || arrivals.Any(a => a.Size < 0)) return Refuse(StageRefusal.NegativeSize, "A declared size is negative.", []);
        if (!caller.IsAdmin && source != caller.Username)
            return Refuse(StageRefusal.InvalidPath, $"source '{source}' is not the account '{caller.Username}': a site's account bears its name, and callbacks go to the source.", []);
        if (InvalidText("source", source) is { } badSource) return Refuse(StageRefusal.InvalidPath, badSource, []);
        foreach (var arrival in arrivals)
        {
            if (Invalid(arrival) is { } problem) return Refuse(StageRefusal.InvalidPath, problem, [arrival.SourceTransferId ?? -1]);
        }

        var repeated = arrivals.GroupBy(a => a.DestinationLocation).Where(g => g.Count() > 1).SelectMany(g => g.Skip(1)).ToList();
        if (repeated.Count > 0)
            return Refuse(StageRefusal.InvalidPath, $"'{repeated[0].DestinationLocation}' is in the batch twice.", Ids(repeated));

        var looks = await _stores.LookAsync(cancellationToken);
        List<(long? StoreId, string? Staging)> given;
        StageResult result;
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            var chosen = await _stores.ChooseAsync(db, arrivals.Aggregate(0L, (sum, a) => sum > long.MaxValue - a.Size ? long.MaxValue : sum + a.Size) is var total && total > totalSize ? total : totalSize, looks, cancellationToken);
            if (chosen is null)
            {
                await transaction.DisposeAsync();
                await TellFullAsync(totalSize, cancellationToken);
                return Refuse(StageRefusal.NoStore, $"No enabled, ingestable store has more than {totalSize} bytes free.", []);
            }

            var names = arrivals.Select(a => a.DestinationLocation).ToList();
            var existing = (await db.Files.Where(f => names.Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken)).ToHashSet(StringComparer.Ordinal);
            var under = await db.IncomingTransfers.AsNoTracking()
                .Where(t => names.Contains(t.StorePath!) && Unfinished.Contains(t.Status))
                .Select(t => new { t.Id, Name = t.StorePath!, t.TransferChecksum, t.Status, t.Placing, Mine = t.Uploader == caller.Username && t.Source == source && t.SourceTransferId != null }).ToListAsync(cancellationToken);
            var (repairs, home) = await RepairsAsync(db, arrivals, existing, chosen.Value.Store.Id, looks, cancellationToken);
            existing.ExceptWith(repairs.Keys);
            if (home is not null) chosen = home;
            var same = under.Join(arrivals, t => (t.Name, t.TransferChecksum), a => (a.DestinationLocation, a.Checksum), (t, a) => (Transfer: t, Arrival: a)).ToList();
            // Somebody else's transfer is never given up for this caller (upstream W4): it counts as under way.
            var ongoing = same.Where(s => s.Transfer.Status == TransferStatus.Ongoing || s.Transfer.Placing || !s.Transfer.Mine).ToList();
            var restaged = same.Where(s => s.Transfer.Status != TransferStatus.Ongoing && !s.Transfer.Placing && s.Transfer.Mine).ToList();
            var restagedIds = restaged.Select(s => s.Transfer.Id).ToList();
            given = await GiveUpAsync(db, db.IncomingTransfers.Where(t => restagedIds.Contains(t.Id)), "The source staged the same file again.", cancellationToken);

            // Precedence of wire.md §6.6.2: ongoing, then exists, then duplicate.
            if (ongoing.Count > 0 && (ongoingFirst || existing.Count == 0))
            {
                result = Refuse(StageRefusal.Ongoing, $"'{ongoing[0].Transfer.Name}' is arriving already.", Ids(ongoing.Select(o => o.Arrival)), ongoing[0].Transfer.Id);
            }
            else if (existing.Count > 0)
            {
                var there = arrivals.Where(a => existing.Contains(a.DestinationLocation)).ToList();
                result = Refuse(StageRefusal.FileExists, $"'{there[0].DestinationLocation}' is catalogued here.", Ids(there));
            }
            else if (restaged.Count > 0)
            {
                result = Refuse(StageRefusal.Duplicate, $"An earlier attempt at '{restaged[0].Transfer.Name}' has been given up; ask again.", Ids(restaged.Select(r => r.Arrival)), restagedIds[0]);
            }
            else
            {
                var rows = await InsertAsync(db, [.. arrivals.Select(a => NewTransfer(a, caller.Username, source, chosen.Value.Store.Id))], cancellationToken);
                if (repairs.Count > 0)
                {
                    List<long> corrupt = [.. repairs.Values], ids = [.. rows.Select(r => r.Id)];
                    await db.CorruptFiles.Where(c => corrupt.Contains(c.Id)).ExecuteUpdateAsync(s => s.SetProperty(c => c.IncomingTransferId,
                        c => db.IncomingTransfers.Where(t => ids.Contains(t.Id) && t.StorePath == c.FileName).Select(t => (long?)t.Id).FirstOrDefault()), cancellationToken);
                }

                result = new StageResult.Accepted(chosen.Value.Store, chosen.Value.FreeBytes, [.. rows.Select(r => Place(r, chosen.Value.Store))]);
            }

            await transaction.CommitAsync(cancellationToken);
        }

        await RemoveStagingAsync(given, cancellationToken);
        return await MakeDirectoriesAsync(result, cancellationToken);
    }

    /// <summary>
    /// Gives up transfers that may still be given up, in the caller's transaction. Returns their staging directories: remove
    /// them with <see cref="RemoveStagingAsync"/> after the commit, never before.
    /// </summary>
    public async Task<List<(long? StoreId, string? Staging)>> GiveUpAsync(CatalogContext db, IQueryable<IncomingTransfer> which, string reason, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        var candidates = await which.AsNoTracking().Where(t => Unfinished.Contains(t.Status) && !t.Placing)
            .Select(t => new { t.Id, t.StoreId, t.StagingPath }).ToListAsync(cancellationToken);
        if (candidates.Count == 0) return [];
        var ids = candidates.Select(c => c.Id).ToList();
        var now = Now;
        await db.IncomingTransfers.Where(t => ids.Contains(t.Id) && Unfinished.Contains(t.Status) && !t.Placing)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Failed).SetProperty(t => t.EndTime, now).SetProperty(t => t.FailureReason, reason), cancellationToken);
        var failed = await db.IncomingTransfers.Where(t => ids.Contains(t.Id) && t.Status == TransferStatus.Failed).Select(t => t.Id).ToListAsync(cancellationToken);
        foreach (var id in failed) Logs.IncomingGivenUp(_log, id, reason);
        return [.. candidates.Where(c => failed.Contains(c.Id)).Select(c => (c.StoreId, c.StagingPath))];
    }

    /// <summary>Removes the staging directories of ended transfers; what cannot be removed now is swept later.</summary>
    public async Task RemoveStagingAsync(IEnumerable<(long? StoreId, string? Staging)> directories, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(directories);
        foreach (var (storeId, staging) in directories)
        {
            if (!Guid.TryParse(staging, out var name)) continue;
            if (_making.TryGetValue(staging, out var making)) await making.ContinueWith(static _ => { }, cancellationToken, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            if (await _stores.FindAsync(storeId, cancellationToken) is not { } store) continue;
            await store.RemoveIncomingAsync(name, cancellationToken);
            var removal = await store.RemoveStagingAsync(name, cancellationToken);
            if (!removal.IsGone) Logs.StagingNotRemoved(_log, staging, removal.Message);
        }
    }

    /// <summary>
    /// Removes staging directories whose transfers have ended (a crash or an I/O error left them); returns how many. Only
    /// directories with a row are ours to remove: anything else that an administrator has put there stays.
    /// </summary>
    public async Task<int> SweepStagingAsync(CancellationToken cancellationToken)
    {
        var removed = 0;
        foreach (var store in _stores.Configured.Where(s => s.IsMounted))
        {
            var chunk = new List<string>(SweepChunk);
            await foreach (var entry in store.Store.ListStagingAsync(cancellationToken))
            {
                chunk.Add(entry.Name.ToString("D"));
                if (chunk.Count < SweepChunk) continue;
                removed += await SweepAsync(store.Id, chunk, cancellationToken);
                chunk.Clear();
            }

            removed += await SweepAsync(store.Id, chunk, cancellationToken);
        }

        return removed;
    }

    private async Task<int> SweepAsync(long storeId, List<string> names, CancellationToken cancellationToken)
    {
        if (names.Count == 0) return 0;
        await using var db = _database.Open();
        var ended = await db.IncomingTransfers.Where(t => t.StoreId == storeId && names.Contains(t.StagingPath!) && !Unfinished.Contains(t.Status))
            .Select(t => t.StagingPath).ToListAsync(cancellationToken);
        await RemoveStagingAsync(ended.Select(s => ((long?)storeId, s)), cancellationToken);
        return ended.Count;
    }

    /// <summary>
    /// Files that exist and are welcome all the same: a replacement of their bad copy has been asked for, and this is it by checksum and
    /// size. A single one goes to the store that holds the bad copy, in a batch only those whose store is the batch's are taken.
    /// </summary>
    /// <returns>Names with their entries in the list of corrupt copies, and the store to use instead of the chosen one.</returns>
    private async Task<(Dictionary<string, long> Repairs, (SiteStore Store, long FreeBytes)? Home)> RepairsAsync(CatalogContext db, IReadOnlyList<Arrival> arrivals, HashSet<string> existing, long chosen, IReadOnlyDictionary<long, StoreLook> looks, CancellationToken cancellationToken)
    {
        if (existing.Count == 0) return ([], null);
        var names = existing.ToList();
        var wanted = await db.CorruptFiles.Where(c => c.ReplacementRequested && names.Contains(c.FileName)
                && !db.IncomingTransfers.Any(t => t.Id == c.IncomingTransferId && Unfinished.Contains(t.Status) && (t.Placing || t.Status == TransferStatus.Ongoing)))
            .Join(db.Instances, c => c.InstanceId, i => i.Id, (c, i) => new { c.Id, c.FileName, i.File!.Checksum, i.File.Size, i.StoreId, i.Store!.Enabled })
            .ToListAsync(cancellationToken);
        var repairs = wanted.Where(w => w.Enabled).GroupBy(w => w.FileName, StringComparer.Ordinal).Select(g => g.First())
            .Join(arrivals, w => (w.FileName, w.Checksum, w.Size), a => (a.DestinationLocation, a.Checksum, a.Size), (w, a) => w).ToList();
        if (arrivals.Count == 1 && repairs is [var only] && only.StoreId != chosen && _stores.Configured.FirstOrDefault(s => s.Id == only.StoreId) is { } home && looks.GetValueOrDefault(home.Id) is { IsMounted: true } look && look.FreeBytes > only.Size)
            return (new(StringComparer.Ordinal) { [only.FileName] = only.Id }, (home, look.FreeBytes));
        return (repairs.Where(r => r.StoreId == chosen).ToDictionary(r => r.FileName, r => r.Id, StringComparer.Ordinal), null);
    }

    private Task TellFullAsync(long bytes, CancellationToken cancellationToken) => _errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.StoreFull, "stores",
        $"A sender was refused because no enabled, ingestable store has more than {bytes} bytes free. Nothing was lost; make space, or mount and enable a store.", cancellationToken);

    /// <summary>
    /// Writes the rows of a batch, which differ in few columns, with one statement however many they are; EF Core sends one per row. Both
    /// databases read the same JSON with the same operators.
    /// </summary>
    private static async Task<List<IncomingTransfer>> InsertAsync(CatalogContext db, IReadOnlyList<IncomingTransfer> rows, CancellationToken cancellationToken)
    {
        if (rows is not [var first, ..]) return [];
        var json = new JsonArray([.. rows.Select(r => new JsonObject
        {
            ["name"] = r.UploadName, ["size"] = r.TransferSize, ["checksum"] = r.TransferChecksum, ["staging"] = r.StagingPath, ["path"] = r.StorePath, ["theirs"] = r.SourceTransferId,
        })]).ToJsonString();
        var started = new DateTime(first.StartTime.Ticks - (first.StartTime.Ticks % TimeSpan.TicksPerMicrosecond), DateTimeKind.Utc);
        var inserted = await db.IncomingTransfers.FromSqlRaw(db.Database.IsNpgsql() ? InsertOnPostgreSql : InsertOnSqlite, first.Uploader, first.Source, first.StoreId!.Value, started, json)
            .AsNoTracking().ToListAsync(cancellationToken);
        var byStaging = inserted.ToDictionary(r => r.StagingPath!, StringComparer.Ordinal);
        return [.. rows.Select(r => byStaging[r.StagingPath!])];
    }

    private IncomingTransfer NewTransfer(Arrival arrival, string uploader, string source, long? storeId) => new()
    {
        Status = TransferStatus.Initiated,
        Uploader = uploader,
        UploadName = arrival.UploadName,
        Source = source,
        TransferSize = arrival.Size,
        TransferChecksum = arrival.Checksum,
        StoreId = storeId,
        StartTime = Now,
        StagingPath = storeId is null ? null : Guid.NewGuid().ToString("D"),
        StorePath = arrival.DestinationLocation,
        SourceTransferId = arrival.SourceTransferId,
    };

    private static StagedPlace Place(IncomingTransfer row, SiteStore store) => new(
        row.Id, row.SourceTransferId, row.StagingPath!, store.Store.LocateStaged(Guid.Parse(row.StagingPath!), Parsed(row.UploadName)), row.UploadName, row.StorePath!);

    private async Task<StageResult> MakeDirectoriesAsync(StageResult result, CancellationToken cancellationToken)
    {
        if (result is not StageResult.Accepted accepted) return result;
        var making = accepted.Store.Store.CreateStagingAsync([.. accepted.Places.Select(p => (Guid.Parse(p.StagingName), Parsed(p.UploadName)))], cancellationToken);
        foreach (var place in accepted.Places) _making[place.StagingName] = making;
        StagingResult? failed;
        try
        {
            failed = await making;
        }
        finally
        {
            foreach (var place in accepted.Places) _making.TryRemove(place.StagingName, out _);
        }

        if (failed is null) return result;
        Logs.StagingNotMade(_log, accepted.Store.Store.Options.Name, failed.Message);
        await _errors.RaiseAsync(ErrorSeverity.Critical, ErrorCategory.Configuration, $"staging {accepted.Store.Store.Options.Name}",
            $"No staging directory could be made on store '{accepted.Store.Store.Options.Name}', so senders are refused: {failed.Message}", cancellationToken);
        var ids = accepted.Places.Select(p => p.TransferId).ToList();
        await using var db = _database.Open();
        var given = await GiveUpAsync(db, db.IncomingTransfers.Where(t => ids.Contains(t.Id)), failed.Message, cancellationToken);
        await RemoveStagingAsync(given, cancellationToken);
        return Refuse(StageRefusal.NoStore, failed.Message, Ids(accepted.Places));
    }

    private static StorePath Parsed(string normalised) =>
        StorePath.TryParse(normalised, out var path, out var refusal) ? path : throw new InvalidOperationException($"'{normalised}' was accepted before: {StorePath.Describe(refusal)}");

    private static string? Invalid(Arrival arrival)
    {
        if (!StorePath.TryParse(arrival.UploadName, out _, out var refusal)) return $"upload_name '{arrival.UploadName}': {StorePath.Describe(refusal)}";
        if (!StorePath.TryParse(arrival.DestinationLocation, out _, out refusal)) return $"destination_location '{arrival.DestinationLocation}': {StorePath.Describe(refusal)}";
        return InvalidText("upload_checksum", arrival.Checksum);
    }

    private static string? InvalidText(string field, string text) =>
        text.Length is 0 or > CatalogContext.MaxText || text.Any(char.IsControl) ? $"{field} must have 1 to 256 characters, none of them control characters." : null;

    private static StageResult.Refused Refuse(StageRefusal why, string detail, IReadOnlyList<long> ids, long? transferId = null) => new(why, detail, ids, transferId);

    private static List<long> Ids(IEnumerable<Arrival> arrivals) => [.. arrivals.Select(a => a.SourceTransferId ?? -1)];

    private static List<long> Ids(IEnumerable<StagedPlace> places) => [.. places.Select(p => p.SourceTransferId ?? -1)];

    private sealed record UploadRequest(Arrival Arrival, string Uploader, string Source, IReadOnlyDictionary<long, StoreLook> Looks);
}
