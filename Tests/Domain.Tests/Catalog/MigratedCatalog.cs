using Librarian.Domain.Catalog;
using Librarian.Domain.Security;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;

namespace Librarian.Tests.Domain.Catalog;

/// <summary>
/// Empty catalogs with all tables, as a site's first start makes them. The migrations run once for each kind, and every test gets a copy:
/// hundreds of tests begin with a new catalog. Also compiled into Functions.Tests.
/// </summary>
public static class MigratedCatalog
{
    private static readonly Lazy<Task<byte[]>> s_file = new(MigrateFileAsync);

    /// <summary>Creates one on a PostgreSQL server and returns its connection string.</summary>
    public static Task<string> CreateAsync(PostgresServer server) => server.CreateCopyAsync("catalog", MigrateAsync);

    /// <summary>Creates a SQLite file, and its directory if need be.</summary>
    public static async Task CreateAsync(string file)
    {
        PrivateFile.CreateDirectory(Path.GetDirectoryName(file)!);
        await using var copy = PrivateFile.Create(file);
        await copy.WriteAsync(await s_file.Value);
    }

    private static async Task MigrateAsync(string connection)
    {
        using var database = new CatalogDatabase(connection);
        await database.MigrateAsync(default);
    }

    private static async Task<byte[]> MigrateFileAsync()
    {
        var directory = Directory.CreateTempSubdirectory("librarian-migrated-");
        var file = Path.Combine(directory.FullName, "catalog.db");
        // Without a pool the last connection to close moves the log into the file.
        await MigrateAsync(new SqliteConnectionStringBuilder { DataSource = file, Pooling = false }.ToString());
        Assert.Equal([file], Directory.GetFiles(directory.FullName));
        var bytes = await File.ReadAllBytesAsync(file);
        directory.Delete(recursive: true);
        return bytes;
    }
}
