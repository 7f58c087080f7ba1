using System.Data.Common;
using Npgsql;

namespace Librarian.Durable.Stores;

internal sealed partial class PostgresStore
{
    /// <remarks>
    /// After a failed statement, Npgsql's list of prepared statements differs from the server's (npgsql#6391, seen with 10.0.3): the next
    /// statement with the same text breaks the connection with a protocol error. Therefore a session in which a statement failed unprepares
    /// all statements of its connection.
    /// </remarks>
    private sealed class Session(PostgresStore store, NpgsqlConnection connection, NpgsqlTransaction? transaction, bool owns) : StoreSession
    {
        private bool _failed;

        public override DbConnection Connection => connection;

        public override DbTransaction? Transaction => transaction;

        public override async Task<int[]> ExecuteAsync(IReadOnlyList<SqlStatement> statements, CancellationToken cancellationToken)
        {
            await using var batch = Batch(statements);
            try
            {
                await batch.ExecuteNonQueryAsync(cancellationToken);
            }
            catch (PostgresException missed)
                when (NoteFailure()
                    && missed.SqlState == PostgresErrorCodes.InvalidTextRepresentation
                    && missed.MessageText.Contains(FenceMark, StringComparison.Ordinal)
                )
            {
                var at = missed.BatchCommand is NpgsqlBatchCommand command ? batch.BatchCommands.IndexOf(command) : 0;
                throw FenceException.RowsMissed(
                    statements[at],
                    missed.MessageText[(missed.MessageText.IndexOf(FenceMark, StringComparison.Ordinal) + FenceMark.Length)..].Trim('"'),
                    missed
                );
            }
            catch (PostgresException taken)
                when (taken is { SqlState: PostgresErrorCodes.UniqueViolation, ConstraintName: "dt_history_pkey" })
            {
                throw FenceException.HistoryTaken(taken);
            }
            catch when (NoteFailure())
            {
                throw;
            }

            var hit = new int[statements.Count];
            for (var i = 0; i < hit.Length; i++)
                hit[i] = statements[i].ExpectedRows ?? batch.BatchCommands[i].RecordsAffected;

            return hit;
        }

        public override async Task QueryAsync(
            IReadOnlyList<SqlStatement> statements,
            Action<int, DbDataReader> read,
            CancellationToken cancellationToken
        )
        {
            await using var batch = Batch(statements);
            try
            {
                await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
                var index = 0;
                do
                {
                    while (await reader.ReadAsync(cancellationToken))
                        read(index, reader);
                    index++;
                } while (await reader.NextResultAsync(cancellationToken));
            }
            catch when (NoteFailure())
            {
                throw;
            }
        }

        public override Task CommitAsync(CancellationToken cancellationToken)
        {
            if (transaction is null || !owns)
                return Task.CompletedTask;
            // The begin was sent with the first statement.
            store.Count(2, 1, 1);
            return transaction.CommitAsync(cancellationToken);
        }

        public override async ValueTask DisposeAsync()
        {
            if (!owns)
                return;
            if (transaction is not null)
                await transaction.DisposeAsync();
            if (_failed)
                ForgetPrepared();
            await connection.DisposeAsync();
        }

        private bool NoteFailure() => _failed = true;

        private void ForgetPrepared()
        {
            if (connection.State != System.Data.ConnectionState.Open)
                return;
            try
            {
#pragma warning disable CA1849, MA0042 // Npgsql has no asynchronous version; it is one short statement, sent only after failures.
                connection.UnprepareAll();
#pragma warning restore CA1849, MA0042
            }
            catch (Exception failure) when (failure is NpgsqlException or TimeoutException or IOException)
            {
                // The connection is gone, and its prepared statements with it.
            }
        }

        private NpgsqlBatch Batch(IReadOnlyList<SqlStatement> statements)
        {
            store.Count(statements.Count, transaction is null ? 1 : 0, 1);
            var batch = new NpgsqlBatch(connection, transaction);
            foreach (var statement in statements)
            {
                batch.BatchCommands.Add(store.ToCommand(statement));
            }

            return batch;
        }
    }
}
