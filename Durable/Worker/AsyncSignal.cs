namespace Librarian.Durable.Worker;

/// <summary>An auto-reset signal for one waiter; setting it twice before the wait counts once.</summary>
internal sealed class AsyncSignal(TimeProvider time)
{
    private readonly Lock _gate = new();
    private bool _set;
    private TaskCompletionSource? _waiter;

    public void Set()
    {
        TaskCompletionSource? waiter;
        lock (_gate)
        {
            waiter = _waiter;
            _waiter = null;
            _set = waiter is null;
        }

        waiter?.TrySetResult();
    }

    /// <summary>Returns false if the limit passed first.</summary>
    public async Task<bool> WaitAsync(TimeSpan limit, CancellationToken cancellationToken)
    {
        TaskCompletionSource waiter;
        lock (_gate)
        {
            if (_set)
            {
                _set = false;
                return true;
            }

            _waiter = waiter = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        try
        {
            await waiter.Task.WaitAsync(limit, time, cancellationToken);
            return true;
        }
        catch (TimeoutException)
        {
            lock (_gate)
            {
                if (_waiter == waiter)
                    _waiter = null;
            }

            return waiter.Task.IsCompleted;
        }
    }
}
