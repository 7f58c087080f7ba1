using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Drives;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using AuthLevel = Librarian.Domain.Accounts.AuthLevel;

namespace Librarian.Functions.Api;

/// <summary>Hand-carried drives (docs/drives.md). These endpoints are this project's own; the Python Librarian has none of them.</summary>
[Tags("Drives")]
public sealed class DriveFunctions(DriveCommands commands, DriveArrivals arrivals, DriveOverview overview, DriveDispatch dispatch, DriveReceipts receipts, CatalogDatabase database, SiteSigningKey key, IOptions<SiteOptions> options)
{
    private const string Prefix = Routes.Prefix;
    private const string ManifestType = "application/x-ndjson";

    /// <summary>Makes an empty, mounted drive a drive of this site; its filling begins.</summary>
    [Function("DriveInitialise"), Requires(AuthLevel.Admin)]
    [Responds<DriveDone>(201, "The drive is known and is filled by itself.")]
    [Refuses<Failure>(400, "{code}: {what happened, what was not lost, what to do next}")]
    [Refuses<Failure>(409, "{code}: {what stands in the way, and what to do next}")]
    public async Task<IResult> InitialiseAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Initialise)] HttpRequest request, [FromBody] DriveInitialiseRequest body, CancellationToken cancellationToken) =>
        Of(request, await commands.InitialiseAsync(new NewDrive(body.Name, body.Path, body.Destination, body.FullFraction, body.AllowDirectory), cancellationToken), StatusCodes.Status201Created);

    /// <summary>Where every drive is and what to do next.</summary>
    [Function("DriveList"), Requires(AuthLevel.ReadOnly)]
    [Responds<DriveListResponse>(200, "Every drive.")]
    public async Task<IResult> ListAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.List)] HttpRequest request, [FromBody] DriveListRequest body, CancellationToken cancellationToken)
    {
        var drives = await overview.ListDrivesAsync(body.Name, cancellationToken);
        var here = await overview.ListArrivalsAsync(body.Name, cancellationToken);
        return Answers.Json(new DriveListResponse(
            [.. drives.Select(s => new DriveStatus(s.Drive.Name, s.Drive.DriveId, s.Drive.Destination, s.Drive.MountPath, Wire(s.Drive.State), s.Drive.StateSince, s.Drive.Trip, s.IsPlugged, s.Files, s.Bytes, s.FreeBytes,
                s.Deliveries.Delivered, s.Deliveries.Open, s.Deliveries.Failed, s.Drive.ManifestSha256, s.Drive.ManifestOnDrive, s.Drive.Problem, s.NextStep))],
            [.. here.Select(a => new DriveArrivalStatus(a.Arrival.Name, a.Arrival.DriveId, a.Arrival.Trip, a.Arrival.Source, a.Arrival.MountPath, Wire(a.Arrival.State), a.Arrival.StateSince,
                a.Arrival.Files, a.Arrival.Bytes, a.Arrival.FilesDone, a.Arrival.BytesDone, a.Stored, a.AlreadyHere, a.Failed, a.Untold, DriveArrivals.IngestId(a.Arrival.DriveId, a.Arrival.Trip), a.Arrival.Problem, a.NextStep))]));
    }

    /// <summary>Ends the filling; the manifest is written by the drive's workflow.</summary>
    [Function("DriveFreeze"), Requires(AuthLevel.Admin)]
    [Responds<DriveDone>(200, "Done; the message says what follows.")]
    [Refuses<Failure>(400, "{code}: {what happened, what was not lost, what to do next}")]
    [Refuses<Failure>(404, "drive.unknown: {message}")]
    [Refuses<Failure>(409, "{code}: {what stands in the way, and what to do next}")]
    public async Task<IResult> FreezeAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Freeze)] HttpRequest request, [FromBody] DriveRequest body, CancellationToken cancellationToken) =>
        Of(request, await commands.FreezeAsync(body.Name, cancellationToken));

    /// <summary>The manifest as it is on the drive; the same call gives the same bytes.</summary>
    [Function("DriveManifest"), Requires(AuthLevel.Admin)]
    [Responds(200, "The bytes of the manifest (docs/formats/drive-v1.md).")]
    [Refuses<Failure>(404, "drive.unknown: No drive of this site is named {name}.", "drive.no_manifest: drive {name} has no manifest.")]
    public async Task<IResult> ManifestAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Manifest)] HttpRequest request, [FromBody] DriveRequest body, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        if (await db.Drives.AsNoTracking().SingleOrDefaultAsync(d => d.Name == body.Name, cancellationToken) is not { } drive) return Unknown(request, body.Name);
        return drive.ManifestSha256 is not null && File.Exists(dispatch.ManifestPath(drive))
            ? Results.File(dispatch.ManifestPath(drive), ManifestType)
            : Answers.Fail(request, 404, $"drive.no_manifest: drive '{body.Name}' has no manifest.", "Freeze it with drives/freeze and ask again when it has been written.");
    }

    /// <summary>Has an acknowledged drive wiped for its next trip, or gives a lost one up.</summary>
    [Function("DriveRecycle"), Requires(AuthLevel.Admin)]
    [Responds<DriveDone>(200, "Done; the message says what follows.")]
    [Refuses<Failure>(400, "{code}: {what happened, what was not lost, what to do next}")]
    [Refuses<Failure>(404, "drive.unknown: {message}")]
    [Refuses<Failure>(409, "{code}: {what stands in the way, and what to do next}")]
    public async Task<IResult> RecycleAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Recycle)] HttpRequest request, [FromBody] DriveRecycleRequest body, CancellationToken cancellationToken) =>
        Of(request, body.Lost ? await commands.GiveUpAsync(body.Name, cancellationToken) : await commands.RecycleAsync(body.Name, cancellationToken));

    /// <summary>Checks a drive that is plugged in here and starts its ingest, or goes on with it.</summary>
    [Function("DriveIngest"), Requires(AuthLevel.Admin)]
    [Responds<DriveIngestResponse>(200, "The drive was accepted; its ingest runs.")]
    [Refuses<Failure>(400, "{code}: {what happened, what was not lost, what to do next}")]
    [Refuses<Failure>(409, "{code}: {what stands in the way, and what to do next}")]
    public async Task<IResult> IngestAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Ingest)] HttpRequest request, [FromBody] DriveIngestRequest body, CancellationToken cancellationToken)
    {
        var (answer, arrival) = await arrivals.StartAsync(new PluggedDrive(body.Path, body.AcceptKey, body.UpstreamManifest, body.StoreRoot, body.Unsigned), cancellationToken);
        return arrival is null ? Of(request, answer)
            : Answers.Json(new DriveIngestResponse(answer.Message, arrival.Name, arrival.DriveId, arrival.Trip, DriveArrivals.IngestId(arrival.DriveId, arrival.Trip)));
    }

    /// <summary>What became of the files of a drive that was plugged in here.</summary>
    [Function("DriveArrivalFiles"), Requires(AuthLevel.ReadOnly)]
    [Responds<IReadOnlyList<DriveArrivalFileStatus>>(200, "A page of files; empty at the end.")]
    public async Task<IResult> ArrivalFilesAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.ArrivalFiles)] HttpRequest request, [FromBody] DriveArrivalFilesRequest body, CancellationToken cancellationToken)
    {
        DriveFileOutcome? outcome = body.Outcome switch { null => null, "stored" => DriveFileOutcome.Stored, "already_here" => DriveFileOutcome.AlreadyHere, "failed" => DriveFileOutcome.Failed, _ => (DriveFileOutcome)(-1) };
        if (outcome == (DriveFileOutcome)(-1)) return Answers.Fail(request, 422, "The request body is not valid.", "outcome must be stored, already_here, failed or null.");
        await using var db = database.Open();
        var files = await db.DriveArrivalFiles.AsNoTracking()
            .Where(f => f.Id > body.After && db.DriveArrivals.Any(a => a.Id == f.ArrivalId && a.DriveId == body.DriveId && a.Trip == body.Trip) && (outcome == null || f.Outcome == outcome))
            .OrderBy(f => f.Id).Take(Math.Clamp(body.MaxResults, 1, 1000)).ToListAsync(cancellationToken);
        IReadOnlyList<DriveArrivalFileStatus> answer = [.. files.Select(f => new DriveArrivalFileStatus(f.Id, f.FileName, Wire(f.Outcome), f.Message, f.Refusal))];
        return Answers.Json(answer);
    }

    /// <summary>The receipt of a drive that was ingested here, of everything decided so far.</summary>
    [Function("DriveReceipt"), Requires(AuthLevel.Admin)]
    [Responds(200, "The bytes of the receipt (docs/formats/drive-v1.md).")]
    [Refuses<Failure>(404, "drive.unknown: {message}")]
    public async Task<IResult> ReceiptAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Receipt)] HttpRequest request, [FromBody] DriveReceiptRequest body, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        if (await db.DriveArrivals.AsNoTracking().SingleOrDefaultAsync(a => a.DriveId == body.DriveId && a.Trip == body.Trip, cancellationToken) is not { } arrival)
            return Answers.Fail(request, 404, $"drive.unknown: no trip {body.Trip} of drive {body.DriveId} was plugged in here.", "drives/list shows what was.");
        await receipts.WriteAsync(arrival, cancellationToken);
        return Results.File(receipts.PathOf(arrival), ManifestType);
    }

    /// <summary>Applies a destination's receipt, which is the body.</summary>
    [Function("DriveAcknowledge"), Requires(AuthLevel.Admin)]
    [ReadsQuery<string>("accept_key", "Fingerprint of the destination's key that an administrator has compared.")]
    [Responds<DriveDone>(200, "Done; the message says what follows.")]
    [Refuses<Failure>(400, "{code}: {what happened, what was not lost, what to do next}")]
    [Refuses<Failure>(409, "{code}: {what stands in the way, and what to do next}")]
    public async Task<IResult> AcknowledgeAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Acknowledge)] HttpRequest request, CancellationToken cancellationToken)
    {
        // A receipt of a million files has 200 MB; it is spooled and checked as a whole before anything is believed.
        if (request.HttpContext.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit) limit.MaxRequestBodySize = null;
        var spooled = Path.Combine(dispatch.Archive, $"uploaded-{Guid.NewGuid():N}.receipt");
        try
        {
            await using (var file = new FileStream(spooled, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16, FileOptions.Asynchronous)) await request.Body.CopyToAsync(file, cancellationToken);
            return Of(request, await commands.AcknowledgeAsync(spooled, request.Query["accept_key"].FirstOrDefault(), cancellationToken));
        }
        finally
        {
            File.Delete(spooled);
        }
    }

    /// <summary>A destination reports what became of a drive's files.</summary>
    [Function("DriveDelivered"), Requires(AuthLevel.Callback)]
    [Responds<DeliveriesResponse>(200, "Recorded, apart from those that are listed.")]
    public async Task<IResult> DeliveredAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Delivered)] HttpRequest request, [FromBody] DeliveriesRequest body, CancellationToken cancellationToken)
    {
        if (body.Deliveries.Count > DriveDeliveries.MaxBatch || body.Deliveries.Any(d => d is null or { Stored: true, StoreId: null }))
            return Answers.Fail(request, 422, "The request body is not valid.", $"deliveries must be at most {DriveDeliveries.MaxBatch}, and each that is stored must name its store.");
        var refused = await commands.RecordAsync([.. body.Deliveries.Select(d => new Delivery(d.SourceTransferId, d.Name, d.Checksum, d.Stored ? d.StoreId : null, d.Message))], request.Caller().Username, cancellationToken);
        return Answers.Json(new DeliveriesResponse(body.Deliveries.Count - refused.Count, [.. refused.Select(r => new DeliveryRefusal(r.TransferId, r.Reason))]));
    }

    /// <summary>The key by which others recognise this site's manifests and receipts.</summary>
    [Function("DriveKey"), Requires(AuthLevel.ReadOnly)]
    [Responds<SiteKeyResponse>(200, "The key.")]
    public IResult Key([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix + DriveRoutes.Key)] HttpRequest request) =>
        Answers.Json(new SiteKeyResponse(options.Value.Name, key.PublicKey.ToString(), key.PublicKey.Fingerprint));

    private static IResult Of(HttpRequest request, DriveAnswer answer, int success = StatusCodes.Status200OK) => answer.IsOk
        ? Answers.Json(new DriveDone(answer.Message), success)
        : Answers.Fail(request, answer.Code switch { "drive.unknown" => 404, "drive.exists" or "drive.wrong_state" or "drive.not_reusable" or "drive.busy" or "drive.only_copy" => 409, _ => 400 }, $"{answer.Code}: {answer.Message}", "");

    private static IResult Unknown(HttpRequest request, string name) => Answers.Fail(request, 404, $"drive.unknown: No drive of this site is named '{name}'.", "drives/list shows them all.");

    private static string Wire<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());
}
