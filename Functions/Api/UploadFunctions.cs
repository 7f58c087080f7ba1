using System.Diagnostics;
using System.Globalization;
using Librarian.Client.Wire;
using Librarian.Domain.TransferManagers;
using Librarian.Domain.Transfers;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Incoming;
using Microsoft.AspNetCore.Mvc;

namespace Librarian.Functions.Api;

/// <summary>Uploads of files to this site (docs/spec/wire.md#uploads).</summary>
[Tags("Uploads")]
public sealed class UploadFunctions(IncomingTransfers incoming, UploadCommits commits, LocalTransferManager local, DataOffers data)
{
    /// <summary>Reserves space and returns a staging slot.</summary>
    [Function("UploadStage"), Requires(AuthLevel.ReadAppend)]
    [ReadsHeader(DataBatchRoutes.MoversHeader, DataOffers.HeaderMeaning)]
    [Responds<UploadStageResponse>(201, "Space is reserved. Copy the data to `staging_location`, then commit.")]
    [Refuses<Failure>(400, Reasons.SizeNegative, "The path is not valid.")]
    [Refuses<Failure>(409, Reasons.FileExists)]
    [RespondsHeader(
        409,
        CopyEvidence.UploadHeader,
        "The file is here with the declared size and checksum, and its copy was probed: UTC time of its last whole reading. "
            + "Absent: other content has the name, or no copy is here."
    )]
    [Refuses<Failure>(413, Reasons.SizeTooLarge, Reasons.NoStore, Reasons.PromisedTooMuch)]
    [Refuses<Failure>(503, Reasons.StoreAway, Reasons.CopyUnknown, Reasons.CopyBeingRead)]
    [RespondsHeader(503, "Retry-After", "Seconds after which to ask again.")]
    public async Task<IResult> StageAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.UploadStage)] HttpRequest request,
        [FromBody] UploadStageRequest body,
        CancellationToken cancellationToken
    )
    {
        var result = await incoming.StageUploadAsync(
            new DeclaredTransfer(
                body.UploadSize,
                body.UploadChecksum,
                body.UploadName,
                body.DestinationLocation,
                TreeDigest: body.TreeDigest
            ),
            body.Uploader,
            request.Caller(),
            takesUp: data.IsUsable(request),
            cancellationToken
        );
        if (result is StageResult.Refused refused)
            return Refuse(request, refused);
        var accepted = (StageResult.Accepted)result;
        var slot = accepted.Slots[0];
        return Answers.Json(
            new UploadStageResponse(
                accepted.FreeBytes,
                accepted.Store.Store.Options.Name,
                slot.StagingName,
                slot.StagingLocation,
                slot.UploadName.Value,
                slot.Destination.Value,
                Providers(request, accepted),
                slot.TransferId
            ),
            StatusCodes.Status201Created
        );
    }

    private OrderedDictionary<string, SyncProvider> Providers(HttpRequest request, StageResult.Accepted accepted)
    {
        var providers = new OrderedDictionary<string, SyncProvider>();
        // A local copy would find what the data batch has written.
        if (!accepted.Resumes)
            providers["local"] = new SyncProvider(local.Hostnames);
        if (data.IsUsable(request))
            providers[DataBatchRoutes.Provider] = new SyncProvider([]) { DataVersion = DataBatchRoutes.Version };
        return providers;
    }

    private static IResult Refuse(HttpRequest request, StageResult.Refused refused) =>
        refused.Why switch
        {
            StageRefusal.NegativeSize => Answers.Fail(request, 400, Reasons.SizeNegative, refused.Detail),
            StageRefusal.TooLarge => Answers.Fail(request, 413, Reasons.SizeTooLarge, refused.Detail),
            StageRefusal.FileExists => Exists(request, refused),
            StageRefusal.CopyUnknown => Later(
                request,
                Reasons.CopyUnknown,
                refused.Detail + " Keep your copy and upload again later.",
                seconds: 300
            ),
            StageRefusal.CopyBeingRead => Later(
                request,
                Reasons.CopyBeingRead,
                refused.Detail + " Keep your copy and upload again in a minute.",
                seconds: 30
            ),
            StageRefusal.StoreAway => Later(
                request,
                Reasons.StoreAway,
                refused.Detail + " Keep your copy and upload again when the store is mounted.",
                seconds: 300
            ),
            StageRefusal.ReservedTooMuch => Answers.Fail(request, 413, Reasons.PromisedTooMuch, refused.Detail),
            StageRefusal.NoStore => Answers.Fail(
                request,
                413,
                Reasons.NoStore,
                refused.Detail + " Keep your copy and try again when space has been made."
            ),
            _ => Answers.Fail(request, 400, "The path is not valid.", refused.Detail),
        };

    private static IResult Exists(HttpRequest request, StageResult.Refused refused)
    {
        if (refused.Verified is not [var copy, ..])
            return Answers.Fail(
                request,
                409,
                Reasons.FileExists,
                refused.Detail + " Choose another name, or compare checksums with search/file."
            );
        request.HttpContext.Response.Headers[CopyEvidence.UploadHeader] = copy.VerifiedTime.ToString(
            "yyyy-MM-ddTHH:mm:ssZ",
            CultureInfo.InvariantCulture
        );
        return Answers.Fail(
            request,
            409,
            Reasons.FileExists,
            "It is here with this size and checksum, and its copy was probed. Nothing needs to be uploaded."
        );
    }

    private static IResult Later(HttpRequest request, string reason, string remedy, int seconds)
    {
        request.HttpContext.Response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        return Answers.Fail(request, 503, reason, remedy);
    }

    /// <summary>Verifies and ingests a file. The answer comes when the file is stored, catalogued and safe against a power cut.</summary>
    [Function("UploadCommit"), Requires(AuthLevel.ReadAppend)]
    [Responds(200, "The file is verified, stored, catalogued and on disk. You may delete your copy.")]
    [Refuses<Failure>(400, "Store {store_name} does not exist.", "Store {store_name} is not available.")]
    [Refuses<Failure>(404, Reasons.TransferNotFound, Reasons.NotInStaging)]
    [Refuses<Failure>(406, Reasons.Mismatch)]
    [Refuses<Failure>(409, Reasons.FileExistsOnStore)]
    [Refuses<Failure>(503, "HubUnavailable: {what}")]
    public async Task<IResult> CommitAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.UploadCommit)] HttpRequest request,
        [FromBody] UploadCommitRequest body,
        CancellationToken cancellationToken
    )
    {
        // Only the word "allowed" allows deletion. Upstream reads the Python client's "1" as disallowed, which keeps data safe
        // (docs/spec/wire.md#deletion-policy).
        var policy = body.DeletionPolicy.Equals("allowed", StringComparison.OrdinalIgnoreCase)
            ? DeletionPolicy.Allowed
            : DeletionPolicy.Disallowed;
        if (!FileName.TryParse(body.DestinationLocation, out var destination, out var refusal))
            return Answers.Fail(
                request,
                406,
                Reasons.Mismatch,
                $"destination_location: {FileName.Describe(refusal)} The staged data are untouched."
            );
        var result = await commits.CommitAsync(
            new UploadCommit(body.TransferId, body.StoreName, destination, body.TransferProviderName, policy),
            request.Caller(),
            cancellationToken
        );
        return result.Outcome switch
        {
            CommitOutcome.Stored => Results.Ok(),
            CommitOutcome.NotUploadOfCaller => Results.Forbid(),
            CommitOutcome.UnknownTransfer => Answers.Fail(request, 404, Reasons.TransferNotFound, result.Message),
            CommitOutcome.UnknownStore => Answers.Fail(request, 400, $"Store {body.StoreName} does not exist.", result.Message),
            CommitOutcome.StoreUnavailable => Answers.Fail(request, 400, $"Store {body.StoreName} is not available.", result.Message),
            CommitOutcome.NotInStaging => Answers.Fail(request, 404, Reasons.NotInStaging, result.Message),
            CommitOutcome.NameTaken => Answers.Fail(request, 409, Reasons.FileExistsOnStore, result.Message),
            CommitOutcome.Invalid => Answers.Fail(request, 406, Reasons.Mismatch, result.Message),
            // After a 500 a client cannot know the outcome and asks the catalog (docs/spec/wire.md#upload-commit).
            CommitOutcome.Later => Answers.Fail(request, 500, Reasons.Internal, result.Message),
            _ => throw new UnreachableException($"Outcome {result.Outcome} has no answer."),
        };
    }
}
