using System.Globalization;
using System.IO.Compression;
using Librarian.Client.Wire;
using Librarian.Domain.DataBatches;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.Mvc;

namespace Librarian.Functions.Api;

/// <summary>Data batches: how the bytes of staged transfers come in over HTTP (docs/spec/data-batches.md).</summary>
[Tags("Data")]
public sealed class DataBatchFunctions(IncomingBatches batches)
{
    private const string Prefix = DataRoutes.Prefix + DataBatchRoutes.Batches;
    private const string NoBatch = "There is no such data batch.";
    private const string BadLayout = "The layout is not valid.";
    private const string LargeLayout = "The layout is too large.";
    private const string NoSpace = "The disk is full.";

    /// <summary>Makes a data batch from a layout, or finds the one with the same layout.</summary>
    [Function("DataBatchMake"), RequestSizeLimit(BodyLimits.Layout), Requires(AuthLevel.ReadAppend)]
    [ReadsHeader("Content-Encoding", "`gzip`, if the layout is compressed.")]
    [Responds<DataBatchState>(200, "The batch. Send the segments that are not complete.")]
    [Refuses<Failure>(400, BadLayout)]
    [Refuses<Failure>(409, "A transfer takes no data.")]
    [Refuses<Failure>(413, LargeLayout)]
    [Refuses<Failure>(503, Reasons.StoreAway)]
    [Refuses<Failure>(507, NoSpace)]
    public async Task<IResult> MakeAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Prefix)] HttpRequest request,
        CancellationToken cancellationToken
    )
    {
        await using var layout = request.Headers.ContentEncoding is ["gzip"]
            ? new GZipStream(request.Body, CompressionMode.Decompress)
            : request.Body;
        var opening = await batches.MakeAsync(layout, request.Caller(), cancellationToken);
        return opening.Batch is { } batch ? Answers.Json(await StateOfAsync(batch, cancellationToken)) : Refuse(request, opening);
    }

    /// <summary>State of a data batch.</summary>
    [Function("DataBatchState"), Requires(AuthLevel.ReadAppend)]
    [ReadsPath("id", "Id of the batch.")]
    [Responds<DataBatchState>(200, "The batch.")]
    [Refuses<Failure>(404, NoBatch)]
    [Refuses<Failure>(503, Reasons.StoreAway)]
    public async Task<IResult> StateAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = Prefix + "/{id}")] HttpRequest request,
        string id,
        CancellationToken cancellationToken
    )
    {
        var opening = await batches.FindAsync(id, request.Caller(), cancellationToken);
        return opening.Batch is { } batch ? Answers.Json(await StateOfAsync(batch, cancellationToken)) : Refuse(request, opening);
    }

    /// <summary>Forgets a data batch. Its transfers stay.</summary>
    [Function("DataBatchRemove"), Requires(AuthLevel.ReadAppend)]
    [ReadsPath("id", "Id of the batch.")]
    [Responds(204, "It is gone.")]
    [Refuses<Failure>(404, NoBatch)]
    [Refuses<Failure>(503, Reasons.StoreAway)]
    public async Task<IResult> RemoveAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "delete", Route = Prefix + "/{id}")] HttpRequest request,
        string id,
        CancellationToken cancellationToken
    )
    {
        var opening = await batches.FindAsync(id, request.Caller(), cancellationToken);
        if (opening.Batch is not { } batch)
            return Refuse(request, opening);
        await batches.RemoveAsync(batch, cancellationToken);
        return Results.NoContent();
    }

    private async Task<DataBatchState> StateOfAsync(DataBatch batch, CancellationToken cancellationToken)
    {
        var abandoned = await batches.AbandonedAsync(batch, cancellationToken);
        var (complete, generations) = batch.Progress();
        return new DataBatchState(batch.Id, batch.TotalBytes, DataBatch.SegmentBytes, batch.Segments, complete, generations, abandoned);
    }

    internal static IResult Refuse(HttpRequest request, BatchOpening opening)
    {
        switch (opening.Refusal)
        {
            case BatchRefusal.Unknown:
                return Answers.Fail(request, 404, NoBatch, opening.Message);
            case BatchRefusal.BadLayout:
                return Answers.Fail(request, 400, BadLayout, opening.Message);
            case BatchRefusal.TooLarge:
                return Answers.Fail(request, 413, LargeLayout, opening.Message);
            case BatchRefusal.UnfitTransfer:
                return Answers.Fail(request, 409, "A transfer takes no data.", opening.Message);
            case BatchRefusal.Full:
                return Answers.Fail(request, 507, NoSpace, opening.Message + " Try again when space has been made.");
            default:
                request.HttpContext.Response.Headers.RetryAfter = 60.ToString(CultureInfo.InvariantCulture);
                return Answers.Fail(request, 503, Reasons.StoreAway, opening.Message);
        }
    }
}
