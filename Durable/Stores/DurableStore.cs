using System.Data.Common;

namespace Librarian.Durable.Stores;

/// <summary>
/// The database under the engine: connections, transactions, and the few places where the two SQL dialects differ. What is
/// read and written lives in <see cref="WorkQueries"/>, <see cref="TurnWriter"/>, <see cref="LeaseQueries"/> and <see cref="ClientQueries"/>.
/// </summary>
internal abstract class DurableStore : IAsyncDisposable
{
    private long _statements;
    private long _commits;
    private long _roundTrips;

    /// <summary>Final statuses, as SQL: Completed, Failed, Terminated.</summary>
    public const string Final = "(1,3,5)";

    /// <summary>Statuses that still accept messages, as SQL: Running, Pending, Suspended.</summary>
    public const string Active = "(0,6,7)";

    /// <summary>
    /// Statuses in which an activity's result is stored, as SQL: the active ones and Failed. A rewind finds it there; if it were dropped, what
    /// the activity has done, perhaps with its effect in one transaction, would be done again.
    /// </summary>
    public const string TakesResults = "(0,3,6,7)";

    /// <summary>What was sent to the database so far.</summary>
    public StoreTraffic Traffic => new(Volatile.Read(ref _statements), Volatile.Read(ref _commits), Volatile.Read(ref _roundTrips));

    /// <summary>Whether other processes may run workers on this database: leases, heartbeats and notifications matter.</summary>
    public abstract bool IsShared { get; }

    /// <summary>Epoch milliseconds of the database clock, as an SQL expression that is constant within a statement.</summary>
    public abstract string Now { get; }

    /// <summary>The same in this process where it can be known without asking (a test's clock), else null.</summary>
    public virtual long? ExactNow => null;

    /// <summary>A random factor from 0.5 to 1.5, drawn for each row, as an SQL expression.</summary>
    public abstract string Jitter { get; }

    /// <summary>Clause that lets concurrent claimers pass each other; empty where writers are serial anyway.</summary>
    public abstract string SkipLocked { get; }

    /// <summary>SQL test whether a column is in a list parameter.</summary>
    public abstract string In(string column, string parameter);

    /// <summary>SQL table <c>r</c> made from a JSON rows parameter; columns as <c>name type</c> with types bigint, int, text.</summary>
    public abstract string Rows(string parameter, params string[] columns);

    /// <summary>SQL test whether the tags column contains all tags of the JSON object parameter.</summary>
    public abstract string HasTags(string parameter);

    /// <summary>SQL cast of a text expression to the type of the tags column.</summary>
    public abstract string AsTags(string expression);

    /// <summary>Begins a write transaction.</summary>
    public abstract Task<StoreSession> BeginAsync(CancellationToken cancellationToken);

    /// <summary>As above for statements of users: nothing that the engine sets for its own applies to them.</summary>
    public virtual Task<StoreSession> BeginEffectAsync(CancellationToken cancellationToken) => BeginAsync(cancellationToken);

    /// <summary>Opens a connection for statements that are transactions of their own.</summary>
    public abstract Task<StoreSession> OpenAsync(CancellationToken cancellationToken);

    /// <summary>Uses the caller's open transaction; never commits, rolls back or closes it.</summary>
    public abstract StoreSession Join(DbTransaction transaction);

    /// <summary>True for faults after which the same work may succeed: lost connection, deadlock, serialization, busy.</summary>
    public abstract bool IsTransient(Exception exception);

    /// <summary>True for faults that lie in the value to be stored, whatever the state of the database: it would be refused for ever.</summary>
    public abstract bool RefusesValue(Exception exception);

    /// <summary>Creates or updates the tables; a look at their version if there is nothing to do.</summary>
    public abstract Task EnsureSchemaAsync(CancellationToken cancellationToken);

    /// <summary>Whether the tables are those of this program; <paramref name="find"/> asks for the existence of the one that tells. Throws on tables of a newer program.</summary>
    protected static async Task<bool> IsSchemaCurrentAsync(StoreSession session, SqlStatement find, CancellationToken cancellationToken)
    {
        if ((await session.QueryAsync(find, reader => true, cancellationToken)).Count == 0) return false;
        var versions = await session.QueryAsync(new SqlStatement("select max(version) from dt_schema"), reader => reader.IsDBNull(0) ? (long?)null : reader.GetInt64(0), cancellationToken);
        return Schema.IsCurrent(versions[0]);
    }

    /// <summary>
    /// Brings the tables up to date in one transaction, again after a deadlock: on PostgreSQL the statements lock table after table while
    /// workers of the older program commit their turns.
    /// </summary>
    protected Task BringUpToDateAsync(SqlStatement find, bool postgres, SqlStatement? lockOut, CancellationToken cancellationToken) => TransactAsync(
        async session =>
        {
            if (lockOut is not null) await session.ExecuteAsync(lockOut, cancellationToken);
            if (await IsSchemaCurrentAsync(session, find, cancellationToken)) return false;
            foreach (var statement in Schema.Statements(postgres)) await session.ExecuteAsync(new SqlStatement(statement), cancellationToken);
            return true;
        }, cancellationToken);

    /// <summary>Takes this process's claim to run workers; disposing frees it. Throws when the database admits one process only and another has it.</summary>
    public abstract Task<IAsyncDisposable> EnterAsync(CancellationToken cancellationToken);

    public abstract ValueTask DisposeAsync();

    /// <summary>Adds to <see cref="Traffic"/>.</summary>
    public void Count(int statements, int commits, int roundTrips)
    {
        Interlocked.Add(ref _statements, statements);
        Interlocked.Add(ref _commits, commits);
        Interlocked.Add(ref _roundTrips, roundTrips);
    }

    /// <summary>
    /// Runs a transaction, again after deadlocks and serialization faults. Those are certain rollbacks; any other exception leaves
    /// the outcome unknown to the caller, who must treat memory as stale (rule R3).
    /// </summary>
    public Task<T> TransactAsync<T>(Func<StoreSession, Task<T>> work, CancellationToken cancellationToken) =>
        TransactAsync(BeginAsync, work, cancellationToken);

    /// <summary>As above for statements that need no answer of each other: where the database can, they and the commit are one round trip.</summary>
    public Task<int[]> ExecuteAsync(IReadOnlyList<SqlStatement> statements, CancellationToken cancellationToken) =>
        TransactAsync(BeginBatchAsync, session => session.ExecuteAsync(statements, cancellationToken), cancellationToken);

    /// <summary>As above with result rows. <paramref name="begin"/> makes a new result for every attempt.</summary>
    public Task<T> QueryAsync<T>(IReadOnlyList<SqlStatement> statements, Func<T> begin, Action<T, int, DbDataReader> read, CancellationToken cancellationToken) =>
        TransactAsync(BeginBatchAsync, async session =>
        {
            var result = begin();
            await session.QueryAsync(statements, (index, reader) => read(result, index, reader), cancellationToken);
            return result;
        }, cancellationToken);

    /// <summary>A session whose first call is the whole transaction; nothing else may be done with it.</summary>
    protected virtual Task<StoreSession> BeginBatchAsync(CancellationToken cancellationToken) => BeginAsync(cancellationToken);

    private static async Task<T> TransactAsync<T>(Func<CancellationToken, Task<StoreSession>> begin, Func<StoreSession, Task<T>> work, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await using var session = await begin(cancellationToken);
                var result = await work(session);
                await session.CommitAsync(cancellationToken);
                return result;
            }
            catch (DbException conflict) when (attempt < 5 && conflict.SqlState is "40001" or "40P01")
            {
                // Rolled back by the database for a rival; the rival is through by now.
            }
        }
    }
}

/// <summary>
/// Statements (explicit begin and commit included), transactions ended by a commit (a statement alone is one; SQLite: those that may write),
/// and waits for the server's answer (none with SQLite). Rolled-back work counts as sent.
/// </summary>
internal readonly record struct StoreTraffic(long Statements, long Commits, long RoundTrips);

/// <summary>A connection in use, with or without a transaction.</summary>
internal abstract class StoreSession : IAsyncDisposable
{
    public abstract DbConnection Connection { get; }

    public abstract DbTransaction? Transaction { get; }

    /// <summary>Runs statements in order and checks <see cref="SqlStatement.ExpectedRows"/>; a miss throws <see cref="FenceException"/>.</summary>
    public abstract Task<int[]> ExecuteAsync(IReadOnlyList<SqlStatement> statements, CancellationToken cancellationToken);

    /// <summary>Runs statements in order, handing every result row to <paramref name="read"/> with its statement's index.</summary>
    public abstract Task QueryAsync(IReadOnlyList<SqlStatement> statements, Action<int, DbDataReader> read, CancellationToken cancellationToken);

    public async Task<int> ExecuteAsync(SqlStatement statement, CancellationToken cancellationToken) =>
        (await ExecuteAsync([statement], cancellationToken))[0];

    public async Task<List<T>> QueryAsync<T>(SqlStatement statement, Func<DbDataReader, T> read, CancellationToken cancellationToken)
    {
        var rows = new List<T>();
        await QueryAsync([statement], (_, reader) => rows.Add(read(reader)), cancellationToken);
        return rows;
    }

    public abstract Task CommitAsync(CancellationToken cancellationToken);

    public abstract ValueTask DisposeAsync();
}

internal static class DbDataReaderExtensions
{
    public static string? Text(this DbDataReader reader, int ordinal) => reader.IsDBNull(ordinal) ? null : reader.GetString(ordinal);

    public static long? Integer(this DbDataReader reader, int ordinal) => reader.IsDBNull(ordinal) ? null : reader.GetInt64(ordinal);
}
