using Librarian.Client.Wire;
using Librarian.Domain.Drives;
using Librarian.Domain.Security;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Drives;
using Microsoft.AspNetCore.Mvc;

namespace Librarian.Functions.Api;

/// <summary>Hand-carried drives (docs/drives.md). These endpoints belong to this project; the Python Librarian has none of them.</summary>
[Tags("Drives")]
public sealed class DriveFunctions(
    DriveInitialisation initialisation,
    DriveCommands commands,
    ReceiptApplication receipts,
    DeliveryReports reports,
    DriveArchive archive
)
{
    private const string Prefix = Routes.Prefix;

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
        DriveAnswers.Of(
            request,
            await initialisation.InitialiseAsync(
                new NewDrive(body.Name, body.Path, body.Destination, body.FullFraction, body.AllowDirectory),
                cancellationToken
            ),
            StatusCodes.Status201Created
        );

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
    ) => DriveAnswers.Of(request, await commands.FreezeAsync(body.Name, cancellationToken));

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
        DriveAnswers.Of(
            request,
            body.Lost
                ? await commands.AbandonAsync(body.Name, cancellationToken)
                : await commands.RecycleAsync(body.Name, cancellationToken)
        );

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
        var spooled = Path.Combine(archive.Root, $"uploaded-{Guid.NewGuid():N}.receipt");
        try
        {
            await using (var file = PrivateFile.Create(spooled))
                await request.Body.CopyToAsync(file, cancellationToken);
            return DriveAnswers.Of(
                request,
                await receipts.AcknowledgeAsync(spooled, request.Query["accept_key"].FirstOrDefault(), cancellationToken)
            );
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
        var refused = await reports.RecordAsync(
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
}
