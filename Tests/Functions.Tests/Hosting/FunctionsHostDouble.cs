using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Librarian.Tests.Functions.Hosting.Protocol;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.Routing.Template;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Tests.Functions.Hosting;

/// <summary>
/// Stands for the Azure Functions host: a shell, as the process that dies, which starts the built site as its isolated worker with the
/// environment of the official image; the host's end of the gRPC stream; and its front, which finds the function of a request, calls it
/// over the stream and passes the request on beside it (docs/spec/functions-host.md#starting-the-worker,
/// docs/spec/functions-host.md#http-path).
/// </summary>
public sealed class FunctionsHostDouble : IAsyncDisposable
{
    private static readonly DefaultInlineConstraintResolver Constraints = new(
        Options.Create(new RouteOptions()),
        new ServiceCollection().BuildServiceProvider()
    );

    private readonly WorkerStream _stream = new();
    private readonly StringBuilder _output = new();
    private readonly TaskCompletionSource _loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly HttpClient _worker;
    private readonly string _directory = Directory.CreateTempSubdirectory("functions-host-").FullName;
    private readonly WebApplication _front;
    private readonly Process _host;
    private readonly Task _read;
    private Uri? _workerUri;
    private int _kept;

    private FunctionsHostDouble(IReadOnlyDictionary<string, string> settings)
    {
        QuickTier.Refuse("a site in a process of its own");
        var (grpc, front) = (PostgresServer.FreePort(), PostgresServer.FreePort());
        Address = new Uri($"http://127.0.0.1:{front}/");
        InheritedPort = PostgresServer.FreePort();
        _worker = new HttpClient(
            new SocketsHttpHandler
            {
                AllowAutoRedirect = false,
                UseCookies = false,
                Expect100ContinueTimeout = TimerFixture.WaitTimeout,
                ConnectTimeout = TimerFixture.WaitTimeout,
                ConnectCallback = ConnectAsync,
            }
        )
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
        _front = StartFront(grpc, front);

        var program = SiteProcess.SiteProgram();
        var start = new ProcessStartInfo("/bin/sh")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            WorkingDirectory = _directory,
        };
        // The second process has no part in it: it sees to it that nothing outlives the tests.
        const string Script =
            "tests=$1; shift; \"$@\" & worker=$!; (while kill -0 $worker; do kill -0 $tests || kill -9 $worker; sleep 1; done) "
            + ">/dev/null 2>&1 & echo $worker; wait $worker";
        foreach (
            var argument in new[]
            {
                "-c",
                Script,
                "functions-host",
                $"{Environment.ProcessId}",
                "dotnet",
                program,
                "--functions-uri",
                $"http://127.0.0.1:{grpc}/",
                "--functions-worker-id",
                Guid.NewGuid().ToString(),
                "--functions-request-id",
                Guid.NewGuid().ToString(),
                "--functions-grpc-max-message-length",
                "2147483647",
            }
        )
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["FUNCTIONS_WORKER_RUNTIME"] = "dotnet-isolated";
        start.Environment["FUNCTIONS_WORKER_DIRECTORY"] = Path.GetDirectoryName(program);
        start.Environment["FUNCTIONS_APPLICATION_DIRECTORY"] = Path.GetDirectoryName(program);
        start.Environment["ASPNETCORE_URLS"] = $"http://127.0.0.1:{InheritedPort}";
        start.Environment["ASPNETCORE_CONTENTROOT"] = _directory;
        start.Environment["Kestrel__Endpoints__Other__Url"] = $"http://127.0.0.1:{InheritedPort}";
        File.WriteAllText(Path.Combine(_directory, "appsettings.json"), """{"AzureWebJobs":{"Ping":{"Disabled":true}}}""");
        foreach (var (key, value) in settings)
            start.Environment[key.Replace(":", "__", StringComparison.Ordinal)] = value;
        _host = Process.Start(start)!;
        WorkerId = int.Parse(_host.StandardOutput.ReadLine()!, CultureInfo.InvariantCulture);
        _read = Task.WhenAll(KeepAsync(_host.StandardOutput), KeepAsync(_host.StandardError));
    }

    /// <summary>Where the host serves.</summary>
    public Uri Address { get; }

    /// <summary>The port of inherited settings, which the worker must ignore.</summary>
    public int InheritedPort { get; }

    /// <summary>Process id of the worker.</summary>
    public int WorkerId { get; }

    /// <summary>What the worker says of its functions, in the order in which the host looks for a route.</summary>
    public IReadOnlyList<RpcFunctionMetadata> Functions { get; private set; } = [];

    /// <summary>What the worker says it can do.</summary>
    public IReadOnlyDictionary<string, string> Capabilities { get; private set; } = new Dictionary<string, string>();

    /// <summary>Everything the worker has printed or sent to be logged.</summary>
    public string Output
    {
        get
        {
            lock (_output)
            {
                var log = _stream.Log.Select(l => $"{l.Level} {l.Category}[{l.EventId}] {l.Message} {l.Exception?.Message}");
                return $"{_output}\n{string.Join('\n', log)}";
            }
        }
    }

    /// <summary>Starts the worker and loads its functions, as the host does; does not wait for the site behind it.</summary>
    public static async Task<FunctionsHostDouble> StartAsync(IReadOnlyDictionary<string, string> settings)
    {
        var host = new FunctionsHostDouble(settings);
        try
        {
            await host.LoadAsync();
            return host;
        }
        catch (Exception exception)
        {
            await host.DisposeAsync();
            throw new InvalidOperationException($"The worker does not start: {host.Output}", exception);
        }
    }

    /// <summary>Waits until the site behind the worker has started.</summary>
    public async Task WhenReadyAsync()
    {
        using var client = new HttpClient { BaseAddress = Address };
        HttpStatusCode? last = null;
        await Wait.UntilAsync(
            async () =>
            {
                using var answer = await PingAsync(client);
                return (last = answer.StatusCode) == HttpStatusCode.OK;
            },
            () => $"a site that is up, {last}: {Output}"
        );
    }

    /// <summary>A request that any credentials may make.</summary>
    public static Task<HttpResponseMessage> PingAsync(HttpClient client, HttpContent? body = null)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "api/v2/ping")
        {
            Content = body ?? new StringContent("{}", Encoding.UTF8, "application/json"),
        };
        request.Headers.TryAddWithoutValidation("Authorization", "Basic " + Convert.ToBase64String("any:thing"u8));
        request.Headers.ExpectContinue = body is not null;
        return client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
    }

    /// <summary>The host's timer fires.</summary>
    public async Task<StatusResult> FireAsync(string timer)
    {
        var request = Call(Functions.Single(f => f.Name == timer));
        request.InputData.Add(
            new ParameterBinding
            {
                Name = "timer",
                Data = new TypedData { Json = """{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}""" },
            }
        );
        return (await _stream.AskAsync(new StreamingMessage { InvocationRequest = request })).InvocationResponse.Result;
    }

    /// <summary>Calls the function of pings without the request that belongs to it.</summary>
    public async Task<StatusResult> CallPingAsync(string invocation)
    {
        var call = PingCall();
        call.InvocationId = invocation;
        return (await _stream.AskAsync(new StreamingMessage { InvocationRequest = call })).InvocationResponse.Result;
    }

    /// <summary>Passes a ping on to the worker without the call that belongs to it.</summary>
    public Task<HttpResponseMessage> RequestPingAsync(string invocation)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, new Uri(_workerUri!, "/api/v2/ping"))
        {
            Content = new StringContent("{}", Encoding.UTF8, "application/json"),
        };
        request.Headers.TryAddWithoutValidation("Authorization", "Basic " + Convert.ToBase64String("any:thing"u8));
        request.Headers.TryAddWithoutValidation("x-ms-invocation-id", invocation);
        return _worker.SendAsync(request);
    }

    /// <summary>Kills the host as an out-of-memory killer would: the worker gets no signal.</summary>
    public void Kill() => _host.Kill(entireProcessTree: false);

    /// <summary>The host stops its worker.</summary>
    public void Terminate() =>
        _stream.Send(
            new StreamingMessage
            {
                WorkerTerminate = new WorkerTerminate
                {
                    GracePeriod = Google.Protobuf.WellKnownTypes.Duration.FromTimeSpan(TimeSpan.FromSeconds(5)),
                },
            }
        );

    /// <summary>Somebody else does.</summary>
    public void Signal() => Assert.Equal(0, kill(WorkerId, 15));

    /// <summary>Waits for the end of the worker, which the shell passes on as its own; its exit code.</summary>
    public async Task<int> WhenWorkerExitsAsync()
    {
        await _host.WaitForExitAsync().WaitAsync(TimerFixture.WaitTimeout);
        return _host.ExitCode;
    }

    /// <summary>Waits until no process holds the worker's output any more.</summary>
    public Task WhenOutputEndsAsync() => _read.WaitAsync(TimerFixture.WaitTimeout);

    public async ValueTask DisposeAsync()
    {
        // The output ends only with the worker, so its process id cannot be somebody else's while it is open.
        if (!_read.IsCompleted)
            _ = kill(WorkerId, 9);
        await _read;
        if (Interlocked.Exchange(ref _kept, 1) != 0)
            return;
        _host.Dispose();
        _worker.Dispose();
        await _front.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    private async Task LoadAsync()
    {
        var ended = _read;
        if (await Task.WhenAny(_stream.Started.Task, ended).WaitAsync(TimeSpan.FromMinutes(2)) == ended)
            throw new InvalidOperationException("It has ended.");
        var initialised = (
            await _stream.AskAsync(new StreamingMessage { WorkerInitRequest = new WorkerInitRequest { HostVersion = "4.1053.200" } })
        ).WorkerInitResponse;
        Assert.Equal(StatusResult.Types.Status.Success, initialised.Result.Status);
        Capabilities = initialised.Capabilities;
        _workerUri = new Uri(Capabilities["HttpUri"]);
        var indexed = (
            await _stream.AskAsync(
                new StreamingMessage
                {
                    FunctionsMetadataRequest = new FunctionsMetadataRequest
                    {
                        FunctionAppDirectory = Path.GetDirectoryName(SiteProcess.SiteProgram()),
                    },
                }
            )
        ).FunctionMetadataResponse;
        Assert.True(indexed.Result.Status == StatusResult.Types.Status.Success, indexed.Result.Exception?.Message);
        Functions = [.. indexed.FunctionMetadataResults.OrderBy(f => f.Name, StringComparer.OrdinalIgnoreCase)];
        foreach (var function in Functions)
        {
            function.Directory = Path.GetDirectoryName(SiteProcess.SiteProgram());
            foreach (
                var (name, binding) in function
                    .RawBindings.Select(b => JsonDocument.Parse(b).RootElement)
                    .Select(b => (b.GetProperty("name").GetString()!, b))
            )
            {
                function.Bindings[name] = new BindingInfo
                {
                    Type = binding.GetProperty("type").GetString(),
                    Direction = Enum.Parse<BindingInfo.Types.Direction>(binding.GetProperty("direction").GetString()!, ignoreCase: true),
                };
            }

            var loaded = (
                await _stream.AskAsync(
                    new StreamingMessage
                    {
                        FunctionLoadRequest = new FunctionLoadRequest { FunctionId = function.FunctionId, Metadata = function },
                    }
                )
            ).FunctionLoadResponse;
            Assert.True(loaded.Result.Status == StatusResult.Types.Status.Success, $"{function.Name}: {loaded.Result.Exception?.Message}");
        }

        _loaded.SetResult();
    }

    private WebApplication StartFront(int grpc, int front)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Listen(IPAddress.Loopback, grpc, listen => listen.Protocols = HttpProtocols.Http2);
            kestrel.Listen(IPAddress.Loopback, front, listen => listen.Protocols = HttpProtocols.Http1);
        });
        var app = builder.Build();
        app.Run(context => context.Connection.LocalPort == grpc ? _stream.ServeAsync(context) : PassOnAsync(context));
        app.Start();
        return app;
    }

    /// <summary>First match in the order of names; what matches nothing is an empty 404 and never reaches the worker.</summary>
    private RpcFunctionMetadata? Find(HttpContext context)
    {
        foreach (var function in Functions)
        {
            var trigger = function
                .RawBindings.Select(b => JsonDocument.Parse(b).RootElement)
                .FirstOrDefault(b => b.GetProperty("type").GetString() == "httpTrigger");
            if (
                trigger.ValueKind == JsonValueKind.Undefined
                || !trigger.GetProperty("methods").EnumerateArray().Any(m => HttpMethods.Equals(m.GetString()!, context.Request.Method))
            )
                continue;
            var template = TemplateParser.Parse(trigger.GetProperty("route").GetString()!);
            var values = new RouteValueDictionary();
            if (!new TemplateMatcher(template, []).TryMatch(context.Request.Path, values))
                continue;
            var met = template.Parameters.All(p =>
                p.InlineConstraints.All(c =>
                    (!values.ContainsKey(p.Name!) && p.IsOptional)
                    || Constraints.ResolveConstraint(c.Constraint)!.Match(context, null, p.Name!, values, RouteDirection.IncomingRequest)
                )
            );
            if (met)
                return function;
        }

        return null;
    }

    private async Task PassOnAsync(HttpContext context)
    {
        await _loaded.Task;
        if (Find(context) is not { } function)
        {
            context.Response.StatusCode = 404;
            return;
        }

        var call = Call(function);
        call.InputData.Add(HttpInput(function));
        var invoked = _stream.AskAsync(new StreamingMessage { InvocationRequest = call }, context.RequestAborted);
        using var request = new HttpRequestMessage(
            new HttpMethod(context.Request.Method),
            new Uri(_workerUri!, context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpRequestFeature>()!.RawTarget)
        );
        if (context.Request.ContentLength is not null || context.Request.Headers.TransferEncoding.Count > 0)
            request.Content = new StreamContent(context.Request.Body);
        foreach (var (name, value) in context.Request.Headers)
        {
            if (name is "Transfer-Encoding" or "Expect")
                continue;
            if (!request.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)value))
                request.Content?.Headers.TryAddWithoutValidation(name, (IEnumerable<string?>)value);
        }

        // Nothing of a body is asked for before the function reads it: a refusal is not sent into a body that is on its way, and a test
        // knows when it is read.
        if (request.Content is not null)
            request.Headers.ExpectContinue = true;
        request.Headers.TryAddWithoutValidation("x-ms-invocation-id", call.InvocationId);
        request.Headers.TryAddWithoutValidation("X-Forwarded-For", "127.0.0.1");
        request.Headers.TryAddWithoutValidation("X-Forwarded-Host", context.Request.Host.Value);
        request.Headers.TryAddWithoutValidation("X-Forwarded-Proto", "http");
        try
        {
            using var answer = await _worker.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, context.RequestAborted);
            context.Response.StatusCode = (int)answer.StatusCode;
            foreach (var (name, values) in answer.Headers.Concat(answer.Content.Headers))
            {
                if (name != "Transfer-Encoding")
                    context.Response.Headers[name] = values.ToArray();
            }

            await answer.Content.CopyToAsync(context.Response.Body, context.RequestAborted);
        }
        catch (HttpRequestException exception) when (!context.Response.HasStarted)
        {
            context.Response.StatusCode = 500;
            await context.Response.WriteAsync($"The worker does not answer: {exception.Message}");
            return;
        }

        await invoked;
    }

    /// <summary>
    /// The worker names its port before it listens there, and a request may come in between. A host tries again for 2 s, which a starved
    /// machine exceeds; this one tries for as long as the worker lives.
    /// </summary>
    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        while (true)
        {
            var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(context.DnsEndPoint, cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch (SocketException exception) when (exception.SocketErrorCode == SocketError.ConnectionRefused && !_read.IsCompleted)
            {
                socket.Dispose();
                await Task.Delay(20, cancellationToken);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }
    }

    private InvocationRequest PingCall()
    {
        var function = Functions.Single(f => f.Name == "Ping");
        var call = Call(function);
        call.InputData.Add(HttpInput(function));
        return call;
    }

    private static ParameterBinding HttpInput(RpcFunctionMetadata function) =>
        new()
        {
            Name = function.Bindings.First(b => b.Value.Type == "httpTrigger").Key,
            Data = new TypedData { Http = new RpcHttp() },
        };

    private static InvocationRequest Call(RpcFunctionMetadata function) =>
        new()
        {
            InvocationId = Guid.NewGuid().ToString(),
            FunctionId = function.FunctionId,
            TraceContext = new RpcTraceContext { TraceParent = "", TraceState = "" },
        };

    private async Task KeepAsync(StreamReader lines)
    {
        while (await lines.ReadLineAsync() is { } line)
        {
            lock (_output)
                _output.AppendLine(line);
        }
    }

    [DllImport("libc")]
    private static extern int kill(int pid, int signal);
}
