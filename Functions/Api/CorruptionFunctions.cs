using Librarian.Client.Wire;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Repair;
using Microsoft.AspNetCore.Mvc;

namespace Librarian.Functions.Api;

/// <summary>Replacements for corrupt copies of peers (docs/spec/wire.md#corrupt).</summary>
[Tags("Corrupt copies")]
public sealed class CorruptionFunctions(ReplacementSender resending)
{
    /// <summary>Reports whether this site can send an intact copy.</summary>
    [Function("CorruptPrepare"), Requires(AuthLevel.Callback)]
    [Responds<CorruptPrepareResponse>(200, "A good copy is here, and you can be reached.")]
    [Refuses<Either<WrappedFailure, Failure>>(401, "Not authenticated", "Incorrect username or password", "Unauthorized")]
    [Refuses<Failure>(409, Reasons.FileUnknown, "We have no available copy of the file", Reasons.AlsoCorrupt, Reasons.CannotSend)]
    public async Task<IResult> PrepareAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CorruptPrepare)] HttpRequest request,
        [FromBody] CorruptPrepareRequest body,
        CancellationToken cancellationToken
    ) =>
        await resending.PrepareAsync(body.FileName, body.LibrarianName, request.Caller(), cancellationToken) is var answer
        && answer is ReplacementAnswer.Ready
            ? Answers.Json(new CorruptPrepareResponse(true))
            : Refuse(request, answer);

    /// <summary>Sends an intact copy. This site calls the peer back before it answers.</summary>
    [Function("CorruptResend"), Requires(AuthLevel.Callback)]
    [Responds<CorruptResendResponse>(200, "It is on its way.")]
    [Refuses<Either<WrappedFailure, Failure>>(401, "Not authenticated", "Incorrect username or password", "Unauthorized")]
    [Refuses<Failure>(
        409,
        Reasons.FileUnknown,
        "We have no available copy of the file",
        Reasons.AlsoCorrupt,
        Reasons.CannotSend,
        Reasons.CannotQueue
    )]
    public async Task<IResult> ResendAsync(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.CorruptResend)] HttpRequest request,
        [FromBody] CorruptResendRequest body,
        CancellationToken cancellationToken
    ) =>
        await resending.ResendAsync(body.FileName, body.LibrarianName, request.Caller(), cancellationToken) is var answer
        && answer is ReplacementAnswer.Ready { RemoteTransferId: { } id }
            ? Answers.Json(new CorruptResendResponse(true, id))
            : Refuse(request, answer);

    /// <summary>
    /// Leaves out upstream's <c>detail</c> object, which would abort the whole run of the asking site (docs/spec/wire.md#corrupt).
    /// </summary>
    private static IResult Refuse(HttpRequest request, ReplacementAnswer answer) =>
        answer is ReplacementAnswer.Refused refused
            ? Answers.Fail(request, 409, refused.Reason, refused.Detail)
            : Answers.Fail(
                request,
                401,
                "Unauthorized",
                "librarian_name must be the name of a registered librarian and of the account that asks."
            );
}
