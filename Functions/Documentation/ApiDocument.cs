using System.Reflection;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Librarian.Client.Wire;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Mvc.ApiExplorer;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace Librarian.Functions.Documentation;

/// <summary>
/// The OpenAPI description of the site, generated from its functions: routes and levels, typed bodies, docstrings and the attributes of
/// this folder. It is committed as <c>docs/openapi.json</c>, built into the program and served from there.
/// </summary>
public static class ApiDocument
{
    /// <summary>Command line verb: <c>librarian-site openapi --output FILE</c>.</summary>
    public const string Verb = "openapi";

    private const string ResourceName = "openapi.json";

    private const string Name = "v2";

    private const string Overview = """
        Librarian catalogs immutable files of research data (a file may be a whole directory), keeps them on stores and gets verified copies
        to other sites. `/api/v2` speaks to uploaders, administrators and peers, as the Python Librarian of version 2 does;
        `/durable/v1` shows and steers the site's workflows; `/peers/v1` is what sites of this project ask each other beyond that;
        `/data/v1` hands out the data of files, and takes those of uploads and clones. A stage call reserves a staging slot; the caller
        copies there, or sends the bytes as a data batch; another call has them verified and stored.

        - **Requests** are `POST` with JSON below `/api/v2`. Unknown fields are ignored; optional ones may be absent or null.
        - **Accounts** log in with HTTP Basic. A level that is too low is a 401 as well.
        - **Refusals** carry `reason`, which programs may compare where it is listed with the answer, and `suggested_remedy` for people.
          Words in braces vary.
        - **503** with `Retry-After` may be the answer to any request, from a site that starts, stops, waits for its database or is starved.
          Nothing was done; send the request again.
        - **Times** of `/api/v2` are UTC without an offset, with six digits of fraction or none. Those of `/durable/v1` end in `Z`.
        - **Sizes** are bytes, in 64 bits. Transfer ids are positive; `-1` means none.
        - **Paths** are POSIX and answered in normal form: no repeated slashes, no `.`, no slash at the end.
        """;

    private static readonly JsonSerializerOptions Readable = new()
    {
        WriteIndented = true,
        NewLine = "\n",
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>Opens the description that is built into this program.</summary>
    /// <exception cref="InvalidOperationException">The program was built without it.</exception>
    public static Stream Open() =>
        typeof(ApiDocument).Assembly.GetManifestResourceStream(ResourceName)
        ?? throw new InvalidOperationException(
            "This program was built without docs/openapi.json. Write it with the verb 'openapi' and build again."
        );

    /// <summary>Runs the verb when the command line asks for it. Needs neither settings nor a running site.</summary>
    /// <returns>Exit code, or null when the command line asks for something else.</returns>
    public static async Task<int?> TryRunVerbAsync(string[] args, Assembly assembly, CancellationToken cancellationToken = default)
    {
        if (args is not [Verb, ..])
            return null;
        if (args is not [_, "--output", { Length: > 0 } file])
        {
            await Console.Error.WriteLineAsync($"Usage: {Verb} --output FILE");
            return 2;
        }

        try
        {
            await File.WriteAllTextAsync(
                file,
                await GenerateAsync(FunctionCatalog.Discover(assembly), cancellationToken),
                cancellationToken
            );
            return 0;
        }
        catch (Exception exception) when (exception is FunctionDiscoveryException or IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync(exception.Message);
            return 1;
        }
    }

    /// <summary>Generates the description of some functions. The same functions always give the same text.</summary>
    /// <exception cref="InvalidOperationException">A docstring is missing.</exception>
    public static async Task<string> GenerateAsync(FunctionCatalog catalog, CancellationToken cancellationToken)
    {
        // An empty builder, so that neither the environment nor a settings file of the machine has an effect.
        var builder = WebApplication.CreateEmptyBuilder(
            new WebApplicationOptions { ApplicationName = catalog.HttpFunctions[0].Method.DeclaringType!.Assembly.GetName().Name }
        );
        builder.WebHost.UseKestrelCore();
        builder.AddFunctions(catalog);
        builder.Services.AddLogging().AddRouting();
        builder.Services.ConfigureHttpJsonOptions(http => WireSchemas.Configure(http.SerializerOptions));
        builder.Services.AddOpenApi(Name, options =>
        {
            options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
            options.CreateSchemaReferenceId = WireSchemas.SharedName;
            options.AddSchemaTransformer(WireSchemas.TransformAsync);
            options.AddOperationTransformer(Operations.TransformAsync);
            options.AddDocumentTransformer(Complete);
        });
        await using var app = builder.Build();
        app.UseRouting();
        app.MapFunctions();
        app.UseEndpoints(_ => { });
        var document = await app
            .Services.GetRequiredKeyedService<IOpenApiDocumentProvider>(Name)
            .GetOpenApiDocumentAsync(cancellationToken);
        var json = await document.SerializeAsJsonAsync(OpenApiSpecVersion.OpenApi3_1, cancellationToken);
        return JsonNode.Parse(json)!.ToJsonString(Readable) + "\n";
    }

    private static Task Complete(OpenApiDocument document, OpenApiDocumentTransformerContext context, CancellationToken cancellationToken)
    {
        var functions = context.DescriptionGroups.SelectMany(g => g.Items).ToArray();
        document.Info = new OpenApiInfo
        {
            Title = "Librarian",
            Version = typeof(ApiDocument).Assembly.GetName().Version!.ToString(3),
            Description = Overview,
        };
        document.Servers = [new OpenApiServer { Url = "/", Description = "This site" }];
        document.AddComponent(
            Operations.Basic,
            new OpenApiSecurityScheme
            {
                Type = SecuritySchemeType.Http,
                Scheme = "basic",
                Description = "An account of the site; the roles are its levels.",
            }
        );
        Operations.AddCommonResponses(document);
        document.Tags = new HashSet<OpenApiTag>(
            functions
                .SelectMany(f =>
                    f.ActionDescriptor.EndpointMetadata.OfType<ITagsMetadata>()
                        .SelectMany(t => t.Tags)
                        .Select(tag => (Tag: tag, Class: ClassOf(f)))
                )
                .DistinctBy(t => t.Tag)
                .OrderBy(t => t.Tag, StringComparer.Ordinal)
                .Select(t => new OpenApiTag { Name = t.Tag, Description = DocStrings.Of(t.Class) })
        );
        foreach (var schema in document.Components!.Schemas!.Values)
            WireSchemas.RaiseDescriptions(schema);
        Order(document, functions);
        return Task.CompletedTask;
    }

    private static Type ClassOf(ApiDescription function) =>
        function.ActionDescriptor.EndpointMetadata.OfType<MethodInfo>().Single().DeclaringType!;

    private static string NameOf(ApiDescription function) =>
        function.ActionDescriptor.EndpointMetadata.OfType<IEndpointNameMetadata>().Last().EndpointName;

    /// <summary>
    /// Sorts the paths, and writes them as clients call them: a path cannot have optional segments, and the contract ends one path in a
    /// slash (docs/spec/wire.md#transport).
    /// </summary>
    private static void Order(OpenApiDocument document, ApiDescription[] functions)
    {
        var paths = new SortedDictionary<string, IOpenApiPathItem>(StringComparer.Ordinal);
        foreach (var (path, item) in document.Paths)
        {
            paths[path == "/" + Routes.Prefix + Routes.Ping.TrimEnd('/') ? path + "/" : path] = item;
            var name = item.Operations!.Values.First().OperationId;
            var optional = functions
                .First(f => NameOf(f) == name)
                .ParameterDescriptions.FirstOrDefault(p => p.RouteInfo is { IsOptional: true });
            if (optional is not null)
                paths[path[..path.LastIndexOf('/')]] = Without(item, optional.Name);
        }

        document.Paths = [];
        foreach (var (path, item) in paths)
            document.Paths.Add(path, item);
    }

    private static OpenApiPathItem Without(IOpenApiPathItem item, string segment) =>
        new()
        {
            Operations = item.Operations!.ToDictionary(
                o => o.Key,
                o => new OpenApiOperation(o.Value)
                {
                    OperationId = $"{o.Value.OperationId}Without{char.ToUpperInvariant(segment[0])}{segment[1..]}",
                    Parameters = [.. o.Value.Parameters!.Where(p => p.Name != segment)],
                }
            ),
        };
}
