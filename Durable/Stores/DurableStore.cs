using System.Data.Common;

namespace Librarian.Durable.Stores;

/// <summary>
/// The database under the engine: connections, transactions, and the few differences between the two SQL dialects. The statements are in
/// <see cref="WorkQueries"/>, <see cref="TurnWriter"/>, <see cref="LeaseQueries"/> and <see cref="ClientQueries"/>.
/// </summary>
internal abstract class DurableStore : IAsyncDisposable
{
    private long _statements;
    private long _commits;
    private long _roundTrips;

    /// <summary>Counts of everything sent to the database so far.</summary>
    public StoreTraffic Traffic => new(Volatile.Read(ref _statements), Volatile.Read(ref _commits), Volatile.Read(ref _roundTrips));

    /// <summary>
    /// Whether other processes may run workers on this database, so that leases, heartbeats and notifications are needed.
    /// </summary>
    public abstract bool IsShared { get; }

    /// <summary>SQL expression for the database clock in epoch milliseconds; constant within a statement.</summary>
    public abstract string Now { get; }

    /// <summary>The database clock if this process knows it without a query (a test's clock), else null.</summary>
    public virtual long? ExactNow => null;

    /// <summary>SQL expression for a random factor from 0.5 to 1.5, drawn for each row.</summary>
    public abstract string Jitter { get; }

    /// <summary>SQL clause that lets concurrent claims skip each other's rows; empty where writers are serial.</summary>
    public abstract string SkipLocked { get; }

    /// <summary>SQL test whether a column is in a list parameter.</summary>
    public abstract string In(string column, string parameter);

    /// <summary>
    /// SQL expression for a name with its ASCII letters in lower case, for comparison with <see cref="Fold"/> of another name: names of
    /// tasks are compared without case.
    /// </summary>
    public abstract string Folded(string column);

    /// <summary>Puts a name's ASCII letters into lower case. Other letters stay: databases and .NET disagree about their case.</summary>
    public static string Fold(string name) => string.Create(name.Length, name, static (folded, name) =>
        {
            for (var i = 0; i < name.Length; i++)
                folded[i] = char.IsAsciiLetterUpper(name[i]) ? (char)(name[i] | 0x20) : name[i];
        });

    /// <summary>
    /// SQL table <c>r</c> made from a JSON rows parameter; columns are given as <c>name type</c> with types bigint, int, text.
    /// </summary>
    public abstract string Rows(string parameter, params string[] columns);

    /// <summary>SQL test whether the tags column contains all tags of the JSON object parameter.</summary>
    public abstract string HasTags(string parameter);

    /// <summary>SQL cast of a text expression to the type of the tags column.</summary>
    public abstract string AsTags(string expression);

    /// <summary>Begins a write transaction.</summary>
    public abstract Task<StoreSession> BeginAsync(CancellationToken cancellationToken);

    /// <summary>As above, for statements of users: the engine's own session settings do not apply to them.</summary>
    public virtual Task<StoreSession> BeginEffectAsync(CancellationToken cancellationToken) => BeginAsync(cancellationToken);

    /// <summary>Opens a connection without an explicit transaction.</summary>
    public abstract Task<StoreSession> OpenAsync(CancellationToken cancellationToken);

    /// <summary>Uses the caller's open transaction; never commits, rolls back or closes it.</summary>
    public abstract StoreSession Join(DbTransaction transaction);

    /// <summary>Whether the same work may succeed after this fault: lost connection, deadlock, serialization, busy.</summary>
    public abstract bool IsTransient(Exception exception);

    /// <summary>Whether the fault lies in the value to be stored, so that the database would always refuse it.</summary>
    public abstract bool RefusesValue(Exception exception);

    /// <summary>Creates or updates the tables; only reads their version if they are up to date.</summary>
    public abstract Task EnsureSchemaAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Whether the tables have this program's version. <paramref name="find"/> returns a row if the version table exists. Throws for tables
    /// of a newer program.
    /// </summary>
    protected static async Task<bool> IsSchemaCurrentAsync(StoreSession session, SqlStatement find, CancellationToken cancellationToken)
    {
        if ((await session.QueryAsync(find, reader => true, cancellationToken)).Count == 0)
            return false;
        var versions = await session.QueryAsync(
            new SqlStatement("select max(version) from dt_schema"),
            reader => reader.IsDBNull(0) ? (long?)null : reader.GetInt64(0),
            cancellationToken
        );
        return Schema.IsCurrent(versions[0]);
    }

    /// <summary>
    /// Brings the tables up to date in one transaction, which is repeated after a deadlock: on PostgreSQL the statements lock table after
    /// table while workers of the older program commit their turns.
    /// </summary>
    protected Task BringUpToDateAsync(SqlStatement find, bool postgres, SqlStatement? lockOut, CancellationToken cancellationToken) =>
        TransactAsync(
            async session =>
            {
                if (lockOut is not null)
                    await session.ExecuteAsync(lockOut, cancellationToken);
                if (await IsSchemaCurrentAsync(session, find, cancellationToken))
                    return false;
                foreach (var statement in Schema.Statements(postgres))
                    await session.ExecuteAsync(new SqlStatement(statement), cancellationToken);
                return true;
            },
            cancellationToken
        );

    /// <summary>
    /// Acquires this process's right to run workers; disposing the result frees it. Throws if the database allows only one process and
    /// another has the right.
    /// </summary>
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
    /// Runs a transaction, and repeats it after deadlocks and serialization faults, which are certain rollbacks. Any other exception leaves
    /// the outcome unknown, and the caller must treat its memory as stale (docs/spec/durable-engine.md#r3-memory-is-a-cache).
    /// </summary>
    public Task<T> TransactAsync<T>(Func<StoreSession, Task<T>> work, CancellationToken cancellationToken) =>
        TransactAsync(BeginAsync, work, cancellationToken);

    /// <summary>
    /// As above, for statements that do not need each other's results: where the database can, they and the commit are one round trip.
    /// </summary>
    public Task<int[]> ExecuteAsync(IReadOnlyList<SqlStatement> statements, CancellationToken cancellationToken) =>
        TransactAsync(BeginBatchAsync, session => session.ExecuteAsync(statements, cancellationToken), cancellationToken);

    /// <summary>As above, with result rows. <paramref name="begin"/> makes a new result for every attempt.</summary>
    public Task<T> QueryAsync<T>(
        IReadOnlyList<SqlStatement> statements,
        Func<T> begin,
        Action<T, int, DbDataReader> read,
        CancellationToken cancellationToken
    ) =>
        TransactAsync(
            BeginBatchAsync,
            async session =>
            {
                var result = begin();
                await session.QueryAsync(statements, (index, reader) => read(result, index, reader), cancellationToken);
                return result;
            },
            cancellationToken
        );

    /// <summary>A session whose first call is the whole transaction; it must not be used for more.</summary>
    protected virtual Task<StoreSession> BeginBatchAsync(CancellationToken cancellationToken) => BeginAsync(cancellationToken);

    private static async Task<T> TransactAsync<T>(
        Func<CancellationToken, Task<StoreSession>> begin,
        Func<StoreSession, Task<T>> work,
        CancellationToken cancellationToken
    )
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
                // The database rolled this transaction back in favour of another one, which has ended by now.
            }
        }
    }
}

/// <summary>
/// Counts of statements (including explicit begin and commit), of transactions that ended with a commit (a single statement is one; on
/// SQLite only those that may write), and of waits for the server's answer (none with SQLite). Work that was rolled back counts as sent.
/// </summary>
internal readonly record struct StoreTraffic(long Statements, long Commits, long RoundTrips);
