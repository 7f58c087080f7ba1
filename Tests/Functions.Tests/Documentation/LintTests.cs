using System.Reflection;
using System.Text.Json;
using System.Text.RegularExpressions;
using Librarian.Client.Wire;
using Librarian.Functions.Api;
using Librarian.Functions.Hosting;
using Librarian.Functions.Security;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;
using Microsoft.OpenApi;

namespace Librarian.Tests.Functions.Documentation;

/// <summary>Rules of OpenAPI 3.1, and ours, for the committed description.</summary>
[Quick]
public partial class LintTests
{
    /// <summary>Fields whose value is any JSON: what orchestrations are given and give back.</summary>
    private static readonly string[] AnyJson = ["input", "customStatus", "output", "Input", "Result"];

    private static readonly IReadOnlyList<HttpFunction> Described =
    [
        .. FunctionCatalog
            .Discover(typeof(PingFunctions).Assembly)
            .HttpFunctions.Where(f => !f.Method.GetCustomAttributes().OfType<IExcludeFromDescriptionMetadata>().Any()),
    ];

    private static ApiDescription Api => ApiDescription.Committed;

    [Fact]
    public void Document_ReadByOpenApiReader_HasNoErrorAndNoWarning()
    {
        var read = OpenApiDocument.Parse(File.ReadAllText(ApiDescription.File), "json");

        Assert.Equal(OpenApiSpecVersion.OpenApi3_1, read.Diagnostic!.SpecificationVersion);
        Assert.Empty(read.Diagnostic.Errors.Select(e => $"{e.Pointer}: {e.Message}"));
        Assert.Empty(read.Diagnostic.Warnings.Select(e => $"{e.Pointer}: {e.Message}"));
    }

    [Fact]
    public void Operations_Catalog_AreTheSameFunctions()
    {
        var functions = Described.SelectMany(f => Paths(f).SelectMany(p => f.Methods.Select(m => $"{m} {p}")));

        Assert.Equal(
            functions.Order(StringComparer.Ordinal),
            Api.Operations.Select(o => $"{o.Method} {o.Path}").Order(StringComparer.Ordinal)
        );
    }

    [Fact]
    public void Operations_Contract_AreItsPathsLetterByLetter()
    {
        var contract = typeof(Routes)
            .GetFields()
            .Concat(typeof(DriveRoutes).GetFields())
            .Where(f => f.Name != nameof(Routes.Prefix))
            .Select(f => "/" + Routes.Prefix + f.GetRawConstantValue());

        Assert.Equal(
            contract.Order(StringComparer.Ordinal),
            Api.Operations.Select(o => o.Path)
                .Where(p => p.StartsWith("/" + Routes.Prefix, StringComparison.Ordinal))
                .Order(StringComparer.Ordinal)
        );
    }

    [Fact]
    public void Operations_Ids_AreUniqueAndNamesForPrograms()
    {
        var ids = Api.Operations.Select(o => o.Operation.GetProperty("operationId").GetString()!).ToArray();

        Assert.Equal(ids.Length, ids.Distinct(StringComparer.OrdinalIgnoreCase).Count());
        Assert.All(ids, id => Assert.Matches("^[A-Z][A-Za-z]+$", id));
    }

    [Fact]
    public void Operations_Each_HasSummaryTagAndDescribedAnswers() => Assert.All(Api.Operations, o =>
        {
            var summary = Text(o.Operation, "summary");
            Assert.InRange(summary.Length, 5, 120);
            Assert.False(summary.EndsWith('.'), summary);
            Assert.NotEmpty(Text(o.Operation, "description"));
            Assert.Contains(
                Assert.Single(o.Operation.GetProperty("tags").EnumerateArray()).GetString(),
                Api.Root.GetProperty("tags").EnumerateArray().Select(t => Text(t, "name"))
            );
            var answers = o.Operation.GetProperty("responses").EnumerateObject().ToArray();
            Assert.Contains(answers, a => a.Name[0] == '2');
            Assert.Contains(answers, a => a.Name == "401");
            Assert.All(answers, a => Assert.NotEmpty(Text(Resolve(a.Value), "description")));
        });

    [Fact]
    public void Operations_Each_NamesTheLevelThatTheFunctionRequires() => Assert.All(Api.Operations, o =>
        {
            var id = Text(o.Operation, "operationId");
            var level = Described
                .Single(f => f.Name == id || f.Name + "WithoutInstanceId" == id)
                .Method.GetCustomAttribute<RequiresAttribute>()!
                .Level;
            var scheme = Assert.Single(Assert.Single(o.Operation.GetProperty("security").EnumerateArray()).EnumerateObject());
            Assert.Equal(
                ("basic", level.ToString().ToUpperInvariant()),
                (scheme.Name, Assert.Single(scheme.Value.EnumerateArray()).GetString())
            );
            Assert.Equal(
                "http",
                Api.Root.GetProperty("components").GetProperty("securitySchemes").GetProperty("basic").GetProperty("type").GetString()
            );
        });

    [Fact]
    public void Operations_Bodies_AreTheTypesThatTheFunctionsRead() => Assert.All(Described, f =>
        {
            var body = f.Method.GetParameters().SingleOrDefault(p => p.IsDefined(typeof(FromBodyAttribute)))?.ParameterType;
            var operation = Api.Operations.Single(o => Text(o.Operation, "operationId") == f.Name).Operation;
            if (body is null)
            {
                if (f.Route.StartsWith(Routes.Prefix, StringComparison.Ordinal))
                    Assert.False(operation.TryGetProperty("requestBody", out _));
                return;
            }

            Assert.True(operation.GetProperty("requestBody").GetProperty("required").GetBoolean());
            Assert.Equal(
                "#/components/schemas/" + body.Name,
                operation
                    .GetProperty("requestBody")
                    .GetProperty("content")
                    .GetProperty("application/json")
                    .GetProperty("schema")
                    .GetProperty("$ref")
                    .GetString()
            );
        });

    [Fact]
    public void Parameters_Each_IsDescribedAndThoseOfThePathAreThere() => Assert.All(Api.Operations, o =>
        {
            var parameters = o.Operation.TryGetProperty("parameters", out var list) ? list.EnumerateArray().ToArray() : [];
            Assert.All(parameters, p => Assert.NotEmpty(Text(p, "description")));
            Assert.All(parameters, p => Assert.True(p.TryGetProperty("schema", out _)));
            Assert.Equal(
                Segment().Matches(o.Path).Select(m => m.Groups["name"].Value).Order(StringComparer.Ordinal),
                parameters.Where(p => Text(p, "in") == "path").Select(p => Text(p, "name")).Order(StringComparer.Ordinal)
            );
        });

    [Fact]
    public void Schemas_EachAndEachField_IsDescribedAndHasAType() => Assert.All(Schemas(), schema =>
        {
            Assert.NotEmpty(Text(schema.Value, "description"));
            if (schema.Value.TryGetProperty("properties", out var fields))
            {
                Assert.All(fields.EnumerateObject(), field =>
                {
                    Assert.True(
                        field.Value.TryGetProperty("description", out var text) && text.GetString()!.Length > 0,
                        $"{schema.Name}.{field.Name} has no description"
                    );
                    Assert.True(HasType(field.Value) || AnyJson.Contains(field.Name), $"{schema.Name}.{field.Name} has no type");
                });
            }

            Assert.True(HasType(schema.Value), schema.Name);
        });

    [Fact]
    public void Schemas_Fields_AreNamedAsOnTheWire() => Assert.All(Schemas(), schema =>
        {
            // The draft of resumable uploads names the fields of its problems.
            if (
                !schema.Value.TryGetProperty("properties", out var fields)
                || schema.Name == nameof(OrchestrationHistoryRow)
                || schema.Name == nameof(UploadProblem)
            )
                return;
            var pattern = schema.Name.StartsWith("Orchestration", StringComparison.Ordinal)
                ? "^[a-z]+([A-Z][a-z]+)*$"
                : "^[a-z]+(_[a-z0-9]+)*$";
            Assert.All(fields.EnumerateObject(), field => Assert.Matches(pattern, field.Name));
        });

    [Theory]
    [InlineData(nameof(AuthLevel), "0 NONE, 1 READONLY, 2 CALLBACK, 3 READAPPEND, 4 READWRITE, 100 ADMIN")]
    [InlineData(nameof(DeletionPolicy), "0 DISALLOWED, 1 ALLOWED")]
    [InlineData(nameof(TransferStatus), "0 INITIATED, 1 ONGOING, 2 STAGED, 3 COMPLETED, 4 FAILED, 5 CANCELLED")]
    public void Schemas_NumberedWords_AreListedWithTheirMeaning(string name, string expected)
    {
        var schema = Schemas().Single(s => s.Name == name).Value;

        var values = schema.GetProperty("enum").EnumerateArray().Select(v => v.GetInt32()).ToArray();
        var words = schema.GetProperty("x-enum-varnames").EnumerateArray().Select(v => v.GetString());
        Assert.Equal("integer", schema.GetProperty("type").GetString());
        Assert.Equal(expected, string.Join(", ", values.Zip(words, (v, w) => $"{v} {w}")));
        Assert.All(values, v => Assert.Matches($"- `{v}` [A-Z]+: .", Text(schema, "description")));
        Assert.Equal(values.Length, schema.GetProperty("x-enum-descriptions").GetArrayLength());
    }

    [Theory]
    [InlineData(nameof(ErrorSeverity), "critical error warning info")]
    [InlineData(
        nameof(ErrorCategory),
        "data_integrity data_availability configuration store_full programming librarian_network_availability transfer"
    )]
    [InlineData(nameof(OrchestrationState), "Running Completed ContinuedAsNew Failed Canceled Terminated Pending Suspended")]
    public void Schemas_Words_AreThoseOfTheWire(string name, string expected) =>
        Assert.Equal(
            expected,
            string.Join(' ', Schemas().Single(s => s.Name == name).Value.GetProperty("enum").EnumerateArray().Select(v => v.GetString()))
        );

    [Theory]
    [InlineData("UserUpdateRequest", "password", true)]
    [InlineData("UserUpdateRequest", "permission", true)]
    [InlineData("FileSearchRequest", "create_time_window", true)]
    [InlineData("InstanceDeleteRequest", "delete_file", true)]
    [InlineData("ErrorSearchHit", "cleared_time", true)]
    [InlineData("LibrarianEntry", "available", true)]
    [InlineData("LocalInstance", "store_id", true)]
    [InlineData("UserUpdateRequest", "username", false)]
    [InlineData("FileSearchRequest", "max_results", false)]
    [InlineData("UploadStageRequest", "upload_size", false)]
    [InlineData("CheckinUpdateRequest", "new_status", false)]
    [InlineData("ErrorSearchHit", "raised_time", false)]
    public void Schemas_Field_MayBeNullAsOnTheWire(string schema, string field, bool mayBeNull)
    {
        var description = Schemas().Single(s => s.Name == schema).Value.GetProperty("properties").GetProperty(field);

        Assert.Equal(mayBeNull, !new SchemaCheck(Api.Root).Check(description, JsonDocument.Parse("null").RootElement, field).Any());
    }

    [Fact]
    public void References_All_LeadSomewhereAndNothingIsLeftOver()
    {
        var used = Elements(Api.Root)
            .Where(e => e.ValueKind == JsonValueKind.Object && e.TryGetProperty("$ref", out _))
            .Select(e => Text(e, "$ref"))
            .ToHashSet(StringComparer.Ordinal);
        var there =
            from kind in Api.Root.GetProperty("components").EnumerateObject()
            where kind.Name != "securitySchemes"
            from name in kind.Value.EnumerateObject()
            select $"#/components/{kind.Name}/{name.Name}";

        Assert.Equal(there.Order(StringComparer.Ordinal), used.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Texts_All_AreForReadersOfTheApi() =>
        Assert.All(Elements(Api.Root).Where(e => e.ValueKind == JsonValueKind.String).Select(e => e.GetString()!), text =>
            Assert.DoesNotMatch(@"docs/spec|wire\.md|functions-host|§|\bW[0-9]+\b|<[a-z]+|cref|librarian-site", text)
        );

    private static IEnumerable<JsonProperty> Schemas() => Api.Root.GetProperty("components").GetProperty("schemas").EnumerateObject();

    private static bool HasType(JsonElement schema) =>
        new[] { "type", "$ref", "oneOf", "anyOf" }.Any(k => schema.TryGetProperty(k, out _))
        && (!schema.TryGetProperty("type", out var type) || type.ToString() != "array" || HasType(schema.GetProperty("items")));

    private static string Text(JsonElement element, string name) => element.GetProperty(name).GetString()!;

    private static JsonElement Resolve(JsonElement element) => new SchemaCheck(Api.Root).Resolve(element);

    private static IEnumerable<JsonElement> Elements(JsonElement element) =>
        element.ValueKind switch
        {
            JsonValueKind.Object => element.EnumerateObject().SelectMany(p => Elements(p.Value)).Prepend(element),
            JsonValueKind.Array => element.EnumerateArray().SelectMany(Elements).Prepend(element),
            _ => [element],
        };

    /// <summary>
    /// How a function is called: with the slash of the contract's one path that has it, and with and without an optional segment.
    /// </summary>
    private static IEnumerable<string> Paths(HttpFunction function)
    {
        var path = "/" + function.Route.Replace("?}", "}", StringComparison.Ordinal).Replace("{*", "{", StringComparison.Ordinal);
        yield return path == "/api/v2/ping" ? "/api/v2/ping/" : path;
        if (function.Route.EndsWith("?}", StringComparison.Ordinal))
            yield return path[..path.LastIndexOf('/')];
    }

    [GeneratedRegex(@"\{(?<name>[^}]+)}", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Segment();
}
