using System.Runtime.CompilerServices;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>Records what a round has put on a drive.</summary>
public sealed class FillRecording(CatalogDatabase database, TimeProvider time)
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

    private const int MemberRows = 1000;

    /// <summary>Records the whole round in one transaction; false when the drive is no longer being filled.</summary>
    internal async Task<bool> RecordAsync(
        Drive drive,
        List<(ReservedFile File, AdditionResult Result)> results,
        CancellationToken cancellationToken
    )
    {
        var now = time.GetUtcNow().UtcDateTime;
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        if (!await TryLockAsync(db, drive, cancellationToken))
        {
            await DropReservationsAsync(db, drive, cancellationToken);
            await transaction.CommitAsync(cancellationToken);
            return false;
        }

        var added = results.Where(r => r.Result.Status == AdditionStatus.Added).ToList();
        // Fewer rows: the drive was written off and filled anew while the medium hung; nothing of this round counts.
        if (await MarkStoredAsync(db, added, cancellationToken) != added.Count)
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
            Pause(db, file.Row, result.Status, now);
        await db.SaveChangesAsync(cancellationToken);
        await InsertMembersAsync(db, added, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        return true;
    }

    /// <summary>Locks the drive's row, so that a freeze comes wholly before or wholly after; false when it is not being filled.</summary>
    private static async Task<bool> TryLockAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken) =>
        await db
            .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Filling && d.Trip == drive.Trip)
            .ExecuteUpdateAsync(s => s.SetProperty(d => d.Trip, d => d.Trip), cancellationToken) > 0;

    private static async Task DropReservationsAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken) =>
        await db
            .DriveContents.Where(c =>
                c.DriveRow == drive.Id
                && c.State == DriveContentState.Copying
                && db.Drives.Any(d => d.Id == drive.Id && d.Trip == drive.Trip)
            )
            .ExecuteDeleteAsync(cancellationToken);

    /// <summary>Marks the reservations of added files as stored; returns the number of rows.</summary>
    private async Task<int> MarkStoredAsync(
        CatalogContext db,
        List<(ReservedFile File, AdditionResult Result)> added,
        CancellationToken cancellationToken
    )
    {
        var stored = JsonSerializer.Serialize(
            [.. added.Select(r => new StoredContent(r.File.Row.Id, r.Result.Sha256, r.Result.Files))],
            StoredContentJson.Default.StoredContentArray
        );
        return await db.Database.ExecuteSqlRawAsync(
            database.Kind == DatabaseKind.Sqlite ? StoredOnSqlite : StoredOnPostgreSql,
            [stored],
            cancellationToken
        );
    }

    private static void Pause(CatalogContext db, DriveContent row, AdditionStatus status, DateTime now)
    {
        db.DriveContents.Attach(row);
        row.State = DriveContentState.Failed;
        row.Failures++;
        row.RetryAfter =
            status == AdditionStatus.Unfit
                ? now + WaitingFiles.UnfitRest
                : now
                    + TimeSpan.FromTicks(
                        Math.Min(WaitingFiles.LongestRest.Ticks, WaitingFiles.FirstRest.Ticks << Math.Min(row.Failures - 1, 16))
                    );
    }

    private static async Task InsertMembersAsync(
        CatalogContext db,
        List<(ReservedFile File, AdditionResult Result)> added,
        CancellationToken cancellationToken
    )
    {
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
    }

    private static async IAsyncEnumerable<MemberLine> ReadMembersAsync(
        string path,
        [EnumeratorCancellation] CancellationToken cancellationToken
    )
    {
        using var reader = new StreamReader(path);
        while (await reader.ReadLineAsync(cancellationToken) is { } line)
            yield return JsonSerializer.Deserialize(line, MemberLineJson.Default.MemberLine)!;
    }
}
