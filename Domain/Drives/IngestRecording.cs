using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Drives;

/// <summary>Records what a round has decided.</summary>
public sealed class IngestRecording(CatalogDatabase database, ErrorLog errors, TimeProvider time, ILogger<DriveIngest> log)
{
    private const int MaxListed = 10;

    /// <summary>Records decisions, files, copies, the end of the reservations and the position in one transaction.</summary>
    /// <param name="incoming">The incoming drive.</param>
    /// <param name="decisions">What was decided.</param>
    /// <param name="reservations">Reservations by name; each ends.</param>
    /// <param name="next">The new position in the manifest; null to keep the old one.</param>
    /// <param name="problem">Why some entries stay undecided.</param>
    /// <param name="cancellationToken">Cancels.</param>
    internal async Task RecordAsync(
        IncomingDrive incoming,
        List<IngestDecision> decisions,
        Dictionary<string, IncomingTransfer> reservations,
        long? next,
        string? problem,
        CancellationToken cancellationToken
    )
    {
        var now = time.GetUtcNow().UtcDateTime;
        await using (var db = database.Open())
        {
            await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
            await InsertDecisionsAsync(db, incoming, decisions, cancellationToken);
            var taken = decisions.Where(d => d.Outcome == DriveFileOutcome.Stored).ToList();
            await InsertFilesAsync(db, incoming, taken, now, cancellationToken);
            await EndReservationsAsync(db, taken, reservations, now, cancellationToken);
            await AdvanceAsync(db, incoming, decisions, next, problem, cancellationToken);
            await transaction.CommitAsync(cancellationToken);
        }

        await RaiseUnusableAsync(incoming, decisions.FindAll(d => d.Entry.File.Problem is not null), cancellationToken);
        await RaiseFailedAsync(
            incoming,
            decisions.Where(d => d.Outcome == DriveFileOutcome.Failed && d.Entry.File.Problem is null),
            cancellationToken
        );
    }

    private static async Task InsertDecisionsAsync(
        CatalogContext db,
        IncomingDrive incoming,
        List<IngestDecision> decisions,
        CancellationToken cancellationToken
    )
    {
        await db.InsertRowsAsync(
            decisions.Select(d => new IncomingDriveFile
            {
                IncomingDriveId = incoming.Id,
                FileName = IngestEntry.Short(d.Entry.File.Name),
                Checksum = IngestEntry.Short(d.Entry.File.Checksum),
                OutgoingTransferId = d.Entry.File.OutgoingTransferId,
                Outcome = d.Outcome,
                StoreId = d.StoreId,
                Message = d.Message,
                Reported = d.Entry.File.OutgoingTransferId < 0,
            }),
            cancellationToken
        );
    }

    private static async Task InsertFilesAsync(
        CatalogContext db,
        IncomingDrive incoming,
        List<IngestDecision> taken,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        await db.InsertRowsAsync(
            taken.Select(d => new FileRecord
            {
                Name = d.Entry.File.Name,
                CreateTime = now,
                Size = d.Entry.File.Size,
                Checksum = d.Entry.File.Checksum,
                Uploader = d.Entry.File.Uploader,
                Source = incoming.Source,
            }),
            cancellationToken
        );
        await db.InsertRowsAsync(
            taken.Select(d => new FileCopy
            {
                Path = d.Entry.Path!.Value,
                FileName = d.Entry.File.Name,
                StoreId = d.StoreId!.Value,
                DeletionPolicy = DeletionPolicy.Disallowed,
                CreatedTime = now,
                Available = true,
            }),
            cancellationToken
        );
    }

    private static async Task EndReservationsAsync(
        CatalogContext db,
        List<IngestDecision> taken,
        Dictionary<string, IncomingTransfer> reservations,
        DateTime now,
        CancellationToken cancellationToken
    )
    {
        var stored = taken.Select(d => d.Entry.File.Name).ToHashSet(StringComparer.Ordinal);
        List<long> completed = [.. reservations.Where(r => stored.Contains(r.Key)).Select(r => r.Value.Id)];
        List<long> others = [.. reservations.Where(r => !stored.Contains(r.Key)).Select(r => r.Value.Id)];
        await db
            .IncomingTransfers.Where(t => completed.Contains(t.Id))
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Completed)
                        .SetProperty(t => t.Committing, false)
                        .SetProperty(t => t.EndTime, now),
                cancellationToken
            );
        await db
            .IncomingTransfers.Where(t => others.Contains(t.Id))
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Failed)
                        .SetProperty(t => t.Committing, false)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.FailureReason, "It was not taken from the drive; see 'librarian drive status'."),
                cancellationToken
            );
    }

    private static async Task AdvanceAsync(
        CatalogContext db,
        IncomingDrive incoming,
        List<IngestDecision> decisions,
        long? next,
        string? problem,
        CancellationToken cancellationToken
    )
    {
        var (count, bytes) = (decisions.Count, decisions.Where(d => d.Outcome != DriveFileOutcome.Failed).Sum(d => d.Entry.File.Size));
        await db
            .IncomingDrives.Where(a => a.Id == incoming.Id)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(a => a.FilesDone, a => a.FilesDone + count)
                        .SetProperty(a => a.BytesDone, a => a.BytesDone + bytes)
                        .SetProperty(a => a.Position, a => next ?? a.Position)
                        .SetProperty(a => a.Problem, problem),
                cancellationToken
            );
    }

    private async Task RaiseUnusableAsync(IncomingDrive incoming, List<IngestDecision> unusable, CancellationToken cancellationToken)
    {
        foreach (var (entry, _, _, message) in unusable)
            Logs.NotIngested(log, entry.File.Name, incoming.Name, message!);
        if (unusable.Count == 0)
            return;
        // One entry in the log for all of them: a list may be bad a million times.
        var first = string.Join("; ", unusable.Take(MaxListed).Select(d => $"{d.Entry.File.Name}: {d.Entry.File.Problem}"));
        await errors.RaiseAsync(
            ErrorSeverity.Error,
            ErrorCategory.DataIntegrity,
            $"drive manifest {incoming.Name}",
            $"The manifest of drive '{incoming.Name}' of '{incoming.Source}' has entries that cannot be used, "
                + $"{unusable.Count} of those read so far. Their files were not taken, all others are. "
                + $"{first}{(unusable.Count > MaxListed ? "; and more" : "")}. "
                + "'librarian drive status' lists them all. Have the source mend its catalog and send these files again.",
            cancellationToken
        );
    }

    private async Task RaiseFailedAsync(IncomingDrive incoming, IEnumerable<IngestDecision> failed, CancellationToken cancellationToken)
    {
        foreach (var (entry, _, _, message) in failed)
        {
            Logs.NotIngested(log, entry.File.Name, incoming.Name, message!);
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.DataIntegrity,
                $"drive ingest {entry.File.Name}",
                $"'{entry.File.Name}' was not taken from drive '{incoming.Name}' of '{incoming.Source}': {message} "
                    + "The source still has it and is notified, so that it sends the file again.",
                cancellationToken
            );
        }
    }
}
