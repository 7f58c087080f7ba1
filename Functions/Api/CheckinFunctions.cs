using Librarian.Client.Wire;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Clone;
using Microsoft.AspNetCore.Mvc;
using AuthLevel = Librarian.Domain.Accounts.AuthLevel;

namespace Librarian.Functions.Api;

/// <summary>Neighbours keep each other's transfer states in step (wire.md §6.7).</summary>
[Tags("Check-in")]
public sealed class CheckinFunctions(CloneCallbacks callbacks)
{
    /// <summary>Changes states of transfers; always 200, the lists say what really changed.</summary>
    [Function("CheckinUpdate"), Requires(AuthLevel.Callback)]
    [Responds<CheckinUpdateResponse>(200, "What was changed, and what was not and why.")]
    public async Task<IResult> UpdateAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CheckinUpdate)] HttpRequest request, [FromBody] CheckinUpdateRequest body, CancellationToken cancellationToken)
    {
        var (outgoing, arriving) = await callbacks.UpdateAsync(body.SourceTransferIds, body.DestinationTransferIds, (Domain.Catalog.TransferStatus)body.NewStatus, request.Caller(), cancellationToken);
        return Answers.Json(new CheckinUpdateResponse(outgoing.Modified, arriving.Modified, outgoing.Unmodified, arriving.Unmodified, [.. outgoing.Reasons.Union(arriving.Reasons, StringComparer.Ordinal)]));
    }

    /// <summary>Shows states of transfers; every id asked is answered, null when unknown or not the caller's.</summary>
    [Function("CheckinStatus"), Requires(AuthLevel.Callback)]
    [Responds<CheckinStatusResponse>(200, "The states.")]
    public async Task<IResult> StatusAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CheckinStatus)] HttpRequest request, [FromBody] CheckinStatusRequest body, CancellationToken cancellationToken)
    {
        var (outgoing, arriving) = await callbacks.StatusAsync(body.SourceTransferIds, body.DestinationTransferIds, request.Caller(), cancellationToken);
        return Answers.Json(new CheckinStatusResponse(Map(body.SourceTransferIds, outgoing), Map(body.DestinationTransferIds, arriving)));
    }

    private static OrderedDictionary<long, TransferStatus?> Map(IEnumerable<long> ids, IReadOnlyDictionary<long, Domain.Catalog.TransferStatus> states)
    {
        var result = new OrderedDictionary<long, TransferStatus?>();
        foreach (var id in ids) result[id] = states.TryGetValue(id, out var status) ? (TransferStatus)status : null;
        return result;
    }
}
