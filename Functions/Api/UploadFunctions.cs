using Librarian.Client.Wire;
using Librarian.Domain.TransferManagers;
using Librarian.Domain.Transfers;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Ingest;
using Microsoft.AspNetCore.Mvc;
using AuthLevel = Librarian.Domain.Accounts.AuthLevel;

namespace Librarian.Functions.Api;

/// <summary>Bringing a file to this site (wire.md §6.3).</summary>
[Tags("Uploads")]
public sealed class UploadFunctions(IncomingTransfers incoming, UploadCommits commits, LocalTransferManager local)
{
    /// <summary>Reserves space and names a staging place.</summary>
    [Function("UploadStage"), Requires(AuthLevel.ReadAppend)]
    [Responds<UploadStageResponse>(201, "Space is reserved. Copy the data to `staging_location`, then commit.")]
    [Refuses<Failure>(400, Reasons.SizeNegative, "The path is not valid.")]
    [Refuses<Failure>(409, Reasons.FileExists)]
    [Refuses<Failure>(413, Reasons.SizeTooLarge, Reasons.NoStore)]
    public async Task<IResult> StageAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.UploadStage)] HttpRequest request, [FromBody] UploadStageRequest body, CancellationToken cancellationToken)
    {
        var result = await incoming.StageUploadAsync(new Arrival(body.UploadSize, body.UploadChecksum, body.UploadName, body.DestinationLocation), body.Uploader, request.Caller(), cancellationToken);
        if (result is StageResult.Refused refused)
        {
            return refused.Why switch
            {
                StageRefusal.NegativeSize => Answers.Fail(request, 400, Reasons.SizeNegative, refused.Detail),
                StageRefusal.TooLarge => Answers.Fail(request, 413, Reasons.SizeTooLarge, refused.Detail),
                StageRefusal.FileExists => Answers.Fail(request, 409, Reasons.FileExists, refused.Detail + " Choose another name, or compare checksums with search/file."),
                StageRefusal.NoStore => Answers.Fail(request, 413, Reasons.NoStore, refused.Detail + " Keep your copy and try again when space has been made."),
                _ => Answers.Fail(request, 400, "The path is not valid.", refused.Detail),
            };
        }

        var accepted = (StageResult.Accepted)result;
        var place = accepted.Places[0];
        return Answers.Json(new UploadStageResponse(accepted.FreeBytes, accepted.Store.Store.Options.Name, place.StagingName, place.StagingLocation, place.UploadName, place.DestinationLocation,
            new OrderedDictionary<string, SyncProvider> { ["local"] = new SyncProvider(local.Hostnames) }, place.TransferId), StatusCodes.Status201Created);
    }

    /// <summary>Verifies and ingests; the answer comes when the file is stored, catalogued and safe against a power cut.</summary>
    [Function("UploadCommit"), Requires(AuthLevel.ReadAppend)]
    [Responds(200, "The file is verified, stored, catalogued and on disk. You may delete your copy.")]
    [Refuses<Failure>(400, "Store {store_name} does not exist.", "Store {store_name} is not available.")]
    [Refuses<Failure>(404, Reasons.TransferNotFound, Reasons.NotInStaging)]
    [Refuses<Failure>(406, Reasons.Mismatch)]
    [Refuses<Failure>(409, Reasons.FileExistsOnStore)]
    public async Task<IResult> CommitAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.UploadCommit)] HttpRequest request, [FromBody] UploadCommitRequest body, CancellationToken cancellationToken)
    {
        // Only the word "allowed" allows: the Python client's "1" means disallowed upstream, which keeps data safe (wire.md §6.3.2).
        var policy = body.DeletionPolicy.Equals("allowed", StringComparison.OrdinalIgnoreCase) ? Domain.Catalog.DeletionPolicy.Allowed : Domain.Catalog.DeletionPolicy.Disallowed;
        var result = await commits.CommitAsync(new UploadCommit(body.TransferId, body.StoreName, body.DestinationLocation, body.TransferProviderName, policy), request.Caller(), cancellationToken);
        return result.Outcome switch
        {
            CommitOutcome.Stored => Results.Ok(),
            CommitOutcome.NotYours => Results.Forbid(),
            CommitOutcome.UnknownTransfer => Answers.Fail(request, 404, Reasons.TransferNotFound, result.Message),
            CommitOutcome.UnknownStore => Answers.Fail(request, 400, $"Store {body.StoreName} does not exist.", result.Message),
            CommitOutcome.StoreUnavailable => Answers.Fail(request, 400, $"Store {body.StoreName} is not available.", result.Message),
            CommitOutcome.NotInStaging => Answers.Fail(request, 404, Reasons.NotInStaging, result.Message),
            CommitOutcome.NameTaken => Answers.Fail(request, 409, Reasons.FileExistsOnStore, result.Message),
            CommitOutcome.Invalid => Answers.Fail(request, 406, Reasons.Mismatch, result.Message),
            _ => Answers.Fail(request, 500, Reasons.Internal, result.Message),
        };
    }
}
