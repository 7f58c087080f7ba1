using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Drives;

/// <summary>The end of a drive's trip: it may be wiped for the next one, or is abandoned.</summary>
public sealed class DriveRecycling(TimeProvider time)
{
    private const int MostNamed = 10;

    /// <summary>Allows a drive to be wiped if every file on it is at its destination or has another copy here.</summary>
    public async Task<DriveAnswer> RecycleAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        CatalogDatabase.AllowLongStatements(db);
        ArgumentNullException.ThrowIfNull(drive);
        if (drive.State == DriveState.Recycling)
            return DriveAnswer.Done($"Drive '{drive.Name}' is being wiped.");
        if (drive.State != DriveState.Reusable)
        {
            var counts = await DriveDeliveries.CountAsync(db, drive.Id, cancellationToken);
            return new DriveAnswer(
                "drive.not_reusable",
                $"Drive '{drive.Name}' is {drive.State}, {counts.Open} of its files have not been acknowledged by '{drive.Destination}'. "
                    + "Nothing was wiped. Wait for the callbacks, apply the receipt with 'librarian drive acknowledge', "
                    + "or give the drive up with --lost."
            );
        }

        if (await OnlyCopies.FirstAsync(db, drive, cancellationToken) is { } name)
            return new DriveAnswer(OnlyCopies.Code, OnlyCopies.Refusal(drive, name));
        var now = time.GetUtcNow().UtcDateTime;
        await db
            .Drives.Where(d => d.Id == drive.Id && d.State == DriveState.Reusable)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(d => d.State, DriveState.Recycling)
                        .SetProperty(d => d.StateSince, now)
                        .SetProperty(d => d.Problem, (string?)null),
                cancellationToken
            );
        return DriveAnswer.Done($"Drive '{drive.Name}' is wiped as soon as it is plugged in at {drive.MountPath}, and then filled again.");
    }

    /// <summary>
    /// Releases every file of a drive that will not come back, so that other drives and links carry them; the drive's name stays taken
    /// until it is initialised again.
    /// </summary>
    public async Task<DriveAnswer> AbandonAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        CatalogDatabase.AllowLongStatements(db);
        ArgumentNullException.ThrowIfNull(drive);
        if (drive.State == DriveState.Lost)
            return DriveAnswer.Done($"Drive '{drive.Name}' was recorded as lost before.");
        var gone = await DescribeGoneAsync(db, drive, cancellationToken);
        var now = time.GetUtcNow().UtcDateTime;
        var row = drive.Id;
        // No pause: the next drive or the link may take them at once.
        var open = await DriveDeliveries
            .Open(db, row)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(t => t.Status, TransferStatus.Cancelled)
                        .SetProperty(t => t.EndTime, now)
                        .SetProperty(t => t.FailureReason, $"Drive '{drive.Name}' was lost."),
                cancellationToken
            );
        await ForgetContentsAsync(db, drive, cancellationToken);
        await db
            .Drives.Where(d => d.Id == row)
            .ExecuteUpdateAsync(
                s =>
                    s.SetProperty(d => d.State, DriveState.Lost)
                        .SetProperty(d => d.StateSince, now)
                        .SetProperty(d => d.Problem, (string?)null),
                cancellationToken
            );
        return DriveAnswer.Done(
            $"Drive '{drive.Name}' is recorded as lost; {open} unacknowledged files are offered again, as far as there is a copy.{gone}"
        );
    }

    /// <summary>What is lost with a drive that will not come back; empty when nothing is.</summary>
    private static async Task<string> DescribeGoneAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        var last =
            drive.State == DriveState.Recycling
                ? []
                : await OnlyCopies.Of(db, drive).OrderBy(n => n).Take(MostNamed).ToListAsync(cancellationToken);
        var named = string.Join(", ", last.Select(n => $"'{n}'"));
        return last.Count == 0 ? ""
            : await OnlyCopies.Of(db, drive).CountAsync(cancellationToken) is var count
                ? string.Create(
                    System.Globalization.CultureInfo.InvariantCulture,
                    $" {count} of them have no other copy here or at '{drive.Destination}' and are gone with it, "
                        + $"unless it turns up there: {named}{(count > last.Count ? ", …" : "")}."
                )
            : "";
    }

    /// <summary>Removes what the catalog knows of a drive's contents.</summary>
    internal static async Task ForgetContentsAsync(CatalogContext db, Drive drive, CancellationToken cancellationToken)
    {
        await db.Copies.Where(i => i.StoreId == drive.StoreId).ExecuteDeleteAsync(cancellationToken);
        await db
            .DriveMembers.Where(m => db.DriveContents.Any(c => c.Id == m.ContentId && c.DriveRow == drive.Id))
            .ExecuteDeleteAsync(cancellationToken);
        await db.DriveContents.Where(c => c.DriveRow == drive.Id).ExecuteDeleteAsync(cancellationToken);
    }
}
