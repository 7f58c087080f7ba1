using System.Globalization;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Files;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>Wipes drives that have returned.</summary>
public sealed class DriveWipe(
    CatalogDatabase database,
    CopyProbe probe,
    SiteSigningKey key,
    IOptions<SiteOptions> options,
    TimeProvider time
)
{
    private const int ProbePage = 256;

    /// <summary>How long a probe may read copies; after that the read continues, and the wipe is tried again.</summary>
    private static readonly TimeSpan ReadWithin = TimeSpan.FromMinutes(2);

    /// <summary>Wipes a plugged drive and begins its next trip; returns success or the obstacle.</summary>
    /// <remarks>
    /// Data first, catalog second: a crash leaves a partly wiped drive in state RECYCLING, and the wipe continues. That nothing on the
    /// drive is needed is checked again here, because weeks may pass between <see cref="DriveRecycling.RecycleAsync"/> and the drive's
    /// return.
    /// </remarks>
    public async Task<DriveAnswer> WipeAsync(Drive drive, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(drive);
        await using (var check = database.Open())
        {
            CatalogDatabase.AllowLongStatements(check);
            if (await OnlyCopies.FirstAsync(check, drive, cancellationToken) is { } name)
                return await KeepAsync(drive, OnlyCopies.Refusal(drive, name), cancellationToken);
        }

        using var held = new DriveMedium(drive).TryHold();
        if (held is null)
            return new DriveAnswer(
                "drive.not_plugged",
                $"{drive.MountPath} is not drive '{drive.Name}'. Plug it in and mount it; it is then wiped by itself."
            );
        // Held until the end of the transaction: the next process finds either nothing done or the next trip.
        using var hold = DriveLock.TryTake(held.Path, out var why);
        if (hold is null)
            return new DriveAnswer("drive.busy", $"Drive '{drive.Name}' is not wiped: {held.Shown(why)}");
        await using var db = database.Open();
        CatalogDatabase.AllowLongStatements(db);
        if (await WhyNotWipedAsync(db, drive, held, cancellationToken) is { } answer)
            return answer;
        if (await held.Store.WipeAsync(cancellationToken) is { IsGone: false } left)
            return new DriveAnswer("drive.wipe_failed", left.Message);
        if (await EmptyRootAsync(drive, held, cancellationToken) is { } failed)
            return failed;
        await BeginTripAsync(db, drive, cancellationToken);
        return DriveAnswer.Done($"Drive '{drive.Name}' is empty and begins trip {drive.Trip + 1}.");
    }

    /// <summary>Why a plugged drive is not wiped, or not again; null when it is to be wiped.</summary>
    private async Task<DriveAnswer?> WhyNotWipedAsync(CatalogContext db, Drive drive, OpenDrive held, CancellationToken cancellationToken)
    {
        if (!await db.Drives.AnyAsync(d => d.Id == drive.Id && d.State == DriveState.Recycling && d.Trip == drive.Trip, cancellationToken))
            return DriveAnswer.Done($"Drive '{drive.Name}' was wiped by another process of this site.");
        if (OtherTrip(drive, held) is { } other)
            return other;
        if (await MissingProofAsync(drive, cancellationToken) is { } unproven)
            return unproven.Code == OnlyCopies.Code ? await KeepAsync(drive, unproven.Message, cancellationToken) : unproven;
        return null;
    }

    /// <summary>Removes the drive's lists and writes the next trip's marker; returns the obstacle, or null.</summary>
    private async Task<DriveAnswer?> EmptyRootAsync(Drive drive, OpenDrive held, CancellationToken cancellationToken)
    {
        try
        {
            foreach (
                var file in new[]
                {
                    ManifestWriter.FileName,
                    ReceiptWriter.FileName,
                    UpstreamManifest.FileName,
                    "SHA256SUMS",
                    "README.txt",
                    "MANIFEST.html",
                }
            )
                File.Delete(Path.Combine(held.Path, file));
            await DriveMedium
                .MarkerOf(drive, key.PublicKey, options.Value.Name, drive.Trip + 1, time.GetUtcNow().UtcDateTime)
                .WriteAsync(held.Path, cancellationToken);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer(
                "drive.wipe_failed",
                $"Drive '{drive.Name}' could not be wiped: {held.Shown(e.Message)}. It is tried again."
            );
        }
    }

    private async Task BeginTripAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var now = time.GetUtcNow().UtcDateTime;
        await DriveRecycling.ForgetContentsAsync(db, drive, cancellationToken);
        await db
            .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Recycling)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(d => d.State, DriveState.Filling)
                        .SetProperty(d => d.StateSince, now)
                        .SetProperty(d => d.Trip, drive.Trip + 1)
                        .SetProperty(d => d.ManifestTime, (DateTime?)null)
                        .SetProperty(d => d.ManifestSha256, (string?)null)
                        .SetProperty(d => d.ManifestOnDrive, false)
                        .SetProperty(d => d.Problem, (string?)null),
                cancellationToken
            );
        await transaction.CommitAsync(cancellationToken);
    }

    /// <summary>Returns a drive to REUSABLE, for a person to decide, because it may hold the last copy of a file.</summary>
    private async Task<DriveAnswer> KeepAsync(Drive drive, string why, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        // The trip is compared too: another process may have wiped the drive meanwhile, and this answer is about its contents before that.
        await db
            .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Recycling && d.Trip == drive.Trip)
            .ExecuteUpdateAsync(s => s.SetProperty(d => d.State, DriveState.Reusable), cancellationToken);
        return new DriveAnswer(OnlyCopies.Code, why);
    }

    /// <summary>
    /// Probes the local copies of every file on a drive that the destination has not acknowledged: the wipe relies on them, and the catalog
    /// alone does not prove them.
    /// </summary>
    /// <returns>The obstacle to wiping; null when there is none.</returns>
    private async Task<DriveAnswer?> MissingProofAsync(Drive drive, CancellationToken cancellationToken)
    {
        for (long after = 0; ; )
        {
            List<DriveContent> page;
            List<DeclaredFile> files;
            await using (var db = database.Open())
            {
                page = await OnlyCopies
                    .Unacknowledged(db, drive)
                    .AsNoTracking()
                    .Where(c => c.Id > after)
                    .OrderBy(c => c.Id)
                    .Take(ProbePage)
                    .ToListAsync(cancellationToken);
                var names = page.ConvertAll(c => c.FileName);
                files = await db
                    .Files.AsNoTracking()
                    .Where(f => names.Contains(f.Name))
                    .Select(f => new DeclaredFile(f.Name, f.Size, f.Checksum, f.TreeDigest))
                    .ToListAsync(cancellationToken);
            }

            if (page.Count == 0)
                return null;
            var found = await probe.ProbeAsync(files, ReadWithin, cancellationToken);
            foreach (var content in page)
            {
                switch (found.GetValueOrDefault(content.FileName))
                {
                    case { Presence: FilePresence.Intact }:
                        continue;
                    case { Presence: FilePresence.Unknown or FilePresence.Reading } later:
                        return new DriveAnswer(
                            "drive.copy_unproven",
                            $"'{content.FileName}' is not known to be at '{drive.Destination}', "
                                + $"and its copy here is not proven yet: {later.Message} Nothing was wiped; it is tried again by itself."
                        );
                    case var bad:
                        return new DriveAnswer(OnlyCopies.Code, $"{OnlyCopies.Refusal(drive, content.FileName)} {bad?.Message}");
                }
            }

            after = page[^1].Id;
        }
    }

    /// <summary>
    /// Refuses a drive whose trip is not the catalog's. A later trip means that the catalog was restored from a backup, and the drive may
    /// hold the only copy of its files. The next trip's marker on an empty drive is the trace of an interrupted wipe.
    /// </summary>
    private static DriveAnswer? OtherTrip(Drive drive, OpenDrive held)
    {
        // Read again: another process may have wiped the drive before this one got its lock.
        var trip = DriveMarker.TryRead(held.Path)?.Trip;
        if (trip == drive.Trip)
            return null;
        if (trip == drive.Trip + 1 && !Directory.EnumerateFileSystemEntries(DriveStore.DataPathOf(held.Path)).Any())
            return null;
        var found = trip?.ToString(CultureInfo.InvariantCulture) ?? "nothing";
        return new DriveAnswer(
            "drive.other_trip",
            $"The marker of drive '{drive.Name}' says trip {found}, the catalog says {drive.Trip}: "
                + "the catalog was restored from an older backup, or the drive is a copy. Nothing was wiped. "
                + $"Bring its files to '{drive.Destination}' or copy them back; "
                + $"then give it up (librarian drive recycle CONN {drive.Name} --lost), "
                + "make a new file system on it and initialise it again."
        );
    }
}
