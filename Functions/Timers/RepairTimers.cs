using Librarian.Orchestrations.Repair;

namespace Librarian.Functions.Timers;

/// <summary>Looks for corrupt copies.</summary>
public sealed class RepairTimers(RepairScheduler scheduler)
{
    /// <summary>Starts the repair of corrupt copies that have none.</summary>
    [Function("RepairCorruptCopies")]
    public Task RepairCorruptCopiesAsync([TimerTrigger("%Schedules:RepairCorruptCopies%")] TimerInfo timer, CancellationToken cancellationToken) => scheduler.ScheduleAsync(cancellationToken);
}
