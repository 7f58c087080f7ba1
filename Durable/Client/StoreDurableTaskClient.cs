using System.Data.Common;
using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Librarian.Durable.Worker;
using Microsoft.Extensions.Options;

namespace Librarian.Durable.Client;

/// <summary>The client on the database; it needs no worker in its process.</summary>
internal sealed partial class StoreDurableTaskClient(
    string name,
    DurableStore store,
    TaskCode tasks,
    WorkSignal signal,
    InstanceWatch watch,
    TimeProvider time,
    IOptionsMonitor<DurableTaskClientOptions> clientOptions
) : DatabaseDurableTaskClient(name)
{
    private const int PurgeBatch = 500;
    private static readonly long DefaultDedupe = Mask([
        OrchestrationRuntimeStatus.Pending,
        OrchestrationRuntimeStatus.Running,
        OrchestrationRuntimeStatus.Suspended,
    ]);
    private readonly ClientQueries _queries = new(store);
    private readonly DataConverter _converter = tasks.ConverterOf(clientOptions.Get(name).DataConverter);
    private readonly string _defaultVersion = clientOptions.Get(name).DefaultVersion is { Length: > 0 } version
        ? version
        : tasks.Versioning.DefaultVersion ?? "";

    public override async Task<string> ScheduleNewOrchestrationInstanceAsync(
        TaskName orchestratorName,
        object? input = null,
        StartOrchestrationOptions? options = null,
        CancellationToken cancellation = default
    )
    {
        var result = await TryScheduleNewOrchestrationInstanceAsync(orchestratorName, input, options, cancellation);
        return result.Started ? result.InstanceId : throw AlreadyExists(result.InstanceId);
    }

    public override async Task<StartResult> TryScheduleNewOrchestrationInstanceAsync(
        TaskName orchestratorName,
        object? input = null,
        StartOrchestrationOptions? options = null,
        CancellationToken cancellation = default
    ) => (await ScheduleNewOrchestrationInstancesAsync([new(orchestratorName, input, options)], null, cancellation))[0];

    public override async Task<StartResult> ScheduleNewOrchestrationInstanceAsync(
        TaskName orchestratorName,
        object? input,
        StartOrchestrationOptions? options,
        DbTransaction transaction,
        CancellationToken cancellation = default
    )
    {
        ArgumentNullException.ThrowIfNull(transaction);
        return (await ScheduleNewOrchestrationInstancesAsync([new(orchestratorName, input, options)], transaction, cancellation))[0];
    }

    public override async Task<IReadOnlyList<StartResult>> ScheduleNewOrchestrationInstancesAsync(
        IReadOnlyList<OrchestrationStart> starts,
        DbTransaction? transaction = null,
        CancellationToken cancellation = default
    )
    {
        ArgumentNullException.ThrowIfNull(starts);
        if (starts.Count == 0)
            return [];
        var rows = starts.Select(ToRow).ToList();
        if (rows.DistinctBy(row => row.InstanceId, StringComparer.Ordinal).Count() != rows.Count)
            throw new ArgumentException("Two starts have the same instance id.", nameof(starts));
        using var span =
            rows.Count == 1
                ? Telemetry.StartClient("create_orchestration", rows[0].Name, rows[0].InstanceId)
                : Telemetry.StartClient("create_orchestrations", null, null);
        var trace = Telemetry.ContextOf(span);
        HashSet<string> started;
        if (transaction is null)
        {
            started = await store.TransactAsync(session => _queries.StartAsync(session, rows, trace, cancellation), cancellation);
            signal.Raise();
        }
        else
        {
            await using var session = store.Join(transaction);
            started = await _queries.StartAsync(session, rows, trace, cancellation);
            signal.RaiseSoon();
        }

        return [.. rows.Select(row => new StartResult(row.InstanceId, started.Contains(row.InstanceId)))];
    }

    public override Task RaiseEventAsync(
        string instanceId,
        string eventName,
        object? eventPayload = null,
        CancellationToken cancellation = default
    ) => RaiseEventAsync(instanceId, eventName, eventPayload, messageId: null, transaction: null, cancellation);

    public override Task<bool> RaiseEventAsync(
        string instanceId,
        string eventName,
        object? eventPayload,
        string? messageId,
        DbTransaction? transaction = null,
        CancellationToken cancellation = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(eventName);
        // The engine's own messages have ids that begin with a control character.
        if (messageId?.Any(char.IsControl) == true)
            throw new ArgumentException("A message id has no control characters.", nameof(messageId));
        return PostAsync(
            instanceId,
            EventKind.EventRaised,
            eventName,
            _converter.Serialize(eventPayload),
            messageId,
            transaction,
            cancellation
        );
    }

    public override Task<OrchestrationMetadata> WaitForInstanceStartAsync(
        string instanceId,
        bool getInputsAndOutputs = false,
        CancellationToken cancellation = default
    ) => WaitAsync(instanceId, getInputsAndOutputs, found => found.RuntimeStatus != OrchestrationRuntimeStatus.Pending, cancellation);

    public override Task<OrchestrationMetadata> WaitForInstanceCompletionAsync(
        string instanceId,
        bool getInputsAndOutputs = false,
        CancellationToken cancellation = default
    ) => WaitAsync(instanceId, getInputsAndOutputs, found => found.IsCompleted, cancellation);

    public override Task TerminateInstanceAsync(
        string instanceId,
        TerminateInstanceOptions? options = null,
        CancellationToken cancellation = default
    ) =>
        PostAsync(
            instanceId,
            EventKind.ExecutionTerminated,
            options?.Recursive == true ? ControlMessages.Recursive : null,
            _converter.Serialize(options?.Output),
            null,
            null,
            cancellation
        );

    public override Task SuspendInstanceAsync(string instanceId, string? reason = null, CancellationToken cancellation = default) =>
        PostAsync(instanceId, EventKind.ExecutionSuspended, null, _converter.Serialize(reason), null, null, cancellation);

    public override Task ResumeInstanceAsync(string instanceId, string? reason = null, CancellationToken cancellation = default) =>
        PostAsync(instanceId, EventKind.ExecutionResumed, null, _converter.Serialize(reason), null, null, cancellation);

    public override ValueTask DisposeAsync() => ValueTask.CompletedTask;

    public override Task<OrchestrationMetadata?> GetInstancesAsync(
        string instanceId,
        bool getInputsAndOutputs = false,
        CancellationToken cancellation = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(instanceId);
        return _queries.GetAsync(instanceId, getInputsAndOutputs, _converter, cancellation);
    }

    public override async Task<IReadOnlyList<PendingActivity>> GetPendingActivitiesAsync(
        string instanceId,
        CancellationToken cancellation = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(instanceId);
        return await _queries.PendingAsync(instanceId, _converter, cancellation);
    }

    public override async Task<PurgeResult> PurgeInstanceAsync(
        string instanceId,
        PurgeInstanceOptions? options = null,
        CancellationToken cancellation = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(instanceId);
        return new(await _queries.PurgeAsync(instanceId, options?.Recursive == true, cancellation));
    }

    public override async Task<PurgeResult> PurgeAllInstancesAsync(
        PurgeInstancesFilter filter,
        PurgeInstanceOptions? options = null,
        CancellationToken cancellation = default
    )
    {
        ArgumentNullException.ThrowIfNull(filter);
        var started = time.GetTimestamp();
        for (var total = 0; ; )
        {
            var purged = await _queries.PurgeAsync(filter, PurgeBatch, cancellation);
            total += purged;
            if (purged == 0)
                return new(total, true);
            if (filter.Timeout is { } limit && time.GetElapsedTime(started) >= limit)
                return new(total, false);
        }
    }

    public override async Task<string> RestartAsync(
        string instanceId,
        bool restartWithNewInstanceId = false,
        CancellationToken cancellation = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(instanceId);
        var (row, version, _) = await _queries.DetailsAsync(instanceId, _converter, cancellation) ?? throw NotFound(instanceId);
        // After ContinueAsNew the instance's input is that of its last execution; the first one's input is no longer stored.
        var start = new StartRow(
            restartWithNewInstanceId ? Guid.NewGuid().ToString("N") : instanceId,
            row.Name,
            version,
            row.SerializedInput,
            ClientQueries.TagsText(row.Tags),
            null,
            DefaultDedupe
        );
        var started = await store.TransactAsync(session => _queries.StartAsync(session, [start], null, cancellation), cancellation);
        if (started.Count == 0)
            throw AlreadyExists(instanceId);
        signal.Raise();
        return start.InstanceId;
    }

    public override async Task RewindInstanceAsync(string instanceId, string reason, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(instanceId);
        if (!await _queries.RewindAsync(instanceId, _converter.Serialize(string.IsNullOrEmpty(reason) ? null : reason), cancellation))
        {
            var found = await GetInstanceAsync(instanceId, cancellation: cancellation) ?? throw NotFound(instanceId);
            throw new InvalidOperationException(
                $"InstanceNotFailed: '{instanceId}' is {found.RuntimeStatus}; only a Failed instance can be rewound. Nothing was changed."
            );
        }

        signal.Raise();
    }

    public override async Task<IReadOnlyList<OrchestrationHistoryEvent>> ReadHistoryAsync(
        string instanceId,
        CancellationToken cancellation = default
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(instanceId);
        var history = await _queries.HistoryAsync(instanceId, cancellation);
        if (history.Count == 0 && await GetInstanceAsync(instanceId, cancellation: cancellation) is null)
            throw NotFound(instanceId);
        return history;
    }

    public override async Task<IList<global::DurableTask.Core.History.HistoryEvent>> GetOrchestrationHistoryAsync(
        string instanceId,
        CancellationToken cancellation = default
    ) => CoreHistory.Of(await ReadHistoryAsync(instanceId, cancellation));

    public override Task<InstanceDetails?> GetDetailsAsync(string instanceId, CancellationToken cancellation = default) =>
        _queries.DetailsAsync(instanceId, _converter, cancellation);

    public override bool KnowsOrchestrator(string name) => tasks.Registry.HasOrchestrator(name);

    public override void SignalCommitted() => signal.Raise();

    private static OrchestrationAlreadyExistsException AlreadyExists(string id) =>
        new(
            $"OrchestrationAlreadyExists: instance '{id}' exists and its status refuses a new start. "
                + "It keeps running untouched; wait for it, terminate it, or use another id."
        );

    private static ArgumentException NotFound(string instanceId) =>
        new(
            $"InstanceNotFound: there is no orchestration instance '{instanceId}'. Check the id; a purged instance is gone.",
            nameof(instanceId)
        );

    private static string Operation(EventKind kind) =>
        kind switch
        {
            EventKind.EventRaised => "raise_event",
            EventKind.ExecutionTerminated => "terminate",
            EventKind.ExecutionSuspended => "suspend",
            EventKind.ExecutionResumed => "resume",
            _ => "message",
        };

    private async Task<bool> PostAsync(
        string instanceId,
        EventKind kind,
        string? name,
        string? data,
        string? messageId,
        DbTransaction? transaction,
        CancellationToken cancellation
    )
    {
        ArgumentException.ThrowIfNullOrEmpty(instanceId);
        using var span = Telemetry.StartClient(Operation(kind), name, instanceId);
        var message = _queries.Post(instanceId, kind, name, data, messageId);
        if (transaction is not null)
        {
            await using var joined = store.Join(transaction);
            var stored = await joined.ExecuteAsync(message, cancellation) > 0;
            signal.RaiseSoon();
            return stored;
        }

        var posted = (await store.ExecuteAsync([message], cancellation))[0] > 0;
        signal.Raise();
        return posted;
    }

    private async Task<OrchestrationMetadata> WaitAsync(
        string instanceId,
        bool withData,
        Func<OrchestrationMetadata, bool> isReached,
        CancellationToken cancellation
    )
    {
        using var wait = watch.Begin(instanceId);
        for (var delay = TimeSpan.FromMilliseconds(10); ; )
        {
            var change = wait.NextChange;
            var found = await GetInstanceAsync(instanceId, withData, cancellation) ?? throw NotFound(instanceId);
            if (isReached(found))
                return found;
            try
            {
                await change.WaitAsync(delay, time, cancellation);
            }
            catch (TimeoutException)
            {
                delay = TimeSpan.FromMilliseconds(Math.Min(500, delay.TotalMilliseconds * 1.5));
            }
        }
    }
}
