using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Errors;
using Librarian.Domain.Security;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Orchestrations.Drives;

/// <summary>Does the possible work for a drive, for about half a minute; it can be repeated at any point.</summary>
[DurableTask(nameof(AdvanceDrive))]
public sealed class AdvanceDrive(
    CatalogDatabase database,
    DriveFilling filling,
    DriveDispatch dispatch,
    DriveDeliveries deliveries,
    DriveCommands commands,
    SiteSigningKey key,
    ErrorLog errors,
    IOptions<SiteOptions> options,
    TimeProvider time,
    ILogger<AdvanceDrive> log
) : TaskActivity<DriveTripInput, DriveStep>
{
    private static readonly TimeSpan TimeBudget = TimeSpan.FromSeconds(30);
    private const double Rest = 3600;

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
            DriveState.Filling => await FillAsync(drive, stop),
            DriveState.InTransit => await AwaitDeliveryAsync(drive, stop),
            DriveState.Recycling => StepOf(drive, await deliveries.WipeAsync(database, drive, key.PublicKey, options.Value.Name, stop), 0),
            _ => new DriveStep(drive.State.ToString(), $"Drive '{drive.Name}' waits for a person.", Rest),
        };

    private async Task<DriveStep> FillAsync(Drive drive, CancellationToken stop)
    {
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
                    return new DriveStep(nameof(DriveState.Full), round.Message, Rest);
                case FillOutcome.Idle or FillOutcome.StandBy:
                    return new DriveStep(nameof(DriveState.Filling), round.Message, Poll);
                default:
                    return new DriveStep(Problem, round.Message, Poll);
            }
        }
    }

    private const string Problem = "Problem";

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
        var load = await commands.AlertAsync(db, drive, transaction.GetDbTransaction(), stop);
        await transaction.CommitAsync(stop);
        commands.Signal();
        Logs.DriveFull(log, drive.Name, load.Files, load.Bytes, why);
    }

    private async Task<DriveStep> AwaitDeliveryAsync(Drive drive, CancellationToken stop)
    {
        if (!drive.ManifestOnDrive)
        {
            var written = await dispatch.WriteAsync(drive.Id, stop);
            if (!written.IsOk)
                return new DriveStep(Problem, written.Message, Math.Min(Poll, 10));
            return new DriveStep(nameof(DriveState.InTransit), written.Message, 0);
        }

        await using (var db = database.Open())
        {
            if (await deliveries.FinishAsync(db, drive.Id, stop))
            {
                Logs.DriveReusable(log, drive.Name);
                return new DriveStep(
                    nameof(DriveState.Reusable),
                    $"Every file of drive '{drive.Name}' has been acknowledged; it may be recycled.",
                    Rest
                );
            }
        }

        // A drive that has returned may hold the destination's receipt; then nobody has to transport the receipt separately.
        var medium = new DriveMedium(drive);
        var receipt = Path.Combine(medium.Root, ReceiptWriter.FileName);
        if (medium.IsPlugged && new FileInfo(receipt) is { Exists: true, LinkTarget: null })
        {
            var applied = await commands.AcknowledgeAsync(receipt, acceptKey: null, stop);
            return applied.IsOk
                ? new DriveStep(nameof(DriveState.InTransit), applied.Message, Poll)
                : new DriveStep(Problem, applied.Message, Poll);
        }

        return new DriveStep(nameof(DriveState.InTransit), $"Drive '{drive.Name}' is on its way to '{drive.Destination}'.", Poll);
    }

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
