using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>How one round of ingest ended.</summary>
public enum IngestRound
{
    /// <summary>Entries were decided; more may follow.</summary>
    More,

    /// <summary>Every entry of the manifest has been decided.</summary>
    Done,

    /// <summary>Nothing can be done now: the drive is away, no store has room, a disk refuses. It goes on by itself.</summary>
    Wait,
}

/// <summary>Result of one round.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Message">For people.</param>
public sealed record IngestRoundResult(IngestRound Outcome, string Message);

/// <summary>
/// Takes the files of another site's drive into this site's stores, in the order of its manifest, as far as each can be verified: what is
/// read from the drive against the manifest, what was written by reading it back. One bad file never holds up the others.
/// </summary>
/// <remarks>
/// A round decides the next entries: it reserves their names (rows of incoming transfers that are PLACING), adds the files to a store, and
/// records files, instances, decisions and the place in the manifest in one transaction. A crash leaves reservations and perhaps data under
/// their names; the next round has the same entries before it, finds its reservations, and recognises what it had placed by reading
/// it. Reading goes by the copy of the manifest in the archive, whose bytes were checked, never by the one on the drive.
/// </remarks>
public sealed class DriveIngest(CatalogDatabase database, SiteStores stores, ErrorLog errors, IOptions<SiteOptions> options, TimeProvider time, ILogger<DriveIngest> log)
{
    private const int RoundFiles = 2048;
    private const long RoundBytes = 4L << 30;
    private const int MaxDiagnosed = 100_000;

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    /// <summary>Where the manifest of an arrival is kept.</summary>
    public string ManifestPath(Guid driveId, int trip) => Path.Combine(Archive(), $"arrival-{driveId:N}-trip-{trip}.manifest");

    /// <summary>
    /// Decides the next entries of an arrival. Done means that every entry is decided; the caller says so with <see cref="FinishAsync"/> when it has
    /// written the receipt.
    /// </summary>
    /// <param name="arrivalId">The arrival.</param>
    /// <param name="onBytes">Is told bytes as they are copied.</param>
    /// <param name="cancellationToken">Stops between files.</param>
    public async Task<IngestRoundResult> RoundAsync(long arrivalId, Action<long>? onBytes, CancellationToken cancellationToken)
    {
        DriveArrival arrival;
        await using (var db = database.Open())
        {
            arrival = await db.DriveArrivals.AsNoTracking().SingleAsync(a => a.Id == arrivalId, cancellationToken);
            if (arrival.State == DriveArrivalState.Ingested) return new IngestRoundResult(IngestRound.Done, "Every file has been decided.");
            await PlannerStatistics.RefreshStaleAsync(db, cancellationToken, "drive_arrival_files", "files", "incoming_transfers", "instances");
        }

        // A stalled process and its successor must not write one staging directory.
        using var claim = TryClaim(arrival);
        if (claim is null) return new IngestRoundResult(IngestRound.Wait, $"Another process is ingesting drive '{arrival.Name}'.");
        using var held = HeldDrive.TryTake(arrival.IsUpstream ? arrival.DataPath : arrival.MountPath, arrival.IsUpstream ? null : arrival.DriveId,
            new LocalStoreOptions { Name = arrival.Name, StagingPath = arrival.DataPath, StorePath = arrival.DataPath, Ingestable = false });
        if (held is null)
        {
            await ReleaseAsync(arrival, cancellationToken);
            return Away(arrival);
        }

        await using var cursor = await OpenAsync(arrival, cancellationToken);
        IngestRoundResult? noRoom = null;
        while (true)
        {
            var (entries, next) = await ReadAsync(cursor, arrival, cancellationToken);
            if (entries.Count == 0) return noRoom ?? new IngestRoundResult(IngestRound.Done, "Every file has been decided.");
            var (result, fits) = await DecideAsync(arrival, held, entries, noRoom is null ? next : null, onBytes, cancellationToken);
            if (fits) return result;
            // Nothing of these fits anywhere; smaller ones behind them may.
            noRoom ??= result;
        }
    }

    /// <summary>Ends an ingest whose entries are all decided.</summary>
    /// <param name="arrivalId">The arrival.</param>
    /// <param name="problem">Why the receipt is not on the drive; null when it is.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task FinishAsync(long arrivalId, string? problem, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var now = Now;
        await db.DriveArrivals.Where(a => a.Id == arrivalId && a.State == DriveArrivalState.Ingesting)
            .ExecuteUpdateAsync(s => s.SetProperty(a => a.State, DriveArrivalState.Ingested).SetProperty(a => a.StateSince, now).SetProperty(a => a.Problem, problem), cancellationToken);
    }

    private static string ManagerOf(DriveArrival arrival) => $"drive:{arrival.Id}";

    private FileStream? TryClaim(DriveArrival arrival)
    {
        try
        {
            return new FileStream(Path.Combine(Archive(), $"arrival-{arrival.Id}.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>
    /// The drive is away, perhaps for ever: names that an interrupted round had reserved must not stay closed to everybody else. What that round had placed
    /// is verified and recorded, the rest is released.
    /// </summary>
    private async Task ReleaseAsync(DriveArrival arrival, CancellationToken cancellationToken)
    {
        var manager = ManagerOf(arrival);
        List<IncomingTransfer> left;
        await using (var db = database.Open()) left = await db.IncomingTransfers.AsNoTracking().Where(t => t.Placing && t.TransferManagerName == manager).ToListAsync(cancellationToken);
        if (left.Count == 0) return;
        var reservations = left.ToDictionary(t => t.StorePath!, StringComparer.Ordinal);
        var decisions = new List<Decision>();
        await using (var cursor = await OpenAsync(arrival, cancellationToken))
        {
            for (var missing = left.Count; missing > 0;)
            {
                var (entries, _) = await ReadAsync(cursor, arrival, cancellationToken);
                if (entries.Count == 0) break;
                foreach (var entry in entries.Where(e => e.Path is not null && reservations.ContainsKey(e.File.Name)))
                {
                    missing--;
                    var transfer = reservations[entry.File.Name];
                    if (stores.Find(transfer.StoreId) is not { } store)
                    {
                        // Nothing can be said of it now; it keeps its reservation.
                        reservations.Remove(entry.File.Name);
                        continue;
                    }

                    if (await IsPlacedAsync(store, entry, cancellationToken)) decisions.Add(new Decision(entry, DriveFileOutcome.Stored, transfer.StoreId, null));
                    else await store.RemoveStagingAsync(Guid.Parse(transfer.StagingPath!), cancellationToken);
                }
            }
        }

        if (reservations.Count > 0) await RecordAsync(arrival, decisions, reservations, null, arrival.Problem, cancellationToken);
    }

    private static async Task<bool> IsPlacedAsync(LocalStore store, Entry entry, CancellationToken cancellationToken)
    {
        var expected = new ContentDescription(Checksum.Parse(entry.File.Checksum), entry.File.Size);
        var members = new MemberFingerprint();
        var found = await store.DigestAsync(entry.Path!, [expected.Checksum.Algorithm, ChecksumAlgorithm.Sha256], new DigestOptions
        {
            FlushToDisk = true,
            OnMember = m =>
            {
                if (m.Path.Length > 0) members.Add(m.Path, m.SizeBytes, m.Checksums[ChecksumAlgorithm.Sha256].Digest);
            },
        }, cancellationToken: cancellationToken);
        return found.Matches(expected) && (entry.Members is null || entry.Members == members.ToString())
            && (entry.File.Sha256 is null || (!found.IsDirectory && found.Checksums[ChecksumAlgorithm.Sha256].Digest == entry.File.Sha256));
    }

    private static IngestRoundResult Away(DriveArrival arrival) => new(IngestRound.Wait,
        $"{arrival.MountPath} is not drive '{arrival.Name}' now. Nothing was lost; plug it in and mount it there, the ingest goes on by itself.");

    private async Task<IManifestCursor> OpenAsync(DriveArrival arrival, CancellationToken cancellationToken)
    {
        var path = ManifestPath(arrival.DriveId, arrival.Trip);
        IManifestCursor cursor = arrival.IsUpstream ? await UpstreamCursor.OpenAsync(path, cancellationToken) : await ManifestCursor.OpenAsync(path, cancellationToken);
        if (arrival.Position > 0) cursor.Seek(arrival.Position);
        return cursor;
    }

    private static async Task<(List<Entry> Entries, long Next)> ReadAsync(IManifestCursor cursor, DriveArrival arrival, CancellationToken cancellationToken)
    {
        var (entries, bytes, next) = (new List<Entry>(), 0L, cursor.Position);
        while (entries.Count < RoundFiles && bytes < RoundBytes)
        {
            var start = cursor.Position;
            if (await cursor.ReadFileAsync(cancellationToken) is not { } file) break;
            string? members = null;
            if (file.Members is not null && cursor is ManifestCursor own)
            {
                var print = new MemberFingerprint();
                while (await own.ReadMemberAsync(cancellationToken) is { } member) print.Add(member.Path, member.Size, member.Sha256);
                members = print.ToString();
            }

            var path = StorePath.TryParse(file.Name, out var parsed, out var refusal) && parsed.Value == file.Name ? parsed : null;
            entries.Add(new Entry(file, path, refusal, members, start));
            bytes += file.Size;
            next = cursor.Position;
        }

        return (entries, next);
    }

    /// <param name="arrival">The arrival.</param>
    /// <param name="held">The drive.</param>
    /// <param name="entries">A window of the manifest.</param>
    /// <param name="next">Where the next window begins; null when an earlier one is not decided.</param>
    /// <param name="onBytes">Is told bytes as they are copied.</param>
    /// <param name="cancellationToken">Stops between files.</param>
    /// <returns>The result; false when nothing of the window fits on any store.</returns>
    private async Task<(IngestRoundResult Result, bool Fits)> DecideAsync(DriveArrival arrival, HeldDrive held, List<Entry> entries, long? next, Action<long>? onBytes, CancellationToken cancellationToken)
    {
        var decisions = new List<Decision>();
        List<Entry> open;
        var whole = true;
        SiteStore? store = null;
        IngestRoundResult? wait = null;
        var fits = true;
        var reservations = new Dictionary<string, IncomingTransfer>(StringComparer.Ordinal);
        await using (var db = database.Open())
        {
            open = await SortAsync(db, arrival, entries, decisions, cancellationToken);
            await TakeUpDecidedAsync(db, arrival, decisions, reservations, cancellationToken);
            if (open.Count > 0)
            {
                var wanted = open.Count;
                var looks = await stores.LookAsync(cancellationToken);
                await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
                {
                    try
                    {
                        (wait, fits) = await ReserveAsync(db, arrival, looks, open, reservations, cancellationToken);
                        whole = wait is null && open.Count == wanted;
                        if (wait is not null) open.Clear();
                    }
                    catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
                    {
                        return (new IngestRoundResult(IngestRound.Wait, "Another transfer is storing one of these files at this moment. Both are safe; the ingest goes on by itself."), true);
                    }

                    await transaction.CommitAsync(cancellationToken);
                }

                // Not inside the transaction: the error log writes through a connection of its own, and SQLite has one writer.
                if (!fits) await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.StoreFull, $"drive {arrival.Name}", $"Drive '{arrival.Name}': {wait!.Message} Nothing was lost.", cancellationToken);
                if (open.Count > 0 && await NestedNames.BlockedAsync(db, open.ConvertAll(e => e.File.Name), cancellationToken) is { Count: > 0 } nested)
                {
                    open.RemoveAll(e => nested.ContainsKey(e.File.Name));
                    (whole, wait) = (false, new IngestRoundResult(IngestRound.Wait, $"Another transfer is storing something that contains '{nested.Keys.First()}', or lies below it, at this moment. Both are safe; the ingest goes on by itself."));
                }

                if (open.Count > 0) store = stores.Configured.Single(s => s.Id == reservations[open[0].File.Name].StoreId);
            }
        }

        // Behind a window that waits for room, one that is decided already: go on to the next.
        if (open.Count == 0 && decisions.Count == 0 && wait is null && next is null) return (new IngestRoundResult(IngestRound.Wait, ""), false);
        var undecided = open.Count == 0 ? null : await CopyAsync(arrival, held, open, reservations, store!, decisions, onBytes, cancellationToken);
        var problem = undecided ?? wait?.Message;
        if (decisions.Count > 0 || reservations.Count > 0 || problem is null) await RecordAsync(arrival, decisions, reservations, undecided is null && whole ? next : null, problem, cancellationToken);
        if (undecided is not null && !held.Answers()) return (Away(arrival), true);
        if (problem is null || decisions.Count > 0) return (new IngestRoundResult(IngestRound.More, $"{decisions.Count} files decided."), true);
        return (wait ?? new IngestRoundResult(IngestRound.Wait, problem), fits);
    }

    /// <summary>Reservations of an interrupted round for names that are decided now without a copy: they end with the decision.</summary>
    private async Task TakeUpDecidedAsync(CatalogContext db, DriveArrival arrival, List<Decision> decisions, Dictionary<string, IncomingTransfer> reservations, CancellationToken cancellationToken)
    {
        if (decisions.Count == 0) return;
        var (manager, names) = (ManagerOf(arrival), decisions.ConvertAll(d => d.Entry.File.Name));
        foreach (var transfer in await db.IncomingTransfers.AsNoTracking().Where(t => t.Placing && t.TransferManagerName == manager && names.Contains(t.StorePath!)).ToListAsync(cancellationToken))
        {
            reservations[transfer.StorePath!] = transfer;
            if (stores.Find(transfer.StoreId) is { } store) await store.RemoveStagingAsync(Guid.Parse(transfer.StagingPath!), cancellationToken);
        }
    }

    /// <summary>Decides what can be decided without reading: files that are here, and names that cannot be stored.</summary>
    private static async Task<List<Entry>> SortAsync(CatalogContext db, DriveArrival arrival, List<Entry> entries, List<Decision> decisions, CancellationToken cancellationToken)
    {
        var names = entries.ConvertAll(e => e.File.Name);
        var decided = (await db.DriveArrivalFiles.AsNoTracking().Where(f => f.ArrivalId == arrival.Id && names.Contains(f.FileName)).Select(f => f.FileName).ToListAsync(cancellationToken)).ToHashSet(StringComparer.Ordinal);
        var here = await db.Files.AsNoTracking().Where(f => names.Contains(f.Name))
            .Select(f => new { f.Name, f.Checksum, f.Size, Store = f.Instances.Where(i => i.Available).OrderBy(i => i.Id).Select(i => (long?)i.StoreId).FirstOrDefault() }).ToDictionaryAsync(f => f.Name, cancellationToken);
        List<string> above = [.. names.SelectMany(NestedNames.Ancestors).Distinct(StringComparer.Ordinal)];
        var containers = (await db.Files.Where(f => above.Contains(f.Name)).Select(f => f.Name).ToListAsync(cancellationToken)).ToHashSet(StringComparer.Ordinal);
        var containing = await NestedNames.ContainingAsync(db, names, cancellationToken);
        var open = new List<Entry>();
        foreach (var entry in entries)
        {
            var file = entry.File;
            if (decided.Contains(file.Name)) continue;
            if (entry.Path is null)
                decisions.Add(Decision.Fail(entry, $"The name cannot be stored: {(entry.Refusal == StorePathRefusal.None ? "it is not normalised." : StorePath.Describe(entry.Refusal))}"));
            else if (here.TryGetValue(file.Name, out var known))
            {
                var same = known.Size == file.Size && Checksum.Parse(known.Checksum).CompareTo(Checksum.Parse(file.Checksum)) == ChecksumComparison.Equal;
                decisions.Add(same && known.Store is { } store ? new Decision(entry, DriveFileOutcome.AlreadyHere, store, null)
                    : Decision.Fail(entry, same ? "The file is catalogued here, but no copy of it is available. Repair that first ('librarian search-files')."
                        : $"Another file has this name here: {known.Size} bytes, {known.Checksum}; on the drive {file.Size} bytes, {file.Checksum}. Neither was touched. Find out which is right."));
            }
            else if (NestedNames.Ancestors(file.Name).FirstOrDefault(containers.Contains) is { } container)
                decisions.Add(Decision.Fail(entry, $"'{container}' is a file of its own here (a directory counts as one); nothing can be stored inside it."));
            else if (containing.Contains(file.Name))
                decisions.Add(Decision.Fail(entry, $"Files are stored below '{file.Name}/' here; a file of that name would contain them."));
            else open.Add(entry);
        }

        return open;
    }

    /// <summary>
    /// Takes up the reservations that an interrupted round left, and makes those that are missing, all on one store. When there is not room for all, the
    /// smallest go in, as many as fit; false when not even one does.
    /// </summary>
    private async Task<(IngestRoundResult? Wait, bool Fits)> ReserveAsync(CatalogContext db, DriveArrival arrival, IReadOnlyDictionary<long, StoreLook> looks, List<Entry> open, Dictionary<string, IncomingTransfer> reservations, CancellationToken cancellationToken)
    {
        var names = open.ConvertAll(e => e.File.Name);
        var left = await db.IncomingTransfers.Where(t => t.Placing && names.Contains(t.StorePath!)).ToListAsync(cancellationToken);
        var foreign = left.Where(t => t.TransferManagerName != ManagerOf(arrival)).Select(t => t.StorePath!).ToHashSet(StringComparer.Ordinal);
        if (foreign.Count > 0)
        {
            left.RemoveAll(t => foreign.Contains(t.StorePath!));
            open.RemoveAll(e => foreign.Contains(e.File.Name));
            if (open.Count == 0) return (new IngestRoundResult(IngestRound.Wait, $"Another transfer is storing '{foreign.First()}' at this moment. Both are safe; the ingest goes on by itself."), true);
        }

        SiteStore store;
        if (left.Count > 0)
        {
            var id = left[0].StoreId;
            open.RemoveAll(e => left.Exists(t => t.StorePath == e.File.Name && t.StoreId != id));
            left.RemoveAll(t => t.StoreId != id);
            if (id is null || !looks.GetValueOrDefault(id.Value).IsMounted) return (new IngestRoundResult(IngestRound.Wait, "The store that was being written is not mounted."), true);
            store = stores.Configured.Single(s => s.Id == id);
        }
        else
        {
            var wanted = open.Sum(e => e.File.Size);
            var chosen = await stores.ChooseAsync(db, wanted, looks, cancellationToken);
            if (chosen is null)
            {
                open.Sort((a, b) => a.File.Size.CompareTo(b.File.Size));
                var (fitting, tooMany) = (0, open.Count);
                while (fitting + 1 < tooMany)
                {
                    var middle = (fitting + tooMany) / 2;
                    if (await stores.ChooseAsync(db, open.Take(middle).Sum(e => e.File.Size), looks, cancellationToken) is { } some) (fitting, chosen) = (middle, some);
                    else tooMany = middle;
                }

                if (fitting == 0 && open.Count > 0) chosen = await stores.ChooseAsync(db, open[0].File.Size, looks, cancellationToken);
                open.RemoveRange(Math.Max(1, fitting), open.Count - Math.Max(1, fitting));
            }

            if (chosen is null)
            {
                return (new IngestRoundResult(IngestRound.Wait, $"No enabled, ingestable store has room for '{open[0].File.Name}' ({open[0].File.Size} bytes). Make space; the ingest goes on by itself."), false);
            }

            store = chosen.Value.Store;
        }

        foreach (var transfer in left) reservations[transfer.StorePath!] = transfer;
        var (now, manager) = (Now, ManagerOf(arrival));
        var fresh = open.Where(e => !reservations.ContainsKey(e.File.Name)).ToList();
        if (fresh.Count == 0) return (null, true);
        await db.InsertRowsAsync(fresh.Select(entry => new IncomingTransfer
        {
            Status = TransferStatus.Ongoing,
            Placing = true,
            Uploader = entry.File.Uploader,
            UploadName = entry.File.Name,
            Source = arrival.Source,
            TransferSize = entry.File.Size,
            TransferChecksum = entry.File.Checksum,
            StoreId = store.Id,
            TransferManagerName = manager,
            StartTime = now,
            StagingPath = Guid.NewGuid().ToString("D"),
            StorePath = entry.File.Name,
            SourceTransferId = entry.File.OutgoingTransferId,
        }), cancellationToken);
        var reserved = fresh.ConvertAll(e => e.File.Name);
        foreach (var transfer in await db.IncomingTransfers.AsNoTracking().Where(t => t.Placing && t.TransferManagerName == manager && reserved.Contains(t.StorePath!)).ToListAsync(cancellationToken))
            reservations[transfer.StorePath!] = transfer;

        return (null, true);
    }

    /// <summary>Copies; returns why some entries could not be decided, or null.</summary>
    private async Task<string?> CopyAsync(DriveArrival arrival, HeldDrive held, List<Entry> open, Dictionary<string, IncomingTransfer> reservations, SiteStore store, List<Decision> decisions, Action<long>? onBytes, CancellationToken cancellationToken)
    {
        var byName = open.ToDictionary(e => e.File.Name, StringComparer.Ordinal);
        var results = await store.Store.AddAsync(held.Store, [.. open.Select(e => Of(e, Guid.Parse(reservations[e.File.Name].StagingPath!)))],
            new AdditionOptions { Parallelism = options.Value.Drives.Parallelism, OnBytes = onBytes, MayWrite = () => store.IsMounted }, cancellationToken);
        string? undecided = null;
        // Asked after the copies: if the medium does not answer now, what it refused says nothing about single files.
        var answers = held.Answers();
        if (answers && arrival.IsUpstream && results.All(r => r.Status == AdditionStatus.SourceMissing) && !await HoldsEarlierAsync(arrival, held, cancellationToken))
            return $"None of the next {open.Count} files of the manifest is in {arrival.DataPath}. Is the right drive mounted there, and was --store-root right? If it is, and the files are gone, there is nothing left to take.";
        foreach (var result in results)
        {
            var entry = byName[result.Addition.Name.Value];
            switch (result.Status)
            {
                case AdditionStatus.Added:
                    decisions.Add(new Decision(entry, DriveFileOutcome.Stored, store.Id, null));
                    break;
                case AdditionStatus.SourceDiffers or AdditionStatus.SourceMissing or AdditionStatus.SourceError or AdditionStatus.Refused when answers:
                    decisions.Add(Decision.Fail(entry, await DiagnoseAsync(arrival, held.Store, entry, result, cancellationToken)));
                    break;
                case AdditionStatus.NameTaken:
                    decisions.Add(Decision.Fail(entry, $"{result.Message} They are not in the catalog; look at them, then move them away or catalogue them with admin/add_file."));
                    break;
                default:
                    undecided ??= result.Message;
                    break;
            }
        }

        return undecided;

        static Addition Of(Entry entry, Guid id) =>
            new(entry.Path!, entry.Path!, new ContentDescription(Checksum.Parse(entry.File.Checksum), entry.File.Size), id) { ExpectedSha256 = entry.File.Sha256, ExpectedMembers = entry.Members };
    }

    /// <summary>Whether something that was taken from this drive before is still on it.</summary>
    private async Task<bool> HoldsEarlierAsync(DriveArrival arrival, HeldDrive held, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        foreach (var name in await db.DriveArrivalFiles.AsNoTracking().Where(f => f.ArrivalId == arrival.Id && f.Outcome == DriveFileOutcome.Stored).OrderByDescending(f => f.Id).Take(100).Select(f => f.FileName).ToListAsync(cancellationToken))
        {
            if (StorePath.TryParse(name, out var path, out _) && await held.Store.ExistsAsync(path, cancellationToken)) return true;
        }

        return false;
    }

    /// <summary>Which members of a bad directory are bad.</summary>
    private async Task<string> DiagnoseAsync(DriveArrival arrival, LocalStore drive, Entry entry, AdditionResult result, CancellationToken cancellationToken)
    {
        if (result.Status != AdditionStatus.SourceDiffers || entry.File.Members is not (> 0 and <= MaxDiagnosed) || arrival.IsUpstream) return result.Message;
        var expected = new Dictionary<string, ManifestMember>(StringComparer.Ordinal);
        await using (var cursor = await ManifestCursor.OpenAsync(ManifestPath(arrival.DriveId, arrival.Trip), cancellationToken))
        {
            cursor.Seek(entry.Offset);
            await cursor.ReadFileAsync(cancellationToken);
            while (await cursor.ReadMemberAsync(cancellationToken) is { } member) expected[member.Path] = member;
        }

        var bad = new List<string>();
        await drive.DigestAsync(entry.Path!, [ChecksumAlgorithm.Sha256], new DigestOptions
        {
            OnMember = m =>
            {
                if (!expected.Remove(m.Path, out var member)) bad.Add($"'{m.Path}' is not in the manifest");
                else if (member.Size != m.SizeBytes) bad.Add($"'{m.Path}' has {m.SizeBytes} bytes instead of {member.Size}");
                else if (member.Sha256 != m.Checksums[ChecksumAlgorithm.Sha256].Digest) bad.Add($"'{m.Path}' has other bytes than the manifest says");
            },
        }, cancellationToken: cancellationToken);
        bad.AddRange(expected.Keys.Select(p => $"'{p}' is missing"));
        return bad.Count == 0 ? result.Message : $"{bad.Count} of {entry.File.Members} files in it are bad: {string.Join("; ", bad.Order(StringComparer.Ordinal).Take(10))}.";
    }

    private async Task RecordAsync(DriveArrival arrival, List<Decision> decisions, Dictionary<string, IncomingTransfer> reservations, long? next, string? problem, CancellationToken cancellationToken)
    {
        var now = Now;
        await using (var db = database.Open())
        {
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            await db.InsertRowsAsync(decisions.Select(d => new DriveArrivalFile
            {
                ArrivalId = arrival.Id,
                FileName = Short(d.Entry.File.Name),
                Checksum = Short(d.Entry.File.Checksum),
                OutgoingTransferId = d.Entry.File.OutgoingTransferId,
                Outcome = d.Outcome,
                StoreId = d.StoreId,
                Message = d.Message,
                Told = d.Entry.File.OutgoingTransferId < 0,
            }), cancellationToken);
            var taken = decisions.Where(d => d.Outcome == DriveFileOutcome.Stored).ToList();
            await db.InsertRowsAsync(taken.Select(d => new FileRecord { Name = d.Entry.File.Name, CreateTime = now, Size = d.Entry.File.Size, Checksum = d.Entry.File.Checksum, Uploader = d.Entry.File.Uploader, Source = arrival.Source }), cancellationToken);
            await db.InsertRowsAsync(taken.Select(d => new Instance
            {
                Path = stores.Find(d.StoreId)!.Locate(d.Entry.Path!),
                FileName = d.Entry.File.Name,
                StoreId = d.StoreId!.Value,
                DeletionPolicy = DeletionPolicy.Disallowed,
                CreatedTime = now,
                Available = true,
            }), cancellationToken);
            var stored = taken.Select(d => d.Entry.File.Name).ToHashSet(StringComparer.Ordinal);
            List<long> completed = [.. reservations.Where(r => stored.Contains(r.Key)).Select(r => r.Value.Id)];
            List<long> others = [.. reservations.Where(r => !stored.Contains(r.Key)).Select(r => r.Value.Id)];
            await db.IncomingTransfers.Where(t => completed.Contains(t.Id)).ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Completed).SetProperty(t => t.Placing, false).SetProperty(t => t.EndTime, now), cancellationToken);
            await db.IncomingTransfers.Where(t => others.Contains(t.Id)).ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Failed).SetProperty(t => t.Placing, false).SetProperty(t => t.EndTime, now)
                .SetProperty(t => t.FailureReason, "It was not taken from the drive; see 'librarian drive status'."), cancellationToken);
            var (count, bytes) = (decisions.Count, decisions.Where(d => d.Outcome != DriveFileOutcome.Failed).Sum(d => d.Entry.File.Size));
            await db.DriveArrivals.Where(a => a.Id == arrival.Id).ExecuteUpdateAsync(s => s.SetProperty(a => a.FilesDone, a => a.FilesDone + count).SetProperty(a => a.BytesDone, a => a.BytesDone + bytes)
                .SetProperty(a => a.Position, a => next ?? a.Position).SetProperty(a => a.Problem, problem), cancellationToken);
            await transaction.CommitAsync(cancellationToken);
        }

        foreach (var (entry, _, _, message) in decisions.Where(d => d.Outcome == DriveFileOutcome.Failed))
        {
            Logs.NotIngested(log, entry.File.Name, arrival.Name, message!);
            await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.DataIntegrity, $"drive ingest {entry.File.Name}",
                $"'{entry.File.Name}' was not taken from drive '{arrival.Name}' of '{arrival.Source}': {message} The source still has it and is told, so that it sends the file again.", cancellationToken);
        }
    }

    private static string Short(string text) => text.Length > CatalogContext.MaxText ? text[..CatalogContext.MaxText] : text;

    private string Archive() => Directory.CreateDirectory(string.IsNullOrEmpty(options.Value.Drives.ArchiveDirectory) ? Path.Combine(options.Value.DataDirectory, "drives") : options.Value.Drives.ArchiveDirectory).FullName;

    /// <summary>An entry of the manifest, its name as a path (null: it cannot be one), what its members must be, and where it begins.</summary>
    private sealed record Entry(ManifestFile File, StorePath? Path, StorePathRefusal Refusal, string? Members, long Offset);

    private sealed record Decision(Entry Entry, DriveFileOutcome Outcome, long? StoreId, string? Message)
    {
        public static Decision Fail(Entry entry, string message) => new(entry, DriveFileOutcome.Failed, null, message);
    }
}
