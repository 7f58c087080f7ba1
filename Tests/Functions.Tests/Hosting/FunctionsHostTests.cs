using System.Net;
using System.Net.Http.Json;
using System.Reflection;
using System.Text.Json.Nodes;
using Librarian.Functions.Hosting;
using Librarian.Tests.SampleSite;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Hosting;

/// <summary>The sample site as custom handler, in a process of its own.</summary>
public sealed class FunctionsHostTests
{
    [Fact]
    public async Task Ping_WhileTheStartIsSlow_IsAnsweredAndOtherRequestsArePutOff()
    {
        await using var host = await FunctionsHostDouble.StartAsync(slowStart: true);

        using var early = await host.Client.PostAsJsonAsync("api/v2/ping", new PingRequest("early", 1));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, early.StatusCode);
        Assert.NotNull(early.Headers.RetryAfter);
        using var ping = await host.Client.GetAsync("/");
        Assert.Equal(HttpStatusCode.OK, ping.StatusCode);

        await host.FinishStartAsync();
        using var later = await host.Client.PostAsJsonAsync("api/v2/ping", new PingRequest("later", 2));
        Assert.Equal("later x2 via POST", (await later.Content.ReadFromJsonAsync<PingResponse>())!.Greeting);
    }

    [Fact]
    public async Task Start_RequestsDuringTheHandOver_AreAllAnswered()
    {
        await using var host = await FunctionsHostDouble.StartAsync(slowStart: true);

        // A refused connection would throw here.
        var served = 0;
        using var enough = new CancellationTokenSource();
        var callers = Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            while (!enough.IsCancellationRequested)
            {
                using var answer = await host.Client.GetAsync("api/v2/ticks");
                if (answer.IsSuccessStatusCode) Interlocked.Increment(ref served);
                else Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
            }
        })).ToArray();
        await host.FinishStartAsync();
        using (new Timer(_ => enough.Cancel(), null, TimerRig.Patience, Timeout.InfiniteTimeSpan))
        {
            while (Volatile.Read(ref served) < 20 && !enough.IsCancellationRequested) await Task.Yield();
        }

        await enough.CancelAsync();
        Assert.True(served >= 20, "The site does not come up.");
        await Task.WhenAll(callers);
    }

    [Fact]
    public async Task Settings_OfTheHostsOwnDirectory_AreIgnored()
    {
        await using var host = await FunctionsHostDouble.StartAsync();

        // The appsettings.json in the inherited content root and working directory switches this function off.
        await host.FinishStartAsync();
        using var answer = await host.Client.PostAsJsonAsync("api/v2/ping", new PingRequest("reader", 3));

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
    }

    [Fact]
    public async Task Listen_InheritedAddresses_AreIgnored()
    {
        await using var host = await FunctionsHostDouble.StartAsync();
        await host.FinishStartAsync();
        using var client = new HttpClient();

        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetAsync(new Uri($"http://127.0.0.1:{host.InheritedPort}/")));
    }

    [Fact]
    public async Task TimerCall_InTheShapeOfTheHost_IsAnsweredAndStartsNothingThatIsNotDue()
    {
        await using var host = await FunctionsHostDouble.StartAsync();
        await host.FinishStartAsync();
        await host.WhenTicksAsync("1");

        for (var i = 0; i < 20; i++)
        {
            using var answer = await host.Client.SendAsync(FunctionsHostDouble.TimerCall("Tick"));
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            Assert.Equal("application/json", answer.Content.Headers.ContentType!.MediaType);
            var body = JsonNode.Parse(await answer.Content.ReadAsStringAsync())!.AsObject();
            Assert.Equal(["Outputs", "Logs", "ReturnValue"], body.Select(p => p.Key));
        }

        Assert.Equal("1", await host.Client.GetStringAsync("api/v2/ticks"));
    }

    [Fact]
    public async Task TimerCall_ForgedThroughTheHost_FindsNothing()
    {
        await using var host = await FunctionsHostDouble.StartAsync();
        await host.FinishStartAsync();

        using var proxied = FunctionsHostDouble.TimerCall("Tick");
        proxied.Headers.Add("X-Forwarded-For", "203.0.113.9");
        using var forwarded = FunctionsHostDouble.TimerCall("Tick");
        forwarded.Headers.TransferEncodingChunked = false;
        using var empty = new HttpRequestMessage(HttpMethod.Post, "tick") { Content = new ByteArrayContent([]) };
        using var unknown = FunctionsHostDouble.TimerCall("Tock");

        foreach (var request in new[] { proxied, forwarded, empty, unknown })
        {
            using var answer = await host.Client.SendAsync(request);
            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        }
    }

    [Fact]
    public async Task HostKilled_HandlerExits()
    {
        await using var host = await FunctionsHostDouble.StartAsync();
        await host.FinishStartAsync();

        host.KillHost();

        Assert.Contains("\"EventId\":1010", await host.WhenOutputEndsAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Exit_AfterSigterm_IsNotZeroSoThatTheHostStartsAnother()
    {
        await using var host = await FunctionsHostDouble.StartAsync();
        await host.FinishStartAsync();

        host.Terminate();

        Assert.Equal(FunctionsApplication.FatalExitCode, await host.WhenHandlerExitsAsync());
    }

    [Fact]
    public async Task Exit_AfterAFailedBackgroundService_IsNotZeroAndNamesIt()
    {
        await using var host = await FunctionsHostDouble.StartAsync();
        await host.FinishStartAsync();

        await File.WriteAllTextAsync(host.FailGate, "");

        Assert.Equal(FunctionsApplication.FatalExitCode, await host.WhenHandlerExitsAsync());
        var lines = (await host.WhenOutputEndsAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.All(lines, l => JsonNode.Parse(l));
        Assert.Contains(lines, l => l.Contains("FailingService failed", StringComparison.Ordinal) && l.Contains("told to fail", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Publish_OutputDirectory_IsAnAppOfTheFunctionsHost()
    {
        var directory = Directory.CreateTempSubdirectory("publish-").FullName;
        try
        {
            var configuration = typeof(FunctionsHostTests).Assembly.GetCustomAttribute<AssemblyConfigurationAttribute>()!.Configuration;
            await ProcessRunner.RunAsync("dotnet", ["publish", Path.Combine(RepositoryRoot(), "Tests", "SampleSite"), "--no-build", "-c", configuration, "-o", directory]);

            Assert.Equal(["Ping", "Tick", "Ticks"], Directory.GetDirectories(directory).Where(d => File.Exists(Path.Combine(d, "function.json"))).Select(Path.GetFileName).Order(StringComparer.Ordinal));
            var ping = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(directory, "Ping", "function.json")))!;
            Assert.Equal("api/v2/ping", (string?)ping["bindings"]![0]!["route"]);
            var host = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(directory, "host.json")))!;
            Assert.Equal("2.0", (string?)host["version"]);
            Assert.Equal("", (string?)host["extensions"]!["http"]!["routePrefix"]);
            Assert.Equal(typeof(FunctionsApplication).Assembly.GetName().Name, (string?)host["customHandler"]!["description"]!["defaultExecutablePath"]);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static string RepositoryRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(directory!.FullName, "Librarian.Functions.sln"))) directory = directory.Parent;
        return directory.FullName;
    }
}
