using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Drives;
using Librarian.Domain.Errors;
using Librarian.Domain.Peers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Drives;

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
        presence.RemoveWaiting(context.InstanceId);
        await using var db = database.Open();
        var incoming = await db.IncomingDrives.AsNoTracking().SingleOrDefaultAsync(a => a.Id == input.ArrivalId, stop);
        if (incoming is null)
            return new ReportStep("The drive is no longer on record.", false, true, true);
        var step = await NotifyAsync(db, incoming, stop);
        if (!step.IsReachable)
            presence.AddWaiting(incoming.Source, context.InstanceId);
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
                ? new ReportStep($"'{incoming.Source}' was notified of every file.", false, true, true)
                : new ReportStep("Nothing to report yet.", false, true, false);
        }

        if (await peers.FindAsync(incoming.Source, stop) is not { } peer)
        {
            await errors.RaiseAsync(
                ErrorSeverity.Warning,
                ErrorCategory.Configuration,
                ErrorKey(incoming.Source),
                $"'{incoming.Source}' sent drive '{incoming.Name}' but is not a registered peer here, "
                    + "so it cannot be notified of what arrived. "
                    + "Add it with 'librarian add-librarian', or send the receipt back: librarian drive receipt.",
                stop
            );
            return new ReportStep($"'{incoming.Source}' is not a registered peer.", false, false, false);
        }

        await catalog.AdvanceAsync(stop);
        var answer = await peer.Client.ReportDeliveriesAsync(Reports(incoming, batch), stop);
        if (answer.IsSuccess)
        {
            await errors.SettleAsync(ErrorKey(incoming.Source), stop);
            await MarkAsync(
                batch.ConvertAll(f => (f.Id, answer.Value.Refused.FirstOrDefault(r => r.SourceTransferId == f.OutgoingTransferId)?.Reason)),
                stop
            );
            return new ReportStep($"{batch.Count} files reported to '{incoming.Source}'.", true, true, false);
        }

        // A Python Librarian has no such call. A site of this project has: there the answer is a proxy's or that of a wrong address.
        if (answer.Error is Refused { Status: 404 or 405 } && !peer.Login.SendsCatalogHeaders)
            return await NotifyOneByOneAsync(peer, incoming, batch, stop);
        return await WaitAsync(incoming, answer.Error, stop);
    }

    /// <summary>Ends a step without success; what is due is reported again later.</summary>
    private async Task<ReportStep> WaitAsync(IncomingDrive incoming, ReplyError error, CancellationToken stop)
    {
        var why = error.ToString()!;
        Logs.DriveCallbackWaits(log, incoming.Name, incoming.Source, why);
        if (PeerCalls.IsForPerson(error) || error is Refused { Status: 400 })
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.Configuration,
                ErrorKey(incoming.Source),
                $"'{incoming.Source}' accepts no reports on drive '{incoming.Name}': {why} This site repeats them until it does; the files "
                    + "are safe here. This site's account there needs level CALLBACK and this site's name, and this site must be "
                    + "registered there. The receipt can also be sent back: librarian drive receipt.",
                stop
            );
        }

        return new ReportStep(why, false, false, false);
    }

    /// <summary>As for other notifications to the source (<see cref="Incoming.NotifyPage"/>).</summary>
    private static string ErrorKey(string source) => $"callback {source}";

    private static DeliveriesRequest Reports(IncomingDrive incoming, List<IncomingDriveFile> batch) =>
        new(
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
        );

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
                    new CheckinUpdateRequest([.. chunk.Select(f => f.OutgoingTransferId)], [], TransferStatus.Failed),
                    stop
                );
                if (failed.Error is { } refused && PeerCalls.OutcomeOf(refused) is NotificationOutcome.Failed or NotificationOutcome.Away)
                    return await WaitAsync(incoming, refused, stop);
                await MarkAsync(chunk.Select(f => (f.Id, (string?)null)).ToList(), stop);
                continue;
            }

            foreach (var file in chunk)
            {
                var notified = await peer.Client.CompleteCloneAsync(
                    new CloneCompleteRequest(file.OutgoingTransferId, -1, file.StoreId!.Value),
                    stop
                );
                if (notified.Error is { } error && PeerCalls.OutcomeOf(error) is NotificationOutcome.Failed or NotificationOutcome.Away)
                    return await WaitAsync(incoming, error, stop);
                await MarkAsync([(file.Id, notified.Error?.ToString())], stop);
            }
        }

        await errors.SettleAsync(ErrorKey(incoming.Source), stop);
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
