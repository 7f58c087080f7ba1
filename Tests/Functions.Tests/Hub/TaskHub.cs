using System.Net;
using DurableTask.Core;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.DurableTask.Protobuf;
using Microsoft.DurableTask.Testing.Sidecar;
using Microsoft.DurableTask.Testing.Sidecar.Grpc;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Librarian.Tests.Functions.Hub;

/// <summary>
/// A Durable Task hub on a port of its own: the sidecar of Microsoft's test host, with its store in memory. It takes one worker, as the hub
/// of one site does.
/// </summary>
internal sealed class TaskHub : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Recorder _recorder = new();

    private TaskHub(Uri address)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
            kestrel.Listen(IPAddress.Loopback, address.Port, listen => listen.Protocols = HttpProtocols.Http2)
        );
        // The stream of work items never ends by itself.
        builder.Services.Configure<HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromSeconds(1));
        builder.Services.AddSingleton(_recorder);
        builder.Services.AddGrpc(options => options.Interceptors.Add<Recorder>());
        builder.Services.AddSingleton<InMemoryOrchestrationService>();
        builder.Services.AddSingleton<IOrchestrationService>(services => services.GetRequiredService<InMemoryOrchestrationService>());
        builder.Services.AddSingleton<IOrchestrationServiceClient>(services => services.GetRequiredService<InMemoryOrchestrationService>());
        builder.Services.AddSingleton<TaskHubGrpcServer>();
        _app = builder.Build();
        _app.MapGrpcService<TaskHubGrpcServer>();
    }

    /// <summary>Ids of the instances that were started, in order; a start that was refused is none.</summary>
    public IReadOnlyList<string> Started => _recorder.Started;

    public static Uri FreeAddress() => new($"http://127.0.0.1:{PostgresServer.FreePort()}");

    public static async Task<TaskHub> StartAsync(Uri address)
    {
        var hub = new TaskHub(address);
        await hub._app.StartAsync();
        return hub;
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();

    private sealed class Recorder : Interceptor
    {
        private readonly Lock _gate = new();
        private readonly List<string> _started = [];

        public IReadOnlyList<string> Started
        {
            get
            {
                lock (_gate)
                    return [.. _started];
            }
        }

        public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(
            TRequest request,
            ServerCallContext context,
            UnaryServerMethod<TRequest, TResponse> continuation
        )
        {
            if (request is not CreateInstanceRequest start)
                return await continuation(request, context);
            // Before the instance can have effects, which the tests wait for.
            lock (_gate)
                _started.Add(start.InstanceId);
            try
            {
                return await continuation(request, context);
            }
            catch
            {
                lock (_gate)
                    _started.Remove(start.InstanceId);
                throw;
            }
        }
    }
}
