using Librarian.Client.Wire;
using Librarian.Domain.Configuration;
using Scalar.AspNetCore;

namespace Librarian.Functions.Documentation;

/// <summary>
/// The browsable page of the API description. The page and its scripts come from this program alone, because a site may have no internet.
/// </summary>
public static class ApiReference
{
    /// <summary>Path of the page, without leading and trailing slash.</summary>
    public const string Path = "docs";

    /// <summary>The setting that switches the description and its page on.</summary>
    public const string Setting = $"{SiteOptions.Section}:{nameof(SiteOptions.ApiDocumentation)}";

    /// <summary>Maps the page if <c>Site:ApiDocumentation</c> is on.</summary>
    public static void MapApiReference(this IEndpointRouteBuilder endpoints)
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        // Not through the options: they are validated when the site starts, with a better message than an exception here.
        if (!bool.TryParse(endpoints.ServiceProvider.GetRequiredService<IConfiguration>()[Setting], out var on) || !on)
            return;
        endpoints
            .MapScalarApiReference("/" + Path, page =>
            {
                page.WithOpenApiRoutePattern($"/{Routes.Prefix}openapi.json").WithTitle("Librarian API").WithDynamicBaseServerUrl();
                page.DisableAgent().DisableMcp().DisableTelemetry().DisableDefaultFonts().HideDeveloperTools().HideClientButton();
                page.WithOperationTitleSource(OperationTitleSource.Path).AddPreferredSecuritySchemes(Operations.Basic);
                page.WithDefaultHttpClient(ScalarTarget.Shell, ScalarClient.Curl);
                page.SchemaPropertyOrder = PropertyOrder.Preserve;
                page.OrderRequiredPropertiesFirst = false;
                page.DynamicNonce = true;
            })
            .AddEndpointFilter(
                async (context, next) =>
                {
                    var http = context.HttpContext;
                    http.Response.OnStarting(() =>
                    {
                        http.Response.Headers.ContentSecurityPolicy = Policy(http.Items[ScalarOptions.NonceHttpContextItemKey]);
                        return Task.CompletedTask;
                    });
                    return await next(context);
                }
            )
            .ExcludeFromDescription();
    }

    /// <summary>
    /// Allows a page of Scalar to run only its own scripts and to call only this site, whatever a later version tries to load.
    /// </summary>
    private static string Policy(object? nonce) =>
        $"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        + "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
}
