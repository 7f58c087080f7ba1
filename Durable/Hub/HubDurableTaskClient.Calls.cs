using Grpc.Core;

namespace Librarian.Durable.Hub;

internal sealed partial class HubDurableTaskClient
{
    private static readonly TimeSpan AnswerWithin = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// Waits until the hub knows the instance: a start that was given with a transaction may not have been sent yet, and hubs differ in
    /// their answers until then.
    /// </summary>
    private async Task WaitUntilKnownAsync(string instanceId, CancellationToken cancellation)
    {
        while (await GetInstancesAsync(instanceId, cancellation: cancellation) is null)
            await Task.Delay(PollInterval, _time, cancellation);
    }

    private Task AskAsync(Func<CancellationToken, Task> ask, CancellationToken cancellation) =>
        AskAsync(
            async token =>
            {
                await ask(token);
                return true;
            },
            cancellation
        );

    private async Task<T> AskAsync<T>(Func<CancellationToken, Task<T>> ask, CancellationToken cancellation, TimeSpan? within = null)
    {
        using var limit = new CancellationTokenSource(within ?? AnswerWithin, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, limit.Token);
        try
        {
            return await ask(either.Token);
        }
        catch (Exception ended) when (either.IsCancellationRequested && ended is OperationCanceledException or RpcException)
        {
            cancellation.ThrowIfCancellationRequested();
            throw Away(ended);
        }
        catch (RpcException away) when (away.StatusCode is StatusCode.Unavailable or StatusCode.DeadlineExceeded)
        {
            throw Away(away);
        }
        catch (Exception unknown)
            when (unknown is NotImplementedException or NotSupportedException or RpcException { StatusCode: StatusCode.Unimplemented })
        {
            throw Unsupported("this hub cannot do that.", unknown);
        }
        catch (RpcException failed)
        {
            throw new HubException(
                HubException.Failed,
                $"the hub at {_connection.Address} answered '{failed.Status.Detail}'. Its log says more.",
                failed
            );
        }
    }

    private HubException Away(Exception cause) =>
        new(
            HubException.Unavailable,
            $"the Durable Task hub at {_connection.Address} (Site:Durable:Grpc) does not answer. "
                + "What the catalog has recorded stays, and its work starts when the hub is back.",
            cause
        );

    private static bool Fits(InstanceQuery query, OrchestrationMetadata instance) =>
        (query.Names is not { Count: > 0 } names || names.Contains(instance.Name, StringComparer.OrdinalIgnoreCase))
        && (query.Tags is null || query.Tags.All(tag => instance.Tags.TryGetValue(tag.Key, out var value) && value == tag.Value));

    private async Task<OrchestrationMetadata> FindAsync(string instanceId, CancellationToken cancellation) =>
        await GetInstancesAsync(instanceId, cancellation: cancellation)
        ?? throw new ArgumentException(
            $"InstanceNotFound: there is no orchestration instance '{instanceId}'. Check the id; a purged " + "instance is gone.",
            nameof(instanceId)
        );
}
