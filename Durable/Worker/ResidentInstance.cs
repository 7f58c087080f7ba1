using Librarian.Durable.Engine;
using Librarian.Durable.Stores;

namespace Librarian.Durable.Worker;

/// <summary>
/// An instance in this worker's memory: a mailbox and one loop that turns messages and local results into committed turns. Memory is a
/// cache (rule R3): after any exception from a commit the whole object is discarded and rows decide.
/// </summary>
internal sealed class ResidentInstance(ClaimedInstance instance, WorkerIncarnation worker, WorkerServices services)
{
    private readonly Lock _gate = new();
    private readonly AsyncSignal _wake = new(services.Time);
    private readonly List<ActivityResult> _results = [];
    private ClaimedInstance _instance = instance;
    private OrchestrationExecution? _execution;
    private NonDeterminismException? _mismatch;
    private bool _messages = true;
    private bool _closed;

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
            Telemetry.Fenced.Add(1);
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
            worker.Forget(this);
        }
    }

    private async Task<bool> StepAsync()
    {
        var (results, look) = Take();
        if (_execution is null || look || results.Count > 0)
        {
            if (worker.Lost.IsCancellationRequested) throw new OperationCanceledException("the lease was lost");
            using (await worker.EnterTurnAsync())
            {
                if (await TurnAsync(results, look) is { } goOn) return goOn;
            }
        }

        if (worker.Stopping.IsCancellationRequested || !ShouldStay())
        {
            Discard(TimeSpan.Zero, attemptsBack: _execution is null ? 1 : 0);
            return false;
        }

        if (await _wake.WaitAsync(services.Options.ResidentIdleTime, CancellationToken.None)) return true;
        Discard(TimeSpan.Zero, attemptsBack: 0);
        return false;
    }

    /// <summary>One turn. Null: there was nothing to do. False: the instance was released or ended.</summary>
    private async Task<bool?> TurnAsync(List<ActivityResult> results, bool look)
    {
        var inbox = new List<InboxMessage>();
        if (_execution is null || look)
        {
            var fresh = _execution is null;
            var loaded = await services.Queries.LoadAsync(InstanceId, fresh ? _instance.Identity.ExecutionId : null, worker.Lost);
            inbox = loaded.Inbox;
            if (fresh && CannotRun() is { } forced) return await EndWithoutRunningAsync(forced, loaded.History.Count, inbox);
            if (fresh) Rebuild(loaded.History);
            // A full page: there may be more.
            if (inbox.Count >= 1000) lock (_gate) _messages = true;
        }

        var (inputs, consumed, leftForLater) = Choose(inbox);
        var execution = _execution!;
        var suspends = execution.IsSuspended || inputs.Any(input => input.Kind == EventKind.ExecutionSuspended);
        if (suspends && results.Count > 0)
        {
            // Kept in the inbox until it is resumed.
            foreach (var result in results) services.Completions.Complete(result);
            results = [];
        }

        var at = services.Clock.Now;
        inputs.AddRange(results.Select(result => result.ToEvent(at)));
        if (inputs.Count == 0 && consumed.Count == 0) return null;
        var first = execution.HistoryLength;
        TurnOutcome outcome;
        try
        {
            outcome = execution.RunTurn(at, inputs, _mismatch);
        }
        catch
        {
            PutBack(results);
            throw;
        }

        var resumes = inputs.Any(input => input.Kind == EventKind.ExecutionResumed);
        if (resumes && leftForLater) lock (_gate) _messages = true;
        await CommitAsync(outcome, first, consumed, results);
        return !_closed;
    }

    /// <summary>
    /// The turn's transaction, then its local consequences. Crash before the commit: nothing happened and messages are still there. After
    /// it: rows say everything; activities inserted as this worker's are reaped with it and delivered again.
    /// </summary>
    private async Task CommitAsync(TurnOutcome outcome, int first, List<long> consumed, List<ActivityResult> results)
    {
        var at = outcome.Events[0].At;
        var continues = outcome.End?.ContinueAsNew == true;
        var final = outcome.End is not null && !continues;
        var owned = new List<ScheduledTask>();
        var stay = !final && !worker.Stopping.IsCancellationRequested && (continues || (outcome.AwaitsWork && !outcome.Suspended && worker.HasRoom));
        if (stay) owned = [.. outcome.Tasks.Where(task => worker.Activities.TryReserve(task.Name, task.Queue))];
        bool release;
        lock (_gate) release = final || (!stay && !_messages && _results.Count == 0);
        try
        {
            await services.Triggers.HitAsync("turn.before-commit", InstanceId);
            await services.Turns.CommitAsync(
                new(_instance, outcome, first, at, consumed, results, owned.Select(task => task.TaskId).ToHashSet(), release), worker.Lost);
            await services.Triggers.HitAsync("turn.after-commit", InstanceId);
        }
        catch
        {
            foreach (var task in owned) worker.Activities.Unreserve(task.Queue);
            // Outcome unknown: where it did commit, these rows are marked as mine and nobody runs them.
            foreach (var task in owned) services.Completions.Release(Claimed(task, at), TimeSpan.Zero, countsAsDelivery: false);
            PutBack(results);
            throw;
        }

        Telemetry.Turns.Add(1);
        worker.LastFaults.TryRemove(InstanceId, out _);
        _instance = _instance with { Attempts = 0 };
        foreach (var result in results) worker.Activities.Settled(result.Activity);
        if (release) Close();
        if (final)
        {
            Telemetry.Ended.Add(1, new KeyValuePair<string, object?>("status", outcome.End!.Status.ToString()));
            services.Logger.InstanceEnded(InstanceId, _instance.Identity.Name, outcome.End.Status);
            if (outcome.End.Status == OrchestrationRuntimeStatus.Terminated) worker.Activities.CancelInstance(InstanceId);
        }

        foreach (var task in owned) worker.Activities.Start(Claimed(task, at), reserved: true);
        if (continues)
        {
            lock (_gate)
            {
                _instance = _instance with { Identity = _instance.Identity with { ExecutionId = _instance.Identity.ExecutionId + 1 } };
                _execution = null;
                _messages = true;
            }
        }

        services.Watch.Changed(InstanceId);
        if (final && _instance.Identity.ParentId is { } parent) worker.NotifyOrSignal(parent);
        if (outcome.Children.Count > 0) worker.NotifyOrSignal(InstanceId);
        if (outcome.Tasks.Count > owned.Count || outcome.Children.Count > 0 || outcome.SentEvents.Count > 0 || outcome.End?.TerminateChildren == true) services.Signal.Raise();
        else if (outcome.Timers.Count > 0 || release) services.Signal.RaiseLocal();
    }

    private ClaimedActivity Claimed(ScheduledTask task, long at) =>
        new(InstanceId, _instance.Identity.ExecutionId, task.TaskId, task.Name, task.Queue, task.Input, _instance.Owner, at, 1);

    /// <summary>
    /// Which messages this turn takes. Messages of older executions are consumed unapplied (rule R8). While suspended only control messages
    /// are taken; after a resume the rest waits for the next turn, so that the kept messages come in their order.
    /// </summary>
    private (List<HistoryEvent> Inputs, List<long> Consumed, bool LeftForLater) Choose(List<InboxMessage> inbox)
    {
        var inputs = new List<HistoryEvent>();
        var consumed = new List<long>();
        var suspended = _execution!.IsSuspended;
        var left = false;
        foreach (var message in inbox)
        {
            if (message.ExecutionId is { } execution && execution != _instance.Identity.ExecutionId)
            {
                consumed.Add(message.Id);
                continue;
            }

            var kind = message.Event.Kind;
            // A second suspension is used up with the first: kept, it would suspend the instance again right after its resume.
            if (suspended && kind is not (EventKind.ExecutionResumed or EventKind.ExecutionTerminated or EventKind.ExecutionSuspended))
            {
                left = true;
                continue;
            }

            inputs.Add(message.Event);
            consumed.Add(message.Id);
            if (kind == EventKind.ExecutionSuspended) suspended = true;
            if (kind == EventKind.ExecutionResumed && _execution.IsSuspended)
            {
                left = true;
                break;
            }
        }

        return (inputs, consumed, left);
    }

    private void Rebuild(List<HistoryEvent> history)
    {
        var orchestrator = services.Registry.Orchestrators[_instance.Identity.Name](services.Provider);
        var execution = new OrchestrationExecution(_instance.Identity, orchestrator, services.Converter, services.LoggerFactory, _instance.CustomStatus);
        _mismatch = execution.Replay(history);
        _execution = execution;
    }

    private string? CannotRun()
    {
        if (_instance.Attempts > services.Options.MaxDeliveries)
        {
            services.Logger.InstancePoisoned(InstanceId, _instance.Attempts - 1);
            worker.LastFaults.TryGetValue(InstanceId, out var last);
            return $"Poison: {_instance.Attempts - 1} turns in a row failed or killed their worker; last error: {last ?? "the worker died"}. The history is intact.";
        }

        return services.Registry.Orchestrators.ContainsKey(_instance.Identity.Name) ? null : "";
    }

    /// <summary>Ends a poisoned instance, or terminates one whose orchestrator this worker does not have.</summary>
    private async Task<bool> EndWithoutRunningAsync(string poison, int historyLength, List<InboxMessage> inbox)
    {
        var terminate = inbox.Find(message => message.Event.Kind == EventKind.ExecutionTerminated)?.Event;
        if (terminate is null && poison.Length == 0)
        {
            Discard(TimeSpan.Zero, attemptsBack: 1);
            return false;
        }

        var end = terminate is not null
            ? new ExecutionEnd(OrchestrationRuntimeStatus.Terminated, terminate.Data, null) { TerminateChildren = terminate.Name == ControlMessages.Recursive }
            : new ExecutionEnd(OrchestrationRuntimeStatus.Failed, null, new("Poison", poison, null, null) { IsNonRetriable = true });
        var now = services.Clock.Now;
        var outcome = new TurnOutcome
        {
            Events = [HistoryEvent.TurnStarted(now), new(EventKind.ExecutionCompleted, -1, end.Status.ToString(), end.Output, OrchestrationExecution.FailureText(end.Failure), now)],
            End = end,
            CustomStatus = _instance.CustomStatus,
        };
        await CommitAsync(outcome, historyLength, [.. inbox.Select(message => message.Id)], []);
        return false;
    }

    private bool ShouldStay()
    {
        lock (_gate) return _messages || _results.Count > 0 || (_execution is { AwaitsWork: true, IsSuspended: false } && worker.HasRoom);
    }

    private (List<ActivityResult> Results, bool Look) Take()
    {
        lock (_gate)
        {
            List<ActivityResult> results = [.. _results];
            _results.Clear();
            var look = _messages;
            _messages = false;
            return (results, look);
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

        foreach (var result in left) services.Completions.Complete(result);
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
