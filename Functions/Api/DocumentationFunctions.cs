using Librarian.Client.Wire;
using Librarian.Functions.Documentation;
using Microsoft.AspNetCore.Authorization;

namespace Librarian.Functions.Api;

/// <summary>The description of this API, for anybody, where <c>Site:ApiDocumentation</c> is on; elsewhere as unknown as any other path (wire.md §1.3).</summary>
public static class DocumentationFunctions
{
    /// <summary>OpenAPI 3.1.</summary>
    [Function("ApiDescription"), EnabledBy(ApiReference.Setting), AllowAnonymous, ExcludeFromDescription]
    public static IResult Describe([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = Routes.Prefix + "openapi.json")] HttpRequest request) =>
        Results.Stream(ApiDocument.Open(), "application/json");

    /// <summary>
    /// Has the Functions host forward whatever lies below <c>/docs</c>. The pages are <see cref="ApiReference"/>'s, whose routes are more
    /// specific than this one; what comes here does not exist.
    /// </summary>
    [Function("ApiReference"), EnabledBy(ApiReference.Setting), AllowAnonymous, ExcludeFromDescription]
    public static IResult FindNothing([HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = ApiReference.Path + "/{*file}")] HttpRequest request) => Results.NotFound();
}
