using System.Collections.Concurrent;
using Librarian.Durable.Stores;

namespace Librarian.Durable.Worker;

/// <summary>
/// One life of a worker, from registering its lease to releasing all its work. When the lease is lost, the incarnation ends and the worker
/// begins another one under a new id (docs/spec/durable-engine.md#r5-lease), so that no write of the old one can pass a fence by mistake.
/// </summary>
internal sealed class WorkerIncarnation : IAsyncDisposable
{
    private const int ConcurrentTurns = 16;

    // At most twice as many as can run at once: work that is claimed but not begun when the process dies counts as a failed delivery.
    private const int ClaimsPerPoll = 2 * ConcurrentTurns;
    private static readonly TimeSpan AfterExpiry = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Saturated = TimeSpan.FromMilliseconds(10);
    private readonly WorkerServices _services;
    private readonly ConcurrentDictionary<string, ResidentInstance> _residents = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _turns = new(ConcurrentTurns, ConcurrentTurns);
    private readonly CancellationTokenSource _stopping;
    private readonly WorkerLease? _lease;
    private bool _clockWentBack;
    private HashSet<(string, long)> _unknownInstances = [];
    private HashSet<(string, long, int, long)> _unknownActivities = [];

    public WorkerIncarnation(WorkerServices services, string id, CancellationToken hostStopping)
    {
        _services = services;
        Id = id;
        var completions = services.Database.Completions;
        Activities = Runner();
        completions.Settled = Activities.Settled;
        completions.Posted = instances =>
        {
            foreach (var instance in instances)
                NotifyOrSignal(instance);
            services.Signal.Raise();
        };
        if (services.Database.Store is PostgresStore postgres)
            _lease = new(postgres, id, services.Database.Leases.Beat, services.Options, services.Telemetry, services.Telemetry.Log);
        Lost = _lease?.Lost ?? CancellationToken.None;
        _stopping = CancellationTokenSource.CreateLinkedTokenSource(hostStopping, Lost);
        Stopping = _stopping.Token;
    }

    public string Id { get; }

    public ActivityRunner Activities { get; }

    /// <summary>Last error of each instance that is backing off; part of the failure if the instance fails as poison.</summary>
    public ConcurrentDictionary<string, string> LastFaults { get; } = new(StringComparer.Ordinal);

    /// <summary>Cancelled when the lease is lost: nothing may be committed any more. Can also be read after disposal.</summary>
    public CancellationToken Lost { get; }

    /// <summary>Cancelled when no new work may begin: the lease is lost or the host is stopping.</summary>
    public CancellationToken Stopping { get; }

    public int ResidentCount => _residents.Count;

    public bool HasCapacity => _residents.Count <= _services.Options.MaxResidentInstances;

    private ActivityRunner Runner()
    {
        var (database, tasks, options, log) = (_services.Database, _services.Tasks, _services.Options, _services.Telemetry.ActivityLog);
        var reports = new ProgressReports(database.Queries, tasks.Converter, _services.Time, log);
        var invoker = new ActivityInvoker(tasks.Converter, database.Triggers, reports);
        var transaction = new ActivityTransaction(database, invoker, options, log)
        {
            Settled = activity => Activities.Settled(activity),
            Posted = NotifyOrSignal,
        };
        var delivery = new ActivityDelivery(tasks, invoker, transaction, database.Completions, options, log)
        {
            Deliver = result => _residents.TryGetValue(result.Activity.InstanceId, out var resident) && resident.TryDeliver(result),
        };
        return new(tasks.Registry, delivery, options, _services.Time, _services.Telemetry) { SlotFreed = _services.Signal.RaiseLocal };
    }

    /// <summary>Works until the host stops or the lease is lost, then drains.</summary>
    public async Task RunAsync()
    {
        _services.Telemetry.Worker = this;
        _services.Telemetry.Log.WorkerStarted(Id);
        Task[] loops = [];
        try
        {
            await TakeOverAsync();
            loops = [DispatchAsync(), MaintainAsync()];
            await Task.WhenAny(loops);
        }
        finally
        {
            await _stopping.CancelAsync();
            await Task.WhenAll(
                loops.Select(loop =>
                    loop.ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default)
                )
            );
            await DrainAsync();
        }

        // A fault that ended a loop also ends the incarnation.
        foreach (var loop in loops.Where(loop => loop.IsFaulted))
            await loop;
    }

    public async ValueTask DisposeAsync()
    {
        _services.Telemetry.Worker = null;
        _lease?.Dispose();
        _stopping.Dispose();
        await Task.CompletedTask;
    }

    /// <summary>Takes one of the slots that limit the turns that use the database concurrently.</summary>
    public async Task<IDisposable> EnterTurnAsync()
    {
        await _turns.WaitAsync(Lost);
        return new TurnSlot(this);
    }

    public void Forget(ResidentInstance resident)
    {
        _residents.TryRemove(new(resident.InstanceId, resident));
        _services.Signal.RaiseLocal();
    }

    /// <summary>Call when an instance got a message: notifies the instance if it is in memory, otherwise makes workers poll.</summary>
    public void NotifyOrSignal(string instanceId)
    {
        if (!_residents.TryGetValue(instanceId, out var resident) || !resident.TryNotify())
            _services.Signal.Raise();
    }

    private async Task DispatchAsync()
    {
        while (!Stopping.IsCancellationRequested)
        {
            var wait = _services.Options.PollInterval;
            try
            {
                wait = await PollAsync(wait);
            }
            catch (OperationCanceledException) when (Stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault) when (_services.Database.Store.IsTransient(fault))
            {
                wait = TimeSpan.FromMilliseconds(250);
                _services.Telemetry.Log.WorkerFault(fault, wait);
            }

            // A random factor, so that workers do not all poll at the same moment.
            if (wait == _services.Options.PollInterval)
                wait *= 0.9 + (0.2 * Random.Shared.NextDouble());
            if (wait > TimeSpan.Zero)
            {
                try
                {
                    await _services.Signal.WaitAsync(wait, Stopping);
                }
                catch (OperationCanceledException)
                {
                    return;
                }
            }
        }
    }

    /// <summary>Claims work once and begins it; returns how long to wait until the next poll.</summary>
    private async Task<TimeSpan> PollAsync(TimeSpan wait)
    {
        var saturated = _turns.CurrentCount == 0;
        var room = saturated ? 0 : Math.Clamp(_services.Options.MaxResidentInstances - _residents.Count, 0, ClaimsPerPoll);
        var queues = Activities.FreeSlots;
        var asked = _services.Time.GetTimestamp();
        var found = await _services.Database.Queries.PollAsync(
            new(
                Id,
                room,
                _services.Options.FirstBackoff,
                _services.Tasks.Registry.FoldedOrchestrators,
                _services.Tasks.Registry.FoldedActivities,
                queues
            ),
            Stopping
        );
        if (found.Instances.Count > 0)
            await _services.Database.Triggers.HitAsync("claim.after-commit", found.Instances[0].InstanceId);
        if (found.Activities.Count > 0)
            await _services.Database.Triggers.HitAsync("activity-claim.after-commit", found.Activities[0].InstanceId);
        Activities.NoteClaims(queues, found.Activities);
        foreach (var activity in found.Activities)
            Activities.Start(activity, reserved: false);
        foreach (var instance in found.Instances)
            Begin(instance);
        // Only now: if the correction fails, what was claimed runs all the same.
        // Before a process's first poll the earlier state of the clock is unknown, so the recorded times are checked.
        _clockWentBack |= _services.Database.Clock.Observe(found.Now, asked);
        if (_clockWentBack)
        {
            var moved = await _services.Database.ClockQueries.RewindAsync(_services.Options.LeaseDuration, Stopping);
            _clockWentBack = false;
            if (moved > 0)
            {
                _services.Telemetry.Log.ClockWentBack(moved);
                _services.Signal.Raise();
            }
        }

        var missed = false;
        foreach (var ready in found.Ready)
            missed |= !_residents.TryGetValue(ready, out var resident) || !resident.TryNotify();
        if (found.NextDue is { } due && due - found.Now < wait.TotalMilliseconds)
            wait = TimeSpan.FromMilliseconds(Math.Max(1, due - found.Now));
        // All turn slots are taken: one poll in a while covers all slots that become free meanwhile.
        if (saturated && wait > Saturated)
            wait = Saturated;
        if (room > 0 && found.Instances.Count == room)
            wait = TimeSpan.Zero;
        // The database says that this worker owns the instance, but it is just closing: its release is on the way.
        else if (missed && wait > TimeSpan.FromMilliseconds(50))
            wait = TimeSpan.FromMilliseconds(50);
        return wait;
    }

    private void Begin(ClaimedInstance claimed)
    {
        var resident = new ResidentInstance(claimed, this, _services);
        // An older object with the same id is closing or fenced, because this claim is newer.
        _residents[claimed.InstanceId] = resident;
        _ = Task.Run(resident.RunAsync, CancellationToken.None);
    }

    private async Task MaintainAsync()
    {
        var lastSweep = _services.Time.GetTimestamp();
        var quickTakeOvers = 15;
        while (!Stopping.IsCancellationRequested)
        {
            try
            {
                var wait =
                    quickTakeOvers-- > 0 && _lease is not null ? TimeSpan.FromMilliseconds(200) : _services.Options.HeartbeatInterval;
                // A lease that ends before the next check is checked when it ends: a live worker renews its lease long before.
                if (_lease is { HasBeatenForOneLease: true, UntilExpiry: var expiry } && expiry < wait)
                    wait = expiry > TimeSpan.Zero ? expiry + AfterExpiry : AfterExpiry;
                await Task.Delay(wait, _services.Time, Stopping);
                foreach (var resident in _residents.Values)
                    resident.LeaveIfIdle();
                if (_lease is { HasBeatenForOneLease: false })
                    await TakeOverAsync();
                else if (_lease is not null)
                    await ExpireLeasesAsync();
                if (_services.Time.GetElapsedTime(lastSweep) < _services.Options.SweepInterval)
                    continue;
                lastSweep = _services.Time.GetTimestamp();
                await _services.Database.Leases.ExpireLeasesAsync(null, expired: false, Stopping);
                await _services.Database.Leases.DropStrayMessagesAsync(Stopping);
                await ReconcileAsync();
                await _services.Database.Triggers.HitAsync("sweep.after-reconcile", "");
                await WarnOfUnknownNamesAsync();
            }
            catch (OperationCanceledException) when (Stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault) when (_services.Database.Store.IsTransient(fault))
            {
                _services.Telemetry.Log.WorkerFault(fault, _services.Options.HeartbeatInterval);
            }
        }
    }

    /// <summary>
    /// Frees the work of this node's dead predecessors. A predecessor is dead if no process holds its lock, and its work need not wait for
    /// its lease to expire (docs/spec/durable-engine.md#r6-freeing-work).
    /// </summary>
    private async Task TakeOverAsync()
    {
        if (_services.Database.Store is not PostgresStore postgres)
            return;
        var dead = new List<string>();
        foreach (var predecessor in await _services.Database.Leases.PredecessorsAsync(_services.Options.NodeName, Id, Stopping))
        {
            if (await postgres.IsUnlockedAsync(predecessor, Stopping))
                dead.Add(predecessor);
        }

        if (dead.Count > 0)
            LeasesExpired(await _services.Database.Leases.ExpireLeasesAsync(dead, expired: false, Stopping));
    }

    private async Task ExpireLeasesAsync()
    {
        if (_lease!.UntilExpiry > TimeSpan.Zero)
            return;
        LeasesExpired(await _services.Database.Leases.ExpireLeasesAsync(null, expired: true, Stopping));
        _lease.ForgetExpiry();
    }

    private void LeasesExpired(int count)
    {
        if (count > 0)
            _services.Telemetry.Log.LeasesExpired(count);
        _services.Signal.Raise();
    }

    /// <summary>
    /// Releases rows that this worker owns in the database but does not know in two consecutive sweeps: they come from a claim whose answer
    /// was lost. Cancels activities that run here although the database does not have this worker as their owner.
    /// </summary>
    private async Task ReconcileAsync()
    {
        var owned = await _services.Database.Leases.OwnedAsync(Id, Stopping);
        var unknownInstances = owned
            .Instances.Where(row => !_residents.TryGetValue(row.InstanceId, out var resident) || resident.Claim != row.Claim)
            .ToHashSet();
        var unknownActivities = owned
            .Activities.Where(row => !Activities.Knows(row.InstanceId, row.ExecutionId, row.TaskId, row.Claim))
            .ToHashSet();
        var instances = unknownInstances.Where(_unknownInstances.Contains).ToList();
        var activities = unknownActivities.Where(_unknownActivities.Contains).ToList();
        (_unknownInstances, _unknownActivities) = (unknownInstances, unknownActivities);
        Activities.CancelUnless(owned.Activities.ToHashSet(), _services.Options.SweepInterval);
        if (instances.Count + activities.Count == 0)
            return;
        _services.Telemetry.Log.Reconciled(instances.Count, activities.Count);
        foreach (var (id, claim) in instances)
            _services.Database.Completions.Release(
                new ClaimedInstance(new(id, 0, "", "", null, null), default, null, null, -1, Id, claim, 0),
                TimeSpan.Zero,
                attemptsBack: 0
            );
        foreach (var (id, execution, task, claim) in activities)
            _services.Database.Completions.Release(
                new ClaimedActivity(id, execution, task, "", "", null, Id, claim, 0),
                TimeSpan.Zero,
                countsAsDelivery: false
            );
    }

    private async Task WarnOfUnknownNamesAsync()
    {
        var names = await _services.Database.Leases.LongWaitingNamesAsync(TimeSpan.FromMinutes(5), Stopping);
        var unknown = names
            .Where(name => !_services.Tasks.Registry.HasOrchestrator(name) && !_services.Tasks.Registry.HasActivity(name))
            .ToList();
        if (unknown.Count > 0)
            _services.Telemetry.Log.UnknownNames(string.Join(", ", unknown));
    }

    /// <summary>
    /// Cancels activities, lets turns finish, writes results and releases, and deletes this incarnation's row. A crash in between leaves
    /// owned rows, which are freed like those of any dead worker.
    /// </summary>
    private async Task DrainAsync()
    {
        Activities.CancelAll();
        foreach (var resident in _residents.Values)
            resident.Wake();
        var deadline = _services.Time.GetTimestamp();
        while (
            _services.Time.GetElapsedTime(deadline)
            < (Lost.IsCancellationRequested ? TimeSpan.FromSeconds(1) : _services.Options.DrainTimeout)
        )
        {
            if (_residents.IsEmpty && Activities.RunningCount == 0 && _services.Database.Completions.IsEmpty)
                break;
            await Task.Delay(TimeSpan.FromMilliseconds(10), _services.Time);
        }

        var left = Activities.RunningCount;
        if (!Lost.IsCancellationRequested)
        {
            try
            {
                using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(5), _services.Time);
                await _services.Database.Leases.ExpireLeasesAsync([Id], expired: false, limit.Token);
                _services.Signal.Raise();
            }
            catch (Exception fault)
            {
                _services.Telemetry.Log.WorkerFault(fault, _services.Options.LeaseDuration);
            }
        }

        _services.Telemetry.Log.WorkerStopped(Id, left);
    }

    private sealed class TurnSlot(WorkerIncarnation worker) : IDisposable
    {
        public void Dispose() => worker._turns.Release();
    }
}
