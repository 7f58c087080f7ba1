using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Migrations;

namespace Librarian.Tests.Domain.Catalog;

/// <summary>The migration that makes the paths of copies independent of where their stores lie.</summary>
public sealed class CopyPathsTests(PostgresServer server) : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("librarian-paths-");

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        SqliteConnection.ClearAllPools();
        _directory.Delete(recursive: true);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Migrate_AbsolutePaths_BecomeRelativeAndBack(DatabaseKind kind)
    {
        using var database = new CatalogDatabase(
            kind == DatabaseKind.PostgreSql
                ? await server.CreateDatabaseAsync()
                : $"Data Source={Path.Combine(_directory.FullName, "catalog.db")}"
        );
        await using var db = database.Open();
        await db.GetService<IMigrator>().MigrateAsync("PathAndContentIndexes", Stop);
        var yes = kind == DatabaseKind.PostgreSql ? "true" : "1";
        var no = kind == DatabaseKind.PostgreSql ? "false" : "0";
        await ExecuteAsync(
            db,
            $$"""
            insert into store_metadata (id, name, ingestable, enabled, store_type, store_data) values
              (1, 'main', {{yes}}, {{yes}}, 1, '{"staging_path":"/data/staging","store_path":"/data/🔭 100%_store/","marker":"m"}'),
              (2, 'bare', {{yes}}, {{yes}}, 1, '{}'),
              (3, 'root', {{yes}}, {{yes}}, 1, '{"store_path":"/"}'),
              (4, 'drive', {{yes}}, {{yes}}, 1, '{"store_path":"/mnt/before/data"}');
            insert into drives (
                id, drive_id, name, store_id, mount_path, destination, full_fraction, state, state_since, trip, manifest_on_drive
              ) values
              (1, '0e984725-c51c-4bf4-9960-e1c80e27aba0', 'drive', 4, '/mnt/now/', 'far', 1, 'FILLING', '2026-01-02 03:04:05', 1, {{no}});
            """
        );
        (int Store, string Before, string After)[] copies =
        [
            (1, "/data/🔭 100%_store/obs/1.bin", "obs/1.bin"),
            (1, "/data/🔭 100%_store/obs/a'b \\\\ 🔭", "obs/a'b \\\\ 🔭"),
            (1, "/data/🔭 100%_store-2/obs/2.bin", "/data/🔭 100%_store-2/obs/2.bin"),
            (1, "/data/🔭 100xxstore/obs/3.bin", "/data/🔭 100xxstore/obs/3.bin"),
            (1, "/data/🔭 100%_store", "/data/🔭 100%_store"),
            (2, "/data/x", "/data/x"),
            (3, "/obs/4.bin", "obs/4.bin"),
            (4, "/mnt/now/data/obs/5.bin", "obs/5.bin"),
            (4, "/mnt/before/data/obs/6.bin", "/mnt/before/data/obs/6.bin"),
        ];
        foreach (var (copy, index) in copies.Select((c, i) => (c, i)))
        {
            var name = "f" + index;
            var created = new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc);
            await db.Database.ExecuteSqlAsync(
                $"""
                insert into files (name, create_time, size, checksum, uploader, source)
                values ({name}, {created}, 1, 'xxh3:::00', 'u', 's')
                """,
                Stop
            );
            await db.Database.ExecuteSqlAsync(
                $"""
                insert into instances (id, path, file_name, store_id, deletion_policy, created_time, available)
                values ({index + 1}, {copy.Before}, {name}, {copy.Store}, 'DISALLOWED', {created}, {true})
                """,
                Stop
            );
        }

        await database.MigrateAsync(Stop);
        Assert.Equal(copies.Select(c => c.After), await PathsAsync());

        await db.GetService<IMigrator>().MigrateAsync("PathAndContentIndexes", Stop);
        Assert.Equal(copies.Select(c => c.Before), await PathsAsync());
        await database.MigrateAsync(Stop);
        Assert.Equal(copies.Select(c => c.After), await PathsAsync());

        Task<List<string>> PathsAsync() => db.Copies.OrderBy(i => i.Id).Select(i => i.Path).ToListAsync(Stop);
    }

    private static async Task ExecuteAsync(CatalogContext db, string sql)
    {
        await db.Database.OpenConnectionAsync(Stop);
        await using var command = db.Database.GetDbConnection().CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync(Stop);
    }
}
