using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Stores;
using Librarian.Orchestrations.Incoming;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Startup;

/// <summary>
/// Prepares a site before its engine and its server start: schema, key, stores, first administrator, and the removal of what an earlier
/// crash left. Every step may be repeated; a failure stops the process with a reason and a non-zero exit code.
/// </summary>
public sealed class SiteStart(
    CatalogDatabase database,
    CatalogPreparation catalog,
    SiteStores stores,
    AccountDirectory accounts,
    StagingSweep staging,
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
        await catalog.PrepareAsync(cancellationToken);
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

        await staging.SweepAsync(cancellationToken);
        Logs.Ready(log, options.Value.Name, database.Kind.ToString(), stores.All.Count);
    }

    /// <inheritdoc />
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc />
    public void Dispose() => _hold?.Dispose();
}
