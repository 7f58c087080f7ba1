using System.Data.Common;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>Starts and wakes the workflows of this site's drives, in the caller's transaction.</summary>
public sealed class DriveWorkflows(DatabaseDurableTaskClient client, FullDriveAlert alert, IOptions<SiteOptions> options, TimeProvider time)
{
    /// <summary>Call this after a commit that started or woke a workflow.</summary>
    public void Signal() => client.SignalCommitted();

    /// <summary>Starts the workflow of a drive; one that runs is left alone.</summary>
    public async Task StartAsync(Drive drive, DbTransaction transaction, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(drive);
        await client.ScheduleNewOrchestrationInstanceAsync(
            nameof(DriveTrip),
            new DriveTripInput(drive.Id, drive.Name),
            new StartOrchestrationOptions(DriveTrip.InstanceId(drive.Name)),
            transaction,
            cancellationToken
        );
    }

    /// <summary>Tells a drive's workflow that the drive's row has changed.</summary>
    public async Task WakeAsync(string drive, DbTransaction transaction, CancellationToken cancellationToken) =>
        await client.RaiseEventAsync(
            DriveTrip.InstanceId(drive),
            DriveTrip.WakeEvent,
            null,
            messageId: null,
            transaction,
            cancellationToken
        );

    /// <summary>
    /// Repeats the events of the drive's last state change, which may have been lost after the commit: the wake-up, as long as an earlier
    /// pause may still run, and the alert, as long as the earlier alert can still be found, but at most for a day. Events that are part of
    /// the transaction cannot be lost.
    /// </summary>
    public async Task RepeatAsync(CatalogContext db, Drive drive, DbTransaction transaction, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(drive);
        if (client.StartsInTransaction)
            return;
        var age = time.GetUtcNow().UtcDateTime - drive.StateSince;
        if (age < AdvanceDrive.LongestPause(options.Value))
            await WakeAsync(drive.Name, transaction, cancellationToken);
        var found = options.Value.FinishedInstanceRetention;
        if (drive.State == DriveState.Full && age < (found < TimeSpan.FromDays(1) ? found : TimeSpan.FromDays(1)))
            await alert.StartAsync(db, drive, transaction, cancellationToken, unlessIn: Enum.GetNames<OrchestrationRuntimeStatus>());
    }
}
