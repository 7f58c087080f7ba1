using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>
/// The destination's signed report about a drive's files, for a source that cannot be reached (docs/formats/drive-v1.md "Receipt").
/// </summary>
public sealed class DriveReceipts(
    CatalogDatabase database,
    SiteSigningKey key,
    DriveArchive archive,
    IOptions<SiteOptions> options,
    TimeProvider time
)
{
    private const int Page = 1000;

    /// <summary>
    /// Writes the receipt of everything decided so far to the archive, and to the drive when that is plugged and can be written.
    /// </summary>
    /// <returns>Why it is not on the drive, or null when it is.</returns>
    public async Task<string?> WriteAsync(IncomingDrive incoming, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(incoming);
        if (incoming.IsUpstream)
            return "A drive of a Python Librarian takes no receipt.";
        var path = archive.ReceiptOf(incoming);
        await ArchiveAsync(incoming, path, cancellationToken);
        return await PutOnAsync(incoming, path, cancellationToken);
    }

    private async Task ArchiveAsync(IncomingDrive incoming, string path, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var now = time.GetUtcNow().UtcDateTime;
        // Decisions are only added while this counts and reads, so the count is taken together with the last id.
        var decided = db.IncomingDriveFiles.AsNoTracking().Where(f => f.IncomingDriveId == incoming.Id && f.OutgoingTransferId >= 0);
        var bound = await decided
            .GroupBy(f => 1)
            .Select(g => new { Count = g.LongCount(), Last = g.Max(f => f.Id) })
            .SingleOrDefaultAsync(cancellationToken);
        await using var file = DriveFile.Create(archive.Root, Path.GetFileName(path), isPrivate: true);
        var writer = new ReceiptWriter(file.Stream);
        await writer.WriteHeaderAsync(
            new ReceiptHeader
            {
                Site = options.Value.Name,
                SiteKey = key.PublicKey,
                DriveId = incoming.DriveId,
                Drive = incoming.Name,
                Trip = incoming.Trip,
                Source = incoming.Source,
                ManifestSha256 = incoming.ManifestSha256,
                Created = new DateTime(now.Ticks - (now.Ticks % 10), DateTimeKind.Utc),
                Files = bound?.Count ?? 0,
            },
            cancellationToken
        );
        if (bound is not null)
            await WriteLinesAsync(writer, decided, bound.Last, cancellationToken);
        await writer.EndAsync(key, cancellationToken);
        await file.CommitAsync(cancellationToken);
    }

    private static async Task WriteLinesAsync(
        ReceiptWriter writer,
        IQueryable<IncomingDriveFile> decided,
        long bound,
        CancellationToken cancellationToken
    )
    {
        for (var last = 0L; ; )
        {
            var after = last;
            var page = await decided.Where(f => f.Id > after && f.Id <= bound).OrderBy(f => f.Id).Take(Page).ToListAsync(cancellationToken);
            if (page.Count == 0)
                break;
            last = page[^1].Id;
            foreach (var line in page)
            {
                await writer.WriteLineAsync(
                    new ReceiptLine
                    {
                        OutgoingTransferId = line.OutgoingTransferId,
                        Name = line.FileName,
                        Checksum = line.Checksum,
                        Outcome = line.Outcome == DriveFileOutcome.Failed ? ReceiptOutcome.Failed : ReceiptOutcome.Stored,
                        StoreId = line.StoreId,
                        Message = line.Outcome == DriveFileOutcome.Failed ? line.Message : null,
                    },
                    cancellationToken
                );
            }
        }
    }

    /// <summary>Writes the archived receipt to the drive; returns why it is not there, or null.</summary>
    private static async Task<string?> PutOnAsync(IncomingDrive incoming, string path, CancellationToken cancellationToken)
    {
        using var held = OpenDrive.TryTake(
            incoming.MountPath,
            incoming.DriveId,
            new LocalStoreOptions
            {
                Name = incoming.Name,
                StagingPath = incoming.DataPath,
                RootPath = incoming.DataPath,
                Ingestable = false,
            }
        );
        if (held is null)
            return $"Drive '{incoming.Name}' is not plugged in; the receipt is at {path}.";
        try
        {
            await using var from = File.OpenRead(path);
            await using var to = DriveFile.Create(held.Path, ReceiptWriter.FileName);
            await from.CopyToAsync(to.Stream, cancellationToken);
            await to.CommitAsync(cancellationToken);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"The receipt could not be written to the drive ({held.Shown(e.Message)}); it is at {path}.";
        }
    }

    /// <summary>
    /// Reads a receipt that came back, and returns the drive that it answers or a refusal. Every byte is checked, and the key must be the
    /// one known for the destination.
    /// </summary>
    /// <param name="path">The receipt.</param>
    /// <param name="keyring">Known keys.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task<(Drive? Drive, DriveAnswer Answer)> ExamineAsync(
        string path,
        SiteKeyring keyring,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(keyring);
        var check = await ReceiptReader.CheckAsync(path, cancellationToken);
        if (!check.Accepted)
            return (null, new DriveAnswer(check.Refusal.Code, check.Refusal.Message));
        var header = check.Header;
        if (header.Source != options.Value.Name)
            return (
                null,
                new DriveAnswer(
                    "receipt.other_source",
                    $"The receipt answers a drive of site '{header.Source}', not of '{options.Value.Name}'. "
                        + "Nothing was changed. Take it there."
                )
            );
        await using var db = database.Open();
        var drive = await db.Drives.AsNoTracking().SingleOrDefaultAsync(d => d.DriveId == header.DriveId, cancellationToken);
        if (drive is null)
            return (
                null,
                new DriveAnswer(
                    "receipt.unknown_drive",
                    $"No drive of this site has the id {header.DriveId} ('{header.Drive}'). Nothing was changed. "
                        + "If this site was installed anew, its catalog has to be restored from the backup first."
                )
            );
        if (WrongTrip(drive, header) is { } wrong)
            return (drive, wrong);
        return await WrongKeyAsync(header, keyring, cancellationToken) is { } untrusted
            ? (drive, untrusted)
            : (drive, DriveAnswer.Done($"The receipt lists {header.Files} files."));
    }

    private static DriveAnswer? WrongTrip(Drive drive, ReceiptHeader header)
    {
        if (drive.Trip > header.Trip)
            return new DriveAnswer(
                "receipt.old_trip",
                $"The receipt is of trip {header.Trip} of drive '{drive.Name}', which is on trip {drive.Trip} now. "
                    + "Nothing was changed, and nothing needs to be."
            );
        if (drive.Destination != header.Site)
            return new DriveAnswer(
                "receipt.other_destination",
                $"Drive '{drive.Name}' went to '{drive.Destination}'; the receipt is of '{header.Site}'. Nothing was changed."
            );
        if (drive.ManifestSha256 != header.ManifestSha256)
            return new DriveAnswer(
                "receipt.other_manifest",
                $"The receipt answers another manifest than the one of drive '{drive.Name}', trip {drive.Trip}. Nothing was changed."
            );
        return null;
    }

    private static async Task<DriveAnswer?> WrongKeyAsync(ReceiptHeader header, SiteKeyring keyring, CancellationToken cancellationToken)
    {
        var known = await keyring.FindAsync(header.Site, cancellationToken);
        if (known is null)
            return new DriveAnswer(
                "receipt.unknown_key",
                $"The key of '{header.Site}' is not known here, so the receipt cannot be trusted. Nothing was changed. "
                    + $"Compare its fingerprint, {header.SiteKey.Fingerprint}, with what 'librarian drive key' prints there, "
                    + $"then repeat with --accept-key '{header.SiteKey.Fingerprint}'."
            );
        return known == header.SiteKey
            ? null
            : new DriveAnswer(
                "receipt.other_key",
                $"The receipt is signed with another key than the one known for '{header.Site}' "
                    + $"({header.SiteKey.Fingerprint} instead of {known.Fingerprint}). Nothing was changed. "
                    + "If that site was installed anew, compare fingerprints and repeat with --accept-key."
            );
    }
}
