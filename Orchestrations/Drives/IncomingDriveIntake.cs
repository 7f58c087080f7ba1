using Librarian.Domain.Catalog;
using Librarian.Domain.Drives;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;

namespace Librarian.Orchestrations.Drives;

/// <summary>
/// Examines incoming drives and starts their ingest. Marker, manifest, totals, digest, signature and key are checked before the first file.
/// </summary>
public sealed class IncomingDriveIntake(
    CatalogDatabase database,
    IncomingDriveCheck check,
    DatabaseDurableTaskClient client,
    TimeProvider time
)
{
    /// <summary>Instance id of an ingest: one for each trip of a drive, so a second start finds the first.</summary>
    public static string IngestId(Guid drive, int trip) => $"drive-ingest-{drive:N}-{trip}";

    /// <summary>Instance id of the workflow that reports a trip to its source.</summary>
    public static string ReportWorkflowId(Guid drive, int trip) => $"drive-tell-{drive:N}-{trip}";

    /// <summary>Checks a drive and starts or continues its ingest.</summary>
    /// <remarks>
    /// The manifest is copied to the archive before it is checked, so the ingest uses the bytes that were checked. A crash before the
    /// commit leaves a copy, which the next call replaces.
    /// </remarks>
    public async Task<(DriveAnswer Answer, IncomingDrive? Incoming)> StartAsync(PluggedDrive plugged, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(plugged);
        if (!Path.IsPathFullyQualified(plugged.Path) || !Directory.Exists(plugged.Path))
            return (
                new DriveAnswer(
                    "drive.no_directory",
                    $"{plugged.Path} is not an absolute path of a directory on this site's machine. Mount the drive there first."
                ),
                null
            );
        var (answer, incoming) = plugged.UpstreamManifest is null
            ? await check.ExamineAsync(plugged, cancellationToken)
            : await check.ExamineUpstreamAsync(plugged, cancellationToken);
        if (incoming is null)
            return (answer, null);
        var (registered, known) = await RegisterAsync(incoming, cancellationToken);
        return (
            registered.IsOk && answer.Message.Length > 0
                ? registered with
                {
                    Message = $"{registered.Message} {answer.Message}",
                }
                : registered,
            known
        );
    }

    /// <summary>Records the incoming drive and starts its workflows, or continues with the recorded one.</summary>
    private async Task<(DriveAnswer, IncomingDrive?)> RegisterAsync(IncomingDrive incoming, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var message = $"Drive '{incoming.Name}' of '{incoming.Source}' is being ingested.";
        var known = await db.IncomingDrives.SingleOrDefaultAsync(
            a => a.DriveId == incoming.DriveId && a.Trip == incoming.Trip,
            cancellationToken
        );
        if (known is null)
        {
            db.IncomingDrives.Add(incoming);
            known = incoming;
        }
        else if (known.ManifestSha256 != incoming.ManifestSha256)
        {
            return (
                new DriveAnswer(
                    "manifest.changed",
                    $"Drive '{incoming.Name}', trip {incoming.Trip}, was here before with another manifest. Nothing was changed. "
                        + $"Ask '{incoming.Source}' which manifest is right; a site that was installed anew initialises its drives anew."
                ),
                null
            );
        }
        else
        {
            (known.MountPath, known.DataPath, known.Problem) = (incoming.MountPath, incoming.DataPath, null);
            message = $"Drive '{incoming.Name}' of '{incoming.Source}' was plugged in before; its ingest goes on where it stopped.";
            if (known.State == IncomingDriveState.Ingested)
                message = await RepeatAsync(db, known, incoming.Name, cancellationToken);
        }

        try
        {
            await db.SaveChangesAsync(cancellationToken);
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return (new DriveAnswer("drive.busy", $"Drive '{incoming.Name}' is being registered at this moment. Ask again."), null);
        }

        await StartAsync(known, unreported: true, transaction.GetDbTransaction(), cancellationToken);
        await client.RaiseEventAsync(
            IngestId(known.DriveId, known.Trip),
            IngestDrive.WakeEvent,
            null,
            messageId: null,
            transaction.GetDbTransaction(),
            cancellationToken
        );
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
        return (DriveAnswer.Done(message), known);
    }

    private async Task<string> RepeatAsync(CatalogContext db, IncomingDrive known, string name, CancellationToken cancellationToken)
    {
        // The request is repeated: files that failed get another attempt, everything else is done.
        var again = await db
            .IncomingDriveFiles.Where(f => f.IncomingDriveId == known.Id && f.Outcome == DriveFileOutcome.Failed)
            .ExecuteDeleteAsync(cancellationToken);
        (known.State, known.StateSince) = (IncomingDriveState.Ingesting, time.GetUtcNow().UtcDateTime);
        if (again == 0)
            return $"Drive '{name}' has been ingested completely; nothing is left to do but to write its receipt again.";
        known.Position = 0;
        known.FilesDone -= again;
        return $"{again} files of drive '{name}' that were not taken are tried again.";
    }

    /// <summary>Starts missing workflows of incoming drives that still have work.</summary>
    public async Task WatchAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var open = await db
            .IncomingDrives.AsNoTracking()
            .Where(a => a.State == IncomingDriveState.Ingesting || db.IncomingDriveFiles.Any(f => f.IncomingDriveId == a.Id && !f.Reported))
            .Select(a => new { Incoming = a, Unreported = db.IncomingDriveFiles.Any(f => f.IncomingDriveId == a.Id && !f.Reported) })
            .ToListAsync(cancellationToken);
        foreach (var entry in open)
            await StartAsync(entry.Incoming, entry.Unreported, transaction.GetDbTransaction(), cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
    }

    private async Task StartAsync(
        IncomingDrive incoming,
        bool unreported,
        System.Data.Common.DbTransaction transaction,
        CancellationToken cancellationToken
    )
    {
        var input = new IncomingDriveInput(incoming.Id);
        if (incoming.State == IncomingDriveState.Ingesting)
            await client.ScheduleNewOrchestrationInstanceAsync(
                nameof(IngestDrive),
                input,
                new StartOrchestrationOptions(IngestId(incoming.DriveId, incoming.Trip)),
                transaction,
                cancellationToken
            );
        if (unreported || incoming.State == IncomingDriveState.Ingesting)
            await client.ScheduleNewOrchestrationInstanceAsync(
                ReportDriveToSource.TaskName,
                input,
                new StartOrchestrationOptions(ReportWorkflowId(incoming.DriveId, incoming.Trip)),
                transaction,
                cancellationToken
            );
    }
}
