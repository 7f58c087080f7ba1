using System.Collections.Concurrent;
using Librarian.Durable.Engine;
using Librarian.Durable.Stores;

namespace Librarian.Durable.Worker;

/// <summary>
/// The activities and slots of one worker incarnation. It knows each activity until its row is settled, so that the reconcile sweep can
/// distinguish a running activity from a lost one. <see cref="ActivityDelivery"/> runs their code.
/// </summary>
internal sealed class ActivityRunner(
    TaskRegistry registry,
    ActivityDelivery delivery,
    DurableTaskOptions options,
    TimeProvider time,
    Telemetry telemetry
)
{
    private readonly ConcurrentDictionary<(string, long, int), RunningActivity> _known = new();
    private int _ending;
    private readonly Dictionary<string, QueueSlots> _slots = options
        .Queues.Append(new("", options.MaxConcurrentActivities))
        .ToDictionary(queue => queue.Key, queue => new QueueSlots(queue.Value), StringComparer.Ordinal);

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

    private RunningActivity Add(ClaimedActivity activity)
    {
        var running = new RunningActivity(activity, time.GetTimestamp());
        // Others freed the activity and this worker claimed it again before it noticed: nothing else would find the earlier delivery.
        if (_known.TryGetValue(Key(activity), out var earlier))
            earlier.Cancel();
        _known[Key(activity)] = running;
        if (Volatile.Read(ref _ending) == 1)
            running.Cancel();
        return running;
    }

    private static (string, long, int) Key(ClaimedActivity activity) => (activity.InstanceId, activity.ExecutionId, activity.TaskId);

    private async Task RunAsync(RunningActivity running)
    {
        var activity = running.Activity;
        var outcome = "failed";
        var started = time.GetTimestamp();
        using var span = Telemetry.StartActivity(activity);
        try
        {
            outcome = await delivery.RunAsync(running, span);
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
}
