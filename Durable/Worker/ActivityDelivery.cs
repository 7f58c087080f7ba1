using System.Diagnostics;
using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Worker;

/// <summary>One delivery of an activity, from its claim to its result, its failure or its release.</summary>
internal sealed class ActivityDelivery(
    TaskCode tasks,
    ActivityInvoker invoker,
    ActivityTransaction transaction,
    CompletionQueue completions,
    DurableTaskOptions options,
    ILogger logger
)
{
    /// <summary>Passes a result to its instance; false if the instance is not in memory, so the result must go through the inbox.</summary>
    public required Func<ActivityResult, bool> Deliver { get; init; }

    /// <summary>Runs the activity; returns the outcome for the instruments.</summary>
    public async Task<string> RunAsync(RunningActivity running, Activity? span)
    {
        var activity = running.Activity;
        using var scope = logger.ActivityScope(activity.InstanceId, activity.Name, activity.TaskId);
        try
        {
            running.Token.ThrowIfCancellationRequested();
            return activity.Attempts > options.MaxDeliveries ? Poisoned(activity) : await AttemptAsync(running);
        }
        catch (Exception) when (running.Token.IsCancellationRequested)
        {
            // Drained, fenced or terminated: release it without counting the delivery; this has no effect if the row is gone.
            completions.Release(activity, TimeSpan.Zero, countsAsDelivery: false);
            return "released";
        }
        catch (Exception failure)
        {
            span?.SetStatus(ActivityStatusCode.Error, failure.Message);
            logger.ActivityFailed(failure, activity.Name, activity.OperationId);
            Finish(Failed(activity, EngineFailure.Of(failure)));
            return "failed";
        }
    }

    private async Task<string> AttemptAsync(RunningActivity running)
    {
        await using var scope = tasks.CreateScope();
        if (tasks.CreateActivity(running.Activity, scope) is not { } task)
        {
            // Only another version is registered here; a worker that has this version finds the activity after the pause.
            completions.Release(running.Activity, options.PollInterval, countsAsDelivery: false);
            return "completed";
        }

        if (task is ITransactionalActivity)
            return await transaction.RunAsync(running, task);
        Finish(await invoker.InvokeAsync(task, running));
        return "completed";
    }

    private string Poisoned(ClaimedActivity activity)
    {
        logger.ActivityPoisoned(activity.Name, activity.OperationId, activity.Attempts);
        Finish(
            Failed(
                activity,
                new EngineFailure(
                    "Poison",
                    $"Poison: activity '{activity.Name}' was delivered {activity.Attempts - 1} times and never came back "
                        + "(its worker died or gave up each time). It is not tried again.",
                    null,
                    null
                )
                {
                    IsNonRetriable = true,
                }
            )
        );
        return "poisoned";
    }

    private void Finish(ActivityResult result)
    {
        if (!Deliver(result))
            completions.Complete(result);
    }

    private static ActivityResult Failed(ClaimedActivity activity, TaskFailureDetails failure) =>
        new(activity, null, OrchestrationExecution.FailureText(failure));
}
