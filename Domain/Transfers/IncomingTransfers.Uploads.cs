using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

public sealed partial class IncomingTransfers
{
    /// <summary>Most concurrent uploads that are accepted in one transaction.</summary>
    private const int MostUploadsAtOnce = 64;

    /// <summary>Name of the transfer manager in the rows of transfers whose bytes come as a data batch.</summary>
    public const string DataBatchManager = "https";

    /// <summary>Accepts or refuses a client's upload (docs/spec/wire.md#upload-stage).</summary>
    /// <param name="declared">The upload.</param>
    /// <param name="uploader">Its uploader.</param>
    /// <param name="caller">The client.</param>
    /// <param name="takesUp">Whether the client can go on with the data batch of an earlier upload of the same content.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task<StageResult> StageUploadAsync(
        DeclaredTransfer declared,
        string uploader,
        Caller caller,
        bool takesUp,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(declared);
        ArgumentNullException.ThrowIfNull(caller);
        if (declared.Size < 0)
            return Refuse(StageRefusal.NegativeSize, $"The declared size is {declared.Size} bytes.", []);
        if (declared.Size > _options.Value.MaximalUploadSizeBytes)
            return Refuse(
                StageRefusal.TooLarge,
                $"The declared size is {declared.Size} bytes; this site takes at most {_options.Value.MaximalUploadSizeBytes}.",
                []
            );
        if (!declared.TryParse(out var incoming, out var problem))
            return Refuse(StageRefusal.InvalidPath, problem, []);
        if (DeclaredTransfer.Problem("uploader", uploader) is { } unfit)
            return Refuse(StageRefusal.InvalidPath, unfit, []);

        var probes = await _stores.ProbeAsync(cancellationToken);
        if (takesUp && await EarlierAsync(incoming, uploader, caller, probes, cancellationToken) is { } earlier)
            return earlier;
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
    /// An unfinished upload of the same content by the same client whose bytes come as a data batch: it goes on, because nothing that
    /// arrived is sent again.
    /// </summary>
    private async Task<StageResult.Accepted?> EarlierAsync(
        IncomingFile incoming,
        string uploader,
        Caller caller,
        IReadOnlyDictionary<long, StoreProbe> probes,
        CancellationToken cancellationToken
    )
    {
        var name = incoming.Destination.Value;
        var uploadName = incoming.UploadName.Value;
        var names = Contracts.TreeDigest.Understood(incoming.TreeDigest);
        await using var db = _database.Open();
        var row = await db
            .IncomingTransfers.AsNoTracking()
            .Where(t =>
                t.FileName == name
                && t.UploadName == uploadName
                && t.Source == caller.Username
                && t.Uploader == uploader
                && t.SourceTransferId == null
                && t.TransferChecksum == incoming.Checksum
                && t.TransferSize == incoming.Size
                && t.TreeDigest == names
                && t.TransferManagerName == DataBatchManager
                && (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing)
                && t.Store!.Enabled
            )
            .OrderByDescending(t => t.Id)
            .FirstOrDefaultAsync(cancellationToken);
        if (
            row is null
            || _stores.Configured.FirstOrDefault(s => s.Id == row.StoreId) is not { } store
            || probes.GetValueOrDefault(store.Id) is not { IsMounted: true } probe
        )
            return null;
        return new StageResult.Accepted(store, probe.FreeBytes, [SlotOf(row, incoming, store)]) { Resumes = true };
    }

    /// <summary>
    /// Accepts uploads in one transaction and a fixed number of queries. Uploads of the same name are handled one after the other; so are
    /// all when there is not enough space for all, and each is then judged by itself. Only the catalog is queried here; work on file
    /// systems is started but not awaited.
    /// </summary>
    private async Task<IReadOnlyList<Task<StageResult>>> StageUploadsAsync(IReadOnlyList<UploadRequest> group)
    {
        var names = group.Select(r => r.Incoming.Destination.Value).ToHashSet(StringComparer.Ordinal);
        if (names.Count < group.Count)
            return await GroupCommit.OneByOneAsync(group, StageUploadsAsync);
        HashSet<string> catalogued;
        ILookup<string, (long? StoreId, string? Staging)> abandoned = Array.Empty<(long?, string?)>().ToLookup(_ => "");
        (SiteStore Store, long FreeBytes)? chosen = null;
        string? overdrawn = null;
        Dictionary<string, IncomingTransfer> rows = [];
        await using (var db = _database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            catalogued = await CataloguedAsync(db, names, CancellationToken.None);
            var open = group.Where(r => !catalogued.Contains(r.Incoming.Destination.Value)).ToList();
            if (open.Count > 0)
            {
                abandoned = await AbandonEarlierAsync(db, names, open);
                chosen = await ChooseAsync(db, open);
                // The stores' rows are locked by now, so two requests of an account cannot reserve the same space.
                if (chosen is not null)
                    overdrawn = await AccountReservations.RefusalAsync(
                        db,
                        [.. open.Where(r => !r.IsAdmin).Select(r => (r.Source, r.Incoming.Size))],
                        _options.Value.ReservedBytesPerAccount,
                        CancellationToken.None
                    );
                if (overdrawn is not null)
                {
                    // Nothing is committed: an earlier attempt that this one would have replaced stays.
                    abandoned = Array.Empty<(long?, string?)>().ToLookup(_ => "");
                }
                else if (chosen is { } home)
                    rows = await InsertEachAsync(db, open, home.Store.Id);
                else if (group.Count == 1)
                    await RecordRefusalAsync(db, open[0]);
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
                r.Incoming.Destination.Value is var name && catalogued.Contains(name)
                    ? Task.FromResult<StageResult>(Refuse(StageRefusal.FileExists, $"'{name}' is catalogued here.", []))
                : overdrawn is not null ? Task.FromResult<StageResult>(Refuse(StageRefusal.ReservedTooMuch, overdrawn, []))
                : chosen is { } slot
                    ? FinishAsync(
                        new StageResult.Accepted(slot.Store, slot.FreeBytes, [SlotOf(rows[name], r.Incoming, slot.Store)]),
                        abandoned[name]
                    )
                : RefuseFullAsync(r.Incoming.Size, abandoned[name])
            ),
        ];
    }

    private Task<(SiteStore Store, long FreeBytes)?> ChooseAsync(CatalogContext db, List<UploadRequest> open) =>
        // The last request has the latest probes.
        _stores.ChooseAsync(
            db,
            open.Aggregate(0L, (sum, r) => sum > long.MaxValue - r.Incoming.Size ? long.MaxValue : sum + r.Incoming.Size),
            open[^1].Probes,
            CancellationToken.None
        );

    /// <summary>Abandons earlier uploads of the same files by the same clients; returns their staging directories by file name.</summary>
    private async Task<ILookup<string, (long? StoreId, string? Staging)>> AbandonEarlierAsync(
        CatalogContext db,
        HashSet<string> names,
        List<UploadRequest> open
    )
    {
        // A client that starts over replaces its own earlier attempt at the same file, nobody else's (upstream weakness W04).
        var earlier = await db
            .IncomingTransfers.Where(t => names.Contains(t.FileName!) && t.SourceTransferId == null && Unfinished.Contains(t.Status))
            .Select(t => new
            {
                t.Id,
                t.FileName,
                t.Source,
                t.StagingPath,
            })
            .ToListAsync();
        var replaced = earlier
            .Join(open, t => (t.FileName!, t.Source), r => (r.Incoming.Destination.Value, r.Source), (t, _) => t)
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
            return gone.Join(replaced, g => g.Staging, t => t.StagingPath, (g, t) => (t.FileName, Abandoned: g))
                .ToLookup(g => g.FileName!, g => g.Abandoned);
        }

        return Array.Empty<(long?, string?)>().ToLookup(_ => "");
    }

    private async Task<Dictionary<string, IncomingTransfer>> InsertEachAsync(CatalogContext db, List<UploadRequest> open, long storeId)
    {
        Dictionary<string, IncomingTransfer> rows = [];
        foreach (var same in open.GroupBy(r => (r.Uploader, r.Source)))
        {
            foreach (
                var row in await InsertAsync(
                    db,
                    [.. same.Select(r => NewTransfer(r.Incoming, r.Uploader, r.Source, storeId))],
                    CancellationToken.None
                )
            )
                rows[row.FileName!] = row;
        }

        return rows;
    }

    /// <summary>Records an upload for which there is no space.</summary>
    private async Task RecordRefusalAsync(CatalogContext db, UploadRequest request)
    {
        var row = NewTransfer(request.Incoming, request.Uploader, request.Source, storeId: null);
        (row.Status, row.EndTime, row.FailureReason) = (TransferStatus.Failed, row.StartTime, "No store that is mounted has space.");
        db.IncomingTransfers.Add(row);
        await db.SaveChangesAsync();
    }

    /// <summary>Creates the directories of accepted uploads, and removes those of the attempts that they replace.</summary>
    private async Task<StageResult> FinishAsync(StageResult result, IEnumerable<(long? StoreId, string? Staging)> abandoned)
    {
        // Started before anybody else can see the committed rows: whoever abandons them waits for it (RemoveStagingAsync).
        var making = MakeDirectoriesAsync(result, CancellationToken.None);
        await RemoveStagingAsync(abandoned, CancellationToken.None);
        return await making;
    }

    private async Task<StageResult> RefuseFullAsync(long bytes, IEnumerable<(long? StoreId, string? Staging)> abandoned)
    {
        await RemoveStagingAsync(abandoned, CancellationToken.None);
        return await NoStoreAsync(bytes, CancellationToken.None);
    }

    private sealed record UploadRequest(
        IncomingFile Incoming,
        string Uploader,
        string Source,
        bool IsAdmin,
        IReadOnlyDictionary<long, StoreProbe> Probes
    );
}
