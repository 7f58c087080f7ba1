using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

/// <summary>What a site refuses to touch, and what it takes up again after a crash.</summary>
public class SiteStartTests(PostgresServer server)
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";

    [Fact]
    public async Task Store_WhoseMarkerIsGone_IsNotMountedAndNothingIsWrittenThere()
    {
        await using var site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server);
        var marker = Path.Combine(site.StorePath, SiteStore.MarkerFile);
        var away = marker + ".away";
        File.Move(marker, away);
        var (_, list) = await site.PostAsync("admin/stores/list", null);
        Assert.False(list[0].GetProperty("available").GetBoolean());
        Assert.Equal(-1, list[0].GetProperty("free_space").GetInt64());
        var refused = await site.PostAsync(
            "upload/stage",
            $$"""{"upload_size":11,"upload_checksum":"{{HelloSum}}","upload_name":"f","destination_location":"f","uploader":"u"}""",
            "uploader"
        );
        Assert.Equal(503, (int)refused.Status);
        File.Move(away, marker);
        await site.StageAsync("f", HelloSum, 11);
    }

    [Fact]
    public async Task Commit_ToAStoreThatIsNotMounted_SaysSoAndTheStagedDataWait()
    {
        await using var site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server);
        var done = await site.StageAsync("done", HelloSum, 11);
        await File.WriteAllTextAsync(done.Location, "hello world");
        Assert.Equal(HttpStatusCode.OK, (await site.CommitAsync(done.Id, "done")).Status);
        var (id, location, _) = await site.StageAsync("f", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        var marker = Path.Combine(site.StorePath, SiteStore.MarkerFile);
        File.Move(marker, marker + ".away");
        var (status, body) = await site.CommitAsync(id, "f");
        Assert.Equal((HttpStatusCode.BadRequest, "Store main is not available."), (status, body.GetProperty("reason").GetString()));
        Assert.Equal(
            "Store 'main' is not mounted. The staged data wait; commit again later.",
            body.GetProperty("suggested_remedy").GetString()
        );
        // What is stored is stored, whether or not it can be read now.
        Assert.Equal(HttpStatusCode.OK, (await site.CommitAsync(done.Id, "done")).Status);
        Assert.Equal(
            HttpStatusCode.OK,
            (await site.PostAsync("admin/stores/state_change", """{"store_name":"main","enabled":false}""")).Status
        );
        Assert.Equal(HttpStatusCode.NotAcceptable, (await site.CommitAsync(id, "f")).Status);
        await site.PostAsync("admin/stores/state_change", """{"store_name":"main","enabled":true}""");
        File.Move(marker + ".away", marker);
        Assert.Equal(HttpStatusCode.OK, (await site.CommitAsync(id, "f")).Status);
    }

    [Fact]
    public async Task Start_AgainOnAStoreWithoutMarker_DoesNotMakeItAnew()
    {
        await using var site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server);
        var stores = site.Services.GetRequiredService<SiteStores>();
        Directory.Delete(site.StorePath, recursive: true);
        await stores.SynchroniseAsync(default);
        Assert.False(Directory.Exists(site.StorePath));
        Assert.False(Assert.Single(stores.All).IsMounted);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Ingest_KilledAfterTheRename_IsFinishedThoughStagingIsGone(DatabaseKind kind)
    {
        await using var site = await TestSite.CreateAsync(kind, server);
        var (id, _, _) = await site.StageAsync("book", "xxh3:::065bd73b19e83b64024f8a026b875b71", 8);
        // The state that a kill leaves after the rename: reserved, the data at their final name, nothing left in staging.
        var stored = Path.Combine(site.StorePath, "book");
        Directory.CreateDirectory(stored);
        foreach (var name in new[] { "aaa", "bbb", "h", "e" })
            await File.WriteAllTextAsync(Path.Combine(stored, name), name);
        await using (var db = site.Catalog.Open())
        {
            await db
                .IncomingTransfers.Where(t => t.Id == id)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Committing, true).SetProperty(t => t.Status, TransferStatus.Staged));
        }

        Assert.Equal(HttpStatusCode.OK, (await site.CommitAsync(id, "book")).Status);
        await using var read = site.Catalog.Open();
        Assert.Equal("book", (await read.Files.SingleAsync()).Name);
        Assert.Equal(4, Directory.GetFiles(stored).Length);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Ingest_KilledBetweenReservationAndLook_StillRefusesANameInsideADirectory(DatabaseKind kind)
    {
        await using var site = await TestSite.CreateAsync(kind, server);
        var directory = await site.StageAsync("book", "xxh3:::1cf8edfa1119a1f0ac66c88ef6317369", 3);
        Directory.CreateDirectory(directory.Location);
        await File.WriteAllTextAsync(Path.Combine(directory.Location, "page"), "aaa");
        Assert.Equal(HttpStatusCode.OK, (await site.CommitAsync(directory.Id, "book")).Status);
        var intruder = await site.StageAsync("book/other", HelloSum, 11);
        await File.WriteAllTextAsync(intruder.Location, "hello world");
        await using (var db = site.Catalog.Open())
        {
            await db
                .IncomingTransfers.Where(t => t.Id == intruder.Id)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Committing, true).SetProperty(t => t.Status, TransferStatus.Staged));
        }

        Assert.Equal(HttpStatusCode.Conflict, (await site.CommitAsync(intruder.Id, "book/other")).Status);
        Assert.Equal(["page"], Directory.EnumerateFileSystemEntries(Path.Combine(site.StorePath, "book")).Select(Path.GetFileName));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Texts_WithNulOrTooLong_Are4xxOnBothDatabases(DatabaseKind kind)
    {
        await using var site = await TestSite.CreateAsync(kind, server);
        var longText = new string('x', 300);
        foreach (
            var (path, json) in new[]
            {
                (
                    "upload/stage",
                    $$"""{"upload_size":1,"upload_checksum":"c","upload_name":"y","destination_location":"y","uploader":"{{longText}}"}"""
                ),
                (
                    "upload/stage",
                    """{"upload_size":1,"upload_checksum":"c\u0000","upload_name":"y","destination_location":"y","uploader":"u"}"""
                ),
                ("search/file", """{"name":"a\u0000b"}"""),
                ("users/get", """{"username":"a\u0000b"}"""),
                ("clone/batch_stage", """{"uploads":[null],"source":"admin","total_size":1}"""),
                ("clone/batch_stage", $$"""{"uploads":[],"source":"{{longText}}","total_size":1}"""),
                (
                    "clone/batch_stage",
                    """
                    {"uploads":[
                      {"upload_size":9223372036854775807,"upload_checksum":"c","upload_name":"a","destination_location":"a",
                       "uploader":"u","source_transfer_id":1},
                      {"upload_size":9223372036854775807,"upload_checksum":"c","upload_name":"b","destination_location":"b",
                       "uploader":"u","source_transfer_id":2}],
                     "source":"admin","total_size":1}
                    """
                ),
            }
        )
        {
            var (status, _) = await site.PostAsync(path, json, "admin");
            Assert.True((int)status is >= 400 and < 500, $"{path} {json[..Math.Min(80, json.Length)]} answered {status}");
        }

        using var nul = await site.SendAsync("ping/logged", "{}", TestSite.Basic("a\0b", "x"));
        Assert.Equal(HttpStatusCode.Unauthorized, nul.StatusCode);
    }

    [Fact]
    public async Task BatchStage_InTheNameOfAnotherSite_IsRefused()
    {
        await using var site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server);
        var (status, _) = await site.PostAsync("clone/batch_stage", """{"uploads":[],"source":"somebody","total_size":0}""", "other");
        Assert.Equal(HttpStatusCode.BadRequest, status);
    }
}
