using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Engine;

/// <summary>
/// One execution of an orchestration in memory: it takes history and makes decisions. It does no I/O, and one thread at a time uses it.
/// After an exception it must be discarded and rebuilt from rows (docs/spec/durable-engine.md#r3-memory-is-a-cache).
/// </summary>
internal sealed partial class OrchestrationExecution
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
        mismatch = Take(inputs, events, late, mismatch);
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

    /// <summary>Applies the inputs in their order; returns the first contradiction between code and history.</summary>
    private NonDeterminismException? Take(
        IReadOnlyCollection<HistoryEvent> inputs,
        List<HistoryEvent> events,
        List<HistoryEvent> late,
        NonDeterminismException? mismatch
    )
    {
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
                TakeAfterEnd(input, _end, events, late);
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

        return mismatch;
    }

    /// <summary>Takes an input behind the end of the execution in the same turn.</summary>
    private void TakeAfterEnd(HistoryEvent input, ExecutionEnd end, List<HistoryEvent> events, List<HistoryEvent> late)
    {
        if (end.ContinueAsNew && input.Kind == EventKind.EventRaised && IsWanted(input))
            late.Add(input);
        // Suspensions and resumptions address the instance, not the execution that has just ended.
        else if (end.ContinueAsNew && (input.Kind is EventKind.ExecutionSuspended or EventKind.ExecutionResumed) && IsWanted(input))
            Apply(input);
        // The code failed before it handled these; a rewind finds them in the history. A rewind message with its reason is always
        // recorded.
        else if (
            (
                input.Kind == EventKind.ExecutionRewound
                || (end.Status == OrchestrationRuntimeStatus.Failed && IsKeptAfterFailure(input.Kind))
            ) && IsWanted(input)
        )
            events.Add(input);
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

    public void ContinueAsNew(string? input, bool preserveEvents, string? version) => _continueAsNew = (input, preserveEvents, version);

    private static ExecutionEnd Terminated(HistoryEvent input) =>
        new(OrchestrationRuntimeStatus.Terminated, input.Data, null) { TerminateChildren = input.Name == ControlMessages.Recursive };

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
}
