using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;
using Librarian.Domain.Transfers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>The answer to a request about a drive: a refusal or success.</summary>
/// <param name="Code">Stable; <c>drive.ok</c> on success.</param>
/// <param name="Message">What happened, what was not lost, what to do next.</param>
public sealed record DriveAnswer(string Code, string Message)
{
    /// <summary>Whether it is a success.</summary>
    public bool IsOk => Code == Ok;

    /// <summary>Code of success.</summary>
    public const string Ok = "drive.ok";

    /// <summary>Success with a message.</summary>
    public static DriveAnswer Done(string message) => new(Ok, message);
}

/// <summary>Freezes a drive and writes its manifest: to the site's archive, which is authoritative, and from there to the drive.</summary>
/// <remarks>
/// The freeze is one transaction of a fixed number of statements: state, transfers, availability of the copies. Afterwards the rows behind
/// the manifest do not change, so it can be written any number of times with the same bytes, and a lost answer loses nothing. A crash while
/// the archive is written leaves a temporary file that the next attempt replaces; a crash while the drive is written leaves files that the
/// next attempt replaces. Transfers cannot be acknowledged before the manifest has left the archive, because their ids are in it.
/// </remarks>
public sealed class DriveDispatch(CatalogDatabase database, SiteSigningKey key, IOptions<SiteOptions> options, TimeProvider time)
{
    private const int Page = 1000;

    /// <summary>Directory of manifests and receipts.</summary>
    public string Archive =>
        Security
            .PrivateFile.CreateDirectory(
                string.IsNullOrEmpty(options.Value.Drives.ArchiveDirectory)
                    ? Path.Combine(options.Value.DataDirectory, "drives")
                    : options.Value.Drives.ArchiveDirectory
            )
            .FullName;

    /// <summary>Path of a trip's manifest in the archive.</summary>
    public string ManifestPath(Drive drive)
    {
        ArgumentNullException.ThrowIfNull(drive);
        return Path.Combine(Archive, $"{drive.Name}-trip-{drive.Trip}-{drive.DriveId:N}.manifest.jsonl");
    }

    /// <summary>
    /// Ends the filling and opens a transfer for every file on the drive, in the caller's transaction. Repeating it on a frozen drive is
    /// harmless.
    /// </summary>
    /// <returns>The answer, and the transfers over a link that were cancelled because the drive carries their files.</returns>
    public async Task<(DriveAnswer Answer, IReadOnlyList<long> Cancelled)> FreezeAsync(
        CatalogContext db,
        Drive drive,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(drive);
        CatalogDatabase.AllowLongStatements(db);
        if (drive.State == DriveState.InTransit)
        {
            // Requested again with the drive plugged in: the manifest is written anew, whatever happened to the one on the drive.
            if (drive.ManifestOnDrive && new DriveMedium(drive).IsPlugged)
                await db
                    .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.InTransit)
                    .ExecuteUpdateAsync(s => s.SetProperty(d => d.ManifestOnDrive, false), cancellationToken);
            return (DriveAnswer.Done($"Drive '{drive.Name}' is frozen already."), []);
        }

        if (drive.State is not (DriveState.Filling or DriveState.Full))
            return (
                new DriveAnswer(
                    "drive.wrong_state",
                    $"Drive '{drive.Name}' is {drive.State}: there is nothing to write a manifest of. Nothing was changed."
                ),
                []
            );
        var now = time.GetUtcNow().UtcDateTime;
        var (row, destination) = (drive.Id, drive.Destination);
        var locked = await db
            .Drives.Where(d => d.Id == row && (d.State == DriveState.Filling || d.State == DriveState.Full))
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(d => d.State, DriveState.InTransit)
                        .SetProperty(d => d.StateSince, now)
                        .SetProperty(d => d.ManifestTime, now)
                        .SetProperty(d => d.ManifestSha256, (string?)null)
                        .SetProperty(d => d.ManifestOnDrive, false)
                        .SetProperty(d => d.Problem, (string?)null),
                cancellationToken
            );
        if (locked == 0)
            return (
                new DriveAnswer("drive.wrong_state", $"Drive '{drive.Name}' changed at this moment. Nothing was changed; ask again."),
                []
            );
        await db.DriveContents.Where(c => c.DriveRow == row && c.State != DriveContentState.Stored).ExecuteDeleteAsync(cancellationToken);
        if (!await db.DriveContents.AnyAsync(c => c.DriveRow == row, cancellationToken))
            return (new DriveAnswer("drive.empty", $"Drive '{drive.Name}' holds no files. Nothing was changed."), []);

        // The drive replaces transfers that wait for, or are on, the link.
        var online = await db
            .OutgoingTransfers.Where(t =>
                t.Destination == destination
                && OutgoingTransfers.Unfinished.Contains(t.Status)
                && db.DriveContents.Any(c => c.DriveRow == row && c.FileName == t.FileName)
            )
            .Select(t => t.Id)
            .ToListAsync(cancellationToken);
        await db
            .OutgoingTransfers.Where(t =>
                t.Destination == destination
                && OutgoingTransfers.Unfinished.Contains(t.Status)
                && db.DriveContents.Any(c => c.DriveRow == row && c.FileName == t.FileName)
            )
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Cancelled)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.FailureReason, "The file travels on a drive instead."),
                cancellationToken
            );
        await PlannerStatistics.RefreshAsync(db, cancellationToken, "drive_contents", "files", "instances");
        await db.Database.ExecuteSqlAsync(
            $"""
            INSERT INTO outgoing_transfers (status, destination, transfer_size, transfer_checksum, start_time, file_name, instance_id,
                source_path, transfer_manager_name)
            SELECT 'ONGOING', {destination}, f.size, f.checksum, {now}, f.name, i.id, i.path, 'drive'
            FROM drive_contents c JOIN files f ON f.name = c.file_name
                JOIN instances i ON i.file_name = c.file_name AND i.store_id = {drive.StoreId}
            WHERE c.drive_row = {row} AND NOT EXISTS (
                SELECT 1 FROM remote_instances r JOIN librarians l ON l.id = r.librarian_id
                WHERE r.file_name = c.file_name AND l.name = {destination}
            )
            ORDER BY c.id
            """,
            cancellationToken
        );
        await PlannerStatistics.RefreshAsync(db, cancellationToken, "outgoing_transfers");
        await db.Database.ExecuteSqlAsync(
            $"""
            UPDATE drive_contents SET outgoing_transfer_id = (SELECT t.id FROM outgoing_transfers t
                WHERE t.file_name = drive_contents.file_name AND t.destination = {destination} AND t.status = 'ONGOING')
            WHERE drive_row = {row}
            """,
            cancellationToken
        );
        await db
            .Copies.Where(i => i.StoreId == drive.StoreId)
            .ExecuteUpdateAsync(s => s.SetProperty(i => i.Available, false), cancellationToken);
        return (DriveAnswer.Done($"Drive '{drive.Name}' is frozen; its manifest is being written."), online);
    }

    /// <summary>Writes the manifest of a frozen drive to the archive, unless it is there, and to the drive if that is plugged.</summary>
    public async Task<DriveAnswer> WriteAsync(long driveRow, CancellationToken cancellationToken)
    {
        Drive drive;
        await using (var db = database.Open())
            drive = await db.Drives.AsNoTracking().SingleAsync(d => d.Id == driveRow, cancellationToken);
        if (drive.State != DriveState.InTransit || drive.ManifestOnDrive)
            return DriveAnswer.Done($"Drive '{drive.Name}' has its manifest.");
        var path = ManifestPath(drive);
        if (drive.ManifestSha256 is null || !File.Exists(path))
        {
            var seal = await ArchiveAsync(drive, path, drive.ManifestSha256, cancellationToken);
            if (drive.ManifestSha256 is { } before && before != seal.Sha256)
                return new DriveAnswer(
                    "drive.archive_lost",
                    $"The archived manifest of drive '{drive.Name}' is missing ({path}) "
                        + $"and could not be made again with the same bytes. Copy {ManifestWriter.FileName} from the drive to that path."
                );
            await using var db = database.Open();
            await db
                .Drives.Where(d => d.Id == driveRow)
                .ExecuteUpdateAsync(s => s.SetProperty(d => d.ManifestSha256, seal.Sha256), cancellationToken);
            drive.ManifestSha256 = seal.Sha256;
        }

        using var medium = new DriveMedium(drive).TryHold();
        if (medium is null)
            return new DriveAnswer(
                "drive.not_plugged",
                $"The manifest is in the archive, but {drive.MountPath} is not drive '{drive.Name}'. "
                    + "Plug it in and mount it; the manifest is then written to it by itself."
            );
        if (medium.Marker!.Trip != drive.Trip)
            return new DriveAnswer(
                "drive.other_trip",
                $"The marker of drive '{drive.Name}' says trip {medium.Marker.Trip}, the catalog says {drive.Trip}: "
                    + "the catalog was restored from an older backup, or the drive is a copy. "
                    + "No manifest is written to it, because no destination would take it."
            );
        try
        {
            using var hold = DriveLock.TryTake(medium.Path, out var why);
            if (hold is null)
                return new DriveAnswer(
                    "drive.busy",
                    $"The manifest is in the archive, but not on drive '{drive.Name}': {medium.Shown(why)}"
                );
            await CopyAsync(path, medium.Path, ManifestWriter.FileName, cancellationToken);
            await DrivePages.WriteAsync(path, medium.Path, cancellationToken);
            var written = await ManifestReader.CheckAsync(Path.Combine(medium.Path, ManifestWriter.FileName), cancellationToken);
            if (written.Seal?.Sha256 != drive.ManifestSha256)
                return new DriveAnswer(
                    "drive.write_failed",
                    $"The manifest was written to drive '{drive.Name}' and could not be read back: "
                        + $"{medium.Shown(written.Refusal?.Message) ?? "it is another one"} Nothing was lost; it is tried again. "
                        + "If it stays so, the medium is bad."
                );
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer(
                "drive.write_failed",
                $"The manifest is in the archive, but could not be written to drive '{drive.Name}': {medium.Shown(e.Message)}. "
                    + "Nothing was lost; it is tried again."
            );
        }

        await using (var db = database.Open())
            await db
                .Drives.Where(d => d.Id == driveRow && d.State == DriveState.InTransit)
                .ExecuteUpdateAsync(
                    s => s.SetProperty(d => d.ManifestOnDrive, true).SetProperty(d => d.Problem, (string?)null),
                    cancellationToken
                );
        return DriveAnswer.Done($"Drive '{drive.Name}' has its manifest and may be unplugged.");
    }

    /// <summary>
    /// Writes the archived manifest; the file is kept only if its digest is <paramref name="expected"/>, or none is expected.
    /// </summary>
    private async Task<ManifestSeal> ArchiveAsync(Drive drive, string path, string? expected, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        CatalogDatabase.AllowLongStatements(db);
        var totals = await db
            .DriveContents.Where(c => c.DriveRow == drive.Id)
            .GroupBy(c => 1)
            .Select(g => new
            {
                Files = g.LongCount(),
                Members = g.Sum(c => c.Members),
                Bytes = g.Sum(c => c.Size),
            })
            .SingleAsync(cancellationToken);
        var directory = Path.GetDirectoryName(path)!;
        await using var file = DriveFile.Create(directory, Path.GetFileName(path), isPrivate: true);
        var writer = new ManifestWriter(file.Stream);
        await writer.WriteHeaderAsync(
            new ManifestHeader
            {
                Site = options.Value.Name,
                SiteKey = key.PublicKey,
                DriveId = drive.DriveId,
                Drive = drive.Name,
                Trip = drive.Trip,
                Destination = drive.Destination,
                Created = drive.ManifestTime!.Value,
                Files = totals.Files,
                Members = totals.Members,
                Bytes = totals.Bytes,
            },
            cancellationToken
        );
        for (var last = 0L; ; )
        {
            var after = last;
            var page = await db
                .DriveContents.AsNoTracking()
                .Where(c => c.DriveRow == drive.Id && c.Id > after)
                .OrderBy(c => c.Id)
                .Take(Page)
                .Join(db.Files, c => c.FileName, f => f.Name, (c, f) => new { Content = c, File = f })
                .Select(x => new
                {
                    x.Content,
                    x.File,
                    Policy = x.File.Copies.Where(i => i.StoreId == drive.StoreId).Select(i => i.DeletionPolicy).FirstOrDefault(),
                })
                .OrderBy(x => x.Content.Id)
                .ToListAsync(cancellationToken);
            if (page.Count == 0)
                break;
            last = page[^1].Content.Id;
            await using var members = Members(drive, after, last, cancellationToken).GetAsyncEnumerator(cancellationToken);
            var more = await members.MoveNextAsync();
            foreach (var entry in page)
            {
                var directoryEntry = entry.Content.Sha256 is null;
                await writer.WriteFileAsync(
                    new ManifestFile
                    {
                        Name = entry.File.Name,
                        Size = entry.File.Size,
                        Checksum = entry.File.Checksum,
                        Sha256 = entry.Content.Sha256,
                        Members = directoryEntry ? entry.Content.Members : null,
                        CreateTime = entry.File.CreateTime,
                        Uploader = entry.File.Uploader,
                        Source = entry.File.Source,
                        DeletionPolicy = entry.Policy,
                        OutgoingTransferId = entry.Content.OutgoingTransferId ?? -1,
                    },
                    cancellationToken
                );
                for (; more && members.Current.ContentId == entry.Content.Id; more = await members.MoveNextAsync())
                    await writer.WriteMemberAsync(
                        new ManifestMember(members.Current.Path, members.Current.Size, members.Current.Sha256),
                        cancellationToken
                    );
            }
        }

        var seal = await writer.EndAsync(key, cancellationToken);
        if (expected is null || expected == seal.Sha256)
            await file.CommitAsync(cancellationToken);
        return seal;
    }

    /// <summary>Members of the directories in a page of contents, in their order; one statement for each thousand members.</summary>
    private async IAsyncEnumerable<DriveMember> Members(
        Drive drive,
        long after,
        long last,
        [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellationToken = default
    )
    {
        await using var db = database.Open();
        var (content, path) = (after, "");
        while (true)
        {
            // The rest of one directory, then the next ones: each is one range of the key. As one condition, every page of a directory
            // would read all its earlier pages.
            var (c, p) = (content, path);
            var page =
                path.Length == 0
                    ? []
                    : await db
                        .DriveMembers.AsNoTracking()
                        .Where(m => m.ContentId == c && string.Compare(m.Path, p) > 0)
                        .OrderBy(m => m.Path)
                        .Take(Page)
                        .ToListAsync(cancellationToken);
            if (page.Count < Page)
            {
                page.AddRange(
                    await db
                        .DriveMembers.AsNoTracking()
                        .Where(m =>
                            m.ContentId > c
                            && m.ContentId <= last
                            && db.DriveContents.Any(d => d.Id == m.ContentId && d.DriveRow == drive.Id)
                        )
                        .OrderBy(m => m.ContentId)
                        .ThenBy(m => m.Path)
                        .Take(Page - page.Count)
                        .ToListAsync(cancellationToken)
                );
            }

            foreach (var member in page)
                yield return member;
            if (page.Count < Page)
                yield break;
            (content, path) = (page[^1].ContentId, page[^1].Path);
        }
    }

    private static async Task CopyAsync(string source, string root, string name, CancellationToken cancellationToken)
    {
        await using var from = new FileStream(
            source,
            FileMode.Open,
            FileAccess.Read,
            FileShare.Read,
            1 << 16,
            FileOptions.Asynchronous | FileOptions.SequentialScan
        );
        await using var to = DriveFile.Create(root, name);
        await from.CopyToAsync(to.Stream, cancellationToken);
        await to.CommitAsync(cancellationToken);
    }
}
