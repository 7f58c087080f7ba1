using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Domain.Catalog;

[Quick]
public class SqliteWriteLockTests(PostgresServer server)
{
    [Fact]
    public async Task Turn_HeldByAnother_HoldsUpWritersAndNoReader()
    {
        using var catalog = await Databases.CreateAsync(DatabaseKind.Sqlite, server);
        var turn = catalog.Database.SqliteWriteSemaphore!;
        await turn.WaitAsync();
        await using var reading = catalog.Database.Open();
        Assert.Equal(0, await reading.Files.CountAsync());
        await using var inserting = catalog.Database.Open();
        inserting.Stores.Add(
            new StoreRecord
            {
                Name = "s",
                Enabled = true,
                Ingestable = true,
            }
        );
        var insert = inserting.SaveChangesAsync();
        await using var updating = catalog.Database.Open();
        var update = updating.Stores.ExecuteUpdateAsync(s => s.SetProperty(r => r.Enabled, false));
        await using var beginning = catalog.Database.Open();
        var begin = beginning.Database.BeginTransactionAsync();
        Assert.False(insert.IsCompleted);
        Assert.False(update.IsCompleted);
        Assert.False(begin.IsCompleted);
        turn.Release();
        await Task.WhenAll(insert, update);
        await (await begin).DisposeAsync();
        Assert.Equal(1, turn.CurrentCount);
    }

    [Fact]
    public async Task Turn_AfterATransactionHoweverItEnds_IsFree()
    {
        using var catalog = await Databases.CreateAsync(DatabaseKind.Sqlite, server);
        var turn = catalog.Database.SqliteWriteSemaphore!;
        await using var db = catalog.Database.Open();
        await using (var committed = await db.Database.BeginTransactionAsync())
        {
            Assert.Equal(0, turn.CurrentCount);
            db.Stores.Add(
                new StoreRecord
                {
                    Name = "s",
                    Enabled = true,
                    Ingestable = true,
                }
            );
            await db.SaveChangesAsync();
            Assert.Equal(0, turn.CurrentCount);
            await committed.CommitAsync();
            // Not only when it is disposed: what follows in the same method may write through another unit of work.
            Assert.Equal(1, turn.CurrentCount);
        }

        await using (var undone = await db.Database.BeginTransactionAsync())
        {
            await undone.RollbackAsync();
            Assert.Equal(1, turn.CurrentCount);
        }

        await (await db.Database.BeginTransactionAsync()).DisposeAsync();
        Assert.Equal(1, turn.CurrentCount);
        using (db.Database.BeginTransaction())
            Assert.Equal(0, turn.CurrentCount);
        Assert.Equal(1, turn.CurrentCount);
    }

    [Fact]
    public async Task Turn_AfterAStatementThatFails_IsFree()
    {
        using var catalog = await Databases.CreateAsync(DatabaseKind.Sqlite, server);
        var turn = catalog.Database.SqliteWriteSemaphore!;
        await using var db = catalog.Database.Open();
        await Assert.ThrowsAnyAsync<Exception>(() => db.Database.ExecuteSqlAsync($"insert into nowhere values (1)"));
        Assert.Equal(1, turn.CurrentCount);
        db.Stores.Add(
            new StoreRecord
            {
                Name = "s",
                Enabled = true,
                Ingestable = true,
            }
        );
        await db.SaveChangesAsync();
        await using var twin = catalog.Database.Open();
        twin.Stores.Add(
            new StoreRecord
            {
                Name = "s",
                Enabled = true,
                Ingestable = true,
            }
        );
        Assert.True(CatalogDatabase.IsUniqueViolation(await Assert.ThrowsAnyAsync<Exception>(() => twin.SaveChangesAsync())));
        Assert.Equal(1, turn.CurrentCount);
        using var stop = new CancellationTokenSource();
        await turn.WaitAsync();
        var waiting = db.Stores.ExecuteDeleteAsync(stop.Token);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        turn.Release();
        Assert.Equal(1, turn.CurrentCount);
    }
}
