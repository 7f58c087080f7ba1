using System.Runtime.CompilerServices;

namespace Librarian.Durable.Worker;

/// <summary>
/// An auto-reset signal for the one loop of a <see cref="ResidentInstance"/>; setting it twice before the wait counts once. It has no time limit,
/// because a timer per wait costs more than the wait. Whoever waits may give the signal something to do meanwhile: it runs on the waiting thread after the
/// wait has begun, so when it sets the signal before it returns, the loop goes on without a change of threads, and when it blocks, another thread goes on.
/// </summary>
internal sealed class MailboxSignal
{
    /// <summary>Loops that went on inside each other on one thread: each is a few frames of its stack.</summary>
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

    /// <param name="meanwhile">Must not throw.</param>
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
            // Set before the wait: nobody would look again before the activity has let go of this thread.
            already = _set && meanwhile is not null;
            if (already) _set = false;
            else _continuation = continuation;
            _meanwhileThread = meanwhile is null || already ? 0 : Environment.CurrentManagedThreadId;
        }

        if (already) GoOnElsewhere(continuation);
        meanwhile?.Invoke();
        if (already) return;
        Action goOn;
        lock (_gate)
        {
            // Another thread has gone on, and perhaps waits again already.
            if (_wait != wait || _continuation is null) return;
            _meanwhileThread = 0;
            if (!_set) return;
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

    /// <summary>A wait, to be awaited at once and once.</summary>
    public readonly struct Waiting(MailboxSignal signal, Action? meanwhile) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => meanwhile is null && signal.TryConsume();

        public Waiting GetAwaiter() => this;

        public void GetResult()
        {
            // Nothing but the wake-up itself is handed over.
        }

        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        public void UnsafeOnCompleted(Action continuation) => signal.Begin(continuation, meanwhile);
    }
}
