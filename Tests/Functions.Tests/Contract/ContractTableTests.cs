using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Librarian.Client.Wire;
using Librarian.Functions.Hosting;
using Librarian.Tests.Functions.Api;

namespace Librarian.Tests.Functions.Contract;

/// <summary>
/// Rules for every endpoint (docs/spec/wire.md#generic-failures, docs/spec/wire.md#level-of-each-endpoint), generated from
/// <see cref="ContractTable"/>.
/// </summary>
public abstract class ContractTableTests(SharedSite shared)
{
    /// <summary>An account of each level.</summary>
    private static readonly (string User, AuthLevel Level)[] Accounts =
    [
        ("nothing", AuthLevel.None),
        ("reader", AuthLevel.ReadOnly),
        ("callback", AuthLevel.Callback),
        ("uploader", AuthLevel.ReadAppend),
        ("writer", AuthLevel.ReadWrite),
        ("admin", AuthLevel.Admin),
    ];

    /// <summary>Bodies that are no JSON object.</summary>
    private static readonly string[] NoObjects =
    [
        "",
        "null",
        "5",
        "\"text\"",
        "[]",
        "[{}]",
        "true",
        "{",
        "{]",
        "{\"a\":}",
        "nonsense",
        "{\"a\":1,}",
    ];

    public static IEnumerable<TheoryDataRow<string>> Paths => ContractTable.Endpoints.Select(e => new TheoryDataRow<string>(e.Path));

    /// <summary>The site that is asked.</summary>
    protected SharedSite Site { get; } = shared;

    /// <summary>All but POST.</summary>
    protected static IReadOnlyList<HttpMethod> OtherMethods { get; } =
    [HttpMethod.Get, HttpMethod.Put, HttpMethod.Delete, HttpMethod.Patch, HttpMethod.Head, HttpMethod.Options];

    [Fact]
    public void Table_EveryServedPath_HasItsRow()
    {
        var served = FunctionCatalog
            .Discover(typeof(Librarian.Functions.Api.PingFunctions).Assembly)
            .HttpFunctions.Select(f => f.Route)
            .Where(r => r.StartsWith("api/v2/", StringComparison.Ordinal))
            .Select(r => r["api/v2/".Length..])
            // This project's own; the contract knows nothing of them.
            .Where(r => !r.StartsWith("drives/", StringComparison.Ordinal) && r != "openapi.json");
        Assert.Equal(
            ContractTable.Endpoints.Select(e => e.Path.TrimEnd('/')).Order(StringComparer.Ordinal),
            served.Select(p => p.TrimEnd('/')).Order(StringComparer.Ordinal)
        );
        Assert.Equal(37, ContractTable.Endpoints.Count);
    }

    [Theory, MemberData(nameof(Paths))]
    public async Task Sample_OnAnEmptySite_IsAnsweredAsDocumented(string path)
    {
        var endpoint = Row(path);
        var (status, body) = await SendAsync(endpoint, endpoint.Sample);
        Assert.Equal(endpoint.SampleStatus, status);
        if (status >= 400)
            AssertFailureShape(endpoint, body);
    }

    [Theory, MemberData(nameof(Paths))]
    public async Task Level_EachAccount_IsLetInFromTheContractsLevelOn(string path)
    {
        var endpoint = Row(path);
        foreach (var (user, level) in Accounts)
        {
            using var response = await Site.SendAsync(path, endpoint.Sample, TestSite.Basic(user, TestSite.Password(user)));
            var body = await response.Content.ReadAsStringAsync();
            var barred = response.StatusCode == HttpStatusCode.Unauthorized && body == """{"detail":"Incorrect username or password"}""";
            Assert.True(barred == level < endpoint.Level, $"{user}: {(int)response.StatusCode} {body}");
            if (barred)
                Assert.Equal("Basic", response.Headers.WwwAuthenticate.Single().Scheme);
        }

        // ping/ takes any credentials, but wants some (docs/spec/wire.md#levels).
        foreach (var header in new[] { null, "Bearer x", "Basic %%%", "Basic bm9jb2xvbg==", "Basic w7w6w7w=" })
        {
            using var response = await Site.SendAsync(path, endpoint.Sample, header);
            Assert.Equal(
                (HttpStatusCode.Unauthorized, """{"detail":"Not authenticated"}"""),
                (response.StatusCode, await response.Content.ReadAsStringAsync())
            );
        }
    }

    [Theory, MemberData(nameof(Paths))]
    public async Task Body_NoJsonObject_Is422AndChangesNothing(string path)
    {
        var endpoint = Row(path);
        if (endpoint.Body is null)
        {
            // Called without a body; any content is ignored (docs/spec/wire.md#transport).
            foreach (var ignored in NoObjects)
                Assert.Equal(200, (await SendAsync(endpoint, ignored)).Status);
            return;
        }

        var before = await Site.FingerprintAsync();
        foreach (var wrong in NoObjects)
        {
            var (status, body) = await SendAsync(endpoint, wrong);
            Assert.True(status == 422, $"{wrong} was answered {status}");
            AssertFailureShape(endpoint, body);
        }

        Assert.Equal(before, await Site.FingerprintAsync());
    }

    [Theory, MemberData(nameof(Paths))]
    public async Task Field_MissingOrOfAWrongType_Is422AndChangesNothing(string path)
    {
        var endpoint = Row(path);
        var before = await Site.FingerprintAsync();
        foreach (var field in endpoint.Required)
        {
            var body = JsonNode.Parse(endpoint.Sample)!.AsObject();
            Assert.True(body.Remove(field), $"the sample lacks {field}");
            await Is422Async(endpoint, body.ToJsonString(), $"without {field}");
        }

        foreach (var (field, type, _, nullable) in endpoint.Fields)
        {
            foreach (var wrong in Wrong(type, nullable))
            {
                var body = JsonNode.Parse(endpoint.Sample)!.AsObject();
                body[field] = JsonNode.Parse(wrong);
                await Is422Async(endpoint, body.ToJsonString(), $"{field} = {wrong}");
            }
        }

        Assert.Equal(before, await Site.FingerprintAsync());
    }

    [Theory, MemberData(nameof(Paths))]
    public async Task Field_Unknown_IsIgnored(string path)
    {
        var endpoint = Row(path);
        var body = JsonNode.Parse(endpoint.Sample)!.AsObject();
        body["no_such_field"] = JsonNode.Parse("""{"deep":[1,2,{"x":null}]}""");
        Assert.Equal(endpoint.SampleStatus, (await SendAsync(endpoint, body.ToJsonString())).Status);
    }

    [Theory, MemberData(nameof(Paths))]
    public async Task Number_InTheLaxFormsOfTheContract_IsAccepted(string path)
    {
        var endpoint = Row(path);
        foreach (var (field, type, _, _) in endpoint.Fields.Where(f => (Nullable.GetUnderlyingType(f.Type) ?? f.Type) == typeof(long)))
        {
            foreach (var form in new[] { "{0}.0", "\"{0}\"" })
            {
                var body = JsonNode.Parse(endpoint.Sample)!.AsObject();
                body[field] = JsonNode.Parse(
                    string.Format(System.Globalization.CultureInfo.InvariantCulture, form, body[field]?.ToJsonString() ?? "1")
                );
                Assert.True(
                    endpoint.SampleStatus == (await SendAsync(endpoint, body.ToJsonString())).Status,
                    $"{field} of {type}: {body[field]!.ToJsonString()}"
                );
            }
        }
    }

    private static IEnumerable<string> Wrong(Type type, bool nullable)
    {
        var bare = Nullable.GetUnderlyingType(type) ?? type;
        if (!nullable && bare == type)
            yield return "null";
        if (bare != typeof(string))
            yield return "\"certainly not\"";
        if (bare == typeof(string) || bare.IsEnum)
        {
            yield return "{}";
            yield return "[]";
        }

        if (bare == typeof(string))
            yield return "5";
        if (bare == typeof(long))
        {
            yield return "1.5";
            yield return "1e300";
            yield return "9223372036854775808";
            yield return "[1]";
        }

        if (bare.IsEnum)
            yield return "77";
        if (bare == typeof(bool))
        {
            yield return "2";
            yield return "{}";
        }

        if (bare == typeof(TimeWindow))
        {
            yield return "[]";
            yield return "[\"2026-01-01\"]";
            yield return "[\"2026-01-01\",\"2026-01-01\",\"2026-01-01\"]";
            yield return "[1,\"x\"]";
        }

        if (bare == typeof(DateTime))
            yield return "{}";
        if (bare != typeof(string) && typeof(System.Collections.IEnumerable).IsAssignableFrom(bare))
        {
            yield return "{}";
            yield return "[null]";
            yield return "[\"x\"]";
        }
    }

    private async Task Is422Async(Endpoint endpoint, string json, string what)
    {
        var (status, body) = await SendAsync(endpoint, json);
        Assert.True(status == 422, $"{what} was answered {status} {body}");
        AssertFailureShape(endpoint, body);
    }

    private static void AssertFailureShape(Endpoint endpoint, string body) => Shape.AssertFailure(endpoint, body);

    private static Endpoint Row(string path) => ContractTable.Endpoints.Single(e => e.Path == path);

    private async Task<(int Status, string Body)> SendAsync(Endpoint endpoint, string json)
    {
        using var response = await Site.SendAsync(endpoint.Path, json, TestSite.Basic("admin", "adminpw"));
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }
}

/// <summary>Shapes of error bodies.</summary>
public static class Shape
{
    /// <summary>
    /// A JSON object whose <c>detail</c>, if any, is a string (an object there crashes the Python client,
    /// docs/spec/wire.md#python-client-answers), and which says what is wrong, except for the bodies of users/* and admin/instance/*, whose
    /// failures are answers of their own (docs/spec/wire.md#users, docs/spec/wire.md#delete-instance).
    /// </summary>
    public static void AssertFailure(Endpoint endpoint, string body)
    {
        var root = JsonDocument.Parse(body).RootElement;
        Assert.Equal(JsonValueKind.Object, root.ValueKind);
        if (root.TryGetProperty("detail", out var detail))
        {
            Assert.Equal(JsonValueKind.String, detail.ValueKind);
            return;
        }

        if (
            root.TryGetProperty("success", out var success)
            || (endpoint.Path == "users/get" && root.TryGetProperty("permission", out success))
        )
        {
            Assert.NotEqual(JsonValueKind.True, success.ValueKind);
            return;
        }

        Assert.NotEqual("", root.GetProperty("reason").GetString());
        Assert.NotEqual(JsonValueKind.Undefined, root.GetProperty("suggested_remedy").ValueKind);
    }
}
