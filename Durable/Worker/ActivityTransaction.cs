using Librarian.Durable.Stores;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Worker;

/// <summary>
/// Commits effect and completion of a transactional activity in one transaction. If the commit's answer is lost, the release below (or a
/// failure that the caller records) depends on the row: if the commit happened, the row is gone and nothing more is done.
/// </summary>
internal sealed class ActivityTransaction(WorkerDatabase database, ActivityInvoker invoker, DurableTaskOptions options, ILogger logger)
{
    /// <summary>Called with an activity whose row is settled.</summary>
    public required Action<ClaimedActivity> Settled { get; init; }

    /// <summary>Called when a result was committed to an instance's inbox.</summary>
    public required Action<string> Posted { get; init; }

    /// <summary>Runs the activity; returns the outcome for the instruments.</summary>
    public async Task<string> RunAsync(RunningActivity running, ITaskActivity task)
    {
        var activity = running.Activity;
        try
        {
            await using var session = await database.Store.BeginEffectAsync(running.Token);
            var result = await invoker.InvokeAsync(task, running, session);
            // No token from here on: a late cancellation must not decide whether the transaction commits.
            var posted = await database.Queries.CompleteAsync(session, result, CancellationToken.None);
            if (posted.Count == 0)
            {
                Settled(activity);
                return "dropped";
            }

            await database.Triggers.HitAsync("effect.before-commit", activity.InstanceId);
            await session.CommitAsync(CancellationToken.None);
            await database.Triggers.HitAsync("effect.after-commit", activity.InstanceId);
            Settled(activity);
            Posted(activity.InstanceId);
            return "completed";
        }
        catch (Exception fault)
            when (!running.Token.IsCancellationRequested && activity.Attempts < options.MaxDeliveries && database.Store.IsTransient(fault))
        {
            logger.TransactionRetried(fault, activity.Name, activity.OperationId, activity.Attempts);
            database.Completions.Release(
                activity,
                TimeSpan.FromMilliseconds(Math.Min(30_000, 50 * Math.Pow(2, activity.Attempts))),
                countsAsDelivery: true
            );
            return "retried";
        }
    }
}
