using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

/// <summary>Result of a state change that a peer requested (docs/spec/wire.md#checkin-update).</summary>
/// <param name="Modified">Ids that were changed.</param>
/// <param name="Unmodified">Ids that were not changed.</param>
/// <param name="Reasons">Why not, distinct.</param>
public sealed record CheckinResult(IReadOnlyList<long> Modified, IReadOnlyList<long> Unmodified, IReadOnlyList<string> Reasons);

/// <summary>
/// Ids of this site's transfers that another site names, each with that site's own id for the same transfer if it sends one.
/// </summary>
/// <param name="Ids">This site's ids.</param>
/// <param name="Counterparts">The other site's ids, in the same order; null when it does not send them (a Python site).</param>
public sealed record NamedTransfers(IReadOnlyList<long> Ids, IReadOnlyList<long>? Counterparts = null)
{
    private Dictionary<long, long>? _byId;

    /// <summary>
    /// Whether the pair belongs together: a catalog that was restored from a backup uses its ids again, so an id alone may mean another
    /// transfer.
    /// </summary>
    /// <param name="id">This site's id.</param>
    /// <param name="known">The other site's id in this catalog.</param>
    public bool Matches(long id, long? known)
    {
        if (Counterparts is null)
            return true;
        if (_byId is null)
        {
            _byId = [];
            for (var i = 0; i < Math.Min(Ids.Count, Counterparts.Count); i++)
                _byId.TryAdd(Ids[i], Counterparts[i]);
        }

        return _byId.TryGetValue(id, out var told) && told == known;
    }
}

/// <summary>States of transfers by this site's id (docs/spec/wire.md#check-in).</summary>
/// <param name="Outgoing">Transfers to the other site.</param>
/// <param name="Incoming">Transfers from it.</param>
public sealed record TransferStates(IReadOnlyDictionary<long, TransferStatus> Outgoing, IReadOnlyDictionary<long, TransferStatus> Incoming);

/// <summary>
/// The transitions of docs/spec/wire.md#checkin-update, applied with conditional updates: of two concurrent changes one loses cleanly.
/// </summary>
public sealed class Checkin(OutgoingTransfers outgoing, TimeProvider time)
{
    /// <summary>States from which a peer's request may reach <paramref name="target"/>.</summary>
    public static TransferStatus[] SourcesOf(TransferStatus target) =>
        target switch
        {
            TransferStatus.Ongoing => [TransferStatus.Initiated],
            TransferStatus.Staged => [TransferStatus.Initiated, TransferStatus.Ongoing],
            TransferStatus.Failed or TransferStatus.Cancelled => [TransferStatus.Initiated, TransferStatus.Ongoing, TransferStatus.Staged],
            _ => [],
        };

    /// <summary>
    /// Changes incoming transfers in the caller's transaction; a transfer whose data are being committed can no longer fail.
    /// </summary>
    public async Task<CheckinResult> UpdateIncomingAsync(
        CatalogContext db,
        NamedTransfers named,
        TransferStatus target,
        Caller caller,
        string reason,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(caller);
        ArgumentNullException.ThrowIfNull(named);
        var ids = named.Ids;
        var found = (
            await db
                .IncomingTransfers.AsNoTracking()
                .Where(t => ids.Contains(t.Id))
                .Select(t => new
                {
                    t.Id,
                    t.Status,
                    t.SourceTransferId,
                    Mine = caller.Level == AuthLevel.Admin || t.Source == caller.Username || t.Uploader == caller.Username,
                })
                .ToListAsync(cancellationToken)
        ).Where(t => named.Matches(t.Id, t.SourceTransferId)).ToDictionary(t => t.Id);
        var wanted = found.Values.Where(t => t.Mine && SourcesOf(target).Contains(t.Status)).Select(t => t.Id).ToList();
        var from = SourcesOf(target);
        var ended = target is TransferStatus.Failed or TransferStatus.Cancelled;
        DateTime? end = ended ? time.GetUtcNow().UtcDateTime : null;
        var why = ended ? reason : null;
        if (wanted.Count > 0)
        {
            await db
                .IncomingTransfers.Where(t => wanted.Contains(t.Id) && from.Contains(t.Status) && !t.Committing)
                .ExecuteUpdateAsync(
                    s => s.SetProperty(t => t.Status, target).SetProperty(t => t.EndTime, end).SetProperty(t => t.FailureReason, why),
                    cancellationToken
                );
        }

        var changed =
            wanted.Count == 0
                ? []
                : await db
                    .IncomingTransfers.Where(t => wanted.Contains(t.Id) && t.Status == target)
                    .Select(t => t.Id)
                    .ToListAsync(cancellationToken);
        return Report(ids, changed, target, id => found.TryGetValue(id, out var t) ? (t.Status, t.Mine) : null);
    }

    /// <summary>Changes outgoing transfers in the caller's transaction.</summary>
    public async Task<CheckinResult> UpdateOutgoingAsync(
        CatalogContext db,
        NamedTransfers named,
        TransferStatus target,
        Caller caller,
        string reason,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(caller);
        ArgumentNullException.ThrowIfNull(named);
        var ids = named.Ids;
        var found = (
            await db
                .OutgoingTransfers.AsNoTracking()
                .Where(t => ids.Contains(t.Id))
                .Select(t => new
                {
                    t.Id,
                    t.Status,
                    t.RemoteTransferId,
                    Mine = caller.Level == AuthLevel.Admin || t.Destination == caller.Username,
                })
                .ToListAsync(cancellationToken)
        ).Where(t => named.Matches(t.Id, t.RemoteTransferId)).ToDictionary(t => t.Id);
        var from = SourcesOf(target);
        var wanted = found.Values.Where(t => t.Mine && from.Contains(t.Status)).Select(t => t.Id).ToList();
        if (target is TransferStatus.Failed or TransferStatus.Cancelled)
            await outgoing.FailAsync(db, wanted, reason, cancellationToken, target);
        else if (wanted.Count > 0)
            await OutgoingTransfers.AdvanceAsync(db, wanted, from, target, cancellationToken);
        var changed =
            wanted.Count == 0
                ? []
                : await db
                    .OutgoingTransfers.Where(t => wanted.Contains(t.Id) && t.Status == target)
                    .Select(t => t.Id)
                    .ToListAsync(cancellationToken);
        return Report(ids, changed, target, id => found.TryGetValue(id, out var t) ? (t.Status, t.Mine) : null);
    }

    private static CheckinResult Report(
        IReadOnlyList<long> ids,
        List<long> changed,
        TransferStatus target,
        Func<long, (TransferStatus Status, bool Mine)?> find
    )
    {
        var modified = changed.ToHashSet();
        var reasons = new HashSet<string>(StringComparer.Ordinal);
        var unmodified = new List<long>();
        foreach (var id in ids.Where(id => !modified.Contains(id)))
        {
            unmodified.Add(id);
            reasons.Add(
                find(id) switch
                {
                    null => "No destination transfer with the appropriate ID was found.",
                    { Mine: false } => "You are not authorized to modify the transfer.",
                    { Status: var status } =>
                        $"Transition from TransferStatus.{Upper(status)} to TransferStatus.{Upper(target)} is not permitted.",
                }
            );
        }

        return new CheckinResult([.. ids.Where(modified.Contains)], unmodified, [.. reasons]);
    }

    /// <summary>The states of the transfers that the caller may see (docs/spec/wire.md#check-in).</summary>
    public static async Task<TransferStates> StatusAsync(
        CatalogContext db,
        NamedTransfers outgoing,
        NamedTransfers arriving,
        Caller caller,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(outgoing);
        ArgumentNullException.ThrowIfNull(arriving);
        ArgumentNullException.ThrowIfNull(caller);
        var admin = caller.IsAdmin;
        var (sentIds, arrivingIds) = (outgoing.Ids, arriving.Ids);
        var sent = await db
            .OutgoingTransfers.Where(t => sentIds.Contains(t.Id) && (admin || t.Destination == caller.Username))
            .Select(t => new
            {
                t.Id,
                t.Status,
                t.RemoteTransferId,
            })
            .ToListAsync(cancellationToken);
        var coming = await db
            .IncomingTransfers.Where(t =>
                arrivingIds.Contains(t.Id) && (admin || t.Source == caller.Username || t.Uploader == caller.Username)
            )
            .Select(t => new
            {
                t.Id,
                t.Status,
                t.SourceTransferId,
            })
            .ToListAsync(cancellationToken);
        return new TransferStates(
            sent.Where(t => outgoing.Matches(t.Id, t.RemoteTransferId)).ToDictionary(t => t.Id, t => t.Status),
            coming.Where(t => arriving.Matches(t.Id, t.SourceTransferId)).ToDictionary(t => t.Id, t => t.Status)
        );
    }

    private static string Upper(TransferStatus status) => status.ToString().ToUpperInvariant();
}
