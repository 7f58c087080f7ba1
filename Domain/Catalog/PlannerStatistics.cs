using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Catalog;

/// <summary>
/// Keeps PostgreSQL's estimates near the truth where we change very much at once. Its own autovacuum looks once a minute and cannot see rows
/// of an open transaction; until then a table that has just got a million rows counts as nearly empty, and is read once for each row of
/// another. SQLite plans by fixed rules and needs none of this.
/// </summary>
public static class PlannerStatistics
{
    // Autovacuum's own share is a tenth; the constant keeps small catalogs from being looked at in every round.
    private const string Stale = """
        select relname::text as "Value" from pg_stat_user_tables
        where relname = any ({0}) and n_mod_since_analyze > 500 + 0.2 * n_live_tup and pg_table_is_visible(relid) order by relname
        """;

    /// <summary>Takes new statistics of those of the tables that have changed by more than a fifth.</summary>
    /// <param name="db">Outside of a transaction.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="tables">Names of tables.</param>
    public static async Task RefreshStaleAsync(CatalogContext db, CancellationToken cancellationToken, params string[] tables)
    {
        ArgumentNullException.ThrowIfNull(db);
        if (!db.Database.IsNpgsql()) return;
        var stale = await db.Database.SqlQueryRaw<string>(Stale, [tables]).ToListAsync(cancellationToken);
        if (stale.Count > 0) await AnalyzeAsync(db, stale, cancellationToken);
    }

    /// <summary>Takes new statistics of tables, in a transaction also of its own changes.</summary>
    /// <param name="db">Unit of work.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="tables">Names of tables; none for the whole database.</param>
    public static Task RefreshAsync(CatalogContext db, CancellationToken cancellationToken, params string[] tables)
    {
        ArgumentNullException.ThrowIfNull(db);
        return db.Database.IsNpgsql() ? AnalyzeAsync(db, tables, cancellationToken) : Task.CompletedTask;
    }

    // Waits for nobody: the caller may hold rows that others want, and who holds a table (VACUUM, another ANALYZE) may hold it for hours.
#pragma warning disable EF1002 // Words of this program, not input.
    private static Task AnalyzeAsync(CatalogContext db, IEnumerable<string> tables, CancellationToken cancellationToken) =>
        db.Database.ExecuteSqlRawAsync($"analyze (skip_locked) {string.Join(", ", tables)}", cancellationToken);
#pragma warning restore EF1002
}
