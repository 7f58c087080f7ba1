using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Peers;
using Librarian.Domain.Security;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Startup;

/// <summary>
/// Prepares the catalog at the start of a site: its server, its schema, its owner and its incarnation. Every step may be repeated.
/// </summary>
public sealed class CatalogPreparation(
    CatalogDatabase database,
    DatabaseWait wait,
    SiteCatalog catalog,
    IServiceProvider services,
    IOptions<SiteOptions> options
)
{
    /// <summary>Returns when the site can work on its catalog.</summary>
    /// <exception cref="StartRefusedException">The server is away, or refuses the site, or may lose what it has acknowledged.</exception>
    /// <exception cref="InvalidOperationException">The key does not fit the catalog.</exception>
    public async Task PrepareAsync(CancellationToken cancellationToken)
    {
        await wait.UntilReachableAsync(cancellationToken);
        await wait.RequireDurableAsync(cancellationToken);
        await database.MigrateAsync(options.Value.Name, cancellationToken);
        await ClaimAsync(cancellationToken);
        await catalog.StartAsync(cancellationToken);
    }

    /// <summary>
    /// Gives a new catalog to this site, and refuses credentials that the key cannot decrypt (a lost key is restored, never replaced).
    /// </summary>
    private async Task ClaimAsync(CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var owner = await db.Site.AsNoTracking().Select(s => s.Name).FirstOrDefaultAsync(cancellationToken);
        var authenticator = await db.Peers.AsNoTracking().Select(l => l.Authenticator).FirstOrDefaultAsync(cancellationToken);
        if (authenticator is not null && SiteKeys.IsMissing(options.Value))
            throw new InvalidOperationException(
                $"encryption.key is missing from '{options.Value.DataDirectory}', "
                    + "but the catalog holds credentials of peers that were encrypted with it. Restore it from your backup."
            );
        if (authenticator is not null && !services.GetRequiredService<Fernet>().TryDecrypt(authenticator, out _))
            throw new InvalidOperationException(
                "The credentials of peers cannot be decrypted with this key. "
                    + "Restore the encryption.key, or Site:EncryptionKey, that this catalog was used with."
            );
        _ = services.GetRequiredService<Fernet>();
        if (owner is not null)
            return;
        db.Site.Add(new SiteRecord { Name = options.Value.Name });
        await db.SaveChangesAsync(cancellationToken);
    }
}
