using System.Diagnostics;
using Librarian.Adopt;
using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Configuration;
using Npgsql;

namespace Librarian.Tests.Functions.Adopt;

/// <summary>Again, killed, only tried, from an old release, and with many files.</summary>
public class AdoptRunTests(PostgresServer server)
{
    public static TheoryData<DatabaseKind> Kinds => new(DatabaseKind.Sqlite, DatabaseKind.PostgreSql);

    [Theory, MemberData(nameof(Kinds))]
    public async Task Adopt_Again_AddsOnlyWhatIsNewAndLeavesTheRest(DatabaseKind kind)
    {
        await using var fixture = await SmallAsync(kind, 2500);
        var first = await fixture.RunAsync();
        Assert.Equal((0, (2500L, 2500L, 0L, 0L, 0L)), (first.Exit, first.Counts("files")));
        using var catalog = fixture.OpenCatalog();
        await using (var db = catalog.Open())
        {
            // What this site has done since must not be undone: a copy that it found missing, a password that it has hashed anew.
            await db.Copies.Where(i => i.Id == 7).ExecuteUpdateAsync(s => s.SetProperty(i => i.Available, false));
            await db.Users.Where(u => u.Username == "admin").ExecuteUpdateAsync(s => s.SetProperty(u => u.AuthToken, "better"));
        }

        await fixture.Source.AddFilesAsync(2501, 1200, fixture.Store);
        var second = await fixture.RunAsync();

        Assert.True(second.Exit == 0, second.Output + second.Errors);
        foreach (var table in new[] { "files", "instances", "remote_instances" })
            Assert.Equal((3700, 1200, 2500, 0, 0), second.Counts(table));
        Assert.Equal((3, 0, 3, 0, 0), second.Counts("users"));
        var third = await fixture.RunAsync();
        Assert.Equal((0, (3700L, 0L, 3700L, 0L, 0L)), (third.Exit, third.Counts("instances")));
        await using var read = catalog.Open();
        Assert.Equal(
            (3700, 3700, 3700),
            (await read.Files.CountAsync(), await read.Copies.CountAsync(), await read.RemoteCopies.CountAsync())
        );
        Assert.False((await read.Copies.SingleAsync(i => i.Id == 7)).Available);
        Assert.Equal("better", (await read.Users.SingleAsync(u => u.Username == "admin")).AuthToken);
    }

    [Fact]
    public async Task Adopt_StatisticsThatFailAfterTheCommit_StandsAllTheSame()
    {
        await using var fixture = await SmallAsync(DatabaseKind.PostgreSql, 10);
        var run = await fixture.RunAsync(
            new AdoptSeams(reached =>
            {
                if (reached != "after-commit")
                    return;
                using var connection = new NpgsqlConnection(fixture.Settings["Site:Database"]);
                connection.Open();
                // Evaluated again by ANALYZE, as an index on an expression is.
                using var command = new NpgsqlCommand(
                    """
                    create table broken (at int);
                    create function fragile(name text) returns text immutable language plpgsql as
                      'begin if exists (select from broken) then raise exception ''no statistics today''; end if; return name; end';
                    create index fragile on files (fragile(name));
                    insert into broken values (1);
                    """,
                    connection
                );
                command.ExecuteNonQuery();
            })
        );
        Assert.True(run.Exit == 0, run.Output + run.Errors);
        Assert.Empty(run.Refusals);
        Assert.Contains(run.Notes, n => n.Contains("no statistics today", StringComparison.Ordinal));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Adopt_KilledAnywhere_LeavesAllOrNothingAndTheNextRunEnds(DatabaseKind kind)
    {
        await using var fixture = await SmallAsync(kind, 1500);
        using var catalog = fixture.OpenCatalog();
        foreach (
            var point in new[]
            {
                "users 0",
                "files 0",
                "files 1000",
                "instances 1000",
                "remote_instances 0",
                "before-commit",
                "after-commit",
            }
        )
        {
            await Assert.ThrowsAsync<KilledException>(() =>
                fixture.RunAsync(
                    new AdoptSeams(reached =>
                    {
                        if (reached == point)
                            throw new KilledException();
                    })
                )
            );
            await using var db = catalog.Open();
            var expected = point == "after-commit" ? (1500, 1500, 1500, 1) : (0, 0, 0, 0);
            Assert.Equal(
                expected,
                (
                    await db.Files.CountAsync(),
                    await db.Copies.CountAsync(),
                    await db.RemoteCopies.CountAsync(),
                    await db.Stores.CountAsync()
                )
            );
        }

        var run = await fixture.RunAsync();
        Assert.Equal((0, (1500L, 0L, 1500L, 0L, 0L)), (run.Exit, run.Counts("files")));
        await using var read = catalog.Open();
        Assert.Equal((1500, 1500), (await read.Files.CountAsync(), await read.Copies.CountAsync()));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task AdoptCheck_WithAndWithoutACatalog_ReportsAndChangesNothing(DatabaseKind kind)
    {
        await using var fixture = await SmallAsync(kind, 10);
        var dry = await fixture.RunAsync("--check");
        Assert.True(dry.Exit == 0, dry.Output + dry.Errors);
        Assert.Equal((10, 10, 0, 0, 0), dry.Counts("instances"));
        Assert.False(Directory.Exists(fixture.Settings["Site:DataDirectory"]));
        Assert.False(Directory.Exists(Path.Combine(fixture.Store, ".librarian")));

        Assert.Equal(0, (await fixture.RunAsync()).Exit);
        await fixture.Source.AddFilesAsync(11, 5, fixture.Store);
        dry = await fixture.RunAsync("--check");
        Assert.Equal((0, (15L, 5L, 10L, 0L, 0L)), (dry.Exit, dry.Counts("files")));
        using var catalog = fixture.OpenCatalog();
        await using var db = catalog.Open();
        Assert.Equal(10, await db.Files.CountAsync());
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Adopt_IntoACatalogThatTheSiteHasOnlyBeenStartedOn_TakesOverTheIdsOfStores(DatabaseKind kind)
    {
        await using var fixture = await SmallAsync(kind, 10);
        fixture.Settings["Site:Stores:1:Name"] = fixture.Settings["Site:Stores:0:Name"];
        (fixture.Settings["Site:Stores:1:StagingPath"], fixture.Settings["Site:Stores:1:StorePath"]) = (
            fixture.Settings["Site:Stores:0:StagingPath"],
            fixture.Settings["Site:Stores:0:StorePath"]
        );
        // Made as 1, 2 and 3 by the first start; the source knows 'main' as 3.
        foreach (var (i, name) in new[] { (0, "new"), (2, "newer") })
        {
            fixture.Settings[$"Site:Stores:{i}:Name"] = name;
            fixture.Settings[$"Site:Stores:{i}:StagingPath"] = Path.Combine(fixture.Root, name, "staging");
            fixture.Settings[$"Site:Stores:{i}:StorePath"] = Path.Combine(fixture.Root, name, "store");
        }

        await using (await fixture.StartSiteAsync()) { }

        var run = await fixture.RunAsync();

        Assert.True(run.Exit == 0, run.Output + run.Errors);
        using var catalog = fixture.OpenCatalog();
        await using (var db = catalog.Open())
            Assert.Equal(
                [(1, "new"), (3, "main"), (4, "newer")],
                (await db.Stores.OrderBy(s => s.Id).ToListAsync()).Select(s => (s.Id, s.Name))
            );
        await using var site = await fixture.StartSiteAsync();
        // The administrator that the first start made stays; the others are the Python site's.
        Assert.Equal(
            [("users", "admin", "already_there")],
            fixture.Lines().Where(l => l.Kind == "users").Select(l => (l.Kind, l.Row, l.Effect))
        );
        var (_, list) = await site.PostAsync("admin/stores/list", null);
        Assert.All(list.EnumerateArray(), store => Assert.True(store.GetProperty("available").GetBoolean(), store.GetRawText()));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Adopt_OldRelease_TakesOverWhatItHas(DatabaseKind kind)
    {
        await using var fixture = await AdoptFixture.CreateAsync(kind, DatabaseKind.Sqlite, server, Revision.Initial);
        await fixture.Source.AddSiteAsync(AdoptFixture.Authenticator());
        await fixture.Source.AddFilesAsync(1, 10, fixture.Store);
        await fixture.Source.ExecuteAsync(
            """
            INSERT INTO outgoing_transfers (id, status, destination, transfer_size, transfer_checksum, start_time, instance_id,
                remote_transfer_id) VALUES
              (1, 'COMPLETED', 'archive', 1, 'c', '2025-01-01 00:00:00', 1, 5),
              (2, 'STAGED', 'archive', 1, 'c', '2025-01-01 00:00:00', 2, 6),
              (3, 'ONGOING', 'archive', 1, 'c', '2025-01-01 00:00:00', 3, 7);
            INSERT INTO incoming_transfers (id, status, uploader, upload_name, source, transfer_size, transfer_checksum, store_id,
                start_time) VALUES
              (1, 'COMPLETED', 'u', 'n', 's', 1, 'c', 3, '2025-01-01 00:00:00');
            """
        );
        var run = await fixture.RunAsync();
        Assert.True(run.Exit == 0, run.Output + run.Errors);
        Assert.Equal((0, 0, 0, 0, 0), run.Counts("corrupt_files"));
        using var catalog = fixture.OpenCatalog();
        await using var db = catalog.Open();
        Assert.True((await db.Peers.SingleAsync()).TransfersEnabled);
        Assert.True((await db.Stores.SingleAsync()).Enabled);
        Assert.Equal(
            [
                (1, "obs/0007919/1", TransferStatus.Completed, 1),
                (2, "obs/0015838/2", TransferStatus.Staged, 2),
                (3, "obs/0023757/3", TransferStatus.Failed, 3),
            ],
            (await db.OutgoingTransfers.OrderBy(t => t.Id).ToListAsync()).Select(t => ((int)t.Id, t.FileName, t.Status, (int?)t.CopyId))
        );
        Assert.Equal(-1, (await db.SendQueue.SingleAsync()).Id);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Adopt_NewRowsAfterwards_GetIdsAboveAllThatTheSourceHasGivenOut(DatabaseKind kind)
    {
        await using var fixture = await AdoptFixture.CreateAsync(DatabaseKind.PostgreSql, kind, server);
        await fixture.Source.AddSiteAsync(AdoptFixture.Authenticator());
        await fixture.Source.AddFilesAsync(1, 10, fixture.Store);
        // Transfers up to 900 were made, and their rows are gone; peers may still name them.
        await fixture.Source.ExecuteAsync(
            "SELECT setval('outgoing_transfers_id_seq', 900); SELECT setval('incoming_transfers_id_seq', 800)"
        );
        Assert.Equal(0, (await fixture.RunAsync()).Exit);
        using var catalog = fixture.OpenCatalog();
        await using var db = catalog.Open();
        var sent = new OutgoingTransfer
        {
            Status = TransferStatus.Failed,
            Destination = "d",
            TransferSize = 1,
            TransferChecksum = "c",
            StartTime = DateTime.UtcNow,
            FileName = "obs/0007919/1",
        };
        var arriving = new IncomingTransfer
        {
            Status = TransferStatus.Failed,
            Uploader = "u",
            UploadName = "n",
            Source = "s",
            TransferSize = 1,
            TransferChecksum = "c",
            StartTime = DateTime.UtcNow,
        };
        var copy = new FileCopy
        {
            FileName = "obs/0007919/1",
            StoreId = (await AddStoreAsync(db)).Id,
            Path = "/p",
            DeletionPolicy = DeletionPolicy.Disallowed,
            CreatedTime = DateTime.UtcNow,
            Available = true,
        };
        db.AddRange(sent, arriving, copy);
        await db.SaveChangesAsync();
        Assert.True(sent.Id is > 900 and < 910, $"{sent.Id}");
        Assert.True(arriving.Id is > 800 and < 810, $"{arriving.Id}");
        Assert.True(copy.Id is > 10 and < 20, $"{copy.Id}");
        Assert.True(copy.StoreId is > 3 and < 10, $"{copy.StoreId}");
    }

    [Fact]
    public async Task AdoptCheckDisk_CopiesThatAreMissingOrOfAnotherSize_AreNamed()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite, 6);
        void Write(string name, int bytes)
        {
            var path = Path.Combine(fixture.Store, name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllBytes(path, new byte[bytes]);
        }

        // Sizes are the numbers of the files. 1 is right, 2 is a directory with a link, 3 is too long, 4 is a wrong directory,
        // 5 is missing, 6 is away.
        Write("obs/0007919/1", 1);
        Write("obs/0015838/2/a", 1);
        File.CreateSymbolicLink(Path.Combine(fixture.Store, "obs/0015838/2/b"), Path.Combine(fixture.Store, "obs/0007919/1"));
        Directory.CreateSymbolicLink(Path.Combine(fixture.Store, "obs/0015838/2/c"), fixture.Store);
        Write("obs/0023757/3", 4);
        Write("obs/0031676/4/a", 1);
        await fixture.Source.ExecuteAsync("UPDATE instances SET available = false WHERE id = 6");
        var run = await fixture.RunAsync("--check-disk");
        Assert.Equal(0, run.Exit);
        Assert.Equal(
            [
                $"3 {fixture.Store}/obs/0023757/3: on the disk it has another size than in the catalog",
                $"4 {fixture.Store}/obs/0031676/4: on the disk it has another size than in the catalog",
                $"5 {fixture.Store}/obs/0039595/5: it is said to be available, but is not on the disk",
            ],
            fixture.Lines().Where(l => l.Kind == "instances").Select(l => $"{l.Row}: {l.Reason}")
        );
    }

    [Fact]
    public async Task AdoptOnSqlite_FourTimesTheFiles_CostsFourTimesTheSteps()
    {
        var small = await StepsAsync(5_000);
        var large = await StepsAsync(20_000);
        // Steps of SQLite's machine: any scan of a table per chunk, or per row, would make them grow with the square.
        Assert.True(large < small * 4.6, $"{small} thousand steps for 5 000 files, {large} for 20 000");
    }

    [Fact]
    public async Task AdoptOnPostgres_TwentyThousandFiles_TakeFewStatementsPerThousandRows()
    {
        await using var fixture = await SmallAsync(DatabaseKind.PostgreSql, 20_000);
        var statements = 0;
        var name = new NpgsqlConnectionStringBuilder(fixture.Settings["Site:Database"]).Database;
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "Npgsql",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = activity =>
            {
                if (activity.TagObjects.Any(t => t.Key is "db.name" or "db.namespace" && t.Value is string database && database == name))
                    Interlocked.Increment(ref statements);
            },
        };
        ActivitySource.AddActivityListener(listener);
        var run = await fixture.RunAsync();
        Assert.True(run.Exit == 0, run.Errors);
        Assert.Equal(20_000, run.Counts("files").Adopted);
        // 60 chunks of a thousand rows: two looks, a COPY and a reading back each, and up to two more looks at what a row refers to.
        Assert.InRange(statements, 60 * 2, (60 * 6) + 200);
    }

    [Fact]
    public async Task Adopt_ForPeople_PrintsCountsReasonsAndTheResult()
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite, 10);
        await fixture.Source.ExecuteAsync(
            "INSERT INTO files (name, create_time, size, checksum, uploader, source) "
                + "VALUES ('/absolute', '2025-01-01 00:00:00', 1, 'c', 'u', 's')"
        );
        await using var output = new StringWriter();
        await using var errors = new StringWriter();
        var exit = await AdoptCommand.RunAsync(
            ["adopt", "--from", fixture.Source.ConnectionString, "--report", Path.Combine(fixture.Root, "r.jsonl")],
            fixture.ReadOptions,
            output,
            errors,
            TimeProvider.System
        );
        var text = output.ToString();
        Assert.Equal((3, ""), (exit, errors.ToString()));
        Assert.Matches(@"(?m)^files +11 +10 +0 +0 +1 +0 +0 +10 +([0-9a-f]{12}) +\1 +ok *$", text);
        Assert.Contains(
            "files: 1 skipped: The path is absolute. Give a path relative to the store, without a leading slash.",
            text,
            StringComparison.Ordinal
        );
        Assert.Contains("FILES ARE LEFT OUT", text, StringComparison.Ordinal);
    }

    private async Task<long> StepsAsync(int files)
    {
        await using var fixture = await SmallAsync(DatabaseKind.Sqlite, files);
        var thousands = 0L;
        var run = await fixture.RunAsync(
            new AdoptSeams(Opened: connection =>
                SQLitePCL.raw.sqlite3_progress_handler(
                    ((SqliteConnection)connection).Handle,
                    1000,
                    _ =>
                    {
                        thousands++;
                        return 0;
                    },
                    null
                )
            )
        );
        Assert.Equal((0, files), (run.Exit, run.Counts("instances").Adopted));
        Assert.True(thousands > 100, $"{thousands}");
        return thousands;
    }

    private async Task<AdoptFixture> SmallAsync(DatabaseKind kind, int files)
    {
        var fixture = await AdoptFixture.CreateAsync(kind, kind, server);
        await fixture.Source.AddSiteAsync(AdoptFixture.Authenticator());
        await fixture.Source.AddFilesAsync(1, files, fixture.Store);
        return fixture;
    }

    private static async Task<StoreRecord> AddStoreAsync(CatalogContext db)
    {
        var store = new StoreRecord
        {
            Name = "another",
            Ingestable = true,
            Enabled = true,
        };
        db.Stores.Add(store);
        await db.SaveChangesAsync();
        return store;
    }

    private sealed class KilledException : Exception;
}
