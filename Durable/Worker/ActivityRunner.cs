using System.Collections.Concurrent;
using System.Data.Common;
using System.Diagnostics;
using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Worker;

/// <summary>
/// Runs the activities of one worker incarnation. It knows each activity until its row is settled, so that the reconcile sweep can
/// distinguish a running activity from a lost one.
/// </summary>
internal sealed class ActivityRunner(
    IServiceScopeFactory scopes,
    TaskRegistry registry,
    DurableStore store,
    WorkQueries queries,
    CompletionQueue completions,
    DataConverter converter,
    DurableTaskOptions options,
    TimeProvider time,
    TurnTriggers triggers,
    Telemetry telemetry,
    ILogger<ActivityRunner> logger
)
{
    private readonly ConcurrentDictionary<(string, long, int), Running> _known = new();
    private readonly ConcurrentDictionary<Running, bool> _reports = new();
    private int _reporting;
    private int _ending;
    private readonly Dictionary<string, QueueSlots> _slots = options
        .Queues.Append(new("", options.MaxConcurrentActivities))
        .ToDictionary(queue => queue.Key, queue => new QueueSlots(queue.Value), StringComparer.Ordinal);

    /// <summary>Passes a result to its instance; false if the instance is not in memory, so the result must go through the inbox.</summary>
    public required Func<ActivityResult, bool> Deliver { get; init; }

    /// <summary>Called when a result was committed to an instance's inbox.</summary>
    public required Action<string> Posted { get; init; }

    /// <summary>Called when a slot is free in a queue that had more work than slots, or when the next suspect may be claimed.</summary>
    public required Action SlotFreed { get; init; }

    public IReadOnlyDictionary<string, QueueSlots> Slots => _slots;

    public int RunningCount => _known.Values.Count(running => !running.IsDone);

    public IReadOnlyList<(string Queue, int Free)> FreeSlots => [.. _slots.Select(slot => (slot.Key, slot.Value.Free))];

    /// <summary>Reserves a slot for an activity that this worker can run.</summary>
    public bool TryReserve(ScheduledTask task) =>
        registry.HasActivity(task.Name) && _slots.TryGetValue(task.Queue, out var slots) && slots.TryTake();

    /// <summary>Records which queues returned as much work as they had free slots.</summary>
    public void NoteClaims(IReadOnlyList<(string Queue, int Free)> asked, IReadOnlyCollection<ClaimedActivity> got)
    {
        foreach (var (queue, free) in asked)
            _slots[queue].HasWaitingWork = got.Count(activity => activity.Queue == queue) >= free;
    }

    public void Unreserve(string queue) => _slots[queue].Return();

    public bool Knows(string instanceId, long executionId, int taskId, long claim) =>
        _known.TryGetValue((instanceId, executionId, taskId), out var running) && running.Activity.Claim == claim;

    /// <summary>Starts a claimed activity. <paramref name="reserved"/>: its slot is already reserved.</summary>
    public void Start(ClaimedActivity activity, bool reserved)
    {
        var running = Add(activity);
        void Begin() => running.Task = Task.Run(() => RunAsync(running), CancellationToken.None);
        if (reserved)
            Begin();
        else
            _slots[activity.Queue].WhenFree(Begin);
    }

    /// <summary>
    /// As above, for an activity with a reserved slot. The caller begins it, and it runs on the caller's thread until it first waits.
    /// </summary>
    public Action Prepare(ClaimedActivity activity)
    {
        var running = Add(activity);
        return () => running.Task = RunAsync(running);
    }

    /// <summary>Forgets an activity whose row was deleted or released.</summary>
    public void Settled(ClaimedActivity activity)
    {
        if (_known.TryGetValue(Key(activity), out var running) && running.Activity.Claim == activity.Claim)
            _known.TryRemove(new(Key(activity), running));
        // The next suspect may be claimed (docs/spec/durable-engine.md#r9-poison).
        if (activity.Attempts > Schema.SuspectAfter)
            SlotFreed();
    }

    /// <summary>Cancels everything that runs, and everything that a turn which is already committing begins from now on.</summary>
    public void CancelAll()
    {
        // A full fence: if a thread that adds an activity does not see the flag, the loop below sees its activity.
        Interlocked.Exchange(ref _ending, 1);
        foreach (var running in _known.Values)
            running.Cancel();
    }

    /// <summary>Cancels the activities of an instance that no longer needs them.</summary>
    public void CancelInstance(string instanceId)
    {
        foreach (
            var running in _known.Values.Where(running => string.Equals(running.Activity.InstanceId, instanceId, StringComparison.Ordinal))
        )
            running.Cancel();
    }

    /// <summary>
    /// Cancels activities that have run for longer than <paramref name="age"/> and that this worker does not own in the database.
    /// </summary>
    public void CancelUnless(IReadOnlySet<(string, long, int, long)> owned, TimeSpan age)
    {
        foreach (var running in _known.Values)
        {
            var activity = running.Activity;
            if (
                !owned.Contains((activity.InstanceId, activity.ExecutionId, activity.TaskId, activity.Claim))
                && time.GetElapsedTime(running.StartedAt) > age
            )
                running.Cancel();
        }
    }

    public Task WhenIdleAsync() => Task.WhenAll(_known.Values.Select(running => running.Task));

    private Running Add(ClaimedActivity activity)
    {
        var running = new Running(activity, time.GetTimestamp());
        // Others freed the activity and this worker claimed it again before it noticed: nothing else would find the earlier delivery.
        if (_known.TryGetValue(Key(activity), out var earlier))
            earlier.Cancel();
        _known[Key(activity)] = running;
        if (Volatile.Read(ref _ending) == 1)
            running.Cancel();
        return running;
    }

    private static (string, long, int) Key(ClaimedActivity activity) => (activity.InstanceId, activity.ExecutionId, activity.TaskId);

    private async Task RunAsync(Running running)
    {
        var activity = running.Activity;
        var outcome = "completed";
        var started = time.GetTimestamp();
        using var span = Telemetry.StartActivity(activity);
        using var scope = logger.ActivityScope(activity.InstanceId, activity.Name, activity.TaskId);
        try
        {
            running.Token.ThrowIfCancellationRequested();
            if (activity.Attempts > options.MaxDeliveries)
            {
                outcome = "poisoned";
                logger.ActivityPoisoned(activity.Name, activity.OperationId, activity.Attempts);
                Finish(
                    Failed(
                        activity,
                        new EngineFailure(
                            "Poison",
                            $"Poison: activity '{activity.Name}' was delivered {activity.Attempts - 1} times and never came back "
                                + "(its worker died or gave up each time). It is not tried again.",
                            null,
                            null
                        )
                        {
                            IsNonRetriable = true,
                        }
                    )
                );
                return;
            }

            await using var services = scopes.CreateAsyncScope();
            if (registry.CreateActivity(activity.Name, activity.Version, services.ServiceProvider) is not { } task)
            {
                // Only another version is registered here; a worker that has this version finds the activity after the pause.
                completions.Release(activity, options.PollInterval, countsAsDelivery: false);
                return;
            }

            if (task is ITransactionalActivity)
                outcome = await RunInTransactionAsync(running, task);
            else
                Finish(await InvokeAsync(task, new Context(running, this)));
        }
        catch (Exception) when (running.Token.IsCancellationRequested)
        {
            outcome = "released";
            // Drained, fenced or terminated: release it without counting the delivery; this has no effect if the row is gone.
            completions.Release(activity, TimeSpan.Zero, countsAsDelivery: false);
        }
        catch (Exception failure)
        {
            outcome = "failed";
            span?.SetStatus(ActivityStatusCode.Error, failure.Message);
            logger.ActivityFailed(failure, activity.Name, activity.OperationId);
            Finish(Failed(activity, EngineFailure.Of(failure)));
        }
        finally
        {
            telemetry.ActivityEnded(activity, outcome, started);
            span?.SetTag("durabletask.task.status", outcome);
            running.IsDone = true;
            var slots = _slots[activity.Queue];
            slots.Return();
            if (slots.HasWaitingWork)
                SlotFreed();
        }
    }

    private async Task<ActivityResult> InvokeAsync(ITaskActivity task, TaskActivityContext context)
    {
        var running = (IRunningActivity)context;
        var input = converter.Deserialize(running.Activity.Input, task.InputType);
        var output = await task.RunAsync(context, input);
        await triggers.HitAsync("activity.after-run", running.Activity.InstanceId);
        return new(running.Activity, converter.Serialize(output), null);
    }

    /// <summary>
    /// Commits effect and completion in one transaction. If the commit's answer is lost, the release below (or a failure that the caller
    /// records) depends on the row: if the commit happened, the row is gone and nothing more is done.
    /// </summary>
    private async Task<string> RunInTransactionAsync(Running running, ITaskActivity task)
    {
        var activity = running.Activity;
        try
        {
            await using var session = await store.BeginEffectAsync(running.Token);
            var result = await InvokeAsync(task, new TransactionalContext(running, this, session.Connection, session.Transaction!));
            // No token from here on: a late cancellation must not decide whether the transaction commits.
            var posted = await queries.CompleteAsync(session, result, CancellationToken.None);
            if (posted.Count == 0)
            {
                Settled(activity);
                return "dropped";
            }

            await triggers.HitAsync("effect.before-commit", activity.InstanceId);
            await session.CommitAsync(CancellationToken.None);
            await triggers.HitAsync("effect.after-commit", activity.InstanceId);
            Settled(activity);
            Posted(activity.InstanceId);
            return "completed";
        }
        catch (Exception fault)
            when (!running.Token.IsCancellationRequested && activity.Attempts < options.MaxDeliveries && store.IsTransient(fault))
        {
            logger.TransactionRetried(fault, activity.Name, activity.OperationId, activity.Attempts);
            completions.Release(
                activity,
                TimeSpan.FromMilliseconds(Math.Min(30_000, 50 * Math.Pow(2, activity.Attempts))),
                countsAsDelivery: true
            );
            return "retried";
        }
    }

    private void Report(Running running, object? progress)
    {
        running.Progress = converter.Serialize(progress);
        _reports[running] = true;
        if (Interlocked.Exchange(ref _reporting, 1) == 0)
            _ = WriteReportsAsync();
    }

    /// <summary>
    /// Writes the newest report of every activity that made one, in one transaction per second. Nothing depends on reports: a crash loses
    /// at most the last ones.
    /// </summary>
    private async Task WriteReportsAsync()
    {
        do
        {
            while (!_reports.IsEmpty)
            {
                var reporting = _reports.Keys.OrderBy(running => running.Activity.OperationId, StringComparer.Ordinal).ToList();
                foreach (var running in reporting)
                    _reports.TryRemove(running, out _);
                try
                {
                    await queries.ExecuteAsync(
                        [.. reporting.Select(running => WorkQueries.ReportProgress(running.Activity, running.Progress))],
                        CancellationToken.None
                    );
                }
                catch (Exception fault)
                {
                    logger.ProgressDropped(fault, reporting.Count);
                }

                await Task.Delay(TimeSpan.FromSeconds(1), time);
            }

            Volatile.Write(ref _reporting, 0);
        } while (!_reports.IsEmpty && Interlocked.Exchange(ref _reporting, 1) == 0);
    }

    private void Finish(ActivityResult result)
    {
        if (!Deliver(result))
            completions.Complete(result);
    }

    private static ActivityResult Failed(ClaimedActivity activity, TaskFailureDetails failure) =>
        new(activity, null, OrchestrationExecution.FailureText(failure));

    private interface IRunningActivity
    {
        ClaimedActivity Activity { get; }
    }

    // The token source has no timer and no linked parent, so there is nothing to dispose; activity code may still hold the token.
#pragma warning disable CA1001
    private sealed class Running(ClaimedActivity activity, long startedAt)
    {
        private readonly CancellationTokenSource _cancellation = new();

        public ClaimedActivity Activity { get; } = activity;

        public long StartedAt { get; } = startedAt;

        public Task Task { get; set; } = Task.CompletedTask;

        public bool IsDone { get; set; }

        public CancellationToken Token => _cancellation.Token;

        /// <summary>Last reported progress, serialized.</summary>
        public string? Progress { get; set; }

        // Callbacks of activity code may throw or block; they run on another thread, and their errors are not the engine's concern.
        public void Cancel() => _ = _cancellation.CancelAsync();
    }
#pragma warning restore CA1001

    private sealed class Context(Running running, ActivityRunner runner) : DatabaseActivityContext, IRunningActivity
    {
        public override TaskName Name => Activity.Name;

        public override string Version => Activity.Version;

        public override string InstanceId => Activity.InstanceId;

        public override string OperationId => Activity.OperationId;

        public override int DeliveryCount => Activity.Attempts;

        public override CancellationToken CancellationToken => running.Token;

        public ClaimedActivity Activity => running.Activity;

        public override void Heartbeat(object? progress) => runner.Report(running, progress);
    }

    private sealed class TransactionalContext(Running running, ActivityRunner runner, DbConnection connection, DbTransaction transaction)
        : TransactionalActivityContext,
            IRunningActivity
    {
        public override TaskName Name => Activity.Name;

        public override string Version => Activity.Version;

        public override string InstanceId => Activity.InstanceId;

        public override string OperationId => Activity.OperationId;

        public override int DeliveryCount => Activity.Attempts;

        public override CancellationToken CancellationToken => running.Token;

        public override DbConnection Connection => connection;

        public override DbTransaction Transaction => transaction;

        public ClaimedActivity Activity => running.Activity;

        public override void Heartbeat(object? progress) => runner.Report(running, progress);
    }
}
