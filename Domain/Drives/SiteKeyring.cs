using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>
/// By which key another site's signatures are recognised: the configured one (<c>Site:Peers:n:PublicKey</c>), or the one pinned when it was
/// fetched over an authenticated connection or accepted by an administrator. A pinned key is never replaced by a mere claim.
/// </summary>
public sealed class SiteKeyring(CatalogDatabase database, IOptions<SiteOptions> options, TimeProvider time)
{
    /// <summary>The key, or null when none is known.</summary>
    public async Task<SitePublicKey?> FindAsync(string site, CancellationToken cancellationToken)
    {
        if (options.Value.Peers.Find(p => p.Name == site) is { PublicKey.Length: > 0 } peer && SitePublicKey.TryParse(peer.PublicKey, out var configured)) return configured;
        await using var db = database.Open();
        var text = await db.SiteKeys.Where(k => k.Site == site).Select(k => k.PublicKey).SingleOrDefaultAsync(cancellationToken);
        return SitePublicKey.TryParse(text, out var pinned) ? pinned : null;
    }

    /// <summary>Remembers a key.</summary>
    /// <param name="site">Whose.</param>
    /// <param name="key">The key.</param>
    /// <param name="how"><c>fetched</c> or <c>accepted</c>; only an administrator's word replaces another key.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task PinAsync(string site, SitePublicKey key, string how, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(key);
        await using var db = database.Open();
        var row = await db.SiteKeys.SingleOrDefaultAsync(k => k.Site == site, cancellationToken);
        if (row is null) db.SiteKeys.Add(new PinnedSiteKey { Site = site, PublicKey = key.ToString(), PinnedTime = time.GetUtcNow().UtcDateTime, How = how });
        else if (how == Accepted) (row.PublicKey, row.PinnedTime, row.How) = (key.ToString(), time.GetUtcNow().UtcDateTime, how);
        try
        {
            await db.SaveChangesAsync(cancellationToken);
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            // Pinned by another process at this moment; the next look finds it.
        }
    }

    /// <summary>Given over an authenticated connection.</summary>
    public const string Fetched = "fetched";

    /// <summary>Accepted by an administrator, who compared the fingerprint.</summary>
    public const string Accepted = "accepted";
}
