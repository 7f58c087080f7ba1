using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Adopt;

/// <summary>Fills the catalog from a source that <see cref="SourceExamination"/> has found fit.</summary>
internal sealed class AdoptRun(
    UpstreamDatabase source,
    UpstreamStores stores,
    SiteOptions options,
    AdoptRequest request,
    AdoptFindings findings,
    DateTime now,
    AdoptSeams seams
)
{
    /// <summary>Tables in which the catalog continues the source's ids.</summary>
    private static readonly string[] Numbered =
    [
        "store_metadata",
        "librarians",
        "instances",
        "remote_instances",
        "send_queue",
        "outgoing_transfers",
        "incoming_transfers",
        "clone_transfers",
        "corrupt_files",
        "errors",
    ];

    /// <summary>Fills the catalog, compares it with the source, and commits or rolls back everything.</summary>
    public async Task FillAsync(CatalogDatabase catalog, CancellationToken cancellationToken)
    {
        await using var side = await CatalogSide.OpenAsync(catalog, cancellationToken);
        if (side is null)
        {
            findings.Refuse(
                "adoption-running",
                "Another adoption into this catalog is running. Nothing was changed. Wait until it has ended."
            );
            return;
        }

        seams.Opened?.Invoke(side.Connection);
        var db = side.Db;
        if ((await db.Database.GetPendingMigrationsAsync(cancellationToken)).Any())
        {
            findings.Refuse(
                "catalog-old",
                "The catalog's tables are those of an older release. Nothing was changed. Run 'librarian-site migrate' first."
            );
            return;
        }

        await ClaimAsync(db, cancellationToken);
        // Stores get an identity with the site's name, which must not be a wrong one.
        if (findings.AreRefused)
            return;
        await new StoreAdoption(db, source, stores, options, request, findings).RunAsync(cancellationToken);
        if (findings.AreRefused)
            return;
        await AdoptTablesAsync(db, cancellationToken);
        findings.Judge();
        if (findings.AreRefused || request.DryRun)
            return;
        foreach (var table in Numbered)
            await side.RaiseIdsAsync(table, await source.LastIdAsync(table, cancellationToken), cancellationToken);
        seams.Reach?.Invoke("before-commit");
        await side.CommitAsync(cancellationToken);
        seams.Reach?.Invoke("after-commit");
    }

    /// <summary>Claims the catalog for this site, because a catalog belongs to one site.</summary>
    private async Task ClaimAsync(CatalogContext db, CancellationToken cancellationToken)
    {
        var owner = await db.Site.Select(s => s.Name).FirstOrDefaultAsync(cancellationToken);
        if (owner == options.Name)
            return;
        if (owner is not null)
            findings.Refuse(
                "catalog-of-another-site",
                $"The catalog belongs to site '{owner}', but Site:Name is '{options.Name}'. Nothing was changed. "
                    + "Correct Site:Name or Site:Database."
            );
        else
            await new CatalogTable<SiteRecord>(db).InsertAsync([new SiteRecord { Name = options.Name }], cancellationToken);
    }

    /// <summary>Adopts all tables but that of the stores, each after those that it refers to.</summary>
    private async Task AdoptTablesAsync(CatalogContext db, CancellationToken cancellationToken)
    {
        var tables = new AdoptTables(source, db, findings, seams);
        var peers = new PeerAdoption(tables, source, db, now);
        await new UserAdoption(tables, source, db).RunAsync(cancellationToken);
        await peers.RunAsync(cancellationToken);
        await new FileAdoption(tables, source, db).RunAsync(cancellationToken);
        await new CopyAdoption(tables, source, db, stores, request).RunAsync(cancellationToken);
        await new RemoteCopyAdoption(tables, source, db, peers, options).RunAsync(cancellationToken);
        await new BatchAdoption(tables, source, db).RunAsync(cancellationToken);
        await new OutgoingAdoption(tables, source, db, peers, now).RunAsync(cancellationToken);
        await new OpenBatches(db, options, findings).RunAsync(cancellationToken);
        await new CompletedTransferAdoption(tables, source, db).RunAsync(cancellationToken);
        await new IncomingAdoption(tables, source, db, stores, now).RunAsync(cancellationToken);
        await new CloneAdoption(tables, source, db, stores, now).RunAsync(cancellationToken);
        await new CorruptFileAdoption(tables, source, db, now).RunAsync(cancellationToken);
        await new ErrorAdoption(tables, source, db, now).RunAsync(cancellationToken);
    }
}
