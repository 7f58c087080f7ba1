namespace Librarian.Durable.Engine;

/// <summary>
/// Runs an orchestrator's continuations one after the other on the calling thread. It is both the synchronization context (await) and the
/// task scheduler (ContinueWith, StartNew) of orchestrator code. A continuation that arrives from another thread proves that the code
/// awaited a non-durable task; it is not run, and <see cref="Escaped"/> is set.
/// </summary>
internal sealed class OrchestrationPump : TaskScheduler
{
    private readonly Queue<(SendOrPostCallback Callback, object? State)> _queue = new();
    private readonly PumpContext _context;
    private int _thread;
    private int _escaped;

    public OrchestrationPump() => _context = new PumpContext(this);

    /// <summary>True once code of this orchestrator ran outside the pump.</summary>
    public bool Escaped => Volatile.Read(ref _escaped) != 0;

    /// <summary>
    /// Called once, on the thread on which the code first ran outside the pump. This may be long after the turn, when the instance waits
    /// for a durable task or is no longer in memory.
    /// </summary>
    public Action? OnEscape { get; set; }

    public override int MaximumConcurrencyLevel => 1;

    private bool IsHere => Volatile.Read(ref _thread) == Environment.CurrentManagedThreadId;

    /// <summary>
    /// Whether the caller is in the orchestrator's flow of control; if not, records the escape. For callbacks, which must not throw: an
    /// exception on a timer's thread would end the process.
    /// </summary>
    public bool IsInside()
    {
        if (IsHere)
            return true;
        if (Interlocked.Exchange(ref _escaped, 1) == 0)
            OnEscape?.Invoke();
        return false;
    }

    /// <summary>Throws outside the orchestrator's flow of control. Every member of the context calls it.</summary>
    public void Guard()
    {
        if (IsInside())
            return;
        throw new InvalidOperationException(
            "NonDeterministicOrchestration: the orchestration context was used outside the orchestrator's own flow of control "
                + "(Task.Run, ConfigureAwait(false), or after awaiting a task that the context did not make)."
        );
    }

    /// <summary>Runs the action and then every continuation that it causes, until none is left.</summary>
    public void Run(Action action)
    {
        var outer = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(_context);
        Volatile.Write(ref _thread, Environment.CurrentManagedThreadId);
        try
        {
            // A task on this scheduler, so that TaskScheduler.Current is this scheduler inside orchestrator code.
            var step = new Task(() =>
            {
                action();
                while (_queue.TryDequeue(out var item))
                    item.Callback(item.State);
            });
            step.RunSynchronously(this);
            step.GetAwaiter().GetResult();
        }
        finally
        {
            Volatile.Write(ref _thread, 0);
            SynchronizationContext.SetSynchronizationContext(outer);
        }
    }

    protected override void QueueTask(Task task)
    {
        if (IsInside())
            _queue.Enqueue((state => TryExecuteTask((Task)state!), task));
    }

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) =>
        IsHere && !taskWasPreviouslyQueued && TryExecuteTask(task);

    protected override IEnumerable<Task> GetScheduledTasks() => [];

    private sealed class PumpContext(OrchestrationPump pump) : SynchronizationContext
    {
        public override void Post(SendOrPostCallback d, object? state)
        {
            if (pump.IsInside())
                pump._queue.Enqueue((d, state));
        }

        public override void Send(SendOrPostCallback d, object? state)
        {
            pump.Guard();
            d(state);
        }

        public override SynchronizationContext CreateCopy() => this;
    }
}
