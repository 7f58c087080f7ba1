using System.Data.Common;

namespace Librarian.Durable;

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
