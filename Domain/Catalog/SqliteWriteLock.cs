using System.Collections.Concurrent;
using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Librarian.Domain.Catalog;

/// <summary>
/// Serialises the writers of this process on a SQLite file. SQLite has one writer at a time; a second one sleeps for up to 100 ms, blocks
/// its thread meanwhile, and may find the file busy again: with eight clients, most of an upload's time was that sleep.
/// </summary>
/// <remarks>
/// The lock is taken with the transaction, or with a statement that writes outside of one, and released with its end, at the latest when
/// the connection is closed. Readers take no lock (WAL). SQLite itself still waits for other processes that write the same file.
/// </remarks>
/// <param name="turn">One permit; other code that writes the file, such as the durable engine, takes it too.</param>
internal sealed class SqliteWriteLock(SemaphoreSlim turn) : DbCommandInterceptor, IDbTransactionInterceptor, IDbConnectionInterceptor
{
    // Longer than any transaction of a running site; an endless wait would hide a transaction that waits for itself.
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(10);
    private readonly ConcurrentDictionary<DbConnection, bool> _writing = new(ReferenceEqualityComparer.Instance);

    public InterceptionResult<DbTransaction> TransactionStarting(
        DbConnection connection,
        TransactionStartingEventData eventData,
        InterceptionResult<DbTransaction> result
    )
    {
        Begin(connection);
        return result;
    }

    public async ValueTask<InterceptionResult<DbTransaction>> TransactionStartingAsync(
        DbConnection connection,
        TransactionStartingEventData eventData,
        InterceptionResult<DbTransaction> result,
        CancellationToken cancellationToken = default
    )
    {
        await BeginAsync(connection, cancellationToken);
        return result;
    }

    // The transaction itself no longer knows its connection here.
    public void TransactionCommitted(DbTransaction transaction, TransactionEndEventData eventData) =>
        End(eventData.Context?.Database.GetDbConnection());

    public Task TransactionCommittedAsync(
        DbTransaction transaction,
        TransactionEndEventData eventData,
        CancellationToken cancellationToken = default
    ) => Ended(eventData.Context?.Database.GetDbConnection());

    public void TransactionRolledBack(DbTransaction transaction, TransactionEndEventData eventData) =>
        End(eventData.Context?.Database.GetDbConnection());

    public Task TransactionRolledBackAsync(
        DbTransaction transaction,
        TransactionEndEventData eventData,
        CancellationToken cancellationToken = default
    ) => Ended(eventData.Context?.Database.GetDbConnection());

    // A transaction that is disposed without an end, or a failed statement, closes its connection.
    public void ConnectionClosed(DbConnection connection, ConnectionEndEventData eventData) => End(connection);

    public Task ConnectionClosedAsync(DbConnection connection, ConnectionEndEventData eventData) => Ended(connection);

    public void ConnectionDisposed(DbConnection connection, ConnectionEndEventData eventData) => End(connection);

    public Task ConnectionDisposedAsync(DbConnection connection, ConnectionEndEventData eventData) => Ended(connection);

    public override InterceptionResult<int> NonQueryExecuting(DbCommand command, CommandEventData eventData, InterceptionResult<int> result)
    {
        if (WritesAlone(command))
            Begin(command.Connection!);
        return result;
    }

    public override async ValueTask<InterceptionResult<int>> NonQueryExecutingAsync(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<int> result,
        CancellationToken cancellationToken = default
    )
    {
        if (WritesAlone(command))
            await BeginAsync(command.Connection!, cancellationToken);
        return result;
    }

    public override int NonQueryExecuted(DbCommand command, CommandExecutedEventData eventData, int result)
    {
        if (command.Transaction is null)
            End(command.Connection);
        return result;
    }

    public override ValueTask<int> NonQueryExecutedAsync(
        DbCommand command,
        CommandExecutedEventData eventData,
        int result,
        CancellationToken cancellationToken = default
    )
    {
        if (command.Transaction is null)
            End(command.Connection);
        return ValueTask.FromResult(result);
    }

    public override InterceptionResult<DbDataReader> ReaderExecuting(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<DbDataReader> result
    )
    {
        if (WritesAlone(command))
            Begin(command.Connection!);
        return result;
    }

    public override async ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(
        DbCommand command,
        CommandEventData eventData,
        InterceptionResult<DbDataReader> result,
        CancellationToken cancellationToken = default
    )
    {
        if (WritesAlone(command))
            await BeginAsync(command.Connection!, cancellationToken);
        return result;
    }

    private static bool WritesAlone(DbCommand command) =>
        command.Transaction is null
        && command.CommandText.AsSpan().TrimStart() is var text
        && !text.StartsWith("select", StringComparison.OrdinalIgnoreCase)
        && !text.StartsWith("pragma", StringComparison.OrdinalIgnoreCase);

    private void Begin(DbConnection connection)
    {
        if (_writing.ContainsKey(connection))
            return;
        if (!turn.Wait(Limit))
            throw TooLong();
        _writing[connection] = true;
    }

    private async ValueTask BeginAsync(DbConnection connection, CancellationToken cancellationToken)
    {
        if (_writing.ContainsKey(connection))
            return;
        if (!await turn.WaitAsync(Limit, cancellationToken))
            throw TooLong();
        _writing[connection] = true;
    }

    private static TimeoutException TooLong() =>
        new(
            $"Another transaction of this process has held the SQLite catalog for {Limit.TotalMinutes:0} minutes. "
                + "Nothing of this one was written; restart the site if it stays so."
        );

    private void End(DbConnection? connection)
    {
        if (connection is not null && _writing.TryRemove(connection, out _))
            turn.Release();
    }

    private Task Ended(DbConnection? connection)
    {
        End(connection);
        return Task.CompletedTask;
    }
}
