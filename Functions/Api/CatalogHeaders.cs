using Librarian.Domain.Peers;
using Librarian.Functions.Security;
using Librarian.Orchestrations.Clone;

namespace Librarian.Functions.Api;

/// <summary>
/// Sites send each other the version of their catalog, so that peers notice when a catalog was restored from a backup
/// (docs/adr/0005-restored-catalogs.md). Python sites send no such header and get none.
/// </summary>
internal static class CatalogHeaders
{
    private static readonly object s_peer = new();

    /// <summary>Whether the caller is a registered peer that sends catalog headers and therefore relies on the answer.</summary>
    public static bool IsFromPeer(this HttpRequest request) => request.HttpContext.Items.ContainsKey(s_peer);

    /// <summary>
    /// Reads the headers of registered peers before their requests are handled, and adds this site's headers to the answer.
    /// </summary>
    public static void UseCatalogHeaders(this IApplicationBuilder app) =>
        app.Use(
            async (context, next) =>
            {
                if (context.Request.Headers.TryGetValue(CatalogVersion.Header, out var theirs) && IsVerified(context))
                    await TakeAsync(context, theirs.ToString());
                await next(context);
            }
        );

    /// <summary>On a route that accepts any credentials, the name in them proves nothing.</summary>
    private static bool IsVerified(HttpContext context) =>
        context.User.Identity is { IsAuthenticated: true }
        && context.GetEndpoint()?.Metadata.GetMetadata<RequiresAttribute>() is { Level: > AuthLevel.None }
        && BasicAuthentication.CallerOf(context).Level >= AuthLevel.Callback;

    private static async Task TakeAsync(HttpContext context, string text)
    {
        var (peer, stop) = (BasicAuthentication.CallerOf(context).Username, context.RequestAborted);
        var (own, catalogs) = (
            context.RequestServices.GetRequiredService<SiteCatalog>(),
            context.RequestServices.GetRequiredService<PeerCatalogs>()
        );
        if (!await context.RequestServices.GetRequiredService<PeerDirectory>().IsRegisteredAsync(peer, stop))
            return;
        if (await catalogs.ObserveAsync(peer, text, context.Request.Headers[CatalogVersion.SeenHeader].ToString(), null, stop))
            await context.RequestServices.GetRequiredService<CopyConfirmation>().StartAsync(stop);
        context.Items[s_peer] = peer;
        var seen = await catalogs.SeenOfAsync(peer, stop);
        context.Response.OnStarting(() =>
        {
            // As late as possible, so that the header includes every advance of the catalog during this request.
            if (own.Current is { } current)
                context.Response.Headers[CatalogVersion.Header] = current.ToString();
            if (seen.Count > 0)
                context.Response.Headers[CatalogVersion.SeenHeader] = seen.ToString();
            return Task.CompletedTask;
        });
    }
}
