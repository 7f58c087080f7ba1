namespace Librarian.Domain.Transfers;

/// <summary>A lock for each key, within this process; callers with different keys do not wait for each other.</summary>
internal sealed class KeyedLocks
{
    private readonly Lock _gate = new();
    private readonly Dictionary<long, Waiting> _waiting = [];

    /// <summary>Waits for the lock; disposing the result releases it.</summary>
    public async Task<IDisposable> EnterAsync(long key, CancellationToken cancellationToken)
    {
        Waiting waiting;
        lock (_gate)
        {
            if (!_waiting.TryGetValue(key, out waiting!))
                _waiting[key] = waiting = new Waiting();
            waiting.Callers++;
        }

        try
        {
            await waiting.Turn.WaitAsync(cancellationToken);
        }
        catch
        {
            Leave(key, waiting);
            throw;
        }

        return new Held(this, key, waiting);
    }

    /// <summary>Takes the lock if nobody has it or waits for it; null otherwise.</summary>
    public IDisposable? TryEnter(long key)
    {
        lock (_gate)
        {
            if (_waiting.ContainsKey(key))
                return null;
            var mine = _waiting[key] = new Waiting { Callers = 1 };
            mine.Turn.Wait(0);
            return new Held(this, key, mine);
        }
    }

    private void Leave(long key, Waiting waiting)
    {
        lock (_gate)
        {
            if (--waiting.Callers > 0)
                return;
            _waiting.Remove(key);
        }

        waiting.Turn.Dispose();
    }

    private sealed class Waiting
    {
        public SemaphoreSlim Turn { get; } = new(1);

        public int Callers { get; set; }
    }

    private sealed class Held(KeyedLocks locks, long key, Waiting waiting) : IDisposable
    {
        public void Dispose()
        {
            waiting.Turn.Release();
            locks.Leave(key, waiting);
        }
    }
}
