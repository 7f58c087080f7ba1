using System.Globalization;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Engine;

/// <summary>
/// One execution of an orchestration in memory: it takes history and makes decisions. It does no I/O, and one thread at a time uses it.
/// After an exception it must be discarded and rebuilt from rows (docs/spec/durable-engine.md#r3-memory-is-a-cache).
/// </summary>
internal sealed class OrchestrationExecution
{
    private readonly OrchestrationPump _pump = new();
    private readonly OrchestrationContext _context;
    private readonly ITaskOrchestrator _orchestrator;
    private readonly DataConverter _converter;
    private readonly Dictionary<int, OpenTask> _open = [];
    private readonly Queue<HistoryEvent> _unmatched = new();
    private readonly List<HistoryEvent> _bufferedEvents = [];
    private readonly Dictionary<string, List<EventWaiter>> _waiters = new(StringComparer.OrdinalIgnoreCase);
    private readonly HashSet<string> _messageIds = new(StringComparer.Ordinal);
    private Task<object?>? _main;
    private TurnOutcome? _outcome;
    private int _nextTaskId;
    private ExecutionEnd? _end;
    private bool _rewinding;
    private HistoryEvent? _suspension;
    private (string? Input, bool PreserveEvents, string? Version)? _continueAsNew;

    public OrchestrationExecution(
        ExecutionIdentity identity,
        ITaskOrchestrator orchestrator,
        DataConverter converter,
        ILoggerFactory loggerFactory,
        string? customStatus
    )
    {
        Identity = identity;
        _orchestrator = orchestrator;
        _converter = converter;
        CustomStatus = customStatus;
        _context = new OrchestrationContext(this, converter, loggerFactory);
    }

    public ExecutionIdentity Identity { get; }

    public OrchestrationPump Pump => _pump;

    public bool IsReplaying { get; private set; } = true;

    public bool IsSuspended => _suspension is not null;

    /// <summary>Whether activities or children have not ended yet: a reason to stay in memory.</summary>
    public bool AwaitsWork => _open.Values.Any(task => task.Kind is EventKind.TaskScheduled or EventKind.SubOrchestrationCreated);

    /// <summary>Activities that have not ended, as recorded.</summary>
    public IEnumerable<ScheduledTask> OpenActivities => _open.Values.Select(open => open.Decision).OfType<ScheduledTask>();

    /// <summary>How the code ended; null while it runs.</summary>
    public ExecutionEnd? Ended => _end;

    public long Now { get; private set; }

    public string? Input { get; private set; }

    public string? CustomStatus { get; set; }

    /// <summary>Length of the recorded history: the sequence number of the next row.</summary>
    public int HistoryLength { get; private set; }

    /// <summary>Re-executes recorded history. Returns a mismatch, which the next turn reports by ending the instance.</summary>
    public NonDeterminismException? Replay(IReadOnlyList<HistoryEvent> history)
    {
        IsReplaying = true;
        HistoryLength = history.Count;
        try
        {
            foreach (var recorded in history)
                Apply(recorded);
            ThrowIfUnmatched();
            return null;
        }
        catch (NonDeterminismException mismatch)
        {
            return mismatch;
        }
    }

    /// <summary>Applies new messages in order and collects the orchestrator's decisions.</summary>
    /// <param name="at">Database time, epoch milliseconds.</param>
    /// <param name="inputs">Messages and local results of this execution.</param>
    /// <param name="mismatch">The result of <see cref="Replay"/>.</param>
    public TurnOutcome RunTurn(long at, IReadOnlyCollection<HistoryEvent> inputs, NonDeterminismException? mismatch = null)
    {
        var events = new List<HistoryEvent>();
        var outcome = _outcome = new TurnOutcome { Events = events };
        IsReplaying = false;
        if (mismatch is not null)
            _unmatched.Clear();
        var started = HistoryEvent.TurnStarted(Math.Max(at, Math.Max(Now, LatestFired(inputs))));
        events.Add(started);
        try
        {
            Apply(started);
        }
        catch (NonDeterminismException found)
        {
            mismatch ??= found;
            _end = null;
        }

        var late = new List<HistoryEvent>();
        foreach (var input in inputs)
        {
            if (input.Kind == EventKind.ExecutionTerminated)
            {
                if (_end is null || _end.ContinueAsNew)
                    End(Terminated(input));
                events.Add(input);
                continue;
            }

            if (_end is not null)
            {
                if (_end.ContinueAsNew && input.Kind == EventKind.EventRaised && IsWanted(input))
                    late.Add(input);
                // Suspensions and resumptions address the instance, not the execution that has just ended.
                else if (
                    _end.ContinueAsNew
                    && (input.Kind is EventKind.ExecutionSuspended or EventKind.ExecutionResumed)
                    && IsWanted(input)
                )
                    Apply(input);
                // The code failed before it handled these; a rewind finds them in the history. A rewind message with its reason is always
                // recorded.
                else if (
                    (
                        input.Kind == EventKind.ExecutionRewound
                        || (_end.Status == OrchestrationRuntimeStatus.Failed && IsKeptAfterFailure(input.Kind))
                    ) && IsWanted(input)
                )
                    events.Add(input);
                continue;
            }

            if (input.Kind == EventKind.OrchestratorEscaped)
            {
                // Not recorded in history: it describes the code that ran, not the instance. It also explains a mismatch.
                if (_main is not null)
                    mismatch = Escape(input.Data ?? "left its flow of control");
                continue;
            }

            // Code that contradicts its history cannot tell which inputs are wanted; the code that a rewind runs can.
            if (mismatch is null && !IsWanted(input))
                continue;
            events.Add(input);
            if (mismatch is not null)
                continue;
            try
            {
                Apply(input);
            }
            catch (NonDeterminismException found)
            {
                mismatch = found;
            }
        }

        if (mismatch is null)
            mismatch = FindEscape();
        if (mismatch is not null && _end?.Status != OrchestrationRuntimeStatus.Terminated)
        {
            End(new(OrchestrationRuntimeStatus.Failed, null, mismatch.ToDetails()));
            outcome.ForgetDecisions();
            _unmatched.Clear();
        }

        events.AddRange(_unmatched);
        _unmatched.Clear();
        if (_end is { ContinueAsNew: true })
        {
            IEnumerable<HistoryEvent> kept = _continueAsNew!.Value.PreserveEvents ? [.. _bufferedEvents, .. late] : [];
            _end = _end with { Carried = _suspension is null ? [.. kept] : [.. kept, _suspension] };
        }
        else if (_end is not null)
            events.Add(new(EventKind.ExecutionCompleted, -1, _end.Status.ToString(), _end.Output, FailureText(_end.Failure), started.At));
        outcome.End = _end;
        outcome.CustomStatus = CustomStatus;
        outcome.Suspended = IsSuspended;
        outcome.AwaitsWork = AwaitsWork;
        HistoryLength += events.Count;
        _outcome = null;
        return outcome;
    }

    /// <summary>
    /// Runs the turn that failed the instance again, without the failures that the plan removed (see <see cref="RewindPlan"/>). The open
    /// tasks of earlier turns get their rows again, because the end of the instance removed them.
    /// </summary>
    public TurnOutcome RunRewoundTurn(long at, RewindPlan plan, IEnumerable<HistoryEvent> messages)
    {
        _rewinding = true;
        var outstanding = _open.ToList();
        var outcome = RunTurn(at, [.. plan.Inputs, .. messages], plan.Mismatch);
        outcome.RewrittenHistory = plan.Kept;
        if (outcome.End is not null)
            return outcome;
        foreach (var (_, open) in outstanding.Where(entry => _open.ContainsKey(entry.Key)))
        {
            switch (open.Decision)
            {
                case ScheduledTask task:
                    outcome.ReopenedTasks.Add(task);
                    break;
                case CreatedChild child:
                    outcome.ReopenedChildren.Add(child);
                    break;
                case CreatedTimer timer:
                    outcome.Timers.Add(timer);
                    break;
                default:
                    break;
            }
        }

        return outcome;
    }

    public static string? FailureText(TaskFailureDetails? failure) =>
        failure is null ? null : JsonSerializer.Serialize(Engine.FailureText.Of(failure), DurableJson.Default.FailureText);

    public static TaskFailureDetails ReadFailure(string? text) =>
        (text is null ? null : JsonSerializer.Deserialize(text, DurableJson.Default.FailureText)?.ToFailure())
        ?? new EngineFailure("Unknown", "no details were recorded");

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

    public void ContinueAsNew(string? input, bool preserveEvents, string? version) => _continueAsNew = (input, preserveEvents, version);

    private static ExecutionEnd Terminated(HistoryEvent input) =>
        new(OrchestrationRuntimeStatus.Terminated, input.Data, null) { TerminateChildren = input.Name == ControlMessages.Recursive };

    private OpenTask AddOpen(int id, EventKind kind, string name, object decision)
    {
        var open = new OpenTask(kind, name, decision);
        _open.Add(id, open);
        return open;
    }

    private void Decide(HistoryEvent decision, Action<TurnOutcome> record)
    {
        _unmatched.Enqueue(decision);
        if (!IsReplaying && _outcome is not null)
            record(_outcome);
    }

    /// <summary>
    /// Drops, without recording them, results of closed tasks and messages that were already applied
    /// (docs/spec/durable-engine.md#r8-stale-messages).
    /// </summary>
    private bool IsWanted(HistoryEvent input) =>
        input.Kind switch
        {
            EventKind.TaskCompleted or EventKind.TaskFailed => IsOpen(input.TaskId, EventKind.TaskScheduled),
            EventKind.TimerFired => IsOpen(input.TaskId, EventKind.TimerCreated),
            EventKind.SubOrchestrationCompleted or EventKind.SubOrchestrationFailed => IsOpen(
                input.TaskId,
                EventKind.SubOrchestrationCreated
            ),
            EventKind.EventRaised => input.MessageId is null || !_messageIds.Contains(input.MessageId),
            EventKind.ExecutionStarted => _main is null,
            EventKind.ExecutionSuspended => !IsSuspended,
            EventKind.ExecutionResumed => IsSuspended,
            EventKind.ExecutionRewound => _rewinding,
            _ => false,
        };

    /// <summary>
    /// The latest due time of the timers among the messages. The database found the timer due, perhaps by a later reading of its clock than
    /// this turn's time, or before its clock was set back: code that waited until an instant must not see an earlier time.
    /// </summary>
    private long LatestFired(IReadOnlyCollection<HistoryEvent> inputs)
    {
        var latest = long.MinValue;
        foreach (var input in inputs)
            if (
                input.Kind == EventKind.TimerFired
                && IsOpen(input.TaskId, EventKind.TimerCreated)
                && _open[input.TaskId].Decision is CreatedTimer timer
            )
                latest = Math.Max(latest, timer.FireAt);
        return latest;
    }

    /// <summary>
    /// Whether a failed execution must keep this input for a rewind: otherwise the input would be lost or its work would be repeated.
    /// </summary>
    private static bool IsKeptAfterFailure(EventKind kind) =>
        kind is EventKind.TaskCompleted or EventKind.TimerFired or EventKind.SubOrchestrationCompleted or EventKind.EventRaised;

    private bool IsOpen(int taskId, EventKind kind) => _open.TryGetValue(taskId, out var open) && open.Kind == kind;

    private void Apply(HistoryEvent entry)
    {
        switch (entry.Kind)
        {
            case EventKind.OrchestratorStarted:
                ThrowIfUnmatched();
                // A turn in which the code ends is the last one of its execution.
                if (_end is not null)
                    throw Mismatch(
                        _nextTaskId,
                        $"history has another turn, the code had {(_end.ContinueAsNew ? "continued as new" : "ended as " + _end.Status)}"
                    );
                Now = entry.At;
                _context.StartTurn(Now);
                break;
            case EventKind.ExecutionStarted:
                Input = entry.Data;
                _pump.Run(() => _main = RunOrchestratorAsync());
                break;
            case EventKind.TaskScheduled or EventKind.TimerCreated or EventKind.SubOrchestrationCreated or EventKind.EventSent:
                Match(entry);
                break;
            case var kind when _end is not null && IsKeptAfterFailure(kind):
                break;
            case EventKind.TaskCompleted or EventKind.TimerFired or EventKind.SubOrchestrationCompleted:
                Close(entry, open => open.TrySetResult(entry.Data));
                break;
            case EventKind.TaskFailed or EventKind.SubOrchestrationFailed:
                Close(entry, open => open.TrySetException(new TaskFailedException(open.Name, entry.TaskId, ReadFailure(entry.Failure))));
                break;
            case EventKind.EventRaised:
                Raise(entry);
                break;
            case EventKind.ExecutionSuspended:
                _suspension = entry;
                break;
            case EventKind.ExecutionResumed:
                _suspension = null;
                break;
            default:
                break;
        }
    }

    private async Task<object?> RunOrchestratorAsync()
    {
        object? output = null;
        try
        {
            output = await _orchestrator.RunAsync(_context, _converter.Deserialize(Input, _orchestrator.InputType));
            if (_continueAsNew is { } next)
                End(new(OrchestrationRuntimeStatus.Running, next.Input, null) { ContinueAsNew = true, NextVersion = next.Version });
            else
                End(new(OrchestrationRuntimeStatus.Completed, _context.Serialize(output), null));
        }
        catch (Exception failure) when (failure is not NonDeterminismException)
        {
            End(new(OrchestrationRuntimeStatus.Failed, null, EngineFailure.Of(failure)));
        }

        return output;
    }

    private void End(ExecutionEnd end) => _end = end;

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

    /// <summary>Returns a failure if the waiting code has left its flow of control or waits for something that is not durable.</summary>
    public NonDeterminismException? FindEscape()
    {
        if (_end is not null || _main is null)
            return null;
        if (_pump.Escaped)
            return Escape(
                "left its flow of control: it awaited a task that the context did not make, or used ConfigureAwait(false) or Task.Run"
            );
        if (!IsSuspended && _open.Count == 0 && _waiters.Values.All(waiters => waiters.Count == 0))
            return Escape("waits for a task that the context did not make (nothing durable is outstanding), so it could never go on");
        return null;
    }

    private NonDeterminismException Escape(string what) =>
        new(
            $"NonDeterministicOrchestration: orchestrator '{Identity.Name}' {what} (position {_nextTaskId}). "
                + "The history is intact. Use a timer of the context for delays and an activity for any other work, "
                + "then rewind the instance."
        );

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
}

/// <summary>Names that control messages use.</summary>
internal static class ControlMessages
{
    /// <summary>Name of a terminate message that also applies to the children.</summary>
    public const string Recursive = "recursive";
}
