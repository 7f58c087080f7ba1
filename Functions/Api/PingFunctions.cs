using Librarian.Client.Wire;
using Librarian.Domain.Configuration;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Api;

/// <summary>Calls that check whether the site answers and credentials work (docs/spec/wire.md#ping).</summary>
[Tags("Ping")]
public sealed class PingFunctions(IOptions<SiteOptions> options)
{
    private const string NameMeaning = "The identity other sites know this one by, percent-encoded.";

    /// <summary>Confirms that the site answers.</summary>
    [Function("Ping"), Requires(AuthLevel.None)]
    [Responds<PingResponse>(200, "The site is there.")]
    [RespondsHeader(200, PingResponse.NameHeader, NameMeaning)]
    public IResult Ping(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + "ping")] HttpRequest request,
        [FromBody] PingRequest body
    ) => Answer(request);

    /// <summary>Confirms that the account may log in.</summary>
    [Function("PingLogged"), Requires(AuthLevel.ReadOnly)]
    [Responds<PingResponse>(200, "The account may log in.")]
    [RespondsHeader(200, PingResponse.NameHeader, NameMeaning)]
    public IResult PingLogged(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.PingLogged)] HttpRequest request,
        [FromBody] PingRequest body
    ) => Answer(request);

    /// <summary>Confirms that the account is an administrator.</summary>
    [Function("PingAdmin"), Requires(AuthLevel.Admin)]
    [Responds<PingResponse>(200, "The account is an administrator.")]
    [RespondsHeader(200, PingResponse.NameHeader, NameMeaning)]
    public IResult PingAdmin(
        [HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.PingAdmin)] HttpRequest request,
        [FromBody] PingRequest body
    ) => Answer(request);

    private IResult Answer(HttpRequest request)
    {
        // The name in the body is for people; a peer has to know which site really answers (add-librarian).
        request.HttpContext.Response.Headers[PingResponse.NameHeader] = Uri.EscapeDataString(options.Value.Name);
        return Answers.Json(new PingResponse(options.Value.DisplayedName ?? options.Value.Name, options.Value.Description));
    }
}
