using Microsoft.Extensions.Logging;

namespace Librarian.Durable;

/// <summary>The calling orchestration of a sub-orchestration.</summary>
/// <param name="Name">Orchestrator name of the parent.</param>
/// <param name="InstanceId">Instance id of the parent.</param>
public sealed record ParentOrchestrationInstance(TaskName Name, string InstanceId);

/// <summary>
/// An orchestrator's only door to the outside. All members are used on the orchestrator's own flow of control: no
/// <c>Task.Run</c>, no <c>ConfigureAwait(false)</c>, no other tasks than the ones made here.
/// </summary>
public abstract class TaskOrchestrationContext
{
    /// <summary>Name of the orchestrator.</summary>
    public abstract TaskName Name { get; }

    /// <summary>Instance id, unique in the database.</summary>
    public abstract string InstanceId { get; }

    /// <summary>The caller when this is a sub-orchestration, else null.</summary>
    public abstract ParentOrchestrationInstance? Parent { get; }

    /// <summary>Version given at start, or empty.</summary>
    public abstract string Version { get; }

    /// <summary>UTC time of the current turn: constant between awaits, monotone, the same in every replay.</summary>
    public abstract DateTime CurrentUtcDateTime { get; }

    /// <summary>True while recorded history is re-executed.</summary>
    public abstract bool IsReplaying { get; }

    /// <summary>Where replay-safe loggers write.</summary>
    protected abstract ILoggerFactory LoggerFactory { get; }

    /// <summary>Reads the start input.</summary>
    public abstract T? GetInput<T>();

    /// <summary>Calls an activity that takes no input.</summary>
    public virtual Task CallActivityAsync(TaskName name, TaskOptions options) => CallActivityAsync<object?>(name, null, options);

    /// <summary>Calls an activity; failure (after retries) throws <see cref="TaskFailedException"/>.</summary>
    public virtual Task CallActivityAsync(TaskName name, object? input = null, TaskOptions? options = null) =>
        CallActivityAsync<object?>(name, input, options);

    /// <summary>Calls an activity that takes no input and returns a value.</summary>
    public virtual Task<TResult> CallActivityAsync<TResult>(TaskName name, TaskOptions options) => CallActivityAsync<TResult>(name, null, options);

    /// <summary>Calls an activity and reads its result; failure (after retries) throws <see cref="TaskFailedException"/>.</summary>
    public abstract Task<TResult> CallActivityAsync<TResult>(TaskName name, object? input = null, TaskOptions? options = null);

    /// <summary>Runs a sub-orchestration that takes no input.</summary>
    public virtual Task CallSubOrchestratorAsync(TaskName orchestratorName, TaskOptions options) =>
        CallSubOrchestratorAsync<object?>(orchestratorName, null, options);

    /// <summary>Runs a sub-orchestration and waits for its end.</summary>
    public virtual Task CallSubOrchestratorAsync(TaskName orchestratorName, object? input = null, TaskOptions? options = null) =>
        CallSubOrchestratorAsync<object?>(orchestratorName, input, options);

    /// <summary>Runs a sub-orchestration that takes no input and reads its output.</summary>
    public virtual Task<TResult> CallSubOrchestratorAsync<TResult>(TaskName orchestratorName, TaskOptions options) =>
        CallSubOrchestratorAsync<TResult>(orchestratorName, null, options);

    /// <summary>
    /// Runs a sub-orchestration and reads its output. Its failure or termination, or an id that is in use by an active
    /// instance, throws <see cref="TaskFailedException"/>.
    /// </summary>
    public abstract Task<TResult> CallSubOrchestratorAsync<TResult>(TaskName orchestratorName, object? input = null, TaskOptions? options = null);

    /// <summary>A durable timer. Cancelling the token cancels the task and forgets the timer.</summary>
    public virtual Task CreateTimer(TimeSpan delay, CancellationToken cancellationToken) =>
        CreateTimer(CurrentUtcDateTime.Add(delay), cancellationToken);

    /// <summary>A durable timer due at a UTC time; there is no upper limit.</summary>
    public abstract Task CreateTimer(DateTime fireAt, CancellationToken cancellationToken);

    /// <summary>
    /// The next event of that name (case-insensitive). Events that arrive early are kept in order; of several waiters for one
    /// name the newest is served first; one event completes one waiter.
    /// </summary>
    public abstract Task<T> WaitForExternalEvent<T>(string eventName, CancellationToken cancellationToken = default);

    /// <summary>As above with a durable time-out, which throws <see cref="TaskCanceledException"/>.</summary>
    public virtual async Task<T> WaitForExternalEvent<T>(string eventName, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        using var timerCancellation = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var eventCancellation = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var timer = CreateTimer(timeout, timerCancellation.Token);
        var waiter = WaitForExternalEvent<T>(eventName, eventCancellation.Token);
        // Cancel, not CancelAsync: the callbacks must run here, on the orchestrator's own flow of control.
#pragma warning disable CA1849, MA0042
        if (await Task.WhenAny(timer, waiter) == waiter) timerCancellation.Cancel();
        else eventCancellation.Cancel();
#pragma warning restore CA1849, MA0042
        return await waiter;
    }

    /// <summary>Sends an event to another instance, without waiting; dropped when that instance is unknown or finished.</summary>
    public abstract void SendEvent(string instanceId, string eventName, object? payload);

    /// <summary>Sets the status text seen by queries, saved at the end of the turn; null clears it.</summary>
    public abstract void SetCustomStatus(object? customStatus);

    /// <summary>Ends this execution and starts a new one under the same id with an empty history.</summary>
    /// <param name="newInput">Input of the new execution.</param>
    /// <param name="preserveUnprocessedEvents">Whether kept events move to the new execution, in their order.</param>
    public void ContinueAsNew(object? newInput = null, bool preserveUnprocessedEvents = true) =>
        ContinueAsNew(new ContinueAsNewOptions { NewInput = newInput, PreserveUnprocessedEvents = preserveUnprocessedEvents });

    /// <summary>As above; may also move the instance to another version of its orchestrator. Tags and custom status are kept.</summary>
    public abstract void ContinueAsNew(ContinueAsNewOptions options);

    /// <summary>
    /// Compares this instance's version with another: negative when older, 0 when equal, positive when newer. Versions that both parse as
    /// <see cref="System.Version"/> are compared as numbers, others as ordinal text; an empty version is the oldest.
    /// </summary>
    public int CompareVersionTo(string version) => TaskVersion.Compare(Version, version);

    /// <summary>A UUIDv5 made from instance id, turn time and a counter: the same in every replay.</summary>
    public abstract Guid NewGuid();

    /// <summary>A logger that is silent while replaying.</summary>
    public virtual ILogger CreateReplaySafeLogger(string categoryName) => new ReplaySafeLogger(this, LoggerFactory.CreateLogger(categoryName));

    /// <summary>A logger that is silent while replaying.</summary>
    public virtual ILogger CreateReplaySafeLogger(Type type) => new ReplaySafeLogger(this, LoggerFactory.CreateLogger(type));

    /// <summary>A logger that is silent while replaying.</summary>
    public virtual ILogger CreateReplaySafeLogger<T>() => new ReplaySafeLogger(this, LoggerFactory.CreateLogger<T>());

    private sealed class ReplaySafeLogger(TaskOrchestrationContext context, ILogger inner) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => inner.BeginScope(state);

        public bool IsEnabled(LogLevel logLevel) => !context.IsReplaying && inner.IsEnabled(logLevel);

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (!context.IsReplaying) inner.Log(logLevel, eventId, state, exception, formatter);
        }
    }
}

/// <summary>How an execution is followed by the next under the same id.</summary>
public sealed record ContinueAsNewOptions
{
    /// <summary>Input of the new execution.</summary>
    public object? NewInput { get; init; }

    /// <summary>Whether kept events move to the new execution, in their order.</summary>
    public bool PreserveUnprocessedEvents { get; init; } = true;

    /// <summary>Version of the new execution; null keeps the present one.</summary>
    public string? NewVersion { get; init; }
}
