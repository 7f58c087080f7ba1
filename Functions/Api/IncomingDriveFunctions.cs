using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Drives;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Drives;
using Microsoft.AspNetCore.Mvc;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Functions.Api;

/// <summary>Drives of other sites that are plugged in here (docs/drives.md).</summary>
[Tags("Drives")]
public sealed class IncomingDriveFunctions(
    IncomingDriveIntake intake,
    DriveReceipts receipts,
    DriveArchive archive,
    CatalogDatabase database
)
{
    private const string Prefix = Routes.Prefix;

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
            ? DriveAnswers.Of(request, answer)
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
            .. files.Select(f => new DriveArrivalFileStatus(f.Id, f.FileName, DriveAnswers.Wire(f.Outcome), f.Message, f.Refusal)),
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
        return Results.File(archive.ReceiptOf(incoming), DriveAnswers.ManifestType);
    }
}
