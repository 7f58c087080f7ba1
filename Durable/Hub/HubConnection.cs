using Grpc.Core;
using Grpc.Net.Client;
using Librarian.Durable.Worker;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Hub;

/// <summary>
/// The connection that the worker and the client of this process share. It logs once that the hub is unavailable and once that it is
/// available again; in between the worker keeps retrying.
/// </summary>
internal sealed class HubConnection(Uri address, ILogger<HubConnection> log) : BackgroundService
{
    public Uri Address => address;

    public GrpcChannel Channel { get; } = Open(address);

    /// <summary>A channel to the hub at an address, for whoever disposes it.</summary>
    public static GrpcChannel Open(Uri address) =>
        GrpcChannel.ForAddress(
            address,
            new GrpcChannelOptions
            {
                // Behind a proxy a channel cannot detect whether it is connected.
                HttpHandler = new SocketsHttpHandler
                {
                    UseProxy = false,
                    EnableMultipleHttp2Connections = true,
                    ConnectTimeout = TimeSpan.FromSeconds(10),
                },
                DisposeHttpClient = true,
                // The default is two minutes, during which the return of a hub would go unnoticed.
                MaxReconnectBackoff = TimeSpan.FromSeconds(10),
            }
        );

    public override void Dispose()
    {
        base.Dispose();
        Channel.Dispose();
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        for (var isAway = false; ; )
        {
            var state = Channel.State;
            if (state == ConnectivityState.TransientFailure && !isAway)
            {
                isAway = true;
                log.HubAway(address);
            }
            else if (state == ConnectivityState.Ready && isAway)
            {
                isAway = false;
                log.HubBack(address);
            }

            await Channel.WaitForStateChangedAsync(state, stoppingToken);
        }
    }
}
