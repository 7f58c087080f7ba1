using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
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

    /// <summary>
    /// Nothing can be done now: the drive is not plugged, no store has space, a disk fails. The ingest continues by itself.
    /// </summary>
    Wait,
}

/// <summary>Result of one round.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Message">For people.</param>
public sealed record IngestRoundResult(IngestRound Outcome, string Message);

/// <summary>
/// Ingests the files of an incoming drive, in the order of its manifest, if each can be verified: data read from the drive against the
/// manifest, written data by reading them back. One bad file never blocks the others.
/// </summary>
/// <remarks>
/// A round decides the next entries: it reserves their names (rows of incoming transfers with <c>placing</c> set), adds the files to a
/// store, and records files, copies, decisions and the position in the manifest in one transaction. A crash leaves reservations and perhaps
/// data under their names; the next round starts at the same entries, finds its reservations, and recognises data that it had committed by
/// reading them. The manifest is read from the archive, where its bytes were checked, never from the drive.
/// </remarks>
public sealed partial class DriveIngest(
    CatalogDatabase database,
    SiteStores stores,
    CopyProbe probe,
    ErrorLog errors,
    IOptions<SiteOptions> options,
    TimeProvider time,
    ILogger<DriveIngest> log
)
{
    private const int RoundFiles = 2048;
    private const long RoundBytes = 4L << 30;
    private const int MaxDiagnosed = 100_000;
    private const int MaxListed = 10;

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    /// <summary>Path of an incoming drive's manifest in the archive.</summary>
    public string ManifestPath(Guid driveId, int trip) => Path.Combine(Archive(), $"arrival-{driveId:N}-trip-{trip}.manifest");

    /// <summary>
    /// Decides the next entries of an incoming drive. <see cref="IngestRound.Done"/> means that every entry is decided; the caller records
    /// that with <see cref="FinishAsync"/> after it has written the receipt.
    /// </summary>
    /// <param name="incomingDriveId">The incoming drive.</param>
    /// <param name="onBytes">Called with the number of bytes as they are copied.</param>
    /// <param name="cancellationToken">Stops between files.</param>
    public async Task<IngestRoundResult> RoundAsync(long incomingDriveId, Action<long>? onBytes, CancellationToken cancellationToken)
    {
        IncomingDrive incoming;
        await using (var db = database.Open())
        {
            incoming = await db.IncomingDrives.AsNoTracking().SingleAsync(a => a.Id == incomingDriveId, cancellationToken);
            if (incoming.State == IncomingDriveState.Ingested)
                return new IngestRoundResult(IngestRound.Done, "Every file has been decided.");
            await PlannerStatistics.RefreshStaleAsync(
                db,
                cancellationToken,
                "drive_arrival_files",
                "files",
                "incoming_transfers",
                "instances"
            );
        }

        // A stalled process and its successor must not write to one staging directory.
        using var claim = TryClaim(incoming);
        if (claim is null)
            return new IngestRoundResult(IngestRound.Wait, $"Another process is ingesting drive '{incoming.Name}'.");
        using var held = OpenDrive.TryTake(
            incoming.IsUpstream ? incoming.DataPath : incoming.MountPath,
            incoming.IsUpstream ? null : incoming.DriveId,
            new LocalStoreOptions
            {
                Name = incoming.Name,
                StagingPath = incoming.DataPath,
                RootPath = incoming.DataPath,
                Ingestable = false,
            }
        );
        if (held is null)
        {
            await ReleaseAsync(incoming, cancellationToken);
            return Away(incoming);
        }

        await using var cursor = await OpenAsync(incoming, cancellationToken);
        IngestRoundResult? noRoom = null;
        while (true)
        {
            var (entries, next) = await ReadAsync(cursor, incoming, cancellationToken);
            if (entries.Count == 0)
                return noRoom ?? new IngestRoundResult(IngestRound.Done, "Every file has been decided.");
            var (result, fits) = await DecideAsync(incoming, held, entries, noRoom is null ? next : null, onBytes, cancellationToken);
            if (fits)
                return result;
            // Nothing in this window fits anywhere; smaller files behind it may.
            noRoom ??= result;
        }
    }

    /// <summary>Ends an ingest whose entries are all decided.</summary>
    /// <param name="incomingDriveId">The incoming drive.</param>
    /// <param name="problem">Why the receipt is not on the drive; null when it is.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task FinishAsync(long incomingDriveId, string? problem, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var now = Now;
        await db
            .IncomingDrives.Where(a => a.Id == incomingDriveId && a.State == IncomingDriveState.Ingesting)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(a => a.State, IncomingDriveState.Ingested)
                        .SetProperty(a => a.StateSince, now)
                        .SetProperty(a => a.Problem, problem),
                cancellationToken
            );
    }

    private static string ManagerOf(IncomingDrive incoming) => $"drive:{incoming.Id}";

    private FileStream? TryClaim(IncomingDrive incoming)
    {
        try
        {
            return Security.PrivateFile.Lock(Path.Combine(Archive(), $"arrival-{incoming.Id}.lock"));
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>
    /// Ends the reservations of an interrupted round when the drive is not plugged, perhaps for ever: others must be able to use the names.
    /// Data that the round had committed are verified and recorded, the other names are released.
    /// </summary>
    private async Task ReleaseAsync(IncomingDrive incoming, CancellationToken cancellationToken)
    {
        var manager = ManagerOf(incoming);
        List<IncomingTransfer> left;
        await using (var db = database.Open())
            left = await db
                .IncomingTransfers.AsNoTracking()
                .Where(t => t.Committing && t.TransferManagerName == manager)
                .ToListAsync(cancellationToken);
        if (left.Count == 0)
            return;
        var reservations = left.ToDictionary(t => t.FileName!, StringComparer.Ordinal);
        var decisions = new List<Decision>();
        await using (var cursor = await OpenAsync(incoming, cancellationToken))
        {
            for (var missing = left.Count; missing > 0; )
            {
                var (entries, _) = await ReadAsync(cursor, incoming, cancellationToken);
                if (entries.Count == 0)
                    break;
                foreach (var entry in entries.Where(e => e.Path is not null && reservations.ContainsKey(e.File.Name)))
                {
                    missing--;
                    var transfer = reservations[entry.File.Name];
                    if (stores.Find(transfer.StoreId) is not { } store)
                    {
                        // Its state is unknown now; it keeps its reservation.
                        reservations.Remove(entry.File.Name);
                        continue;
                    }

                    var committed = await IsCommittedAsync(store, entry, flush: true, cancellationToken);
                    if (committed is null)
                    {
                        // A read failure says nothing about it either.
                        reservations.Remove(entry.File.Name);
                        continue;
                    }

                    if (committed.Value)
                        decisions.Add(new Decision(entry, DriveFileOutcome.Stored, transfer.StoreId, null));
                    else
                        await store.RemoveStagingAsync(Guid.Parse(transfer.StagingPath!), cancellationToken);
                }
            }
        }

        if (reservations.Count > 0)
            await RecordAsync(incoming, decisions, reservations, null, incoming.Problem, cancellationToken);
    }

    /// <summary>
    /// Whether the data under a file's name match the manifest, including names of members; null when they could not be read.
    /// </summary>
    private static async Task<bool?> IsCommittedAsync(LocalStore store, Entry entry, bool flush, CancellationToken cancellationToken)
    {
        var expected = new ContentDescription(Checksum.Parse(entry.File.Checksum), entry.File.Size);
        var members = new MemberFingerprint();
        var found = await store.DigestAsync(
            entry.Path!,
            [expected.Checksum.Algorithm, ChecksumAlgorithm.Sha256],
            new DigestOptions
            {
                FlushToDisk = flush,
                FromMedium = true,
                OnMember = m =>
                {
                    if (m.Path.Length > 0)
                        members.Add(m.Path, m.SizeBytes, m.Checksums[ChecksumAlgorithm.Sha256].Digest);
                },
            },
            cancellationToken: cancellationToken
        );
        if (found.Status is DigestStatus.IoError or DigestStatus.Changed)
            return null;
        return found.Matches(expected)
            && (entry.Members is null || entry.Members == members.ToString())
            && (entry.File.Sha256 is null || (!found.IsDirectory && found.Checksums[ChecksumAlgorithm.Sha256].Digest == entry.File.Sha256));
    }

    private static IngestRoundResult Away(IncomingDrive incoming) =>
        new(
            IngestRound.Wait,
            $"{incoming.MountPath} is not drive '{incoming.Name}' now. "
                + "Nothing was lost; plug it in and mount it there, the ingest goes on by itself."
        );

    private async Task<IManifestCursor> OpenAsync(IncomingDrive incoming, CancellationToken cancellationToken)
    {
        var path = ManifestPath(incoming.DriveId, incoming.Trip);
        IManifestCursor cursor = incoming.IsUpstream
            ? await UpstreamCursor.OpenAsync(path, cancellationToken)
            : await ManifestCursor.OpenAsync(path, cancellationToken);
        if (incoming.Position > 0)
            cursor.Seek(incoming.Position);
        return cursor;
    }

    private static async Task<(List<Entry> Entries, long Next)> ReadAsync(
        IManifestCursor cursor,
        IncomingDrive incoming,
        CancellationToken cancellationToken
    )
    {
        var (entries, bytes, next) = (new List<Entry>(), 0L, cursor.Position);
        var names = new HashSet<string>(StringComparer.Ordinal);
        while (entries.Count < RoundFiles && bytes < RoundBytes)
        {
            var start = cursor.Position;
            if (await cursor.ReadFileAsync(cancellationToken) is not { } file)
                break;
            string? members = null;
            HashSet<string>? listed = null;
            if (file.Members is not null && cursor is ManifestCursor own)
            {
                var print = new MemberFingerprint();
                listed = new HashSet<string>(StringComparer.Ordinal);
                while (await own.ReadMemberAsync(cancellationToken) is { } member)
                {
                    print.Add(member.Path, member.Size, member.Sha256);
                    ForeignEntries.AddListed(listed, member.Path);
                }

                members = print.ToString();
            }

            // Only upstream's lists name a file twice; in another window the name is decided already.
            if (file.Problem is null && !names.Add(file.Name))
                file = UpstreamEntry.Unusable(
                    start,
                    ": " + file.Name.Shown(),
                    -1,
                    "the name stands in the manifest twice, the first entry is used"
                );
            var (path, refusal) = (default(FileName), FileNameRefusal.None);
            if (file.Problem is not null)
                file = file with { Name = Short(file.Name) };
            else if (FileName.TryParse(file.Name, out var parsed, out refusal) && parsed.Value == file.Name)
                path = parsed;
            entries.Add(new Entry(file, path, refusal, members, listed, start));
            bytes += file.Size;
            next = cursor.Position;
        }

        return (entries, next);
    }

    /// <param name="incoming">The incoming drive.</param>
    /// <param name="held">The drive.</param>
    /// <param name="entries">A window of the manifest.</param>
    /// <param name="next">Where the next window begins; null when an earlier window is undecided.</param>
    /// <param name="onBytes">Called with the number of bytes as they are copied.</param>
    /// <param name="cancellationToken">Stops between files.</param>
    /// <returns>The result; false when nothing in the window fits on any store.</returns>
    private async Task<(IngestRoundResult Result, bool Fits)> DecideAsync(
        IncomingDrive incoming,
        OpenDrive held,
        List<Entry> entries,
        long? next,
        Action<long>? onBytes,
        CancellationToken cancellationToken
    )
    {
        var decisions = new List<Decision>();
        List<Entry> open;
        var whole = true;
        SiteStore? store = null;
        IngestRoundResult? wait = null;
        var fits = true;
        var reservations = new Dictionary<string, IncomingTransfer>(StringComparer.Ordinal);
        var later = new List<FileFinding>();
        await using (var db = database.Open())
        {
            open = await SortAsync(db, incoming, entries, decisions, later, cancellationToken);
            await TakeUpDecidedAsync(db, incoming, decisions, reservations, cancellationToken);
            if (open.Count > 0)
            {
                var wanted = open.Count;
                var probes = await stores.ProbeAsync(cancellationToken);
                await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
                {
                    try
                    {
                        (wait, fits) = await ReserveAsync(db, incoming, probes, open, reservations, cancellationToken);
                        whole = wait is null && open.Count == wanted;
                        if (wait is not null)
                            open.Clear();
                    }
                    catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
                    {
                        return (
                            new IngestRoundResult(
                                IngestRound.Wait,
                                "Another transfer is storing one of these files at this moment. "
                                    + "Both are safe; the ingest goes on by itself."
                            ),
                            true
                        );
                    }

                    await transaction.CommitAsync(cancellationToken);
                }

                // Not inside the transaction: the error log writes through a connection of its own, and SQLite has one writer.
                if (!fits)
                    await errors.RaiseAsync(
                        ErrorSeverity.Error,
                        ErrorCategory.StoreFull,
                        $"drive {incoming.Name}",
                        $"Drive '{incoming.Name}': {wait!.Message} Nothing was lost.",
                        cancellationToken
                    );
                if (
                    open.Count > 0
                    && await NestedNames.BlockedAsync(db, open.ConvertAll(e => e.File.Name), cancellationToken) is { Count: > 0 } nested
                )
                {
                    open.RemoveAll(e => nested.ContainsKey(e.File.Name));
                    (whole, wait) = (
                        false,
                        new IngestRoundResult(
                            IngestRound.Wait,
                            $"Another transfer is storing something that contains '{nested.Keys.First()}', or lies below it, "
                                + "at this moment. Both are safe; the ingest goes on by itself."
                        )
                    );
                }

                if (open.Count > 0)
                    store = stores.Configured.Single(s => s.Id == reservations[open[0].File.Name].StoreId);
            }
        }

        if (later.Count > 0)
        {
            whole = false;
            wait ??= new IngestRoundResult(
                IngestRound.Wait,
                $"{later.Count} files of the drive are catalogued here, and their copies are not proven yet: "
                    + $"{later[0].Message} It goes on by itself."
            );
        }

        // This window is decided already, behind one that waits for space: continue with the next.
        if (open.Count == 0 && decisions.Count == 0 && wait is null && next is null)
            return (new IngestRoundResult(IngestRound.Wait, ""), false);
        var undecided =
            open.Count == 0 ? null : await CopyAsync(incoming, held, open, reservations, store!, decisions, onBytes, cancellationToken);
        var problem = undecided ?? wait?.Message;
        if (decisions.Count > 0 || reservations.Count > 0 || problem is null)
            await RecordAsync(incoming, decisions, reservations, undecided is null && whole ? next : null, problem, cancellationToken);
        if (undecided is not null && !held.Answers())
            return (Away(incoming), true);
        if (problem is null || decisions.Count > 0)
            return (new IngestRoundResult(IngestRound.More, $"{decisions.Count} files decided."), true);
        return (wait ?? new IngestRoundResult(IngestRound.Wait, problem), fits);
    }

    /// <summary>
    /// Takes over reservations of an interrupted round for names that are now decided without a copy, so that they end with the decision.
    /// </summary>
    private async Task TakeUpDecidedAsync(
        CatalogContext db,
        IncomingDrive incoming,
        List<Decision> decisions,
        Dictionary<string, IncomingTransfer> reservations,
        CancellationToken cancellationToken
    )
    {
        if (decisions.Count == 0)
            return;
        var (manager, names) = (ManagerOf(incoming), decisions.ConvertAll(d => d.Entry.File.Name));
        foreach (
            var transfer in await db
                .IncomingTransfers.AsNoTracking()
                .Where(t => t.Committing && t.TransferManagerName == manager && names.Contains(t.FileName!))
                .ToListAsync(cancellationToken)
        )
        {
            reservations[transfer.FileName!] = transfer;
            if (stores.Find(transfer.StoreId) is { } store)
                await store.RemoveStagingAsync(Guid.Parse(transfer.StagingPath!), cancellationToken);
        }
    }

    /// <summary>
    /// Takes over the reservations that an interrupted round left, and makes the missing ones, all on one store. When there is not enough
    /// space for all files, the smallest are taken, as many as fit; false when not even one fits.
    /// </summary>
    private async Task<(IngestRoundResult? Wait, bool Fits)> ReserveAsync(
        CatalogContext db,
        IncomingDrive incoming,
        IReadOnlyDictionary<long, StoreProbe> probes,
        List<Entry> open,
        Dictionary<string, IncomingTransfer> reservations,
        CancellationToken cancellationToken
    )
    {
        var names = open.ConvertAll(e => e.File.Name);
        var left = await db.IncomingTransfers.Where(t => t.Committing && names.Contains(t.FileName!)).ToListAsync(cancellationToken);
        var foreign = left.Where(t => t.TransferManagerName != ManagerOf(incoming))
            .Select(t => t.FileName!)
            .ToHashSet(StringComparer.Ordinal);
        if (foreign.Count > 0)
        {
            left.RemoveAll(t => foreign.Contains(t.FileName!));
            open.RemoveAll(e => foreign.Contains(e.File.Name));
            if (open.Count == 0)
                return (
                    new IngestRoundResult(
                        IngestRound.Wait,
                        $"Another transfer is storing '{foreign.First()}' at this moment. Both are safe; the ingest goes on by itself."
                    ),
                    true
                );
        }

        SiteStore store;
        if (left.Count > 0)
        {
            var id = left[0].StoreId;
            open.RemoveAll(e => left.Exists(t => t.FileName == e.File.Name && t.StoreId != id));
            left.RemoveAll(t => t.StoreId != id);
            if (id is null || !probes.GetValueOrDefault(id.Value).IsMounted)
                return (new IngestRoundResult(IngestRound.Wait, "The store that was being written is not mounted."), true);
            store = stores.Configured.Single(s => s.Id == id);
        }
        else
        {
            var wanted = open.Sum(e => e.File.Size);
            var chosen = await stores.ChooseAsync(db, wanted, probes, cancellationToken);
            if (chosen is null)
            {
                open.Sort((a, b) => a.File.Size.CompareTo(b.File.Size));
                var (fitting, tooMany) = (0, open.Count);
                while (fitting + 1 < tooMany)
                {
                    var middle = (fitting + tooMany) / 2;
                    if (await stores.ChooseAsync(db, open.Take(middle).Sum(e => e.File.Size), probes, cancellationToken) is { } some)
                        (fitting, chosen) = (middle, some);
                    else
                        tooMany = middle;
                }

                if (fitting == 0 && open.Count > 0)
                    chosen = await stores.ChooseAsync(db, open[0].File.Size, probes, cancellationToken);
                open.RemoveRange(Math.Max(1, fitting), open.Count - Math.Max(1, fitting));
            }

            if (chosen is null)
            {
                return (
                    new IngestRoundResult(
                        IngestRound.Wait,
                        $"No enabled, ingestable store has space for '{open[0].File.Name}' ({open[0].File.Size} bytes). "
                            + "Make space; the ingest goes on by itself."
                    ),
                    false
                );
            }

            store = chosen.Value.Store;
        }

        foreach (var transfer in left)
            reservations[transfer.FileName!] = transfer;
        var (now, manager) = (Now, ManagerOf(incoming));
        var fresh = open.Where(e => !reservations.ContainsKey(e.File.Name)).ToList();
        if (fresh.Count == 0)
            return (null, true);
        await db.InsertRowsAsync(
            fresh.Select(entry => new IncomingTransfer
            {
                Status = TransferStatus.Ongoing,
                Committing = true,
                Uploader = entry.File.Uploader,
                UploadName = entry.File.Name,
                Source = incoming.Source,
                TransferSize = entry.File.Size,
                TransferChecksum = entry.File.Checksum,
                StoreId = store.Id,
                TransferManagerName = manager,
                StartTime = now,
                StagingPath = Guid.NewGuid().ToString("D"),
                FileName = entry.File.Name,
                SourceTransferId = entry.File.OutgoingTransferId,
            }),
            cancellationToken
        );
        var reserved = fresh.ConvertAll(e => e.File.Name);
        foreach (
            var transfer in await db
                .IncomingTransfers.AsNoTracking()
                .Where(t => t.Committing && t.TransferManagerName == manager && reserved.Contains(t.FileName!))
                .ToListAsync(cancellationToken)
        )
            reservations[transfer.FileName!] = transfer;

        return (null, true);
    }

    /// <summary>Copies the files; returns why some entries could not be decided, or null.</summary>
    private async Task<string?> CopyAsync(
        IncomingDrive incoming,
        OpenDrive held,
        List<Entry> open,
        Dictionary<string, IncomingTransfer> reservations,
        SiteStore store,
        List<Decision> decisions,
        Action<long>? onBytes,
        CancellationToken cancellationToken
    )
    {
        var byName = open.ToDictionary(e => e.File.Name, StringComparer.Ordinal);
        var leftOut = new LeftOut();
        var adding = new AdditionOptions
        {
            Parallelism = options.Value.Drives.Parallelism,
            OnBytes = onBytes,
            MayWrite = () => store.IsMounted,
        };
        var results = await store.Store.AddAsync(
            held.Store,
            [.. open.Select(e => Of(e, Guid.Parse(reservations[e.File.Name].StagingPath!)))],
            adding,
            cancellationToken
        );
        if (incoming.IsUpstream && leftOut.Count > 0 && results.Any(r => r.Status == AdditionStatus.SourceDiffers))
        {
            // Such a manifest lists no members: an entry that looks like an operating system's may have been archived.
            var whole = results
                .Where(r => r.Status == AdditionStatus.SourceDiffers)
                .Select(r => r.Addition with { LeaveOut = null })
                .ToList();
            var again = await store.Store.AddAsync(held.Store, whole, adding, cancellationToken);
            results = [.. results.Where(r => r.Status != AdditionStatus.SourceDiffers), .. again];
        }

        if (leftOut.Count > 0)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Info,
                ErrorCategory.DataAvailability,
                $"drive foreign {incoming.Name}",
                $"An operating system had left entries among the data on drive '{incoming.Name}' of '{incoming.Source}'. "
                    + $"They are not in its manifest and were left out, {leftOut.Count} so far: {leftOut}. The data are whole.",
                cancellationToken
            );
        }

        string? undecided = null;
        // Checked after the copies: if the medium does not answer now, its failures say nothing about single files.
        var answers = held.Answers();
        if (
            answers
            && incoming.IsUpstream
            && results.All(r => r.Status == AdditionStatus.SourceMissing)
            && !await HoldsEarlierAsync(incoming, held, cancellationToken)
        )
            return $"None of the next {open.Count} files of the manifest is in {incoming.DataPath}. "
                + "Is the right drive mounted there, and was --store-root right? "
                + "If it is, and the files are gone, there is nothing left to take.";
        var holders = await HoldersAsync(store, results, cancellationToken);
        foreach (var result in results)
        {
            var entry = byName[result.Addition.Name.Value];
            switch (result.Status)
            {
                case AdditionStatus.Added when holders.TryGetValue(result.Addition.Name.Value, out var holder):
                    decisions.Add(
                        Decision.Fail(
                            entry,
                            $"What lies at '{entry.File.Name}' belongs to the catalogued file '{holder}', or contains it; "
                                + "two files cannot share data. It was left as it is."
                        )
                    );
                    break;
                case AdditionStatus.Added:
                    decisions.Add(new Decision(entry, DriveFileOutcome.Stored, store.Id, null));
                    break;
                case AdditionStatus.SourceDiffers
                or AdditionStatus.SourceMissing
                or AdditionStatus.SourceError
                or AdditionStatus.Refused when answers:
                    decisions.Add(Decision.Fail(entry, await DiagnoseAsync(incoming, held.Store, entry, result, cancellationToken)));
                    break;
                case AdditionStatus.NameTaken:
                    decisions.Add(
                        Decision.Fail(
                            entry,
                            $"{result.Message} They are not in the catalog; "
                                + "examine them, then move them away or catalogue them with admin/add_file."
                        )
                    );
                    break;
                default:
                    undecided ??= result.Message;
                    break;
            }
        }

        return undecided;

        Addition Of(Entry entry, Guid id) =>
            new(entry.Path!, entry.Path!, new ContentDescription(Checksum.Parse(entry.File.Checksum), entry.File.Size), id)
            {
                ExpectedSha256 = entry.File.Sha256,
                ExpectedMembers = entry.Members,
                LeaveOut = path =>
                {
                    if (!entry.LeavesOut(path))
                        return false;
                    leftOut.Add(entry.File.Name, path);
                    return true;
                },
            };
    }

    /// <summary>For data that were in the store already, by location: the catalogued file that they belong to.</summary>
    private async Task<Dictionary<string, string>> HoldersAsync(
        SiteStore store,
        IReadOnlyList<AdditionResult> results,
        CancellationToken cancellationToken
    )
    {
        List<string> locations =
        [
            .. results.Where(r => r is { Status: AdditionStatus.Added, WasThere: true }).Select(r => r.Addition.Name.Value),
        ];
        if (locations.Count == 0)
            return [];
        await using var db = database.Open();
        return await SharedData.HoldersAsync(db, store.Id, locations, cancellationToken);
    }

    /// <summary>Whether a file that was stored from this drive before is still on it.</summary>
    private async Task<bool> HoldsEarlierAsync(IncomingDrive incoming, OpenDrive held, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        foreach (
            var name in await db
                .IncomingDriveFiles.AsNoTracking()
                .Where(f => f.IncomingDriveId == incoming.Id && f.Outcome == DriveFileOutcome.Stored)
                .OrderByDescending(f => f.Id)
                .Take(100)
                .Select(f => f.FileName)
                .ToListAsync(cancellationToken)
        )
        {
            if (FileName.TryParse(name, out var path, out _) && await held.Store.ExistsAsync(path, cancellationToken) == Presence.Present)
                return true;
        }

        return false;
    }

    /// <summary>Finds the bad members of a bad directory.</summary>
    private async Task<string> DiagnoseAsync(
        IncomingDrive incoming,
        LocalStore drive,
        Entry entry,
        AdditionResult result,
        CancellationToken cancellationToken
    )
    {
        if (result.Status != AdditionStatus.SourceDiffers || entry.File.Members is not (> 0 and <= MaxDiagnosed) || incoming.IsUpstream)
            return result.Message;
        var expected = new Dictionary<string, ManifestMember>(StringComparer.Ordinal);
        await using (var cursor = await ManifestCursor.OpenAsync(ManifestPath(incoming.DriveId, incoming.Trip), cancellationToken))
        {
            cursor.Seek(entry.Offset);
            await cursor.ReadFileAsync(cancellationToken);
            while (await cursor.ReadMemberAsync(cancellationToken) is { } member)
                expected[member.Path] = member;
        }

        var bad = new List<string>();
        await drive.DigestAsync(
            entry.Path!,
            [ChecksumAlgorithm.Sha256],
            new DigestOptions
            {
                LeaveOut = entry.LeavesOut,
                OnMember = m =>
                {
                    if (!expected.Remove(m.Path, out var member))
                        bad.Add($"'{m.Path.Shown()}' is not in the manifest");
                    else if (member.Size != m.SizeBytes)
                        bad.Add($"'{m.Path.Shown()}' has {m.SizeBytes} bytes instead of {member.Size}");
                    else if (member.Sha256 != m.Checksums[ChecksumAlgorithm.Sha256].Digest)
                        bad.Add($"'{m.Path.Shown()}' has other bytes than the manifest says");
                },
            },
            cancellationToken: cancellationToken
        );
        bad.AddRange(expected.Keys.Select(p => $"'{p.Shown()}' is missing"));
        return bad.Count == 0
            ? result.Message
            : $"{bad.Count} of {entry.File.Members} files in it are bad: {string.Join("; ", bad.Order(StringComparer.Ordinal).Take(10))}.";
    }

    private async Task RecordAsync(
        IncomingDrive incoming,
        List<Decision> decisions,
        Dictionary<string, IncomingTransfer> reservations,
        long? next,
        string? problem,
        CancellationToken cancellationToken
    )
    {
        var now = Now;
        await using (var db = database.Open())
        {
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            await db.InsertRowsAsync(
                decisions.Select(d => new IncomingDriveFile
                {
                    IncomingDriveId = incoming.Id,
                    FileName = Short(d.Entry.File.Name),
                    Checksum = Short(d.Entry.File.Checksum),
                    OutgoingTransferId = d.Entry.File.OutgoingTransferId,
                    Outcome = d.Outcome,
                    StoreId = d.StoreId,
                    Message = d.Message,
                    Reported = d.Entry.File.OutgoingTransferId < 0,
                }),
                cancellationToken
            );
            var taken = decisions.Where(d => d.Outcome == DriveFileOutcome.Stored).ToList();
            await db.InsertRowsAsync(
                taken.Select(d => new FileRecord
                {
                    Name = d.Entry.File.Name,
                    CreateTime = now,
                    Size = d.Entry.File.Size,
                    Checksum = d.Entry.File.Checksum,
                    Uploader = d.Entry.File.Uploader,
                    Source = incoming.Source,
                }),
                cancellationToken
            );
            await db.InsertRowsAsync(
                taken.Select(d => new FileCopy
                {
                    Path = d.Entry.Path!.Value,
                    FileName = d.Entry.File.Name,
                    StoreId = d.StoreId!.Value,
                    DeletionPolicy = DeletionPolicy.Disallowed,
                    CreatedTime = now,
                    Available = true,
                }),
                cancellationToken
            );
            var stored = taken.Select(d => d.Entry.File.Name).ToHashSet(StringComparer.Ordinal);
            List<long> completed = [.. reservations.Where(r => stored.Contains(r.Key)).Select(r => r.Value.Id)];
            List<long> others = [.. reservations.Where(r => !stored.Contains(r.Key)).Select(r => r.Value.Id)];
            await db
                .IncomingTransfers.Where(t => completed.Contains(t.Id))
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(t => t.Status, TransferStatus.Completed)
                            .SetProperty(t => t.Committing, false)
                            .SetProperty(t => t.EndTime, now),
                    cancellationToken
                );
            await db
                .IncomingTransfers.Where(t => others.Contains(t.Id))
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(t => t.Status, TransferStatus.Failed)
                            .SetProperty(t => t.Committing, false)
                            .SetProperty(t => t.EndTime, now)
                            .SetProperty(t => t.FailureReason, "It was not taken from the drive; see 'librarian drive status'."),
                    cancellationToken
                );
            var (count, bytes) = (decisions.Count, decisions.Where(d => d.Outcome != DriveFileOutcome.Failed).Sum(d => d.Entry.File.Size));
            await db
                .IncomingDrives.Where(a => a.Id == incoming.Id)
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(a => a.FilesDone, a => a.FilesDone + count)
                            .SetProperty(a => a.BytesDone, a => a.BytesDone + bytes)
                            .SetProperty(a => a.Position, a => next ?? a.Position)
                            .SetProperty(a => a.Problem, problem),
                    cancellationToken
                );
            await transaction.CommitAsync(cancellationToken);
        }

        var unusable = decisions.FindAll(d => d.Entry.File.Problem is not null);
        foreach (var (entry, _, _, message) in unusable)
            Logs.NotIngested(log, entry.File.Name, incoming.Name, message!);
        if (unusable.Count > 0)
        {
            // One entry in the log for all of them: a list may be bad a million times.
            var first = string.Join("; ", unusable.Take(MaxListed).Select(d => $"{d.Entry.File.Name}: {d.Entry.File.Problem}"));
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.DataIntegrity,
                $"drive manifest {incoming.Name}",
                $"The manifest of drive '{incoming.Name}' of '{incoming.Source}' has entries that cannot be used, "
                    + $"{unusable.Count} of those read so far. Their files were not taken, all others are. "
                    + $"{first}{(unusable.Count > MaxListed ? "; and more" : "")}. "
                    + "'librarian drive status' lists them all. Have the source mend its catalog and send these files again.",
                cancellationToken
            );
        }

        foreach (var (entry, _, _, message) in decisions.Where(d => d.Outcome == DriveFileOutcome.Failed && d.Entry.File.Problem is null))
        {
            Logs.NotIngested(log, entry.File.Name, incoming.Name, message!);
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.DataIntegrity,
                $"drive ingest {entry.File.Name}",
                $"'{entry.File.Name}' was not taken from drive '{incoming.Name}' of '{incoming.Source}': {message} "
                    + "The source still has it and is notified, so that it sends the file again.",
                cancellationToken
            );
        }
    }

    private static string Short(string text) => text.Length > CatalogContext.MaxText ? text[..CatalogContext.MaxText] : text;

    private string Archive() =>
        Security
            .PrivateFile.CreateDirectory(
                string.IsNullOrEmpty(options.Value.Drives.ArchiveDirectory)
                    ? Path.Combine(options.Value.DataDirectory, "drives")
                    : options.Value.Drives.ArchiveDirectory
            )
            .FullName;

    /// <summary>
    /// An entry of the manifest: its name as a path (null when it is not a valid one), the expected digest over its members' names and
    /// contents, the members that have names of <see cref="ForeignEntries"/> (null when not known), and its offset.
    /// </summary>
    private sealed record Entry(
        ManifestFile File,
        FileName? Path,
        FileNameRefusal Refusal,
        string? Members,
        IReadOnlySet<string>? Listed,
        long Offset
    )
    {
        public bool LeavesOut(string path) =>
            ForeignEntries.IsForeignName(path[(path.LastIndexOf('/') + 1)..]) && Listed?.Contains(path) != true;
    }

    private sealed record Decision(Entry Entry, DriveFileOutcome Outcome, long? StoreId, string? Message)
    {
        public static Decision Fail(Entry entry, string message) => new(entry, DriveFileOutcome.Failed, null, message);
    }
}
