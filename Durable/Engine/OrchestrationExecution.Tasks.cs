using System.Globalization;

namespace Librarian.Durable.Engine;

internal sealed partial class OrchestrationExecution
{
    public int NextTaskId() => _nextTaskId++;

    public Task<string?> ScheduleTask(string name, string? input, string queue, string version)
    {
        var id = NextTaskId();
        var task = new ScheduledTask(id, name, input, queue, version);
        Decide(new(EventKind.TaskScheduled, id, name, input, null, Now), outcome => outcome.Tasks.Add(task));
        return AddOpen(id, EventKind.TaskScheduled, name, task).Task;
    }

    public Task<string?> ScheduleChild(string name, string instanceId, string? input, string version)
    {
        var id = NextTaskId();
        var child = new CreatedChild(id, name, instanceId, input, version);
        Decide(new(EventKind.SubOrchestrationCreated, id, name, instanceId, null, Now), outcome => outcome.Children.Add(child));
        return AddOpen(id, EventKind.SubOrchestrationCreated, name, child).Task;
    }

    public Task CreateTimer(long fireAt, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return Task.FromCanceled(cancellationToken);
        var id = NextTaskId();
        var created = new CreatedTimer(id, fireAt);
        Decide(new(EventKind.TimerCreated, id, null, fireAt.ToString(CultureInfo.InvariantCulture), null, Now), outcome =>
            outcome.Timers.Add(created)
        );
        var open = AddOpen(id, EventKind.TimerCreated, "timer", created);
        if (cancellationToken.CanBeCanceled)
        {
            open.Cancellation = cancellationToken.UnsafeRegister(
                _ =>
                {
                    if (!_pump.IsInside() || !_open.Remove(id))
                        return;
                    // If the timer was created in this turn, it has no row to cancel.
                    if (_outcome is not null && _outcome.Timers.RemoveAll(timer => timer.TaskId == id) == 0)
                        _outcome.CancelledTimers.Add(id);
                    open.TrySetCanceled(cancellationToken);
                },
                null
            );
        }

        return open.Task;
    }

    public void SendEvent(string instanceId, string name, string? data)
    {
        var id = NextTaskId();
        Decide(new(EventKind.EventSent, id, name, data, null, Now), outcome => outcome.SentEvents.Add(new(id, instanceId, name, data)));
    }

    public Task<string?> WaitForEvent(string name, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return Task.FromCanceled<string?>(cancellationToken);
        var buffered = _bufferedEvents.FindIndex(candidate => string.Equals(candidate.Name, name, StringComparison.OrdinalIgnoreCase));
        if (buffered >= 0)
        {
            var data = _bufferedEvents[buffered].Data;
            _bufferedEvents.RemoveAt(buffered);
            return Task.FromResult(data);
        }

        if (!_waiters.TryGetValue(name, out var waiters))
            _waiters[name] = waiters = [];
        var waiter = new EventWaiter();
        waiters.Add(waiter);
        if (cancellationToken.CanBeCanceled)
        {
            waiter.Cancellation = cancellationToken.UnsafeRegister(
                _ =>
                {
                    if (_pump.IsInside() && waiters.Remove(waiter))
                        waiter.TrySetCanceled(cancellationToken);
                },
                null
            );
        }

        return waiter.Task;
    }

    private OpenTask AddOpen(int id, EventKind kind, string name, object decision)
    {
        var open = new OpenTask(kind, name, decision);
        _open.Add(id, open);
        return open;
    }

    // Continuations run inline on the pump (no RunContinuationsAsynchronously): otherwise Task.WhenAll would finish on the thread pool.
#pragma warning disable MA0173
    private sealed class OpenTask(EventKind kind, string name, object decision) : TaskCompletionSource<string?>
    {
        public EventKind Kind { get; } = kind;

        /// <summary>The recorded decision; its rows can be made from it again.</summary>
        public object Decision { get; set; } = decision;

        public string Name { get; } = name;

        public CancellationTokenRegistration Cancellation { get; set; }
    }

    private sealed class EventWaiter : TaskCompletionSource<string?>
    {
        public CancellationTokenRegistration Cancellation { get; set; }
    }
#pragma warning restore MA0173

    private void Raise(HistoryEvent entry)
    {
        if (entry.MessageId is not null)
            _messageIds.Add(entry.MessageId);
        if (_waiters.TryGetValue(entry.Name ?? "", out var waiters) && waiters.Count > 0)
        {
            // The newest waiter comes first, as in the SDK: after a timeout the older waiter is usually the abandoned one.
            var waiter = waiters[^1];
            waiters.RemoveAt(waiters.Count - 1);
            waiter.Cancellation.Dispose();
            _pump.Run(() => waiter.TrySetResult(entry.Data));
        }
        else
        {
            _bufferedEvents.Add(entry);
        }
    }

    private void Match(HistoryEvent recorded)
    {
        if (!_unmatched.TryDequeue(out var decided))
            throw Mismatch(recorded.TaskId, $"history has {Describe(recorded)}, the code did nothing there");
        if (
            decided.Kind != recorded.Kind
            || decided.TaskId != recorded.TaskId
            || !string.Equals(decided.Name, recorded.Name, StringComparison.OrdinalIgnoreCase)
        )
            throw Mismatch(recorded.TaskId, $"history has {Describe(recorded)}, the code did {Describe(decided)}");
        // Inputs and due times may change with the code; the recorded ones apply. A child under another id would be a child that was never
        // started.
        if (
            recorded.Kind == EventKind.TaskScheduled
            && _open.TryGetValue(recorded.TaskId, out var open)
            && open.Decision is ScheduledTask task
        )
            open.Decision = task with { Input = recorded.Data };
        if (recorded.Kind == EventKind.SubOrchestrationCreated && !string.Equals(decided.Data, recorded.Data, StringComparison.Ordinal))
            throw Mismatch(
                recorded.TaskId,
                $"history has {Describe(recorded)} as instance '{recorded.Data}', the code did it as instance '{decided.Data}'"
            );
        if (
            recorded.Kind == EventKind.TimerCreated
            && _open.TryGetValue(recorded.TaskId, out var timer)
            && long.TryParse(recorded.Data, NumberStyles.None, CultureInfo.InvariantCulture, out var due)
        )
            timer.Decision = new CreatedTimer(recorded.TaskId, due);
    }

    private void ThrowIfUnmatched()
    {
        if (_unmatched.TryPeek(out var extra))
            throw Mismatch(extra.TaskId, $"history has nothing there, the code did {Describe(extra)}");
    }

    private NonDeterminismException Mismatch(int position, string what) =>
        new(
            $"NonDeterministicOrchestration: replay of orchestrator '{Identity.Name}' differs from its history at position "
                + $"{position}: {what}. The history is intact. Run the code this instance was started with, or start a new instance."
        );

    private static string Describe(HistoryEvent entry) =>
        entry.Kind switch
        {
            EventKind.TaskScheduled => $"a call of activity '{entry.Name}'",
            EventKind.SubOrchestrationCreated => $"a call of sub-orchestrator '{entry.Name}'",
            EventKind.TimerCreated => "a timer",
            EventKind.EventSent => $"a sent event '{entry.Name}'",
            _ => entry.Kind.ToString(),
        };

    private void Close(HistoryEvent entry, Action<OpenTask> complete)
    {
        if (!_open.Remove(entry.TaskId, out var open))
            return;
        open.Cancellation.Dispose();
        _pump.Run(() => complete(open));
    }
}
