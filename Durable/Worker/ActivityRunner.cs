using System.Collections.Concurrent;
using System.Data.Common;
using System.Diagnostics;
using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Worker;

/// <summary>
/// Runs the activities of one worker incarnation. An activity stays known here until its row is settled, so that the reconcile sweep can
/// tell a running one from a lost one.
/// </summary>
/// <remarks>
/// An activity that was quick the last time may be run without a row (see <see cref="Standby"/>). Should it take longer this time, its instance is asked to
/// place it: then others see it, its progress can be recorded, and its result is no longer lost with the instance's memory.
/// </remarks>
internal sealed class ActivityRunner(
    IServiceScopeFactory scopes, TaskRegistry registry, DurableStore store, WorkQueries queries, CompletionQueue completions, DataConverter converter,
    DurableTaskOptions options, TimeProvider time, TurnTriggers triggers, Telemetry telemetry, ILogger<ActivityRunner> logger) : IDisposable
{
    private static readonly TimeSpan KeepParked = TimeSpan.FromMinutes(5);
    private readonly ConcurrentDictionary<string, bool> _quick = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<(string, long, int), (ActivityResult Result, long At)> _parked = new();
    private ITimer? _placing;
    private int _placingSoon;
    private readonly ConcurrentDictionary<(string, long, int), Running> _known = new();
    private readonly ConcurrentDictionary<Running, bool> _reports = new();
    private int _reporting;
    private int _ending;
    private readonly Dictionary<string, QueueSlots> _slots = options.Queues.Append(new("", options.MaxConcurrentActivities))
        .ToDictionary(queue => queue.Key, queue => new QueueSlots(queue.Value), StringComparer.Ordinal);

    /// <summary>Takes a result to its instance; false: not in memory, so it goes through the inbox.</summary>
    public required Func<ActivityResult, bool> Deliver { get; init; }

    /// <summary>Asks an instance in memory to give its activity that runs without a row one.</summary>
    public required Action<string> Place { get; init; }

    /// <summary>Tells that a result was committed to an instance's inbox.</summary>
    public required Action<string> Posted { get; init; }

    /// <summary>Tells that a place came free in a queue that had more work than places.</summary>
    public required Action PlaceFree { get; init; }

    public IReadOnlyDictionary<string, QueueSlots> Slots => _slots;

    public int RunningCount => _known.Values.Count(running => !running.IsDone);

    public IReadOnlyList<(string Queue, int Free)> FreeSlots => [.. _slots.Select(slot => (slot.Key, slot.Value.Free))];

    /// <summary>Reserves a place for an activity this worker could run.</summary>
    public bool TryReserve(ScheduledTask task) => registry.FindActivity(task.Name, task.Version) is not null && _slots.TryGetValue(task.Queue, out var slots) && slots.TryTake();

    /// <summary>Whether the activity will probably be over in a moment, and may be run without a row. Never one whose effect is committed with the deletion of its row.</summary>
    public bool IsQuick(ScheduledTask task) => _quick.GetValueOrDefault(task.Name) && registry.FindActivity(task.Name, task.Version) is { IsTransactional: false };

    /// <summary>Remembers which queues gave as much as there was room for.</summary>
    public void NoteClaims(IReadOnlyList<(string Queue, int Free)> asked, IReadOnlyCollection<ClaimedActivity> got)
    {
        foreach (var (queue, free) in asked) _slots[queue].IsHungry = got.Count(activity => activity.Queue == queue) >= free;
    }

    public void Unreserve(string queue) => _slots[queue].Return();

    public bool Knows(string instanceId, long executionId, int taskId, long claim) =>
        _known.TryGetValue((instanceId, executionId, taskId), out var running) && running.Activity.Claim == claim;

    /// <summary>Starts a claimed activity. <paramref name="reserved"/>: its place was taken before.</summary>
    public void Start(ClaimedActivity activity, bool reserved)
    {
        var running = Add(activity);
        void Begin() => running.Task = Task.Run(() => RunAsync(running), CancellationToken.None);
        if (reserved) Begin();
        else _slots[activity.Queue].WhenFree(Begin);
    }

    /// <summary>As above for one whose place is reserved, to be begun by the caller, on whose thread it runs up to its first wait.</summary>
    /// <param name="activity">The activity.</param>
    /// <param name="local">It has no row.</param>
    public Action Prepare(ClaimedActivity activity, bool local)
    {
        var running = Add(activity);
        running.IsLocal = local;
        if (local) PlaceSoon();
        return () => running.Task = RunAsync(running);
    }

    /// <summary>The activity has a row now.</summary>
    public void Placed(ExecutionIdentity execution, int taskId, long claim)
    {
        var key = (execution.InstanceId, execution.ExecutionId, taskId);
        if (_known.TryGetValue(key, out var running) && running.Activity.Claim == claim) NotePlaced(running);

        // It ended while the row was on its way.
        if (_parked.TryGetValue(key, out var parked) && parked.Result.Activity.Claim == claim && _parked.TryRemove(new(key, parked))) completions.Complete(parked.Result);
    }

    /// <summary>
    /// Keeps the result of an activity without a row whose instance has left the memory; it is lost with this process. The activity may have a row all the
    /// same, from a commit without an answer: then nobody would come for the result, and it goes where those of others go. Without one that does nothing.
    /// </summary>
    public void Park(ActivityResult result)
    {
        _parked[Key(result.Activity)] = (result, time.GetTimestamp());
        completions.Complete(result);
    }

    /// <summary>What is known here of an activity that has neither row nor result in the database: its result, or that it runs.</summary>
    public (ActivityResult? Result, ClaimedActivity? Running) FindLocal(ExecutionIdentity execution, int taskId, string owner)
    {
        var key = (execution.InstanceId, execution.ExecutionId, taskId);
        if (_parked.TryRemove(key, out var parked) && parked.Result.Activity.Owner == owner) return (parked.Result, null);
        // Of one that has ended the result is in a mailbox: the asking object's, or that of an earlier one, which may hang for long.
        return _known.TryGetValue(key, out var running) && running is { IsLocal: true, IsDone: false } && running.Activity.Owner == owner && !running.Token.IsCancellationRequested ? (null, running.Activity) : (null, null);
    }

    /// <summary>Forgets what nobody has come for: its instance went on elsewhere.</summary>
    public void ForgetParked()
    {
        foreach (var (key, parked) in _parked)
            if (time.GetElapsedTime(parked.At) > KeepParked) _parked.TryRemove(key, out _);
    }

    public void Dispose() => _placing?.Dispose();

    /// <summary>Forgets an activity whose row was deleted or given back.</summary>
    public void Settled(ClaimedActivity activity)
    {
        if (_known.TryGetValue(Key(activity), out var running) && running.Activity.Claim == activity.Claim) _known.TryRemove(new(Key(activity), running));
        // The next suspect may come (rule R9).
        if (activity.Attempts > Schema.SuspectAfter) PlaceFree();
    }

    /// <summary>Cancels everything that runs, and what is begun from now on by a turn that was already committing.</summary>
    public void CancelAll()
    {
        // A full fence: whoever does not see the flag has its activity seen below.
        Interlocked.Exchange(ref _ending, 1);
        foreach (var running in _known.Values) running.Cancel();
    }

    /// <summary>Cancels what runs for an instance that no longer wants it.</summary>
    public void CancelInstance(string instanceId)
    {
        foreach (var running in _known.Values.Where(running => string.Equals(running.Activity.InstanceId, instanceId, StringComparison.Ordinal))) running.Cancel();
    }

    /// <summary>Cancels what has been running for a while and is, by the database, not this worker's. What has no row is its instance's.</summary>
    public void CancelUnless(IReadOnlySet<(string, long, int, long)> owned, IReadOnlySet<string> ownedInstances, TimeSpan age)
    {
        foreach (var running in _known.Values)
        {
            var activity = running.Activity;
            if (owned.Contains((activity.InstanceId, activity.ExecutionId, activity.TaskId, activity.Claim)))
            {
                // The commit's answer was lost.
                if (running.IsLocal) NotePlaced(running);
            }
            else if (!(running.IsLocal && ownedInstances.Contains(activity.InstanceId)) && time.GetElapsedTime(running.StartedAt) > age)
            {
                running.Cancel();
            }
        }
    }

    public Task WhenIdleAsync() => Task.WhenAll(_known.Values.Select(running => running.Task));

    private void NotePlaced(Running running)
    {
        running.HasRowSince(time.GetTimestamp());
        if (running.Progress is not null) QueueReport(running);
    }

    private Running Add(ClaimedActivity activity)
    {
        var running = new Running(activity, time.GetTimestamp());
        // Freed by others and claimed again before this worker knew: nobody would find the earlier delivery any more.
        if (_known.TryGetValue(Key(activity), out var earlier)) earlier.Cancel();
        _known[Key(activity)] = running;
        if (Volatile.Read(ref _ending) == 1) running.Cancel();
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
                Finish(running, Failed(activity, new("Poison", $"Poison: activity '{activity.Name}' was delivered {activity.Attempts - 1} times and never came back (its worker died or gave up each time). It is not tried again.", null, null) { IsNonRetriable = true }));
                return;
            }

            if (registry.FindActivity(activity.Name, activity.Version) is not { } registration)
            {
                // Another version's; that worker finds it when the pause is over.
                completions.Release(activity, options.PollInterval, countsAsDelivery: false);
                return;
            }

            await using var services = scopes.CreateAsyncScope();
            if (registration.IsTransactional) outcome = await RunInTransactionAsync(running, registration, services.ServiceProvider);
            else Finish(running, await InvokeAsync(registration, services.ServiceProvider, new Context(running, this)));
        }
        catch (Exception) when (running.Token.IsCancellationRequested)
        {
            outcome = "released";
            // Drained, fenced or terminated: give it back uncounted; where the row is gone this has no effect.
            completions.Release(activity, TimeSpan.Zero, countsAsDelivery: false);
        }
        catch (Exception failure)
        {
            outcome = "failed";
            span?.SetStatus(ActivityStatusCode.Error, failure.Message);
            logger.ActivityFailed(failure, activity.Name, activity.OperationId);
            Finish(running, Failed(activity, TaskFailureDetails.FromException(failure)));
        }
        finally
        {
            telemetry.ActivityEnded(activity, outcome, started);
            _quick[activity.Name] = time.GetElapsedTime(started) < options.LocalActivityTime / 5;
            span?.SetTag("durabletask.task.status", outcome);
            running.IsDone = true;
            var slots = _slots[activity.Queue];
            slots.Return();
            if (slots.IsHungry) PlaceFree();
        }
    }

    private async Task<ActivityResult> InvokeAsync(ActivityRegistration registration, IServiceProvider services, TaskActivityContext context)
    {
        var running = (IRunningActivity)context;
        var task = registration.Create(services);
        var input = converter.Deserialize(running.Activity.Input, task.InputType);
        var output = await task.RunAsync(context, input);
        await triggers.HitAsync("activity.after-run", running.Activity.InstanceId);
        return new(running.Activity, converter.Serialize(output), null);
    }

    /// <summary>
    /// Effect and completion in one transaction. When the commit's answer is lost, the release below (or a failure recorded by the
    /// caller) decides by the row: it is gone if the commit happened, and then nothing more is done.
    /// </summary>
    private async Task<string> RunInTransactionAsync(Running running, ActivityRegistration registration, IServiceProvider services)
    {
        var activity = running.Activity;
        try
        {
            await using var session = await store.BeginEffectAsync(running.Token);
            var result = await InvokeAsync(registration, services, new TransactionalContext(running, this, session.Connection, session.Transaction!));
            // No token from here: whether the transaction happened must not hang on a late cancellation.
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
        catch (Exception fault) when (!running.Token.IsCancellationRequested && activity.Attempts < options.MaxDeliveries && store.IsTransient(fault))
        {
            logger.TransactionRetried(fault, activity.Name, activity.OperationId, activity.Attempts);
            completions.Release(activity, TimeSpan.FromMilliseconds(Math.Min(30_000, 50 * Math.Pow(2, activity.Attempts))), countsAsDelivery: true);
            return "retried";
        }
    }

    private void Report(Running running, object? progress)
    {
        running.Progress = converter.Serialize(progress);
        // The report is written once there is a row for it.
        if (running.IsLocal) Place(running.Activity.InstanceId);
        else QueueReport(running);
    }

    private void QueueReport(Running running)
    {
        _reports[running] = true;
        if (Interlocked.Exchange(ref _reporting, 1) == 0) _ = WriteReportsAsync();
    }

    /// <summary>One transaction a second holds the newest report of every activity that made one. Nothing depends on them: a crash loses at most the last.</summary>
    private async Task WriteReportsAsync()
    {
        do
        {
            while (!_reports.IsEmpty)
            {
                var reporting = _reports.Keys.OrderBy(running => running.Activity.OperationId, StringComparer.Ordinal).ToList();
                foreach (var running in reporting) _reports.TryRemove(running, out _);
                try
                {
                    await queries.ExecuteAsync([.. reporting.Select(running => WorkQueries.ReportProgress(running.Activity, running.Progress))], CancellationToken.None);
                }
                catch (Exception fault)
                {
                    logger.ProgressDropped(fault, reporting.Count);
                }

                await Task.Delay(TimeSpan.FromSeconds(1), time);
            }

            Volatile.Write(ref _reporting, 0);
        }
        while (!_reports.IsEmpty && Interlocked.Exchange(ref _reporting, 1) == 0);
    }

    private void Finish(Running running, ActivityResult result)
    {
        if (Deliver(result)) return;
        if (running.IsLocal) Park(result);
        else completions.Complete(result);
    }

    /// <summary>Looks in a moment which activities without a row still run. One timer serves all: most are over by then.</summary>
    private void PlaceSoon()
    {
        if (Interlocked.Exchange(ref _placingSoon, 1) != 0) return;
        _placing ??= time.CreateTimer(static runner => ((ActivityRunner)runner!).PlaceDue(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _placing.Change(options.LocalActivityTime, Timeout.InfiniteTimeSpan);
    }

    private void PlaceDue()
    {
        Volatile.Write(ref _placingSoon, 0);
        var more = false;
        foreach (var running in _known.Values)
        {
            if (!running.IsLocal || running.IsDone) continue;
            more = true;
            if (time.GetElapsedTime(running.StartedAt) >= options.LocalActivityTime / 2) Place(running.Activity.InstanceId);
        }

        if (more) PlaceSoon();
    }

    private static ActivityResult Failed(ClaimedActivity activity, TaskFailureDetails failure) => new(activity, null, OrchestrationExecution.FailureText(failure));

    private interface IRunningActivity
    {
        ClaimedActivity Activity { get; }
    }

    // Its token source has no timer and no linked parent: nothing to dispose, and activity code may still hold the token.
#pragma warning disable CA1001
    private sealed class Running(ClaimedActivity activity, long startedAt)
    {
        private readonly CancellationTokenSource _cancellation = new();
        private bool _isLocal;
        private long _startedAt = startedAt;

        public ClaimedActivity Activity { get; } = activity;

        /// <summary>When it was begun or, if that was later, got its row.</summary>
        public long StartedAt => Volatile.Read(ref _startedAt);

        public Task Task { get; set; } = Task.CompletedTask;

        public bool IsDone { get; set; }

        /// <summary>It has no row.</summary>
        public bool IsLocal
        {
            get => Volatile.Read(ref _isLocal);
            set => Volatile.Write(ref _isLocal, value);
        }

        public CancellationToken Token => _cancellation.Token;

        /// <summary>It has one now. A look at the rows that began before does not show it.</summary>
        public void HasRowSince(long at)
        {
            Volatile.Write(ref _startedAt, at);
            IsLocal = false;
        }

        /// <summary>Last progress reported, serialized.</summary>
        public string? Progress { get; set; }

        // Callbacks of activity code may throw or block; they run elsewhere and are their author's concern.
        public void Cancel() => _ = _cancellation.CancelAsync();
    }
#pragma warning restore CA1001

    private sealed class Context(Running running, ActivityRunner runner) : TaskActivityContext, IRunningActivity
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
        : TransactionalActivityContext, IRunningActivity
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
