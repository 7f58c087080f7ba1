using Librarian.Orchestrations.Drives;

namespace Librarian.Functions.Timers;

/// <summary>Keeps every drive's workflow alive.</summary>
public sealed class DriveTimers(DriveCommands commands, DriveArrivals arrivals)
{
    /// <summary>Starts the workflow of every drive and every unfinished arrival that has none; one that runs is left alone.</summary>
    [Function("WatchDrives")]
    public async Task WatchDrivesAsync([TimerTrigger("%Schedules:WatchDrives%")] TimerInfo timer, CancellationToken cancellationToken)
    {
        await commands.WatchAsync(cancellationToken);
        await arrivals.WatchAsync(cancellationToken);
    }
}
