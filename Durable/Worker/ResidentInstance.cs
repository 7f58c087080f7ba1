using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Microsoft.DurableTask.Worker;

namespace Librarian.Durable.Worker;

/// <summary>
/// An instance in this worker's memory: a mailbox, and one loop that makes committed turns of messages and local results. Memory is a cache
/// (docs/spec/durable-engine.md#r3-memory-is-a-cache): after any exception from a commit the whole object is discarded, and the rows
/// decide.
/// </summary>
internal sealed partial class ResidentInstance(ClaimedInstance instance, WorkerIncarnation worker, WorkerServices services)
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
            services.Telemetry.Log.TurnFenced(InstanceId);
            Discard(Backoff(), attemptsBack: 0);
        }
        catch (Exception fault)
        {
            var transient = services.Database.Store.IsTransient(fault) || worker.Stopping.IsCancellationRequested;
            var delay = transient ? TimeSpan.Zero : Backoff(atLeastOne: true);
            services.Telemetry.Log.TurnFailed(fault, InstanceId, _instance.Attempts, delay);
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

    private async Task<List<InboxMessage>> LoadEverythingAsync() =>
        (await services.Database.Queries.LoadAsync(InstanceId, null, worker.Lost, everything: true)).Inbox;

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
        var orchestrator = _unused ?? services.Tasks.CreateOrchestrator(_instance.Identity)!;
        _unused = null;
        var identity = _instance.Identity;
        var execution = services.Tasks.CreateExecution(identity, orchestrator, _instance.CustomStatus);
        execution.Pump.OnEscape = () => services.Database.Completions.Escaped(identity);
        return execution;
    }

    /// <summary>
    /// Whether this worker runs the instance. If not, the instance fails with the given failure; without one, another worker must run it.
    /// </summary>
    private (bool Runs, TaskFailureDetails? Failure) CanRun()
    {
        if (_instance.Attempts > services.Options.MaxDeliveries)
        {
            services.Telemetry.Log.InstancePoisoned(InstanceId, _instance.Attempts - 1);
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

        var version = _instance.Identity.Version;
        var versioning = services.Tasks.Versioning;
        if (versioning.Takes(version))
        {
            _unused = services.Tasks.CreateOrchestrator(_instance.Identity);
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
            services.Database.Completions.Complete(result);
    }

    private void Discard(TimeSpan delay, int attemptsBack)
    {
        if (_closed)
            return;
        Close();
        services.Database.Completions.Release(_instance, delay, _instance.Attempts == 0 ? 0 : attemptsBack);
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
