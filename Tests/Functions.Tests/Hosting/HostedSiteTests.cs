using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Functions.Api;
using Librarian.Functions.Hosting;
using Librarian.Tests.Functions.Hosting.Protocol;

namespace Librarian.Tests.Functions.Hosting;

/// <summary>One site as the isolated worker of a host, for tests that leave it as it is.</summary>
public sealed class HostedSite : IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("hosted-site-").FullName;

    public FunctionsHostDouble Host { get; private set; } = null!;

    /// <summary>Settings of a site on SQLite in a directory.</summary>
    public static Dictionary<string, string> Settings(string directory) =>
        new()
        {
            ["Site:Name"] = "hosted",
            ["Site:PublicBaseUrl"] = "http://127.0.0.1:1",
            ["Site:DataDirectory"] = Path.Combine(directory, "data"),
            ["Site:AdminPassword"] = "adminpw",
            ["Site:Stores:0:Name"] = "main",
            ["Site:Stores:0:StagingPath"] = Path.Combine(directory, "staging"),
            ["Site:Stores:0:StorePath"] = Path.Combine(directory, "store"),
        };

    public HttpClient Client() =>
        new(new SocketsHttpHandler { Expect100ContinueTimeout = TimerFixture.WaitTimeout })
        {
            BaseAddress = Host.Address,
            Timeout = TimerFixture.WaitTimeout,
        };

    public async ValueTask InitializeAsync()
    {
        Host = await FunctionsHostDouble.StartAsync(Settings(_directory));
        await Host.WhenReadyAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Host.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }
}

/// <summary>What a host gets from its worker.</summary>
public sealed class HostedSiteTests(HostedSite site) : IClassFixture<HostedSite>
{
    [Fact]
    public async Task Environment_OfTheHost_IsNotTakenForTheSitesOwn()
    {
        using var client = site.Client();

        // The appsettings.json in the inherited content root and working directory switches this function off.
        using var answer = await FunctionsHostDouble.PingAsync(client);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("hosted", Uri.UnescapeDataString(answer.Headers.GetValues(PingResponse.NameHeader).Single()));
        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetAsync(new Uri($"http://127.0.0.1:{site.Host.InheritedPort}/")));
    }

    [Fact]
    public async Task Request_ThatNoFunctionTakes_IsTheHostsEmpty404()
    {
        using var client = site.Client();

        foreach (
            var (method, path) in new[]
            {
                (HttpMethod.Get, "nix"),
                (HttpMethod.Get, "api/v2/ping"),
                (HttpMethod.Head, "api/v2/ping"),
                (HttpMethod.Post, "FindUnsyncedFiles"),
            }
        )
        {
            using var answer = await client.SendAsync(new HttpRequestMessage(method, path));
            Assert.Equal((HttpStatusCode.NotFound, ""), (answer.StatusCode, await answer.Content.ReadAsStringAsync()));
        }
    }

    [Fact]
    public async Task Timer_OfTheHost_IsAWakeUpThatStartsNothingThatIsNotDue()
    {
        foreach (var timer in FunctionCatalog.Discover(typeof(PingFunctions).Assembly).TimerFunctions)
        {
            var result = await site.Host.FireAsync(timer.Name);
            Assert.True(result.Status == StatusResult.Types.Status.Success, $"{timer.Name}: {result.Exception?.Message}");
        }

        await site.Host.WhenReadyAsync();
        Assert.DoesNotContain("[1003]", site.Host.Output, StringComparison.Ordinal);
    }

    [Theory]
    // Less than the limit by as much as the framing of chunks may add.
    [InlineData(Routes.Ping, BodyLimits.Usual - (64 << 10), 200)]
    [InlineData(Routes.Ping, BodyLimits.Usual + 1, 413)]
    [InlineData(Routes.CloneBatchStage, BodyLimits.Usual + 1, 422)]
    [InlineData(Routes.CloneBatchStage, BodyLimits.Batch + 1, 413)]
    public async Task Body_OfALength_IsReadUpToTheLimitOfItsRoute(string route, long length, int status)
    {
        using var client = site.Client();
        foreach (var announced in new[] { true, false })
        {
            var body = new byte[length];
            Array.Fill(body, (byte)' ');
            "{}"u8.CopyTo(body.AsSpan(body.Length - 2));
            using var request = new HttpRequestMessage(HttpMethod.Post, Routes.Prefix + route) { Content = new ByteArrayContent(body) };
            request.Headers.TryAddWithoutValidation("Authorization", "Basic " + Convert.ToBase64String("admin:adminpw"u8));
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
            request.Headers.TransferEncodingChunked = !announced;
            request.Headers.ExpectContinue = true;

            using var answer = await client.SendAsync(request);

            Assert.Equal(status, (int)answer.StatusCode);
            if (status == 413)
                Assert.Equal(
                    "The request body is too large.",
                    JsonDocument.Parse(await answer.Content.ReadAsStringAsync()).RootElement.GetProperty("reason").GetString()
                );
        }
    }
}
