using System.Globalization;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Formats;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>How one round of filling ended.</summary>
public enum FillOutcome
{
    /// <summary>Files were copied to the drive and more may fit.</summary>
    More,

    /// <summary>Every waiting file is on some drive, or pauses after a failure.</summary>
    Idle,

    /// <summary>No waiting file fits, but one would fit if the drive were empty.</summary>
    Full,

    /// <summary>The drive is not mounted, or another one is.</summary>
    NotPlugged,

    /// <summary>An earlier drive for the same destination is filled first.</summary>
    StandBy,

    /// <summary>The medium refuses writes, or is too small for the waiting files.</summary>
    Trouble,

    /// <summary>The drive is no longer being filled.</summary>
    Frozen,
}

/// <summary>Result of one round.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Files">Files copied to the drive.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="Message">For people.</param>
public sealed record FillResult(FillOutcome Outcome, int Files, long Bytes, string Message);

/// <summary>
/// Copies files to a drive that its destination does not have: oldest first, one copy over all drives for that destination, and smaller
/// files when the next file does not fit.
/// </summary>
/// <remarks>
/// A round reserves files (rows COPYING), copies them with <see cref="LocalStore.AddAsync"/>, and records copies and contents in one
/// transaction. A crash leaves reservations and perhaps data, in staging or under their names; the next round begins by removing both,
/// which can only be data that the catalog does not list. The filling process holds a lock on the drive.
/// </remarks>
public sealed class DriveFilling(
    CatalogDatabase database,
    SiteStores stores,
    CopyChecks checks,
    ErrorLog errors,
    IOptions<SiteOptions> options,
    TimeProvider time,
    ILogger<DriveFilling> log
)
{
    private const string StoredOnSqlite = """
        update drive_contents set state = 'STORED', sha256 = j.sha, members = j.members, retry_after = null, failures = 0
        from (select e.value->>'Id' as id, e.value->>'Sha256' as sha, e.value->>'Members' as members from json_each({0}) as e) as j
        where drive_contents.id = j.id and drive_contents.state = 'COPYING'
        """;

    // The empty string hides the state from the planner: its statistics never include rows that are being copied, and for the one row that
    // it expects it would read the whole list once for each of them.
    private const string StoredOnPostgreSql = """
        update drive_contents set state = 'STORED', sha256 = j."Sha256", members = j."Members", retry_after = null, failures = 0
        from json_to_recordset({0}::json) as j("Id" bigint, "Sha256" text, "Members" bigint)
        where drive_contents.id = j."Id" and drive_contents.state || '' = 'COPYING'
        """;

    /// <summary>Code for a file that one drive cannot hold and another may.</summary>
    public const string UnfitCode = "drive.cannot_hold";

    private const int RoundFiles = 2048;
    private const int MemberRows = 1000;
    private const long RoundBytes = 4L << 30;
    private const long Reserve = 1 << 20;
    private const long ReservePerFile = 2048;
    private const long SpacePerFile = 4096;
    private static readonly TimeSpan FirstRest = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LongestRest = TimeSpan.FromHours(6);

    /// <summary>
    /// How long a drive does not get a file that it cannot hold; other drives are not affected. Longer than <see cref="OtherRests"/>.
    /// </summary>
    private static readonly TimeSpan UnfitRest = TimeSpan.FromDays(30);

    /// <summary>A shorter pause belongs to the file, on whatever drive it failed.</summary>
    private static readonly TimeSpan OtherRests = TimeSpan.FromDays(1);

    private const int MaxListed = 10;

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    /// <summary>Copies one round of files to a drive.</summary>
    /// <param name="driveRow">The drive.</param>
    /// <param name="onBytes">Called with the number of bytes as they are copied.</param>
    /// <param name="cancellationToken">Stops between files.</param>
    public async Task<FillResult> RoundAsync(long driveRow, Action<long>? onBytes, CancellationToken cancellationToken)
    {
        Drive drive;
        await using (var db = database.Open())
        {
            drive = await db.Drives.AsNoTracking().SingleAsync(d => d.Id == driveRow, cancellationToken);
            if (drive.State != DriveState.Filling)
                return new FillResult(FillOutcome.Frozen, 0, 0, $"Drive '{drive.Name}' is not being filled.");
            await stores.RefreshDrivesAsync(db, cancellationToken);
            await PlannerStatistics.RefreshStaleAsync(
                db,
                cancellationToken,
                "drive_contents",
                "files",
                "instances",
                "outgoing_transfers",
                "remote_instances"
            );
        }

        using var medium = new DriveMedium(drive).TryHold();
        if (medium is null)
            return NotPlugged(drive);
        if (medium.Marker!.Trip != drive.Trip)
            return new FillResult(
                FillOutcome.Trouble,
                0,
                0,
                $"The marker of drive '{drive.Name}' says trip {medium.Marker.Trip}, the catalog says {drive.Trip}: "
                    + "the catalog was restored from an older backup, or the drive is a copy. Nothing is written. "
                    + $"If nothing on it is needed, give it up (librarian drive recycle CONN {drive.Name} --lost), "
                    + "make a new file system on it and initialise it again."
            );
        using var hold = DriveLock.TryTake(medium.Path, out var why);
        if (hold is null)
            return new FillResult(FillOutcome.Trouble, 0, 0, $"Drive '{drive.Name}' is not filled: {medium.Shown(why)}");
        var earlier = await EarlierDriveAsync(drive, cancellationToken);
        if (!await DropUnfinishedAsync(drive, medium, cancellationToken))
            return new FillResult(
                FillOutcome.Trouble,
                0,
                0,
                $"Drive '{drive.Name}' refuses the removal of a copy that was interrupted. "
                    + "It is tried again; if it stays so, examine the medium (dmesg)."
            );
        var names = await medium.Store.ProbeNamesAsync(cancellationToken) is { HoldsAll: false } limited ? limited : null;
        var reserved = await ReserveAsync(drive, earlier, medium, names, cancellationToken);
        if (reserved.Outcome is { } outcome)
            return outcome;
        return await CopyAsync(drive, medium, names, reserved.Files, onBytes, cancellationToken);
    }

    private static FillResult NotPlugged(Drive drive) =>
        new(
            FillOutcome.NotPlugged,
            0,
            0,
            $"{drive.MountPath} is not drive '{drive.Name}' (its marker {DriveMarker.FileName} is missing or another drive's). "
                + "Nothing is written there; plug the drive in and mount it, filling goes on by itself."
        );

    /// <summary>
    /// The first plugged drive for the destination takes every file that it can hold; the others take the rest, and wait until it is full.
    /// </summary>
    private async Task<Drive?> EarlierDriveAsync(Drive drive, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var earlier = await db
            .Drives.AsNoTracking()
            .Where(d =>
                d.Destination == drive.Destination
                && d.State == DriveState.Filling
                && (d.StateSince < drive.StateSince || (d.StateSince == drive.StateSince && d.Id < drive.Id))
            )
            .OrderBy(d => d.StateSince)
            .ThenBy(d => d.Id)
            .ToListAsync(cancellationToken);
        return earlier.Find(d => d.Problem is null && new DriveMedium(d).IsPlugged);
    }

    private async Task<bool> DropUnfinishedAsync(Drive drive, OpenDrive medium, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        while (true)
        {
            var left = await db
                .DriveContents.AsNoTracking()
                .Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Copying)
                .OrderBy(c => c.Id)
                .Take(RoundFiles)
                .ToListAsync(cancellationToken);
            if (left.Count == 0)
                return true;
            List<long> ids = [];
            foreach (var content in left)
            {
                // An addition that cannot be removed now keeps its row, so that it is not forgotten.
                if (await DropDataAsync(medium, content.FileName, content.AdditionId, cancellationToken))
                    ids.Add(content.Id);
            }

            if (ids.Count == 0)
                return false;
            await db
                .DriveContents.Where(c => ids.Contains(c.Id) && c.State == DriveContentState.Copying)
                .ExecuteDeleteAsync(cancellationToken);
        }
    }

    /// <summary>Removes the data of an unfinished copy from the drive; the catalog has never listed them.</summary>
    private static async Task<bool> DropDataAsync(OpenDrive medium, string name, Guid addition, CancellationToken cancellationToken) =>
        (await medium.Store.RemoveStagingAsync(addition, cancellationToken)).IsGone
        && (!FileName.TryParse(name, out var path, out _) || (await medium.Store.DeleteAsync(path, cancellationToken)).IsGone);

    private async Task<(FillResult? Outcome, List<Reserved> Files)> ReserveAsync(
        Drive drive,
        Drive? earlierDrive,
        OpenDrive medium,
        MediumNames? names,
        CancellationToken cancellationToken
    )
    {
        var now = Now;
        var unfitFrom = now + OtherRests;
        await using var db = database.Open();
        if (await RoomAsync(db, drive, medium, cancellationToken) is not { } at)
            return (NotPlugged(drive), []);
        var (destination, largest, room) = (drive.Destination, at.Largest, at.Free);
        var wanted = Wanted(db, drive, now);
        if (earlierDrive is { Id: var earlierRow })
            wanted = wanted.Where(f =>
                db.DriveContents.Any(c =>
                    c.FileName == f.Name && c.DriveRow == earlierRow && c.State == DriveContentState.Failed && c.RetryAfter >= unfitFrom
                )
            );
        var page = await wanted
            .Where(f => f.Size <= largest)
            .OrderBy(f => f.CreateTime)
            .ThenBy(f => f.Name)
            .Take(RoundFiles)
            .Select(f => new
            {
                f.Name,
                f.Size,
                f.Checksum,
                f.Uploader,
                f.Source,
                Copies = db
                    .IntactCopies.Where(i => i.FileName == f.Name && !db.Drives.Any(d => d.StoreId == i.StoreId))
                    .OrderBy(i => i.Id)
                    .Select(i => new
                    {
                        i.Id,
                        i.StoreId,
                        i.Path,
                        i.DeletionPolicy,
                    })
                    .ToList(),
            })
            .ToListAsync(cancellationToken);
        if (page.Count == 0 && earlierDrive is not null)
            return (new FillResult(FillOutcome.StandBy, 0, 0, $"Drive '{earlierDrive.Name}' is filled first."), []);
        if (page.Count == 0)
            return (await NothingFitsAsync(db, drive, at, now, cancellationToken), []);

        var (chosen, fresh, unfit) = (
            new List<(FileName Source, FileName Name, string Checksum, long Copy, long Store, DeletionPolicy Policy)>(),
            new List<DriveContent>(),
            new List<(string Name, string Why)>()
        );
        var bytes = 0L;
        var unheld = new List<(string Name, string Why)>();
        var (folded, exact) = (
            new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase),
            new HashSet<string>(StringComparer.Ordinal)
        );
        var earlier = await db
            .DriveContents.Where(c =>
                c.DriveRow == drive.Id && c.State == DriveContentState.Failed && page.Select(p => p.Name).Contains(c.FileName)
            )
            .ToDictionaryAsync(c => c.FileName, cancellationToken);
        foreach (var file in page)
        {
            if (chosen.Count > 0 && bytes + file.Size > RoundBytes)
                break;
            if (file.Size + SpacePerFile + ReservePerFile > room)
                continue;
            var addition = Guid.NewGuid();
            if (earlier.TryGetValue(file.Name, out var row))
                (row.State, row.AdditionId, row.RetryAfter) = (DriveContentState.Copying, addition, null);
            else
            {
                row = new DriveContent
                {
                    DriveRow = drive.Id,
                    FileName = file.Name,
                    Destination = destination,
                    State = DriveContentState.Copying,
                    AdditionId = addition,
                    Size = file.Size,
                };
                fresh.Add(row);
            }

            var refusal = LineRules.FileRefusal(file.Name, file.Checksum, file.Uploader, file.Source);
            var instance = file.Copies.Find(i => stores.Find(i.StoreId) is not null) ?? file.Copies[0];
            FileName? source = null;
            if (
                !FileName.TryParse(file.Name, out var name, out _)
                || !FileName.TryParse(instance.Path, out source, out _)
                || refusal is not null
            )
            {
                (row.State, row.RetryAfter) = (DriveContentState.Failed, now + LongestRest);
                unfit.Add(
                    (
                        file.Name,
                        refusal
                            ?? (
                                source is null && name is not null
                                    ? $"its copy at {instance.Path} lies outside its store"
                                    : "it is no name in a store"
                            )
                    )
                );
                continue;
            }

            if (names is not null && await WhyUnheldAsync(medium, names, name, file.Size, folded, exact, cancellationToken) is { } why)
            {
                (row.State, row.RetryAfter) = (DriveContentState.Failed, now + UnfitRest);
                unheld.Add((file.Name, why));
                continue;
            }

            room -= file.Size + SpacePerFile + ReservePerFile;
            bytes += file.Size;
            chosen.Add((source, name, file.Checksum, instance.Id, instance.StoreId, instance.DeletionPolicy));
        }

        try
        {
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            await db.SaveChangesAsync(cancellationToken);
            await db.InsertRowsAsync(fresh, cancellationToken);
            await transaction.CommitAsync(cancellationToken);
        }
        catch (Exception e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return (new FillResult(FillOutcome.More, 0, 0, "Another drive took one of these files at this moment."), []);
        }

        foreach (var (name, refusal) in unfit)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.DataAvailability,
                $"drive name {name}",
                $"'{name}' is not put on drives: {refusal}. Nothing was lost; ingest it again under another name, or send it over a link.",
                cancellationToken
            );
        }

        await RaiseUnfitAsync(drive, unheld, cancellationToken);
        if (chosen.Count == 0)
            return (
                new FillResult(
                    FillOutcome.More,
                    0,
                    0,
                    unheld.Count > 0
                        ? $"{unheld.Count} files wait for another drive: this one cannot hold them."
                        : "Some names cannot be put on drives."
                ),
                []
            );
        // All files that this drive is copying: leftovers of an earlier round have been dropped by now.
        var rows = await db
            .DriveContents.AsNoTracking()
            .Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Copying)
            .ToDictionaryAsync(c => c.FileName, StringComparer.Ordinal, cancellationToken);
        if (!chosen.TrueForAll(c => rows.ContainsKey(c.Name.Value)))
            return (
                new FillResult(
                    FillOutcome.Frozen,
                    0,
                    0,
                    $"Drive '{drive.Name}' was frozen or recorded as lost meanwhile. "
                        + "What was copied since is removed from it again and waits for the next drive."
                ),
                []
            );
        return (null, chosen.ConvertAll(c => new Reserved(rows[c.Name.Value], c.Source, c.Name, c.Checksum, c.Copy, c.Store, c.Policy)));
    }

    /// <summary>Files that wait for a drive, whatever their size.</summary>
    private static IQueryable<FileRecord> Wanted(CatalogContext db, Drive drive, DateTime now)
    {
        // A pause that ends later was recorded while the clock was ahead: it is over. A file that a drive cannot hold pauses for long, and
        // on that drive only.
        var (destination, driveId, latest, unfitFrom, unfitTo) = (
            drive.Destination,
            drive.Id,
            now + LongestRest,
            now + OtherRests,
            now + UnfitRest
        );
        return db
            .Files.AsNoTracking()
            .Where(f => f.Source != destination)
            .Where(f => !db.RemoteCopies.Any(r => r.FileName == f.Name && r.Peer!.Name == destination))
            // A file that a link has begun to move stays with the link; one that only waits for the link does not.
            .Where(f =>
                !db.OutgoingTransfers.Any(t =>
                    t.FileName == f.Name
                    && t.Destination == destination
                    && (t.Status == TransferStatus.Ongoing || t.Status == TransferStatus.Staged)
                )
            )
            .Where(f =>
                !db.DriveContents.Any(c =>
                    c.FileName == f.Name
                    && c.Destination == destination
                    && (
                        c.State == DriveContentState.Copying
                        || c.State == DriveContentState.Stored
                        || (
                            c.RetryAfter > now
                            && (c.RetryAfter <= latest || (c.DriveRow == driveId && c.RetryAfter >= unfitFrom && c.RetryAfter <= unfitTo))
                        )
                    )
                )
            )
            .Where(f => db.IntactCopies.Any(i => i.FileName == f.Name && !db.Drives.Any(d => d.StoreId == i.StoreId)));
    }

    /// <summary>Space of a drive for further files, and when empty; null when the drive is gone.</summary>
    private static async Task<FreeSpace?> RoomAsync(CatalogContext db, Drive drive, OpenDrive medium, CancellationToken cancellationToken)
    {
        var held = await db
            .DriveContents.Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Stored)
            .GroupBy(c => 1)
            .Select(g => new
            {
                Files = g.LongCount(),
                Members = g.Sum(c => c.Members),
                Bytes = g.Sum(c => c.Size),
            })
            .SingleOrDefaultAsync(cancellationToken);
        var free = medium.Store.FreeBytes();
        if (free < 0)
            return null;
        var entries = (held?.Files ?? 0) + (held?.Members ?? 0);
        // The manifest and its pages need space too, and they are written last.
        return new FreeSpace(
            held?.Files ?? 0,
            free - Reserve - (ReservePerFile * entries),
            free - Reserve + (held?.Bytes ?? 0) + (SpacePerFile * entries)
        );
    }

    /// <summary>
    /// The reason why nothing is copied to the drive. One statement decides that a drive is full, because between two a file may arrive
    /// that fits. Full means that some waiting file would fit if the drive were empty; a file that no drive of this size can hold never
    /// makes one full.
    /// </summary>
    private static async Task<FillResult> NothingFitsAsync(
        CatalogContext db,
        Drive drive,
        FreeSpace at,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        var (largest, ever) = (at.Largest, at.LargestEver);
        var waiting = await Wanted(db, drive, now)
            .Where(f => f.Size <= ever)
            .OrderBy(f => f.Size)
            .Select(f => new { f.Name, f.Size })
            .FirstOrDefaultAsync(cancellationToken);
        if (waiting is not null)
        {
            return waiting.Size <= largest
                ? new FillResult(FillOutcome.More, 0, 0, $"'{waiting.Name}' has come meanwhile.")
                : new FillResult(
                    FillOutcome.Full,
                    0,
                    0,
                    $"The smallest file that waits has {waiting.Size} bytes; {Math.Max(0, at.Free)} are left."
                );
        }

        var tooLarge = await Wanted(db, drive, now)
            .Where(f => f.Size > ever)
            .OrderBy(f => f.Size)
            .Select(f => new { f.Name, f.Size })
            .FirstOrDefaultAsync(cancellationToken);
        return tooLarge is null
            ? new FillResult(FillOutcome.Idle, 0, 0, "Every file is on its way or at its destination.")
            : new FillResult(FillOutcome.Trouble, 0, 0, TooLarge(drive, tooLarge.Name, tooLarge.Size, ever));
    }

    private static string TooLarge(Drive drive, string name, long bytes, long most) =>
        $"'{name}' of {bytes} bytes does not fit on drive '{drive.Name}' even when it is empty ({Math.Max(0, most)} bytes), "
        + $"nor does anything larger that waits for '{drive.Destination}'. "
        + "It waits for a larger drive or a link; this drive takes everything else.";

    /// <summary>Why this medium cannot hold a file, as a half sentence; null when name and size allow it.</summary>
    /// <param name="medium">The drive.</param>
    /// <param name="names">Which names and sizes it can hold.</param>
    /// <param name="name">The file.</param>
    /// <param name="size">Its bytes.</param>
    /// <param name="folded">Names and directories of this round, compared as a case-insensitive medium compares them.</param>
    /// <param name="exact">Directories on the drive whose names were found to match exactly.</param>
    /// <param name="cancellationToken">Cancels.</param>
    private static async Task<string?> WhyUnheldAsync(
        OpenDrive medium,
        MediumNames names,
        FileName name,
        long size,
        Dictionary<string, string> folded,
        HashSet<string> exact,
        CancellationToken cancellationToken
    )
    {
        if (names.Refusal(name.Value) is { } refusal)
            return refusal;
        if (size > names.LargestFile)
            return "it is larger than the drive's file system allows";
        if (!names.IsCaseInsensitive)
            return null;
        string[] parts = [.. NestedNames.Ancestors(name.Value), name.Value];
        foreach (var part in parts)
        {
            if (folded.TryGetValue(part, out var other) && other != part)
                return $"the drive takes it for the same as '{other.Shown()}'";
        }

        if (await medium.Store.OtherNameAsync(name, exact, cancellationToken) is { } taken)
            return $"the drive holds another name that it takes for the same as '{taken.Shown()}'";
        foreach (var part in parts)
            folded.TryAdd(part, part);
        return null;
    }

    private async Task RaiseUnfitAsync(Drive drive, List<(string Name, string Why)> files, CancellationToken cancellationToken)
    {
        if (files.Count == 0)
            return;
        foreach (var (name, why) in files)
            Logs.NotPutOn(log, name, drive.Name, UnfitCode, why);
        var listed = string.Join("; ", files.Take(MaxListed).Select(f => $"'{f.Name}': {f.Why}"));
        // One entry per drive: all file names of an instrument may have the same problem.
        await errors.RaiseAsync(
            ErrorSeverity.Warning,
            ErrorCategory.DataAvailability,
            $"drive {drive.Name} cannot hold",
            $"{files.Count} files are not put on drive '{drive.Name}': this drive cannot hold them [{UnfitCode}]. "
                + $"{listed}{(files.Count > MaxListed ? "; and more" : "")}. "
                + "Nothing was lost and nothing else is held up; they wait for another drive. "
                + "Initialise one with a Linux file system (ext4, XFS), or send them over a link.",
            cancellationToken
        );
    }

    private async Task<FillResult> CopyAsync(
        Drive drive,
        OpenDrive medium,
        MediumNames? names,
        List<Reserved> files,
        Action<long>? onBytes,
        CancellationToken cancellationToken
    )
    {
        var spool = Security
            .PrivateFile.CreateDirectory(Path.Combine(options.Value.DataDirectory, "spool", drive.DriveId.ToString("D")))
            .FullName;
        var results = new List<(Reserved File, AdditionResult Result)>();
        foreach (var group in files.GroupBy(f => f.SourceStore))
        {
            var additions = group.ToDictionary(f => f.Row.AdditionId, f => f);
            if (stores.Find(group.Key) is not { } source)
            {
                results.AddRange(
                    group.Select(f => (f, new AdditionResult(Of(f), AdditionStatus.SourceError, "The store of its copy is not mounted.")))
                );
                continue;
            }

            var done = await medium.Store.AddAsync(
                source,
                [.. group.Select(Of)],
                new AdditionOptions
                {
                    Parallelism = options.Value.Drives.Parallelism,
                    SpoolDirectory = spool,
                    OnBytes = onBytes,
                    RefuseMember = LineRules.MemberRefusal,
                    UnfitMember = names is null ? null : names.Refusal,
                },
                cancellationToken
            );
            results.AddRange(done.Select(r => (additions[r.Addition.Id], r)));
        }

        for (var i = 0; names is { IsCaseInsensitive: true } && i < results.Count; i++)
        {
            var (file, result) = results[i];
            if (
                result.Status == AdditionStatus.NameTaken
                && await medium.Store.OtherNameAsync(file.Name, new HashSet<string>(StringComparer.Ordinal), cancellationToken) is { } taken
            )
                results[i] = (
                    file,
                    result with
                    {
                        Status = AdditionStatus.Unfit,
                        Message = $"the drive holds another name that it takes for the same as '{taken.Shown()}'",
                    }
                );
        }

        // A medium that was pulled out says nothing about files: those that were not added stay reserved, and the next round begins by
        // dropping them.
        var answers = medium.Answers();
        if (!answers)
            results.RemoveAll(r => r.Result.Status != AdditionStatus.Added);
        var recorded = await RecordAsync(drive, results, cancellationToken);
        foreach (var (_, result) in results.Where(r => r.Result.MembersFile is not null))
            File.Delete(result.MembersFile!);
        if (!recorded)
        {
            // The drive was frozen meanwhile: its manifest does not list these files, so they must go.
            foreach (var (file, result) in results.Where(r => r.Result.Status == AdditionStatus.Added))
                await DropDataAsync(medium, file.Row.FileName, result.Addition.Id, cancellationToken);
            return new FillResult(
                FillOutcome.Frozen,
                0,
                0,
                $"Drive '{drive.Name}' was frozen or recorded as lost meanwhile. "
                    + "What was copied since is removed from it again and waits for the next drive."
            );
        }

        var added = results.Where(r => r.Result.Status == AdditionStatus.Added).ToList();
        var bad = results.Where(r => r.Result.Status is AdditionStatus.IoError or AdditionStatus.CopyDiffers).ToList();
        // Before the next round chooses copies: a copy that differs twice is corrupt, and the next round uses another copy or lets the file
        // wait.
        foreach (var (file, _) in results.Where(r => r.Result.Status == AdditionStatus.SourceDiffers))
            await checks.ResolveDoubtAsync(file.SourceCopy, cancellationToken);
        await RaiseErrorsAsync(drive, results, cancellationToken);
        await RaiseUnfitAsync(
            drive,
            [.. results.Where(r => r.Result.Status == AdditionStatus.Unfit).Select(r => (r.File.Row.FileName, r.Result.Message))],
            cancellationToken
        );
        if (!answers)
            return NotPlugged(drive);
        var bytes = added.Sum(r => r.File.Row.Size);
        if (added.Count == 0 && bad.Count > 0)
            return new FillResult(FillOutcome.Trouble, 0, 0, $"Drive '{drive.Name}' refuses writes: {bad[0].Result.Message}");
        if (added.Count == 0 && results.Find(r => r.Result.Status == AdditionStatus.NoSpace) is { File: { } misfit })
            return await MisfitAsync(drive, medium, misfit, cancellationToken);
        return new FillResult(
            FillOutcome.More,
            added.Count,
            bytes,
            string.Create(CultureInfo.InvariantCulture, $"{added.Count} files, {bytes} bytes put on.")
        );

        static Addition Of(Reserved f) =>
            new(f.Source, f.Name, new ContentDescription(Checksum.Parse(f.Checksum), f.Row.Size), f.Row.AdditionId);
    }

    /// <summary>
    /// Handles a file that needed more space than its size (a directory of many small files) and pauses now. The drive is full only if no
    /// other waiting file fits and an empty drive of this size would hold the file.
    /// </summary>
    private async Task<FillResult> MisfitAsync(Drive drive, OpenDrive medium, Reserved misfit, CancellationToken cancellationToken)
    {
        var now = Now;
        await using var db = database.Open();
        if (await RoomAsync(db, drive, medium, cancellationToken) is not { } at)
            return NotPlugged(drive);
        var (largest, name) = (at.Largest, misfit.Row.FileName);
        if (await Wanted(db, drive, now).AnyAsync(f => f.Size <= largest, cancellationToken))
            return new FillResult(
                FillOutcome.More,
                0,
                0,
                $"'{name}' needs more space than its {misfit.Row.Size} bytes; what else waits goes on."
            );
        var need = await NeedAsync(misfit, cancellationToken);
        return at.Files > 0 && need <= at.FreeWhenEmpty
            ? new FillResult(FillOutcome.Full, 0, 0, $"Drive '{drive.Name}' has no space for '{name}'.")
            : new FillResult(FillOutcome.Trouble, 0, 0, TooLarge(drive, name, Math.Max(need, misfit.Row.Size), at.FreeWhenEmpty));
    }

    /// <summary>Estimates the bytes that a file needs on a drive: whole blocks, and a block for each directory.</summary>
    private async Task<long> NeedAsync(Reserved file, CancellationToken cancellationToken)
    {
        if (stores.Find(file.SourceStore)?.Locate(file.Source) is not { } path || !Directory.Exists(path))
            return file.Row.Size + SpacePerFile;
        try
        {
            return await Task.Run(
                () =>
                    new DirectoryInfo(path)
                        .EnumerateFileSystemInfos("*", SearchOption.AllDirectories)
                        .Aggregate(SpacePerFile, (sum, entry) =>
                        {
                            cancellationToken.ThrowIfCancellationRequested();
                            return sum + SpacePerFile + (entry is FileInfo member ? member.Length + ReservePerFile : 0);
                        }),
                cancellationToken
            );
        }
        // The data change or cannot be read: the next attempt handles that.
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return file.Row.Size + SpacePerFile;
        }
    }

    /// <summary>Records the whole round in one transaction; false when the drive is no longer being filled.</summary>
    private async Task<bool> RecordAsync(
        Drive drive,
        List<(Reserved File, AdditionResult Result)> results,
        CancellationToken cancellationToken
    )
    {
        var now = Now;
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        // Also locks the row, so that a freeze comes wholly before or wholly after.
        if (
            await db
                .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Filling && d.Trip == drive.Trip)
                .ExecuteUpdateAsync(s => s.SetProperty(d => d.Trip, d => d.Trip), cancellationToken) == 0
        )
        {
            await db
                .DriveContents.Where(c =>
                    c.DriveRow == drive.Id
                    && c.State == DriveContentState.Copying
                    && db.Drives.Any(d => d.Id == drive.Id && d.Trip == drive.Trip)
                )
                .ExecuteDeleteAsync(cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            return false;
        }

        var added = results.Where(r => r.Result.Status == AdditionStatus.Added).ToList();
        var stored = JsonSerializer.Serialize(
            [.. added.Select(r => new StoredContent(r.File.Row.Id, r.Result.Sha256, r.Result.Files))],
            StoredContentJson.Default.StoredContentArray
        );
        // Fewer rows: the drive was written off and filled anew while the medium hung; nothing of this round counts.
        if (
            await db.Database.ExecuteSqlRawAsync(
                database.Kind == DatabaseKind.Sqlite ? StoredOnSqlite : StoredOnPostgreSql,
                [stored],
                cancellationToken
            ) != added.Count
        )
            return false;
        await db.InsertRowsAsync(
            added.Select(r => new FileCopy
            {
                Path = r.File.Name.Value,
                FileName = r.File.Row.FileName,
                StoreId = drive.StoreId,
                DeletionPolicy = r.File.Policy,
                CreatedTime = now,
                Available = true,
            }),
            cancellationToken
        );
        foreach (var (file, result) in results.Where(r => r.Result.Status != AdditionStatus.Added))
        {
            var row = file.Row;
            db.DriveContents.Attach(row);
            row.State = DriveContentState.Failed;
            row.Failures++;
            row.RetryAfter =
                result.Status == AdditionStatus.Unfit
                    ? now + UnfitRest
                    : now + TimeSpan.FromTicks(Math.Min(LongestRest.Ticks, FirstRest.Ticks << Math.Min(row.Failures - 1, 16)));
        }

        await db.SaveChangesAsync(cancellationToken);
        // Members of many small directories are inserted together, those of a large one in parts, so that the number of rows in memory is
        // bounded.
        var members = new List<DriveMember>(MemberRows);
        foreach (var (file, result) in added.Where(r => r.Result.MembersFile is not null))
        {
            await foreach (var member in ReadMembersAsync(result.MembersFile!, cancellationToken))
            {
                members.Add(
                    new DriveMember
                    {
                        ContentId = file.Row.Id,
                        Path = member.Path,
                        Size = member.Size,
                        Sha256 = member.Sha256,
                    }
                );
                if (members.Count < MemberRows)
                    continue;
                await db.InsertRowsAsync(members, cancellationToken);
                members.Clear();
            }
        }

        await db.InsertRowsAsync(members, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return true;
    }

    private static async IAsyncEnumerable<MemberLine> ReadMembersAsync(
        string path,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken
    )
    {
        using var reader = new StreamReader(path);
        while (await reader.ReadLineAsync(cancellationToken) is { } line)
            yield return JsonSerializer.Deserialize(line, MemberLineJson.Default.MemberLine)!;
    }

    private async Task RaiseErrorsAsync(
        Drive drive,
        List<(Reserved File, AdditionResult Result)> results,
        CancellationToken cancellationToken
    )
    {
        foreach (
            var (file, result) in results.Where(r =>
                r.Result.Status is not (AdditionStatus.Added or AdditionStatus.NoSpace or AdditionStatus.Unfit)
            )
        )
        {
            Logs.NotPutOn(log, file.Row.FileName, drive.Name, result.Status.ToString(), result.Message);
            var damaged = result.Status is AdditionStatus.SourceDiffers or AdditionStatus.SourceMissing;
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                damaged ? ErrorCategory.DataIntegrity : ErrorCategory.DataAvailability,
                damaged ? $"drive source {file.Row.FileName}" : $"drive {drive.Name} {result.Status}",
                $"'{file.Row.FileName}' was not put on drive '{drive.Name}' ({result.Status}): {result.Message} "
                    + "Nothing of it stayed on the drive; "
                    + $"it is tried again later{(result.Status == AdditionStatus.SourceDiffers ? ", with an intact copy" : "")}.",
                cancellationToken
            );
        }
    }

    /// <summary>A drive's contents and space.</summary>
    /// <param name="Files">Files on it.</param>
    /// <param name="Free">Bytes for further files, after the manifest's share.</param>
    /// <param name="FreeWhenEmpty">The same if the drive were empty.</param>
    private sealed record FreeSpace(long Files, long Free, long FreeWhenEmpty)
    {
        /// <summary>Largest file that fits; -1 for none.</summary>
        public long Largest => Math.Max(-1, Free - SpacePerFile - ReservePerFile);

        /// <summary>Largest file that would fit if the drive were empty.</summary>
        public long LargestEver => Math.Max(-1, FreeWhenEmpty - SpacePerFile - ReservePerFile);
    }

    private sealed record Reserved(
        DriveContent Row,
        FileName Source,
        FileName Name,
        string Checksum,
        long SourceCopy,
        long SourceStore,
        DeletionPolicy Policy
    );
}

/// <summary>Result for a row of <c>drive_contents</c> whose file is on the drive.</summary>
internal sealed record StoredContent(long Id, string? Sha256, long Members);

[System.Text.Json.Serialization.JsonSerializable(typeof(StoredContent[]))]
internal sealed partial class StoredContentJson : System.Text.Json.Serialization.JsonSerializerContext;

/// <summary>
/// The lock on a plugged drive: an operating system lock on a file of the drive, so that a stalled process and its successor do not write
/// at the same time. It ends with its process.
/// </summary>
public sealed class DriveLock : IDisposable
{
    private readonly FileStream _file;

    private DriveLock(FileStream file) => _file = file;

    private const int TryAgain = 11;

    /// <summary>Takes the lock; null when another process holds it, or the drive cannot be written.</summary>
    /// <param name="root">A path of the drive's root.</param>
    /// <param name="why">Which of the two, and what to do.</param>
    public static DriveLock? TryTake(string root, out string why)
    {
        var path = Path.Combine(root, FileName.WorkingDirectory, "lock");
        why = "";
        try
        {
            // A drive comes from elsewhere: its lock must not be a link.
            if (new FileInfo(path).LinkTarget is not null)
                File.Delete(path);
            return new DriveLock(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            why =
                (e.HResult & 0xffff) == TryAgain || e.Message.Contains("being used by another process", StringComparison.Ordinal)
                    ? "Another process works on it; it goes on by itself."
                    : $"It cannot be written: {e.Message} Mount it writable for the site's account, "
                        + "or replace it if the kernel reports errors of the medium (dmesg).";
            return null;
        }
    }

    /// <inheritdoc />
    public void Dispose() => _file.Dispose();
}
