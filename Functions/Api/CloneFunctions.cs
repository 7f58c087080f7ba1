using Librarian.Client.Wire;
using Librarian.Domain.Configuration;
using Librarian.Domain.Peers;
using Librarian.Domain.TransferManagers;
using Librarian.Domain.Transfers;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Incoming;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Api;

/// <summary>Clones of files between this site and its peers (docs/spec/wire.md#clones).</summary>
[Tags("Clones")]
public sealed class CloneFunctions(
    IncomingTransfers incoming,
    TransferUpdates updates,
    CopyAcknowledgements acknowledgements,
    LocalTransferManager local,
    DataOffers data,
    SiteCatalog catalog,
    IOptions<SiteOptions> options
)
{
    private const string CopiesVerified =
        "The items that are here with the declared size and checksum and whose copies were probed, "
        + "as `source_transfer_id=store_id`, comma-separated, at most 256. Absent: none.";

    /// <summary>
    /// Announces one file, which the caller copies itself. Peers call this, and people who ingest a drive. Failures are JSON text inside
    /// <c>detail</c> (docs/spec/wire.md#clone-stage).
    /// </summary>
    [Function("CloneStage"), Requires(AuthLevel.ReadAppend)]
    [Responds<CloneStageResponse>(201, "Space is reserved. Copy the data to `staging_location`, then call `clone/staged`.")]
    [Refuses<WrappedFailure>(400, Reasons.SizeNegative, "The request is not valid.")]
    [Refuses<WrappedFailure>(406, Reasons.TransferDuplicate)]
    [Refuses<WrappedFailure>(409, Reasons.FileExists)]
    [RespondsHeader(409, CopyEvidence.CloneHeader, CopiesVerified)]
    [Refuses<Either<WrappedFailure, Failure>>(413, Reasons.NoStore, Reasons.PromisedTooMuch, "The request body is too large.")]
    [Refuses<WrappedFailure>(425, Reasons.TransferOngoing, Reasons.CopyUnknown, Reasons.CopyBeingRead)]
    public async Task<IResult> StageAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CloneStage)] HttpRequest request,
        [FromBody] CloneStageRequest body,
        CancellationToken cancellationToken
    )
    {
        var result = await incoming.StageCloneAsync(
            new DeclaredTransfer(
                body.UploadSize,
                body.UploadChecksum,
                body.UploadName,
                body.DestinationLocation,
                body.SourceTransferId,
                body.TreeDigest
            ),
            body.Source,
            request.Caller(),
            cancellationToken
        );
        if (result is StageResult.Refused refused)
        {
            var (status, reason) = Refusal(refused.Why);
            AddVerifiedHeader(request, refused);
            return Answers.Wrapped(
                request,
                status,
                new TransferFailure(reason, refused.Detail, body.SourceTransferId, refused.TransferId ?? -1)
            );
        }

        var accepted = (StageResult.Accepted)result;
        var slot = accepted.Slots[0];
        return Answers.Json(
            new CloneStageResponse(
                accepted.FreeBytes,
                accepted.Store.Store.Options.Name,
                slot.StagingName,
                slot.StagingLocation,
                slot.UploadName.Value,
                slot.Destination.Value,
                new OrderedDictionary<string, SyncProvider> { ["local"] = new SyncProvider(local.Hostnames) },
                body.SourceTransferId,
                slot.TransferId
            ),
            StatusCodes.Status201Created
        );
    }

    /// <summary>
    /// Announces a batch of files. The site accepts all or none, except files that it can never accept, such as one with an absolute name:
    /// <c>refused</c> lists them.
    /// </summary>
    [Function("CloneBatchStage"), RequestSizeLimit(BodyLimits.Batch), Requires(AuthLevel.ReadAppend)]
    [ReadsHeader(DataBatchRoutes.MoversHeader, DataOffers.HeaderMeaning)]
    [Responds<CloneBatchStageResponse>(
        201,
        "Space is reserved for all of them. Copy each to its `staging_location`, and report with `checkin/update`."
    )]
    [Refuses<Either<WrappedFailure, BatchFailure>>(400, Reasons.SizeNegative, "The request is not valid.")]
    [Refuses<BatchFailure>(406, Reasons.TransferDuplicate)]
    [Refuses<BatchFailure>(409, Reasons.FileExists)]
    [RespondsHeader(409, CopyEvidence.CloneHeader, CopiesVerified)]
    [Refuses<Either<WrappedFailure, Failure>>(413, Reasons.NoStore, Reasons.PromisedTooMuch, "The request body is too large.")]
    [Refuses<BatchFailure>(425, Reasons.TransferOngoing, Reasons.CopyUnknown, Reasons.CopyBeingRead)]
    public async Task<IResult> BatchStageAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CloneBatchStage)] HttpRequest request,
        [FromBody] CloneBatchStageRequest body,
        CancellationToken cancellationToken
    )
    {
        if (body.Uploads.Any(u => u is null))
            return Answers.Fail(request, 422, "The request body is not valid.", "uploads must not contain null.");
        var result = await incoming.StageBatchAsync(
            [
                .. body.Uploads.Select(u => new DeclaredTransfer(
                    u.UploadSize,
                    u.UploadChecksum,
                    u.UploadName,
                    u.DestinationLocation,
                    u.SourceTransferId,
                    u.TreeDigest
                )),
            ],
            body.TotalSize,
            body.Source,
            request.Caller(),
            cancellationToken
        );
        if (result is StageResult.Refused refused)
            return RefuseBatch(request, refused);
        // The source relies on the transfer ids in this answer. One advance of the catalog covers the batch.
        await catalog.AdvanceAsync(cancellationToken);
        var accepted = (StageResult.Accepted)result;
        return Answers.Json(
            new CloneBatchStageResponse(
                accepted.FreeBytes,
                accepted.Store.Store.Options.Name,
                [
                    .. accepted.Slots.Select(p => new CloneBatchSlot(
                        p.StagingName,
                        p.StagingLocation,
                        p.UploadName.Value,
                        p.Destination.Value,
                        p.SourceTransferId ?? -1,
                        p.TransferId
                    )),
                ],
                Providers(request)
            )
            {
                Refused =
                    accepted.Unfit.Count == 0 ? null : [.. accepted.Unfit.Select(u => new CloneBatchRefusal(u.SourceTransferId, u.Reason))],
            },
            StatusCodes.Status201Created
        );
    }

    private OrderedDictionary<string, AsyncProvider> Providers(HttpRequest request)
    {
        // The Python Librarian takes the first entry, whatever it is (docs/spec/wire.md#first-provider).
        var providers = new OrderedDictionary<string, AsyncProvider> { ["local"] = new LocalProvider(local.Hostnames) };
        if (data.IsUsable(request))
            providers[DataBatchRoutes.Provider] = new HttpsProvider(DataBatchRoutes.Version, []);
        return providers;
    }

    private static IResult RefuseBatch(HttpRequest request, StageResult.Refused refused)
    {
        var (status, reason) = Refusal(refused.Why);
        if (
            status is 400 or 413
            && refused.Why is StageRefusal.NegativeSize or StageRefusal.NoStore or StageRefusal.StoreAway or StageRefusal.ReservedTooMuch
        )
        {
            return Answers.Wrapped(request, status, new TransferFailure(reason, refused.Detail, -1, -1));
        }

        AddVerifiedHeader(request, refused);
        return Answers.Fail(
            request,
            status,
            new BatchFailure(reason, refused.Detail, refused.SourceTransferIds, [.. refused.SourceTransferIds.Select(_ => -1L)])
        );
    }

    /// <summary>Reports that the data are on their way.</summary>
    [Function("CloneOngoing"), Requires(AuthLevel.ReadAppend)]
    [Responds<TransferPair>(200, "Recorded.")]
    [Refuses<TransferFailure>(404, Reasons.TransferNotFound)]
    [Refuses<TransferFailure>(406, Reasons.NotInitiated)]
    public async Task<IResult> OngoingAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CloneOngoing)] HttpRequest request,
        [FromBody] TransferPair body,
        CancellationToken cancellationToken
    ) =>
        await updates.AdvanceIncomingAsync(
            body.DestinationTransferId,
            body.SourceTransferId,
            TransferStatus.Initiated,
            TransferStatus.Ongoing,
            request.Caller(),
            cancellationToken
        ) switch
        {
            AdvanceOutcome.Done => Answers.Json(body),
            AdvanceOutcome.Unknown => NotFound(request, 404, body),
            _ => Answers.Fail(
                request,
                406,
                new TransferFailure(
                    Reasons.NotInitiated,
                    "Ask checkin/status for its state.",
                    body.SourceTransferId,
                    body.DestinationTransferId
                )
            ),
        };

    /// <summary>Reports that the data are complete in staging.</summary>
    [Function("CloneStaged"), Requires(AuthLevel.Callback)]
    [Responds<TransferPairResponse>(200, "Recorded; it will be verified and stored.")]
    [Refuses<TransferFailure>(404, Reasons.TransferNotFound)]
    [Refuses<TransferFailure>(406, Reasons.NotOngoing)]
    public async Task<IResult> StagedAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CloneStaged)] HttpRequest request,
        [FromBody] TransferPair body,
        CancellationToken cancellationToken
    ) =>
        await updates.AdvanceIncomingAsync(
            body.DestinationTransferId,
            body.SourceTransferId,
            TransferStatus.Ongoing,
            TransferStatus.Staged,
            request.Caller(),
            cancellationToken
        ) switch
        {
            AdvanceOutcome.Done => Answers.Json(new TransferPairResponse(body.SourceTransferId, body.DestinationTransferId, true)),
            AdvanceOutcome.Unknown => NotFound(request, 404, body),
            _ => Answers.Fail(
                request,
                406,
                new TransferFailure(
                    Reasons.NotOngoing,
                    "Ask checkin/status for its state.",
                    body.SourceTransferId,
                    body.DestinationTransferId
                )
            ),
        };

    /// <summary>Reports that the destination has verified and stored a file of this site.</summary>
    [Function("CloneComplete"), Requires(AuthLevel.Callback)]
    [Responds<TransferPair>(200, "The copy is recorded.")]
    [Refuses<TransferFailure>(400, Reasons.TransferNotFound, "Could not find librarian {name}.")]
    [Refuses<TransferFailure>(406, Reasons.NotOngoingOrStaged)]
    public async Task<IResult> CompleteAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CloneComplete)] HttpRequest request,
        [FromBody] CloneCompleteRequest body,
        CancellationToken cancellationToken
    )
    {
        var pair = new TransferPair(body.SourceTransferId, body.DestinationTransferId);
        return await acknowledgements.CompleteAsync(
            new Acknowledgement(body.SourceTransferId, body.DestinationTransferId, body.StoreId, body.FileName, body.Checksum, body.Size),
            request.Caller(),
            options.Value.Name,
            cancellationToken
        ) switch
        {
            AcknowledgeOutcome.Recorded => Answers.Json(pair),
            AcknowledgeOutcome.UnknownTransfer => NotFound(request, 400, pair),
            AcknowledgeOutcome.OtherTransfer or AcknowledgeOutcome.Unproven => Answers.Fail(
                request,
                400,
                new TransferFailure(
                    Reasons.TransferNotFound,
                    $"Transfer {pair.SourceTransferId} of this site is not the one that you mean: "
                        + "one of the two catalogs was restored from a backup. Nothing was recorded. "
                        + "Your copy is safe; this site offers the file again and finds it.",
                    pair.SourceTransferId,
                    pair.DestinationTransferId
                )
            ),
            AcknowledgeOutcome.UnknownLibrarian => Answers.Fail(
                request,
                400,
                new TransferFailure(
                    $"Could not find librarian {request.Caller().Username}.",
                    "Register it with add-librarian; the transfer is unchanged.",
                    pair.SourceTransferId,
                    pair.DestinationTransferId
                )
            ),
            _ => Answers.Fail(
                request,
                406,
                new TransferFailure(
                    Reasons.NotOngoingOrStaged,
                    "The transfer has ended otherwise; the source finds your copy when it looks again.",
                    pair.SourceTransferId,
                    pair.DestinationTransferId
                )
            ),
        };
    }

    /// <summary>Abandons a transfer; a file that is already stored stays stored (docs/spec/wire.md#clone-fail).</summary>
    [Function("CloneFail"), Requires(AuthLevel.ReadAppend)]
    [Responds<TransferPairResponse>(200, "It is abandoned, unless it had been stored already.")]
    [Refuses<TransferFailure>(404, "Could not find transfer with ID {destination_transfer_id}.")]
    public async Task<IResult> FailAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CloneFail)] HttpRequest request,
        [FromBody] CloneFailRequest body,
        CancellationToken cancellationToken
    ) =>
        await updates.FailIncomingAsync(body.DestinationTransferId, body.SourceTransferId, body.Reason, request.Caller(), cancellationToken)
            ? Answers.Json(new TransferPairResponse(body.SourceTransferId, body.DestinationTransferId, true))
            : Answers.Fail(
                request,
                404,
                new TransferFailure(
                    $"Could not find transfer with ID {body.DestinationTransferId}.",
                    "It does not exist, is not yours, or its numbers belong to two transfers.",
                    body.SourceTransferId,
                    body.DestinationTransferId
                )
            );

    private static IResult NotFound(HttpRequest request, int status, TransferPair pair) =>
        Answers.Fail(
            request,
            status,
            new TransferFailure(
                Reasons.TransferNotFound,
                "It does not exist, is not yours, or its numbers belong to two transfers.",
                pair.SourceTransferId,
                pair.DestinationTransferId
            )
        );

    private static void AddVerifiedHeader(HttpRequest request, StageResult.Refused refused)
    {
        if (refused.Verified.Count > 0)
            request.HttpContext.Response.Headers[CopyEvidence.CloneHeader] = CopyEvidence.Join(
                refused.Verified.Select(v => (v.SourceTransferId, v.StoreId))
            );
    }

    private static (int Status, string Reason) Refusal(StageRefusal why) =>
        why switch
        {
            StageRefusal.NegativeSize => (400, Reasons.SizeNegative),
            StageRefusal.NoStore or StageRefusal.StoreAway => (413, Reasons.NoStore),
            StageRefusal.ReservedTooMuch => (413, Reasons.PromisedTooMuch),
            StageRefusal.Ongoing => (425, Reasons.TransferOngoing),
            StageRefusal.FileExists => (409, Reasons.FileExists),
            StageRefusal.Duplicate => (406, Reasons.TransferDuplicate),
            // After a 409, a source (a Python one too) drops the file and asks for the rest; after a 425, it offers the file again.
            StageRefusal.CopyUnknown => (425, Reasons.CopyUnknown),
            StageRefusal.CopyBeingRead => (425, Reasons.CopyBeingRead),
            _ => (400, "The request is not valid."),
        };
}
