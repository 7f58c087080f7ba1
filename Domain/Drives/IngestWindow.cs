using Librarian.Domain.Catalog;

namespace Librarian.Domain.Drives;

/// <summary>Decides one window of a manifest.</summary>
public sealed class IngestWindow(
    CatalogDatabase database,
    IngestSorting sorting,
    IngestReservations reservations,
    IngestCopying copying,
    IngestRecording recording
)
{
    /// <summary>Decides the entries of a window.</summary>
    /// <param name="incoming">The incoming drive.</param>
    /// <param name="held">The drive.</param>
    /// <param name="entries">A window of the manifest.</param>
    /// <param name="next">Where the next window begins; null when an earlier window is undecided.</param>
    /// <param name="onBytes">Called with the number of bytes as they are copied.</param>
    /// <param name="cancellationToken">Stops between files.</param>
    /// <returns>The result; false when nothing in the window fits on any store.</returns>
    internal async Task<(IngestRoundResult Result, bool Fits)> DecideAsync(
        IncomingDrive incoming,
        OpenDrive held,
        List<IngestEntry> entries,
        long? next,
        Action<long>? onBytes,
        CancellationToken cancellationToken
    )
    {
        var work = new IngestWork();
        await using (var db = database.Open())
        {
            await sorting.SortAsync(db, incoming, entries, work, cancellationToken);
            await reservations.TakeUpDecidedAsync(db, incoming, work, cancellationToken);
            if (work.Open.Count > 0 && !await reservations.TryReserveAsync(db, incoming, work, cancellationToken))
                return (
                    IngestRoundResult.Waiting(
                        "Another transfer is storing one of these files at this moment. " + "Both are safe; the ingest goes on by itself."
                    ),
                    true
                );
        }

        if (work.Later.Count > 0)
        {
            work.IsWhole = false;
            work.Wait ??= IngestRoundResult.Waiting(
                $"{work.Later.Count} files of the drive are catalogued here, and their copies are not proven yet: "
                    + $"{work.Later[0].Message} It goes on by itself."
            );
        }

        // This window is decided already, behind one that waits for space: continue with the next.
        if (work.Open.Count == 0 && work.Decisions.Count == 0 && work.Wait is null && next is null)
            return (IngestRoundResult.Waiting(""), false);
        return await CopyAndRecordAsync(incoming, held, work, next, onBytes, cancellationToken);
    }

    private async Task<(IngestRoundResult Result, bool Fits)> CopyAndRecordAsync(
        IncomingDrive incoming,
        OpenDrive held,
        IngestWork work,
        long? next,
        Action<long>? onBytes,
        CancellationToken cancellationToken
    )
    {
        var undecided = work.Open.Count == 0 ? null : await copying.CopyAsync(incoming, held, work, onBytes, cancellationToken);
        var problem = undecided ?? work.Wait?.Message;
        if (work.Decisions.Count > 0 || work.Reservations.Count > 0 || problem is null)
            await recording.RecordAsync(
                incoming,
                work.Decisions,
                work.Reservations,
                undecided is null && work.IsWhole ? next : null,
                problem,
                cancellationToken
            );
        if (undecided is not null && !held.Answers())
            return (IngestRoundResult.Away(incoming), true);
        if (problem is null || work.Decisions.Count > 0)
            return (new IngestRoundResult(IngestRound.More, $"{work.Decisions.Count} files decided."), true);
        return (work.Wait ?? IngestRoundResult.Waiting(problem), work.Fits);
    }
}
