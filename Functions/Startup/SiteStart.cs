using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Peers;
using Librarian.Domain.Security;
using Librarian.Domain.Stores;
using Librarian.Orchestrations.Incoming;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Startup;

/// <summary>
/// Prepares a site before its engine and its server start: schema, key, stores, first administrator, and the removal of what an earlier
/// crash left. Every step may be repeated; a failure stops the process with a reason and a non-zero exit code.
/// </summary>
public sealed class SiteStart(
    CatalogDatabase database,
    DatabaseWait wait,
    IServiceProvider services,
    SiteStores stores,
    AccountDirectory accounts,
    IncomingWorkflows incoming,
    SiteCatalog catalog,
    IOptions<SiteOptions> options,
    ILogger<SiteStart> log
) : IHostedService, IDisposable
{
    private IDisposable? _hold;

    /// <inheritdoc />
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        SiteDirectory.Prepare(options.Value, log);
        _hold = SiteLock.Take(database.Kind, options.Value);
        await wait.UntilReachableAsync(cancellationToken);
        await wait.RequireDurableAsync(cancellationToken);
        await database.MigrateAsync(options.Value.Name, cancellationToken);
        await ClaimCatalogAsync(cancellationToken);
        await catalog.StartAsync(cancellationToken);
        await stores.SynchroniseAsync(cancellationToken);
        if (await accounts.EnsureAdministratorAsync(cancellationToken) is { } generated)
        {
            // Printed once to the console and nowhere else, because log files are kept and shipped.
            Console.WriteLine(
                $"First administrator: {options.Value.AdminUser}, password: {generated} "
                    + "(shown only now; change it with users/password_update)"
            );
        }

        foreach (var store in stores.All)
        {
            if (
                await stores.FindAsync(store.Id, cancellationToken) is { } mounted
                && await mounted.RemoveLeftoversAsync(cancellationToken) is { IsGone: false } left
            )
                Logs.LeftoversNotRemoved(log, mounted.Options.Name, left.Message);
        }

        await incoming.SweepAsync(cancellationToken);
        Logs.Ready(log, options.Value.Name, database.Kind.ToString(), stores.All.Count);
    }

    /// <inheritdoc />
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    public void Dispose() => _hold?.Dispose();

    /// <summary>
    /// Gives a new catalog to this site, and refuses credentials that the key cannot decrypt (a lost key is restored, never replaced).
    /// </summary>
    private async Task ClaimCatalogAsync(CancellationToken cancellationToken)
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
