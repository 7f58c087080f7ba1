using Librarian.Functions.Api;
using Librarian.Functions.Documentation;

namespace Librarian.Functions.Startup;

/// <summary>
/// The one pipeline of all HTTP requests, so that a site that listens itself and a site inside a Functions host answer alike.
/// </summary>
public static class SitePipeline
{
    /// <summary>Adds error bodies, routes, accounts, catalog headers, functions and pages, in this order.</summary>
    public static void UseSite(this IApplicationBuilder app)
    {
        app.UseWireErrors();
        app.UseRouting();
        app.UseAuthentication();
        app.UseAuthorization();
        app.UseCatalogHeaders();
        app.UseEndpoints(endpoints =>
        {
            endpoints.MapFunctions();
            endpoints.MapApiReference();
        });
    }
}
