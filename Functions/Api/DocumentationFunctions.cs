using Librarian.Client.Wire;
using Librarian.Functions.Documentation;
using Microsoft.AspNetCore.Authorization;

namespace Librarian.Functions.Api;

/// <summary>
/// The description of this API, open to everybody if <c>Site:ApiDocumentation</c> is on. Otherwise its paths do not exist
/// (docs/spec/wire.md#api-description).
/// </summary>
public static class DocumentationFunctions
{
    /// <summary>Returns the description in OpenAPI 3.1.</summary>
    [Function("ApiDescription"), EnabledBy(ApiReference.Setting), AllowAnonymous, ExcludeFromDescription]
    public static IResult Describe(
        [HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = Routes.Prefix + "openapi.json")] HttpRequest request
    ) => Results.Stream(ApiDocument.Open(), "application/json");

    /// <summary>
    /// Makes the Functions host forward every path below <c>/docs</c>. <see cref="ApiReference"/> serves the pages, on routes more specific
    /// than this one; any other path does not exist.
    /// </summary>
    [Function("ApiReference"), EnabledBy(ApiReference.Setting), AllowAnonymous, ExcludeFromDescription]
    public static IResult FindNothing(
        [HttpTrigger(AuthorizationLevel.Anonymous, "get", Route = ApiReference.Path + "/{*file}")] HttpRequest request
    ) => Results.NotFound();
}
