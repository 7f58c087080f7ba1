using Librarian.Client.Wire;
using Librarian.Domain.Configuration;
using Librarian.Functions.Documentation;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Options;
using AuthLevel = Librarian.Domain.Accounts.AuthLevel;

namespace Librarian.Functions.Api;

/// <summary>Is the site there, and do my credentials work (wire.md §6.1).</summary>
[Tags("Ping")]
public sealed class PingFunctions(IOptions<SiteOptions> options)
{
    /// <summary>Tells that the site is there.</summary>
    [Function("Ping"), Requires(AuthLevel.None)]
    [Responds<PingResponse>(200, "The site is there.")]
    public IResult Ping([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + "ping")] HttpRequest request, [FromBody] PingRequest body) => Answer();

    /// <summary>Tells that the account may log in.</summary>
    [Function("PingLogged"), Requires(AuthLevel.ReadOnly)]
    [Responds<PingResponse>(200, "The account may log in.")]
    public IResult PingLogged([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.PingLogged)] HttpRequest request, [FromBody] PingRequest body) => Answer();

    /// <summary>Tells that the account is an administrator.</summary>
    [Function("PingAdmin"), Requires(AuthLevel.Admin)]
    [Responds<PingResponse>(200, "The account is an administrator.")]
    public IResult PingAdmin([HttpTrigger(AuthorizationLevel.Anonymous, "post", Route = Routes.Prefix + Routes.PingAdmin)] HttpRequest request, [FromBody] PingRequest body) => Answer();

    private IResult Answer() => Answers.Json(new PingResponse(options.Value.DisplayedName ?? options.Value.Name, options.Value.Description));
}
