namespace Librarian.Durable;

/// <summary>Options of an activity call that only this engine has. Other engines treat them as plain <see cref="TaskOptions"/>.</summary>
public record ActivityOptions : TaskOptions
{
    /// <summary>Creates options with retry options.</summary>
    /// <param name="retry">How to retry after a failure; null: do not retry.</param>
    public ActivityOptions(TaskRetryOptions? retry = null)
        : base(retry) { }

    /// <summary>Creates options from task options.</summary>
    public ActivityOptions(TaskOptions options)
        : base(options) { }

    /// <summary>
    /// Named queue of the activity; empty: the default queue. A worker serves the queues in <see cref="DurableTaskOptions.Queues"/>, each
    /// with its own concurrency limit, so work that needs one machine or drive waits for the worker that has it.
    /// </summary>
    public string Queue { get; init; } = "";
}
