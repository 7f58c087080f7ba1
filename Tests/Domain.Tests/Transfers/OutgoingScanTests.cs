using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Transfers;
using Librarian.Tests.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Domain.Transfers;

/// <summary>What a look for files to send reads.</summary>
public class OutgoingScanTests(PostgresServer server)
{
    private const int Files = 3000;
    private static readonly PeerOptions Archive = new()
    {
        Name = "archive",
        Send = true,
        BatchSize = 10,
    };
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 3, 1, 0, 0, 0, TimeSpan.Zero));

    private DateTime Now => _time.GetUtcNow().UtcDateTime;

    [Fact]
    public async Task Look_AgainAtManySyncedFiles_ReadsNoneOfThem()
    {
        using var catalog = await CreateAsync(DatabaseKind.PostgreSql);
        var outgoing = new OutgoingTransfers(_time);
        await using var db = catalog.Database.Open();
        await db.Database.OpenConnectionAsync();
        await db.Database.ExecuteSqlAsync($"analyze");
        Assert.Null(await ScanAsync(db, outgoing));
        var before = await ReadAsync(db);
        Assert.Null(await ScanAsync(db, outgoing));
        // The tables of one row are read whole.
        Assert.InRange(await ReadAsync(db) - before, 0, 100);
        await AddAsync(db, "new", Now);
        before = await ReadAsync(db);
        Assert.Equal(1, (await ScanAsync(db, outgoing))!.Files);
        Assert.InRange(await ReadAsync(db) - before, 0, 100);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Look_AtWhatCameBehindIt_FindsIt(DatabaseKind kind)
    {
        using var catalog = await CreateAsync(kind);
        var outgoing = new OutgoingTransfers(_time);
        await using var db = catalog.Database.Open();
        Assert.Null(await ScanAsync(db, outgoing));
        // A drive or an administrator brings a file that was made long ago.
        await AddAsync(db, "old", Now - TimeSpan.FromDays(300));
        Assert.Equal(["old"], await SentAsync(db, outgoing));
        Assert.Empty(await SentAsync(db, outgoing));
        // It fails and rests; a file that has come meanwhile does not leave it behind.
        var failed = await db.OutgoingTransfers.Where(t => t.FileName == "old").Select(t => t.Id).ToListAsync();
        await outgoing.FailAsync(db, failed, "it broke", default);
        await AddAsync(db, "new", Now);
        Assert.Equal(["new"], await SentAsync(db, outgoing));
        _time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(["old"], await SentAsync(db, outgoing));
        // A remote copy is forgotten.
        await db.RemoteCopies.Where(r => r.FileName == "f/7").ExecuteDeleteAsync();
        _time.Advance(OutgoingTransfers.FullScanInterval);
        Assert.Equal(["f/7"], await SentAsync(db, outgoing));
        // The peer is removed and comes back empty.
        await db.RemoteCopies.ExecuteDeleteAsync();
        await db.Peers.ExecuteDeleteAsync();
        AddArchive(db);
        await db.SaveChangesAsync();
        Assert.Equal(10, (await SentAsync(db, outgoing)).Count);
    }

    private Task<SendBatch?> ScanAsync(CatalogContext db, OutgoingTransfers outgoing) =>
        outgoing.CreateBatchAsync(db, Archive, id => $"batch-{id}", default);

    private async Task<List<string>> SentAsync(CatalogContext db, OutgoingTransfers outgoing) =>
        await ScanAsync(db, outgoing) is { QueueId: var queue }
            ? await db.OutgoingTransfers.Where(t => t.SendQueueId == queue).Select(t => t.FileName).ToListAsync()
            : [];

    /// <summary>Rows and index entries that were read so far.</summary>
    private static async Task<long> ReadAsync(CatalogContext db)
    {
        await db.Database.ExecuteSqlAsync($"select pg_stat_force_next_flush()");
        return (
            await db
                .Database.SqlQuery<long>(
                    $"""
                    select (sum(coalesce(seq_tup_read, 0)) + (select sum(idx_tup_read) from pg_stat_user_indexes))::bigint as "Value"
                    from pg_stat_user_tables
                    """
                )
                .ToListAsync()
        )[0];
    }

    private async Task<TestCatalog> CreateAsync(DatabaseKind kind)
    {
        var catalog = await Databases.CreateAsync(kind, server);
        await using var db = catalog.Database.Open();
        AddArchive(db);
        db.Stores.Add(
            new StoreRecord
            {
                Name = "main",
                Ingestable = true,
                Enabled = true,
            }
        );
        await db.SaveChangesAsync();
        for (var i = 0; i < Files; i++)
            Add(db, $"f/{i}", Now - TimeSpan.FromDays(100) + TimeSpan.FromMinutes(i));
        await db.SaveChangesAsync();
        var archive = await db.Peers.Select(l => l.Id).SingleAsync();
        db.RemoteCopies.AddRange(
            Enumerable
                .Range(0, Files)
                .Select(i => new RemoteCopy
                {
                    FileName = $"f/{i}",
                    StoreId = 1,
                    PeerId = archive,
                    CopyTime = Now,
                    Sender = "here",
                })
        );
        await db.SaveChangesAsync();
        return catalog;
    }

    private static void AddArchive(CatalogContext db) =>
        db.Peers.Add(
            new Peer
            {
                Name = "archive",
                Url = "http://archive",
                Port = 80,
                Authenticator = "x",
                TransfersEnabled = true,
                LastSeen = DateTime.UnixEpoch,
                LastHeard = DateTime.UnixEpoch,
            }
        );

    private static async Task AddAsync(CatalogContext db, string name, DateTime made)
    {
        Add(db, name, made);
        await db.SaveChangesAsync();
    }

    private static void Add(CatalogContext db, string name, DateTime made)
    {
        db.Files.Add(
            new FileRecord
            {
                Name = name,
                CreateTime = made,
                Size = 1,
                Checksum = "xxh3:::00",
                Uploader = "u",
                Source = "s",
            }
        );
        db.Copies.Add(
            new FileCopy
            {
                Path = "/store/" + name,
                FileName = name,
                StoreId = 1,
                DeletionPolicy = DeletionPolicy.Disallowed,
                CreatedTime = made,
                Available = true,
            }
        );
    }
}
