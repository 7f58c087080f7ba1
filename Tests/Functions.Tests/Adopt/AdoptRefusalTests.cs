using System.Security.Cryptography;
using Librarian.Adopt;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Functions.Adopt;

/// <summary>What is refused, what is named then, and that nothing has changed.</summary>
public class AdoptRefusalTests(PostgresServer server)
{
    private static readonly DatabaseKind[] Kinds = [DatabaseKind.Sqlite, DatabaseKind.PostgreSql];

    public static TheoryData<DatabaseKind> Catalogs => new(Kinds);

    [Fact]
    public async Task Adopt_WithAnotherKey_NamesTheSettingAndChangesNothing()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite);
        fixture.Settings["Site:EncryptionKey"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        var run = await fixture.RunAsync();
        Assert.Equal((1, "encryption-key"), (run.Exit, Assert.Single(run.Refusals)));
        Assert.Contains("Site:EncryptionKey", run.Errors, StringComparison.Ordinal);
        Assert.Contains("'archive' (1 of 1 peers)", run.Errors, StringComparison.Ordinal);
        Assert.False(fixture.HasCatalogFile);
    }

    [Fact]
    public async Task Adopt_WithoutAnyKey_MakesNone()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite);
        fixture.Settings.Remove("Site:EncryptionKey");
        var run = await fixture.RunAsync();
        Assert.Equal((1, "encryption-key"), (run.Exit, Assert.Single(run.Refusals)));
        Assert.False(File.Exists(Path.Combine(fixture.Settings["Site:DataDirectory"], "encryption.key")));
        Assert.False(fixture.HasCatalogFile);
    }

    [Fact]
    public async Task Adopt_StoreThatIsNotConfigured_IsNamedUnlessLeftBehind()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite);
        await fixture.Source.ExecuteAsync(
            """
            INSERT INTO store_metadata (id, name, ingestable, store_type) VALUES (6, 'tape', false, 1);
            INSERT INTO instances (id, path, file_name, store_id, deletion_policy, created_time, available) VALUES
              (500, '/tape/x', 'obs/0007919/1', 6, 'DISALLOWED', '2025-01-01 00:00:00', true);
            INSERT INTO incoming_transfers (id, status, uploader, upload_name, source, transfer_size, transfer_checksum, store_id,
                start_time) VALUES
              (1, 'COMPLETED', 'u', 'n', 's', 1, 'c', 6, '2025-01-01 00:00:00');
            """
        );
        var run = await fixture.RunAsync();
        Assert.Equal((1, "stores-not-configured"), (run.Exit, Assert.Single(run.Refusals)));
        Assert.Contains("'tape' (1 copies, 0 unfinished transfers)", run.Errors, StringComparison.Ordinal);
        Assert.False(fixture.HasCatalogFile);

        Assert.Equal(["skip-store", "stores-not-configured"], (await fixture.RunAsync("--skip-store", "tap")).Refusals);
        run = await fixture.RunAsync("--skip-store", "tape");
        Assert.Equal(0, run.Exit);
        Assert.Equal((11, 10, 0, 0, 1), run.Counts("instances"));
        using var catalog = fixture.OpenCatalog();
        await using var db = catalog.Open();
        Assert.Equal("main", Assert.Single(await db.Stores.ToListAsync()).Name);
        Assert.Null((await db.IncomingTransfers.SingleAsync()).StoreId);
    }

    [Fact]
    public async Task Adopt_StoreWhoseDirectoryIsEmpty_IsTakenForUnmounted()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite);
        File.Delete(Path.Combine(fixture.Store, "something"));
        var run = await fixture.RunAsync();
        Assert.Equal((1, "store-not-mounted"), (run.Exit, Assert.Single(run.Refusals)));
        Assert.False(Directory.Exists(Path.Combine(fixture.Store, ".librarian")));
    }

    [Fact]
    public async Task Adopt_WhileTheSiteRunsOnSqlite_IsRefused()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite);
        Directory.CreateDirectory(fixture.Settings["Site:DataDirectory"]);
        using (SiteLock.Take(DatabaseKind.Sqlite, new SiteOptions { DataDirectory = fixture.Settings["Site:DataDirectory"] }))
        {
            foreach (var arguments in new string[][] { [], ["--check"] })
            {
                var run = await fixture.RunAsync(arguments);
                Assert.Equal(1, run.Exit);
                Assert.Contains("Another process holds", run.Errors, StringComparison.Ordinal);
            }
        }

        Assert.Equal(0, (await fixture.RunAsync()).Exit);
    }

    [Fact]
    public async Task Adopt_WhileTheSiteRunsOnPostgres_IsRefused()
    {
        await using var fixture = await SmallAsync(DatabaseKind.PostgreSql);
        await using (await fixture.StartSiteAsync())
        {
            var run = await fixture.RunAsync();
            Assert.Equal(1, run.Exit);
            Assert.Contains("The site is running on this catalog (testsite@", run.Errors, StringComparison.Ordinal);
        }

        Assert.Equal(0, (await fixture.RunAsync()).Exit);
    }

    [Theory, MemberData(nameof(Catalogs))]
    public async Task Adopt_OtherThingsUnderItsKeys_RefusesAllOfThem(DatabaseKind kind)
    {
        await using var fixture = await SmallAsync(kind);
        using var catalog = fixture.OpenCatalog();
        if (kind == DatabaseKind.Sqlite)
            Directory.CreateDirectory(fixture.Settings["Site:DataDirectory"]);
        await catalog.MigrateAsync(default);
        await using (var db = catalog.Open())
        {
            db.Site.Add(new SiteRecord { Name = "testsite" });
            db.Stores.Add(
                new StoreRecord
                {
                    Id = 3,
                    Name = "main",
                    Ingestable = true,
                    Enabled = true,
                    StoreData = "{}",
                }
            );
            db.Files.Add(
                new FileRecord
                {
                    Name = "obs/0007919/1",
                    CreateTime = DateTime.UtcNow,
                    Size = 1,
                    Checksum = "other",
                    Uploader = "u",
                    Source = "s",
                }
            );
            db.Files.Add(
                new FileRecord
                {
                    Name = "mine",
                    CreateTime = DateTime.UtcNow,
                    Size = 1,
                    Checksum = "m",
                    Uploader = "u",
                    Source = "s",
                }
            );
            db.Copies.Add(
                new FileCopy
                {
                    Id = 5,
                    FileName = "mine",
                    StoreId = 3,
                    Path = "/x",
                    DeletionPolicy = DeletionPolicy.Disallowed,
                    CreatedTime = DateTime.UtcNow,
                    Available = true,
                }
            );
            await db.SaveChangesAsync();
        }

        var run = await fixture.RunAsync();

        Assert.Equal((1, "catalog-conflict"), (run.Exit, Assert.Single(run.Refusals)));
        Assert.Equal(
            [("files", "obs/0007919/1"), ("instances", $"5 {fixture.Store}/obs/0039595/5")],
            fixture.Lines().Where(l => l.Effect == "conflict").Select(l => (l.Kind, l.Row))
        );
        await using var after = catalog.Open();
        Assert.Equal((2, 1, 0), (await after.Files.CountAsync(), await after.Copies.CountAsync(), await after.Users.CountAsync()));
    }

    [Fact]
    public async Task Adopt_StoreKnownUnderAnotherIdInAFilledCatalog_IsRefused()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite);
        using var catalog = fixture.OpenCatalog();
        await catalog.MigrateAsync(default);
        await using (var db = catalog.Open())
        {
            db.Stores.Add(
                new StoreRecord
                {
                    Id = 1,
                    Name = "main",
                    Ingestable = true,
                    Enabled = true,
                }
            );
            db.Files.Add(
                new FileRecord
                {
                    Name = "mine",
                    CreateTime = DateTime.UtcNow,
                    Size = 1,
                    Checksum = "m",
                    Uploader = "u",
                    Source = "s",
                }
            );
            await db.SaveChangesAsync();
        }

        Assert.Equal("catalog-conflict", Assert.Single((await fixture.RunAsync()).Refusals));
    }

    [Fact]
    public async Task Adopt_CatalogOfAnotherSite_IsRefused()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite);
        Assert.Equal(0, (await fixture.RunAsync()).Exit);
        fixture.Settings["Site:Name"] = "other";
        Assert.Equal("catalog-of-another-site", Assert.Single((await fixture.RunAsync()).Refusals));
    }

    [Theory, MemberData(nameof(Catalogs))]
    public async Task Adopt_SourceThatIsNone_IsRefused(DatabaseKind kind)
    {
        await using var fixture = await AdoptFixture.CreateAsync(kind, kind, server);
        await fixture.Source.ExecuteAsync("DROP TABLE users; ALTER TABLE files DROP COLUMN checksum");
        var run = await fixture.RunAsync();
        Assert.Equal("source-not-upstream", Assert.Single(run.Refusals));
        Assert.Contains("it lacks files.checksum, users.", run.Errors, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Catalogs))]
    public async Task Adopt_FromOrIntoTheWrongDatabase_IsRefused(DatabaseKind kind)
    {
        await using var fixture = await SmallAsync(kind);
        Assert.Equal(0, (await fixture.RunAsync()).Exit);
        using (var catalog = fixture.OpenCatalog())
            Assert.Equal("catalog-is-the-source", await FromAsync(fixture, catalog.ConnectionString));

        await using var python = await AdoptFixture.CreateAsync(kind, kind, server);
        fixture.Settings["Site:Database"] = python.Source.ConnectionString;
        Assert.Equal("catalog-is-the-source", Assert.Single((await fixture.RunAsync()).Refusals));

        await using var third = await SmallAsync(kind);
        Assert.Equal(0, (await third.RunAsync()).Exit);
        fixture.Settings.Remove("Site:Database");
        using (var catalog = third.OpenCatalog())
            Assert.Equal("source-is-a-catalog", await FromAsync(fixture, catalog.ConnectionString));
    }

    [Fact]
    public async Task Adopt_SourceThatIsNotThere_IsRefused()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite);
        Assert.Equal("source-unreadable", await FromAsync(fixture, $"Data Source={fixture.Root}/nothing.db"));
        Assert.Equal("source-unreadable", await FromAsync(fixture, "Host=127.0.0.1;Port=1;Database=none;Timeout=2"));
        Assert.False(File.Exists(Path.Combine(fixture.Root, "nothing.db")));
        Assert.False(fixture.HasCatalogFile);
    }

    [Fact]
    public async Task Adopt_ReportFileThatExists_IsNotOverwritten()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite);
        await File.WriteAllTextAsync(Path.Combine(fixture.Root, "report-1.jsonl"), "mine");
        Assert.Equal("file-system", Assert.Single((await fixture.RunAsync()).Refusals));
        Assert.Equal("mine", await File.ReadAllTextAsync(Path.Combine(fixture.Root, "report-1.jsonl")));
        Assert.False(fixture.HasCatalogFile);
    }

    [Theory]
    [InlineData("--from is missing.", "--json")]
    [InlineData("--from needs a value.", "--from")]
    [InlineData("'--fro' is not known.", "--fro", "x")]
    [InlineData("--from is not a connection string", "--from", "Hello=World")]
    public async Task Adopt_WrongUsage_SaysWhatIsWrong(string expected, params string[] arguments)
    {
        await using var output = new StringWriter();
        await using var errors = new StringWriter();
        var exit = await AdoptCommand.RunAsync(
            ["adopt", .. arguments],
            () => throw new InvalidOperationException("not read"),
            output,
            errors,
            TimeProvider.System
        );
        Assert.Equal(2, exit);
        Assert.StartsWith(expected, errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Adopt_Always_LeavesTheSourceFileAsItWas()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite);
        var file = Path.Combine(fixture.Root, "librarian.db");
        var before = (Convert.ToHexString(SHA256.HashData(await File.ReadAllBytesAsync(file))), File.GetLastWriteTimeUtc(file));
        Assert.Equal(0, (await fixture.RunAsync()).Exit);
        Assert.Equal(before, (Convert.ToHexString(SHA256.HashData(await File.ReadAllBytesAsync(file))), File.GetLastWriteTimeUtc(file)));
        Assert.Empty(Directory.GetFiles(fixture.Root, "librarian.db-*"));
    }

    private async Task<AdoptFixture> SmallAsync(DatabaseKind catalog)
    {
        var fixture = await AdoptFixture.CreateAsync(catalog, catalog, server);
        await fixture.Source.AddSiteAsync(AdoptFixture.Authenticator());
        await fixture.Source.AddFilesAsync(1, 10, fixture.Store);
        return fixture;
    }

    private static async Task<string> FromAsync(AdoptFixture fixture, string from)
    {
        await using var output = new StringWriter();
        await using var errors = new StringWriter();
        var options = new SiteOptions
        {
            Name = "testsite",
            DataDirectory = fixture.Settings["Site:DataDirectory"],
            Stores =
            [
                new StoreOptions
                {
                    Name = "main",
                    StorePath = fixture.Store,
                    StagingPath = fixture.Staging,
                },
            ],
        };
        using var catalog = fixture.OpenCatalog();
        var report = await new Adoption(catalog, options, null, TimeProvider.System).RunAsync(
            new AdoptRequest(from, Path.Combine(fixture.Root, $"{Guid.NewGuid()}.jsonl")),
            null,
            default
        );
        return Assert.Single(report.Refusals).Code;
    }
}
