using System.Diagnostics;
using Librarian.Durable.Engine;
using Librarian.Durable.Stores;

namespace Librarian.Durable.Worker;

/// <summary>
/// An instance in this worker's memory: a mailbox and one loop that turns messages and local results into committed turns. Memory is a
/// cache (rule R3): after any exception from a commit the whole object is discarded and rows decide.
/// </summary>
internal sealed partial class ResidentInstance(ClaimedInstance instance, WorkerIncarnation worker, WorkerServices services)
{
    /// <summary>How old the time of the last change may get in the instance's row while it goes from one quick step to the next, in ms.</summary>
    private const long RowAge = 1000;

    private readonly Lock _gate = new();
    private readonly MailboxSignal _wake = new();
    private readonly List<ActivityResult> _results = [];
    private ClaimedInstance _instance = instance;
    private OrchestrationExecution? _execution;
    private NonDeterminismException? _mismatch;
    private RewindPlan? _rewind;
    private bool _messages = true;
    private bool _closed;
    private bool _idle;
    // When the instance's row was last written from here, and the custom status then.
    private long _rowAt;
    private string? _rowCustomStatus;
    private long _waitingSince = long.MaxValue;
    private Action? _begin;
    private string? _trace;

    public string InstanceId => _instance.InstanceId;

    public long Claim => _instance.Claim;

    /// <summary>Hands over a local result; false when this object takes no more.</summary>
    public bool TryDeliver(ActivityResult result)
    {
        lock (_gate)
        {
            if (_closed || result.Activity.ExecutionId != _instance.Identity.ExecutionId || result.Activity.Owner != _instance.Owner) return false;
            _results.Add(result);
        }

        _wake.Set();
        return true;
    }

    /// <summary>Says that messages may be waiting; false when this object looks no more.</summary>
    public bool TryNotify()
    {
        lock (_gate)
        {
            if (_closed) return false;
            _messages = true;
        }

        _wake.Set();
        return true;
    }

    /// <summary>Lets the loop see that the worker is stopping.</summary>
    public void Wake() => _wake.Set();

    /// <summary>Has the instance leave the memory when it has been waiting for so long (<see cref="DurableTaskOptions.ResidentIdleTime"/>).</summary>
    public void LeaveIfIdle()
    {
        var since = Volatile.Read(ref _waitingSince);
        if (since == long.MaxValue || services.Time.GetElapsedTime(since) < services.Options.ResidentIdleTime) return;
        lock (_gate) _idle = true;
        _wake.Set();
    }

    public async Task RunAsync()
    {
        try
        {
            while (await StepAsync())
            {
                // The loop's state is in the fields.
            }
        }
        catch (FenceException)
        {
            services.Telemetry.Fenced(_instance.Identity.Name);
            services.Logger.TurnFenced(InstanceId);
            Discard(Backoff(), attemptsBack: 0);
        }
        catch (Exception fault)
        {
            var transient = services.Store.IsTransient(fault) || worker.Stopping.IsCancellationRequested;
            var delay = transient ? TimeSpan.Zero : Backoff(atLeastOne: true);
            services.Logger.TurnFailed(fault, InstanceId, _instance.Attempts, delay);
            if (!transient) worker.LastFaults[InstanceId] = fault.Message;
            Discard(delay, attemptsBack: transient ? 1 : 0);
        }
        finally
        {
            BeginElsewhere();
            worker.Forget(this);
        }
    }

    private async Task<bool> StepAsync()
    {
        var (results, look, idle, place) = Take();
        if (_execution is null || look || results.Count > 0)
        {
            BeginElsewhere();
            try
            {
                if (worker.Lost.IsCancellationRequested) throw new OperationCanceledException("the lease was lost");
                using (await worker.EnterTurnAsync())
                {
                    if (await TurnAsync(results, look) is { } goOn) return goOn;
                }
            }
            catch
            {
                // Wherever it failed: a result that is in nobody's hands is waited for as long as this worker lives, because the activity's row stays its
                // own. Handed over a second time it finds no row.
                PutBack(results);
                throw;
            }
        }

        if (place && _local is { } local)
        {
            using (await worker.EnterTurnAsync()) await PlaceAsync(local);
        }

        if (worker.Stopping.IsCancellationRequested || idle || !ShouldStay())
        {
            Discard(TimeSpan.Zero, attemptsBack: _execution is null ? 1 : 0);
            return false;
        }

        var begin = _begin;
        _begin = null;
        Volatile.Write(ref _waitingSince, services.Time.GetTimestamp());
        await _wake.WaitAsync(begin);
        Volatile.Write(ref _waitingSince, long.MaxValue);
        return true;
    }

    /// <summary>Begins the activity that this thread would have begun while it waits: it has something else to do.</summary>
    private void BeginElsewhere()
    {
        if (_begin is not { } begin) return;
        _begin = null;
        ThreadPool.UnsafeQueueUserWorkItem(static begin => begin(), begin, preferLocal: false);
    }

    /// <summary>One turn. Null: there was nothing to do. False: the instance was released or ended.</summary>
    private async Task<bool?> TurnAsync(List<ActivityResult> results, bool look)
    {
        var started = services.Time.GetTimestamp();
        var name = _instance.Identity.Name;
        using var scope = services.Logger.TurnScope(InstanceId, name);
        using var span = Telemetry.StartTurn(_instance);
        _trace = span?.Id ?? _instance.TraceParent;
        try
        {
            var goOn = await TurnAsync(results, look, span);
            if (goOn is not null) services.Telemetry.TurnEnded(name, "committed", started);
            // A look that found nothing is no turn: it is neither counted nor exported.
            else if (span is not null) span.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
            return goOn;
        }
        catch (Exception fault)
        {
            services.Telemetry.TurnEnded(name, fault is FenceException ? "fenced" : "failed", started);
            span?.SetStatus(ActivityStatusCode.Error, fault.Message);
            throw;
        }
    }

    private async Task<bool?> TurnAsync(List<ActivityResult> results, bool look, Activity? span)
    {
        var inbox = new List<InboxMessage>();
        if (_execution is null || look)
        {
            var fresh = _execution is null;
            await services.Triggers.HitAsync("turn.before-load", InstanceId);
            var refused = fresh ? CanRun() : (Runs: true, Failure: null);
            // What ends without running takes all its messages along, and may have a termination behind the first page.
            var loaded = await services.Queries.LoadAsync(InstanceId, fresh ? _instance.Identity.ExecutionId : null, worker.Lost, everything: !refused.Runs);
            inbox = loaded.Inbox;
            if (!refused.Runs)
            {
                // Not this turn's, and perhaps another worker's: through the inbox.
                foreach (var result in results) services.Completions.Complete(result);
                return await EndWithoutRunningAsync(refused.Failure, loaded.History, inbox);
            }

            if (fresh)
            {
                // Results that came after the end may fill the page before the message that rewinds the instance.
                if (HasEnded(loaded.History)) inbox = await LoadEverythingAsync();
                Rebuild(loaded.History, inbox);
                // It will fail, and then all its messages must be in its history: the end takes the others away.
                if (_mismatch is not null) inbox = await LoadEverythingAsync();
            }

            // A full page: there may be more.
            if (inbox.Count >= WorkQueries.Page) lock (_gate) _messages = true;
        }

        var (inputs, consumed, leftForLater) = Choose(inbox);
        var execution = _execution!;
        var standby = _local is not null;
        List<ActivityRow> late = [];
        if (inbox.Exists(message => message.Event.Kind == EventKind.LocalActivityLost))
        {
            standby = false;
            // Code that contradicts its history says nothing of what is out; should the instance be rewound, the turn that does it finds that.
            if (_mismatch is null) await FindLostAsync(execution, results, late);
        }

        var suspends = execution.IsSuspended || inputs.Any(input => input.Kind == EventKind.ExecutionSuspended);
        List<ActivityResult> kept = [];
        if (suspends && results.Count > 0)
        {
            // Kept in the inbox until it is resumed; what has no row gets one with this turn.
            kept = results.FindAll(result => result.Activity == _local);
            foreach (var result in results.Except(kept)) services.Completions.Complete(result);
            results = [];
        }

        var at = services.Clock.Now;
        // Messages get the time of the turn that takes them; when they were sent is the sender's matter.
        inputs = [.. inputs.Select(input => input with { At = at }), .. results.Select(result => result.ToEvent(at))];
        span?.SetTag("durabletask.turn.inputs", inputs.Count);
        if (inputs.Count == 0 && consumed.Count == 0) return null;
        var first = _rewind?.Kept.Count ?? execution.HistoryLength;
        var outcome = _rewind is null ? execution.RunTurn(at, inputs, _mismatch) : execution.RunRewoundTurn(at, _rewind, inputs);
        var resumes = inputs.Any(input => input.Kind == EventKind.ExecutionResumed);
        if ((resumes || _rewind is not null) && leftForLater) lock (_gate) _messages = true;
        await CommitAsync(outcome, first, consumed, results, late, standby);
        foreach (var result in kept)
        {
            // Suspended and resumed in one turn: it still has no row.
            if (result.Activity == _local) PutBack([result]);
            else services.Completions.Complete(result);
        }

        _rewind = null;
        return !_closed;
    }

    /// <summary>
    /// The turn's transaction, then its local consequences. Crash before the commit: nothing happened and messages are still there. After
    /// it: rows say everything; activities inserted as this worker's are reaped with it and delivered again, and for one without a row the standby
    /// message wakes the instance.
    /// </summary>
    private async Task CommitAsync(TurnOutcome outcome, int first, List<long> consumed, List<ActivityResult> results, List<ActivityRow> late, bool standby)
    {
        var at = outcome.Events[0].At;
        var identity = _instance.Identity;
        var continues = outcome.End?.ContinueAsNew == true;
        var final = outcome.End is not null && !continues;
        var owned = new List<ScheduledTask>();
        var stay = !final && !worker.Stopping.IsCancellationRequested && (continues || (outcome.AwaitsWork && !outcome.Suspended && worker.HasRoom));
        if (stay) owned = [.. outcome.Tasks.Where(task => worker.Activities.TryReserve(task))];
        // One activity at a time may be without a row, and only while the instance stays here.
        var local = _local is not null && !results.Exists(result => result.Activity == _local) ? _local : null;
        var begun = stay && !continues && local is null && outcome.Tasks is [var only] && owned.Count == 1 && worker.Activities.IsQuick(only) ? Claimed(only, at) : null;
        var placed = local is not null && (!stay || continues) ? local : null;
        if (placed is not null) late = [.. late, new(placed.Task, placed.Owner, placed.Claim, placed.Attempts)];
        if (outcome.End?.Status == OrchestrationRuntimeStatus.Terminated) late = [];
        var needed = begun is not null || (local is not null && placed is null && !final);
        var change = needed == standby ? StandbyChange.None : needed ? StandbyChange.Set : StandbyChange.Clear;
        var current = _instance.Attempts == 0 && at - _rowAt < RowAge && outcome.CustomStatus == _rowCustomStatus;
        List<ActivityRow> rows = [.. outcome.Tasks.Where(task => task.TaskId != begun?.TaskId).Select(task => owned.Contains(task) ? new ActivityRow(task, _instance.Owner, at, 1) : new(task, null, at, 0))];
        bool release;
        lock (_gate) release = final || (!stay && !_messages && _results.Count == 0);
        try
        {
            await services.Triggers.HitAsync("turn.before-commit", InstanceId);
            await services.Turns.CommitAsync(
                new(_instance, outcome, first, at, consumed, results.FindAll(result => result.Activity != _local), release)
                {
                    TraceParent = _trace,
                    Activities = rows,
                    LateActivities = [.. outcome.ReopenedTasks.Select(task => new ActivityRow(task, null, at, 0)), .. late],
                    Standby = change,
                    RowIsCurrent = current,
                }, worker.Lost);
            await services.Triggers.HitAsync("turn.after-commit", InstanceId);
        }
        catch
        {
            foreach (var task in owned) worker.Activities.Unreserve(task.Queue);
            // Outcome unknown: where it did commit, these rows are marked as mine and nobody runs them.
            foreach (var task in owned) services.Completions.Release(Claimed(task, at), TimeSpan.Zero, countsAsDelivery: false);
            throw;
        }

        worker.LastFaults.TryRemove(InstanceId, out _);
        // The next suspect may come (rule R9).
        if (_instance.Attempts > Schema.SuspectAfter) services.Signal.RaiseLocal();
        _instance = _instance with { Attempts = 0 };
        foreach (var result in results) worker.Activities.Settled(result.Activity);
        foreach (var row in late.Where(row => row.Owner is not null)) worker.Activities.Placed(identity, row.Task.TaskId, row.Claim);
        _local = begun ?? (needed ? local : null);
        if (!stay || continues) _rowAt = 0;
        else if (!current) (_rowAt, _rowCustomStatus) = (at, outcome.CustomStatus);
        if (release) Close();
        if (final)
        {
            services.Telemetry.Ended(_instance.Identity.Name, outcome.End!.Status);
            services.Logger.InstanceEnded(InstanceId, _instance.Identity.Name, outcome.End.Status);
            if (outcome.End.Status == OrchestrationRuntimeStatus.Terminated) worker.Activities.CancelInstance(InstanceId);
        }

        for (var i = 0; i < owned.Count; i++)
        {
            // One is begun by this thread, which has nothing to do but wait for it.
            if (i < owned.Count - 1) worker.Activities.Start(Claimed(owned[i], at), reserved: true);
            else _begin = worker.Activities.Prepare(begun ?? Claimed(owned[i], at), local: begun is not null);
        }

        if (continues)
        {
            List<ActivityResult> tooLate;
            lock (_gate)
            {
                // Of the execution that is over; the next one has tasks of the same numbers.
                tooLate = [.. _results];
                _results.Clear();
                var next = _instance.Identity with { ExecutionId = _instance.Identity.ExecutionId + 1, Version = outcome.End!.NextVersion ?? _instance.Identity.Version };
                _instance = _instance with { Identity = next, CustomStatus = outcome.CustomStatus };
                _execution = null;
                _messages = true;
            }

            foreach (var result in tooLate) services.Completions.Complete(result);
        }

        // Waiters ask the database at every change; the turns between start and end are none to them.
        if (final || first == 0) services.Watch.Changed(InstanceId);
        if (final && _instance.Identity.ParentId is { } parent) worker.NotifyOrSignal(parent);
        if (outcome.Children.Count + outcome.ReopenedChildren.Count > 0) worker.NotifyOrSignal(InstanceId);
        if (outcome.Tasks.Count > owned.Count || late.Count > 0 || outcome.ReopenedTasks.Count > 0 || outcome.ReopenedChildren.Count > 0 || outcome.Children.Count > 0 || outcome.SentEvents.Count > 0 || outcome.End?.TerminateChildren == true) services.Signal.Raise();
        else if (outcome.Timers.Count > 0 || release) services.Signal.RaiseLocal();
    }

    private ClaimedActivity Claimed(ScheduledTask task, long at) =>
        new(InstanceId, _instance.Identity.ExecutionId, task.TaskId, task.Name, task.Queue, task.Input, _instance.Owner, at, 1, task.Version) { TraceParent = _trace };

    /// <summary>
    /// Which messages this turn takes. Messages of older executions are consumed unapplied (rule R8). While suspended only suspend (again: no effect), resume and
    /// terminate are taken; after a resume the rest waits for the next turn, so that the kept messages come in their order. It also waits for the turn after a
    /// rewound one, which alone can tell whether the instance is suspended.
    /// </summary>
    private (List<HistoryEvent> Inputs, List<long> Consumed, bool LeftForLater) Choose(List<InboxMessage> inbox)
    {
        var inputs = new List<HistoryEvent>();
        var consumed = new List<long>();
        var suspended = _execution!.IsSuspended && _mismatch is null;
        var left = false;
        foreach (var message in inbox)
        {
            if (message.Event.Kind == EventKind.LocalActivityLost)
            {
                consumed.Add(message.Id);
                continue;
            }

            if (message.ExecutionId is { } execution && execution != _instance.Identity.ExecutionId)
            {
                consumed.Add(message.Id);
                continue;
            }

            var kind = message.Event.Kind;
            var taken = _rewind is not null ? kind is EventKind.ExecutionRewound or EventKind.ExecutionTerminated
                : !suspended || kind is EventKind.ExecutionSuspended or EventKind.ExecutionResumed or EventKind.ExecutionTerminated;
            if (!taken)
            {
                left = true;
                continue;
            }

            inputs.Add(message.Event);
            consumed.Add(message.Id);
            if (kind == EventKind.ExecutionSuspended) suspended = true;
            if (kind == EventKind.ExecutionResumed && _execution.IsSuspended && _mismatch is null)
            {
                left = true;
                break;
            }
        }

        return (inputs, consumed, left);
    }

    private async Task<List<InboxMessage>> LoadEverythingAsync() => (await services.Queries.LoadAsync(InstanceId, null, worker.Lost, everything: true)).Inbox;

    private static bool HasEnded(List<HistoryEvent> history) => history is [.., { Kind: EventKind.ExecutionCompleted }];

    private void Rebuild(List<HistoryEvent> history, List<InboxMessage> inbox)
    {
        if (HasEnded(history) && inbox.Exists(message => message.Event.Kind == EventKind.ExecutionRewound))
        {
            _rewind = RewindPlan.Make(history, Create);
            _execution = _rewind.Execution;
            return;
        }

        var execution = Create();
        _mismatch = execution.Replay(history);
        if (history.Count > 0) services.Telemetry.Replayed(_instance.Identity.Name, history.Count);
        _execution = execution;
    }

    private OrchestrationExecution Create()
    {
        var orchestrator = services.Registry.FindOrchestrator(_instance.Identity.Name, _instance.Identity.Version)!(services.Provider);
        var identity = _instance.Identity;
        var execution = new OrchestrationExecution(identity, orchestrator, services.Converter, services.LoggerFactory, _instance.CustomStatus);
        execution.Pump.OnEscape = () => services.Completions.Escaped(identity);
        return execution;
    }

    /// <summary>Why this worker does not run the instance: it must fail, or (no failure given) it is another worker's.</summary>
    private (bool Runs, TaskFailureDetails? Failure) CanRun()
    {
        if (_instance.Attempts > services.Options.MaxDeliveries)
        {
            services.Logger.InstancePoisoned(InstanceId, _instance.Attempts - 1);
            worker.LastFaults.TryGetValue(InstanceId, out var last);
            return (false, new("Poison", $"Poison: {_instance.Attempts - 1} turns in a row failed or killed their worker; last error: {last ?? "the worker died"}. The history is intact; once the cause is gone, rewind the instance.",
                null, null)
            { IsNonRetriable = true });
        }

        var (name, version) = (_instance.Identity.Name, _instance.Identity.Version);
        var versioning = services.Options.Versioning;
        if (versioning.Takes(version)) return (services.Registry.FindOrchestrator(name, version) is not null, null);
        return (false, versioning.FailureStrategy == VersionFailureStrategy.Reject ? null : new("VersionMismatch",
            $"VersionMismatch: the instance has version '{version}', this worker takes {versioning.MatchStrategy} '{versioning.Version}'. The history is intact; rewind the instance where a worker of its version runs.", null, null)
        { IsNonRetriable = true });
    }

    /// <summary>Ends an instance that must not run, terminates one that this worker could not run, or leaves it to another.</summary>
    private async Task<bool> EndWithoutRunningAsync(TaskFailureDetails? failure, List<HistoryEvent> history, List<InboxMessage> inbox)
    {
        var terminate = inbox.Find(message => message.Event.Kind == EventKind.ExecutionTerminated)?.Event;
        if (terminate is null && failure is null)
        {
            // Another version's: not at once again, or this worker would claim it in a circle.
            Discard(services.Options.PollInterval, attemptsBack: 1);
            return false;
        }

        var end = terminate is not null
            ? new ExecutionEnd(OrchestrationRuntimeStatus.Terminated, terminate.Data, null) { TerminateChildren = terminate.Name == ControlMessages.Recursive }
            : new ExecutionEnd(OrchestrationRuntimeStatus.Failed, null, failure);
        var now = services.Clock.Now;
        // The messages are recorded unapplied: a rewound instance starts from them.
        var kept = inbox.Where(message => message.Event.Kind is not (EventKind.OrchestratorEscaped or EventKind.LocalActivityLost) && (message.ExecutionId is null || message.ExecutionId == _instance.Identity.ExecutionId))
            .Select(message => message.Event with { At = now });
        // One that was to be rewound joins the turn that failed it: a rewind takes one turn off the history.
        HistoryEvent[] turn = HasEnded(history) ? [] : [HistoryEvent.TurnStarted(now)];
        var outcome = new TurnOutcome
        {
            Events = [.. turn, .. kept, new(EventKind.ExecutionCompleted, -1, end.Status.ToString(), end.Output, OrchestrationExecution.FailureText(end.Failure), now)],
            End = end,
            CustomStatus = _instance.CustomStatus,
        };
        await CommitAsync(outcome, history.Count, [.. inbox.Select(message => message.Id)], [], [], standby: false);
        return false;
    }

    private bool ShouldStay()
    {
        lock (_gate) return _messages || _results.Count > 0 || (_execution is { AwaitsWork: true, IsSuspended: false } && worker.HasRoom);
    }

    private (List<ActivityResult> Results, bool Look, bool Idle, bool Place) Take()
    {
        lock (_gate)
        {
            List<ActivityResult> results = [.. _results];
            _results.Clear();
            var (look, idle, place) = (_messages, _idle, _place);
            (_messages, _idle, _place) = (false, false, false);
            return (results, look, idle, place);
        }
    }

    private void PutBack(List<ActivityResult> results)
    {
        lock (_gate) _results.AddRange(results);
    }

    /// <summary>Stops taking messages; what is left in the mailbox goes through the inbox, and one more look covers the rest (fault: wake after release).</summary>
    private void Close()
    {
        List<ActivityResult> left;
        lock (_gate)
        {
            _closed = true;
            left = [.. _results];
            _results.Clear();
        }

        foreach (var result in left)
        {
            if (result.Activity == _local) worker.Activities.Park(result);
            else services.Completions.Complete(result);
        }
    }

    private void Discard(TimeSpan delay, int attemptsBack)
    {
        if (_closed) return;
        Close();
        services.Completions.Release(_instance, delay, _instance.Attempts == 0 ? 0 : attemptsBack);
    }

    private TimeSpan Backoff(bool atLeastOne = false)
    {
        var attempt = Math.Max(_instance.Attempts, atLeastOne ? 1 : 0);
        if (attempt <= (atLeastOne ? 0 : 1)) return TimeSpan.Zero;
        return TimeSpan.FromMilliseconds(Math.Min(TimeSpan.FromMinutes(5).TotalMilliseconds, services.Options.FirstBackoff.TotalMilliseconds * Math.Pow(2, attempt - 1)));
    }
}
