using System.Diagnostics;
using System.Diagnostics.Metrics;
using Librarian.Durable.Stores;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Worker;

/// <summary>Logs, spans and instruments of one host; their names are a public contract (docs/orchestrations.md, "Telemetry").</summary>
internal sealed class Telemetry : IDisposable
{
    /// <summary>Name of the <see cref="ActivitySource"/> and of the <see cref="Meter"/>.</summary>
    public const string Name = "Librarian.Durable";

    /// <summary>Minimum time between two queries for instances and queues.</summary>
    public static readonly TimeSpan QueryInterval = TimeSpan.FromSeconds(15);

    private static readonly ActivitySource Source = new(Name);
    private readonly DurableStore _store;
    private readonly TimeProvider _time;
    private readonly StateQueries _queries;
    private readonly Meter _meter = new(Name);
    private readonly Histogram<double> _turns;
    private readonly Histogram<double> _activities;
    private readonly Counter<long> _fenced;
    private readonly Counter<long> _replays;
    private readonly Counter<long> _replayedEvents;
    private readonly Counter<long> _leasesLost;
    private readonly Counter<long> _ended;
    private StoreState _state = new([], []);
    private long _stateAt;
    private int _asking;

    public Telemetry(DurableStore store, TimeProvider time, ILoggerFactory loggers)
    {
        (_store, _time, _queries) = (store, time, new StateQueries(store));
        Log = loggers.CreateLogger("Librarian.Durable.Worker");
        ActivityLog = loggers.CreateLogger<ActivityRunner>();
        _turns = _meter.CreateHistogram<double>(
            "durable.turn.duration",
            "s",
            "Duration of turns: loading messages, running the orchestrator, committing"
        );
        _activities = _meter.CreateHistogram<double>("durable.activity.duration", "s", "Duration of activities");
        _fenced = _meter.CreateCounter<long>("durable.turns.fenced", "{turn}", "Turns discarded because ownership was lost");
        _replays = _meter.CreateCounter<long>("durable.replays", "{replay}", "Executions rebuilt from their history");
        _replayedEvents = _meter.CreateCounter<long>("durable.replay.events", "{event}", "History events read to rebuild executions");
        _leasesLost = _meter.CreateCounter<long>("durable.leases.lost", "{lease}", "Leases this process had to give up");
        _ended = _meter.CreateCounter<long>("durable.instances.ended", "{instance}", "Instances ended here, by status");
        ObserveDatabase();
        ObserveWorker();
        ObserveTraffic();
    }

    public ILogger Log { get; }

    /// <summary>The log of activities.</summary>
    public ILogger ActivityLog { get; }

    /// <summary>This host's meter; other hosts in the process have meters with the same name.</summary>
    public Meter Meter => _meter;

    /// <summary>The current incarnation; null if there is none.</summary>
    public WorkerIncarnation? Worker { get; set; }

    /// <summary>W3C trace context of the current operation, to record with everything that it causes; null if there is none.</summary>
    public static string? ContextOf(Activity? span) =>
        (span ?? Activity.Current) is { IdFormat: ActivityIdFormat.W3C } current ? current.Id : null;

    /// <summary>Starts the span of a client operation. Null if nothing listens.</summary>
    public static Activity? StartClient(string operation, string? name, string? instanceId)
    {
        var span = Source.StartActivity(name is null ? operation : $"{operation}:{name}", ActivityKind.Producer);
        if (instanceId is not null)
            span?.SetTag("durabletask.task.instance_id", instanceId);
        return span;
    }

    /// <summary>Starts the span of a turn, under the operation that started the instance.</summary>
    public static Activity? StartTurn(ClaimedInstance instance) =>
        Start("orchestration", instance.Identity.Name, instance.TraceParent)
            ?.SetTag("durabletask.task.instance_id", instance.InstanceId)
            .SetTag("durabletask.task.execution_id", instance.Identity.ExecutionId);

    /// <summary>Starts the span of an activity's delivery, under the turn that scheduled the activity.</summary>
    public static Activity? StartActivity(ClaimedActivity activity) =>
        Start("activity", activity.Name, activity.TraceParent)
            ?.SetTag("durabletask.task.instance_id", activity.InstanceId)
            .SetTag("durabletask.task.execution_id", activity.ExecutionId)
            .SetTag("durabletask.task.task_id", activity.TaskId)
            .SetTag("durabletask.task.delivery_count", activity.Attempts);

    public void TurnEnded(string orchestration, string outcome, long startedAt)
    {
        if (_turns.Enabled)
            _turns.Record(
                _time.GetElapsedTime(startedAt).TotalSeconds,
                new("durable.orchestration.name", orchestration),
                new("durable.outcome", outcome)
            );
    }

    public void ActivityEnded(ClaimedActivity activity, string outcome, long startedAt)
    {
        if (!_activities.Enabled)
            return;
        _activities.Record(
            _time.GetElapsedTime(startedAt).TotalSeconds,
            new("durable.activity.name", activity.Name),
            new("durable.queue", activity.Queue),
            new("durable.outcome", outcome)
        );
    }

    public void Fenced(string orchestration) =>
        _fenced.Add(1, new KeyValuePair<string, object?>("durable.orchestration.name", orchestration));

    public void Replayed(string orchestration, int events)
    {
        var name = new KeyValuePair<string, object?>("durable.orchestration.name", orchestration);
        _replays.Add(1, name);
        _replayedEvents.Add(events, name);
    }

    public void LeaseLost() => _leasesLost.Add(1);

    public void Ended(string orchestration, OrchestrationRuntimeStatus status) =>
        _ended.Add(1, new("durable.orchestration.name", orchestration), new("durable.status", status.ToString()));

    public void Dispose() => _meter.Dispose();

    /// <summary>Instruments of the whole database, which every process of it reports alike.</summary>
    private void ObserveDatabase()
    {
        _meter.CreateObservableGauge(
            "durable.instances",
            () => State().Instances,
            "{instance}",
            "Instances that have not ended, in the whole database, by status"
        );
        _meter.CreateObservableGauge(
            "durable.queue.age",
            () => State().QueueAges,
            "s",
            "Age of the oldest work nobody has taken, in the whole database, by queue"
        );
    }

    private void ObserveWorker()
    {
        _meter.CreateObservableUpDownCounter(
            "durable.instances.resident",
            () => Worker?.ResidentCount ?? 0,
            "{instance}",
            "Instances in this process's memory"
        );
        _meter.CreateObservableUpDownCounter(
            "durable.activities.running",
            () => Slots(slot => slot.Used),
            "{activity}",
            "Activities running in this process, by queue"
        );
        _meter.CreateObservableUpDownCounter(
            "durable.activities.slots",
            () => Slots(slot => slot.Capacity),
            "{activity}",
            "Activities this process may run at once, by queue"
        );
    }

    private void ObserveTraffic()
    {
        _meter.CreateObservableCounter(
            "durable.db.statements",
            () => _store.Traffic.Statements,
            "{statement}",
            "Statements sent to the database"
        );
        _meter.CreateObservableCounter(
            "durable.db.commits",
            () => _store.Traffic.Commits,
            "{commit}",
            "Transactions committed, statements on their own included"
        );
        _meter.CreateObservableCounter(
            "durable.db.round_trips",
            () => _store.Traffic.RoundTrips,
            "{round_trip}",
            "Waits for an answer of the database server"
        );
    }

    private static Activity? Start(string type, string name, string? parent)
    {
        if (!Source.HasListeners())
            return null;
        // Without a recorded parent (default), the span is a child of the current one, or a root.
        var context = ActivityContext.TryParse(parent, null, isRemote: true, out var recorded) ? recorded : default;
        return Source
            .StartActivity($"{type}:{name}", ActivityKind.Consumer, context)
            ?.SetTag("durabletask.type", type)
            .SetTag("durabletask.task.name", name);
    }

    private IEnumerable<Measurement<int>> Slots(Func<QueueSlots, int> value) =>
        Worker?.Activities.Slots.Select(queue => new Measurement<int>(
            value(queue.Value),
            new KeyValuePair<string, object?>("durable.queue", queue.Key)
        ))
        ?? [];

    /// <summary>
    /// The last answer. Instruments are read synchronously, so an old answer is renewed in the background for the next reading.
    /// </summary>
    private StoreState State()
    {
        var age = Volatile.Read(ref _stateAt) is > 0 and var at ? _time.GetElapsedTime(at) : TimeSpan.MaxValue;
        if (age >= QueryInterval && Interlocked.Exchange(ref _asking, 1) == 0)
            _ = RenewAsync();
        return age < 4 * QueryInterval ? Volatile.Read(ref _state) : new([], []);
    }

    private async Task RenewAsync()
    {
        try
        {
            Volatile.Write(ref _state, await _queries.ReadAsync(CancellationToken.None));
            Volatile.Write(ref _stateAt, _time.GetTimestamp());
        }
        catch (Exception)
        {
            // The worker reports that the database is unavailable; answers that are too old are not reported at all.
        }
        finally
        {
            Volatile.Write(ref _asking, 0);
        }
    }
}
