using System.Diagnostics;
using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Microsoft.DurableTask.Worker;

namespace Librarian.Durable.Worker;

/// <summary>
/// An instance in this worker's memory: a mailbox, and one loop that makes committed turns of messages and local results. Memory is a cache
/// (docs/spec/durable-engine.md#r3-memory-is-a-cache): after any exception from a commit the whole object is discarded, and the rows
/// decide.
/// </summary>
internal sealed class ResidentInstance(ClaimedInstance instance, WorkerIncarnation worker, WorkerServices services)
{
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
    private long _waitingSince = long.MaxValue;
    private Action? _begin;
    private string? _trace;

    // Created to check that the orchestrator exists; the first execution uses it.
    private ITaskOrchestrator? _unused;

    public string InstanceId => _instance.InstanceId;

    public long Claim => _instance.Claim;

    /// <summary>Delivers a local result; false if this object no longer accepts results.</summary>
    public bool TryDeliver(ActivityResult result)
    {
        lock (_gate)
        {
            if (_closed || result.Activity.ExecutionId != _instance.Identity.ExecutionId || result.Activity.Owner != _instance.Owner)
                return false;
            _results.Add(result);
        }

        _wake.Set();
        return true;
    }

    /// <summary>Notifies the instance that messages may be waiting; false if this object no longer reads them.</summary>
    public bool TryNotify()
    {
        lock (_gate)
        {
            if (_closed)
                return false;
            _messages = true;
        }

        _wake.Set();
        return true;
    }

    /// <summary>Wakes the loop, so that it notices that the worker is stopping.</summary>
    public void Wake() => _wake.Set();

    /// <summary>Makes the instance leave the memory if it has waited for <see cref="DurableTaskOptions.ResidentIdleTime"/>.</summary>
    public void LeaveIfIdle()
    {
        var since = Volatile.Read(ref _waitingSince);
        if (since == long.MaxValue || services.Time.GetElapsedTime(since) < services.Options.ResidentIdleTime)
            return;
        lock (_gate)
            _idle = true;
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
            if (!transient)
                worker.LastFaults[InstanceId] = fault.Message;
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
        var (results, hasMessages, idle) = Take();
        if (_execution is null || hasMessages || results.Count > 0)
        {
            BeginElsewhere();
            try
            {
                if (worker.Lost.IsCancellationRequested)
                    throw new OperationCanceledException("the lease was lost");
                using (await worker.EnterTurnAsync())
                {
                    if (await TurnAsync(results, hasMessages) is { } goOn)
                        return goOn;
                }
            }
            catch
            {
                // Wherever the turn failed, its results must not get lost: the activity's row stays this worker's, so the instance would
                // wait for the result as long as this worker lives. A result that is delivered twice finds no row the second time.
                PutBack(results);
                throw;
            }
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

    /// <summary>Begins the activity that this thread would have begun while waiting, on another thread: this one has other work.</summary>
    private void BeginElsewhere()
    {
        if (_begin is not { } begin)
            return;
        _begin = null;
        ThreadPool.UnsafeQueueUserWorkItem(static begin => begin(), begin, preferLocal: false);
    }

    /// <summary>Runs one turn. Null: there was nothing to do. False: the instance was released or has ended.</summary>
    private async Task<bool?> TurnAsync(List<ActivityResult> results, bool hasMessages)
    {
        var started = services.Time.GetTimestamp();
        var name = _instance.Identity.Name;
        using var scope = services.Logger.TurnScope(InstanceId, name);
        using var span = Telemetry.StartTurn(_instance);
        _trace = span?.Id ?? _instance.TraceParent;
        try
        {
            var goOn = await TurnAsync(results, hasMessages, span);
            if (goOn is not null)
                services.Telemetry.TurnEnded(name, "committed", started);
            // A read that found nothing is not a turn: it is neither counted nor exported.
            else if (span is not null)
                span.ActivityTraceFlags &= ~ActivityTraceFlags.Recorded;
            return goOn;
        }
        catch (Exception fault)
        {
            services.Telemetry.TurnEnded(name, fault is FenceException ? "fenced" : "failed", started);
            span?.SetStatus(ActivityStatusCode.Error, fault.Message);
            throw;
        }
    }

    private async Task<bool?> TurnAsync(List<ActivityResult> results, bool hasMessages, Activity? span)
    {
        var inbox = new List<InboxMessage>();
        if (_execution is null || hasMessages)
        {
            var fresh = _execution is null;
            await services.Triggers.HitAsync("turn.before-load", InstanceId);
            var refused = fresh ? CanRun() : (Runs: true, Failure: null);
            // An instance that ends without running consumes all its messages, and a termination may be behind the first page.
            var loaded = await services.Queries.LoadAsync(
                InstanceId,
                fresh ? _instance.Identity.ExecutionId : null,
                worker.Lost,
                everything: !refused.Runs
            );
            inbox = loaded.Inbox;
            if (!refused.Runs)
            {
                // The results do not belong to this turn, and perhaps belong to another worker, so they go through the inbox.
                foreach (var result in results)
                    services.Completions.Complete(result);
                return await EndWithoutRunningAsync(refused.Failure, loaded.History, inbox);
            }

            if (fresh)
            {
                // Results that arrived after the end may fill the page before the message that rewinds the instance.
                if (HasEnded(loaded.History))
                    inbox = await LoadEverythingAsync();
                Rebuild(loaded.History, inbox);
                // The instance will fail, and its history must then contain all its messages, because the end deletes the others.
                if (_mismatch is not null)
                    inbox = await LoadEverythingAsync();
            }

            // The page is full, so there may be more messages.
            if (inbox.Count >= WorkQueries.Page)
                lock (_gate)
                    _messages = true;
        }

        var (inputs, consumed, leftForLater) = Choose(inbox);
        var execution = _execution!;
        // After a mismatch the code does not know which activities are open; if the instance is rewound, that turn finds out.
        var lost =
            _mismatch is null && inbox.Exists(message => message.Event.Kind == EventKind.LocalActivityLost)
                ? await LostActivitiesAsync(execution)
                : [];
        var suspends = execution.IsSuspended || inputs.Any(input => input.Kind == EventKind.ExecutionSuspended);
        if (suspends && results.Count > 0)
        {
            // Kept in the inbox until the instance is resumed.
            foreach (var result in results)
                services.Completions.Complete(result);
            results = [];
        }

        var at = services.Clock.Now;
        // A message gets the time of the turn that takes it, not the time at which it was sent.
        inputs = [.. inputs.Select(input => input with { At = at }), .. results.Select(result => result.ToEvent(at))];
        span?.SetTag("durabletask.turn.inputs", inputs.Count);
        if (inputs.Count == 0 && consumed.Count == 0)
            return null;
        var first = _rewind?.Kept.Count ?? execution.HistoryLength;
        var outcome = _rewind is null ? execution.RunTurn(at, inputs, _mismatch) : execution.RunRewoundTurn(at, _rewind, inputs);
        var resumes = inputs.Any(input => input.Kind == EventKind.ExecutionResumed);
        if ((resumes || _rewind is not null) && leftForLater)
            lock (_gate)
                _messages = true;
        await CommitAsync(outcome, first, consumed, results, lost);
        _rewind = null;
        return !_closed;
    }

    /// <summary>
    /// Commits the turn's transaction, then applies its local consequences. After a crash before the commit nothing has happened and the
    /// messages are still there. After a crash following the commit, the rows contain everything; activities that were inserted as owned by
    /// this worker are freed when its lease has expired, and are delivered again.
    /// </summary>
    private async Task CommitAsync(
        TurnOutcome outcome,
        int first,
        List<long> consumed,
        List<ActivityResult> results,
        List<ActivityRow> lost
    )
    {
        var at = outcome.Events[0].At;
        var continues = outcome.End?.ContinueAsNew == true;
        var final = outcome.End is not null && !continues;
        var owned = new List<ScheduledTask>();
        var stay =
            !final
            && !worker.Stopping.IsCancellationRequested
            && (continues || (outcome.AwaitsWork && !outcome.Suspended && worker.HasCapacity));
        if (stay)
            owned = [.. outcome.Tasks.Where(task => worker.Activities.TryReserve(task))];
        if (outcome.End?.Status == OrchestrationRuntimeStatus.Terminated)
            lost = [];
        List<ActivityRow> rows =
        [
            .. outcome.Tasks.Select(task => owned.Contains(task) ? new ActivityRow(task, _instance.Owner, at, 1) : new(task, null, at, 0)),
        ];
        bool release;
        lock (_gate)
            release = final || (!stay && !_messages && _results.Count == 0);
        try
        {
            await services.Triggers.HitAsync("turn.before-commit", InstanceId);
            await services.Turns.CommitAsync(
                new(_instance, outcome, first, at, consumed, results, release)
                {
                    TraceParent = _trace,
                    Activities = rows,
                    LateActivities = [.. outcome.ReopenedTasks.Select(task => new ActivityRow(task, null, at, 0)), .. lost],
                },
                worker.Lost
            );
            await services.Triggers.HitAsync("turn.after-commit", InstanceId);
        }
        catch
        {
            foreach (var task in owned)
                worker.Activities.Unreserve(task.Queue);
            // The outcome is unknown: if the turn was committed, this worker owns these rows, and nothing runs them.
            foreach (var task in owned)
                services.Completions.Release(Claimed(task, at), TimeSpan.Zero, countsAsDelivery: false);
            throw;
        }

        worker.LastFaults.TryRemove(InstanceId, out _);
        // The next suspect may be claimed (docs/spec/durable-engine.md#r9-poison).
        if (_instance.Attempts > Schema.SuspectAfter)
            services.Signal.RaiseLocal();
        _instance = _instance with { Attempts = 0 };
        foreach (var result in results)
            worker.Activities.Settled(result.Activity);
        if (release)
            Close();
        if (final)
        {
            services.Telemetry.Ended(_instance.Identity.Name, outcome.End!.Status);
            services.Logger.InstanceEnded(InstanceId, _instance.Identity.Name, outcome.End.Status);
            if (outcome.End.Status == OrchestrationRuntimeStatus.Terminated)
                worker.Activities.CancelInstance(InstanceId);
        }

        for (var i = 0; i < owned.Count; i++)
        {
            // This thread begins one activity itself, because it has nothing else to do but wait.
            if (i < owned.Count - 1)
                worker.Activities.Start(Claimed(owned[i], at), reserved: true);
            else
                _begin = worker.Activities.Prepare(Claimed(owned[i], at));
        }

        if (continues)
        {
            List<ActivityResult> tooLate;
            lock (_gate)
            {
                // These results belong to the execution that has ended; the next one has tasks with the same numbers.
                tooLate = [.. _results];
                _results.Clear();
                var next = _instance.Identity with
                {
                    ExecutionId = _instance.Identity.ExecutionId + 1,
                    Version = outcome.End!.NextVersion ?? _instance.Identity.Version,
                };
                _instance = _instance with { Identity = next, CustomStatus = outcome.CustomStatus };
                _execution = null;
                _messages = true;
            }

            foreach (var result in tooLate)
                services.Completions.Complete(result);
        }

        // Waiters query the database at every change; turns between start and end are not changes for them.
        if (final || first == 0)
            services.Watch.Changed(InstanceId);
        if (final && _instance.Identity.ParentId is { } parent)
            worker.NotifyOrSignal(parent);
        if (outcome.Children.Count + outcome.ReopenedChildren.Count > 0)
            worker.NotifyOrSignal(InstanceId);
        if (
            outcome.Tasks.Count > owned.Count
            || lost.Count > 0
            || outcome.ReopenedTasks.Count > 0
            || outcome.ReopenedChildren.Count > 0
            || outcome.Children.Count > 0
            || outcome.SentEvents.Count > 0
            || outcome.End?.TerminateChildren == true
        )
            services.Signal.Raise();
        else if (outcome.Timers.Count > 0 || release)
            services.Signal.RaiseLocal();
    }

    /// <summary>
    /// The activities that an earlier release ran without rows (<see cref="RecoveryMarker"/>) and that its worker left behind: those that
    /// are scheduled and have neither row nor result.
    /// </summary>
    private async Task<List<ActivityRow>> LostActivitiesAsync(OrchestrationExecution execution)
    {
        var tracked = await services.Queries.TrackedTasksAsync(_instance.Identity, worker.Lost);
        return
        [
            .. execution
                .OpenActivities.Where(task => !tracked.Contains(task.TaskId))
                .Select(task => new ActivityRow(task, null, services.Clock.Now, 1)),
        ];
    }

    private ClaimedActivity Claimed(ScheduledTask task, long at) =>
        new(
            InstanceId,
            _instance.Identity.ExecutionId,
            task.TaskId,
            task.Name,
            task.Queue,
            task.Input,
            _instance.Owner,
            at,
            1,
            task.Version
        )
        {
            TraceParent = _trace,
        };

    /// <summary>
    /// Chooses the messages that this turn takes. Messages of older executions are consumed without effect
    /// (docs/spec/durable-engine.md#r8-stale-messages). While suspended, an instance only takes suspend (without effect), resume and
    /// terminate. After a resume the remaining messages wait for the next turn, so that the kept messages come in their order. They also
    /// wait for the turn after a rewound one, because only the rewound turn shows whether the instance is suspended.
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
            var taken = _rewind is not null
                ? kind is EventKind.ExecutionRewound or EventKind.ExecutionTerminated
                : !suspended || kind is EventKind.ExecutionSuspended or EventKind.ExecutionResumed or EventKind.ExecutionTerminated;
            if (!taken)
            {
                left = true;
                continue;
            }

            inputs.Add(message.Event);
            consumed.Add(message.Id);
            if (kind == EventKind.ExecutionSuspended)
                suspended = true;
            if (kind == EventKind.ExecutionResumed && _execution.IsSuspended && _mismatch is null)
            {
                left = true;
                break;
            }
        }

        return (inputs, consumed, left);
    }

    private async Task<List<InboxMessage>> LoadEverythingAsync() =>
        (await services.Queries.LoadAsync(InstanceId, null, worker.Lost, everything: true)).Inbox;

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
        if (history.Count > 0)
            services.Telemetry.Replayed(_instance.Identity.Name, history.Count);
        _execution = execution;
    }

    private OrchestrationExecution Create()
    {
        var orchestrator = _unused
            ?? services.Registry.CreateOrchestrator(_instance.Identity.Name, _instance.Identity.Version, services.Provider)!;
        _unused = null;
        var identity = _instance.Identity;
        var execution = new OrchestrationExecution(
            identity,
            orchestrator,
            services.Converter,
            services.LoggerFactory,
            _instance.CustomStatus
        );
        execution.Pump.OnEscape = () => services.Completions.Escaped(identity);
        return execution;
    }

    /// <summary>
    /// Whether this worker runs the instance. If not, the instance fails with the given failure; without one, another worker must run it.
    /// </summary>
    private (bool Runs, TaskFailureDetails? Failure) CanRun()
    {
        if (_instance.Attempts > services.Options.MaxDeliveries)
        {
            services.Logger.InstancePoisoned(InstanceId, _instance.Attempts - 1);
            worker.LastFaults.TryGetValue(InstanceId, out var last);
            return (
                false,
                new EngineFailure(
                    "Poison",
                    $"Poison: {_instance.Attempts - 1} turns in a row failed or killed their worker; "
                        + $"last error: {last ?? "the worker died"}. The history is intact; once the cause is gone, rewind the instance.",
                    null,
                    null
                )
                {
                    IsNonRetriable = true,
                }
            );
        }

        var (name, version) = (_instance.Identity.Name, _instance.Identity.Version);
        var versioning = services.Versioning;
        if (versioning.Takes(version))
        {
            _unused = services.Registry.CreateOrchestrator(name, version, services.Provider);
            return (_unused is not null, null);
        }

        return (
            false,
            versioning.FailureStrategy == DurableTaskWorkerOptions.VersionFailureStrategy.Reject
                ? null
                : new EngineFailure(
                    "VersionMismatch",
                    $"VersionMismatch: the instance has version '{version}', "
                        + $"this worker takes {versioning.MatchStrategy} '{versioning.Version}'. "
                        + "The history is intact; rewind the instance where a worker of its version runs.",
                    null,
                    null
                )
                {
                    IsNonRetriable = true,
                }
        );
    }

    /// <summary>Fails an instance that must not run, terminates one that this worker cannot run, or leaves it to another worker.</summary>
    private async Task<bool> EndWithoutRunningAsync(TaskFailureDetails? failure, List<HistoryEvent> history, List<InboxMessage> inbox)
    {
        var terminate = inbox.Find(message => message.Event.Kind == EventKind.ExecutionTerminated)?.Event;
        if (terminate is null && failure is null)
        {
            // Another worker has this version. The delay keeps this worker from claiming the instance again in a loop.
            Discard(services.Options.PollInterval, attemptsBack: 1);
            return false;
        }

        var end = terminate is not null
            ? new ExecutionEnd(OrchestrationRuntimeStatus.Terminated, terminate.Data, null)
            {
                TerminateChildren = terminate.Name == ControlMessages.Recursive,
            }
            : new ExecutionEnd(OrchestrationRuntimeStatus.Failed, null, failure);
        var now = services.Clock.Now;
        // The messages are recorded without being applied: a rewound instance starts from them.
        var kept = inbox
            .Where(message =>
                message.Event.Kind is not (EventKind.OrchestratorEscaped or EventKind.LocalActivityLost)
                && (message.ExecutionId is null || message.ExecutionId == _instance.Identity.ExecutionId)
            )
            .Select(message => message.Event with { At = now });
        // A failed rewind adds to the turn that failed the instance, because a rewind removes exactly one turn of the history.
        HistoryEvent[] turn = HasEnded(history) ? [] : [HistoryEvent.TurnStarted(now)];
        var outcome = new TurnOutcome
        {
            Events =
            [
                .. turn,
                .. kept,
                new(
                    EventKind.ExecutionCompleted,
                    -1,
                    end.Status.ToString(),
                    end.Output,
                    OrchestrationExecution.FailureText(end.Failure),
                    now
                ),
            ],
            End = end,
            CustomStatus = _instance.CustomStatus,
        };
        await CommitAsync(outcome, history.Count, [.. inbox.Select(message => message.Id)], [], []);
        return false;
    }

    private bool ShouldStay()
    {
        lock (_gate)
            return _messages || _results.Count > 0 || (_execution is { AwaitsWork: true, IsSuspended: false } && worker.HasCapacity);
    }

    private (List<ActivityResult> Results, bool HasMessages, bool Idle) Take()
    {
        lock (_gate)
        {
            List<ActivityResult> results = [.. _results];
            _results.Clear();
            var (hasMessages, idle) = (_messages, _idle);
            (_messages, _idle) = (false, false);
            return (results, hasMessages, idle);
        }
    }

    private void PutBack(List<ActivityResult> results)
    {
        lock (_gate)
            _results.AddRange(results);
    }

    /// <summary>
    /// Stops taking messages and results. Remaining results go through the inbox, and the poll after <see cref="WorkerIncarnation.Forget"/>
    /// finds messages whose wake-up came after the release.
    /// </summary>
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
            services.Completions.Complete(result);
    }

    private void Discard(TimeSpan delay, int attemptsBack)
    {
        if (_closed)
            return;
        Close();
        services.Completions.Release(_instance, delay, _instance.Attempts == 0 ? 0 : attemptsBack);
    }

    private TimeSpan Backoff(bool atLeastOne = false)
    {
        var attempt = Math.Max(_instance.Attempts, atLeastOne ? 1 : 0);
        if (attempt <= (atLeastOne ? 0 : 1))
            return TimeSpan.Zero;
        return TimeSpan.FromMilliseconds(
            Math.Min(TimeSpan.FromMinutes(5).TotalMilliseconds, services.Options.FirstBackoff.TotalMilliseconds * Math.Pow(2, attempt - 1))
        );
    }
}
