using Librarian.Domain.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Domain.Transfers;

/// <summary>
/// Limits the space that is reserved for one account's unfinished transfers. Without a limit, one account that may only add files could
/// reserve all space of a site with one call, until its transfers are abandoned.
/// </summary>
public static class AccountReservations
{
    /// <summary>
    /// The reason why an account may reserve no more; null when all reservations are within the limit. Call it in the transaction that
    /// records the transfers, after the stores' rows are locked (<see cref="Stores.SiteStores.ChooseAsync"/>).
    /// </summary>
    /// <remarks>
    /// A registered peer without unfinished transfers is limited by the stores only: its site configures the size of its batches, a Python
    /// site does not reduce them after a refusal, and no file of it may be refused for ever.
    /// </remarks>
    /// <param name="db">Unit of work.</param>
    /// <param name="wanted">Accounts, and bytes for each.</param>
    /// <param name="limit">Most bytes for one of them.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public static async Task<string?> RefusalAsync(
        CatalogContext db,
        IReadOnlyList<(string Account, long Bytes)> wanted,
        long limit,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(db);
        ArgumentNullException.ThrowIfNull(wanted);
        if (wanted.Count == 0)
            return null;
        var accounts = wanted.Select(w => w.Account).Distinct(StringComparer.Ordinal).ToList();
        var reserved = await db
            .IncomingTransfers.Where(t =>
                (t.Status == TransferStatus.Initiated || t.Status == TransferStatus.Ongoing) && accounts.Contains(t.Source)
            )
            .GroupBy(t => t.Source)
            .Select(g => new
            {
                Account = g.Key,
                Bytes = g.Sum(t => t.TransferSize),
                Files = g.Count(),
            })
            .ToDictionaryAsync(g => g.Account, cancellationToken);
        foreach (var account in wanted.GroupBy(w => w.Account, StringComparer.Ordinal))
        {
            var asked = account.Aggregate(0L, (sum, w) => sum > long.MaxValue - w.Bytes ? long.MaxValue : sum + w.Bytes);
            var (bytes, files) = reserved.GetValueOrDefault(account.Key) is { } open ? (open.Bytes, open.Files) : (0, 0);
            if (asked <= limit - bytes)
                continue;
            if (files == 0 && await db.Peers.AnyAsync(l => l.Name == account.Key, cancellationToken))
                continue;
            return $"Account '{account.Key}' asks for {asked} bytes; {bytes} are reserved for it by {files} unfinished transfers, "
                + $"and this site reserves at most {limit} for one account (Site:MaximalPromisedBytesPerAccount). "
                + "Finish or abandon what is under way, ask for less at once, or ask the site's administrator for a higher limit.";
        }

        return null;
    }
}
