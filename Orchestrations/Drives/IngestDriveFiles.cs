using Librarian.Domain.Catalog;
using Librarian.Domain.Drives;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Drives;

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
