using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

/// <summary>An authenticated caller.</summary>
/// <param name="Username">Account name; for a neighbour its site name.</param>
/// <param name="Level">What it may do.</param>
public sealed record Caller(string Username, AuthLevel Level)
{
    /// <summary>Exactly level 100 (wire.md §2.2).</summary>
    public bool IsAdmin => Level == AuthLevel.Admin;
}

/// <summary>Outcome of a state change asked for by a neighbour (wire.md §6.7.1).</summary>
/// <param name="Modified">Ids changed.</param>
/// <param name="Unmodified">Ids left alone.</param>
/// <param name="Reasons">Why, distinct.</param>
public sealed record CheckinResult(IReadOnlyList<long> Modified, IReadOnlyList<long> Unmodified, IReadOnlyList<string> Reasons);

/// <summary>The transitions of wire.md §6.7.1, applied with conditional updates: a change that meets another one loses cleanly.</summary>
public sealed class Checkin(OutgoingTransfers outgoing, TimeProvider time)
{
    /// <summary>States from which <paramref name="target"/> may be reached by a neighbour's request.</summary>
    public static TransferStatus[] SourcesOf(TransferStatus target) => target switch
    {
        TransferStatus.Ongoing => [TransferStatus.Initiated],
        TransferStatus.Staged => [TransferStatus.Initiated, TransferStatus.Ongoing],
        TransferStatus.Failed or TransferStatus.Cancelled => [TransferStatus.Initiated, TransferStatus.Ongoing, TransferStatus.Staged],
        _ => [],
    };

    /// <summary>Changes incoming transfers in the caller's transaction; one whose data are being placed can no longer be failed.</summary>
    public async Task<CheckinResult> UpdateIncomingAsync(CatalogContext db, IReadOnlyCollection<long> ids, TransferStatus target, Caller caller, string reason, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(caller);
        var found = await db.IncomingTransfers.AsNoTracking().Where(t => ids.Contains(t.Id))
            .Select(t => new { t.Id, t.Status, Mine = caller.Level == AuthLevel.Admin || t.Source == caller.Username || t.Uploader == caller.Username })
            .ToDictionaryAsync(t => t.Id, cancellationToken);
        var wanted = found.Values.Where(t => t.Mine && SourcesOf(target).Contains(t.Status)).Select(t => t.Id).ToList();
        var from = SourcesOf(target);
        var ended = target is TransferStatus.Failed or TransferStatus.Cancelled;
        DateTime? end = ended ? time.GetUtcNow().UtcDateTime : null;
        var why = ended ? reason : null;
        if (wanted.Count > 0)
        {
            await db.IncomingTransfers.Where(t => wanted.Contains(t.Id) && from.Contains(t.Status) && !t.Placing)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, target).SetProperty(t => t.EndTime, end).SetProperty(t => t.FailureReason, why), cancellationToken);
        }

        var changed = wanted.Count == 0 ? [] : await db.IncomingTransfers.Where(t => wanted.Contains(t.Id) && t.Status == target).Select(t => t.Id).ToListAsync(cancellationToken);
        return Report(ids, changed, target, id => found.TryGetValue(id, out var t) ? (t.Status, t.Mine) : null);
    }

    /// <summary>Changes outgoing transfers in the caller's transaction.</summary>
    public async Task<CheckinResult> UpdateOutgoingAsync(CatalogContext db, IReadOnlyCollection<long> ids, TransferStatus target, Caller caller, string reason, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(caller);
        var found = await db.OutgoingTransfers.AsNoTracking().Where(t => ids.Contains(t.Id))
            .Select(t => new { t.Id, t.Status, Mine = caller.Level == AuthLevel.Admin || t.Destination == caller.Username })
            .ToDictionaryAsync(t => t.Id, cancellationToken);
        var from = SourcesOf(target);
        var wanted = found.Values.Where(t => t.Mine && from.Contains(t.Status)).Select(t => t.Id).ToList();
        if (target is TransferStatus.Failed or TransferStatus.Cancelled)
            await outgoing.FailAsync(db, wanted, reason, cancellationToken, target);
        else if (wanted.Count > 0)
            await OutgoingTransfers.AdvanceAsync(db, wanted, from, target, cancellationToken);
        var changed = wanted.Count == 0 ? [] : await db.OutgoingTransfers.Where(t => wanted.Contains(t.Id) && t.Status == target).Select(t => t.Id).ToListAsync(cancellationToken);
        return Report(ids, changed, target, id => found.TryGetValue(id, out var t) ? (t.Status, t.Mine) : null);
    }

    private static CheckinResult Report(IReadOnlyCollection<long> ids, List<long> changed, TransferStatus target, Func<long, (TransferStatus Status, bool Mine)?> find)
    {
        var modified = changed.ToHashSet();
        var reasons = new HashSet<string>(StringComparer.Ordinal);
        var unmodified = new List<long>();
        foreach (var id in ids.Where(id => !modified.Contains(id)))
        {
            unmodified.Add(id);
            reasons.Add(find(id) switch
            {
                null => "No destination transfer with the appropriate ID was found.",
                { Mine: false } => "You are not authorized to modify the transfer.",
                { Status: var status } => $"Transition from TransferStatus.{Upper(status)} to TransferStatus.{Upper(target)} is not permitted.",
            });
        }

        return new CheckinResult([.. ids.Where(modified.Contains)], unmodified, [.. reasons]);
    }

    private static string Upper(TransferStatus status) => status.ToString().ToUpperInvariant();
}
