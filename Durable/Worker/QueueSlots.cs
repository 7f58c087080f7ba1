namespace Librarian.Durable.Worker;

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
