namespace Librarian.Durable.Worker;

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
