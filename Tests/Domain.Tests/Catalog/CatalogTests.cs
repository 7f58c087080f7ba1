using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Domain.Catalog;

public class CatalogTests(PostgresServer server)
{
    private static readonly DateTime Now = new(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc);

    private static FileRecord NewFile(string name) =>
        new()
        {
            Name = name,
            CreateTime = Now,
            Size = 1,
            Checksum = "xxh3:::00",
            Uploader = "u",
            Source = "s",
        };

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Migrate_Twice_IsHarmlessAndMatchesTheModel(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        await catalog.Database.MigrateAsync(default);
        await using var db = catalog.Database.Open();
        Assert.Empty(await db.Database.GetPendingMigrationsAsync());
        Assert.False(db.Database.HasPendingModelChanges());
    }

    [Theory, InlineData("LATIN1"), InlineData("SQL_ASCII")]
    public async Task Migrate_DatabaseThatIsNotUtf8_IsRefusedAndChangesNothing(string encoding)
    {
        using var database = new CatalogDatabase(await server.CreateDatabaseAsync(encoding, TestContext.Current.CancellationToken));
        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => database.MigrateAsync(default));
        Assert.Contains(encoding, refusal.Message, StringComparison.Ordinal);
        Assert.Contains("ENCODING 'UTF8' TEMPLATE template0", refusal.Message, StringComparison.Ordinal);
        await using var db = database.Open();
        Assert.Equal(
            [0],
            await db
                .Database.SqlQuery<int>($"""select count(*)::int as "Value" from information_schema.tables where table_schema = 'public'""")
                .ToListAsync()
        );
    }

    [Fact]
    public async Task Migrate_StatementThatTakesLongerThanTheDriverWaits_IsWaitedFor()
    {
        var connection = await server.CreateDatabaseAsync(TestContext.Current.CancellationToken);
        using var database = new CatalogDatabase(connection);
        await using var other = database.Open();
        // A table of the same name that exists for ten seconds takes the place of an index over ten million rows. The
        // driver waits long enough for a machine that stalls to answer the questions that come before.
        await using var held = await other.Database.BeginTransactionAsync();
        await other.Database.ExecuteSqlAsync($"create table files (id int)");
        using var impatient = new CatalogDatabase(connection + ";Command Timeout=8");
        var migration = impatient.MigrateAsync(default);
        await other.Database.ExecuteSqlAsync($"select pg_sleep(10)");
        Assert.False(migration.IsCompleted);
        await held.RollbackAsync();
        await migration;
        Assert.Empty(await other.Database.GetPendingMigrationsAsync());
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Save_InstanceOfUnknownFile_IsRefusedByTheForeignKey(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        await using var db = catalog.Database.Open();
        db.Stores.Add(
            new StoreRecord
            {
                Name = "main",
                Ingestable = true,
                Enabled = true,
            }
        );
        await db.SaveChangesAsync();
        db.Copies.Add(
            new FileCopy
            {
                Path = "/x",
                FileName = "missing",
                StoreId = 1,
                DeletionPolicy = DeletionPolicy.Disallowed,
                CreatedTime = Now,
                Available = true,
            }
        );
        await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync());
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Save_SecondFileOfOneName_IsAUniqueViolation(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        await using (var db = catalog.Database.Open())
        {
            db.Files.Add(NewFile("a"));
            await db.SaveChangesAsync();
        }

        await using var second = catalog.Database.Open();
        second.Files.Add(NewFile("a"));
        Assert.True(CatalogDatabase.IsUniqueViolation(await Assert.ThrowsAsync<DbUpdateException>(() => second.SaveChangesAsync())));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task InsertRows_OfEveryType_AreReadAsTheTrackersAre(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        await using var db = catalog.Database.Open();
        db.Stores.Add(
            new StoreRecord
            {
                Name = "drive",
                Ingestable = false,
                Enabled = true,
            }
        );
        db.Stores.Add(
            new StoreRecord
            {
                Name = "main",
                Ingestable = true,
                Enabled = true,
            }
        );
        await db.SaveChangesAsync();
        db.Drives.Add(
            new Drive
            {
                DriveId = Guid.NewGuid(),
                Name = "d",
                Destination = "far",
                MountPath = "/m",
                StoreId = 1,
                State = DriveState.Filling,
                StateSince = Now,
                FullFraction = 1,
                Trip = 1,
            }
        );
        await db.SaveChangesAsync();
        var (fraction, id) = (Now.AddTicks(12_345_678), Guid.NewGuid());
        string[] names = ["plain", "é 日本 \"quoted\" \\ 'x' {0} 😀", "17", "null"];
        DriveContent Content(string name, bool bulk) =>
            new()
            {
                DriveRow = 1,
                FileName = name,
                Destination = bulk ? "bulk" : "one",
                State = DriveContentState.Copying,
                AdditionId = id,
                Size = long.MaxValue,
                RetryAfter = name == "null" ? null : fraction,
                Failures = 3,
            };
        FileCopy Copy(string name, bool bulk) =>
            new()
            {
                Path = $"{(bulk ? "bulk" : "one")}/{name}",
                FileName = name,
                StoreId = bulk ? 2 : 1,
                DeletionPolicy = DeletionPolicy.Allowed,
                CreatedTime = fraction,
                Available = bulk,
            };
        await db.InsertRowsAsync(names.Select(NewFile), default);
        db.DriveContents.AddRange(names.Select(n => Content(n, false)));
        db.Copies.AddRange(names.Select(n => Copy(n, false)));
        await db.SaveChangesAsync();
        await db.InsertRowsAsync(names.Select(n => Content(n, true)), default);
        await db.InsertRowsAsync(names.Select(n => Copy(n, true)), default);
        await db.InsertRowsAsync(Enumerable.Range(0, 2500).Select(i => NewFile($"many/{i}")), default);

        // As the database compares them, so that a differently written time or id is seen.
        Assert.Equal(
            names.Length,
            await db.DriveContents.CountAsync(c =>
                c.Destination == "bulk"
                && db.DriveContents.Any(o =>
                    o.Destination == "one"
                    && o.FileName == c.FileName
                    && o.State == c.State
                    && o.AdditionId == c.AdditionId
                    && o.Size == c.Size
                    && (o.RetryAfter == c.RetryAfter || (o.RetryAfter == null && c.RetryAfter == null))
                    && o.Failures == c.Failures
                    && o.Members == c.Members
                    && o.Sha256 == null
                    && c.Sha256 == null
                )
            )
        );
        Assert.Equal(
            names.Length,
            await db.Copies.CountAsync(i =>
                i.Available
                && i.Path == "bulk/" + i.FileName
                && db.Copies.Any(o =>
                    !o.Available
                    && o.FileName == i.FileName
                    && o.CreatedTime == i.CreatedTime
                    && o.DeletionPolicy == i.DeletionPolicy
                    && i.StoreId == 2
                )
            )
        );
        Assert.Equal(
            names.Order(StringComparer.Ordinal),
            (await db.Files.Where(f => !f.Name.StartsWith("many/")).Select(f => f.Name).ToListAsync()).Order(StringComparer.Ordinal)
        );
        Assert.Equal(2500, await db.Files.CountAsync(f => f.Name.StartsWith("many/") && f.CreateTime == Now));
        // Refused as the tracker's would be, not cut. SQLite knows no lengths.
        if (kind == DatabaseKind.PostgreSql)
            await Assert.ThrowsAsync<Npgsql.PostgresException>(() => db.InsertRowsAsync([NewFile(new string('x', 5000))], default));
        var again = await Assert.ThrowsAnyAsync<Exception>(() => db.InsertRowsAsync([NewFile("new"), NewFile("plain")], default));
        Assert.True(CatalogDatabase.IsUniqueViolation(again));
        Assert.False(await db.Files.AnyAsync(f => f.Name == "new"));
    }

    // Npgsql's automatic preparation breaks connections in this pattern (npgsql#6391); it must stay off here.
    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Statement_ThatFailedAgainAndAgain_WorksWithGoodValues(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        await using (var db = catalog.Database.Open())
        {
            db.Files.Add(NewFile("taken"));
            await db.SaveChangesAsync();
        }

        var random = new Random(1);
        for (var i = 0; i < 100; i++)
        {
            await using var db = catalog.Database.Open();
            await using var transaction = random.Next(2) == 0 ? await db.Database.BeginTransactionAsync() : null;
            if (random.Next(3) > 0)
            {
                var name = $"n{i}";
                Assert.False(await db.Files.AnyAsync(f => f.Name == name));
                db.Files.Add(NewFile(name));
                await db.SaveChangesAsync();
                Assert.True(await db.Files.AnyAsync(f => f.Name == name));
                if (transaction is not null)
                    await transaction.CommitAsync();
            }
            else
            {
                db.Files.Add(NewFile("taken"));
                await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync());
            }
        }
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Save_TwoTransfersPlacingOneName_OnlyOneMay(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        await using var db = catalog.Database.Open();
        db.IncomingTransfers.AddRange(Incoming(committing: true), Incoming(committing: false), Incoming(committing: false));
        await db.SaveChangesAsync();
        db.IncomingTransfers.Add(Incoming(committing: true));
        Assert.True(CatalogDatabase.IsUniqueViolation(await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync())));

        static IncomingTransfer Incoming(bool committing) =>
            new()
            {
                Status = TransferStatus.Staged,
                Uploader = "u",
                UploadName = "n",
                Source = "s",
                TransferSize = 1,
                TransferChecksum = "c",
                StartTime = Now,
                FileName = "same/name",
                Committing = committing,
            };
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Save_TwoTransfersOfOneFileInFlight_OnlyOneMay(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        await using var db = catalog.Database.Open();
        db.Files.Add(NewFile("a"));
        db.OutgoingTransfers.AddRange(
            Outgoing(TransferStatus.Failed),
            Outgoing(TransferStatus.Ongoing),
            Outgoing(TransferStatus.Completed)
        );
        await db.SaveChangesAsync();
        db.OutgoingTransfers.Add(Outgoing(TransferStatus.Initiated));
        Assert.True(CatalogDatabase.IsUniqueViolation(await Assert.ThrowsAsync<DbUpdateException>(() => db.SaveChangesAsync())));

        static OutgoingTransfer Outgoing(TransferStatus status) =>
            new()
            {
                Status = status,
                Destination = "archive",
                TransferSize = 1,
                TransferChecksum = "c",
                StartTime = Now,
                FileName = "a",
            };
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Read_Times_AreUtcAndKeepMicroseconds(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        var time = Now.AddMicroseconds(123456);
        await using (var db = catalog.Database.Open())
        {
            db.Files.Add(
                new FileRecord
                {
                    Name = "a",
                    CreateTime = time,
                    Size = 1,
                    Checksum = "c",
                    Uploader = "u",
                    Source = "s",
                }
            );
            await db.SaveChangesAsync();
        }

        await using var read = catalog.Database.Open();
        var stored = (await read.Files.SingleAsync()).CreateTime;
        Assert.Equal(DateTimeKind.Utc, stored.Kind);
        Assert.Equal(time, stored);
    }
}
