using System.Globalization;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Errors;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>How one round of filling ended.</summary>
public enum FillOutcome
{
    /// <summary>Files were put on and more may fit.</summary>
    More,

    /// <summary>Everything that waits is on some drive, or rests after a failure.</summary>
    Idle,

    /// <summary>Something waits and nothing of it fits.</summary>
    Full,

    /// <summary>The drive is not mounted, or something else is.</summary>
    NotPlugged,

    /// <summary>An earlier drive for the same destination takes files now.</summary>
    StandBy,

    /// <summary>The medium refuses writes.</summary>
    Trouble,

    /// <summary>The drive is no longer being filled.</summary>
    Frozen,
}

/// <summary>Result of one round.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Files">Files put on.</param>
/// <param name="Bytes">Their bytes.</param>
/// <param name="Message">For people.</param>
public sealed record FillResult(FillOutcome Outcome, int Files, long Bytes, string Message);

/// <summary>
/// Puts files on a drive that its destination does not have: oldest first, one copy over all drives for that destination, and what still
/// fits when the next file does not.
/// </summary>
/// <remarks>
/// A round: reserve files (rows COPYING), copy them with <see cref="LocalStore.AddAsync"/>, record instances and contents in one
/// transaction. A crash leaves reservations and perhaps copies, in staging or under their names; the next round begins by
/// removing both, which can only ever be copies that the catalog does not claim. Whoever fills holds a lock on the drive.
/// </remarks>
public sealed class DriveFilling(CatalogDatabase database, SiteStores stores, ErrorLog errors, IOptions<SiteOptions> options, TimeProvider time, ILogger<DriveFilling> log)
{
    private const string StoredOnSqlite = """
        update drive_contents set state = 'STORED', sha256 = j.sha, members = j.members, retry_after = null, failures = 0
        from (select e.value->>'Id' as id, e.value->>'Sha256' as sha, e.value->>'Members' as members from json_each({0}) as e) as j where drive_contents.id = j.id and drive_contents.state = 'COPYING'
        """;

    // The empty string hides the state from the planner: statistics never know of rows that are being copied, and for what it takes to be one row
    // it would read the whole list once for each of them.
    private const string StoredOnPostgreSql = """
        update drive_contents set state = 'STORED', sha256 = j."Sha256", members = j."Members", retry_after = null, failures = 0
        from json_to_recordset({0}::json) as j("Id" bigint, "Sha256" text, "Members" bigint) where drive_contents.id = j."Id" and drive_contents.state || '' = 'COPYING'
        """;

    private const int RoundFiles = 2048;
    private const int MemberRows = 1000;
    private const long RoundBytes = 4L << 30;
    private const long Reserve = 1 << 20;
    private const long ReservePerFile = 2048;
    private const long SpacePerFile = 4096;
    private static readonly TimeSpan FirstRest = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LongestRest = TimeSpan.FromHours(6);

    private DateTime Now => time.GetUtcNow().UtcDateTime;

    /// <summary>Puts one round of files on a drive.</summary>
    /// <param name="driveRow">The drive.</param>
    /// <param name="onBytes">Is told bytes as they are copied.</param>
    /// <param name="cancellationToken">Stops between files.</param>
    public async Task<FillResult> RoundAsync(long driveRow, Action<long>? onBytes, CancellationToken cancellationToken)
    {
        Drive drive;
        await using (var db = database.Open())
        {
            drive = await db.Drives.AsNoTracking().SingleAsync(d => d.Id == driveRow, cancellationToken);
            if (drive.State != DriveState.Filling) return new FillResult(FillOutcome.Frozen, 0, 0, $"Drive '{drive.Name}' is not being filled.");
            await stores.RefreshDrivesAsync(db, cancellationToken);
            await PlannerStatistics.RefreshStaleAsync(db, cancellationToken, "drive_contents", "files", "instances", "outgoing_transfers", "remote_instances");
        }

        using var medium = new DriveMedium(drive).TryHold();
        if (medium is null) return NotPlugged(drive);
        if (medium.Marker!.Trip != drive.Trip)
            return new FillResult(FillOutcome.Trouble, 0, 0, $"The marker of drive '{drive.Name}' says trip {medium.Marker.Trip}, the catalog says {drive.Trip}: the catalog was restored from an older backup, or the drive is a copy. Nothing is written. If nothing on it is needed, give it up (librarian drive recycle CONN {drive.Name} --lost), make a new file system on it and initialise it again.");
        using var hold = DriveLock.TryTake(medium.Path, out var why);
        if (hold is null) return new FillResult(FillOutcome.Trouble, 0, 0, $"Drive '{drive.Name}' is not filled: {medium.Shown(why)}");
        if (await EarlierDriveAsync(drive, cancellationToken) is { } earlier)
            return new FillResult(FillOutcome.StandBy, 0, 0, $"Drive '{earlier}' is filled first.");
        if (!await DropUnfinishedAsync(drive, medium, cancellationToken))
            return new FillResult(FillOutcome.Trouble, 0, 0, $"Drive '{drive.Name}' refuses the removal of a copy that was interrupted. It is tried again; if it stays so, look at the medium (dmesg).");
        var reserved = await ReserveAsync(drive, medium, cancellationToken);
        if (reserved.Outcome is { } outcome) return outcome;
        return await CopyAsync(drive, medium, reserved.Files, onBytes, cancellationToken);
    }

    private static FillResult NotPlugged(Drive drive) => new(FillOutcome.NotPlugged, 0, 0,
        $"{drive.MountPath} is not drive '{drive.Name}' (its marker {DriveMarker.FileName} is missing or another drive's). Nothing is written there; plug the drive in and mount it, filling goes on by itself.");

    /// <summary>The first plugged drive for the destination takes everything; the others wait for it to be full.</summary>
    private async Task<string?> EarlierDriveAsync(Drive drive, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var earlier = await db.Drives.AsNoTracking().Where(d => d.Destination == drive.Destination && d.State == DriveState.Filling
            && (d.StateSince < drive.StateSince || (d.StateSince == drive.StateSince && d.Id < drive.Id))).OrderBy(d => d.StateSince).ThenBy(d => d.Id).ToListAsync(cancellationToken);
        return earlier.Find(d => d.Problem is null && new DriveMedium(d).IsPlugged)?.Name;
    }

    private async Task<bool> DropUnfinishedAsync(Drive drive, HeldDrive medium, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        while (true)
        {
            var left = await db.DriveContents.AsNoTracking().Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Copying).OrderBy(c => c.Id).Take(RoundFiles).ToListAsync(cancellationToken);
            if (left.Count == 0) return true;
            List<long> ids = [];
            foreach (var content in left)
            {
                // What cannot be removed now keeps its row, so that it is not forgotten.
                if (await DropDataAsync(medium, content.FileName, content.AdditionId, cancellationToken)) ids.Add(content.Id);
            }

            if (ids.Count == 0) return false;
            await db.DriveContents.Where(c => ids.Contains(c.Id) && c.State == DriveContentState.Copying).ExecuteDeleteAsync(cancellationToken);
        }
    }

    /// <summary>Removes what a copy left on the drive; the catalog has never claimed it.</summary>
    private static async Task<bool> DropDataAsync(HeldDrive medium, string name, Guid addition, CancellationToken cancellationToken) =>
        (await medium.Store.RemoveStagingAsync(addition, cancellationToken)).IsGone
        && (!StorePath.TryParse(name, out var path, out _) || (await medium.Store.DeleteAsync(path, cancellationToken)).IsGone);

    private async Task<(FillResult? Outcome, List<Reserved> Files)> ReserveAsync(Drive drive, HeldDrive medium, CancellationToken cancellationToken)
    {
        var now = Now;
        await using var db = database.Open();
        var held = await db.DriveContents.Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Stored).GroupBy(c => 1)
            .Select(g => new { Files = g.Count(), Members = g.Sum(c => c.Members) }).SingleOrDefaultAsync(cancellationToken);
        // The manifest and its pages need room too, and they come last.
        var free = medium.Store.FreeBytes();
        if (free < 0) return (NotPlugged(drive), []);
        var room = free - Reserve - (ReservePerFile * ((held?.Files ?? 0) + (held?.Members ?? 0)));
        var (destination, largest) = (drive.Destination, Math.Max(-1, room - SpacePerFile - ReservePerFile));
        var wanted = db.Files.AsNoTracking()
            .Where(f => f.Source != destination)
            .Where(f => !db.RemoteInstances.Any(r => r.FileName == f.Name && r.Librarian!.Name == destination))
            // What a link has begun to move is left to it; what only waits for the link is not.
            .Where(f => !db.OutgoingTransfers.Any(t => t.FileName == f.Name && t.Destination == destination && (t.Status == TransferStatus.Ongoing || t.Status == TransferStatus.Staged)))
            .Where(f => !db.DriveContents.Any(c => c.FileName == f.Name && c.Destination == destination
                && (c.State == DriveContentState.Copying || c.State == DriveContentState.Stored || c.RetryAfter > now)))
            .Where(f => f.Instances.Any(i => i.Available && !db.Drives.Any(d => d.StoreId == i.StoreId)));
        var page = await wanted.Where(f => f.Size <= largest).OrderBy(f => f.CreateTime).ThenBy(f => f.Name).Take(RoundFiles)
            .Select(f => new
            {
                f.Name,
                f.Size,
                f.Checksum,
                f.Uploader,
                f.Source,
                Instances = f.Instances.Where(i => i.Available && !db.Drives.Any(d => d.StoreId == i.StoreId)).OrderBy(i => i.Id).Select(i => new { i.StoreId, i.Path, i.DeletionPolicy }).ToList(),
            })
            .ToListAsync(cancellationToken);
        if (page.Count == 0)
        {
            var waiting = await wanted.OrderBy(f => f.Size).Select(f => new { f.Name, f.Size }).FirstOrDefaultAsync(cancellationToken);
            if (waiting is null) return (new FillResult(FillOutcome.Idle, 0, 0, "Every file is on its way or at its destination."), []);
            return held is null
                ? (new FillResult(FillOutcome.Trouble, 0, 0, $"Even the smallest file that waits, '{waiting.Name}' of {waiting.Size} bytes, does not fit on the empty drive. Use a larger drive."), [])
                : (new FillResult(FillOutcome.Full, 0, 0, $"The smallest file that waits has {waiting.Size} bytes; {Math.Max(0, room)} are left."), []);
        }

        var (chosen, fresh, unfit) = (new List<(StorePath Name, string Checksum, long Store, DeletionPolicy Policy)>(), new List<DriveContent>(), new List<(string Name, string Why)>());
        var bytes = 0L;
        var earlier = await db.DriveContents.Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Failed && page.Select(p => p.Name).Contains(c.FileName)).ToDictionaryAsync(c => c.FileName, cancellationToken);
        foreach (var file in page)
        {
            if (chosen.Count > 0 && bytes + file.Size > RoundBytes) break;
            if (file.Size + SpacePerFile + ReservePerFile > room) continue;
            var addition = Guid.NewGuid();
            if (earlier.TryGetValue(file.Name, out var row)) (row.State, row.AdditionId, row.RetryAfter) = (DriveContentState.Copying, addition, null);
            else
            {
                row = new DriveContent { DriveRow = drive.Id, FileName = file.Name, Destination = destination, State = DriveContentState.Copying, AdditionId = addition, Size = file.Size };
                fresh.Add(row);
            }

            var refusal = LineRules.FileRefusal(file.Name, file.Checksum, file.Uploader, file.Source);
            if (!StorePath.TryParse(file.Name, out var name, out _) || refusal is not null)
            {
                (row.State, row.RetryAfter) = (DriveContentState.Failed, now + LongestRest);
                unfit.Add((file.Name, refusal ?? "it is no name in a store"));
                continue;
            }

            room -= file.Size + SpacePerFile + ReservePerFile;
            bytes += file.Size;

            var instance = file.Instances.Find(i => stores.Find(i.StoreId) is not null) ?? file.Instances[0];
            chosen.Add((name, file.Checksum, instance.StoreId, instance.DeletionPolicy));
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
            await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.DataAvailability, $"drive name {name}",
                $"'{name}' is not put on drives: {refusal}. Nothing was lost; ingest it again under another name, or send it over a link.", cancellationToken);
        }

        if (chosen.Count == 0) return (new FillResult(FillOutcome.More, 0, 0, "Some names cannot be put on drives."), []);
        // All that this drive is copying: what an earlier round had left is dropped by now.
        var rows = await db.DriveContents.AsNoTracking().Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Copying).ToDictionaryAsync(c => c.FileName, StringComparer.Ordinal, cancellationToken);
        if (!chosen.TrueForAll(c => rows.ContainsKey(c.Name.Value))) return (new FillResult(FillOutcome.Frozen, 0, 0, $"Drive '{drive.Name}' was frozen or given up meanwhile. What was copied since is removed from it again and waits for the next drive."), []);
        return (null, chosen.ConvertAll(c => new Reserved(rows[c.Name.Value], c.Name, c.Checksum, c.Store, c.Policy)));
    }

    private async Task<FillResult> CopyAsync(Drive drive, HeldDrive medium, List<Reserved> files, Action<long>? onBytes, CancellationToken cancellationToken)
    {
        var spool = Directory.CreateDirectory(Path.Combine(options.Value.DataDirectory, "spool", drive.DriveId.ToString("D"))).FullName;
        var results = new List<(Reserved File, AdditionResult Result)>();
        foreach (var group in files.GroupBy(f => f.SourceStore))
        {
            var additions = group.ToDictionary(f => f.Row.AdditionId, f => f);
            if (stores.Find(group.Key) is not { } source)
            {
                results.AddRange(group.Select(f => (f, new AdditionResult(Of(f), AdditionStatus.SourceError, "The store of its copy is not mounted."))));
                continue;
            }

            var done = await medium.Store.AddAsync(source, [.. group.Select(Of)],
                new AdditionOptions { Parallelism = options.Value.Drives.Parallelism, SpoolDirectory = spool, OnBytes = onBytes, RefuseMember = LineRules.MemberRefusal }, cancellationToken);
            results.AddRange(done.Select(r => (additions[r.Addition.Id], r)));
        }

        // A medium that was pulled out says nothing about files: what it did not take stays reserved, and the next round begins by dropping that.
        var answers = medium.Answers();
        if (!answers) results.RemoveAll(r => r.Result.Status != AdditionStatus.Added);
        var recorded = await RecordAsync(drive, results, cancellationToken);
        foreach (var (_, result) in results.Where(r => r.Result.MembersFile is not null)) File.Delete(result.MembersFile!);
        if (!recorded)
        {
            // Frozen meanwhile: its manifest does not list these, so they may not stay.
            foreach (var (file, result) in results.Where(r => r.Result.Status == AdditionStatus.Added)) await DropDataAsync(medium, file.Row.FileName, result.Addition.Id, cancellationToken);
            return new FillResult(FillOutcome.Frozen, 0, 0, $"Drive '{drive.Name}' was frozen or given up meanwhile. What was copied since is removed from it again and waits for the next drive.");
        }

        var added = results.Where(r => r.Result.Status == AdditionStatus.Added).ToList();
        var bad = results.Where(r => r.Result.Status is AdditionStatus.IoError or AdditionStatus.CopyDiffers).ToList();
        await TellAsync(drive, results, cancellationToken);
        if (!answers) return NotPlugged(drive);
        var bytes = added.Sum(r => r.File.Row.Size);
        if (added.Count == 0 && bad.Count > 0) return new FillResult(FillOutcome.Trouble, 0, 0, $"Drive '{drive.Name}' refuses writes: {bad[0].Result.Message}");
        if (added.Count == 0 && results.Exists(r => r.Result.Status == AdditionStatus.NoSpace)) return new FillResult(FillOutcome.Full, 0, 0, $"Drive '{drive.Name}' has no room for what waits.");
        return new FillResult(FillOutcome.More, added.Count, bytes, string.Create(CultureInfo.InvariantCulture, $"{added.Count} files, {bytes} bytes put on."));

        static Addition Of(Reserved f) => new(f.Name, f.Name, new ContentDescription(Checksum.Parse(f.Checksum), f.Row.Size), f.Row.AdditionId);
    }

    /// <summary>One transaction for the whole round; false when the drive is no longer being filled.</summary>
    private async Task<bool> RecordAsync(Drive drive, List<(Reserved File, AdditionResult Result)> results, CancellationToken cancellationToken)
    {
        var now = Now;
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        // Also locks the row, so that a freeze comes wholly before or wholly after.
        if (await db.Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Filling && d.Trip == drive.Trip).ExecuteUpdateAsync(s => s.SetProperty(d => d.Trip, d => d.Trip), cancellationToken) == 0)
        {
            await db.DriveContents.Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Copying && db.Drives.Any(d => d.Id == drive.Id && d.Trip == drive.Trip)).ExecuteDeleteAsync(cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            return false;
        }

        var added = results.Where(r => r.Result.Status == AdditionStatus.Added).ToList();
        var stored = JsonSerializer.Serialize([.. added.Select(r => new StoredContent(r.File.Row.Id, r.Result.Sha256, r.Result.Files))], StoredContentJson.Default.StoredContentArray);
        // Fewer: somebody gave the drive up and reserved anew while a medium hung; nothing of this round counts.
        if (await db.Database.ExecuteSqlRawAsync(database.Kind == DatabaseKind.Sqlite ? StoredOnSqlite : StoredOnPostgreSql, [stored], cancellationToken) != added.Count) return false;
        var onDrive = new DriveMedium(drive).Store;
        await db.InsertRowsAsync(added.Select(r => new Instance
        {
            Path = onDrive.Locate(r.File.Name),
            FileName = r.File.Row.FileName,
            StoreId = drive.StoreId,
            DeletionPolicy = r.File.Policy,
            CreatedTime = now,
            Available = true,
        }), cancellationToken);
        foreach (var (file, _) in results.Where(r => r.Result.Status != AdditionStatus.Added))
        {
            var row = file.Row;
            db.DriveContents.Attach(row);
            row.State = DriveContentState.Failed;
            row.Failures++;
            row.RetryAfter = now + TimeSpan.FromTicks(Math.Min(LongestRest.Ticks, FirstRest.Ticks << Math.Min(row.Failures - 1, 16)));
        }

        await db.SaveChangesAsync(cancellationToken);
        // Members of many small directories go in together, those of a large one in parts: a fixed number of rows is in memory.
        var members = new List<DriveMember>(MemberRows);
        foreach (var (file, result) in added.Where(r => r.Result.MembersFile is not null))
        {
            await foreach (var member in ReadMembersAsync(result.MembersFile!, cancellationToken))
            {
                members.Add(new DriveMember { ContentId = file.Row.Id, Path = member.Path, Size = member.Size, Sha256 = member.Sha256 });
                if (members.Count < MemberRows) continue;
                await db.InsertRowsAsync(members, cancellationToken);
                members.Clear();
            }
        }

        await db.InsertRowsAsync(members, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return true;
    }

    private static async IAsyncEnumerable<MemberLine> ReadMembersAsync(string path, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var reader = new StreamReader(path);
        while (await reader.ReadLineAsync(cancellationToken) is { } line) yield return JsonSerializer.Deserialize(line, MemberLineJson.Default.MemberLine)!;
    }

    private async Task TellAsync(Drive drive, List<(Reserved File, AdditionResult Result)> results, CancellationToken cancellationToken)
    {
        foreach (var (file, result) in results.Where(r => r.Result.Status is not (AdditionStatus.Added or AdditionStatus.NoSpace)))
        {
            Logs.NotPutOn(log, file.Row.FileName, drive.Name, result.Status.ToString(), result.Message);
            var damaged = result.Status is AdditionStatus.SourceDiffers or AdditionStatus.SourceMissing;
            await errors.RaiseAsync(ErrorSeverity.Error, damaged ? ErrorCategory.DataIntegrity : ErrorCategory.DataAvailability,
                damaged ? $"drive source {file.Row.FileName}" : $"drive {drive.Name} {result.Status}",
                $"'{file.Row.FileName}' was not put on drive '{drive.Name}' ({result.Status}): {result.Message} Nothing of it stayed on the drive; it is tried again later.", cancellationToken);
        }
    }

    private sealed record Reserved(DriveContent Row, StorePath Name, string Checksum, long SourceStore, DeletionPolicy Policy);
}

/// <summary>What became of a row of <c>drive_contents</c> whose file is on the drive.</summary>
internal sealed record StoredContent(long Id, string? Sha256, long Members);

[System.Text.Json.Serialization.JsonSerializable(typeof(StoredContent[]))]
internal sealed partial class StoredContentJson : System.Text.Json.Serialization.JsonSerializerContext;

/// <summary>
/// The right to work on a plugged drive: an operating system lock on a file of the drive, so that a stalled process and its successor do not
/// write at the same time. It ends with its process.
/// </summary>
public sealed class DriveLock : IDisposable
{
    private readonly FileStream _file;

    private DriveLock(FileStream file) => _file = file;

    private const int TryAgain = 11;

    /// <summary>Null when somebody holds it, or the drive cannot be written.</summary>
    /// <param name="root">A path of the drive's root.</param>
    /// <param name="why">Which of the two, and what to do.</param>
    public static DriveLock? TryTake(string root, out string why)
    {
        var path = Path.Combine(root, StorePath.WorkingDirectory, "lock");
        why = "";
        try
        {
            // A drive comes from elsewhere: its lock is no link.
            if (new FileInfo(path).LinkTarget is not null) File.Delete(path);
            return new DriveLock(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            why = (e.HResult & 0xffff) == TryAgain || e.Message.Contains("being used by another process", StringComparison.Ordinal)
                ? "Another process works on it; it goes on by itself."
                : $"It cannot be written: {e.Message} Mount it writable for the site's account, or replace it if the kernel reports errors of the medium (dmesg).";
            return null;
        }
    }

    /// <inheritdoc />
    public void Dispose() => _file.Dispose();
}

/// <summary>Log lines of drives; event ids 2300 to 2349.</summary>
internal static partial class Logs
{
    [LoggerMessage(2300, LogLevel.Warning, "{File} was not put on drive {Drive} ({Status}): {Message}")]
    public static partial void NotPutOn(ILogger logger, string file, string drive, string status, string message);

    [LoggerMessage(2301, LogLevel.Warning, "{File} was not taken from drive {Drive}: {Message}")]
    public static partial void NotIngested(ILogger logger, string file, string drive, string message);
}
