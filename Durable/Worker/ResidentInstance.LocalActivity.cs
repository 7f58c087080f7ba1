using Librarian.Durable.Engine;
using Librarian.Durable.Stores;

namespace Librarian.Durable.Worker;

internal sealed partial class ResidentInstance
{
    // The activity that runs here without a row; as long as there is one, the message that stands by for it is in the inbox (see Standby).
    private ClaimedActivity? _local;
    private bool _place;

    /// <summary>Asks for a row for the activity that runs without one.</summary>
    public void PlaceLocal()
    {
        lock (_gate) _place = true;
        _wake.Set();
    }

    private async Task PlaceAsync(ClaimedActivity local)
    {
        await services.Triggers.HitAsync("place.before-commit", InstanceId);
        await services.Turns.PlaceAsync(_instance, local, worker.Lost);
        await services.Triggers.HitAsync("place.after-commit", InstanceId);
        _local = null;
        worker.Activities.Placed(_instance.Identity, local.TaskId, local.Claim);
    }

    /// <summary>
    /// The worker that ran an activity without a row has let go of the instance: each activity that is scheduled and has neither row nor result gets a
    /// row. If that worker was this one, it may still run here, or have ended meanwhile.
    /// </summary>
    private async Task FindLostAsync(OrchestrationExecution execution, List<ActivityResult> results, List<ActivityRow> late)
    {
        var tracked = await services.Queries.TrackedTasksAsync(_instance.Identity, worker.Lost);
        foreach (var task in execution.OpenActivities.Where(task => !tracked.Contains(task.TaskId) && task.TaskId != _local?.TaskId).ToList())
        {
            // It may have ended since this object is there: then its result is in the mailbox, or was taken from it for this turn.
            var result = TakeDelivered(results, task.TaskId);
            ClaimedActivity? running = null;
            if (result is null) (result, running) = worker.Activities.FindLocal(_instance.Identity, task.TaskId, _instance.Owner);
            if (result is null && running is null) result = TakeDelivered(results, task.TaskId);
            if (running is not null)
            {
                late.Add(new(task, running.Owner, running.Claim, running.Attempts));
            }
            else if (result is not null && _local is null)
            {
                _local = result.Activity;
                results.Add(result);
            }
            else if (result is not null)
            {
                // One at a time is without a row: this one has one for a moment.
                late.Add(new(task, result.Activity.Owner, result.Activity.Claim, result.Activity.Attempts));
                PutBack([result]);
            }
            else
            {
                late.Add(new(task, null, services.Clock.Now, 1));
            }
        }
    }

    /// <summary>Takes the result of a task from those of this turn or from the mailbox.</summary>
    private ActivityResult? TakeDelivered(List<ActivityResult> results, int taskId)
    {
        lock (_gate)
        {
            foreach (var list in (List<ActivityResult>[])[results, _results])
            {
                var index = list.FindIndex(result => result.Activity.TaskId == taskId && result.Activity.ExecutionId == _instance.Identity.ExecutionId);
                if (index < 0) continue;
                var result = list[index];
                list.RemoveAt(index);
                return result;
            }
        }

        return null;
    }
}
