using Librarian.Client.Wire;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Repair;
using Microsoft.AspNetCore.Mvc;
using AuthLevel = Librarian.Domain.Accounts.AuthLevel;

namespace Librarian.Functions.Api;

/// <summary>A neighbour's copy is bad and it wants ours (wire.md §6.9).</summary>
[Tags("Corrupt copies")]
public sealed class CorruptionFunctions(Resending resending)
{
    /// <summary>Asks whether a good copy could be sent.</summary>
    [Function("CorruptPrepare"), Requires(AuthLevel.Callback)]
    [Responds<CorruptPrepareResponse>(200, "A good copy is here, and you can be reached.")]
    [Refuses<Either<WrappedFailure, Failure>>(401, "Not authenticated", "Incorrect username or password", "Unauthorized")]
    [Refuses<Failure>(409, Reasons.FileUnknown, "We have no available copy of the file", Reasons.AlsoCorrupt, Reasons.CannotSend)]
    public async Task<IResult> PrepareAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CorruptPrepare)] HttpRequest request, [FromBody] CorruptPrepareRequest body, CancellationToken cancellationToken) =>
        await resending.PrepareAsync(body.FileName, body.LibrarianName, request.Caller(), cancellationToken) is var answer && answer is ResendAnswer.Ready
            ? Answers.Json(new CorruptPrepareResponse(true))
            : Refuse(request, answer);

    /// <summary>Sends a good copy; the neighbour is called back before this answers.</summary>
    [Function("CorruptResend"), Requires(AuthLevel.Callback)]
    [Responds<CorruptResendResponse>(200, "It is on its way.")]
    [Refuses<Either<WrappedFailure, Failure>>(401, "Not authenticated", "Incorrect username or password", "Unauthorized")]
    [Refuses<Failure>(409, Reasons.FileUnknown, "We have no available copy of the file", Reasons.AlsoCorrupt, Reasons.CannotSend, Reasons.CannotQueue)]
    public async Task<IResult> ResendAsync([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CorruptResend)] HttpRequest request, [FromBody] CorruptResendRequest body, CancellationToken cancellationToken) =>
        await resending.ResendAsync(body.FileName, body.LibrarianName, request.Caller(), cancellationToken) is var answer && answer is ResendAnswer.Ready { RemoteTransferId: { } id }
            ? Answers.Json(new CorruptResendResponse(true, id))
            : Refuse(request, answer);

    /// <summary>Without upstream's <c>detail</c> object, which breaks off the asking site's whole run (wire.md §6.9).</summary>
    private static IResult Refuse(HttpRequest request, ResendAnswer answer) => answer is ResendAnswer.Refused refused
        ? Answers.Fail(request, 409, refused.Reason, refused.Detail)
        : Answers.Fail(request, 401, "Unauthorized", "librarian_name must be the name of a registered librarian and of the account that asks.");
}
