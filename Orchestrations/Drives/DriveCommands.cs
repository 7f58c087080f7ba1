using Librarian.Domain.Catalog;
using Librarian.Domain.Drives;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;

namespace Librarian.Orchestrations.Drives;

/// <summary>
/// Commands of people for this site's drives. Each command is one transaction that changes the drive's row and wakes its workflow; the
/// workflow does the work.
/// </summary>
public sealed class DriveCommands(
    CatalogDatabase database,
    DriveDispatch dispatch,
    DriveRecycling recycling,
    EndedTransfers endedTransfers,
    DriveWorkflows workflows
)
{
    /// <summary>Freezes a drive; its workflow then writes the manifest.</summary>
    public Task<DriveAnswer> FreezeAsync(string name, CancellationToken cancellationToken) =>
        ChangeAsync(name, (db, drive) => dispatch.FreezeAsync(db, drive, cancellationToken), cancellationToken);

    /// <summary>Lets the workflow wipe a reusable drive for its next trip.</summary>
    public Task<DriveAnswer> RecycleAsync(string name, CancellationToken cancellationToken) =>
        ChangeAsync(name, async (db, drive) => (await recycling.RecycleAsync(db, drive, cancellationToken), []), cancellationToken);

    /// <summary>Abandons a drive and releases the files that it carries.</summary>
    public Task<DriveAnswer> AbandonAsync(string name, CancellationToken cancellationToken) =>
        ChangeAsync(name, async (db, drive) => (await recycling.AbandonAsync(db, drive, cancellationToken), []), cancellationToken);

    /// <summary>Starts a workflow for every drive without one (terminated, or lost with a restored backup).</summary>
    public async Task WatchAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        foreach (var drive in await db.Drives.AsNoTracking().Where(d => d.State != DriveState.Lost).ToListAsync(cancellationToken))
        {
            await workflows.StartAsync(drive, transaction.GetDbTransaction(), cancellationToken);
            await workflows.RepeatAsync(db, drive, transaction.GetDbTransaction(), cancellationToken);
        }

        await transaction.CommitAsync(cancellationToken);
        workflows.Signal();
    }

    private async Task<DriveAnswer> ChangeAsync(
        string name,
        Func<CatalogContext, Drive, Task<(DriveAnswer Answer, IReadOnlyList<long> Ended)>> change,
        CancellationToken cancellationToken
    )
    {
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var drive = await db.Drives.AsNoTracking().SingleOrDefaultAsync(d => d.Name == name, cancellationToken);
        if (drive is null)
            return new DriveAnswer(
                "drive.unknown",
                $"No drive of this site is named '{name}'. Nothing was changed. 'librarian drive list' shows them all."
            );
        var (answer, ended) = await change(db, drive);
        if (!answer.IsOk)
            return answer;
        foreach (var chunk in ended.Chunk(DriveDeliveries.MaxBatch))
            await endedTransfers.PublishAsync(db, chunk, cancellationToken);
        await workflows.StartAsync(drive, transaction.GetDbTransaction(), cancellationToken);
        await workflows.WakeAsync(name, transaction.GetDbTransaction(), cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        workflows.Signal();
        return answer;
    }
}
