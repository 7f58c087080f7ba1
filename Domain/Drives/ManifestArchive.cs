using System.Runtime.CompilerServices;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>Writes the manifests of this site's drives to the archive.</summary>
public sealed class ManifestArchive(CatalogDatabase database, SiteSigningKey key, IOptions<SiteOptions> options)
{
    private const int Page = 1000;

    /// <summary>
    /// Writes the archived manifest; the file is kept only if its digest is <paramref name="expected"/>, or none is expected.
    /// </summary>
    internal async Task<ManifestSeal> WriteAsync(Drive drive, string path, string? expected, CancellationToken cancellationToken)
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
        await WriteFilesAsync(db, drive, writer, cancellationToken);
        var seal = await writer.EndAsync(key, cancellationToken);
        if (expected is null || expected == seal.Sha256)
            await file.CommitAsync(cancellationToken);
        return seal;
    }

    private async Task WriteFilesAsync(CatalogContext db, Drive drive, ManifestWriter writer, CancellationToken cancellationToken)
    {
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
    }

    /// <summary>Members of the directories in a page of contents, in their order; one statement for each thousand members.</summary>
    private async IAsyncEnumerable<DriveMember> Members(
        Drive drive,
        long after,
        long last,
        [EnumeratorCancellation] CancellationToken cancellationToken = default
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
}
