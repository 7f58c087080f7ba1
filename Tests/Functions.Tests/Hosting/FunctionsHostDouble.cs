using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Runtime.InteropServices;
using Librarian.Tests.SampleSite;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Functions.Hosting;

/// <summary>
/// Stands for the Azure Functions host: a parent process (a shell) that starts the sample site as its custom handler, with the
/// environment the official image would hand down, and calls it in the wire shapes observed on the real host (functions-host.md §1).
/// </summary>
public sealed class FunctionsHostDouble : IAsyncDisposable
{
    private const string HostVersion = "4.1053.200.26000";

    private readonly Process _host;
    private readonly Task<string> _output;
    private readonly string _directory = Directory.CreateTempSubdirectory("functions-host-").FullName;

    private FunctionsHostDouble(bool slowStart)
    {
        Port = PostgresServer.FreePort();
        InheritedPort = PostgresServer.FreePort();
        StartGate = Path.Combine(_directory, "start");
        FailGate = Path.Combine(_directory, "fail");
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false, WorkingDirectory = _directory };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("\"$@\" & echo $!; wait $!");
        start.ArgumentList.Add("functions-host");
        start.ArgumentList.Add(Environment.ProcessPath is { } self && Path.GetFileNameWithoutExtension(self) == "dotnet" ? self : "dotnet");
        start.ArgumentList.Add(typeof(PingFunctions).Assembly.Location);
        start.Environment["FUNCTIONS_CUSTOMHANDLER_PORT"] = $"{Port}";
        start.Environment["FUNCTIONS_HTTPWORKER_PORT"] = $"{Port}";
        start.Environment["ASPNETCORE_URLS"] = $"http://127.0.0.1:{InheritedPort}";
        start.Environment["ASPNETCORE_CONTENTROOT"] = _directory;
        File.WriteAllText(Path.Combine(_directory, "appsettings.json"), """{"AzureWebJobs":{"Ticks":{"Disabled":true},"Ping":{"Disabled":true}}}""");
        start.Environment["Kestrel__Endpoints__Other__Url"] = $"http://127.0.0.1:{InheritedPort}";
        start.Environment["SAMPLE_FAIL_GATE"] = FailGate;
        if (slowStart) start.Environment["SAMPLE_START_GATE"] = StartGate;
        _host = Process.Start(start)!;
        HandlerId = int.Parse(_host.StandardOutput.ReadLine()!, CultureInfo.InvariantCulture);
        _output = ReadAsync(_host);
        Client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{Port}/"), Timeout = TimerRig.Patience };
    }

    public int Port { get; }

    /// <summary>The port of inherited settings, which the handler must ignore.</summary>
    public int InheritedPort { get; }

    public int HandlerId { get; }

    public string StartGate { get; }

    public string FailGate { get; }

    public HttpClient Client { get; }

    /// <summary>Starts the handler and pings it as the host does: every 25 ms until any answer.</summary>
    public static async Task<FunctionsHostDouble> StartAsync(bool slowStart = false)
    {
        var host = new FunctionsHostDouble(slowStart);
        var waiting = Stopwatch.StartNew();
        while (true)
        {
            try
            {
                using var answer = await host.Client.GetAsync("/");
                return host;
            }
            catch (HttpRequestException) when (waiting.Elapsed < TimerRig.Patience)
            {
                await Task.Delay(25);
            }
            catch
            {
                await host.DisposeAsync();
                throw;
            }
        }
    }

    /// <summary>Lets a slow start finish and waits until the site serves.</summary>
    public async Task FinishStartAsync()
    {
        await File.WriteAllTextAsync(StartGate, "");
        var waiting = Stopwatch.StartNew();
        while (true)
        {
            using var answer = await Client.GetAsync("api/v2/ticks");
            if (answer.IsSuccessStatusCode) return;
            Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
            Assert.True(waiting.Elapsed < TimerRig.Patience, "The site does not come up.");
        }
    }

    /// <summary>Waits until the sample's timer function has run so often; it runs once at start-up.</summary>
    public async Task WhenTicksAsync(string expected)
    {
        var waiting = Stopwatch.StartNew();
        while (await Client.GetStringAsync("api/v2/ticks") != expected)
            Assert.True(waiting.Elapsed < TimerRig.Patience, "The timer function does not run.");
    }

    /// <summary>A timer call of the host: chunked, never a Content-Length (§1.7).</summary>
    public static HttpRequestMessage TimerCall(string function)
    {
        var body = $$$$"""
            {"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},
             "Metadata":{"sys":{"MethodName":"{{{{function}}}}","UtcNow":"2026-03-01T12:00:00Z","RandGuid":"8f0a2f1e-7f7e-4e0c-9a66-1b8f6f1d2c3a"}}}
            """;
        var request = new HttpRequestMessage(HttpMethod.Post, function) { Content = new StringContent(body, new MediaTypeHeaderValue("application/json", "utf-8")) };
        request.Headers.TransferEncodingChunked = true;
        request.Headers.Add("X-Azure-Functions-InvocationId", Guid.NewGuid().ToString());
        request.Headers.Add("X-Azure-Functions-HostVersion", HostVersion);
        request.Headers.TryAddWithoutValidation("User-Agent", $"Azure-Functions-Host/{HostVersion}");
        return request;
    }

    /// <summary>Waits for the end of the handler, which the shell passes on as its own.</summary>
    public async Task<int> WhenHandlerExitsAsync()
    {
        await _host.WaitForExitAsync().WaitAsync(TimerRig.Patience);
        return _host.ExitCode;
    }

    /// <summary>Kills the host as an out-of-memory killer would: the handler gets no signal.</summary>
    public void KillHost() => _host.Kill(entireProcessTree: false);

    public void Terminate() => Assert.Equal(0, kill(HandlerId, 15));

    /// <summary>Everything the handler printed; completes when no process holds its output any more.</summary>
    public Task<string> WhenOutputEndsAsync() => _output.WaitAsync(TimerRig.Patience);

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        // The output ends only with the handler, so its process id cannot be somebody else's while it is open.
        if (!_output.IsCompleted) _ = kill(HandlerId, 9);
        await _output;
        _host.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    private static async Task<string> ReadAsync(Process process)
    {
        var texts = await Task.WhenAll(process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        return texts[0] + texts[1];
    }

    [DllImport("libc")]
    private static extern int kill(int pid, int signal);
}
