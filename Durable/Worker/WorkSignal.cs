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

/// <summary>Notifies waiting clients of this process that an instance has changed its status.</summary>
internal sealed class InstanceWatch
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Watched> _watched = new(StringComparer.Ordinal);

    /// <summary>Number of instances that clients wait for.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _watched.Count;
        }
    }

    /// <summary>
    /// Begins a wait; disposing the result ends it. An instance without waits is forgotten, because most instances never change again.
    /// </summary>
    public Wait Begin(string instanceId)
    {
        lock (_gate)
        {
            if (!_watched.TryGetValue(instanceId, out var watched))
                _watched[instanceId] = watched = new();
            watched.Waits++;
            return new(this, instanceId, watched);
        }
    }

    public void Changed(string instanceId)
    {
        TaskCompletionSource change;
        lock (_gate)
        {
            if (!_watched.TryGetValue(instanceId, out var watched))
                return;
            change = watched.Change;
            watched.Change = NewChange();
        }

        change.TrySetResult();
    }

    private static TaskCompletionSource NewChange() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void End(string instanceId, Watched watched)
    {
        lock (_gate)
        {
            if (--watched.Waits == 0)
                _watched.Remove(instanceId);
        }
    }

    public sealed class Wait(InstanceWatch watch, string instanceId, Watched watched) : IDisposable
    {
        /// <summary>A task that ends at the next change. Take it before reading the row.</summary>
        public Task NextChange
        {
            get
            {
                lock (watch._gate)
                    return watched.Change.Task;
            }
        }

        public void Dispose() => watch.End(instanceId, watched);
    }

    public sealed class Watched
    {
        public int Waits { get; set; }

        public TaskCompletionSource Change { get; set; } = NewChange();
    }
}

/// <summary>
/// The database's clock, continued between its answers by this machine's monotonic clock; the machine's wall clock does not matter. It may
/// be ahead by the duration of the query, but never behind: a timer that is set by it is never early.
/// </summary>
internal sealed class DatabaseClock(TimeProvider time, DurableStore store)
{
    private readonly Lock _gate = new();
    private long _database;
    private long _stamp;

    /// <param name="now">The database's answer, epoch milliseconds.</param>
    /// <param name="asked">Timestamp of <see cref="TimeProvider"/> from before the query: the answer can only be later.</param>
    /// <returns>True if that clock was set back since the last call, or if this is the first call.</returns>
    public bool Observe(long now, long asked)
    {
        lock (_gate)
        {
            var wentBack =
                now
                < _database + (long)time.GetElapsedTime(_stamp, asked).TotalMilliseconds - (long)ClockQueries.Tolerance.TotalMilliseconds;
            var first = _database == 0;
            _database = now;
            _stamp = asked;
            return wentBack || first;
        }
    }

    /// <summary>Epoch milliseconds.</summary>
    public long Now
    {
        get
        {
            if (store.ExactNow is { } exact)
                return exact;
            lock (_gate)
                return _database + (long)time.GetElapsedTime(_stamp).TotalMilliseconds;
        }
    }
}

/// <summary>The slots of one queue.</summary>
internal sealed class QueueSlots(int capacity)
{
    private readonly Lock _gate = new();
    private readonly Queue<Action> _waiting = new();
    private int _used;

    /// <summary>More work than slots may be waiting, so a poll is worthwhile when a slot is returned.</summary>
    public volatile bool HasWaitingWork;

    public int Capacity => capacity;

    public int Used => Volatile.Read(ref _used);

    public int Free => capacity - Used;

    public bool TryTake()
    {
        lock (_gate)
        {
            if (_used < capacity)
            {
                _used++;
                return true;
            }
        }

        HasWaitingWork = true;
        return false;
    }

    /// <summary>
    /// Begins work that this worker has claimed as soon as a slot is free: between the query for free work and its answer, turns may have
    /// taken the slots that the query counted on.
    /// </summary>
    public void WhenFree(Action begin)
    {
        lock (_gate)
        {
            if (_used == capacity)
            {
                _waiting.Enqueue(begin);
                return;
            }

            _used++;
        }

        begin();
    }

    public void Return()
    {
        Action? next;
        lock (_gate)
        {
            if (!_waiting.TryDequeue(out next))
                _used--;
        }

        next?.Invoke();
    }
}
