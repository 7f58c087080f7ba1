using Grpc.Core;
using Microsoft.DurableTask.Client.Grpc;
using Microsoft.Extensions.Logging.Abstractions;

namespace Librarian.Durable.Hub;

/// <summary>Checks once whether a Durable Task hub answers, without a worker and without starting anything.</summary>
public static class HubProbe
{
    /// <summary>Queries an instance that does not exist.</summary>
    /// <param name="address">Address of the hub: http or https, HTTP/2.</param>
    /// <param name="time">Measures <paramref name="limit"/>.</param>
    /// <param name="limit">How long to wait for an answer.</param>
    /// <param name="cancellationToken">Cancels the wait.</param>
    /// <returns>Null if the hub answers, otherwise why it does not.</returns>
    public static async Task<string?> FindProblemAsync(Uri address, TimeProvider time, TimeSpan limit, CancellationToken cancellationToken)
    {
        using var channel = HubConnection.Open(address);
        await using var client = new GrpcDurableTaskClient(
            "probe",
            new GrpcDurableTaskClientOptions { Channel = channel },
            NullLogger.Instance
        );
        using var timeout = new CancellationTokenSource(limit, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            await client.GetInstanceAsync("librarian-site check", getInputsAndOutputs: false, stop.Token);
            return null;
        }
        catch (RpcException refused) when (!stop.IsCancellationRequested)
        {
            return $"{refused.StatusCode}, {refused.Status.Detail}";
        }
        catch (Exception ended) when (ended is RpcException or OperationCanceledException && !cancellationToken.IsCancellationRequested)
        {
            return $"no answer within {limit.TotalSeconds:0} s";
        }
    }
}
