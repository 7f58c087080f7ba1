using System.Data.Common;

namespace Librarian.Durable;

/// <summary>What the engine runs as an activity. Derive from <see cref="TaskActivity{TInput,TOutput}"/>.</summary>
public interface ITaskActivity
{
    /// <summary>Type the input is read as.</summary>
    Type InputType { get; }

    /// <summary>Type of the output.</summary>
    Type OutputType { get; }

    /// <summary>Runs the activity once; see <see cref="TaskActivity{TInput,TOutput}.RunAsync"/>.</summary>
    Task<object?> RunAsync(TaskActivityContext context, object? input);
}

/// <summary>
/// One unit of ordinary work. It runs at least once: after a crash it is delivered again, so its outside effects are
/// idempotent under <see cref="TaskActivityContext.OperationId"/>. Built by dependency injection in a scope of its own.
/// </summary>
public abstract class TaskActivity<TInput, TOutput> : ITaskActivity
{
    Type ITaskActivity.InputType => typeof(TInput);

    Type ITaskActivity.OutputType => typeof(TOutput);

    async Task<object?> ITaskActivity.RunAsync(TaskActivityContext context, object? input) =>
        await RunAsync(context, input is null ? default! : (TInput)input);

    /// <summary>The work. An exception becomes a <see cref="TaskFailedException"/> in the orchestrator.</summary>
    public abstract Task<TOutput> RunAsync(TaskActivityContext context, TInput input);
}

/// <summary>What an activity knows about its call.</summary>
public abstract class TaskActivityContext
{
    /// <summary>Name it was called by.</summary>
    public abstract TaskName Name { get; }

    /// <summary>Version it was called with: the caller's unless the call named another.</summary>
    public abstract string Version { get; }

    /// <summary>The calling orchestration instance.</summary>
    public abstract string InstanceId { get; }

    /// <summary>
    /// <c>{instance}/{execution}/{taskId}</c>: the same for every delivery of this call and never used by another call,
    /// so it serves as an idempotency key towards peers.
    /// </summary>
    public abstract string OperationId { get; }

    /// <summary>How often this call was delivered, this time included; 1 unless a worker died or gave it back.</summary>
    public abstract int DeliveryCount { get; }

    /// <summary>
    /// Cancelled when the result will no longer be wanted here: this worker lost its lease, the instance was terminated
    /// or replaced, or the worker is draining. After a drain the call is delivered again elsewhere or later.
    /// </summary>
    public abstract CancellationToken CancellationToken { get; }

    /// <summary>
    /// Reports how far the call is, for <see cref="DurableTaskClient.GetPendingActivitiesAsync"/>. Returns at once; the newest report is written at most
    /// once a second, and a report that cannot be written is dropped. Ownership does not depend on it: the worker's lease covers its activities.
    /// Throws <see cref="PayloadTooLargeException"/>.
    /// </summary>
    public abstract void Heartbeat(object? progress);
}

/// <summary>Context of a <see cref="TransactionalActivity{TInput,TOutput}"/>.</summary>
public abstract class TransactionalActivityContext : TaskActivityContext
{
    /// <summary>The open connection to the database that holds both the catalog and the durable tables.</summary>
    public abstract DbConnection Connection { get; }

    /// <summary>The open transaction. The engine commits it together with the completion; do not commit it yourself.</summary>
    public abstract DbTransaction Transaction { get; }
}

/// <summary>
/// An activity whose database effect and completion commit in one transaction: its effect happens exactly once. All its
/// writes go through <see cref="TransactionalActivityContext.Connection"/>; on SQLite any other writing connection would
/// wait for this very transaction. Keep it short. Transient database faults (lost connection, deadlock, busy) are not
/// failures of the task: the call is delivered again with back-off, at most
/// <see cref="DurableTaskOptions.MaxDeliveries"/> times.
/// </summary>
public abstract class TransactionalActivity<TInput, TOutput> : TaskActivity<TInput, TOutput>, ITransactionalActivity
{
    /// <inheritdoc/>
    public sealed override Task<TOutput> RunAsync(TaskActivityContext context, TInput input) =>
        RunAsync((TransactionalActivityContext)context, input);

    /// <summary>The work, inside the open transaction. An exception rolls it back and fails the task.</summary>
    public abstract Task<TOutput> RunAsync(TransactionalActivityContext context, TInput input);
}

/// <summary>Marks activities that run inside a transaction of the engine; implemented by <see cref="TransactionalActivity{TInput,TOutput}"/>.</summary>
public interface ITransactionalActivity : ITaskActivity;
