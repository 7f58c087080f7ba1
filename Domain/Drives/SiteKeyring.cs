using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Security;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Drives;

/// <summary>
/// The public keys that verify other sites' signatures: the configured one (<c>Site:Peers:n:PublicKey</c>), or one that was pinned when it
/// was fetched over an authenticated connection or accepted by an administrator. A mere claim never replaces a pinned key.
/// </summary>
public sealed class SiteKeyring(CatalogDatabase database, IOptions<SiteOptions> options, TimeProvider time)
{
    /// <summary>The key of a site, or null when none is known.</summary>
    public async Task<SitePublicKey?> FindAsync(string site, CancellationToken cancellationToken)
    {
        if (
            options.Value.Peers.Find(p => p.Name == site) is { PublicKey.Length: > 0 } peer
            && SitePublicKey.TryParse(peer.PublicKey, out var configured)
        )
            return configured;
        await using var db = database.Open();
        var text = await db.SiteKeys.Where(k => k.Site == site).Select(k => k.PublicKey).SingleOrDefaultAsync(cancellationToken);
        return SitePublicKey.TryParse(text, out var pinned) ? pinned : null;
    }

    /// <summary>Pins a key.</summary>
    /// <param name="site">The site that it belongs to.</param>
    /// <param name="key">The key.</param>
    /// <param name="how"><c>fetched</c> or <c>accepted</c>; only an administrator's acceptance replaces another key.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task PinAsync(string site, SitePublicKey key, string how, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(key);
        await using var db = database.Open();
        var row = await db.SiteKeys.SingleOrDefaultAsync(k => k.Site == site, cancellationToken);
        if (row is null)
            db.SiteKeys.Add(
                new PinnedSiteKey
                {
                    Site = site,
                    PublicKey = key.ToString(),
                    PinnedTime = time.GetUtcNow().UtcDateTime,
                    How = how,
                }
            );
        else if (how == Accepted)
            (row.PublicKey, row.PinnedTime, row.How) = (key.ToString(), time.GetUtcNow().UtcDateTime, how);
        try
        {
            await db.SaveChangesAsync(cancellationToken);
        }
        catch (DbUpdateException e) when (CatalogDatabase.IsUniqueViolation(e))
        {
            // Another process has pinned a key meanwhile; the next call finds it.
        }
    }

    /// <summary>Fetched over an authenticated connection.</summary>
    public const string Fetched = "fetched";

    /// <summary>Accepted by an administrator, who compared the fingerprint.</summary>
    public const string Accepted = "accepted";
}
