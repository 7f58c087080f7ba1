using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace Librarian.Domain.Catalog;

/// <summary>
/// The migrations that one migration per database has replaced. Together they made the tables that the new one makes, so a catalog that has
/// all of them only gets another record.
/// </summary>
public static class EarlierMigrations
{
    private const string LastVersion = "commit 8e465f3";

    private static readonly string[] OnSqlite =
    [
        "20261123024056_Initial",
        "20261124230730_PeerCallbacks",
        "20261124231008_Drives",
        "20261124232102_SearchIndexes",
        "20261126003222_PathAndContentIndexes",
        "20261129190703_CopyEvidence",
    ];

    private static readonly string[] OnPostgres =
    [
        "20261123024113_Initial",
        "20261124230750_PeerCallbacks",
        "20261124231137_Drives",
        "20261124232232_SearchIndexes",
        "20261126003239_PathAndContentIndexes",
        "20261129190722_CopyEvidence",
    ];

    /// <summary>Whether a catalog has any of these migrations.</summary>
    /// <param name="applied">Its migrations, in their order.</param>
    public static bool AreIn(IReadOnlyCollection<string> applied) => applied.Any(m => OnSqlite.Contains(m) || OnPostgres.Contains(m));

    /// <summary>Why a catalog that has some of these migrations cannot be opened; null if it has exactly all of them, or none.</summary>
    /// <param name="applied">Its migrations, in their order.</param>
    public static string? FindRefusal(IReadOnlyCollection<string> applied) =>
        !AreIn(applied)
        || applied.SequenceEqual(OnSqlite, StringComparer.Ordinal)
        || applied.SequenceEqual(OnPostgres, StringComparer.Ordinal)
            ? null
            : $"The catalog's tables are those of an earlier version: its last migration is '{applied.Last()}', and only catalogs "
                + "whose last migration is 'CopyEvidence' can be taken over. Nothing was changed. Back the catalog up, run "
                + $"'librarian-site migrate' of {LastVersion}, which knows the migrations in between, and start this version again.";

    /// <summary>Records a catalog that has all of these migrations as one that has the first of the present ones.</summary>
    /// <remarks>
    /// One transaction, which changes nothing but the record. A crash before its commit leaves the old record, and the next start does the
    /// same again; a crash after it leaves the new one, and nothing remains to be done. PostgreSQL processes that start together wait for
    /// the lock, which excludes itself and EF Core's lock for migrations, but not readers such as pg_dump; the later ones then read the new
    /// record. A SQLite transaction locks the file from its beginning.
    /// </remarks>
    /// <exception cref="InvalidOperationException">See <see cref="FindRefusal"/>.</exception>
    internal static async Task ReplaceAsync(CatalogContext db, CancellationToken cancellationToken)
    {
        // Nearly every start ends here, without a lock.
        if (!AreIn([.. await db.Database.GetAppliedMigrationsAsync(cancellationToken)]))
            return;
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        if (db.Database.IsNpgsql())
            await db.Database.ExecuteSqlAsync($"""lock table "__EFMigrationsHistory" in share row exclusive mode""", cancellationToken);
        List<string> applied = [.. await db.Database.GetAppliedMigrationsAsync(cancellationToken)];
        if (FindRefusal(applied) is { } refusal)
            throw new InvalidOperationException(refusal);
        if (!AreIn(applied))
            return;
        var history = db.GetService<IHistoryRepository>();
        foreach (var migration in applied)
            await db.Database.ExecuteSqlRawAsync(history.GetDeleteScript(migration), cancellationToken);
        var first = new HistoryRow(db.Database.GetMigrations().First(), ProductInfo.GetVersion());
        await db.Database.ExecuteSqlRawAsync(history.GetInsertScript(first), cancellationToken);
        await transaction.CommitAsync(cancellationToken);
    }
}
