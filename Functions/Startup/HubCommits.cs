using System.Data.Common;
using Librarian.Durable.Hub;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Librarian.Functions.Startup;

/// <summary>Reports the catalog's transactions to the outbox of a Durable Task hub, when they begin and when they have committed.</summary>
internal sealed class HubCommits(HubOutbox outbox) : DbTransactionInterceptor
{
    public override DbTransaction TransactionStarted(DbConnection connection, TransactionEndEventData eventData, DbTransaction result)
    {
        outbox.Begun(result);
        return result;
    }

    public override ValueTask<DbTransaction> TransactionStartedAsync(
        DbConnection connection,
        TransactionEndEventData eventData,
        DbTransaction result,
        CancellationToken cancellationToken = default
    ) => new(TransactionStarted(connection, eventData, result));

    public override void TransactionCommitted(DbTransaction transaction, TransactionEndEventData eventData) =>
        outbox.Committed(transaction);

    public override Task TransactionCommittedAsync(
        DbTransaction transaction,
        TransactionEndEventData eventData,
        CancellationToken cancellationToken = default
    )
    {
        outbox.Committed(transaction);
        return Task.CompletedTask;
    }
}
