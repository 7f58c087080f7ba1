using System.Net;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Functions.Api;

/// <summary>How much space can be reserved for one account.</summary>
public class ReservationTests(PostgresServer server)
{
    private static readonly Dictionary<string, string> Limit = new() { ["Site:MaximalPromisedBytesPerAccount"] = "1000" };

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task UploadStage_BeyondTheLimit_IsRefusedWithLimitAndPromises(DatabaseKind kind)
    {
        await using var site = await TestSite.CreateAsync(kind, server, settings: Limit);
        await site.StageAsync("a", "xxh3:::a", 600);

        var (status, body) = await StageAsync(site, "b", 401, "uploader");

        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, status);
        Assert.Equal("Too much space is promised to this account.", body.GetProperty("reason").GetString());
        var remedy = body.GetProperty("suggested_remedy").GetString();
        Assert.Contains(
            "Account 'uploader' asks for 401 bytes; 600 are reserved for it by 1 unfinished transfers, and this site reserves at most 1000",
            remedy,
            StringComparison.Ordinal
        );
        Assert.Contains("Site:MaximalPromisedBytesPerAccount", remedy, StringComparison.Ordinal);
        // Nothing was taken away, neither from it nor from others.
        await site.StageAsync("b", "xxh3:::b", 400);
        await site.StageAsync("c", "xxh3:::c", 1000, "other");
        Assert.Equal(HttpStatusCode.Created, (await StageAsync(site, "d", 5000, "admin")).Status);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task UploadStage_RefusedForAFileBegunBefore_LeavesTheEarlierAttempt(DatabaseKind kind)
    {
        await using var site = await TestSite.CreateAsync(kind, server, settings: Limit);
        var (id, location, _) = await site.StageAsync("a", "xxh3:::a", 600);

        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, (await StageAsync(site, "a", 1001, "uploader")).Status);

        Assert.True(Directory.Exists(Path.GetDirectoryName(location)));
        await using var db = site.Catalog.Open();
        Assert.Equal(TransferStatus.Initiated, (await db.IncomingTransfers.SingleAsync(t => t.Id == id)).Status);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task UploadStage_ManyAtOnce_AreNeverPromisedMoreTogether(DatabaseKind kind)
    {
        await using var site = await TestSite.CreateAsync(kind, server, settings: Limit);

        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => StageAsync(site, $"f{i}", 300, "uploader")));

        Assert.Equal(3, answers.Count(a => a.Status == HttpStatusCode.Created));
        Assert.Equal(17, answers.Count(a => a.Status == HttpStatusCode.RequestEntityTooLarge));
        await using var db = site.Catalog.Open();
        Assert.Equal(900, await db.IncomingTransfers.Where(t => t.Status == TransferStatus.Initiated).SumAsync(t => t.TransferSize));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Clones_OfAnAccountThatIsNoLibrarian_CountTogetherWithUploads(DatabaseKind kind)
    {
        await using var site = await TestSite.CreateAsync(kind, server, settings: Limit);
        await site.StageAsync("a", "xxh3:::a", 600);

        var single = await site.PostAsync(
            "clone/stage",
            """
            {"upload_size":401,"upload_checksum":"xxh3:::b","upload_name":"b",
             "destination_location":"b","uploader":"u","source":"uploader","source_transfer_id":1}
            """,
            "uploader"
        );
        var batch = await BatchAsync(site, "uploader", 200, 201);

        Assert.Equal((HttpStatusCode.RequestEntityTooLarge, HttpStatusCode.RequestEntityTooLarge), (single.Status, batch.Status));
        foreach (var refused in new[] { single, batch })
            Assert.Equal(
                "Too much space is promised to this account.",
                JsonDocument.Parse(refused.Body.GetProperty("detail").GetString()!).RootElement.GetProperty("reason").GetString()
            );
        Assert.Equal(HttpStatusCode.Created, (await BatchAsync(site, "uploader", 200, 200)).Status);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Batch_OfALibrarian_IsTakenWhenNothingElseOfItIsOnItsWay(DatabaseKind kind)
    {
        await using var site = await TestSite.CreateAsync(kind, server, settings: Limit);
        await using (var db = site.Catalog.Open())
        {
            db.Peers.Add(
                new Peer
                {
                    Name = "uploader",
                    Url = "http://127.0.0.1",
                    Port = 1,
                    Authenticator = "x",
                    TransfersEnabled = true,
                    LastSeen = DateTime.UnixEpoch,
                    LastHeard = DateTime.UnixEpoch,
                }
            );
            await db.SaveChangesAsync();
        }

        Assert.Equal(HttpStatusCode.Created, (await BatchAsync(site, "uploader", 5000, 5000)).Status);
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, (await BatchAsync(site, "uploader", 1)).Status);
    }

    private static Task<(HttpStatusCode Status, JsonElement Body)> StageAsync(TestSite site, string name, long size, string user) =>
        site.PostAsync(
            "upload/stage",
            $$"""
            {"upload_size":{{size}},"upload_checksum":"xxh3:::{{name}}",
             "upload_name":"{{name}}","destination_location":"{{name}}","uploader":"{{user}}"}
            """,
            user
        );

    private static Task<(HttpStatusCode Status, JsonElement Body)> BatchAsync(TestSite site, string source, params long[] sizes)
    {
        var tag = Guid.NewGuid().ToString("N");
        var items = sizes.Select(
            (size, i) =>
                $$"""
                    {"upload_size":{{size}},"upload_checksum":"xxh3:::{{tag}}{{i}}","upload_name":"n{{tag}}{{i}}",
                     "destination_location":"n{{tag}}{{i}}","uploader":"u","source_transfer_id":{{i + 1}}}
                    """
        );
        return site.PostAsync(
            "clone/batch_stage",
            $$"""{"uploads":[{{string.Join(',', items)}}],"source":"{{source}}","total_size":{{sizes.Sum()}}}""",
            source
        );
    }
}
