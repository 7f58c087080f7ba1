namespace Librarian.Durable;

/// <summary>How an activity or sub-orchestration is called.</summary>
/// <param name="Retry">What to do after a failure; null: fail at once.</param>
public record TaskOptions(TaskRetryOptions? Retry = null)
{
    /// <summary>
    /// Named queue of an activity; workers serve the queues listed in <see cref="DurableTaskOptions.Queues"/> with a
    /// concurrency limit each, so work bound to one machine or drive waits for the worker that has it. Empty: the default queue.
    /// </summary>
    public string Queue { get; init; } = "";

    /// <summary>Version of the activity or child; null: the caller's.</summary>
    public string? Version { get; init; }

    /// <summary>Options with a retry policy.</summary>
    public static TaskOptions FromRetryPolicy(RetryPolicy policy) => new(TaskRetryOptions.FromRetryPolicy(policy));

    /// <summary>Options with a handler that decides after each failure.</summary>
    public static TaskOptions FromRetryHandler(AsyncRetryHandler handler) => new(TaskRetryOptions.FromRetryHandler(handler));

    /// <summary>Options with a handler that decides after each failure.</summary>
    public static TaskOptions FromRetryHandler(RetryHandler handler) => new(TaskRetryOptions.FromRetryHandler(handler));

    /// <summary>The same options for a sub-orchestration with that instance id.</summary>
    public SubOrchestrationOptions WithInstanceId(string instanceId) => new(this, instanceId);
}

/// <summary>Options of a sub-orchestration.</summary>
public sealed record SubOrchestrationOptions : TaskOptions
{
    /// <summary>From parts.</summary>
    public SubOrchestrationOptions(TaskRetryOptions? retry = null, string? instanceId = null)
        : base(retry) => InstanceId = instanceId;

    /// <summary>From task options.</summary>
    public SubOrchestrationOptions(TaskOptions options, string? instanceId = null)
        : base(options) => InstanceId = instanceId;

    /// <summary>Instance id of the child; null: a deterministic new one.</summary>
    public string? InstanceId { get; init; }
}

/// <summary>Options of a new orchestration.</summary>
/// <param name="InstanceId">Instance id; null: a random one.</param>
/// <param name="StartAt">Earliest start (UTC); the instance is Pending until then.</param>
public record StartOrchestrationOptions(string? InstanceId = null, DateTimeOffset? StartAt = null)
{
    /// <summary>Labels, fixed at start.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>();

    /// <summary>Version, fixed at start; null: the worker options' default version.</summary>
    public string? Version { get; init; }

    /// <summary>
    /// Names of <see cref="OrchestrationRuntimeStatus"/>: an existing instance in one of them refuses the start, in any other is
    /// replaced. Null: Pending, Running and Suspended refuse.
    /// </summary>
    public IReadOnlyList<string>? DedupeStatuses { get; init; }

    /// <summary>A copy with these dedupe statuses; none: replace whatever exists.</summary>
    public StartOrchestrationOptions WithDedupeStatuses(params OrchestrationRuntimeStatus[] statuses) =>
        this with { DedupeStatuses = [.. statuses.Select(status => status.ToString())] };
}

/// <summary>Decides after a failure whether to try again; may wait with the context's timers.</summary>
public delegate Task<bool> AsyncRetryHandler(RetryContext retryContext);

/// <summary>Decides after a failure whether to try again.</summary>
public delegate bool RetryHandler(RetryContext retryContext);

/// <summary>What a retry handler knows.</summary>
/// <param name="OrchestrationContext">The orchestration.</param>
/// <param name="LastAttemptNumber">Attempts made, 1 after the first failure.</param>
/// <param name="LastFailure">The last failure.</param>
/// <param name="TotalRetryTime">Time since the first attempt began.</param>
/// <param name="CancellationToken">Never cancelled today.</param>
public sealed record RetryContext(
    TaskOrchestrationContext OrchestrationContext,
    int LastAttemptNumber,
    TaskFailureDetails LastFailure,
    TimeSpan TotalRetryTime,
    CancellationToken CancellationToken);

/// <summary>A policy or a handler.</summary>
public sealed class TaskRetryOptions
{
    private TaskRetryOptions(RetryPolicy? policy, AsyncRetryHandler? handler) => (Policy, Handler) = (policy, handler);

    /// <summary>The policy, if one was given.</summary>
    public RetryPolicy? Policy { get; }

    /// <summary>The handler, if one was given.</summary>
    public AsyncRetryHandler? Handler { get; }

    /// <summary>From a policy.</summary>
    public static TaskRetryOptions FromRetryPolicy(RetryPolicy policy) => new(policy ?? throw new ArgumentNullException(nameof(policy)), null);

    /// <summary>From a handler.</summary>
    public static TaskRetryOptions FromRetryHandler(AsyncRetryHandler handler) => new(null, handler ?? throw new ArgumentNullException(nameof(handler)));

    /// <summary>From a handler.</summary>
    public static TaskRetryOptions FromRetryHandler(RetryHandler handler)
    {
        ArgumentNullException.ThrowIfNull(handler);
        return new(null, context => Task.FromResult(handler(context)));
    }

    /// <summary>From a policy.</summary>
    public static implicit operator TaskRetryOptions(RetryPolicy policy) => FromRetryPolicy(policy);
}

/// <summary>
/// Declarative retries. The delay before attempt n+1 is <c>first · coefficient^(n-1)</c>, at most the maximum interval, as a
/// durable timer. No further attempt starts once the retry time-out since the first attempt has passed.
/// </summary>
public sealed class RetryPolicy
{
    /// <summary>Creates a policy.</summary>
    /// <param name="maxNumberOfAttempts">At least 1.</param>
    /// <param name="firstRetryInterval">Greater than zero.</param>
    /// <param name="backoffCoefficient">At least 1.</param>
    /// <param name="maxRetryInterval">At least the first interval; null: one hour (or the first interval if that is longer).</param>
    /// <param name="retryTimeout">Null: no limit.</param>
    public RetryPolicy(int maxNumberOfAttempts, TimeSpan firstRetryInterval, double backoffCoefficient = 1.0, TimeSpan? maxRetryInterval = null, TimeSpan? retryTimeout = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxNumberOfAttempts, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(firstRetryInterval, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThan(backoffCoefficient, 1.0);
        if (maxRetryInterval is { } max) ArgumentOutOfRangeException.ThrowIfLessThan(max, firstRetryInterval, nameof(maxRetryInterval));
        MaxNumberOfAttempts = maxNumberOfAttempts;
        FirstRetryInterval = firstRetryInterval;
        BackoffCoefficient = backoffCoefficient;
        MaxRetryInterval = maxRetryInterval ?? (firstRetryInterval > TimeSpan.FromHours(1) ? firstRetryInterval : TimeSpan.FromHours(1));
        RetryTimeout = retryTimeout ?? Timeout.InfiniteTimeSpan;
    }

    /// <summary>Attempts in all.</summary>
    public int MaxNumberOfAttempts { get; }

    /// <summary>Delay after the first failure.</summary>
    public TimeSpan FirstRetryInterval { get; }

    /// <summary>Growth of the delay.</summary>
    public double BackoffCoefficient { get; }

    /// <summary>Longest delay.</summary>
    public TimeSpan MaxRetryInterval { get; }

    /// <summary>Time after which no attempt starts; <see cref="Timeout.InfiniteTimeSpan"/>: no limit.</summary>
    public TimeSpan RetryTimeout { get; }

    /// <summary>Refuses retries for certain failures when it returns false; must be deterministic.</summary>
    public Func<TaskFailureDetails, bool>? HandleFailure { get; init; }

    internal TimeSpan DelayAfter(int attempt)
    {
        var milliseconds = FirstRetryInterval.TotalMilliseconds * Math.Pow(BackoffCoefficient, attempt - 1);
        return milliseconds >= MaxRetryInterval.TotalMilliseconds ? MaxRetryInterval : TimeSpan.FromMilliseconds(milliseconds);
    }
}
