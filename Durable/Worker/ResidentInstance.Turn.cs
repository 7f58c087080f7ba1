using System.Diagnostics;
using Librarian.Durable.Engine;
using Librarian.Durable.Stores;

namespace Librarian.Durable.Worker;

internal sealed partial class ResidentInstance
{
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
        using var scope = services.Telemetry.Log.TurnScope(InstanceId, name);
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
            await services.Database.Triggers.HitAsync("turn.before-load", InstanceId);
            var refused = fresh ? CanRun() : (Runs: true, Failure: null);
            // An instance that ends without running consumes all its messages, and a termination may be behind the first page.
            var loaded = await services.Database.Queries.LoadAsync(
                InstanceId,
                fresh ? _instance.Identity.ExecutionId : null,
                worker.Lost,
                everything: !refused.Runs
            );
            inbox = loaded.Inbox;
            if (!refused.Runs)
            {
                // The results do not belong to this turn, and perhaps belong to another worker, so they go through the inbox.
                Complete(results);
                return await EndWithoutRunningAsync(refused.Failure, loaded.History, inbox);
            }

            if (fresh)
                inbox = await RebuildAsync(loaded.History, inbox);
            // The page is full, so there may be more messages.
            if (inbox.Count >= WorkQueries.Page)
                ExpectMessages();
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
            Complete(results);
            results = [];
        }

        var at = services.Database.Clock.Now;
        // A message gets the time of the turn that takes it, not the time at which it was sent.
        inputs = [.. inputs.Select(input => input with { At = at }), .. results.Select(result => result.ToEvent(at))];
        span?.SetTag("durabletask.turn.inputs", inputs.Count);
        if (inputs.Count == 0 && consumed.Count == 0)
            return null;
        var first = _rewind?.Kept.Count ?? execution.HistoryLength;
        var outcome = _rewind is null ? execution.RunTurn(at, inputs, _mismatch) : execution.RunRewoundTurn(at, _rewind, inputs);
        var resumes = inputs.Any(input => input.Kind == EventKind.ExecutionResumed);
        if ((resumes || _rewind is not null) && leftForLater)
            ExpectMessages();
        await CommitAsync(outcome, first, consumed, results, lost);
        _rewind = null;
        return !_closed;
    }

    /// <summary>Rebuilds the execution from its history; returns the messages for its first turn.</summary>
    private async Task<List<InboxMessage>> RebuildAsync(List<HistoryEvent> history, List<InboxMessage> inbox)
    {
        // Results that arrived after the end may fill the page before the message that rewinds the instance.
        if (HasEnded(history))
            inbox = await LoadEverythingAsync();
        Rebuild(history, inbox);
        // The instance will fail, and its history must then contain all its messages, because the end deletes the others.
        if (_mismatch is not null)
            inbox = await LoadEverythingAsync();
        return inbox;
    }

    private void ExpectMessages()
    {
        lock (_gate)
            _messages = true;
    }

    private void Complete(List<ActivityResult> results)
    {
        foreach (var result in results)
            services.Database.Completions.Complete(result);
    }

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
        var now = services.Database.Clock.Now;
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
}
