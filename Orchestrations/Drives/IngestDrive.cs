using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Errors;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using ErrorCategory = Librarian.Domain.Catalog.ErrorCategory;
using ErrorSeverity = Librarian.Domain.Catalog.ErrorSeverity;

namespace Librarian.Orchestrations.Drives;

/// <summary>A drive that was plugged in here.</summary>
/// <param name="Path">Absolute directory at which it is mounted.</param>
/// <param name="AcceptKey">Fingerprint that an administrator has compared.</param>
/// <param name="UpstreamManifest">Absolute path of a Python Librarian's manifest; null for a drive with a marker.</param>
/// <param name="StoreRoot">For such a drive, directory of the files; the default is the path itself.</param>
/// <param name="AllowUnsigned">An unsigned manifest is acceptable.</param>
public sealed record PluggedDrive(string Path, string? AcceptKey, string? UpstreamManifest, string? StoreRoot, bool AllowUnsigned);

/// <summary>Input of <see cref="IngestDrive"/> and <see cref="TellDriveSource"/>.</summary>
/// <param name="ArrivalId">The arrival.</param>
/// <param name="Waits">Pauses of earlier generations.</param>
public sealed record ArrivalInput(long ArrivalId, int Waits = 0);

/// <summary>
/// Examines drives of other sites that were plugged in here and starts their ingest: marker, manifest, totals, digest, signature and key come before
/// the first file.
/// </summary>
public sealed class DriveArrivals(CatalogDatabase database, DriveIngest ingest, DriveDispatch dispatch, SiteKeyring keyring, DriveCommands commands, DurableTaskClient client, IOptions<SiteOptions> options, TimeProvider time)
{
    /// <summary>Instance id of an ingest; starting a drive's trip twice finds the first.</summary>
    public static string IngestId(Guid drive, int trip) => $"drive-ingest-{drive:N}-{trip}";

    /// <summary>Instance id of the callbacks.</summary>
    public static string TellId(Guid drive, int trip) => $"drive-tell-{drive:N}-{trip}";

    /// <summary>Checks a drive and starts, or goes on with, its ingest.</summary>
    /// <remarks>
    /// The manifest is copied to the archive before it is checked, so that what was checked is what is used. A crash before the commit leaves a copy
    /// that the next call replaces.
    /// </remarks>
    public async Task<(DriveAnswer Answer, DriveArrival? Arrival)> StartAsync(PluggedDrive plugged, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(plugged);
        if (!Path.IsPathFullyQualified(plugged.Path) || !Directory.Exists(plugged.Path))
            return (new DriveAnswer("drive.no_directory", $"{plugged.Path} is not an absolute path of a directory on this site's machine. Mount the drive there first."), null);
        var (answer, arrival) = plugged.UpstreamManifest is null ? await ExamineAsync(plugged, cancellationToken) : await ExamineUpstreamAsync(plugged, cancellationToken);
        return arrival is null ? (answer, null) : await RegisterAsync(arrival, cancellationToken);
    }

    private async Task<(DriveAnswer, DriveArrival?)> ExamineAsync(PluggedDrive plugged, CancellationToken cancellationToken)
    {
        var own = options.Value.Name;
        if (await DriveMarker.TryReadAsync(plugged.Path, cancellationToken) is not { } marker)
            return (new DriveAnswer("drive.not_a_drive", $"{plugged.Path} has no readable marker ({DriveMarker.FileName}): the drive is not mounted there, or it is none of a Librarian's. Nothing was read or written. For a drive of the Python Librarian add --upstream-manifest."), null);
        if (marker.Site == own) return (new DriveAnswer("drive.own", $"Drive '{marker.Name}' belongs to this site. It is ingested at '{marker.Destination}'. Nothing was changed."), null);
        if (marker.Destination != own)
            return (new DriveAnswer("drive.other_destination", $"Drive '{marker.Name}' of '{marker.Site}' is for '{marker.Destination}', not for '{own}'. Nothing was read. Carry it there."), null);
        var staged = Path.Combine(dispatch.Archive, $"examined-{Guid.NewGuid():N}.manifest");
        try
        {
            if (await CopyManifestAsync(plugged.Path, ManifestWriter.FileName, staged, cancellationToken) is { } missing) return (missing, null);
            var check = await ManifestReader.CheckAsync(staged, cancellationToken);
            if (!check.Accepted) return (new DriveAnswer(check.Refusal.Code, check.Refusal.Message), null);
            var header = check.Header;
            if (header.DriveId != marker.DriveId || header.Trip != marker.Trip || header.Site != marker.Site || header.Destination != own)
                return (new DriveAnswer("manifest.other_drive", $"The manifest is of drive '{header.Drive}', trip {header.Trip} of '{header.Site}' to '{header.Destination}', but this is drive '{marker.Name}', trip {marker.Trip} of '{marker.Site}'. Nothing was read. Put the right manifest on the drive ('librarian drive manifest' at '{marker.Site}' writes it)."), null);
            await commands.LearnKeyAsync(header.Site, header.SiteKey, plugged.AcceptKey, cancellationToken);
            var known = await keyring.FindAsync(header.Site, cancellationToken);
            if (known is null)
                return (new DriveAnswer("manifest.unknown_key", $"The key of '{header.Site}' is not known here, so the manifest cannot be trusted. Nothing was read. Compare its fingerprint, {header.SiteKey.Fingerprint}, with what 'librarian drive key' prints there, then repeat with --accept-key '{header.SiteKey.Fingerprint}'."), null);
            if (known != header.SiteKey)
                return (new DriveAnswer("manifest.other_key", $"The manifest is signed with another key than the one known for '{header.Site}' ({header.SiteKey.Fingerprint} instead of {known.Fingerprint}). Nothing was read. If that site was installed anew, compare fingerprints by another way and repeat with --accept-key."), null);
            // Of a drive that is known the archived copy stays; RegisterAsync compares the digests.
            if (!await IsKnownAsync(marker.DriveId, marker.Trip, cancellationToken)) File.Move(staged, ingest.ManifestPath(marker.DriveId, marker.Trip), overwrite: true);
            return (DriveAnswer.Done(""), Arrival(marker.DriveId, marker.Trip, marker.Name, header.Site, plugged.Path, DriveMedium.DataPathOf(plugged.Path), isUpstream: false, check.Seal.Sha256, header.Files, header.Bytes));
        }
        finally
        {
            File.Delete(staged);
        }
    }

    private async Task<(DriveAnswer, DriveArrival?)> ExamineUpstreamAsync(PluggedDrive plugged, CancellationToken cancellationToken)
    {
        if (!plugged.AllowUnsigned)
            return (new DriveAnswer("manifest.unsigned", "A manifest of the Python Librarian is not signed: nobody can tell whether it was changed on the way. Nothing was read. If you trust how it came here, repeat with --unsigned."), null);
        var root = plugged.StoreRoot ?? plugged.Path;
        if (!Path.IsPathFullyQualified(root) || !Directory.Exists(root)) return (new DriveAnswer("drive.no_directory", $"{root} is not an absolute path of a directory on this site's machine."), null);
        if (!Path.IsPathFullyQualified(plugged.UpstreamManifest!)) return (new DriveAnswer("manifest.missing", "Give the manifest's absolute path on this site's machine."), null);
        var staged = Path.Combine(dispatch.Archive, $"examined-{Guid.NewGuid():N}.manifest");
        try
        {
            if (await CopyManifestAsync(Path.GetDirectoryName(plugged.UpstreamManifest)!, Path.GetFileName(plugged.UpstreamManifest)!, staged, cancellationToken) is { } missing) return (missing, null);
            var check = await UpstreamManifest.CheckAsync(staged, cancellationToken);
            if (!check.Accepted) return (new DriveAnswer(check.Refusal.Code, check.Refusal.Message), null);
            var header = check.Header;
            if (header.LibrarianName == options.Value.Name) return (new DriveAnswer("drive.own", "The manifest is this site's own. Nothing was changed."), null);
            var identity = new Guid(Convert.FromHexString(header.Sha256).AsSpan(0, 16));
            if (!await IsKnownAsync(identity, 0, cancellationToken)) File.Move(staged, ingest.ManifestPath(identity, 0), overwrite: true);
            return (DriveAnswer.Done(""), Arrival(identity, 0, header.StoreName, header.LibrarianName, plugged.Path, root, isUpstream: true, header.Sha256, header.Files, header.Bytes));
        }
        finally
        {
            File.Delete(staged);
        }
    }

    private async Task<bool> IsKnownAsync(Guid drive, int trip, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db.DriveArrivals.AnyAsync(a => a.DriveId == drive && a.Trip == trip, cancellationToken);
    }

    private static async Task<DriveAnswer?> CopyManifestAsync(string root, string name, string to, CancellationToken cancellationToken)
    {
        try
        {
            await using var from = DriveFile.TryOpenRead(root, name);
            if (from is null) return new DriveAnswer("manifest.missing", $"{Path.Combine(root, name)} does not exist. Nothing was read. Write the manifest at the drive's site first.");
            await using var file = new FileStream(to, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16, FileOptions.Asynchronous);
            await from.CopyToAsync(file, cancellationToken);
            file.Flush(flushToDisk: true);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new DriveAnswer("manifest.unreadable", $"{Path.Combine(root, name)} could not be copied to the archive: {e.Message} Nothing was ingested. If the drive fails, have its source write the manifest again, or bring the manifest another way.");
        }
    }

    private DriveArrival Arrival(Guid drive, int trip, string name, string source, string path, string data, bool isUpstream, string sha256, long files, long bytes) => new()
    {
        DriveId = drive,
        Trip = trip,
        Name = name,
        Source = source,
        MountPath = path,
        DataPath = data,
        IsUpstream = isUpstream,
        ManifestSha256 = sha256,
        State = DriveArrivalState.Ingesting,
        StateSince = time.GetUtcNow().UtcDateTime,
        Files = files,
        Bytes = bytes,
    };

    /// <summary>Records the arrival and starts its workflows, or goes on with the one on record.</summary>
    private async Task<(DriveAnswer, DriveArrival?)> RegisterAsync(DriveArrival arrival, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var message = $"Drive '{arrival.Name}' of '{arrival.Source}' is being ingested.";
        var known = await db.DriveArrivals.SingleOrDefaultAsync(a => a.DriveId == arrival.DriveId && a.Trip == arrival.Trip, cancellationToken);
        if (known is null)
        {
            db.DriveArrivals.Add(arrival);
            known = arrival;
        }
        else if (known.ManifestSha256 != arrival.ManifestSha256)
        {
            return (new DriveAnswer("manifest.changed", $"Drive '{arrival.Name}', trip {arrival.Trip}, was here before with another manifest. Nothing was changed. Ask '{arrival.Source}' which manifest is right; a site that was installed anew initialises its drives anew."), null);
        }
        else
        {
            (known.MountPath, known.DataPath, known.Problem) = (arrival.MountPath, arrival.DataPath, null);
            message = $"Drive '{arrival.Name}' of '{arrival.Source}' was plugged in before; its ingest goes on where it stopped.";
            if (known.State == DriveArrivalState.Ingested)
            {
                // Asked for again: what was not taken gets another try, everything else is done.
                var again = await db.DriveArrivalFiles.Where(f => f.ArrivalId == known.Id && f.Outcome == DriveFileOutcome.Failed).ExecuteDeleteAsync(cancellationToken);
                (known.State, known.StateSince) = (DriveArrivalState.Ingesting, time.GetUtcNow().UtcDateTime);
                if (again == 0) message = $"Drive '{arrival.Name}' has been ingested completely; nothing is left to do but to write its receipt again.";
                else
                {
                    known.Position = 0;
                    known.FilesDone -= again;
                    message = $"{again} files of drive '{arrival.Name}' that were not taken are tried again.";
                }
            }
        }

        try
        {
            await db.SaveChangesAsync(cancellationToken);
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return (new DriveAnswer("drive.busy", $"Drive '{arrival.Name}' is being registered at this moment. Ask again."), null);
        }

        await StartAsync(known, untold: true, transaction.GetDbTransaction(), cancellationToken);
        await client.RaiseEventAsync(IngestId(known.DriveId, known.Trip), IngestDrive.WakeEvent, null, messageId: null, transaction.GetDbTransaction(), cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
        return (DriveAnswer.Done(message), known);
    }

    /// <summary>Gives arrivals that have work left and no workflow one.</summary>
    public async Task WatchAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var open = await db.DriveArrivals.AsNoTracking().Where(a => a.State == DriveArrivalState.Ingesting || db.DriveArrivalFiles.Any(f => f.ArrivalId == a.Id && !f.Told))
            .Select(a => new { Arrival = a, Untold = db.DriveArrivalFiles.Any(f => f.ArrivalId == a.Id && !f.Told) }).ToListAsync(cancellationToken);
        foreach (var entry in open) await StartAsync(entry.Arrival, entry.Untold, transaction.GetDbTransaction(), cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
    }

    private async Task StartAsync(DriveArrival arrival, bool untold, System.Data.Common.DbTransaction transaction, CancellationToken cancellationToken)
    {
        var input = new ArrivalInput(arrival.Id);
        if (arrival.State == DriveArrivalState.Ingesting)
            await client.ScheduleNewOrchestrationInstanceAsync(nameof(IngestDrive), input, new StartOrchestrationOptions(IngestId(arrival.DriveId, arrival.Trip)), transaction, cancellationToken);
        if (untold || arrival.State == DriveArrivalState.Ingesting)
            await client.ScheduleNewOrchestrationInstanceAsync(nameof(TellDriveSource), input, new StartOrchestrationOptions(TellId(arrival.DriveId, arrival.Trip)), transaction, cancellationToken);
    }
}

/// <summary>Ingests another site's drive, round by round, as long as it takes and however often it is unplugged. Instance id <c>drive-ingest-{drive}-{trip}</c>.</summary>
[DurableTask(nameof(IngestDrive))]
public sealed class IngestDrive : TaskOrchestrator<ArrivalInput, string>
{
    /// <summary>Event that says that somebody asked again, perhaps with the drive at another place.</summary>
    public const string WakeEvent = "Wake";

    private const int RoundsPerGeneration = 100;

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, ArrivalInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var wake = context.WaitForExternalEvent<string?>(WakeEvent);
        var waits = 0;
        for (var rounds = 0; rounds < RoundsPerGeneration; rounds++)
        {
            var round = await context.CallActivityAsync<IngestRoundResult>(nameof(IngestDriveFiles), input, PeerCalls.Options with { Queue = DriveQueues.Media });
            context.SetCustomStatus(round);
            if (round.Outcome == IngestRound.Done) return round.Message;
            if (round.Outcome == IngestRound.More)
            {
                waits = 0;
                continue;
            }

            using var cancel = new CancellationTokenSource();
            var timer = context.CreateTimer(TimeSpan.FromSeconds(Math.Min(60, 1 << Math.Min(waits++, 6))), cancel.Token);
            if (await Task.WhenAny(wake, timer) != wake) continue;
#pragma warning disable CA1849, MA0042 // CancelAsync leaves the orchestrator's thread, and an orchestrator may only await durable tasks.
            cancel.Cancel();
#pragma warning restore CA1849, MA0042
            (wake, waits) = (context.WaitForExternalEvent<string?>(WakeEvent), 0);
        }

        context.ContinueAsNew(input with { Waits = input.Waits + RoundsPerGeneration });
        return "";
    }
}

/// <summary>Some rounds of an ingest, for at most half a minute, and at the end the receipt; may be repeated at any point.</summary>
[DurableTask(nameof(IngestDriveFiles))]
public sealed class IngestDriveFiles(CatalogDatabase database, DriveIngest ingest, DriveReceipts receipts, DriveProgress progress, TimeProvider time, ILogger<IngestDriveFiles> log) : TaskActivity<ArrivalInput, IngestRoundResult>
{
    private static readonly TimeSpan Slice = TimeSpan.FromSeconds(30);

    /// <inheritdoc />
    public override async Task<IngestRoundResult> RunAsync(TaskActivityContext context, ArrivalInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        var until = time.GetUtcNow() + Slice;
        IngestRoundResult round;
        try
        {
            do
            {
                progress.Reset(input.ArrivalId);
                round = await ingest.RoundAsync(input.ArrivalId, bytes => progress.Add(input.ArrivalId, bytes), stop);
            }
            while (round.Outcome == IngestRound.More && time.GetUtcNow() < until);
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

        if (round.Outcome == IngestRound.Wait) await NoteAsync(input.ArrivalId, round.Message, stop);
        if (round.Outcome != IngestRound.Done) return round;
        await using var db = database.Open();
        var arrival = await db.DriveArrivals.AsNoTracking().SingleAsync(a => a.Id == input.ArrivalId, stop);
        var note = await receipts.WriteAsync(arrival, stop);
        // Only now: whoever waits for the end of the ingest unplugs the drive.
        await ingest.FinishAsync(arrival.Id, arrival.IsUpstream ? null : note, stop);
        return round with { Message = $"Every file has been decided. {note ?? "The receipt is on the drive."}" };
    }

    /// <summary>What is in the way stands in the arrival's row until a round gets on.</summary>
    private async Task NoteAsync(long arrivalId, string problem, CancellationToken stop)
    {
        await using var db = database.Open();
        await db.DriveArrivals.Where(a => a.Id == arrivalId && (a.Problem == null || a.Problem != problem)).ExecuteUpdateAsync(s => s.SetProperty(a => a.Problem, problem), stop);
        Logs.DriveIngestWaits(log, arrivalId, problem);
    }
}

/// <summary>Tells a drive's source what became of its files, in batches, for as many weeks as it is away. Instance id <c>drive-tell-{drive}-{trip}</c>.</summary>
[DurableTask(nameof(TellDriveSource))]
public sealed class TellDriveSource : TaskOrchestrator<ArrivalInput, string>
{
    private const int WaitsPerGeneration = 100;
    private const int Idle = 5;

    /// <inheritdoc />
    public override async Task<string> RunAsync(TaskOrchestrationContext context, ArrivalInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var waits = input.Waits;
        while (true)
        {
            var step = await context.CallActivityAsync<TellStep>(nameof(TellDriveBatch), input, PeerCalls.Options);
            context.SetCustomStatus(step);
            if (step.IsOver) return step.Message;
            if (step.MayGoOn) waits = input.Waits;
            else
            {
                await context.CreateTimer(step.IsReachable ? TimeSpan.FromSeconds(Idle) : PeerCalls.Pause(waits - input.Waits, context.NewGuid()), CancellationToken.None);
                if (++waits - input.Waits < WaitsPerGeneration) continue;
                context.ContinueAsNew(input);
                return "";
            }
        }
    }
}

/// <summary>Result of one batch of callbacks.</summary>
/// <param name="Message">For people.</param>
/// <param name="MayGoOn">More is waiting and the source answers.</param>
/// <param name="IsReachable">The source answers, or there was nothing to say.</param>
/// <param name="IsOver">Everything has been told.</param>
public sealed record TellStep(string Message, bool MayGoOn, bool IsReachable, bool IsOver);

/// <summary>
/// Tells one batch: in one call to a site of ours, one by one to a Python Librarian, which knows no batches. Safe to repeat, since a source
/// records a copy once.
/// </summary>
[DurableTask(nameof(TellDriveBatch))]
public sealed class TellDriveBatch(CatalogDatabase database, PeerConnections peers, ErrorLog errors, ILogger<TellDriveBatch> log) : TaskActivity<ArrivalInput, TellStep>
{
    private const int SingleBatch = 100;

    /// <inheritdoc />
    public override async Task<TellStep> RunAsync(TaskActivityContext context, ArrivalInput input)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(input);
        var stop = context.CancellationToken;
        await using var db = database.Open();
        var arrival = await db.DriveArrivals.AsNoTracking().SingleOrDefaultAsync(a => a.Id == input.ArrivalId, stop);
        if (arrival is null) return new TellStep("The drive is no longer on record.", false, true, true);
        var batch = await db.DriveArrivalFiles.AsNoTracking().Where(f => f.ArrivalId == arrival.Id && !f.Told).OrderBy(f => f.Id).Take(DriveDeliveries.MaxBatch).ToListAsync(stop);
        if (batch.Count == 0)
        {
            return arrival.State == DriveArrivalState.Ingested
                ? new TellStep($"'{arrival.Source}' has heard of every file.", false, true, true)
                : new TellStep("Nothing to tell yet.", false, true, false);
        }

        if (await peers.FindAsync(arrival.Source, stop) is not { } peer)
        {
            await errors.RaiseAsync(ErrorSeverity.Warning, ErrorCategory.Configuration, $"callback {arrival.Source}",
                $"'{arrival.Source}' sent drive '{arrival.Name}' but is not a registered librarian here, so it cannot be told what arrived. Add it with 'librarian add-librarian', or send the receipt back: librarian drive receipt.", stop);
            return new TellStep($"'{arrival.Source}' is not a registered librarian.", false, false, false);
        }

        var answer = await peer.Client.TellDeliveriesAsync(new DeliveriesRequest(arrival.DriveId, arrival.Trip,
            [.. batch.Select(f => new DeliveryReport(f.OutgoingTransferId, f.FileName, f.Checksum, f.Outcome != DriveFileOutcome.Failed, f.StoreId, f.Message))]), stop);
        if (answer.IsSuccess)
        {
            await MarkAsync(batch.ConvertAll(f => (f.Id, answer.Value.Refused.FirstOrDefault(r => r.SourceTransferId == f.OutgoingTransferId)?.Reason)), stop);
            return new TellStep($"{batch.Count} files reported to '{arrival.Source}'.", true, true, false);
        }

        if (answer.Error is Refused { Status: 404 or 405 }) return await TellOneByOneAsync(peer, arrival, batch, stop);
        Logs.DriveCallbackWaits(log, arrival.Name, arrival.Source, answer.Error.ToString()!);
        return new TellStep(answer.Error.ToString()!, false, false, false);
    }

    private async Task<TellStep> TellOneByOneAsync(Peer peer, DriveArrival arrival, List<DriveArrivalFile> batch, CancellationToken stop)
    {
        foreach (var chunk in batch.Take(SingleBatch).GroupBy(f => f.Outcome == DriveFileOutcome.Failed))
        {
            if (chunk.Key)
            {
                var failed = await peer.Client.UpdateCheckinAsync(new CheckinUpdateRequest([.. chunk.Select(f => f.OutgoingTransferId)], [], Client.Wire.TransferStatus.Failed), stop);
                if (!failed.IsSuccess) return new TellStep(failed.Error.ToString()!, false, false, false);
                await MarkAsync(chunk.Select(f => (f.Id, (string?)null)).ToList(), stop);
                continue;
            }

            foreach (var file in chunk)
            {
                var told = await peer.Client.CompleteCloneAsync(new CloneCompleteRequest(file.OutgoingTransferId, -1, file.StoreId!.Value), stop);
                if (told.Error is not null and not Refused { Status: 400 or 404 or 406 or 409 or 422 }) return new TellStep(told.Error.ToString()!, false, false, false);
                await MarkAsync([(file.Id, told.Error?.ToString())], stop);
            }
        }

        return new TellStep($"Files of drive '{arrival.Name}' reported to '{arrival.Source}' one by one.", true, true, false);
    }

    private async Task MarkAsync(List<(long Id, string? Refusal)> told, CancellationToken stop)
    {
        await using var db = database.Open();
        foreach (var group in told.GroupBy(t => t.Refusal))
        {
            List<long> ids = [.. group.Select(t => t.Id)];
            await db.DriveArrivalFiles.Where(f => ids.Contains(f.Id)).ExecuteUpdateAsync(s => s.SetProperty(f => f.Told, true).SetProperty(f => f.Refusal, group.Key), stop);
        }
    }
}
