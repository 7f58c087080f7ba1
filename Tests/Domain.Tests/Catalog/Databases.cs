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
            connection = await server.CreateDatabaseAsync();
        }
        else
        {
            directory = Directory.CreateTempSubdirectory("librarian-catalog-").FullName;
            connection = $"Data Source={Path.Combine(directory, "catalog.db")}";
        }

        var database = new CatalogDatabase(connection, interceptors);
        await database.MigrateAsync(default);
        return new TestCatalog(database, directory);
    }
}

public sealed class TestCatalog(CatalogDatabase database, string? directory) : IDisposable
{
    public CatalogDatabase Database => database;

    public void Dispose()
    {
        if (directory is null)
            return;
        SqliteConnection.ClearAllPools();
        Directory.Delete(directory, recursive: true);
    }
}
