using Librarian.Durable.Stores;
using Microsoft.Extensions.Options;

namespace Librarian.Durable.Worker;

/// <summary>
/// Makes workers poll now: wakes this process's worker at once and, on a shared database, workers of other processes through a notification
/// that is sent outside every write transaction and at most once per 15 ms (docs/spec/durable-engine.md#r10-wake-ups). Losing one costs
/// only the poll interval.
/// </summary>
internal sealed class WorkSignal(DurableStore store, IOptions<DurableTaskOptions> options, TimeProvider time)
{
    /// <summary>Payload of the notifications, so that a host does not wake itself twice.</summary>
    public string Tag { get; } = Guid.NewGuid().ToString("N")[..12];

    private readonly bool _notifies = store.IsShared && options.Value.UseNotifications;
    private static readonly TimeSpan Coalesce = TimeSpan.FromMilliseconds(15);
    private readonly AsyncSignal _wake = new(time);
    private int _notifying;
    private int _burst;

    /// <summary>Wakes this process.</summary>
    public void RaiseLocal() => _wake.Set();

    /// <summary>Wakes every process.</summary>
    public void Raise()
    {
        RaiseLocal();
        if (_notifies && Interlocked.Exchange(ref _notifying, 1) == 0)
            _ = NotifyAsync();
    }

    /// <summary>
    /// Wakes every process several times within the next second, because a caller's transaction is about to commit at a time that the
    /// engine does not see.
    /// </summary>
    public void RaiseSoon()
    {
        var mine = Interlocked.Increment(ref _burst);
        _ = BurstAsync(mine);
    }

    /// <summary>Waits for a signal, at most for <paramref name="limit"/>.</summary>
    public Task WaitAsync(TimeSpan limit, CancellationToken cancellationToken) => _wake.WaitAsync(limit, cancellationToken);

    private async Task BurstAsync(int mine)
    {
        for (var delay = 4; delay <= 512 && Volatile.Read(ref _burst) == mine; delay *= 2)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(delay), time);
            Raise();
        }
    }

    private async Task NotifyAsync()
    {
        try
        {
            await Task.Delay(Coalesce, time);
            Volatile.Write(ref _notifying, 0);
            await using var session = await store.OpenAsync(CancellationToken.None);
            await session.ExecuteAsync(
                new SqlStatement("select pg_notify(@channel, @tag)").With("channel", PostgresStore.Channel).With("tag", Tag),
                CancellationToken.None
            );
        }
        catch (Exception)
        {
            // Other processes find the work by polling.
            Volatile.Write(ref _notifying, 0);
        }
    }
}
