using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Functions.Timers;

/// <summary>Keeps timer status in the catalog, where every process of the site sees it.</summary>
public sealed class CatalogTimerStatus(CatalogDatabase database) : ITimerStatusStore
{
    /// <inheritdoc />
    /// <remarks>See <see cref="SiteLock"/>.</remarks>
    public bool IsOfThisProcessAlone => database.Kind == DatabaseKind.Sqlite;

    /// <inheritdoc />
    public async Task<TimerStatus?> GetAsync(string functionName, CancellationToken cancellationToken)
    {
        var key = Key(functionName);
        await using var db = database.Open();
        var row = await db.Timers.AsNoTracking().SingleOrDefaultAsync(t => t.Name == key, cancellationToken);
        return row is null
            ? null
            : new TimerStatus
            {
                Schedule = row.Schedule,
                Last = Offset(row.LastRun),
                Next = new DateTimeOffset(row.NextRun, TimeSpan.Zero),
                LastUpdated = new DateTimeOffset(row.LastUpdated, TimeSpan.Zero),
                LeaseOwner = row.LeaseOwner,
                LeaseExpires = Offset(row.LeaseUntil),
                Version = row.Version,
            };
    }

    /// <inheritdoc />
    public async Task<bool> TrySaveAsync(string functionName, TimerStatus status, long expectedVersion, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(status);
        var key = Key(functionName);
        await using var db = database.Open();
        if (expectedVersion > 0)
        {
            return await db
                    .Timers.Where(t => t.Name == key && t.Version == expectedVersion)
                    .ExecuteUpdateAsync(
                        s =>
                            s.SetProperty(t => t.Schedule, status.Schedule)
                                .SetProperty(t => t.LastRun, Utc(status.Last))
                                .SetProperty(t => t.NextRun, status.Next.UtcDateTime)
                                .SetProperty(t => t.LastUpdated, status.LastUpdated.UtcDateTime)
                                .SetProperty(t => t.LeaseOwner, status.LeaseOwner)
                                .SetProperty(t => t.LeaseUntil, Utc(status.LeaseExpires))
                                .SetProperty(t => t.Version, expectedVersion + 1),
                        cancellationToken
                    ) == 1;
        }

        db.Timers.Add(
            new TimerRecord
            {
                Name = key,
                Schedule = status.Schedule,
                LastRun = Utc(status.Last),
                NextRun = status.Next.UtcDateTime,
                LastUpdated = status.LastUpdated.UtcDateTime,
                LeaseOwner = status.LeaseOwner,
                LeaseUntil = Utc(status.LeaseExpires),
                Version = 1,
            }
        );
        try
        {
            await db.SaveChangesAsync(cancellationToken);
            return true;
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            return false;
        }
    }

    private static DateTimeOffset? Offset(DateTime? time) => time is { } utc ? new DateTimeOffset(utc, TimeSpan.Zero) : null;

    private static DateTime? Utc(DateTimeOffset? time) => time?.UtcDateTime;

    private static string Key(string functionName) => functionName.ToLowerInvariant();
}
