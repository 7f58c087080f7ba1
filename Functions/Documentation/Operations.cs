using Librarian.Client.Wire;
using Librarian.Functions.Security;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace Librarian.Functions.Documentation;

/// <summary>Completes the description of one function from its attributes.</summary>
internal static class Operations
{
    /// <summary>Name of the security scheme.</summary>
    internal const string Basic = "basic";

    /// <summary>Response 401, of every function that requires a level.</summary>
    internal const string NotAuthenticated = "NotAuthenticated";

    /// <summary>Response 422, of every function with a body of the contract.</summary>
    internal const string NotValid = "NotValid";

    /// <summary>Response 413, of every function with a body of the contract.</summary>
    internal const string TooLarge = "TooLarge";

    /// <summary>Response 500, of every function.</summary>
    internal const string Internal = "Internal";

    /// <summary>Adds texts, parameters, the level and common refusals.</summary>
    internal static Task TransformAsync(
        OpenApiOperation operation,
        OpenApiOperationTransformerContext context,
        CancellationToken cancellationToken
    )
    {
        var metadata = context.Description.ActionDescriptor.EndpointMetadata;
        var document = context.Document!;
        var responses = operation.Responses!;
        (operation.Summary, var rest) = DocStrings.Split(DocStrings.WithoutCitations(operation.Summary ?? ""));
        if (metadata.OfType<RequiresAttribute>().FirstOrDefault() is { Level: var level })
        {
            var word = level.ToString().ToUpperInvariant();
            // OpenAPI 3.1 allows role names here; a tool that knows only schemes sees HTTP Basic.
            operation.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(Basic, document)] = [word] }];
            rest +=
                (rest.Length == 0 ? "" : "\n\n")
                + (
                    level == AuthLevel.None
                        ? "Any credentials do, but some must be sent."
                        : $"Needs an account of level {word} ({(int)level}) or higher."
                );
            responses.TryAdd("401", new OpenApiResponseReference(NotAuthenticated, document));
        }

        operation.Description = rest;
        if (operation.RequestBody is not null)
        {
            responses.TryAdd("413", new OpenApiResponseReference(TooLarge, document));
            responses.TryAdd("422", new OpenApiResponseReference(NotValid, document));
        }

        responses.TryAdd("500", new OpenApiResponseReference(Internal, document));
        foreach (var said in metadata.OfType<RespondsAttribute>())
            responses[said.StatusCode.ToString()].Description = said.Description;
        foreach (var read in metadata.OfType<ReadsAttribute>())
            Read(operation, read, document);
        foreach (var header in metadata.OfType<RespondsHeaderAttribute>())
        {
            var response = (OpenApiResponse)responses[header.StatusCode.ToString()];
            response.Headers ??= new Dictionary<string, IOpenApiHeader>();
            response.Headers[header.Name] = new OpenApiHeader
            {
                Description = header.Description,
                Schema = new OpenApiSchema { Type = JsonSchemaType.String },
            };
        }

        var ordered = responses.OrderBy(r => r.Key, StringComparer.Ordinal).ToArray();
        responses.Clear();
        foreach (var (status, response) in ordered)
            responses.Add(status, response);
        return Task.CompletedTask;
    }

    /// <summary>Adds the refusals that <see cref="TransformAsync"/> refers to.</summary>
    internal static void AddCommonResponses(OpenApiDocument document)
    {
        OpenApiResponse Refusal(string description, string schema) =>
            new()
            {
                Description = description,
                Content = new Dictionary<string, OpenApiMediaType>
                {
                    ["application/json"] = new() { Schema = new OpenApiSchemaReference(schema, document) },
                },
            };

        var unauthorized = Refusal(
            "No credentials, wrong ones, or a level that is too low: `Not authenticated` or `Incorrect username or password`.",
            nameof(WrappedFailure)
        );
        unauthorized.Headers = new Dictionary<string, IOpenApiHeader>
        {
            ["WWW-Authenticate"] = new OpenApiHeader
            {
                Description = "Always `Basic`.",
                Schema = new OpenApiSchema { Type = JsonSchemaType.String },
            },
        };
        document.AddComponent(NotAuthenticated, unauthorized);
        document.AddComponent(NotValid, Refusal("`The request body is not valid.` Nothing was changed.", nameof(Failure)));
        document.AddComponent(TooLarge, Refusal("`The request body is too large.` Nothing was changed.", nameof(Failure)));
        document.AddComponent(Internal, Refusal($"`{Reasons.Internal}` Nothing was acknowledged.", nameof(Failure)));
    }

    private static void Read(OpenApiOperation operation, ReadsAttribute read, OpenApiDocument document)
    {
        switch (read)
        {
            case ReadsJsonAttribute:
                operation.RequestBody = new OpenApiRequestBody
                {
                    Description = read.Description,
                    Required = read.Required,
                    Content = new Dictionary<string, OpenApiMediaType> { ["application/json"] = new() { Schema = new OpenApiSchema() } },
                };
                break;
            case ReadsPathAttribute:
                if (
                    operation.Parameters?.FirstOrDefault(p => p.In == ParameterLocation.Path && p.Name == read.Name)
                    is OpenApiParameter segment
                )
                    segment.Description = read.Description;
                break;
            default:
                (operation.Parameters ??= []).Add(
                    new OpenApiParameter
                    {
                        Name = read.Name,
                        In = read is ReadsHeaderAttribute ? ParameterLocation.Header : ParameterLocation.Query,
                        Required = read.Required,
                        Description = read.Description,
                        Schema = WireSchemas.OfParameter(read, document),
                    }
                );
                break;
        }
    }
}
