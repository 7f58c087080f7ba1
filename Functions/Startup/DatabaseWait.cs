using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;
using Npgsql;

namespace Librarian.Functions.Startup;

/// <summary>Waits at start for a PostgreSQL server that is not reachable: after a power cut it may be up later than the site.</summary>
public sealed class DatabaseWait(CatalogDatabase database, IOptions<SiteOptions> options, TimeProvider time, ILogger<DatabaseWait> log)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan SayAgain = TimeSpan.FromMinutes(1);

    /// <summary>Describes where the catalog is, without the password.</summary>
    public static string Describe(string connectionString)
    {
        var parts = new NpgsqlConnectionStringBuilder(connectionString);
        return $"PostgreSQL at {parts.Host}:{parts.Port}, database '{parts.Database ?? parts.Username}', account '{parts.Username}'";
    }

    /// <summary>Returns as soon as a connection can be opened.</summary>
    /// <exception cref="StartRefusedException">The server refuses the site, or was away for longer than Site:DatabaseWait.</exception>
    public async Task UntilReachableAsync(CancellationToken cancellationToken)
    {
        if (database.Kind != DatabaseKind.PostgreSql)
            return;
        var began = time.GetTimestamp();
        TimeSpan? logged = null;
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            string why;
            try
            {
                await using var db = database.Open();
                await db.Database.OpenConnectionAsync(cancellationToken);
                if (logged is not null)
                    Logs.DatabaseIsBack(log, time.GetElapsedTime(began));
                return;
            }
            catch (Exception away) when (CatalogDatabase.IsAway(away))
            {
                why = away.GetBaseException().Message;
            }
            catch (Exception refused) when (CatalogDatabase.IsDatabaseFailure(refused))
            {
                throw new StartRefusedException(
                    $"The database of Site:Database ({Describe(database.ConnectionString)}) refuses the site: "
                        + $"{refused.GetBaseException().Message}. Nothing was changed. "
                        + "Correct Site:Database, or make the database and its account.",
                    refused
                );
            }

            var waited = time.GetElapsedTime(began);
            var left = options.Value.DatabaseWait - waited;
            if (left <= TimeSpan.Zero)
                throw new StartRefusedException(
                    $"The database of Site:Database ({Describe(database.ConnectionString)}) could not be reached for "
                        + $"{options.Value.DatabaseWait} (Site:DatabaseWait): {why}. Nothing was changed. "
                        + "Start the server, or correct Site:Database."
                );
            if (logged is null || waited - logged >= SayAgain)
            {
                logged = waited;
                Logs.WaitsForDatabase(log, Describe(database.ConnectionString), left, why);
            }

            await Task.Delay(pause < left ? pause : left, time, cancellationToken);
        }
    }

    /// <summary>Refuses a server that may lose what it has acknowledged, unless the settings allow it.</summary>
    /// <exception cref="StartRefusedException">A setting that keeps acknowledged data safe is off.</exception>
    public async Task RequireDurableAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var off = await CatalogDatabase.UnsafeSettingsAsync(db, cancellationToken);
        if (off.Count == 0)
            return;
        if (!options.Value.AllowUnsafeDatabase)
            throw new StartRefusedException(Unsafe(off));
        Logs.DatabaseIsUnsafe(log, string.Join(", ", off));
    }

    /// <summary>The message about a server on which these settings are off.</summary>
    public static string Unsafe(IReadOnlyList<string> off) =>
        $"{string.Join(" and ", off)} {(off.Count == 1 ? "is" : "are")} off in the database of Site:Database: "
        + "when its machine stops, it may forget files that senders count as safe, or be damaged. Nothing was changed. "
        + $"Set {string.Join(", ", off.Select(s => s + " = on"))} in postgresql.conf (ALTER SYSTEM) "
        + "and for the site's account and database (ALTER ROLE, ALTER DATABASE), "
        + "or Site:AllowUnsafeDatabase to true for a test.";
}
