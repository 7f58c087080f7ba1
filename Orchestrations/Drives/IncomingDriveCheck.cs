using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Formats;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>Checks an incoming drive: marker, manifest, totals, digest, signature and key, all before the first file is read.</summary>
public sealed class IncomingDriveCheck(
    CatalogDatabase database,
    DriveArchive archive,
    SiteKeyring keyring,
    KeyLearning keys,
    IOptions<SiteOptions> options,
    TimeProvider time
)
{
    private DateTime Now => time.GetUtcNow().UtcDateTime;

    /// <summary>Examines a drive with a marker and archives its manifest.</summary>
    /// <returns>The row to register; null and a refusal when the drive is not taken.</returns>
    public async Task<(DriveAnswer Answer, IncomingDrive? Incoming)> ExamineAsync(PluggedDrive plugged, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(plugged);
        if (await DriveMarker.TryReadAsync(plugged.Path, cancellationToken) is not { } marker)
            return (
                new DriveAnswer(
                    "drive.not_a_drive",
                    $"{plugged.Path} has no readable marker ({DriveMarker.FileName}): the drive is not mounted there, "
                        + "or it is none of a Librarian's. Nothing was read or written. "
                        + "For a drive of the Python Librarian add --upstream-manifest."
                ),
                null
            );
        if (WrongSite(marker) is { } wrong)
            return (wrong, null);
        var staged = Path.Combine(archive.Root, $"examined-{Guid.NewGuid():N}.manifest");
        try
        {
            if (await CopyManifestAsync(plugged.Path, ManifestWriter.FileName, staged, cancellationToken) is { } missing)
                return (missing, null);
            var check = await ManifestReader.CheckAsync(staged, cancellationToken);
            if (!check.Accepted)
                return (new DriveAnswer(check.Refusal.Code, check.Refusal.Message), null);
            var header = check.Header;
            if (OtherDrive(marker, header) is { } other)
                return (other, null);
            await keys.LearnKeyAsync(header.Site, header.SiteKey, plugged.AcceptKey, cancellationToken);
            if (await WrongKeyAsync(header, cancellationToken) is { } untrusted)
                return (untrusted, null);
            // A known drive keeps its archived copy; RegisterAsync compares the digests.
            if (!await IsKnownAsync(marker.DriveId, marker.Trip, cancellationToken))
                DriveFile.GiveName(staged, archive.ArrivedManifest(marker.DriveId, marker.Trip));
            return (DriveAnswer.Done(""), RowOf(marker, header, check.Seal.Sha256, plugged.Path));
        }
        finally
        {
            File.Delete(staged);
        }
    }

    private DriveAnswer? OtherDrive(DriveMarker marker, ManifestHeader header) =>
        (header.DriveId, header.Trip, header.Site, header.Destination) == (marker.DriveId, marker.Trip, marker.Site, options.Value.Name)
            ? null
            : new DriveAnswer(
                "manifest.other_drive",
                $"The manifest is of drive '{header.Drive}', trip {header.Trip} of '{header.Site}' to '{header.Destination}', "
                    + $"but this is drive '{marker.Name}', trip {marker.Trip} of '{marker.Site}'. Nothing was read. "
                    + $"Put the right manifest on the drive ('librarian drive manifest' at '{marker.Site}' writes it)."
            );

    private DriveAnswer? WrongSite(DriveMarker marker)
    {
        var own = options.Value.Name;
        if (marker.Site == own)
            return new DriveAnswer(
                "drive.own",
                $"Drive '{marker.Name}' belongs to this site. It is ingested at '{marker.Destination}'. Nothing was changed."
            );
        if (marker.Destination != own)
            return new DriveAnswer(
                "drive.other_destination",
                $"Drive '{marker.Name}' of '{marker.Site}' is for '{marker.Destination}', not for '{own}'. Nothing was read. "
                    + "Carry it there."
            );
        return null;
    }

    private async Task<DriveAnswer?> WrongKeyAsync(ManifestHeader header, CancellationToken cancellationToken)
    {
        var known = await keyring.FindAsync(header.Site, cancellationToken);
        if (known is null)
            return new DriveAnswer(
                "manifest.unknown_key",
                $"The key of '{header.Site}' is not known here, so the manifest cannot be trusted. Nothing was read. "
                    + $"Compare its fingerprint, {header.SiteKey.Fingerprint}, with what 'librarian drive key' prints there, "
                    + $"then repeat with --accept-key '{header.SiteKey.Fingerprint}'."
            );
        if (known != header.SiteKey)
            return new DriveAnswer(
                "manifest.other_key",
                $"The manifest is signed with another key than the one known for '{header.Site}' "
                    + $"({header.SiteKey.Fingerprint} instead of {known.Fingerprint}). Nothing was read. "
                    + "If that site was installed anew, compare fingerprints by another way and repeat with --accept-key."
            );
        return null;
    }

    /// <summary>The same for a drive of a Python Librarian.</summary>
    public async Task<(DriveAnswer Answer, IncomingDrive? Incoming)> ExamineUpstreamAsync(
        PluggedDrive plugged,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(plugged);
        var root = plugged.StoreRoot ?? plugged.Path;
        if (WrongRequest(plugged, root) is { } wrong)
            return (wrong, null);
        var staged = Path.Combine(archive.Root, $"examined-{Guid.NewGuid():N}.manifest");
        try
        {
            if (
                await CopyManifestAsync(
                    Path.GetDirectoryName(plugged.UpstreamManifest)!,
                    Path.GetFileName(plugged.UpstreamManifest)!,
                    staged,
                    cancellationToken
                ) is
                { } missing
            )
                return (missing, null);
            var check = await UpstreamManifest.CheckAsync(staged, cancellationToken);
            if (!check.Accepted)
                return (new DriveAnswer(check.Refusal.Code, check.Refusal.Message), null);
            var header = check.Header;
            if (header.LibrarianName == options.Value.Name)
                return (new DriveAnswer("drive.own", "The manifest is this site's own. Nothing was changed."), null);
            var identity = new Guid(Convert.FromHexString(header.Sha256).AsSpan(0, 16));
            if (!await IsKnownAsync(identity, 0, cancellationToken))
                DriveFile.GiveName(staged, archive.ArrivedManifest(identity, 0));
            var unusable =
                header.Unusable == 0
                    ? ""
                    : $"{header.Unusable} of {header.Files} entries of its manifest cannot be used; "
                        + "their files are not taken, the others are.";
            return (DriveAnswer.Done(unusable), UpstreamRow(identity, header, plugged.Path, root));
        }
        finally
        {
            File.Delete(staged);
        }
    }

    private static DriveAnswer? WrongRequest(PluggedDrive plugged, string root)
    {
        if (!plugged.AllowUnsigned)
            return new DriveAnswer(
                "manifest.unsigned",
                "A manifest of the Python Librarian is not signed: nobody can tell whether it was changed on the way. "
                    + "Nothing was read. If you trust how it came here, repeat with --unsigned."
            );
        if (!Path.IsPathFullyQualified(root) || !Directory.Exists(root))
            return new DriveAnswer("drive.no_directory", $"{root} is not an absolute path of a directory on this site's machine.");
        if (!Path.IsPathFullyQualified(plugged.UpstreamManifest!))
            return new DriveAnswer("manifest.missing", "Give the manifest's absolute path on this site's machine.");
        return null;
    }

    private async Task<bool> IsKnownAsync(Guid drive, int trip, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.IncomingDrives.AnyAsync(a => a.DriveId == drive && a.Trip == trip, cancellationToken);
    }

    private static async Task<DriveAnswer?> CopyManifestAsync(string root, string name, string to, CancellationToken cancellationToken)
    {
        try
        {
            await using var from = DriveFile.TryOpenRead(root, name);
            if (from is null)
                return new DriveAnswer(
                    "manifest.missing",
                    $"{Path.Combine(root, name)} does not exist. Nothing was read. Write the manifest at the drive's site first."
                );
            await using var file = Domain.Security.PrivateFile.Create(to);
            await from.CopyToAsync(file, cancellationToken);
            file.Flush(flushToDisk: true);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer(
                "manifest.unreadable",
                $"{Path.Combine(root, name)} could not be copied to the archive: {e.Message} Nothing was ingested. "
                    + "If the drive fails, have its source write the manifest again, or bring the manifest another way."
            );
        }
    }

    private IncomingDrive RowOf(DriveMarker marker, ManifestHeader header, string sha256, string path) =>
        new()
        {
            DriveId = marker.DriveId,
            Trip = marker.Trip,
            Name = marker.Name,
            Source = header.Site,
            MountPath = path,
            DataPath = DriveStore.DataPathOf(path),
            IsUpstream = false,
            ManifestSha256 = sha256,
            State = IncomingDriveState.Ingesting,
            StateSince = Now,
            Files = header.Files,
            Bytes = header.Bytes,
        };

    private IncomingDrive UpstreamRow(Guid identity, UpstreamHeader header, string path, string root) =>
        new()
        {
            DriveId = identity,
            Trip = 0,
            Name = header.StoreName,
            Source = header.LibrarianName,
            MountPath = path,
            DataPath = root,
            IsUpstream = true,
            ManifestSha256 = header.Sha256,
            State = IncomingDriveState.Ingesting,
            StateSince = Now,
            Files = header.Files,
            Bytes = header.Bytes,
        };
}
