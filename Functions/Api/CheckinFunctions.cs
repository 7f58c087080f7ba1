using Librarian.Client.Wire;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Incoming;
using Microsoft.AspNetCore.Mvc;

namespace Librarian.Functions.Api;

/// <summary>Peers keep each other's transfer states in step (docs/spec/wire.md#check-in).</summary>
[Tags("Check-in")]
public sealed class CheckinFunctions(TransferUpdates updates, Domain.Catalog.CatalogDatabase database)
{
    /// <summary>Changes states of transfers. The answer is 200 even if nothing changed; the lists say what did.</summary>
    [Function("CheckinUpdate"), RequestSizeLimit(BodyLimits.Batch), Requires(AuthLevel.Callback)]
    [Responds<CheckinUpdateResponse>(200, "What was changed, and what was not and why.")]
    public async Task<IResult> UpdateAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CheckinUpdate)] HttpRequest request,
        [FromBody] CheckinUpdateRequest body,
        CancellationToken cancellationToken
    )
    {
        if (
            Mismatch(body.SourceTransferIds, body.SourceCounterpartIds, body.DestinationTransferIds, body.DestinationCounterpartIds) is
            { } problem
        )
            return Answers.Fail(request, 422, "The request body is not valid.", problem);
        var (outgoing, arriving) = await updates.UpdateAsync(
            new(body.SourceTransferIds, body.SourceCounterpartIds),
            new(body.DestinationTransferIds, body.DestinationCounterpartIds),
            body.NewStatus,
            request.Caller(),
            cancellationToken
        );
        return Answers.Json(
            new CheckinUpdateResponse(
                outgoing.Modified,
                arriving.Modified,
                outgoing.Unmodified,
                arriving.Unmodified,
                [.. outgoing.Reasons.Union(arriving.Reasons, StringComparer.Ordinal)]
            )
        );
    }

    /// <summary>
    /// Shows states of transfers. Every id of the request is in the answer, with null if it is unknown or not the caller's.
    /// </summary>
    [Function("CheckinStatus"), RequestSizeLimit(BodyLimits.Batch), Requires(AuthLevel.Callback)]
    [Responds<CheckinStatusResponse>(200, "The states.")]
    public async Task<IResult> StatusAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CheckinStatus)] HttpRequest request,
        [FromBody] CheckinStatusRequest body,
        CancellationToken cancellationToken
    )
    {
        if (
            Mismatch(body.SourceTransferIds, body.SourceCounterpartIds, body.DestinationTransferIds, body.DestinationCounterpartIds) is
            { } problem
        )
            return Answers.Fail(request, 422, "The request body is not valid.", problem);
        await using var db = database.Open();
        var (outgoing, arriving) = await Domain.Transfers.Checkin.StatusAsync(
            db,
            new(body.SourceTransferIds, body.SourceCounterpartIds),
            new(body.DestinationTransferIds, body.DestinationCounterpartIds),
            request.Caller(),
            cancellationToken
        );
        return Answers.Json(new CheckinStatusResponse(Map(body.SourceTransferIds, outgoing), Map(body.DestinationTransferIds, arriving)));
    }

    private static string? Mismatch(
        IReadOnlyList<long> source,
        IReadOnlyList<long>? sourceCounterparts,
        IReadOnlyList<long> destination,
        IReadOnlyList<long>? destinationCounterparts
    ) =>
        (sourceCounterparts?.Count ?? source.Count) == source.Count
        && (destinationCounterparts?.Count ?? destination.Count) == destination.Count
            ? null
            : "A list of counterpart ids has one id for each id of its list. Nothing was changed.";

    private static OrderedDictionary<long, TransferStatus?> Map(IEnumerable<long> ids, IReadOnlyDictionary<long, TransferStatus> states)
    {
        var result = new OrderedDictionary<long, TransferStatus?>();
        foreach (var id in ids)
            result[id] = states.TryGetValue(id, out var status) ? status : null;
        return result;
    }
}
