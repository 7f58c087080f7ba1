using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Catalog;

/// <summary>
/// Keeps PostgreSQL's statistics current after large changes. Autovacuum checks once a minute and does not see rows of an open transaction;
/// until then a table that has just got a million rows counts as nearly empty, and is read in full for each row of another table. SQLite
/// plans by fixed rules and needs no statistics here.
/// </summary>
public static class PlannerStatistics
{
    // Autovacuum's own share is a tenth; the constant keeps small catalogs from being analyzed in every round.
    private const string Stale = """
        select relname::text as "Value" from pg_stat_user_tables
        where relname = any ({0}) and n_mod_since_analyze > 500 + 0.2 * n_live_tup and pg_table_is_visible(relid) order by relname
        """;

    /// <summary>Refreshes the statistics of those tables that have changed by more than a fifth.</summary>
    /// <param name="db">Unit of work outside of a transaction.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="tables">Names of tables.</param>
    public static async Task RefreshStaleAsync(CatalogContext db, CancellationToken cancellationToken, params string[] tables)
    {
        ArgumentNullException.ThrowIfNull(db);
        if (!db.Database.IsNpgsql())
            return;
        var stale = await db.Database.SqlQueryRaw<string>(Stale, [tables]).ToListAsync(cancellationToken);
        if (stale.Count > 0)
            await AnalyzeAsync(db, stale, cancellationToken);
    }

    /// <summary>Refreshes the statistics of tables; inside a transaction its own changes count too.</summary>
    /// <param name="db">Unit of work.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="tables">Names of tables; none for the whole database.</param>
    public static Task RefreshAsync(CatalogContext db, CancellationToken cancellationToken, params string[] tables)
    {
        ArgumentNullException.ThrowIfNull(db);
        return db.Database.IsNpgsql() ? AnalyzeAsync(db, tables, cancellationToken) : Task.CompletedTask;
    }

    // Does not wait for locks: the caller may hold rows that others need, and VACUUM or another ANALYZE may hold a table for hours.
#pragma warning disable EF1002 // Table names are constants of this program, not input.
    private static Task AnalyzeAsync(CatalogContext db, IEnumerable<string> tables, CancellationToken cancellationToken) =>
        db.Database.ExecuteSqlRawAsync($"analyze (skip_locked) {string.Join(", ", tables)}", cancellationToken);
#pragma warning restore EF1002
}
