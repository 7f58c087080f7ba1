using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Errors;
using Librarian.Domain.Formats;
using Librarian.Domain.Peers;
using Librarian.Domain.Stores;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using ErrorCategory = Librarian.Domain.Catalog.ErrorCategory;
using ErrorSeverity = Librarian.Domain.Catalog.ErrorSeverity;

namespace Librarian.Orchestrations.Drives;

/// <summary>A drive that was plugged in here.</summary>
/// <param name="Path">Absolute path of the drive's mount point.</param>
/// <param name="AcceptKey">Fingerprint that an administrator has compared.</param>
/// <param name="UpstreamManifest">Absolute path of a Python Librarian's manifest; null for a drive with a marker.</param>
/// <param name="StoreRoot">Directory of the files on a Python Librarian's drive; null: <paramref name="Path"/>.</param>
/// <param name="AllowUnsigned">Whether an unsigned manifest is acceptable.</param>
public sealed record PluggedDrive(string Path, string? AcceptKey, string? UpstreamManifest, string? StoreRoot, bool AllowUnsigned);

/// <summary>Input of <see cref="IngestDrive"/> and <see cref="ReportDriveToSource"/>.</summary>
/// <param name="ArrivalId">Id of the incoming drive.</param>
/// <param name="Waits">Rounds of earlier generations.</param>
/// <param name="Futile">Futile wake-ups by signs of life of the source, up to the end of the earlier generation.</param>
public sealed record IncomingDriveInput(long ArrivalId, int Waits = 0, int Futile = 0);

/// <summary>
/// Examines incoming drives and starts their ingest. Marker, manifest, totals, digest, signature and key are checked before the first file.
/// </summary>
public sealed class IncomingDriveIntake(
    CatalogDatabase database,
    DriveIngest ingest,
    DriveDispatch dispatch,
    SiteKeyring keyring,
    DriveCommands commands,
    DatabaseDurableTaskClient client,
    IOptions<SiteOptions> options,
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
            ? await ExamineAsync(plugged, cancellationToken)
            : await ExamineUpstreamAsync(plugged, cancellationToken);
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

    private async Task<(DriveAnswer, IncomingDrive?)> ExamineAsync(PluggedDrive plugged, CancellationToken cancellationToken)
    {
        var own = options.Value.Name;
        if (await DriveMarker.TryReadAsync(plugged.Path, cancellationToken) is not { } marker)
            return (
                new DriveAnswer(
                    "drive.not_a_drive",
                    $"{plugged.Path} has no readable marker ({DriveMarker.FileName}): the drive is not mounted there, "
                        + "or it is none of a Librarian's. Nothing was read or written. "
                        + "For a drive of the Python Librarian add --upstream-manifest."
                ),
                null
            );
        if (marker.Site == own)
            return (
                new DriveAnswer(
                    "drive.own",
                    $"Drive '{marker.Name}' belongs to this site. It is ingested at '{marker.Destination}'. Nothing was changed."
                ),
                null
            );
        if (marker.Destination != own)
            return (
                new DriveAnswer(
                    "drive.other_destination",
                    $"Drive '{marker.Name}' of '{marker.Site}' is for '{marker.Destination}', not for '{own}'. Nothing was read. "
                        + "Carry it there."
                ),
                null
            );
        var staged = Path.Combine(dispatch.Archive, $"examined-{Guid.NewGuid():N}.manifest");
        try
        {
            if (await CopyManifestAsync(plugged.Path, ManifestWriter.FileName, staged, cancellationToken) is { } missing)
                return (missing, null);
            var check = await ManifestReader.CheckAsync(staged, cancellationToken);
            if (!check.Accepted)
                return (new DriveAnswer(check.Refusal.Code, check.Refusal.Message), null);
            var header = check.Header;
            if (header.DriveId != marker.DriveId || header.Trip != marker.Trip || header.Site != marker.Site || header.Destination != own)
                return (
                    new DriveAnswer(
                        "manifest.other_drive",
                        $"The manifest is of drive '{header.Drive}', trip {header.Trip} of '{header.Site}' to '{header.Destination}', "
                            + $"but this is drive '{marker.Name}', trip {marker.Trip} of '{marker.Site}'. Nothing was read. "
                            + $"Put the right manifest on the drive ('librarian drive manifest' at '{marker.Site}' writes it)."
                    ),
                    null
                );
            await commands.LearnKeyAsync(header.Site, header.SiteKey, plugged.AcceptKey, cancellationToken);
            var known = await keyring.FindAsync(header.Site, cancellationToken);
            if (known is null)
                return (
                    new DriveAnswer(
                        "manifest.unknown_key",
                        $"The key of '{header.Site}' is not known here, so the manifest cannot be trusted. Nothing was read. "
                            + $"Compare its fingerprint, {header.SiteKey.Fingerprint}, with what 'librarian drive key' prints there, "
                            + $"then repeat with --accept-key '{header.SiteKey.Fingerprint}'."
                    ),
                    null
                );
            if (known != header.SiteKey)
                return (
                    new DriveAnswer(
                        "manifest.other_key",
                        $"The manifest is signed with another key than the one known for '{header.Site}' "
                            + $"({header.SiteKey.Fingerprint} instead of {known.Fingerprint}). Nothing was read. "
                            + "If that site was installed anew, compare fingerprints by another way and repeat with --accept-key."
                    ),
                    null
                );
            // A known drive keeps its archived copy; RegisterAsync compares the digests.
            if (!await IsKnownAsync(marker.DriveId, marker.Trip, cancellationToken))
                DriveFile.GiveName(staged, ingest.ManifestPath(marker.DriveId, marker.Trip));
            return (
                DriveAnswer.Done(""),
                NewRow(
                    marker.DriveId,
                    marker.Trip,
                    marker.Name,
                    header.Site,
                    plugged.Path,
                    DriveStore.DataPathOf(plugged.Path),
                    isUpstream: false,
                    check.Seal.Sha256,
                    header.Files,
                    header.Bytes
                )
            );
        }
        finally
        {
            File.Delete(staged);
        }
    }

    private async Task<(DriveAnswer, IncomingDrive?)> ExamineUpstreamAsync(PluggedDrive plugged, CancellationToken cancellationToken)
    {
        if (!plugged.AllowUnsigned)
            return (
                new DriveAnswer(
                    "manifest.unsigned",
                    "A manifest of the Python Librarian is not signed: nobody can tell whether it was changed on the way. "
                        + "Nothing was read. If you trust how it came here, repeat with --unsigned."
                ),
                null
            );
        var root = plugged.StoreRoot ?? plugged.Path;
        if (!Path.IsPathFullyQualified(root) || !Directory.Exists(root))
            return (new DriveAnswer("drive.no_directory", $"{root} is not an absolute path of a directory on this site's machine."), null);
        if (!Path.IsPathFullyQualified(plugged.UpstreamManifest!))
            return (new DriveAnswer("manifest.missing", "Give the manifest's absolute path on this site's machine."), null);
        var staged = Path.Combine(dispatch.Archive, $"examined-{Guid.NewGuid():N}.manifest");
        try
        {
            if (
                await CopyManifestAsync(
                    Path.GetDirectoryName(plugged.UpstreamManifest)!,
                    Path.GetFileName(plugged.UpstreamManifest)!,
                    staged,
                    cancellationToken
                ) is
                { } missing
            )
                return (missing, null);
            var check = await UpstreamManifest.CheckAsync(staged, cancellationToken);
            if (!check.Accepted)
                return (new DriveAnswer(check.Refusal.Code, check.Refusal.Message), null);
            var header = check.Header;
            if (header.LibrarianName == options.Value.Name)
                return (new DriveAnswer("drive.own", "The manifest is this site's own. Nothing was changed."), null);
            var identity = new Guid(Convert.FromHexString(header.Sha256).AsSpan(0, 16));
            if (!await IsKnownAsync(identity, 0, cancellationToken))
                DriveFile.GiveName(staged, ingest.ManifestPath(identity, 0));
            var unusable =
                header.Unusable == 0
                    ? ""
                    : $"{header.Unusable} of {header.Files} entries of its manifest cannot be used; "
                        + "their files are not taken, the others are.";
            return (
                DriveAnswer.Done(unusable),
                NewRow(
                    identity,
                    0,
                    header.StoreName,
                    header.LibrarianName,
                    plugged.Path,
                    root,
                    isUpstream: true,
                    header.Sha256,
                    header.Files,
                    header.Bytes
                )
            );
        }
        finally
        {
            File.Delete(staged);
        }
    }

    private async Task<bool> IsKnownAsync(Guid drive, int trip, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.IncomingDrives.AnyAsync(a => a.DriveId == drive && a.Trip == trip, cancellationToken);
    }

    private static async Task<DriveAnswer?> CopyManifestAsync(string root, string name, string to, CancellationToken cancellationToken)
    {
        try
        {
            await using var from = DriveFile.TryOpenRead(root, name);
            if (from is null)
                return new DriveAnswer(
                    "manifest.missing",
                    $"{Path.Combine(root, name)} does not exist. Nothing was read. Write the manifest at the drive's site first."
                );
            await using var file = Domain.Security.PrivateFile.Create(to);
            await from.CopyToAsync(file, cancellationToken);
            file.Flush(flushToDisk: true);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer(
                "manifest.unreadable",
                $"{Path.Combine(root, name)} could not be copied to the archive: {e.Message} Nothing was ingested. "
                    + "If the drive fails, have its source write the manifest again, or bring the manifest another way."
            );
        }
    }

    private IncomingDrive NewRow(
        Guid drive,
        int trip,
        string name,
        string source,
        string path,
        string data,
        bool isUpstream,
        string sha256,
        long files,
        long bytes
    ) =>
        new()
        {
            DriveId = drive,
            Trip = trip,
            Name = name,
            Source = source,
            MountPath = path,
            DataPath = data,
            IsUpstream = isUpstream,
            ManifestSha256 = sha256,
            State = IncomingDriveState.Ingesting,
            StateSince = time.GetUtcNow().UtcDateTime,
            Files = files,
            Bytes = bytes,
        };

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
            {
                // The request is repeated: files that failed get another attempt, everything else is done.
                var again = await db
                    .IncomingDriveFiles.Where(f => f.IncomingDriveId == known.Id && f.Outcome == DriveFileOutcome.Failed)
                    .ExecuteDeleteAsync(cancellationToken);
                (known.State, known.StateSince) = (IncomingDriveState.Ingesting, time.GetUtcNow().UtcDateTime);
                if (again == 0)
                    message =
                        $"Drive '{incoming.Name}' has been ingested completely; nothing is left to do but to write its receipt again.";
                else
                {
                    known.Position = 0;
                    known.FilesDone -= again;
                    message = $"{again} files of drive '{incoming.Name}' that were not taken are tried again.";
                }
            }
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

/// <summary>
/// Ingests another site's drive round by round, until it is complete and however often it is unplugged. Instance id
/// <c>drive-ingest-{drive}-{trip}</c>.
/// </summary>
[DurableTask(nameof(IngestDrive))]
public sealed class IngestDrive : TaskOrchestrator<IncomingDriveInput, string>
{
    /// <summary>Event: the ingest was requested again, perhaps with another mount point.</summary>
    public const string WakeEvent = "Wake";

    private const int RoundsPerGeneration = 100;

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, IncomingDriveInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var wake = context.WaitForExternalEvent<string?>(WakeEvent);
        var waits = 0;
        for (var rounds = 0; rounds < RoundsPerGeneration; rounds++)
        {
            var round = await context.CallActivityAsync<IngestRoundResult>(
                nameof(IngestDriveFiles),
                input,
                new ActivityOptions(PeerCalls.Options) { Queue = DriveQueues.Media }
            );
            context.SetCustomStatus(round);
            if (round.Outcome == IngestRound.Done)
                return round.Message;
            if (round.Outcome == IngestRound.More)
            {
                waits = 0;
                continue;
            }

            using var cancel = new CancellationTokenSource();
            var timer = context.CreateTimer(TimeSpan.FromSeconds(Math.Min(60, 1 << Math.Min(waits++, 6))), cancel.Token);
            if (await Task.WhenAny(wake, timer) != wake)
                continue;
#pragma warning disable CA1849, MA0042 // CancelAsync leaves the orchestrator's thread; an orchestrator may await only durable tasks.
            cancel.Cancel();
#pragma warning restore CA1849, MA0042
            (wake, waits) = (context.WaitForExternalEvent<string?>(WakeEvent), 0);
        }

        context.ContinueAsNew(input with { Waits = input.Waits + RoundsPerGeneration });
        return "";
    }
}

/// <summary>Runs ingest rounds for about half a minute and writes the receipt at the end; it can be repeated at any point.</summary>
[DurableTask(nameof(IngestDriveFiles))]
public sealed class IngestDriveFiles(
    CatalogDatabase database,
    DriveIngest ingest,
    DriveReceipts receipts,
    DriveProgress progress,
    TimeProvider time,
    ILogger<IngestDriveFiles> log
) : TaskActivity<IncomingDriveInput, IngestRoundResult>
{
    private static readonly TimeSpan TimeBudget = TimeSpan.FromSeconds(30);

    /// <inheritdoc />
    public override async Task<IngestRoundResult> RunAsync(TaskActivityContext context, IncomingDriveInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        var until = time.GetUtcNow() + TimeBudget;
        IngestRoundResult round;
        try
        {
            do
            {
                progress.Reset(input.ArrivalId);
                round = await ingest.RoundAsync(input.ArrivalId, bytes => progress.Add(input.ArrivalId, bytes), stop);
            } while (round.Outcome == IngestRound.More && time.GetUtcNow() < until);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            await NoteAsync(input.ArrivalId, AdvanceDrive.Unexpected(null, e), stop);
            throw;
        }
        finally
        {
            progress.Reset(input.ArrivalId);
        }

        if (round.Outcome == IngestRound.Wait)
            await NoteAsync(input.ArrivalId, round.Message, stop);
        if (round.Outcome != IngestRound.Done)
            return round;
        await using var db = database.Open();
        var incoming = await db.IncomingDrives.AsNoTracking().SingleAsync(a => a.Id == input.ArrivalId, stop);
        var note = await receipts.WriteAsync(incoming, stop);
        // Finish only after the receipt: people unplug the drive when the ingest has ended.
        await ingest.FinishAsync(incoming.Id, incoming.IsUpstream ? null : note, stop);
        return round with { Message = $"Every file has been decided. {note ?? "The receipt is on the drive."}" };
    }

    /// <summary>Keeps the current problem in the incoming drive's row until a round makes progress.</summary>
    private async Task NoteAsync(long incomingDriveId, string problem, CancellationToken stop)
    {
        await using var db = database.Open();
        await db
            .IncomingDrives.Where(a => a.Id == incomingDriveId && (a.Problem == null || a.Problem != problem))
            .ExecuteUpdateAsync(s => s.SetProperty(a => a.Problem, problem), stop);
        Logs.DriveIngestWaits(log, incomingDriveId, problem);
    }
}

/// <summary>
/// Reports to a drive's source how its files ended, in batches, even if the source is away for weeks. Instance id
/// <c>drive-tell-{drive}-{trip}</c>.
/// </summary>
[DurableTask(ReportDriveToSource.TaskName)]
public sealed class ReportDriveToSource : TaskOrchestrator<IncomingDriveInput, string>
{
    /// <summary>The name in histories, which workflows of earlier builds have too.</summary>
    public const string TaskName = "TellDriveSource";

    private const int WaitsPerGeneration = 100;
    private const int Idle = 5;

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, IncomingDriveInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var (waits, pauses) = (0, 0);
        var peer = new PeerPause(context, input.Futile);
        while (true)
        {
            var step = await context.CallActivityAsync<ReportStep>(ReportDriveBatch.TaskName, input, PeerCalls.Options);
            context.SetCustomStatus(step);
            if (step.IsOver)
                return step.Message;
            if (step.IsReachable)
                peer.Answered();
            if (step.MayGoOn)
                (waits, pauses) = (0, 0);
            else
            {
                var pause = step.IsReachable ? TimeSpan.FromSeconds(Idle) : PeerCalls.Pause(waits, context.NewGuid());
                waits++;
                if (await peer.WaitAsync(pause, listen: !step.IsReachable) == PauseEnd.PeerIsBack && peer.IsFirst)
                    waits = 0;
                if (++pauses < WaitsPerGeneration)
                    continue;
                context.ContinueAsNew(input with { Futile = peer.Futile });
                return "";
            }
        }
    }
}

/// <summary>Result of one batch of reports.</summary>
/// <param name="Message">For people.</param>
/// <param name="MayGoOn">More reports are due and the source answers.</param>
/// <param name="IsReachable">The source answers, or no report was due.</param>
/// <param name="IsOver">Everything has been reported.</param>
public sealed record ReportStep(string Message, bool MayGoOn, bool IsReachable, bool IsOver);

/// <summary>
/// Reports one batch: in one call to a site of this project, file by file to a Python Librarian, which has no such call. It can be
/// repeated, because a source records each copy only once.
/// </summary>
[DurableTask(ReportDriveBatch.TaskName)]
public sealed class ReportDriveBatch(
    CatalogDatabase database,
    PeerConnections peers,
    PeerPresence presence,
    SiteCatalog catalog,
    ErrorLog errors,
    ILogger<ReportDriveBatch> log
) : TaskActivity<IncomingDriveInput, ReportStep>
{
    /// <summary>The name in histories, which workflows of earlier builds have too.</summary>
    public const string TaskName = "TellDriveBatch";

    private const int SingleBatch = 100;

    /// <inheritdoc />
    public override async Task<ReportStep> RunAsync(TaskActivityContext context, IncomingDriveInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        presence.Tries(context.InstanceId);
        await using var db = database.Open();
        var incoming = await db.IncomingDrives.AsNoTracking().SingleOrDefaultAsync(a => a.Id == input.ArrivalId, stop);
        if (incoming is null)
            return new ReportStep("The drive is no longer on record.", false, true, true);
        var step = await NotifyAsync(db, incoming, stop);
        if (!step.IsReachable)
            presence.Waits(incoming.Source, context.InstanceId);
        return step;
    }

    private async Task<ReportStep> NotifyAsync(CatalogContext db, IncomingDrive incoming, CancellationToken stop)
    {
        var batch = await db
            .IncomingDriveFiles.AsNoTracking()
            .Where(f => f.IncomingDriveId == incoming.Id && !f.Reported)
            .OrderBy(f => f.Id)
            .Take(DriveDeliveries.MaxBatch)
            .ToListAsync(stop);
        if (batch.Count == 0)
        {
            return incoming.State == IncomingDriveState.Ingested
                ? new ReportStep($"'{incoming.Source}' has heard of every file.", false, true, true)
                : new ReportStep("Nothing to tell yet.", false, true, false);
        }

        if (await peers.FindAsync(incoming.Source, stop) is not { } peer)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Warning,
                ErrorCategory.Configuration,
                $"callback {incoming.Source}",
                $"'{incoming.Source}' sent drive '{incoming.Name}' but is not a registered librarian here, "
                    + "so it cannot be told what arrived. "
                    + "Add it with 'librarian add-librarian', or send the receipt back: librarian drive receipt.",
                stop
            );
            return new ReportStep($"'{incoming.Source}' is not a registered librarian.", false, false, false);
        }

        await catalog.AdvanceAsync(stop);
        var answer = await peer.Client.ReportDeliveriesAsync(
            new DeliveriesRequest(
                incoming.DriveId,
                incoming.Trip,
                [
                    .. batch.Select(f => new DeliveryReport(
                        f.OutgoingTransferId,
                        f.FileName,
                        f.Checksum,
                        f.Outcome != DriveFileOutcome.Failed,
                        f.StoreId,
                        f.Message
                    )),
                ]
            ),
            stop
        );
        if (answer.IsSuccess)
        {
            await MarkAsync(
                batch.ConvertAll(f => (f.Id, answer.Value.Refused.FirstOrDefault(r => r.SourceTransferId == f.OutgoingTransferId)?.Reason)),
                stop
            );
            return new ReportStep($"{batch.Count} files reported to '{incoming.Source}'.", true, true, false);
        }

        if (answer.Error is Refused { Status: 404 or 405 })
            return await NotifyOneByOneAsync(peer, incoming, batch, stop);
        Logs.DriveCallbackWaits(log, incoming.Name, incoming.Source, answer.Error.ToString()!);
        return new ReportStep(answer.Error.ToString()!, false, false, false);
    }

    private async Task<ReportStep> NotifyOneByOneAsync(
        PeerClient peer,
        IncomingDrive incoming,
        List<IncomingDriveFile> batch,
        CancellationToken stop
    )
    {
        foreach (var chunk in batch.Take(SingleBatch).GroupBy(f => f.Outcome == DriveFileOutcome.Failed))
        {
            if (chunk.Key)
            {
                var failed = await peer.Client.UpdateCheckinAsync(
                    new CheckinUpdateRequest([.. chunk.Select(f => f.OutgoingTransferId)], [], Client.Wire.TransferStatus.Failed),
                    stop
                );
                if (!failed.IsSuccess)
                    return new ReportStep(failed.Error.ToString()!, false, false, false);
                await MarkAsync(chunk.Select(f => (f.Id, (string?)null)).ToList(), stop);
                continue;
            }

            foreach (var file in chunk)
            {
                var notified = await peer.Client.CompleteCloneAsync(
                    new CloneCompleteRequest(file.OutgoingTransferId, -1, file.StoreId!.Value),
                    stop
                );
                if (notified.Error is not null and not Refused { Status: 400 or 404 or 406 or 409 or 422 })
                    return new ReportStep(notified.Error.ToString()!, false, false, false);
                await MarkAsync([(file.Id, notified.Error?.ToString())], stop);
            }
        }

        return new ReportStep($"Files of drive '{incoming.Name}' reported to '{incoming.Source}' one by one.", true, true, false);
    }

    private async Task MarkAsync(List<(long Id, string? Refusal)> notified, CancellationToken stop)
    {
        await using var db = database.Open();
        foreach (var group in notified.GroupBy(t => t.Refusal))
        {
            List<long> ids = [.. group.Select(t => t.Id)];
            await db
                .IncomingDriveFiles.Where(f => ids.Contains(f.Id))
                .ExecuteUpdateAsync(s => s.SetProperty(f => f.Reported, true).SetProperty(f => f.Refusal, group.Key), stop);
        }
    }
}
