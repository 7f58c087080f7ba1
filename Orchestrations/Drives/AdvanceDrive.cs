using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Errors;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>Does the possible work for a drive, for about half a minute; it can be repeated at any point.</summary>
[DurableTask(nameof(AdvanceDrive))]
public sealed class AdvanceDrive(
    CatalogDatabase database,
    FillingStep filling,
    DeliveryStep delivery,
    DriveWipe wipe,
    ErrorLog errors,
    IOptions<SiteOptions> options,
    ILogger<AdvanceDrive> log
) : TaskActivity<DriveTripInput, DriveStep>
{
    /// <summary>State of a step that met an obstacle.</summary>
    internal const string Problem = "Problem";

    /// <summary>Pause in seconds of a drive that waits for a person.</summary>
    internal const double Rest = 3600;

    public static TimeSpan LongestPause(SiteOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return TimeSpan.FromSeconds(Math.Max(Rest, options.Drives.PollInterval.TotalSeconds));
    }

    private double Poll => options.Value.Drives.PollInterval.TotalSeconds;

    /// <inheritdoc />
    public override async Task<DriveStep> RunAsync(TaskActivityContext context, DriveTripInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        Drive? drive;
        await using (var db = database.Open())
            drive = await db.Drives.AsNoTracking().SingleOrDefaultAsync(d => d.Id == input.DriveRow, stop);
        try
        {
            var step = await StepAsync(drive, input, stop);
            if (drive is not null)
                await NoteAsync(drive, step, stop);
            return step;
        }
        catch (Exception e) when (e is not OperationCanceledException && drive is not null)
        {
            // The activity is tried again with growing pauses (PeerCalls.Options). Meanwhile the drive must not look as if it only waits.
            await NoteAsync(drive, new DriveStep(Problem, Unexpected(drive.Name, e), 0), stop);
            throw;
        }
    }

    /// <summary>Message for an unexpected exception.</summary>
    internal static string Unexpected(string? drive, Exception fault) =>
        $"Work on {(drive is null ? "the drive" : $"drive '{drive}'")} failed: {fault.Message} Nothing was lost; "
        + "it is tried again, at most ten minutes apart. If it stays so, the log of the site says more.";

    private async Task<DriveStep> StepAsync(Drive? drive, DriveTripInput input, CancellationToken stop) =>
        drive?.State switch
        {
            null => new DriveStep("", $"Drive '{input.Name}' is no longer in the catalog.", 0, IsOver: true),
            DriveState.Lost => new DriveStep(nameof(DriveState.Lost), $"Drive '{drive.Name}' was recorded as lost.", 0, IsOver: true),
            DriveState.Filling => await filling.FillAsync(drive, stop),
            DriveState.InTransit => await delivery.AwaitAsync(drive, stop),
            DriveState.Recycling => StepOf(drive, await wipe.WipeAsync(drive, stop), 0),
            _ => new DriveStep(drive.State.ToString(), $"Drive '{drive.Name}' waits for a person.", Rest),
        };

    private DriveStep StepOf(Drive drive, DriveAnswer answer, double pause) =>
        answer.IsOk
            ? new DriveStep(drive.State.ToString(), answer.Message, pause)
            : new DriveStep(Problem, answer.Message, Math.Min(Poll, 10));

    /// <summary>Keeps the current problem in the drive's row while it lasts, and records one error for it.</summary>
    private async Task NoteAsync(Drive drive, DriveStep step, CancellationToken stop)
    {
        var problem = step.State == Problem ? step.Message : null;
        if (problem == drive.Problem)
            return;
        await using (var db = database.Open())
            await db
                .Drives.Where(d => d.Id == drive.Id && d.State == drive.State)
                .ExecuteUpdateAsync(s => s.SetProperty(d => d.Problem, problem), stop);
        if (problem is null)
            return;
        Logs.DriveWaits(log, drive.Name, problem);
        await errors.RaiseAsync(
            ErrorSeverity.Warning,
            ErrorCategory.DataAvailability,
            $"drive {drive.Name} trip {drive.Trip} {drive.State}",
            problem,
            stop
        );
    }
}
