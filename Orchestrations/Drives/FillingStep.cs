using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>Fills a drive for about half a minute.</summary>
public sealed class FillingStep(
    CatalogDatabase database,
    DriveFilling filling,
    FullDriveAlert alert,
    DriveWorkflows workflows,
    IOptions<SiteOptions> options,
    TimeProvider time,
    ILogger<AdvanceDrive> log
)
{
    private static readonly TimeSpan TimeBudget = TimeSpan.FromSeconds(30);

    private double Poll => options.Value.Drives.PollInterval.TotalSeconds;

    /// <summary>Puts files on a drive, and declares it full when nothing more fits.</summary>
    public async Task<DriveStep> FillAsync(Drive drive, CancellationToken stop)
    {
        ArgumentNullException.ThrowIfNull(drive);
        var until = time.GetUtcNow() + TimeBudget;
        while (true)
        {
            var round = await filling.RoundAsync(drive.Id, null, stop);
            switch (round.Outcome)
            {
                case FillOutcome.More when time.GetUtcNow() < until:
                    continue;
                case FillOutcome.More or FillOutcome.Frozen:
                    return new DriveStep(nameof(DriveState.Filling), round.Message, 0);
                case FillOutcome.Full:
                    await DeclareFullAsync(drive, round.Message, stop);
                    return new DriveStep(nameof(DriveState.Full), round.Message, AdvanceDrive.Rest);
                case FillOutcome.Idle or FillOutcome.StandBy:
                    return new DriveStep(nameof(DriveState.Filling), round.Message, Poll);
                default:
                    return new DriveStep(AdvanceDrive.Problem, round.Message, Poll);
            }
        }
    }

    private async Task DeclareFullAsync(Drive drive, string why, CancellationToken stop)
    {
        var now = time.GetUtcNow().UtcDateTime;
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(stop);
        if (
            await db
                .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Filling)
                .ExecuteUpdateAsync(
                    s =>
                        s.SetProperty(d => d.State, DriveState.Full)
                            .SetProperty(d => d.StateSince, now)
                            .SetProperty(d => d.Problem, (string?)null),
                    stop
                ) == 0
        )
            return;
        var load = await alert.StartAsync(db, drive, transaction.GetDbTransaction(), stop);
        await transaction.CommitAsync(stop);
        workflows.Signal();
        Logs.DriveFull(log, drive.Name, load.Files, load.Bytes, why);
    }
}
