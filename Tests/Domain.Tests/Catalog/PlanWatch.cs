using System.Collections.Concurrent;
using System.Data.Common;
using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Npgsql;

namespace Librarian.Tests.Domain.Catalog;

/// <summary>
/// Has PostgreSQL tell the plan of every statement, as it was run, and adds up the rows that were looked at and thrown away. Elapsed times
/// say little on a busy machine; a plan that reads a table once for each row of another shows here at a few hundred rows.
/// </summary>
public sealed partial class PlanWatch : DbConnectionInterceptor
{
    private readonly ConcurrentBag<(long Discarded, string Plan)> _plans = [];

    /// <summary>Statements seen.</summary>
    public int Count => _plans.Count;

    /// <summary>The statement that threw away the most rows.</summary>
    public (long Discarded, string Plan) Worst => _plans.MaxBy(p => p.Discarded);

    public void Reset() => _plans.Clear();

    public override void ConnectionOpened(DbConnection connection, ConnectionEndEventData eventData)
    {
        if (Watch(connection) is not { } command)
            return;
        using (command)
            command.ExecuteNonQuery();
    }

    public override async Task ConnectionOpenedAsync(
        DbConnection connection,
        ConnectionEndEventData eventData,
        CancellationToken cancellationToken = default
    )
    {
        if (Watch(connection) is not { } command)
            return;
        await using (command)
            await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private NpgsqlCommand? Watch(DbConnection connection)
    {
        if (connection is not NpgsqlConnection postgres)
            return null;
        postgres.Notice += (_, e) => _plans.Add((Discarded(e.Notice.MessageText), e.Notice.MessageText));
        // What the connection has changed counts from now on, not a second later.
        return new NpgsqlCommand(
            "select pg_stat_force_next_flush(); load 'auto_explain'; set auto_explain.log_level = notice; "
                + "set auto_explain.log_analyze = on; set auto_explain.log_timing = off; set auto_explain.log_min_duration = 0",
            postgres
        );
    }

    private static long Discarded(string plan)
    {
        // Figures below a node are averages over its loops.
        var (loops, sum) = (1L, 0L);
        foreach (Match match in Figures().Matches(plan))
        {
            if (match.Groups["loops"].Success)
                loops = long.Parse(match.Groups["loops"].Value, CultureInfo.InvariantCulture);
            else
                sum += loops * long.Parse(match.Groups["removed"].Value, CultureInfo.InvariantCulture);
        }

        return sum;
    }

    [GeneratedRegex(
        @"loops=(?<loops>\d+)|Rows Removed by [A-Za-z ]+: (?<removed>\d+)",
        RegexOptions.CultureInvariant | RegexOptions.NonBacktracking
    )]
    private static partial Regex Figures();
}
