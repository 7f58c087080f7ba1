using System.Security.Claims;
using System.Text;
using System.Text.Encodings.Web;
using Librarian.Domain.Accounts;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Security;

/// <summary>
/// HTTP Basic against the site's accounts (docs/spec/wire.md#generic-failures, docs/spec/wire.md#basic-authentication). Every refusal is a
/// 401, even for a level that is too low.
/// </summary>
public sealed class BasicAuthentication(
    IOptionsMonitor<AuthenticationSchemeOptions> options,
    ILoggerFactory loggers,
    UrlEncoder encoder,
    AccountDirectory accounts,
    PeerPresence presence
) : AuthenticationHandler<AuthenticationSchemeOptions>(options, loggers, encoder)
{
    public const string SchemeName = "Basic";

    private const string LevelClaim = "librarian:level";

    /// <summary>The authenticated caller of a request.</summary>
    public static Caller CallerOf(HttpContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        var name = context.User.Identity?.Name ?? throw new InvalidOperationException("The endpoint carries no [Requires] attribute.");
        return new Caller(name, Enum.Parse<AuthLevel>(context.User.FindFirstValue(LevelClaim)!));
    }

    /// <inheritdoc />
    protected override async Task<AuthenticateResult> HandleAuthenticateAsync()
    {
        if (!TryRead(Request.Headers.Authorization.ToString(), out var username, out var password))
            return AuthenticateResult.NoResult();
        // A ping of level NONE succeeds with any credentials (docs/spec/wire.md#ping), so their expensive verification is left out
        // (upstream weakness W43).
        var level = Context.GetEndpoint()?.Metadata.GetMetadata<RequiresAttribute>() is { Level: AuthLevel.None }
            ? AuthLevel.None
            : await accounts.AuthenticateAsync(username, password, Context.RequestAborted);
        // A peer's account has the peer's name (docs/spec/wire.md#identity). The caller does not wait for this.
        if (level > AuthLevel.None && presence.IsAwaited(username))
            Response.OnCompleted(() => presence.WakeWaitingAsync(username, CancellationToken.None));
        var identity = new ClaimsIdentity([new Claim(ClaimTypes.Name, username), new Claim(LevelClaim, level.ToString())], SchemeName);
        return AuthenticateResult.Success(new AuthenticationTicket(new ClaimsPrincipal(identity), SchemeName));
    }

    /// <inheritdoc />
    protected override Task HandleChallengeAsync(AuthenticationProperties properties) => RefuseAsync("Not authenticated");

    /// <inheritdoc />
    protected override Task HandleForbiddenAsync(AuthenticationProperties properties)
    {
        Logs.Refused(Logger, Context.User.Identity?.Name ?? "", Request.Path);
        return RefuseAsync("Incorrect username or password");
    }

    /// <summary>Adds the scheme and a policy per level.</summary>
    public static void AddTo(IServiceCollection services)
    {
        // HTTP Basic protects no cookies; without this, the framework would write keys below the account's home directory.
        services.AddDataProtection().UseEphemeralDataProtectionProvider();
        services.AddAuthentication(SchemeName).AddScheme<AuthenticationSchemeOptions, BasicAuthentication>(SchemeName, null);
        var authorization = services.AddAuthorizationBuilder();
        foreach (var level in Enum.GetValues<AuthLevel>())
        {
            authorization.AddPolicy($"level:{level}", policy =>
                policy
                    .RequireAuthenticatedUser()
                    .RequireAssertion(c => c.User.FindFirstValue(LevelClaim) is { } text && Enum.Parse<AuthLevel>(text) >= level)
            );
        }
    }

    private Task RefuseAsync(string detail)
    {
        Response.StatusCode = StatusCodes.Status401Unauthorized;
        Response.Headers.WWWAuthenticate = SchemeName;
        return Response.WriteAsJsonAsync(
            new Client.Wire.WrappedFailure(detail),
            Client.Wire.WireJson.Wire.WrappedFailure,
            cancellationToken: Context.RequestAborted
        );
    }

    private static bool TryRead(string header, out string username, out string password)
    {
        (username, password) = ("", "");
        var parts = header.Split(' ', 2, StringSplitOptions.TrimEntries);
        if (parts.Length != 2 || !parts[0].Equals(SchemeName, StringComparison.OrdinalIgnoreCase))
            return false;
        var bytes = new byte[parts[1].Length];
        if (!Convert.TryFromBase64String(parts[1], bytes, out var length))
            return false;
        if (!Ascii.IsValid(bytes.AsSpan(0, length)))
            return false;
        var text = Encoding.ASCII.GetString(bytes, 0, length);
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0 || text.Any(char.IsControl))
            return false;
        (username, password) = (text[..colon], text[(colon + 1)..]);
        return true;
    }
}
