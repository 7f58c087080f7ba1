using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;

namespace Librarian.Domain.Catalog;

/// <summary>Lets <c>dotnet ef migrations add NAME --context SqliteCatalog -o Sqlite</c> build the model.</summary>
internal sealed class SqliteCatalogDesign : IDesignTimeDbContextFactory<SqliteCatalog>
{
    public SqliteCatalog CreateDbContext(string[] args) =>
        new(
            new DbContextOptionsBuilder<SqliteCatalog>()
                .UseSqlite("Data Source=design.db", o => o.MigrationsAssembly(CatalogDatabase.MigrationsAssembly))
                .Options
        );
}
