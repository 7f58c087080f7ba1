using System.Net;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Contract;

[Quick]
public sealed class SqliteContractTableTests(SqliteSite site) : InProcessContractTests(site), IClassFixture<SqliteSite>;

public sealed class PostgresContractTableTests(PostgresSite site) : InProcessContractTests(site), IClassFixture<PostgresSite>;

/// <summary>The table, asked of a site that serves by itself.</summary>
public abstract class InProcessContractTests(SharedSite site) : ContractTableTests(site)
{
    [Theory, MemberData(nameof(Paths))]
    public async Task Method_AnyOtherThanPost_Is405(string path)
    {
        foreach (var method in OtherMethods)
        {
            using var response = await Site.SendAsync(path, null, null, method);
            Assert.Equal(HttpStatusCode.MethodNotAllowed, response.StatusCode);
            Assert.Equal("POST", string.Join(',', response.Content.Headers.Allow));
            if (method != HttpMethod.Head)
                Assert.Equal("""{"detail":"Method Not Allowed"}""", await response.Content.ReadAsStringAsync());
        }
    }
}
