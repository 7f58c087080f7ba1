using System.Data.Common;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>Announces to people that a drive is full.</summary>
public sealed class FullDriveAlert(DatabaseDurableTaskClient client, IOptions<SiteOptions> options)
{
    /// <summary>Starts the alert that a drive is full, in the caller's transaction.</summary>
    /// <param name="db">The catalog.</param>
    /// <param name="drive">The drive.</param>
    /// <param name="transaction">The caller's transaction.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="unlessIn">
    /// Statuses of an earlier alert of this trip in which no new one is started; null: while the earlier one runs.
    /// </param>
    public async Task<Alert> StartAsync(
        CatalogContext db,
        Drive drive,
        DbTransaction transaction,
        CancellationToken cancellationToken,
        IReadOnlyList<string>? unlessIn = null
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(drive);
        var load = await db
            .DriveContents.Where(c => c.DriveRow == drive.Id && c.State == DriveContentState.Stored)
            .GroupBy(c => 1)
            .Select(g => new { Files = g.LongCount(), Bytes = g.Sum(c => c.Size) })
            .SingleOrDefaultAsync(cancellationToken);
        var alert = new Alert(
            "drive-full",
            options.Value.Name,
            drive.Name,
            drive.Trip,
            drive.Destination,
            load?.Files ?? 0,
            load?.Bytes ?? 0,
            $"librarian drive manifest CONN {drive.Name}"
        );
        var start = new StartOrchestrationOptions(DriveAlert.InstanceId(alert.Drive, alert.Trip)) { DedupeStatuses = unlessIn };
        await client.ScheduleNewOrchestrationInstanceAsync(
            nameof(DriveAlert),
            new DriveAlertInput(alert, options.Value.Alerts.Webhooks.Count),
            start,
            transaction,
            cancellationToken
        );
        return alert;
    }
}
