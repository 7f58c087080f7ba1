using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Ingest;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Orchestrations.Clone;

/// <summary>How a single state change ended.</summary>
public enum AdvanceOutcome
{
    /// <summary>Changed.</summary>
    Done,

    /// <summary>No transfer of that id that the caller may touch.</summary>
    Unknown,

    /// <summary>It is in another state.</summary>
    WrongState,
}

/// <summary>
/// What neighbours tell us. Each call is one transaction that holds the state change and whatever must follow from it (the start
/// of an ingest, the wake-up of a batch); a lost answer can simply be asked for again.
/// </summary>
public sealed class CloneCallbacks(CatalogDatabase database, IncomingTransfers incoming, OutgoingTransfers outgoing, Checkin checkin, Arrivals arrivals, CloneScheduler scheduler, DurableTaskClient client)
{
    /// <summary>Moves one incoming transfer on (<c>clone/ongoing</c>, <c>clone/staged</c>); only its owner or an administrator may (upstream W42).</summary>
    public async Task<AdvanceOutcome> AdvanceIncomingAsync(long id, TransferStatus from, TransferStatus to, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(caller);
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var admin = caller.IsAdmin;
        var mine = db.IncomingTransfers.Where(t => t.Id == id && (admin || t.Source == caller.Username || t.Uploader == caller.Username));
        var changed = await mine.Where(t => t.Status == from && !t.Placing).ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, to), cancellationToken);
        if (changed == 0) return await mine.AnyAsync(cancellationToken) ? AdvanceOutcome.WrongState : AdvanceOutcome.Unknown;
        if (to == TransferStatus.Staged) await arrivals.StartAsync(db, [id], DeletionPolicy.Disallowed, cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
        return AdvanceOutcome.Done;
    }

    /// <summary><c>clone/complete</c>.</summary>
    public async Task<AcknowledgeOutcome> CompleteAsync(long transferId, long remoteStoreId, Caller caller, string siteName, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(caller);
        await using var db = database.Open();
        await using var transaction = await db.Database.BeginTransactionAsync(cancellationToken);
        var name = caller.Username;
        if (caller.IsAdmin)
        {
            // An administrator completes on behalf of the destination, with its rights and no more (ONGOING or STAGED only).
            name = await db.OutgoingTransfers.Where(t => t.Id == transferId).Select(t => t.Destination).SingleOrDefaultAsync(cancellationToken) ?? "";
        }

        var outcome = await outgoing.AcknowledgeAsync(db, transferId, name, remoteStoreId, siteName, cancellationToken);
        if (outcome != AcknowledgeOutcome.Recorded) return outcome;
        await scheduler.SettleAsync(db, [transferId], cancellationToken);
        await transaction.CommitAsync(cancellationToken);
        client.SignalCommitted();
        return outcome;
    }

    /// <summary><c>clone/fail</c>; true when the caller may say so, whether or not anything was left to fail.</summary>
    public async Task<bool> FailIncomingAsync(long id, string reason, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(caller);
        ArgumentNullException.ThrowIfNull(reason);
        await using var db = database.Open();
        var admin = caller.IsAdmin;
        var mine = db.IncomingTransfers.Where(t => t.Id == id && (admin || t.Uploader == caller.Username));
        if (!await mine.AnyAsync(cancellationToken)) return false;
        var given = await incoming.GiveUpAsync(db, mine, $"The source gave it up: {reason}", cancellationToken);
        await incoming.RemoveStagingAsync(given, cancellationToken);
        return true;
    }

    /// <summary><c>checkin/update</c>.</summary>
    public async Task<(CheckinResult Outgoing, CheckinResult Incoming)> UpdateAsync(IReadOnlyList<long> outgoingIds, IReadOnlyList<long> incomingIds, TransferStatus target, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(caller);
        var reason = $"'{caller.Username}' said {target}.";
        CheckinResult sent, arriving;
        List<(long? StoreId, string? Staging)> ended = [];
        await using (var db = database.Open())
        await using (var transaction = await db.Database.BeginTransactionAsync(cancellationToken))
        {
            arriving = await checkin.UpdateIncomingAsync(db, incomingIds, target, caller, reason, cancellationToken);
            sent = await checkin.UpdateOutgoingAsync(db, outgoingIds, target, caller, reason, cancellationToken);
            if (target == TransferStatus.Staged) await arrivals.StartAsync(db, arriving.Modified, DeletionPolicy.Disallowed, cancellationToken);
            if (target is TransferStatus.Failed or TransferStatus.Cancelled)
            {
                await scheduler.SettleAsync(db, sent.Modified, cancellationToken);
                var failed = arriving.Modified;
                ended = (await db.IncomingTransfers.Where(t => failed.Contains(t.Id)).Select(t => new { t.StoreId, t.StagingPath }).ToListAsync(cancellationToken))
                    .ConvertAll(t => (t.StoreId, t.StagingPath));
            }

            await transaction.CommitAsync(cancellationToken);
        }

        client.SignalCommitted();
        await incoming.RemoveStagingAsync(ended, cancellationToken);
        return (sent, arriving);
    }

    /// <summary><c>checkin/status</c>: states of the transfers that the caller may see.</summary>
    public async Task<(IReadOnlyDictionary<long, TransferStatus> Outgoing, IReadOnlyDictionary<long, TransferStatus> Incoming)> StatusAsync(IReadOnlyList<long> outgoingIds, IReadOnlyList<long> incomingIds, Caller caller, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(caller);
        var admin = caller.IsAdmin;
        await using var db = database.Open();
        var sent = await db.OutgoingTransfers.Where(t => outgoingIds.Contains(t.Id) && (admin || t.Destination == caller.Username))
            .ToDictionaryAsync(t => t.Id, t => t.Status, cancellationToken);
        var arriving = await db.IncomingTransfers.Where(t => incomingIds.Contains(t.Id) && (admin || t.Source == caller.Username || t.Uploader == caller.Username))
            .ToDictionaryAsync(t => t.Id, t => t.Status, cancellationToken);
        return (sent, arriving);
    }
}
