using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.TransferEvents;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Incoming;

/// <summary>Result of a state change.</summary>
public enum AdvanceOutcome
{
    Done,

    /// <summary>The caller may not change a transfer with this id, or there is none.</summary>
    Unknown,

    WrongState,
}

/// <summary>
/// Handles the calls by which the other site changes the state of a transfer. Each call is one transaction with the state change and its
/// consequence (an ingest that starts, a batch that wakes up), so a peer that lost the answer can repeat the call.
/// </summary>
public sealed class TransferUpdates(
    CatalogDatabase database,
    IncomingTransfers incoming,
    Checkin checkin,
    IncomingWorkflows workflows,
    EndedTransfers endedTransfers,
    DatabaseDurableTaskClient client
)
{
    /// <summary>
    /// Moves one incoming transfer forward (<c>clone/ongoing</c>, <c>clone/staged</c>). Only its owner or an administrator may (upstream
    /// weakness W42).
    /// </summary>
    public async Task<AdvanceOutcome> AdvanceIncomingAsync(
        long id,
        long sourceTransferId,
        TransferStatus from,
        TransferStatus to,
        Caller caller,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(caller);
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var admin = caller.IsAdmin;
        var mine = db.IncomingTransfers.Where(t =>
            t.Id == id && t.SourceTransferId == sourceTransferId && (admin || t.Source == caller.Username || t.Uploader == caller.Username)
        );
        var changed = await mine.Where(t => t.Status == from && !t.Committing)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, to), cancellationToken);
        if (changed == 0)
            return await mine.AnyAsync(cancellationToken) ? AdvanceOutcome.WrongState : AdvanceOutcome.Unknown;
        if (to == TransferStatus.Staged)
            await workflows.StartAsync(db, [id], DeletionPolicy.Disallowed, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
        return AdvanceOutcome.Done;
    }

    /// <summary>Handles <c>clone/fail</c>. Returns true if the caller may fail the transfer, even if it had ended already.</summary>
    public async Task<bool> FailIncomingAsync(
        long id,
        long sourceTransferId,
        string reason,
        Caller caller,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(caller);
        ArgumentNullException.ThrowIfNull(reason);
        await using var db = database.Open();
        var admin = caller.IsAdmin;
        var mine = db.IncomingTransfers.Where(t =>
            t.Id == id && t.SourceTransferId == sourceTransferId && (admin || t.Uploader == caller.Username)
        );
        if (!await mine.AnyAsync(cancellationToken))
            return false;
        var abandoned = await incoming.AbandonAsync(db, mine, $"The source abandoned the transfer: {reason}", cancellationToken);
        await incoming.RemoveStagingAsync(abandoned, cancellationToken);
        return true;
    }

    /// <summary>Handles <c>checkin/update</c>.</summary>
    public async Task<(CheckinResult Outgoing, CheckinResult Incoming)> UpdateAsync(
        NamedTransfers outgoingIds,
        NamedTransfers incomingIds,
        TransferStatus target,
        Caller caller,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(caller);
        var reason = $"'{caller.Username}' said {target}.";
        CheckinResult sent,
            arriving;
        List<(long? StoreId, string? Staging)> ended = [];
        await using (var db = database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            arriving = await checkin.UpdateIncomingAsync(db, incomingIds, target, caller, reason, cancellationToken);
            sent = await checkin.UpdateOutgoingAsync(db, outgoingIds, target, caller, reason, cancellationToken);
            if (target == TransferStatus.Staged)
                await workflows.StartAsync(db, arriving.Modified, DeletionPolicy.Disallowed, cancellationToken);
            if (target is TransferStatus.Failed or TransferStatus.Cancelled)
            {
                await endedTransfers.PublishAsync(db, sent.Modified, cancellationToken);
                var failed = arriving.Modified;
                ended = (
                    await db
                        .IncomingTransfers.Where(t => failed.Contains(t.Id))
                        .Select(t => new { t.StoreId, t.StagingPath })
                        .ToListAsync(cancellationToken)
                ).ConvertAll(t => (t.StoreId, t.StagingPath));
            }

            await transaction.CommitAsync(cancellationToken);
        }

        client.SignalCommitted();
        await incoming.RemoveStagingAsync(ended, cancellationToken);
        return (sent, arriving);
    }
}
