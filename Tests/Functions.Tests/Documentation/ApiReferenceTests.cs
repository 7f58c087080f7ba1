using System.Net;
using System.Text.RegularExpressions;
using Librarian.Domain.Catalog;
using Librarian.Functions.Hosting;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Documentation;

/// <summary>The description of the API as a site serves it (docs/spec/wire.md#api-description).</summary>
public partial class ApiReferenceTests(PostgresServer server)
{
    private static readonly string[] Addresses =
    [
        "/api/v2/openapi.json",
        "/docs",
        "/docs/",
        "/docs/scalar.js",
        "/docs/scalar.aspnetcore.js",
        "/docs/favicon.svg",
    ];

    [Fact]
    public async Task Get_NotSwitchedOn_IsAsUnknownAsAnyPath()
    {
        await using var site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server);
        foreach (var address in Addresses)
        {
            foreach (var method in new[] { HttpMethod.Get, HttpMethod.Post })
            {
                using var answer = await site.Http.SendAsync(new HttpRequestMessage(method, address));
                Assert.Equal(
                    (HttpStatusCode.NotFound, """{"detail":"Not Found"}"""),
                    (answer.StatusCode, await answer.Content.ReadAsStringAsync())
                );
            }
        }
    }

    [Fact]
    public async Task Get_SwitchedOn_GivesTheDescriptionToAnybody()
    {
        await using var site = await DocumentedAsync();

        using var answer = await site.Http.GetAsync("/api/v2/openapi.json");

        Assert.Equal((HttpStatusCode.OK, "application/json"), (answer.StatusCode, answer.Content.Headers.ContentType?.MediaType));
        Assert.Equal(await File.ReadAllTextAsync(ApiDescription.File), await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task Get_Page_NeedsNothingFromElsewhere()
    {
        await using var site = await DocumentedAsync();

        using var page = await site.Http.GetAsync("/docs/");
        var html = await page.Content.ReadAsStringAsync();

        Assert.Equal(HttpStatusCode.OK, page.StatusCode);
        Assert.DoesNotContain("://", html, StringComparison.Ordinal);
        Assert.Contains("api/v2/openapi.json", html, StringComparison.Ordinal);
        foreach (var script in Script().Matches(html).Select(m => m.Groups["file"].Value).Append("favicon.svg"))
        {
            using var answer = await site.Http.GetAsync(new Uri(new Uri("http://localhost/docs/"), script));
            Assert.True(answer.IsSuccessStatusCode, script);
        }
    }

    [Fact]
    public async Task Get_Page_MayOnlyRunItsOwnScriptsAndCallThisSite()
    {
        await using var site = await DocumentedAsync();

        using var page = await site.Http.GetAsync("/docs/");
        using var again = await site.Http.GetAsync("/docs/");

        var policy = Assert.Single(page.Headers.GetValues("Content-Security-Policy"));
        Assert.Contains("default-src 'none'", policy, StringComparison.Ordinal);
        Assert.Contains("connect-src 'self';", policy, StringComparison.Ordinal);
        var nonce = Nonce().Match(policy).Groups["nonce"].Value;
        Assert.Contains($"nonce=\"{nonce}\"", WebUtility.HtmlDecode(await page.Content.ReadAsStringAsync()), StringComparison.Ordinal);
        Assert.DoesNotContain(nonce, Assert.Single(again.Headers.GetValues("Content-Security-Policy")), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Get_BelowThePage_NothingElseIsThere()
    {
        await using var site = await DocumentedAsync();

        using var answer = await site.Http.GetAsync("/docs/a/b");

        Assert.Equal(
            (HttpStatusCode.NotFound, """{"detail":"Not Found"}"""),
            (answer.StatusCode, await answer.Content.ReadAsStringAsync())
        );
    }

    [Fact]
    public async Task Operations_WithoutCredentials_AreAllThereAndRefused()
    {
        await using var site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server);
        foreach (var (path, method, _) in ApiDescription.Committed.Operations)
        {
            using var answer = await site.Http.SendAsync(new HttpRequestMessage(new HttpMethod(method), Segment().Replace(path, "x")));
            Assert.True(answer.StatusCode == HttpStatusCode.Unauthorized, $"{method} {path} was answered {answer.StatusCode}");
        }
    }

    [Fact]
    public void Catalog_FunctionsHost_ForwardsEveryAddress()
    {
        var routes = FunctionCatalog
            .Discover(typeof(Librarian.Functions.Api.PingFunctions).Assembly)
            .HttpFunctions.Where(f => f.Methods.Contains("GET"))
            .Select(f => f.Route)
            .ToArray();

        Assert.Contains("api/v2/openapi.json", routes);
        Assert.Contains("docs/{*file}", routes);
    }

    [GeneratedRegex("src=\"(?<file>[^\"]+)\"", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Script();

    [GeneratedRegex("script-src 'self' 'nonce-(?<nonce>[^']+)';", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Nonce();

    [GeneratedRegex(@"\{[^}]+}", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Segment();

    private Task<TestSite> DocumentedAsync() =>
        TestSite.CreateAsync(DatabaseKind.Sqlite, server, settings: new Dictionary<string, string> { ["Site:ApiDocumentation"] = "true" });
}
