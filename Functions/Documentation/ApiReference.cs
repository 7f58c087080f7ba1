using Librarian.Client.Wire;
using Librarian.Domain.Configuration;
using Scalar.AspNetCore;

namespace Librarian.Functions.Documentation;

/// <summary>The browsable page of the API description. It and its scripts come from this program alone: sites may have no internet.</summary>
public static class ApiReference
{
    /// <summary>Where it lies, without slashes around.</summary>
    public const string Path = "docs";

    /// <summary>Name of the setting that switches the description and its page on.</summary>
    public const string Setting = $"{SiteOptions.Section}:{nameof(SiteOptions.ApiDocumentation)}";

    /// <summary>Maps the page if <c>Site:ApiDocumentation</c> is on.</summary>
    public static void MapApiReference(this WebApplication app)
    {
        ArgumentNullException.ThrowIfNull(app);
        // Not through the options: they are validated when the site starts, which says so better than an exception here.
        if (!bool.TryParse(app.Configuration[Setting], out var on) || !on) return;
        app.MapScalarApiReference("/" + Path, page =>
        {
            page.WithOpenApiRoutePattern($"/{Routes.Prefix}openapi.json").WithTitle("Librarian API").WithDynamicBaseServerUrl();
            page.DisableAgent().DisableMcp().DisableTelemetry().DisableDefaultFonts().HideDeveloperTools().HideClientButton();
            page.WithOperationTitleSource(OperationTitleSource.Path).AddPreferredSecuritySchemes(Operations.Basic);
            page.WithDefaultHttpClient(ScalarTarget.Shell, ScalarClient.Curl);
            page.SchemaPropertyOrder = PropertyOrder.Preserve;
            page.OrderRequiredPropertiesFirst = false;
            page.DynamicNonce = true;
        }).AddEndpointFilter(async (context, next) =>
        {
            var http = context.HttpContext;
            http.Response.OnStarting(() =>
            {
                http.Response.Headers.ContentSecurityPolicy = Policy(http.Items[ScalarOptions.NonceHttpContextItemKey]);
                return Task.CompletedTask;
            });
            return await next(context);
        }).ExcludeFromDescription();
    }

    /// <summary>A page of Scalar can only run its own scripts and can only call this site, whatever a later version would like to load.</summary>
    private static string Policy(object? nonce) =>
        $"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}
