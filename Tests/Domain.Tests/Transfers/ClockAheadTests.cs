using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Transfers;
using Librarian.Tests.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Time.Testing;

namespace Librarian.Tests.Domain.Transfers;

/// <summary>What was noted while the clock was ahead does not hold anything up when it is right again.</summary>
public class ClockAheadTests(PostgresServer server)
{
    private static readonly DateTimeOffset Right = new(2026, 3, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly PeerOptions Archive = new()
    {
        Name = "archive",
        Send = true,
        BatchSize = 10,
    };
    private readonly FakeTimeProvider _ahead = new(Right.AddYears(1));

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Pause_NotedAYearAhead_IsOver(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        await using var db = catalog.Database.Open();
        await FillAsync(db);
        var outgoing = new OutgoingTransfers(_ahead);
        Assert.NotNull(await CreateAsync(db, outgoing));
        var transfer = await db.OutgoingTransfers.Select(t => t.Id).SingleAsync();
        await outgoing.FailAsync(db, [transfer], "it broke", default);
        Assert.Null(await CreateAsync(db, outgoing));

        Assert.Equal(1, (await CreateAsync(db, new OutgoingTransfers(new FakeTimeProvider(Right))))!.Files);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task LookAtAll_PlannedAYearAhead_IsNotWaitedFor(DatabaseKind kind)
    {
        using var catalog = await Databases.CreateAsync(kind, server);
        await using var db = catalog.Database.Open();
        await FillAsync(db);
        db.RemoteCopies.Add(
            new RemoteCopy
            {
                FileName = "f",
                PeerId = 1,
                StoreId = 1,
                CopyTime = Right.UtcDateTime,
                Sender = "mountain",
            }
        );
        await db.SaveChangesAsync();
        var clock = new SettableClock { Now = Right.AddYears(1) };
        var outgoing = new OutgoingTransfers(clock);
        Assert.Null(await CreateAsync(db, outgoing));

        clock.Now = Right;
        await db.RemoteCopies.ExecuteDeleteAsync();

        Assert.Equal(1, (await CreateAsync(db, outgoing))!.Files);
    }

    [Fact]
    public void VerifiedCredential_ClockSetBack_IsRememberedNoLonger()
    {
        var clock = new SettableClock { Now = Right.AddYears(1) };
        var cache = new VerifiedCredentialCache(clock, new VerifiedCredentialCacheOptions { Lifetime = TimeSpan.FromMinutes(1) });
        cache.Remember("u", "p", "h", AuthLevel.Admin);
        clock.Now = Right;
        Assert.True(cache.IsVerified("u", "p", "h", AuthLevel.Admin));

        clock.Passed = TimeSpan.FromMinutes(1);

        Assert.False(cache.IsVerified("u", "p", "h", AuthLevel.Admin));
    }

    private static Task<SendBatch?> CreateAsync(CatalogContext db, OutgoingTransfers outgoing) =>
        outgoing.CreateBatchAsync(db, Archive, id => $"batch-{id}", default);

    private static async Task FillAsync(CatalogContext db)
    {
        db.Peers.Add(
            new Peer
            {
                Name = "archive",
                Url = "http://127.0.0.1",
                Port = 1,
                Authenticator = "x",
                TransfersEnabled = true,
                LastSeen = DateTime.UnixEpoch,
                LastHeard = DateTime.UnixEpoch,
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
        db.Files.Add(
            new FileRecord
            {
                Name = "f",
                CreateTime = Right.UtcDateTime.AddDays(-1),
                Size = 1,
                Checksum = "xxh3:::00",
                Uploader = "u",
                Source = "u",
            }
        );
        db.Copies.Add(
            new FileCopy
            {
                Path = "f",
                FileName = "f",
                StoreId = 1,
                DeletionPolicy = DeletionPolicy.Disallowed,
                CreatedTime = DateTime.UnixEpoch,
                Available = true,
            }
        );
        await db.SaveChangesAsync();
    }

    private sealed class SettableClock : TimeProvider
    {
        public required DateTimeOffset Now { get; set; }

        public TimeSpan Passed { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override DateTimeOffset GetUtcNow() => Now;

        public override long GetTimestamp() => Passed.Ticks;
    }
}
