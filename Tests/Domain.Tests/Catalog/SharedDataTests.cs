using System.Data;
using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Domain.Catalog;

public class SharedDataTests(PostgresServer server)
{
    private static readonly DateTime Now = new(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc);

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task At_PathsAroundACopy_FindsThoseThatShareItsData(DatabaseKind kind)
    {
        using var catalog = await CreateAsync(kind, "/store/a/book", "/store/a/book-2", "/store/b");
        await using var db = catalog.Database.Open();
        Assert.Equal(["/store/a/book"], await FindAsync("/store/a/book"));
        Assert.Equal(["/store/a/book"], await FindAsync("/store/a/book/member/deeper"));
        Assert.Equal(["/store/a/book", "/store/a/book-2"], await FindAsync("/store/a"));
        Assert.Empty(await FindAsync("/store/a/boo"));
        Assert.Empty(await FindAsync("/store/a/book-"));
        Assert.Empty(await FindAsync("/store/a/book."));
        Assert.Empty(await FindAsync("/store/c"));
        Assert.Empty(await SharedData.At(db, 2, "/store/b").ToListAsync());

        Task<List<string>> FindAsync(string path) => SharedData.At(db, 1, path).Select(i => i.Path).OrderBy(p => p).ToListAsync();
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task At_AStoreOfManyCopies_ReadsTheIndexOnly(DatabaseKind kind)
    {
        using var catalog = await CreateAsync(kind, [.. Enumerable.Range(0, 5_000).Select(i => $"/store/{i % 100}/{i}")]);
        await using var db = catalog.Database.Open();
        if (kind == DatabaseKind.PostgreSql)
            await db.Database.ExecuteSqlAsync($"analyze instances");
        var all = await db.Stores.Select(s => s.Id).ToListAsync();
        foreach (
            var query in new[]
            {
                SharedData.At(db, 1, "/store/17/new"),
                db.Copies.Where(i => all.Contains(i.StoreId) && i.Path == "/store/17/117"),
            }
        )
        {
            var plan = await PlanAsync(db, query.Select(i => i.FileName).Take(1), kind);
            Assert.Contains("IX_instances_store_id_path", plan, StringComparison.Ordinal);
            Assert.DoesNotContain("SCAN instances", plan, StringComparison.Ordinal);
            Assert.DoesNotContain("SCAN i", plan, StringComparison.Ordinal);
            Assert.DoesNotContain("store_id_created_time", plan, StringComparison.Ordinal);
            Assert.DoesNotContain("Seq Scan", plan, StringComparison.Ordinal);
        }
    }

    private async Task<TestCatalog> CreateAsync(DatabaseKind kind, params string[] paths)
    {
        var catalog = await Databases.CreateAsync(kind, server);
        await using var db = catalog.Database.Open();
        db.Stores.AddRange(
            new StoreRecord
            {
                Name = "main",
                Ingestable = true,
                Enabled = true,
            },
            new StoreRecord
            {
                Name = "other",
                Ingestable = true,
                Enabled = true,
            }
        );
        await db.SaveChangesAsync();
        db.Files.AddRange(
            paths.Select(p => new FileRecord
            {
                Name = p,
                CreateTime = Now,
                Size = 1,
                Checksum = "xxh3:::00",
                Uploader = "u",
                Source = "s",
            })
        );
        db.Copies.AddRange(
            paths.Select(p => new FileCopy
            {
                Path = p,
                FileName = p,
                StoreId = 1,
                DeletionPolicy = DeletionPolicy.Disallowed,
                CreatedTime = Now,
                Available = true,
            })
        );
        await db.SaveChangesAsync();
        return catalog;
    }

    private static async Task<string> PlanAsync(CatalogContext db, IQueryable<string> query, DatabaseKind kind)
    {
        await using var command = query.CreateDbCommand();
        command.CommandText = (kind == DatabaseKind.Sqlite ? "explain query plan " : "explain ") + command.CommandText;
        if (command.Connection!.State != ConnectionState.Open)
            await command.Connection.OpenAsync();
        await using var rows = await command.ExecuteReaderAsync();
        var plan = new StringBuilder();
        while (await rows.ReadAsync())
            plan.AppendLine(rows.GetString(rows.FieldCount - 1));
        return plan.ToString();
    }
}
