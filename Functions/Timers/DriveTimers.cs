using Librarian.Orchestrations.Drives;

namespace Librarian.Functions.Timers;

/// <summary>Keeps every drive's workflow running.</summary>
public sealed class DriveTimers(DriveCommands commands, IncomingDriveIntake intake)
{
    /// <summary>
    /// Starts the workflow of every drive and every unfinished incoming drive that has none; a running one is left alone.
    /// </summary>
    [Function("WatchDrives")]
    public async Task WatchDrivesAsync(
        [TimerTrigger("%Schedules:WatchDrives%", UseMonitor = false)] TimerInfo timer,
        CancellationToken cancellationToken
    )
    {
        await commands.WatchAsync(cancellationToken);
        await intake.WatchAsync(cancellationToken);
    }
}
