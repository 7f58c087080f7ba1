using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace Librarian.Domain.Catalog;

/// <summary>Lets <c>dotnet ef migrations add NAME --context PostgresCatalog -o Postgres</c> build the model.</summary>
internal sealed class PostgresCatalogDesign : IDesignTimeDbContextFactory<PostgresCatalog>
{
    public PostgresCatalog CreateDbContext(string[] args) =>
        new(
            new DbContextOptionsBuilder<PostgresCatalog>()
                .UseNpgsql("Host=design", o => o.MigrationsAssembly(CatalogDatabase.MigrationsAssembly))
                .Options
        );
}
