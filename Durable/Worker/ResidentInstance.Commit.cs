using Librarian.Durable.Engine;
using Librarian.Durable.Stores;

namespace Librarian.Durable.Worker;

internal sealed partial class ResidentInstance
{
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
        await WriteAsync(
            new(_instance, outcome, first, at, consumed, results, release)
            {
                TraceParent = _trace,
                Activities = rows,
                LateActivities = [.. outcome.ReopenedTasks.Select(task => new ActivityRow(task, null, at, 0)), .. lost],
            },
            owned
        );
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
            services.Telemetry.Log.InstanceEnded(InstanceId, _instance.Identity.Name, outcome.End.Status);
            if (outcome.End.Status == OrchestrationRuntimeStatus.Terminated)
                worker.Activities.CancelInstance(InstanceId);
        }

        BeginOwned(owned, at);
        if (continues)
            BeginNext(outcome);
        Signal(outcome, isVisible: final || first == 0, delivers: outcome.Tasks.Count > owned.Count || lost.Count > 0, release);
    }

    private void BeginOwned(List<ScheduledTask> owned, long at)
    {
        for (var i = 0; i < owned.Count; i++)
        {
            // This thread begins one activity itself, because it has nothing else to do but wait.
            if (i < owned.Count - 1)
                worker.Activities.Start(Claimed(owned[i], at), reserved: true);
            else
                _begin = worker.Activities.Prepare(Claimed(owned[i], at));
        }
    }

    /// <param name="turn">The turn.</param>
    /// <param name="owned">Activities that this worker runs at once.</param>
    private async Task WriteAsync(Turn turn, List<ScheduledTask> owned)
    {
        try
        {
            await services.Database.Triggers.HitAsync("turn.before-commit", InstanceId);
            await services.Database.Turns.CommitAsync(turn, worker.Lost);
            await services.Database.Triggers.HitAsync("turn.after-commit", InstanceId);
        }
        catch
        {
            foreach (var task in owned)
                worker.Activities.Unreserve(task.Queue);
            // The outcome is unknown: if the turn was committed, this worker owns these rows, and nothing runs them.
            foreach (var task in owned)
                services.Database.Completions.Release(Claimed(task, turn.At), TimeSpan.Zero, countsAsDelivery: false);
            throw;
        }
    }

    private void BeginNext(TurnOutcome outcome)
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

        Complete(tooLate);
    }

    /// <param name="outcome">What was committed.</param>
    /// <param name="isVisible">Whether the instance has started or ended.</param>
    /// <param name="delivers">Whether there are activities that any worker may take.</param>
    /// <param name="release">Whether the instance was released.</param>
    private void Signal(TurnOutcome outcome, bool isVisible, bool delivers, bool release)
    {
        // Waiters query the database at every change; turns between start and end are not changes for them.
        if (isVisible)
            services.Watch.Changed(InstanceId);
        if (outcome.End is { ContinueAsNew: false } && _instance.Identity.ParentId is { } parent)
            worker.NotifyOrSignal(parent);
        if (outcome.Children.Count + outcome.ReopenedChildren.Count > 0)
            worker.NotifyOrSignal(InstanceId);
        if (
            delivers
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
        var tracked = await services.Database.Queries.TrackedTasksAsync(_instance.Identity, worker.Lost);
        return
        [
            .. execution
                .OpenActivities.Where(task => !tracked.Contains(task.TaskId))
                .Select(task => new ActivityRow(task, null, services.Database.Clock.Now, 1)),
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
}
