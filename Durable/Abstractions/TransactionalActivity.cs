using System.Data.Common;

namespace Librarian.Durable;

/// <summary>Details of an activity call that only this engine provides, in addition to <see cref="TaskActivityContext"/>.</summary>
public abstract class DatabaseActivityContext : TaskActivityContext
{
    /// <inheritdoc cref="TaskActivityContextExtensions.get_OperationId"/>
    public abstract string OperationId { get; }

    /// <inheritdoc cref="TaskActivityContextExtensions.get_DeliveryCount"/>
    public abstract int DeliveryCount { get; }

    /// <inheritdoc cref="TaskActivityContextExtensions.get_CancellationToken"/>
    public abstract CancellationToken CancellationToken { get; }

    /// <inheritdoc cref="TaskActivityContextExtensions.Heartbeat"/>
    public abstract void Heartbeat(object? progress);
}

/// <summary>
/// The same members for every <see cref="TaskActivityContext"/>, the type that activities are written against. Other engines do not provide
/// these details; there the members return neutral values, so that an activity runs unchanged.
/// </summary>
public static class TaskActivityContextExtensions
{
    extension(TaskActivityContext context)
    {
        /// <summary>
        /// <c>{instance}/{execution}/{taskId}</c>: the same for every delivery of this call and never used by another call, so it serves as
        /// an idempotency key towards peers. On another engine it consists of the instance id and the activity's name.
        /// </summary>
        public string OperationId =>
            context is DatabaseActivityContext own ? own.OperationId : $"{context.InstanceId}/0/{context.Name.Name}";

        /// <summary>
        /// How many times this call was delivered, including this time; 1 unless a worker died or released it. On another engine always 1.
        /// </summary>
        public int DeliveryCount => context is DatabaseActivityContext own ? own.DeliveryCount : 1;

        /// <summary>
        /// Cancelled when this worker may no longer deliver the result: it lost its lease or is draining, or the instance was terminated or
        /// replaced. After a drain the call is delivered again, later or to another worker. On another engine never cancelled.
        /// </summary>
        public CancellationToken CancellationToken =>
            context is DatabaseActivityContext own ? own.CancellationToken : CancellationToken.None;

        /// <summary>
        /// Reports the call's progress for <see cref="DatabaseDurableTaskClient.GetPendingActivitiesAsync"/>. Returns at once; the newest
        /// report is written at most once a second, and a report that cannot be written is dropped. Ownership does not depend on reports:
        /// the worker's lease covers its activities. Throws <see cref="PayloadTooLargeException"/>. On another engine this does nothing.
        /// </summary>
        public void Heartbeat(object? progress) => (context as DatabaseActivityContext)?.Heartbeat(progress);
    }
}

/// <summary>Context of a <see cref="TransactionalActivity{TInput,TOutput}"/>.</summary>
public abstract class TransactionalActivityContext : DatabaseActivityContext
{
    /// <summary>The open connection to the database that holds both the catalog and the durable tables.</summary>
    public abstract DbConnection Connection { get; }

    /// <summary>The open transaction. The engine commits it together with the activity's completion; do not commit it yourself.</summary>
    public abstract DbTransaction Transaction { get; }
}

/// <summary>
/// An activity whose database effect and completion commit in one transaction, so its effect happens exactly once. All its writes must use
/// <see cref="TransactionalActivityContext.Connection"/>; on SQLite, any other writing connection would wait for this transaction. Keep it
/// short. Transient database faults (lost connection, deadlock, busy) do not fail the task: the call is delivered again with back-off, at
/// most <see cref="DurableTaskOptions.MaxDeliveries"/> times. It runs on this engine only.
/// </summary>
public abstract class TransactionalActivity<TInput, TOutput> : TaskActivity<TInput, TOutput>, ITransactionalActivity
{
    /// <inheritdoc/>
    public sealed override Task<TOutput> RunAsync(TaskActivityContext context, TInput input) =>
        RunAsync((TransactionalActivityContext)context, input);

    /// <summary>Does the work inside the open transaction. An exception rolls the transaction back and fails the task.</summary>
    public abstract Task<TOutput> RunAsync(TransactionalActivityContext context, TInput input);
}

/// <summary>
/// Marks activities that run inside a transaction of the engine; <see cref="TransactionalActivity{TInput,TOutput}"/> implements it.
/// </summary>
public interface ITransactionalActivity : ITaskActivity;
