using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Librarian.Tests.Domain.Catalog;

/// <summary>Makes a migrated catalog of either kind for one test.</summary>
public static class Databases
{
    public static async Task<TestCatalog> CreateAsync(DatabaseKind kind, PostgresServer server, params IInterceptor[] interceptors)
    {
        string? directory = null;
        string connection;
        if (kind == DatabaseKind.PostgreSql)
        {
            connection = await MigratedCatalog.CreateAsync(server);
        }
        else
        {
            directory = Directory.CreateTempSubdirectory("librarian-catalog-").FullName;
            var file = Path.Combine(directory, "catalog.db");
            await MigratedCatalog.CreateAsync(file);
            connection = $"Data Source={file}";
        }

        return new TestCatalog(new CatalogDatabase(connection, interceptors), directory);
    }
}

public sealed class TestCatalog(CatalogDatabase database, string? directory) : IDisposable
{
    public CatalogDatabase Database => database;

    public void Dispose()
    {
        // Otherwise its connections stay open for five minutes, and those of some hundred tests are all that a server has.
        database.Dispose();
        if (directory is null)
            return;
        SqliteConnection.ClearAllPools();
        Directory.Delete(directory, recursive: true);
    }
}
