using System.Text.Json;
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

/// <summary>Hand-carried drives (docs/drives.md). These endpoints belong to this project; the Python Librarian has none of them.</summary>
[Tags("Drives")]
public sealed class DriveFunctions(
    DriveCommands commands,
    IncomingDriveIntake intake,
    DriveOverview overview,
    DriveDispatch dispatch,
    DriveReceipts receipts,
    CatalogDatabase database,
    SiteSigningKey key,
    IOptions<SiteOptions> options
)
{
    private const string Prefix = Routes.Prefix;
    private const string ManifestType = "application/x-ndjson";

    /// <summary>Initialises an empty, mounted file system as a drive of this site, and begins to fill it.</summary>
    [Function("DriveInitialise"), Requires(AuthLevel.Admin)]
    [Responds<DriveDone>(201, "The drive is known and is filled by itself.")]
    [Refuses<Failure>(400, "{code}: {what happened, what was not lost, what to do next}")]
    [Refuses<Failure>(409, "{code}: {what stands in the way, and what to do next}")]
    public async Task<IResult> InitialiseAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Initialise)] HttpRequest request,
        [FromBody] DriveInitialiseRequest body,
        CancellationToken cancellationToken
    ) =>
        Of(
            request,
            await commands.InitialiseAsync(
                new NewDrive(body.Name, body.Path, body.Destination, body.FullFraction, body.AllowDirectory),
                cancellationToken
            ),
            StatusCodes.Status201Created
        );

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
                        Wire(s.Drive.State),
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
                        Wire(a.Incoming.State),
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

    /// <summary>Ends the filling. The drive's workflow then writes the manifest.</summary>
    [Function("DriveFreeze"), Requires(AuthLevel.Admin)]
    [Responds<DriveDone>(200, "Done; the message says what follows.")]
    [Refuses<Failure>(400, "{code}: {what happened, what was not lost, what to do next}")]
    [Refuses<Failure>(404, "drive.unknown: {message}")]
    [Refuses<Failure>(409, "{code}: {what stands in the way, and what to do next}")]
    public async Task<IResult> FreezeAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Freeze)] HttpRequest request,
        [FromBody] DriveRequest body,
        CancellationToken cancellationToken
    ) => Of(request, await commands.FreezeAsync(body.Name, cancellationToken));

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
        return drive.ManifestSha256 is not null && File.Exists(dispatch.ManifestPath(drive))
            ? Results.File(dispatch.ManifestPath(drive), ManifestType)
            : Answers.Fail(
                request,
                404,
                $"drive.no_manifest: drive '{body.Name}' has no manifest.",
                "Freeze it with drives/freeze and ask again when it has been written."
            );
    }

    /// <summary>Has an acknowledged drive wiped for its next trip, or abandons a lost one.</summary>
    [Function("DriveRecycle"), Requires(AuthLevel.Admin)]
    [Responds<DriveDone>(200, "Done; the message says what follows.")]
    [Refuses<Failure>(400, "{code}: {what happened, what was not lost, what to do next}")]
    [Refuses<Failure>(404, "drive.unknown: {message}")]
    [Refuses<Failure>(409, "{code}: {what stands in the way, and what to do next}")]
    public async Task<IResult> RecycleAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Recycle)] HttpRequest request,
        [FromBody] DriveRecycleRequest body,
        CancellationToken cancellationToken
    ) =>
        Of(
            request,
            body.Lost
                ? await commands.AbandonAsync(body.Name, cancellationToken)
                : await commands.RecycleAsync(body.Name, cancellationToken)
        );

    /// <summary>Checks a drive that is plugged in here, and starts or resumes its ingest.</summary>
    [Function("DriveIngest"), Requires(AuthLevel.Admin)]
    [Responds<DriveIngestResponse>(200, "The drive was accepted; its ingest runs.")]
    [Refuses<Failure>(400, "{code}: {what happened, what was not lost, what to do next}")]
    [Refuses<Failure>(409, "{code}: {what stands in the way, and what to do next}")]
    public async Task<IResult> IngestAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.IngestDrive)] HttpRequest request,
        [FromBody] DriveIngestRequest body,
        CancellationToken cancellationToken
    )
    {
        var (answer, incoming) = await intake.StartAsync(
            new PluggedDrive(body.Path, body.AcceptKey, body.UpstreamManifest, body.StoreRoot, body.Unsigned),
            cancellationToken
        );
        return incoming is null
            ? Of(request, answer)
            : Answers.Json(
                new DriveIngestResponse(
                    answer.Message,
                    incoming.Name,
                    incoming.DriveId,
                    incoming.Trip,
                    IncomingDriveIntake.IngestId(incoming.DriveId, incoming.Trip)
                )
            );
    }

    /// <summary>Lists the files of a drive that was plugged in here, with their outcomes.</summary>
    [Function("DriveArrivalFiles"), Requires(AuthLevel.ReadOnly)]
    [Responds<IReadOnlyList<DriveArrivalFileStatus>>(200, "A page of files; empty at the end.")]
    public async Task<IResult> ArrivalFilesAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.ArrivalFiles)] HttpRequest request,
        [FromBody] DriveArrivalFilesRequest body,
        CancellationToken cancellationToken
    )
    {
        DriveFileOutcome? outcome = body.Outcome switch
        {
            null => null,
            "stored" => DriveFileOutcome.Stored,
            "already_here" => DriveFileOutcome.AlreadyHere,
            "failed" => DriveFileOutcome.Failed,
            _ => (DriveFileOutcome)(-1),
        };
        if (outcome == (DriveFileOutcome)(-1))
            return Answers.Fail(request, 422, "The request body is not valid.", "outcome must be stored, already_here, failed or null.");
        await using var db = database.Open();
        var files = await db
            .IncomingDriveFiles.AsNoTracking()
            .Where(f =>
                f.Id > body.After
                && db.IncomingDrives.Any(a => a.Id == f.IncomingDriveId && a.DriveId == body.DriveId && a.Trip == body.Trip)
                && (outcome == null || f.Outcome == outcome)
            )
            .OrderBy(f => f.Id)
            .Take(Math.Clamp(body.MaxResults, 1, 1000))
            .ToListAsync(cancellationToken);
        IReadOnlyList<DriveArrivalFileStatus> answer =
        [
            .. files.Select(f => new DriveArrivalFileStatus(f.Id, f.FileName, Wire(f.Outcome), f.Message, f.Refusal)),
        ];
        return Answers.Json(answer);
    }

    /// <summary>Returns the receipt of a drive that was ingested here. It covers every file decided so far.</summary>
    [Function("DriveReceipt"), Requires(AuthLevel.Admin)]
    [Responds(200, "The bytes of the receipt (docs/formats/drive-v1.md).")]
    [Refuses<Failure>(404, "drive.unknown: {message}")]
    public async Task<IResult> ReceiptAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Receipt)] HttpRequest request,
        [FromBody] DriveReceiptRequest body,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        if (
            await db
                .IncomingDrives.AsNoTracking()
                .SingleOrDefaultAsync(a => a.DriveId == body.DriveId && a.Trip == body.Trip, cancellationToken)
            is not { } incoming
        )
            return Answers.Fail(
                request,
                404,
                $"drive.unknown: no trip {body.Trip} of drive {body.DriveId} was plugged in here.",
                "drives/list shows what was."
            );
        await receipts.WriteAsync(incoming, cancellationToken);
        return Results.File(receipts.PathOf(incoming), ManifestType);
    }

    /// <summary>Applies a destination's receipt, sent as the body.</summary>
    [Function("DriveAcknowledge"), RequestSizeLimit(BodyLimits.Receipt), Requires(AuthLevel.Admin)]
    [ReadsQuery<string>("accept_key", "Fingerprint of the destination's key that an administrator has compared.")]
    [Responds<DriveDone>(200, "Done; the message says what follows.")]
    [Refuses<Failure>(400, "{code}: {what happened, what was not lost, what to do next}")]
    [Refuses<Failure>(409, "{code}: {what stands in the way, and what to do next}")]
    public async Task<IResult> AcknowledgeAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Acknowledge)] HttpRequest request,
        CancellationToken cancellationToken
    )
    {
        // The receipt of a million files has 200 MB. It is spooled and verified as a whole before any of it is applied.
        var spooled = Path.Combine(dispatch.Archive, $"uploaded-{Guid.NewGuid():N}.receipt");
        try
        {
            await using (var file = PrivateFile.Create(spooled))
                await request.Body.CopyToAsync(file, cancellationToken);
            return Of(request, await commands.AcknowledgeAsync(spooled, request.Query["accept_key"].FirstOrDefault(), cancellationToken));
        }
        finally
        {
            File.Delete(spooled);
        }
    }

    /// <summary>Records the outcomes that a destination reports for a drive's files.</summary>
    [Function("DriveDelivered"), RequestSizeLimit(BodyLimits.Batch), Requires(AuthLevel.Callback)]
    [Responds<DeliveriesResponse>(200, "Recorded, apart from those that are listed.")]
    public async Task<IResult> DeliveredAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Delivered)] HttpRequest request,
        [FromBody] DeliveriesRequest body,
        CancellationToken cancellationToken
    )
    {
        if (body.Deliveries.Count > DriveDeliveries.MaxBatch || body.Deliveries.Any(d => d is null or { Stored: true, StoreId: null }))
            return Answers.Fail(
                request,
                422,
                "The request body is not valid.",
                $"deliveries must be at most {DriveDeliveries.MaxBatch}, and each that is stored must name its store."
            );
        var refused = await commands.RecordAsync(
            [.. body.Deliveries.Select(d => new Delivery(d.SourceTransferId, d.Name, d.Checksum, d.Stored ? d.StoreId : null, d.Message))],
            request.Caller().Username,
            cancellationToken
        );
        return Answers.Json(
            new DeliveriesResponse(
                body.Deliveries.Count - refused.Count,
                [.. refused.Select(r => new DeliveryRefusal(r.TransferId, r.Reason))]
            )
        );
    }

    /// <summary>Returns the key with which others verify this site's manifests and receipts.</summary>
    [Function("DriveKey"), Requires(AuthLevel.ReadOnly)]
    [Responds<SiteKeyResponse>(200, "The key.")]
    public IResult Key([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Key)] HttpRequest request) =>
        Answers.Json(new SiteKeyResponse(options.Value.Name, key.PublicKey.ToString(), key.PublicKey.Fingerprint));

    private static IResult Of(HttpRequest request, DriveAnswer answer, int success = StatusCodes.Status200OK) =>
        answer.IsOk
            ? Answers.Json(new DriveDone(answer.Message), success)
            : Answers.Fail(
                request,
                answer.Code switch
                {
                    "drive.unknown" => 404,
                    "drive.exists" or "drive.wrong_state" or "drive.not_reusable" or "drive.busy" or "drive.only_copy" => 409,
                    _ => 400,
                },
                $"{answer.Code}: {answer.Message}",
                ""
            );

    private static IResult Unknown(HttpRequest request, string name) =>
        Answers.Fail(request, 404, $"drive.unknown: No drive of this site is named '{name}'.", "drives/list shows them all.");

    private static string Wire<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());
}
