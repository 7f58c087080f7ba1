using System.Globalization;
using System.Net.Http.Headers;
using Librarian.Client.Wire;
using Librarian.Domain.DataBatches;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace Librarian.Functions.Api;

/// <summary>Segments of data batches: resumable uploads after the IETF draft (docs/spec/data-batches.md#segments).</summary>
[Tags("Data")]
[ReadsPath("id", "Id of the batch.")]
[ReadsPath("segment", "Number of the segment, and behind a full stop its generation if it was started anew.")]
public sealed class SegmentFunctions(IncomingBatches batches)
{
    private const string Route = DataRoutes.Prefix + DataBatchRoutes.Batches + "/{id}/segments/{segment}";
    private const string NoBatch = "There is no such data batch.";
    private const string OffsetMeaning = "Bytes of the segment that are on disk.";
    private const string CompleteMeaning = "Whether the segment is complete.";
    private const int RetryAfterSeconds = 2;

    /// <summary>Where a segment's bytes so far end. Ends an append that is running.</summary>
    [Function("SegmentHead"), Requires(AuthLevel.ReadAppend)]
    [Responds(204, "The offset is in the headers.")]
    [RespondsHeader(204, DataBatchRoutes.OffsetHeader, OffsetMeaning)]
    [RespondsHeader(204, DataBatchRoutes.CompleteHeader, CompleteMeaning)]
    [RespondsHeader(204, DataBatchRoutes.LengthHeader, "Bytes of the whole segment.")]
    [Refuses<Failure>(404, NoBatch)]
    [Responds<UploadProblem>(410, "This generation of the segment was abandoned.")]
    [Refuses<Failure>(503, Reasons.StoreAway)]
    public async Task<IResult> HeadAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "head", Route = Route)] HttpRequest request,
        string id,
        string segment,
        CancellationToken cancellationToken
    )
    {
        var opening = await batches.FindAsync(id, request.Caller(), cancellationToken);
        if (opening.Batch is not { } batch || !TryParse(segment, out var number, out var generation))
            return DataBatchFunctions.Refuse(request, opening);
        return AnswerOf(request, await batch.OffsetAsync(number, generation, cancellationToken), null);
    }

    /// <summary>Adds bytes to a segment. Ends an append that is running.</summary>
    [Function("SegmentAppend"), RequestSizeLimit(BodyLimits.Segment), Requires(AuthLevel.ReadAppend)]
    [ReadsHeader(DataBatchRoutes.OffsetHeader, "Where the segment's bytes so far end.", Required = true)]
    [ReadsHeader(DataBatchRoutes.CompleteHeader, "`?1` if these are all bytes that are left, else `?0`.", Required = true)]
    [ReadsHeader(DataBatchRoutes.DigestHeader, "Digest of the whole segment, `xxh3-128=:…:` or `sha-256=:…:`.")]
    [Responds(204, "The bytes up to the offset are on disk.")]
    [RespondsHeader(204, DataBatchRoutes.OffsetHeader, OffsetMeaning)]
    [RespondsHeader(204, DataBatchRoutes.CompleteHeader, CompleteMeaning)]
    [Responds<UploadProblem>(400, "A field is missing or malformed, or the body has another length.")]
    [Refuses<Failure>(404, NoBatch)]
    [Responds<UploadProblem>(409, "The offset is another.")]
    [Responds<UploadProblem>(410, "This generation of the segment was abandoned.")]
    [Responds<UploadProblem>(415, "The content type is not `application/partial-upload`.")]
    [Responds<UploadProblem>(422, "The segment differs from its digest and starts anew in its next generation.")]
    [Responds<UploadProblem>(500, "The disk failed; the segment starts anew.")]
    [Responds<Either<UploadProblem, Failure>>(503, "The segment or the store is not free now.")]
    [Responds<UploadProblem>(507, "The disk is full.")]
    public async Task<IResult> AppendAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "patch", Route = Route)] HttpRequest request,
        string id,
        string segment,
        CancellationToken cancellationToken
    )
    {
        var opening = await batches.FindAsync(id, request.Caller(), cancellationToken);
        if (opening.Batch is not { } batch || !TryParse(segment, out var number, out var generation))
            return DataBatchFunctions.Refuse(request, opening);
        if (!IsPartialUpload(request))
            return Problem(415, "unsupported-media-type", "The content type is another.", "Send application/partial-upload.");
        if (
            StructuredFields.Integer(request.Headers[DataBatchRoutes.OffsetHeader]) is not { } offset
            || StructuredFields.Boolean(request.Headers[DataBatchRoutes.CompleteHeader]) is not { } isLast
        )
            return Problem(
                400,
                "malformed-fields",
                "Upload-Offset or Upload-Complete is missing or malformed.",
                "Send an integer and ?0 or ?1."
            );
        // Slow senders are ended by the batch when nothing arrives for a minute; Kestrel's average would end them after a good start, too.
        if (request.HttpContext.Features.Get<IHttpMinRequestBodyDataRateFeature>() is { } rate)
            rate.MinDataRate = null;
        var append = new SegmentAppend(number, generation, offset, isLast, request.ContentLength, DigestOf(request));
        // The sender's disappearance ends the reading of the body, not the keeping of what has arrived.
        var result = await batches.AppendAsync(batch, append, request.Body, CancellationToken.None);
        return AnswerOf(request, result, offset);
    }

    private static bool IsPartialUpload(HttpRequest request) =>
        MediaTypeHeaderValue.TryParse(request.ContentType, out var type)
        && string.Equals(type.MediaType, DataBatchRoutes.PartialUpload, StringComparison.OrdinalIgnoreCase);

    private static bool TryParse(string text, out int segment, out int generation)
    {
        var dot = text.IndexOf('.', StringComparison.Ordinal);
        generation = 0;
        return TryParse(dot < 0 ? text : text[..dot], out segment) && (dot < 0 || TryParse(text[(dot + 1)..], out generation));
    }

    /// <summary>One address per segment: no sign, no leading zero.</summary>
    private static bool TryParse(string text, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number)
        && text == number.ToString(CultureInfo.InvariantCulture);

    private static SegmentDigest? DigestOf(HttpRequest request)
    {
        var field = request.Headers[DataBatchRoutes.DigestHeader];
        return StructuredFields.Bytes(field, DataBatchRoutes.Xxh3) is { } fast ? new SegmentDigest(SegmentAlgorithm.Xxh3, fast)
            : StructuredFields.Bytes(field, DataBatchRoutes.Sha256) is { } sha ? new SegmentDigest(SegmentAlgorithm.Sha256, sha)
            : null;
    }

    private static IResult AnswerOf(HttpRequest request, SegmentResult result, long? provided)
    {
        if (result.Outcome == SegmentOutcome.Unknown)
            return Answers.Fail(request, 404, NoBatch, "The batch has no such segment; ask for its state.");
        var headers = request.HttpContext.Response.Headers;
        headers.CacheControl = "no-store";
        // An offset is a promise, so it is only said where it is known.
        if (result.Length > 0)
        {
            headers[DataBatchRoutes.OffsetHeader] = result.Offset.ToString(CultureInfo.InvariantCulture);
            headers[DataBatchRoutes.CompleteHeader] = result.IsComplete || result.Outcome == SegmentOutcome.OtherDigest ? "?1" : "?0";
            headers[DataBatchRoutes.LengthHeader] = result.Length.ToString(CultureInfo.InvariantCulture);
            headers[DataBatchRoutes.LimitHeader] = $"max-size={DataBatch.SegmentBytes}";
        }

        switch (result.Outcome)
        {
            case SegmentOutcome.Stored:
                return Results.NoContent();
            case SegmentOutcome.OtherOffset:
                return Problem(409, "mismatching-upload-offset", "The offset is another.", "Go on from it.", result.Offset, provided);
            case SegmentOutcome.WrongLength:
                return Problem(400, "inconsistent-upload-length", "The body has another length.", result.Message);
            case SegmentOutcome.Gone:
                return Problem(410, "upload-abandoned", result.Message, "Ask for the state of the batch.");
            case SegmentOutcome.OtherDigest:
                return Problem(422, "segment-digest", result.Message, "Ask for the state of the batch, and send the segment again.");
            case SegmentOutcome.Full:
                return Problem(507, "disk-full", "The disk is full.", "Nothing is lost; go on from the offset when space has been made.");
            case SegmentOutcome.DiskFailed:
                return Problem(500, "disk-failed", result.Message, "Ask for the state of the batch, and send the segment again.");
            default:
                headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);
                return Problem(503, "try-again", result.Message, "Ask for the offset and go on.");
        }
    }

    private static IResult Problem(int status, string type, string title, string detail, long? expected = null, long? provided = null) =>
        Results.Json(
            new UploadProblem(UploadProblem.Types + type, title, detail, expected, provided),
            WireJson.Wire.Options,
            "application/problem+json",
            status
        );
}
