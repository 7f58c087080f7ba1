using System.Data.Common;
using Librarian.Durable.Worker;
using Microsoft.DurableTask.Client.Grpc;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Durable.Hub;

/// <summary>
/// The client for a Durable Task hub: Microsoft's client, with the nearest equivalents of the members that only an engine inside the
/// database can offer. Requests given with a transaction are sent after its commit (<see cref="HubOutbox"/>), and their result is not
/// known.
/// </summary>
internal sealed partial class HubDurableTaskClient : DatabaseDurableTaskClient
{
    private static readonly TimeSpan NoLimit = Timeout.InfiniteTimeSpan;

    // Ids of ended instances that are in memory at the same time: the listing must not change while it is read.
    private const int PurgedAtOnce = 1000;

    private static readonly OrchestrationRuntimeStatus[] Ended =
    [
        OrchestrationRuntimeStatus.Completed,
        OrchestrationRuntimeStatus.Failed,
        OrchestrationRuntimeStatus.Terminated,
    ];

    private static readonly string[] Active =
    [
        nameof(OrchestrationRuntimeStatus.Pending),
        nameof(OrchestrationRuntimeStatus.Running),
        nameof(OrchestrationRuntimeStatus.Suspended),
    ];

    private readonly HubConnection _connection;
    private readonly HubOutbox _outbox;
    private readonly TaskRegistry _registry;
    private readonly TimeProvider _time;
    private readonly GrpcDurableTaskClient _hub;

    public HubDurableTaskClient(
        string name,
        HubConnection connection,
        HubOutbox outbox,
        TaskRegistry registry,
        IOptionsMonitor<GrpcDurableTaskClientOptions> options,
        TimeProvider time,
        ILogger<GrpcDurableTaskClient> log
    )
        : base(name)
    {
        (_connection, _outbox, _registry, _time) = (connection, outbox, registry, time);
        _hub = new GrpcDurableTaskClient(name, options.Get(name), log);
    }

    public override bool StartsInTransaction => false;

    public override async Task<string> ScheduleNewOrchestrationInstanceAsync(
        TaskName orchestratorName,
        object? input = null,
        StartOrchestrationOptions? options = null,
        CancellationToken cancellation = default
    )
    {
        options ??= new StartOrchestrationOptions();
        // Microsoft's client does not send dedupe statuses that leave no status replaceable; a hub would then use its own.
        if (
            options is { DedupeStatuses: { } asked, InstanceId: { } id }
            && await GetInstancesAsync(id, cancellation: cancellation) is { } found
            && asked.Contains(found.RuntimeStatus.ToString(), StringComparer.OrdinalIgnoreCase)
        )
            throw AlreadyExists(found);
        if (options.DedupeStatuses is null)
            options = options with { DedupeStatuses = Active };
        TaskName name = _registry.SpellingOf(orchestratorName);
        return await AskAsync(token => _hub.ScheduleNewOrchestrationInstanceAsync(name, input, options, token), cancellation);
    }

    public override async Task<StartResult> TryScheduleNewOrchestrationInstanceAsync(
        TaskName orchestratorName,
        object? input = null,
        StartOrchestrationOptions? options = null,
        CancellationToken cancellation = default
    )
    {
        try
        {
            return new(await ScheduleNewOrchestrationInstanceAsync(orchestratorName, input, options, cancellation), true);
        }
        catch (OrchestrationAlreadyExistsException)
        {
            return new(options!.InstanceId!, false);
        }
    }

    public override Task<StartResult> ScheduleNewOrchestrationInstanceAsync(
        TaskName orchestratorName,
        object? input,
        StartOrchestrationOptions? options,
        DbTransaction transaction,
        CancellationToken cancellation = default
    )
    {
        ArgumentNullException.ThrowIfNull(transaction);
        var id = options?.InstanceId ?? Guid.NewGuid().ToString("N");
        options = (options ?? new StartOrchestrationOptions()) with { InstanceId = id };
        _outbox.Keep(transaction, token => TryScheduleNewOrchestrationInstanceAsync(orchestratorName, input, options, token));
        return Task.FromResult(new StartResult(id, false));
    }

    public override async Task<IReadOnlyList<StartResult>> ScheduleNewOrchestrationInstancesAsync(
        IReadOnlyList<OrchestrationStart> starts,
        DbTransaction? transaction = null,
        CancellationToken cancellation = default
    )
    {
        ArgumentNullException.ThrowIfNull(starts);
        var results = new List<StartResult>(starts.Count);
        foreach (var start in starts)
        {
            results.Add(
                transaction is null
                    ? await TryScheduleNewOrchestrationInstanceAsync(start.Name, start.Input, start.Options, cancellation)
                    : await ScheduleNewOrchestrationInstanceAsync(start.Name, start.Input, start.Options, transaction, cancellation)
            );
        }

        return results;
    }

    public override Task RaiseEventAsync(
        string instanceId,
        string eventName,
        object? eventPayload = null,
        CancellationToken cancellation = default
    ) => RaiseEventAsync(instanceId, eventName, eventPayload, messageId: null, transaction: null, cancellation);

    public override async Task<bool> RaiseEventAsync(
        string instanceId,
        string eventName,
        object? eventPayload,
        string? messageId,
        DbTransaction? transaction = null,
        CancellationToken cancellation = default
    )
    {
        if (transaction is not null)
        {
            _outbox.Keep(transaction, token => RaiseEventAsync(instanceId, eventName, eventPayload, messageId, transaction: null, token));
            return false;
        }

        // Hubs differ in how they treat an event for a missing instance; here it is dropped.
        if (await GetInstancesAsync(instanceId, cancellation: cancellation) is not { IsCompleted: false })
            return false;
        await AskAsync(token => _hub.RaiseEventAsync(instanceId, eventName, eventPayload, token), cancellation);
        return true;
    }

    public override async Task<OrchestrationMetadata> WaitForInstanceStartAsync(
        string instanceId,
        bool getInputsAndOutputs = false,
        CancellationToken cancellation = default
    )
    {
        await WaitUntilKnownAsync(instanceId, cancellation);
        return await AskAsync(token => _hub.WaitForInstanceStartAsync(instanceId, getInputsAndOutputs, token), cancellation, NoLimit);
    }

    public override async Task<OrchestrationMetadata> WaitForInstanceCompletionAsync(
        string instanceId,
        bool getInputsAndOutputs = false,
        CancellationToken cancellation = default
    )
    {
        await WaitUntilKnownAsync(instanceId, cancellation);
        return await AskAsync(token => _hub.WaitForInstanceCompletionAsync(instanceId, getInputsAndOutputs, token), cancellation, NoLimit);
    }

    public override Task TerminateInstanceAsync(
        string instanceId,
        TerminateInstanceOptions? options = null,
        CancellationToken cancellation = default
    ) => AskAsync(token => _hub.TerminateInstanceAsync(instanceId, options, token), cancellation);

    public override Task SuspendInstanceAsync(string instanceId, string? reason = null, CancellationToken cancellation = default) =>
        AskAsync(token => _hub.SuspendInstanceAsync(instanceId, reason, token), cancellation);

    public override Task ResumeInstanceAsync(string instanceId, string? reason = null, CancellationToken cancellation = default) =>
        AskAsync(token => _hub.ResumeInstanceAsync(instanceId, reason, token), cancellation);

    public override Task<OrchestrationMetadata?> GetInstancesAsync(
        string instanceId,
        bool getInputsAndOutputs = false,
        CancellationToken cancellation = default
    ) => AskAsync(token => _hub.GetInstancesAsync(instanceId, getInputsAndOutputs, token), cancellation);

    public override AsyncPageable<OrchestrationMetadata> GetAllInstancesAsync(OrchestrationQuery? filter = null)
    {
        var more = filter as InstanceQuery;
        if (more?.ParentsOnly == true)
            throw Unsupported("a hub does not tell sub-orchestrations from others.");
        return Pageable.Create(
            (continuation, size, cancellation) =>
                AskAsync(
                    async token =>
                    {
                        await foreach (var page in _hub.GetAllInstancesAsync(filter).AsPages(continuation, size).WithCancellation(token))
                            return more is null
                                ? page
                                : new([.. page.Values.Where(instance => Fits(more, instance))], page.ContinuationToken);
                        return new Page<OrchestrationMetadata>([]);
                    },
                    cancellation
                )
        );
    }

    public override Task<IReadOnlyList<PendingActivity>> GetPendingActivitiesAsync(
        string instanceId,
        CancellationToken cancellation = default
    ) => throw Unsupported($"a hub does not list the pending activities of an instance ('{instanceId}').");

    public override Task<InstanceDetails?> GetDetailsAsync(string instanceId, CancellationToken cancellation = default) =>
        throw Unsupported($"a hub does not tell version and parent of an instance ('{instanceId}').");

    public override Task<IReadOnlyList<OrchestrationHistoryEvent>> ReadHistoryAsync(
        string instanceId,
        CancellationToken cancellation = default
    ) => throw Unsupported($"the history of '{instanceId}' is kept by the hub in a form of its own.");

    public override Task<IList<global::DurableTask.Core.History.HistoryEvent>> GetOrchestrationHistoryAsync(
        string instanceId,
        CancellationToken cancellation = default
    ) => AskAsync(token => _hub.GetOrchestrationHistoryAsync(instanceId, token), cancellation);

    public override Task<Page<string>> ListInstanceIdsAsync(
        IEnumerable<OrchestrationRuntimeStatus>? runtimeStatus = null,
        DateTimeOffset? completedTimeFrom = null,
        DateTimeOffset? completedTimeTo = null,
        int pageSize = 100,
        string? lastInstanceKey = null,
        CancellationToken cancellation = default
    ) =>
        AskAsync(
            token => _hub.ListInstanceIdsAsync(runtimeStatus, completedTimeFrom, completedTimeTo, pageSize, lastInstanceKey, token),
            cancellation
        );

    public override async Task<PurgeResult> PurgeInstanceAsync(
        string instanceId,
        PurgeInstanceOptions? options = null,
        CancellationToken cancellation = default
    )
    {
        // A hub might also purge a running instance.
        if (await GetInstancesAsync(instanceId, cancellation: cancellation) is not { IsCompleted: true })
            return new(0, true);
        return await AskAsync(token => _hub.PurgeInstanceAsync(instanceId, options, token), cancellation);
    }

    public override async Task<PurgeResult> PurgeAllInstancesAsync(
        PurgeInstancesFilter filter,
        PurgeInstanceOptions? options = null,
        CancellationToken cancellation = default
    )
    {
        ArgumentNullException.ThrowIfNull(filter);
        // Purged one by one: hubs filter by creation time and might include running instances.
        var (began, purged) = (_time.GetTimestamp(), 0);
        var ended = (filter as EndedInstancesFilter)?.CompletedTo;
        var statuses = filter.Statuses?.Intersect(Ended).ToList() ?? [.. Ended];
        if (statuses.Count == 0)
            return new PurgeResult(0, true);
        var query = new OrchestrationQuery
        {
            Statuses = statuses,
            CreatedFrom = filter.CreatedFrom,
            CreatedTo = filter.CreatedTo ?? ended,
            PageSize = 500,
        };
        while (true)
        {
            var ids = new List<string>();
            await foreach (var instance in GetAllInstancesAsync(query).WithCancellation(cancellation))
            {
                if (ended is null || instance.LastUpdatedAt <= ended)
                    ids.Add(instance.InstanceId);
                if (ids.Count == PurgedAtOnce)
                    break;
            }

            var before = purged;
            foreach (var id in ids)
            {
                if (filter.Timeout is { } limit && _time.GetElapsedTime(began) >= limit)
                    return new PurgeResult(purged, false);
                purged += (await PurgeInstanceAsync(id, options, cancellation)).PurgedInstanceCount;
            }

            // A hub that purges none of them would list the same ones for ever.
            if (ids.Count < PurgedAtOnce || purged == before)
                return new PurgeResult(purged, ids.Count < PurgedAtOnce);
        }
    }

    public override async Task<string> RestartAsync(
        string instanceId,
        bool restartWithNewInstanceId = false,
        CancellationToken cancellation = default
    )
    {
        var found = await FindAsync(instanceId, cancellation);
        if (!restartWithNewInstanceId && !found.IsCompleted)
            throw AlreadyExists(found);
        return await AskAsync(token => _hub.RestartAsync(instanceId, restartWithNewInstanceId, token), cancellation);
    }

    public override async Task RewindInstanceAsync(string instanceId, string reason, CancellationToken cancellation = default)
    {
        var found = await FindAsync(instanceId, cancellation);
        if (found.RuntimeStatus != OrchestrationRuntimeStatus.Failed)
        {
            throw new InvalidOperationException(
                $"InstanceNotFailed: '{instanceId}' is {found.RuntimeStatus}; only a Failed instance can be rewound. Nothing was changed."
            );
        }

        await AskAsync(token => _hub.RewindInstanceAsync(instanceId, reason, token), cancellation);
    }

    public override bool KnowsOrchestrator(string name) => _registry.HasOrchestrator(name);

    /// <summary>Does nothing: <see cref="HubOutbox.Committed"/> is called for every commit.</summary>
    public override void SignalCommitted() { }

    public override ValueTask DisposeAsync() => _hub.DisposeAsync();

    private static HubException Unsupported(string what, Exception? cause = null) =>
        new(HubException.Unsupported, $"{what} Use the hub's own tools.", cause);

    private static OrchestrationAlreadyExistsException AlreadyExists(OrchestrationMetadata found) =>
        new($"OrchestrationAlreadyExists: instance '{found.InstanceId}' is {found.RuntimeStatus}. It is left alone.");
}
