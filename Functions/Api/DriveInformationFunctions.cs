using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Security;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Drives;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Api;

/// <summary>What a site tells of its drives (docs/drives.md): where they are, their manifests, and the key that signs them.</summary>
[Tags("Drives")]
public sealed class DriveInformationFunctions(
    DriveOverview overview,
    DriveArchive archive,
    CatalogDatabase database,
    SiteSigningKey key,
    IOptions<SiteOptions> options
)
{
    private const string Prefix = Routes.Prefix;

    /// <summary>Lists every drive, where it is and what to do next.</summary>
    [Function("DriveList"), Requires(AuthLevel.ReadOnly)]
    [Responds<DriveListResponse>(200, "Every drive.")]
    public async Task<IResult> ListAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.List)] HttpRequest request,
        [FromBody] DriveListRequest body,
        CancellationToken cancellationToken
    )
    {
        var drives = await overview.ListDrivesAsync(body.Name, cancellationToken);
        var here = await overview.ListArrivalsAsync(body.Name, cancellationToken);
        return Answers.Json(
            new DriveListResponse(
                [
                    .. drives.Select(s => new DriveStatus(
                        s.Drive.Name,
                        s.Drive.DriveId,
                        s.Drive.Destination,
                        s.Drive.MountPath,
                        DriveAnswers.Wire(s.Drive.State),
                        s.Drive.StateSince,
                        s.Drive.Trip,
                        s.IsPlugged,
                        s.Files,
                        s.Bytes,
                        s.FreeBytes,
                        s.Deliveries.Delivered,
                        s.Deliveries.Open,
                        s.Deliveries.Failed,
                        s.Drive.ManifestSha256,
                        s.Drive.ManifestOnDrive,
                        s.Drive.Problem,
                        s.NextStep
                    )),
                ],
                [
                    .. here.Select(a => new DriveArrivalStatus(
                        a.Incoming.Name,
                        a.Incoming.DriveId,
                        a.Incoming.Trip,
                        a.Incoming.Source,
                        a.Incoming.MountPath,
                        DriveAnswers.Wire(a.Incoming.State),
                        a.Incoming.StateSince,
                        a.Incoming.Files,
                        a.Incoming.Bytes,
                        a.Incoming.FilesDone,
                        a.Incoming.BytesDone,
                        a.Stored,
                        a.AlreadyHere,
                        a.Failed,
                        a.Unreported,
                        IncomingDriveIntake.IngestId(a.Incoming.DriveId, a.Incoming.Trip),
                        a.Incoming.Problem,
                        a.NextStep
                    )),
                ]
            )
        );
    }

    /// <summary>Returns the manifest as it is on the drive. Repeated calls return the same bytes.</summary>
    [Function("DriveManifest"), Requires(AuthLevel.Admin)]
    [Responds(200, "The bytes of the manifest (docs/formats/drive-v1.md).")]
    [Refuses<Failure>(404, "drive.unknown: No drive of this site is named {name}.", "drive.no_manifest: drive {name} has no manifest.")]
    public async Task<IResult> ManifestAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Manifest)] HttpRequest request,
        [FromBody] DriveRequest body,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        if (await db.Drives.AsNoTracking().SingleOrDefaultAsync(d => d.Name == body.Name, cancellationToken) is not { } drive)
            return Unknown(request, body.Name);
        return drive.ManifestSha256 is not null && File.Exists(archive.ManifestOf(drive))
            ? Results.File(archive.ManifestOf(drive), DriveAnswers.ManifestType)
            : Answers.Fail(
                request,
                404,
                $"drive.no_manifest: drive '{body.Name}' has no manifest.",
                "Freeze it with drives/freeze and ask again when it has been written."
            );
    }

    /// <summary>Returns the key with which others verify this site's manifests and receipts.</summary>
    [Function("DriveKey"), Requires(AuthLevel.ReadOnly)]
    [Responds<SiteKeyResponse>(200, "The key.")]
    public IResult Key([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Key)] HttpRequest request) =>
        Answers.Json(new SiteKeyResponse(options.Value.Name, key.PublicKey.ToString(), key.PublicKey.Fingerprint));

    private static IResult Unknown(HttpRequest request, string name) =>
        Answers.Fail(request, 404, $"drive.unknown: No drive of this site is named '{name}'.", "drives/list shows them all.");
}
