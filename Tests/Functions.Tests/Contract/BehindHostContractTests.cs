using System.Net;
using Librarian.Tests.Functions.Api;

namespace Librarian.Tests.Functions.Contract;

public sealed class SqliteContractBehindHostTests(SqliteSiteBehindHost site)
    : BehindHostContractTests(site),
        IClassFixture<SqliteSiteBehindHost>;

public sealed class PostgresContractBehindHostTests(PostgresSiteBehindHost site)
    : BehindHostContractTests(site),
        IClassFixture<PostgresSiteBehindHost>;

/// <summary>The table, asked of a host whose isolated worker the site is. What differs is in docs/adr/0006-isolated-worker.md.</summary>
public abstract class BehindHostContractTests(BehindHostSite site) : ContractTableTests(site)
{
    [Theory, MemberData(nameof(Paths))]
    public async Task Method_AnyOtherThanPost_IsTheHostsEmpty404(string path)
    {
        foreach (var method in OtherMethods)
            await IsTheHostsAsync(path, method);
    }

    [Theory]
    [InlineData("no/such")]
    [InlineData("ping/no/such")]
    [InlineData("../v3/ping")]
    public async Task Route_Unknown_IsTheHostsEmpty404(string path) => await IsTheHostsAsync(path, HttpMethod.Post);

    private async Task IsTheHostsAsync(string path, HttpMethod method)
    {
        using var response = await Site.SendAsync(path, null, TestSite.Basic("admin", "adminpw"), method);
        Assert.Equal((HttpStatusCode.NotFound, ""), (response.StatusCode, await response.Content.ReadAsStringAsync()));
        Assert.Empty(response.Content.Headers.Allow);
    }
}
