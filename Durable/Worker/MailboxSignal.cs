using System.Runtime.CompilerServices;

namespace Librarian.Durable.Worker;

/// <summary>
/// An auto-reset signal for the one loop of a <see cref="ResidentInstance"/>; setting it twice before the wait counts once. A wait has no
/// time limit, because a timer per wait costs more than the wait. The loop may pass an action to a wait. The action runs on the waiting
/// thread after the wait has begun: if it sets the signal before it returns, the loop continues on the same thread; if it blocks, the loop
/// continues on another thread.
/// </summary>
internal sealed class MailboxSignal
{
    /// <summary>How many loops may continue inside each other on one thread: each takes a few frames of its stack.</summary>
    private const int MostNested = 8;

    [ThreadStatic]
    private static int _nested;

    private readonly Lock _gate = new();
    private bool _set;
    private Action? _continuation;
    private int _meanwhileThread;
    private long _wait;

    public void Set()
    {
        Action? goOn;
        lock (_gate)
        {
            if (_continuation is null || _meanwhileThread == Environment.CurrentManagedThreadId)
            {
                _set = true;
                return;
            }

            goOn = Take();
        }

        GoOnElsewhere(goOn);
    }

    /// <param name="meanwhile">An action to run during the wait. Must not throw.</param>
    public Waiting WaitAsync(Action? meanwhile) => new(this, meanwhile);

    private bool TryConsume()
    {
        lock (_gate)
        {
            var set = _set;
            _set = false;
            return set;
        }
    }

    private void Begin(Action continuation, Action? meanwhile)
    {
        long wait;
        bool already;
        lock (_gate)
        {
            wait = ++_wait;
            // The signal was set before the wait. The loop must continue now: the next check comes only after the action has returned.
            already = _set && meanwhile is not null;
            if (already)
                _set = false;
            else
                _continuation = continuation;
            _meanwhileThread = meanwhile is null || already ? 0 : Environment.CurrentManagedThreadId;
        }

        if (already)
            GoOnElsewhere(continuation);
        meanwhile?.Invoke();
        if (already)
            return;
        Action goOn;
        lock (_gate)
        {
            // Another thread has already continued the loop, which may even be waiting again.
            if (_wait != wait || _continuation is null)
                return;
            _meanwhileThread = 0;
            if (!_set)
                return;
            _set = false;
            goOn = Take();
        }

        if (meanwhile is null || _nested >= MostNested)
        {
            GoOnElsewhere(goOn);
            return;
        }

        _nested++;
        try
        {
            goOn();
        }
        finally
        {
            _nested--;
        }
    }

    private Action Take()
    {
        var continuation = _continuation!;
        _continuation = null;
        _meanwhileThread = 0;
        return continuation;
    }

    private static void GoOnElsewhere(Action goOn) => ThreadPool.UnsafeQueueUserWorkItem(static goOn => goOn(), goOn, preferLocal: false);

    /// <summary>A wait; await it at once and only once.</summary>
    public readonly struct Waiting(MailboxSignal signal, Action? meanwhile) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => meanwhile is null && signal.TryConsume();

        public Waiting GetAwaiter() => this;

        public void GetResult()
        {
            // A wait has no result.
        }

        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        public void UnsafeOnCompleted(Action continuation) => signal.Begin(continuation, meanwhile);
    }
}
