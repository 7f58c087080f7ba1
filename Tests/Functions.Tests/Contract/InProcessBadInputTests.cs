using System.Text;
using System.Text.Json.Nodes;

namespace Librarian.Tests.Functions.Contract;

public sealed class SqliteBadInputTests(SqliteSite site) : InProcessBadInputTests(site), IClassFixture<SqliteSite>;

public sealed class PostgresBadInputTests(PostgresSite site) : InProcessBadInputTests(site), IClassFixture<PostgresSite>;

/// <summary>
/// In process there is no socket, and so no limit of a body's length (<see cref="BodyLimitTests"/>): what a route does with ten
/// megabytes is seen here only.
/// </summary>
public abstract class InProcessBadInputTests(SharedSite site) : BadInputTests(site, requests: 1500)
{
    [Fact]
    public async Task Body_OfTenMegabytes_IsRefusedInTime()
    {
        foreach (var endpoint in ContractTable.Endpoints.Where(e => e.Body is not null && e.Required.Count > 0))
        {
            var body = JsonNode.Parse(endpoint.Sample)!.AsObject();
            body[endpoint.Required[0]] = new string('x', 10_000_000);
            var (status, answer) = await SendAsync(new Request(endpoint, Encoding.UTF8.GetBytes(body.ToJsonString()), "application/json"));
            Assert.True(status is >= 400 and < 500, $"{endpoint} {status} {answer[..Math.Min(200, answer.Length)]}");
        }
    }
}
