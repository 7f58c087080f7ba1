using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteGroupedIngestTests(PostgresServer server) : GroupedIngestTests(server, DatabaseKind.Sqlite);

public sealed class PostgresGroupedIngestTests(PostgresServer server) : GroupedIngestTests(server, DatabaseKind.PostgreSql);

/// <summary>What comes at the same time shares statements and transactions, and yet each file is judged by itself.</summary>
public abstract class GroupedIngestTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private static readonly Caller Client = new("uploader", AuthLevel.ReadAppend);
    private TestSite _site = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private IncomingTransfers Incoming => _site.Services.GetRequiredService<IncomingTransfers>();

    public async ValueTask InitializeAsync() =>
        _site = await TestSite.CreateAsync(
            kind,
            server,
            settings: new Dictionary<string, string> { ["Site:MaximalUploadSizeBytes"] = $"{long.MaxValue}" }
        );

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task StageUpload_ManyAtOnce_TakesFewStatementsAndGivesEachItsOwnPlace()
    {
        await StageAsync(["warm"]);
        _site.Statements.Reset();
        await StageAsync(["alone"]);
        var alone = _site.Statements.Count;
        _site.Statements.Reset();
        var accepted = await StageAsync([.. Enumerable.Range(0, 60).Select(i => $"a/{i}")]);
        // The first goes alone; all who come meanwhile are the second group. On PostgreSQL they may be three or four.
        Assert.InRange(_site.Statements.Count, 1, 6 * alone);
        var places = accepted.Select(a => Assert.Single(Assert.IsType<StageResult.Accepted>(a).Slots)).ToList();
        Assert.Equal(Enumerable.Range(0, 60).Select(i => $"a/{i}"), places.Select(p => p.Destination.Value));
        Assert.Equal(60, places.DistinctBy(p => p.StagingName).Count());
        Assert.All(places, p => Assert.True(Directory.Exists(Path.Combine(_site.StagingPath, p.StagingName))));
        await using var db = _site.Catalog.Open();
        var rows = await db.IncomingTransfers.ToDictionaryAsync(t => t.Id, Stop);
        Assert.Equal(62, rows.Count);
        Assert.All(places, p =>
            Assert.Equal(
                (p.Destination.Value, p.StagingName, TransferStatus.Initiated, "uploader"),
                (rows[p.TransferId].FileName!, rows[p.TransferId].StagingPath!, rows[p.TransferId].Status, rows[p.TransferId].Source)
            )
        );
    }

    [Fact]
    public async Task StageUpload_MoreAtOnceThanThereIsRoomFor_AcceptsWhatFits()
    {
        var first = Assert.IsType<StageResult.Accepted>(Assert.Single(await StageAsync(["first"])));
        // Each would fit, two do not.
        var large = first.FreeBytes / 5 * 3;
        var results = await Task.WhenAll(Enumerable.Range(0, 12).Select(i => StageAsync($"b/{i}", i % 3 == 0 ? large : 11)));
        Assert.Equal(1, results.Where((_, i) => i % 3 == 0).Count(r => r is StageResult.Accepted));
        Assert.All(results.Where((r, i) => i % 3 == 0 && r is not StageResult.Accepted), r =>
            Assert.Equal(StageRefusal.NoStore, Assert.IsType<StageResult.Refused>(r).Why)
        );
        Assert.All(results.Where((_, i) => i % 3 != 0), r => Assert.IsType<StageResult.Accepted>(r));
        await using var db = _site.Catalog.Open();
        Assert.Equal(3, await db.IncomingTransfers.CountAsync(t => t.Status == TransferStatus.Failed, Stop));
        Assert.Equal(10, Directory.EnumerateDirectories(_site.StagingPath).Count());
    }

    [Fact]
    public async Task StageUpload_OneNameManyTimesAtOnce_KeepsTheLast()
    {
        var accepted = await StageAsync([.. Enumerable.Range(0, 9).Select(_ => "same"), "other"]);
        Assert.All(accepted, a => Assert.IsType<StageResult.Accepted>(a));
        await using var db = _site.Catalog.Open();
        Assert.Equal(
            ["other", "same"],
            await db.IncomingTransfers.Where(t => t.Status == TransferStatus.Initiated).Select(t => t.FileName).Order().ToListAsync(Stop)
        );
        Assert.Equal(2, Directory.EnumerateDirectories(_site.StagingPath).Count());
    }

    [Fact]
    public async Task Ingest_ManyAtOnce_TakesFewStatementsPerFile()
    {
        await IngestAsync(await FilledAsync(["warm"]));
        var one = await FilledAsync(["alone"]);
        _site.Statements.Reset();
        await IngestAsync(one);
        var alone = _site.Statements.Count;
        var many = await FilledAsync([.. Enumerable.Range(0, 64).Select(i => $"c/{i}")]);
        _site.Statements.Reset();
        Assert.All(await IngestAsync(many), r => Assert.Equal(IngestOutcome.Ingested, r.Outcome));
        // Seen: a tenth and less. How many meet in a group is up to the threads; half would mean that hardly any do.
        Assert.InRange(_site.Statements.Count, 1, 32 * alone);
        await using var db = _site.Catalog.Open();
        Assert.Equal(66, await db.Files.CountAsync(Stop));
        Assert.Equal(
            66,
            await db.Copies.CountAsync(i => i.Available && i.FileName == i.Path.Substring(i.Path.Length - i.FileName.Length), Stop)
        );
        Assert.Empty(Directory.EnumerateFileSystemEntries(_site.StagingPath));
    }

    [Fact]
    public async Task Ingest_GroupWithBadOnes_StoresTheOthers()
    {
        string[] names = ["d/0", "d/1", "d/1/inside", "d/2", "d/3", "d/4", "taken"];
        var ids = await FilledAsync(names);
        await using (var db = _site.Catalog.Open())
        {
            db.Files.Add(
                new FileRecord
                {
                    Name = "taken",
                    CreateTime = DateTime.UtcNow,
                    Size = 1,
                    Checksum = HelloSum,
                    Uploader = "u",
                    Source = "s",
                }
            );
            await db.SaveChangesAsync(Stop);
            var staging = await db.IncomingTransfers.ToDictionaryAsync(
                t => t.FileName!,
                t => Path.Combine(_site.StagingPath, t.StagingPath!),
                Stop
            );
            await File.WriteAllTextAsync(Path.Combine(staging["d/2"], "2"), "hello wOrld", Stop);
            File.Delete(Path.Combine(staging["d/3"], "3"));
        }

        var results = (await IngestAsync(ids)).Zip(names).ToDictionary(r => r.Second, r => r.First.Outcome);
        Assert.Equal(
            [IngestOutcome.Ingested, IngestOutcome.Mismatch, IngestOutcome.Missing, IngestOutcome.Ingested, IngestOutcome.NameTaken],
            new[] { results["d/0"], results["d/2"], results["d/3"], results["d/4"], results["taken"] }
        );
        // A name inside another: whichever came first is stored, never both.
        Assert.Equal([IngestOutcome.Ingested, IngestOutcome.NameTaken], new[] { results["d/1"], results["d/1/inside"] }.Order());
        await using var after = _site.Catalog.Open();
        Assert.Equal(4, await after.Files.CountAsync(Stop));
        Assert.Equal(3, await after.Copies.CountAsync(Stop));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_site.StagingPath));
    }

    private Task<StageResult> StageAsync(string name, long size) =>
        Incoming.StageUploadAsync(
            new DeclaredTransfer(size, HelloSum, name.Split('/')[^1], name),
            "uploader",
            Client,
            takesUp: false,
            Stop
        );

    /// <summary>Asks for all before the first is answered.</summary>
    private async Task<StageResult[]> StageAsync(string[] names)
    {
        if (kind == DatabaseKind.PostgreSql)
        {
            // Of its own, so that its statements are not counted.
            await using var holder = new NpgsqlConnection(_site.Catalog.ConnectionString);
            await holder.OpenAsync(Stop);
            await using var held = await holder.BeginTransactionAsync(Stop);
            await using (var hold = new NpgsqlCommand("lock table incoming_transfers in share row exclusive mode", holder))
                await hold.ExecuteNonQueryAsync(Stop);
            var asked = names.Select(n => StageAsync(n, 11)).ToList();
            await held.RollbackAsync(Stop);
            return await Task.WhenAll(asked);
        }

        await _site.Catalog.SqliteWriteSemaphore!.WaitAsync(Stop);
        var all = names.Select(n => StageAsync(n, 11)).ToList();
        _site.Catalog.SqliteWriteSemaphore.Release();
        return await Task.WhenAll(all);
    }

    /// <summary>Uploads whose data lie in staging, committed by their client.</summary>
    private async Task<List<long>> FilledAsync(string[] names)
    {
        List<long> ids = [];
        foreach (var staged in await StageAsync(names))
        {
            var place = Assert.Single(Assert.IsType<StageResult.Accepted>(staged).Slots);
            await File.WriteAllTextAsync(Path.Combine(_site.StagingPath, place.StagingName, place.UploadName.Value), "hello world", Stop);
            ids.Add(place.TransferId);
        }

        await using var db = _site.Catalog.Open();
        await db
            .IncomingTransfers.Where(t => ids.Contains(t.Id))
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged), Stop);
        return ids;
    }

    private Task<IngestResult[]> IngestAsync(List<long> ids)
    {
        var ingest = _site.Services.GetRequiredService<StagedFileIngest>();
        return Task.WhenAll(ids.Select(id => ingest.RunAsync(id, DeletionPolicy.Disallowed, Stop)));
    }
}
