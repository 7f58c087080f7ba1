using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Files;

public sealed partial class CopyChecks
{
    /// <summary>Records the reading and updates the list of corrupt copies in one transaction.</summary>
    private async Task RecordAsync(FileRecord file, FileCopy copy, Found found, CancellationToken cancellationToken)
    {
        var (now, id, path) = (time.GetUtcNow().UtcDateTime, copy.Id, stores.Locate(copy.StoreId, copy.Path));
        var fresh = false;
        await using (var db = database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            var known = await db
                .Copies.Where(i => i.Id == id)
                .Select(i => new { Bad = db.CorruptFiles.Any(c => c.CopyId == id) })
                .SingleOrDefaultAsync(cancellationToken);
            if (known is null)
                return;
            if (found.Matches)
                await RecordIntactAsync(db, file, id, found, wasBad: known.Bad, now, cancellationToken);
            else
                fresh = await RecordBadAsync(db, file, (id, path), found, now, cancellationToken);
            await transaction.CommitAsync(cancellationToken);
        }

        await ReportAsync(file, (id, path), found, fresh, cancellationToken);
    }

    private static async Task RecordIntactAsync(
        CatalogContext db,
        FileRecord file,
        long id,
        Found found,
        bool wasBad,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        // A copy that is unavailable for another reason than being missing (its store travels, it is being deleted) stays so.
        await db
            .Copies.Where(i => i.Id == id)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(i => i.CalculatedChecksum, found.Checksum)
                        .SetProperty(i => i.CalculatedSize, found.Size)
                        .SetProperty(i => i.ChecksumTime, now)
                        .SetProperty(i => i.Fingerprint, found.Fingerprint)
                        .SetProperty(i => i.VerifiedTime, now)
                        .SetProperty(i => i.Available, i => i.Available || wasBad),
                cancellationToken
            );
        if (file.TreeDigest is null && found.TreeDigest is { } tree)
            await db
                .Files.Where(f => f.Name == file.Name && f.TreeDigest == null)
                .ExecuteUpdateAsync(s => s.SetProperty(f => f.TreeDigest, tree), cancellationToken);
        if (wasBad)
            await db.CorruptFiles.Where(c => c.CopyId == id).ExecuteDeleteAsync(cancellationToken);
    }

    /// <summary>Lists a copy as corrupt or missing; true when it was not listed before.</summary>
    private static async Task<bool> RecordBadAsync(
        CatalogContext db,
        FileRecord file,
        (long Id, string Path) copy,
        Found found,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        var (id, path) = copy;
        await MarkBadAsync(db, id, found, now, cancellationToken);
        var fresh =
            await db
                .CorruptFiles.Where(c => c.CopyId == id)
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(c => c.Count, c => c.Count + 1)
                            .SetProperty(c => c.Checksum, found.Checksum)
                            .SetProperty(c => c.Size, found.Size)
                            .SetProperty(c => c.CopyPath, path),
                    cancellationToken
                ) == 0;
        if (fresh)
        {
            db.CorruptFiles.Add(
                new CorruptFile
                {
                    FileName = file.Name,
                    FileSource = file.Source,
                    CopyId = id,
                    CopyPath = path,
                    CorruptTime = now,
                    Size = found.Size,
                    Checksum = found.Checksum,
                    Count = 1,
                }
            );
            await db.SaveChangesAsync(cancellationToken);
        }

        return fresh;
    }

    private static async Task MarkBadAsync(CatalogContext db, long id, Found found, DateTime now, CancellationToken cancellationToken)
    {
        if (found.IsMissing)
        {
            await db
                .Copies.Where(i => i.Id == id)
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(i => i.Available, false)
                            .SetProperty(i => i.Fingerprint, (string?)null)
                            .SetProperty(i => i.CalculatedChecksum, (string?)null)
                            .SetProperty(i => i.CalculatedSize, (long?)null)
                            .SetProperty(i => i.ChecksumTime, (DateTime?)null),
                    cancellationToken
                );
        }
        else
        {
            await db
                .Copies.Where(i => i.Id == id)
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(i => i.CalculatedChecksum, found.Checksum)
                            .SetProperty(i => i.CalculatedSize, found.Size)
                            .SetProperty(i => i.ChecksumTime, now)
                            .SetProperty(i => i.Fingerprint, (string?)null),
                    cancellationToken
                );
        }
    }

    private async Task ReportAsync(
        FileRecord file,
        (long Id, string Path) copy,
        Found found,
        bool fresh,
        CancellationToken cancellationToken
    )
    {
        var (id, path) = copy;
        if (fresh && found.IsMissing)
            Logs.CopyMissing(log, file.Name, path);
        else if (fresh)
            Logs.CopyCorrupt(log, file.Name, path, found.Size, found.Checksum, file.Size, file.Checksum);
        if (found.IsMissing)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Critical,
                ErrorCategory.DataAvailability,
                $"copy {id}",
                $"The copy of '{file.Name}' at {path} is gone, and its store is mounted. It no longer counts as a copy; "
                    + "librarians that hold the file are asked for it. If you have it, put it back or upload it again; "
                    + "if it was removed on purpose, forget the copy with admin/instance/delete_local.",
                cancellationToken
            );
        }
        else if (!found.Matches)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Critical,
                ErrorCategory.DataIntegrity,
                $"copy {id}",
                $"The copy of '{file.Name}' at {path} has {found.Size} bytes with {found.Checksum}; "
                    + $"the catalog says {file.Size} bytes with {file.Checksum}. It is still there. Other copies are not affected.",
                cancellationToken
            );
        }
        else
        {
            await errors.SettleAsync($"copy {id}", cancellationToken);
        }
    }

    /// <summary>The data that were found at a copy's path.</summary>
    private sealed record Found(string Checksum, long Size, bool Matches, string? Fingerprint, string? TreeDigest)
    {
        public bool IsMissing => Checksum == CorruptFile.Missing;
    }
}
