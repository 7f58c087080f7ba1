namespace Librarian.Durable;

/// <summary>Status of an orchestration instance. Numbers and names as in Microsoft.DurableTask; ContinuedAsNew and Canceled are never reported.</summary>
public enum OrchestrationRuntimeStatus
{
    /// <summary>Started and not finished (also while waiting).</summary>
    Running = 0,

    /// <summary>Returned normally.</summary>
    Completed = 1,

    /// <summary>Never reported.</summary>
    ContinuedAsNew = 2,

    /// <summary>Ended by an unhandled exception, nondeterminism or poison.</summary>
    Failed = 3,

    /// <summary>Never reported.</summary>
    Canceled = 4,

    /// <summary>Ended by <see cref="DurableTaskClient.TerminateInstanceAsync(string, TerminateInstanceOptions?, CancellationToken)"/>.</summary>
    Terminated = 5,

    /// <summary>Stored, not started.</summary>
    Pending = 6,

    /// <summary>Stopped until resumed; messages are kept.</summary>
    Suspended = 7,
}

/// <summary>What is known of an instance.</summary>
/// <param name="Name">Orchestrator name.</param>
/// <param name="InstanceId">Instance id.</param>
public sealed record OrchestrationMetadata(string Name, string InstanceId)
{
    internal DataConverter? DataConverter { get; init; }

    internal bool FetchedInputsAndOutputs { get; init; }

    /// <summary>Status.</summary>
    public OrchestrationRuntimeStatus RuntimeStatus { get; init; }

    /// <summary>UTC.</summary>
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>UTC, time of the last turn or status change.</summary>
    public DateTimeOffset LastUpdatedAt { get; init; }

    /// <summary>Input text, when fetched.</summary>
    public string? SerializedInput { get; init; }

    /// <summary>Output text, when fetched.</summary>
    public string? SerializedOutput { get; init; }

    /// <summary>Custom status text, when fetched.</summary>
    public string? SerializedCustomStatus { get; init; }

    /// <summary>Labels given at start.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>();

    /// <summary>Version given at start.</summary>
    public string Version { get; init; } = "";

    /// <summary>Instance id of the parent, when this is a sub-orchestration.</summary>
    public string? ParentInstanceId { get; init; }

    /// <summary>Why it failed, when it did.</summary>
    public TaskFailureDetails? FailureDetails { get; init; }

    /// <summary>Status is Running.</summary>
    public bool IsRunning => RuntimeStatus == OrchestrationRuntimeStatus.Running;

    /// <summary>Status is final.</summary>
    public bool IsCompleted => RuntimeStatus is OrchestrationRuntimeStatus.Completed or OrchestrationRuntimeStatus.Failed or OrchestrationRuntimeStatus.Terminated;

    /// <summary>Reads the input; throws unless inputs and outputs were fetched.</summary>
    public T? ReadInputAs<T>() => Converter().Deserialize<T>(SerializedInput);

    /// <summary>Reads the output; throws unless inputs and outputs were fetched.</summary>
    public T? ReadOutputAs<T>() => Converter().Deserialize<T>(SerializedOutput);

    /// <summary>Reads the custom status; throws unless inputs and outputs were fetched.</summary>
    public T? ReadCustomStatusAs<T>() => Converter().Deserialize<T>(SerializedCustomStatus);

    private DataConverter Converter() => FetchedInputsAndOutputs && DataConverter is not null
        ? DataConverter
        : throw new InvalidOperationException($"Instance '{InstanceId}' was fetched without inputs and outputs. Ask again with getInputsAndOutputs: true.");
}

/// <summary>Filter and page size of a query. Null fields do not filter.</summary>
public sealed record OrchestrationQuery
{
    /// <summary>Rows per page.</summary>
    public const int DefaultPageSize = 100;

    /// <summary>Created at or after (UTC).</summary>
    public DateTimeOffset? CreatedFrom { get; init; }

    /// <summary>Created at or before (UTC).</summary>
    public DateTimeOffset? CreatedTo { get; init; }

    /// <summary>Any of these statuses.</summary>
    public IReadOnlyCollection<OrchestrationRuntimeStatus>? Statuses { get; init; }

    /// <summary>Instance id begins with (ordinal).</summary>
    public string? InstanceIdPrefix { get; init; }

    /// <summary>Any of these orchestrator names.</summary>
    public IReadOnlyCollection<string>? Names { get; init; }

    /// <summary>All of these tags, with these values.</summary>
    public IReadOnlyDictionary<string, string>? Tags { get; init; }

    /// <summary>Only instances that are not sub-orchestrations.</summary>
    public bool ParentsOnly { get; init; }

    /// <summary>Rows per page, 1 to 1000.</summary>
    public int PageSize { get; init; } = DefaultPageSize;

    /// <summary>Also fetch inputs, outputs and custom statuses.</summary>
    public bool FetchInputsAndOutputs { get; init; }

    /// <summary>Token of the page to start with.</summary>
    public string? ContinuationToken { get; init; }
}

/// <summary>One page.</summary>
/// <param name="Values">Rows.</param>
/// <param name="ContinuationToken">Token of the next page; null: this is the last.</param>
public sealed record Page<T>(IReadOnlyList<T> Values, string? ContinuationToken);

/// <summary>Rows in pages, fetched as they are read.</summary>
public abstract class AsyncPageable<T> : IAsyncEnumerable<T>
{
    /// <summary>The pages.</summary>
    public abstract IAsyncEnumerable<Page<T>> AsPages(string? continuationToken = null, int? pageSizeHint = null);

    /// <inheritdoc/>
    public async IAsyncEnumerator<T> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        await foreach (var page in AsPages().WithCancellation(cancellationToken))
        {
            foreach (var value in page.Values) yield return value;
        }
    }
}

/// <summary>How to terminate.</summary>
/// <param name="Output">Output of the terminated instance (often a reason).</param>
/// <param name="Recursive">Also terminate running sub-orchestrations.</param>
public sealed record TerminateInstanceOptions(object? Output = null, bool Recursive = false);

/// <summary>How to purge.</summary>
/// <param name="Recursive">Also purge finished sub-orchestrations.</param>
public sealed record PurgeInstanceOptions(bool Recursive = false);

/// <summary>Which finished instances to purge. Null fields do not filter.</summary>
/// <param name="CreatedFrom">Created at or after (UTC).</param>
/// <param name="CreatedTo">Created at or before (UTC).</param>
/// <param name="Statuses">Any of these final statuses; others are never purged.</param>
public sealed record PurgeInstancesFilter(DateTimeOffset? CreatedFrom = null, DateTimeOffset? CreatedTo = null, IReadOnlyCollection<OrchestrationRuntimeStatus>? Statuses = null)
{
    /// <summary>Ended at or before (UTC).</summary>
    public DateTimeOffset? CompletedTo { get; init; }

    /// <summary>Longest time to spend; the result says whether all were purged.</summary>
    public TimeSpan? Timeout { get; init; }
}

/// <summary>Result of a purge.</summary>
/// <param name="PurgedInstanceCount">Instances removed.</param>
/// <param name="IsComplete">False when the time-out ended it early; call again.</param>
public sealed record PurgeResult(int PurgedInstanceCount, bool IsComplete = true);
