using Librarian.Orchestrations.Repair;

namespace Librarian.Functions.Timers;

public sealed class RepairTimers(RepairScheduler scheduler)
{
    /// <summary>Starts a repair for each corrupt copy that has none.</summary>
    [Function("RepairCorruptCopies")]
    public Task RepairCorruptCopiesAsync(
        [TimerTrigger("%Schedules:RepairCorruptCopies%", UseMonitor = false)] TimerInfo timer,
        CancellationToken cancellationToken
    ) => scheduler.ScheduleAsync(cancellationToken);
}
