using System.Net;
using System.Net.Http.Headers;
using System.Reflection;
using System.Text.Json.Nodes;
using Librarian.Functions.Api;
using Librarian.Functions.Hosting;
using Librarian.Tests.Functions.Hosting.Protocol;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Hosting;

/// <summary>The built site as the isolated worker of a host, in a process of its own.</summary>
public sealed class FunctionsHostTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("hosted-site-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Functions_ToldToTheHost_HaveResolvedSchedulesAndOnlyWhatIsOffered()
    {
        await using var host = await StartAsync(
            ("Schedules:GreetPeers", "00:00:42"),
            ("AzureWebJobs:RepairCorruptCopies:Disabled", "true"),
            ("AzureWebJobs:UploadStage:Disabled", "true")
        );

        var catalog = FunctionCatalog.Discover(typeof(PingFunctions).Assembly);
        var expected = catalog
            .HttpFunctions.Cast<FunctionDescriptor>()
            .Concat(catalog.TimerFunctions)
            .Select(f => f.Name)
            .Except(["RepairCorruptCopies", "UploadStage", "ApiDescription", "ApiReference"], StringComparer.Ordinal);
        Assert.Equal(expected.Order(StringComparer.OrdinalIgnoreCase), host.Functions.Select(f => f.Name));
        var timers = host
            .Functions.Select(f => (f.Name, Binding: f.RawBindings.Select(b => JsonNode.Parse(b)!).First()))
            .Where(f => (string?)f.Binding["type"] == "timerTrigger")
            .ToDictionary(f => f.Name, f => f.Binding);
        Assert.Equal(catalog.TimerFunctions.Count - 1, timers.Count);
        Assert.All(timers, t => Assert.True(TimerSchedule.TryParse((string)t.Value["schedule"]!, out _, out _), $"{t.Key}: {t.Value}"));
        // Monitoring by the host needs Azure storage.
        Assert.All(timers, t => Assert.False((bool)t.Value["useMonitor"]!));
        Assert.Equal("00:00:42", (string?)timers["GreetPeers"]["schedule"]);
        Assert.Equal("0 */15 * * * *", (string?)timers["ReviewStaleTransfers"]["schedule"]);
    }

    [Fact]
    public async Task Start_TheSiteIsNotReady_RequestsArePutOff()
    {
        // Its start waits for a database that is not there.
        await using var host = await StartAsync(
            ("Site:Database", $"Host=127.0.0.1;Port={PostgresServer.FreePort()};Database=x;Username=x;Password=x")
        );
        using var client = Client(host);

        using var answer = await FunctionsHostDouble.PingAsync(client);

        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.NotNull(answer.Headers.RetryAfter);
        Assert.Contains("starting", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Start_WrongSetting_IsSaidWhereTheHostCanReadIt()
    {
        var ended = await Assert.ThrowsAsync<InvalidOperationException>(() => StartAsync(("Site:Name", "")));

        Assert.Contains("[1015]", ended.Message, StringComparison.Ordinal);
        Assert.Contains("Site:Name", ended.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Pages_WhereTheyAreOn_AreServed()
    {
        await using var host = await StartAsync(("Site:ApiDocumentation", "true"));
        await host.WhenReadyAsync();
        using var client = Client(host);

        Assert.StartsWith("{", await client.GetStringAsync("api/v2/openapi.json"), StringComparison.Ordinal);
        using var page = await client.GetAsync("docs/");
        Assert.Equal("text/html", page.Content.Headers.ContentType?.MediaType);
        Assert.Contains("frame-ancestors 'none'", page.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task HostKilled_WorkerEnds()
    {
        await using var host = await StartAsync();
        await host.WhenReadyAsync();

        host.Kill();

        await host.WhenOutputEndsAsync();
        Assert.Contains("The process of the Functions host", host.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Stop_DuringARequest_FinishesItAndEndsWithACodeAfterWhichTheHostStartsAnother(bool byTheHost)
    {
        await using var host = await StartAsync();
        await host.WhenReadyAsync();
        using var client = Client(host);
        var rest = new TaskCompletionSource();
        using var body = new Slow(rest.Task);
        var slow = FunctionsHostDouble.PingAsync(client, body);
        await body.Begun;

        if (byTheHost)
            host.Terminate();
        else
            host.Signal();
        await Task.Delay(1000);
        rest.SetResult();

        using var answer = await slow;
        Assert.True(answer.StatusCode == HttpStatusCode.OK, $"{answer.StatusCode} {host.Output}");
        Assert.Equal(SiteApplication.FatalExitCode, await host.WhenWorkerExitsAsync());
    }

    [Fact]
    public async Task Request_ItsCallDoesNotCome_Is503AndALateCallEndsAtOnce()
    {
        await using var host = await StartAsync();
        await host.WhenReadyAsync();

        using var answer = await host.RequestPingAsync("request-alone");

        await IsDeferredAsync(answer);
        Assert.Equal(StatusResult.Types.Status.Success, (await host.CallPingAsync("request-alone")).Status);
    }

    [Fact]
    public async Task Call_ItsRequestDoesNotCome_FailsAndALateRequestIs503()
    {
        await using var host = await StartAsync();
        await host.WhenReadyAsync();

        Assert.Equal(StatusResult.Types.Status.Failure, (await host.CallPingAsync("call-alone")).Status);

        using var answer = await host.RequestPingAsync("call-alone");
        await IsDeferredAsync(answer);
    }

    private static async Task IsDeferredAsync(HttpResponseMessage answer)
    {
        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.NotNull(answer.Headers.RetryAfter);
        Assert.Contains(UnpairedRequests.Reason, await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Publish_OutputDirectory_IsAnAppOfTheFunctionsHost()
    {
        var output = Path.Combine(_directory, "out");
        var configuration = typeof(FunctionsHostTests).Assembly.GetCustomAttribute<AssemblyConfigurationAttribute>()!.Configuration;
        await ProcessRunner.RunAsync(
            "dotnet",
            ["publish", Path.Combine(RepositoryRoot(), "Functions"), "--no-build", "-c", configuration, "-o", output]
        );

        var worker = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(output, "worker.config.json")))!["description"]!;
        Assert.Equal(
            ("dotnet-isolated", "librarian-site.dll", "true"),
            ((string?)worker["language"], (string?)worker["defaultWorkerPath"], (string?)worker["workerIndexing"])
        );
        var extension = Assert.Single(
            JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(output, "extensions.json")))!["extensions"]!.AsArray()
        );
        Assert.True(File.Exists(Path.Combine(output, (string)extension!["hintPath"]!)));
        var host = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(output, "host.json")))!;
        Assert.Equal(("2.0", ""), ((string?)host["version"], (string?)host["extensions"]!["http"]!["routePrefix"]));
        Assert.Null(host["customHandler"]);
        var catalog = FunctionCatalog.Discover(typeof(PingFunctions).Assembly);
        Assert.Equal(
            catalog
                .HttpFunctions.Cast<FunctionDescriptor>()
                .Concat(catalog.TimerFunctions)
                .Select(f => f.Name)
                .Order(StringComparer.Ordinal),
            JsonNode
                .Parse(await File.ReadAllTextAsync(Path.Combine(output, "functions.metadata")))!
                .AsArray()
                .Select(f => (string)f!["name"]!)
                .Order(StringComparer.Ordinal)
        );
    }

    private Task<FunctionsHostDouble> StartAsync(params (string Key, string Value)[] settings)
    {
        var all = HostedSite.Settings(_directory);
        foreach (var (key, value) in settings)
            all[key] = value;
        return FunctionsHostDouble.StartAsync(all);
    }

    private static HttpClient Client(FunctionsHostDouble host) =>
        new(new SocketsHttpHandler { Expect100ContinueTimeout = TimerFixture.WaitTimeout })
        {
            BaseAddress = host.Address,
            Timeout = TimerFixture.WaitTimeout,
        };

    private static string RepositoryRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory!.FullName, "Librarian.Functions.sln")))
            directory = directory.Parent;
        return directory.FullName;
    }

    /// <summary>A body whose end is late.</summary>
    private sealed class Slow : HttpContent
    {
        private readonly Task _rest;
        private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Slow(Task rest)
        {
            _rest = rest;
            Headers.ContentType = new MediaTypeHeaderValue("application/json");
        }

        public Task Begun => _begun.Task;

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            await stream.WriteAsync("{"u8.ToArray());
            await stream.FlushAsync();
            _begun.TrySetResult();
            await _rest;
            await stream.WriteAsync("}"u8.ToArray());
        }

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }
    }
}
