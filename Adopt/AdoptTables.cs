using Librarian.Domain.Catalog;

namespace Librarian.Adopt;

/// <summary>Adopts the tables of the source into the open catalog, one after the other.</summary>
internal sealed class AdoptTables(UpstreamDatabase source, CatalogContext db, AdoptFindings findings, AdoptSeams seams)
{
    /// <summary>Adopts one table.</summary>
    public Task AdoptAsync<T>(Kind<T> kind, CancellationToken cancellationToken)
        where T : class => new TableAdoption<T>(source, db, findings, seams, kind).RunAsync(cancellationToken);
}
