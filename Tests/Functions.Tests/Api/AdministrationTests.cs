using System.Net;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteAdministrationTests(PostgresServer server) : AdministrationTests(server, DatabaseKind.Sqlite);

public sealed class PostgresAdministrationTests(PostgresServer server) : AdministrationTests(server, DatabaseKind.PostgreSql);

/// <summary>Requests of administrators (docs/spec/wire.md#administration, docs/spec/wire.md#searches), on both databases.</summary>
public abstract class AdministrationTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private TestSite _site = null!;

    public async ValueTask InitializeAsync() => _site = await TestSite.CreateAsync(kind, server);

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task SearchError_RaisedTwiceAndCleared_IsOneEntryThatLeavesTheList()
    {
        var errors = _site.Services.GetRequiredService<ErrorLog>();
        Assert.Equal(
            """{"reason":"No errors found.","suggested_remedy":"Widen the search, or include resolved errors."}""",
            await FailureAsync("search/error", "{}", 404)
        );
        for (var i = 0; i < 3; i++)
            await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.DataIntegrity, "ingest a", "a is bad", CancellationToken.None);
        await errors.RaiseAsync(ErrorSeverity.Warning, ErrorCategory.StoreFull, "stores", "no room", CancellationToken.None);

        var all = await OkAsync("search/error", "{}");
        Assert.Equal(["store_full", "data_integrity"], all.EnumerateArray().Select(e => e.GetProperty("category").GetString()!));
        var hits = await OkAsync(
            "search/error",
            """{"category":"data_integrity","severity":"error","create_time_window":["2000-01-01T00:00:00","2100-01-01T00:00:00"]}"""
        );
        var bad = Assert.Single(hits.EnumerateArray());
        Assert.Equal("ingest a", bad.GetProperty("caller").GetString());
        Assert.False(bad.GetProperty("cleared").GetBoolean());
        var id = bad.GetProperty("id").GetInt64();

        var cleared = await OkAsync("error/clear", $$"""{"id":{{id}}}""");
        Assert.True(cleared.GetProperty("cleared").GetBoolean());
        Assert.Contains(
            $"Error with ID {id} has already been cleared.",
            await FailureAsync("error/clear", $$"""{"id":{{id}}}""", 400),
            StringComparison.Ordinal
        );
        Assert.Contains(
            "No error found with ID 999 to clear.",
            await FailureAsync("error/clear", """{"id":999}""", 404),
            StringComparison.Ordinal
        );
        Assert.Single((await OkAsync("search/error", "{}")).EnumerateArray());
        Assert.Equal(2, (await OkAsync("search/error", """{"include_resolved":true}""")).GetArrayLength());
        // Once somebody has dealt with it, the next occurrence is news again.
        await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.DataIntegrity, "ingest a", "a is bad again", CancellationToken.None);
        Assert.Equal(2, (await OkAsync("search/error", "{}")).GetArrayLength());
    }

    [Fact]
    public async Task SearchError_AfterAMismatchAndAFullStore_NamesBothOnce()
    {
        for (var attempt = 0; attempt < 2; attempt++)
        {
            var (id, location, _) = await _site.StageAsync("obs/bad", HelloSum, 11);
            await File.WriteAllTextAsync(location, "hello_world");
            Assert.Equal(406, (int)(await _site.CommitAsync(id, "obs/bad")).Status);
            var (status, _) = await _site.PostAsync(
                "clone/batch_stage",
                """{"uploads":[],"source":"uploader","total_size":4611686018427387904}""",
                "uploader"
            );
            Assert.Equal(413, (int)status);
        }

        var found = (await OkAsync("search/error", "{}"))
            .EnumerateArray()
            .ToDictionary(e => e.GetProperty("category").GetString()!, e => e.GetProperty("caller").GetString());
        Assert.Equal(new Dictionary<string, string?> { ["store_full"] = "stores", ["data_integrity"] = "ingest obs/bad" }, found);
    }

    [Fact]
    public async Task SearchInstances_EveryCriterion_FindsByEquality()
    {
        await UploadAsync("obs/a");
        var hit = Assert.Single((await OkAsync("search/instance_local", "{}")).EnumerateArray());
        var created = hit.GetProperty("created_time").GetString();
        foreach (
            var criterion in new[]
            {
                "\"file_name\":\"obs/a\"",
                "\"store_id\":1",
                "\"available\":true",
                "\"deletion_policy\":\"DISALLOWED\"",
                $"\"created_time\":\"{created}\"",
                $"\"path\":\"{_site.StorePath}/obs/a\"",
                "\"id\":1",
            }
        )
            Assert.Single((await OkAsync("search/instance_local", "{" + criterion + "}")).EnumerateArray());
        foreach (
            var criterion in new[]
            {
                "\"file_name\":\"obs\"",
                "\"store_id\":2",
                "\"available\":false",
                "\"deletion_policy\":\"ALLOWED\"",
                "\"deletion_policy\":\"allowed\"",
                "\"created_time\":\"2001-01-01T00:00:00\"",
                "\"id\":9",
                "\"max_results\":0",
            }
        )
            Assert.Contains(
                "No instances found.",
                await FailureAsync("search/instance_local", "{" + criterion + "}", 404),
                StringComparison.Ordinal
            );
        Assert.Equal(422, (int)(await _site.PostAsync("search/instance_local", """{"deletion_policy":1}""")).Status);

        await RememberRemoteAsync("obs/a", "faraway");
        var remote = Assert.Single(
            (await OkAsync("search/instance_remote", """{"file_name":"obs/a","sender":"testsite","store_id":7}""")).EnumerateArray()
        );
        Assert.Equal("faraway", remote.GetProperty("librarian_name").GetString());
        Assert.Single(
            (
                await OkAsync("search/instance_remote", $$"""{"copy_time":"{{remote.GetProperty("copy_time").GetString()}}"}""")
            ).EnumerateArray()
        );
        Assert.Contains(
            "No instances found.",
            await FailureAsync("search/instance_remote", """{"copy_time":"2001-01-01T00:00:00"}""", 404),
            StringComparison.Ordinal
        );
    }

    [Fact]
    public async Task CloneStage_OneFile_FollowsItsFailureTable()
    {
        await UploadAsync("taken");
        var (status, body) = await StageAsync("new/file", 5);
        Assert.Equal(201, status);
        Assert.Equal(4, body.GetProperty("source_transfer_id").GetInt64());
        Assert.Equal("here", body.GetProperty("transfer_providers").GetProperty("local").GetProperty("hostnames")[0].GetString());
        Assert.True(Directory.Exists(Path.GetDirectoryName(body.GetProperty("staging_location").GetString())));
        var first = body.GetProperty("destination_transfer_id").GetInt64();

        Assert.Equal((400, "Upload size must be positive.", -1), await RefusedAsync("x", -1));
        Assert.Equal((413, "No stores available for upload. Your upload is too large.", -1), await RefusedAsync("x", long.MaxValue / 2));
        Assert.Equal((409, "File already exists on librarian.", -1), await RefusedAsync("taken", 5));
        Assert.Equal((406, "Transfer was already initiated or staged.", first), await RefusedAsync("new/file", 5));
        var second = (await StageAsync("new/file", 5)).Body.GetProperty("destination_transfer_id").GetInt64();
        await OkAsync("clone/ongoing", $$"""{"source_transfer_id":4,"destination_transfer_id":{{second}}}""", "uploader");
        Assert.Equal((425, "Transfer is ongoing.", second), await RefusedAsync("new/file", 5));
        Assert.Equal(400, (await StageAsync("../escape", 5)).Status);

        async Task<(int Status, JsonElement Body)> StageAsync(string name, long size)
        {
            var (code, answer) = await _site.PostAsync(
                "clone/stage",
                $$"""
                {"upload_size":{{size}},"upload_checksum":"{{HelloSum}}","upload_name":"f",
                 "destination_location":"{{name}}","uploader":"who","source":"uploader","source_transfer_id":4}
                """,
                "uploader"
            );
            return ((int)code, answer);
        }

        async Task<(int Status, string Reason, long Id)> RefusedAsync(string name, long size)
        {
            var (code, answer) = await StageAsync(name, size);
            // The real failure is a JSON text inside "detail".
            var wrapped = JsonDocument.Parse(answer.GetProperty("detail").GetString()!).RootElement;
            Assert.Equal(4, wrapped.GetProperty("source_transfer_id").GetInt64());
            return (code, wrapped.GetProperty("reason").GetString()!, wrapped.GetProperty("destination_transfer_id").GetInt64());
        }
    }

    [Fact]
    public async Task AddFile_DataOnTheStore_AreReadBeforeTheyAreCatalogued()
    {
        Directory.CreateDirectory(Path.Combine(_site.StorePath, "old"));
        await File.WriteAllTextAsync(Path.Combine(_site.StorePath, "old/data"), "hello world");
        Assert.Contains(
            "Store nowhere does not exist.",
            await FailureAsync("admin/add_file", Body("n", "old/data", store: "nowhere"), 400),
            StringComparison.Ordinal
        );
        Assert.Contains("does not exist.", await FailureAsync("admin/add_file", Body("n", "old/none"), 400), StringComparison.Ordinal);
        Assert.Contains("does not exist.", await FailureAsync("admin/add_file", Body("n", "../staging"), 400), StringComparison.Ordinal);
        Assert.Contains(
            "declared checksum or size",
            await FailureAsync("admin/add_file", Body("n", "old/data", size: 12), 400),
            StringComparison.Ordinal
        );
        Assert.Contains(
            "The File is not valid.",
            await FailureAsync("admin/add_file", Body("../n", "old/data"), 400),
            StringComparison.Ordinal
        );

        Assert.Equal(
            """{"already_exists":false,"file_exists":true,"success":true}""",
            (await OkAsync("admin/add_file", Body("kept/name", "old/data"))).GetRawText()
        );
        Assert.Equal(
            """{"already_exists":true,"file_exists":false,"success":true}""",
            (await OkAsync("admin/add_file", Body("kept/name", "no/matter"))).GetRawText()
        );
        Assert.Contains(
            "two files cannot share data",
            await FailureAsync("admin/add_file", Body("other", "old/data"), 400),
            StringComparison.Ordinal
        );
        var hit = Assert.Single((await OkAsync("search/file", """{"name":"kept/name"}""")).EnumerateArray());
        Assert.Equal("them", hit.GetProperty("source").GetString());
        Assert.Equal(0, hit.GetProperty("instances")[0].GetProperty("deletion_policy").GetInt32());

        string Body(string name, string path, string store = "main", long size = 11) =>
            $$"""
                {"name":"{{name}}","create_time":"1999-01-01T00:00:00","size":{{size}},"checksum":"{{HelloSum}}",
                 "uploader":"me","source":"them","path":"{{_site.StorePath}}/{{path}}","store_name":"{{store}}"}
                """;
    }

    [Fact]
    public async Task StoreStateChange_Disabled_RefusesUploadsUntilEnabled()
    {
        Assert.Contains(
            "Store none does not exist.",
            await FailureAsync("admin/stores/state_change", """{"store_name":"none","enabled":true}""", 400),
            StringComparison.Ordinal
        );
        Assert.Equal(
            """{"store_name":"main","enabled":false,"success":true}""",
            (await OkAsync("admin/stores/state_change", """{"store_name":"main","enabled":false}""")).GetRawText()
        );
        Assert.False((await OkAsync("admin/stores/list", null))[0].GetProperty("enabled").GetBoolean());
        const string Upload = """{"upload_size":1,"upload_checksum":"a","upload_name":"a","destination_location":"a","uploader":"a"}""";
        Assert.Equal(413, (int)(await _site.PostAsync("upload/stage", Upload, "uploader")).Status);
        await OkAsync("admin/stores/state_change", """{"store_name":"main","enabled":true}""");
        Assert.Equal(201, (int)(await _site.PostAsync("upload/stage", Upload, "uploader")).Status);
    }

    [Fact]
    public async Task Manifest_ForADrive_OpensTransfersAndMarksTheCopiesAway()
    {
        for (var i = 0; i < 3; i++)
            await UploadAsync("obs/" + i);
        var plain = await OkAsync("admin/stores/manifest", """{"store_name":"main"}""");
        Assert.Equal("testsite", plain.GetProperty("librarian_name").GetString());
        var entry = plain.GetProperty("store_files")[0];
        Assert.Equal(
            [
                "name",
                "create_time",
                "size",
                "checksum",
                "uploader",
                "source",
                "instance_path",
                "deletion_policy",
                "instance_create_time",
                "instance_available",
                "outgoing_transfer_id",
            ],
            entry.EnumerateObject().Select(p => p.Name)
        );
        Assert.Equal(-1, entry.GetProperty("outgoing_transfer_id").GetInt64());

        Assert.Contains(
            "Librarian away does not exist.",
            await FailureAsync(
                "admin/stores/manifest",
                """{"store_name":"main","create_outgoing_transfers":true,"destination_librarian":"away","disable_store":true}""",
                400
            ),
            StringComparison.Ordinal
        );
        Assert.False((await OkAsync("admin/stores/list", null))[0].GetProperty("enabled").GetBoolean());

        await AddLibrarianAsync("away");
        long online;
        await using (var db = _site.Catalog.Open())
        {
            var sending = new OutgoingTransfer
            {
                Status = TransferStatus.Initiated,
                Destination = "away",
                TransferSize = 11,
                TransferChecksum = HelloSum,
                StartTime = DateTime.UtcNow,
                FileName = "obs/0",
            };
            db.OutgoingTransfers.Add(sending);
            await db.SaveChangesAsync();
            online = sending.Id;
        }

        var travelling = await OkAsync(
            "admin/stores/manifest",
            """
            {"store_name":"main","create_outgoing_transfers":true,
             "destination_librarian":"away","mark_local_instances_as_unavailable":true}
            """
        );
        var ids = travelling
            .GetProperty("store_files")
            .EnumerateArray()
            .Select(f => f.GetProperty("outgoing_transfer_id").GetInt64())
            .ToList();
        Assert.Equal(3, ids.Distinct().Count(id => id > 0));
        Assert.All(travelling.GetProperty("store_files").EnumerateArray(), f =>
            Assert.True(f.GetProperty("instance_available").GetBoolean())
        );
        // The Python command has this source called back; without a transfer there is nothing to call back about.
        Assert.All(travelling.GetProperty("store_files").EnumerateArray(), f =>
            Assert.Equal("testsite", f.GetProperty("source").GetString())
        );
        Assert.Equal("uploader", entry.GetProperty("source").GetString());
        await using (var db = _site.Catalog.Open())
        {
            Assert.Equal(
                3,
                await db.OutgoingTransfers.CountAsync(t =>
                    ids.Contains(t.Id) && t.Status == TransferStatus.Ongoing && t.SendQueueId == null
                )
            );
            Assert.Equal(TransferStatus.Cancelled, (await db.OutgoingTransfers.SingleAsync(t => t.Id == online)).Status);
            Assert.False(await db.Copies.AnyAsync(i => i.Available));
        }

        Assert.Equal(0, (await OkAsync("admin/stores/manifest", """{"store_name":"main"}""")).GetProperty("store_files").GetArrayLength());
    }

    [Fact]
    public async Task W11_LibrarianSwitchedAndRemoved_KeepsItsHistoryAndSearchesWork()
    {
        await UploadAsync("obs/a");
        await RememberRemoteAsync("obs/a", "away");
        await using (var db = _site.Catalog.Open())
        {
            foreach (var status in new[] { TransferStatus.Completed, TransferStatus.Failed, TransferStatus.Staged })
                db.OutgoingTransfers.Add(
                    new OutgoingTransfer
                    {
                        Status = status,
                        Destination = "away",
                        TransferSize = 11,
                        TransferChecksum = HelloSum,
                        StartTime = DateTime.UtcNow,
                        FileName = "obs/a",
                        RemoteTransferId = 5,
                    }
                );
            await db.SaveChangesAsync();
        }

        foreach (var alias in new[] { "change", "set" })
        {
            Assert.Equal(
                """{"librarian_name":"away","transfers_enabled":false}""",
                (
                    await OkAsync("admin/librarians/transfer_status/" + alias, """{"librarian_name":"away","transfers_enabled":false}""")
                ).GetRawText()
            );
            Assert.Contains(
                "Librarian nobody does not exist",
                await FailureAsync(
                    "admin/librarians/transfer_status/" + alias,
                    """{"librarian_name":"nobody","transfers_enabled":false}""",
                    400
                ),
                StringComparison.Ordinal
            );
        }

        Assert.False(
            (await OkAsync("admin/librarians/list", """{"ping":false}""")).GetProperty("librarians")[0].GetProperty("enabled").GetBoolean()
        );
        Assert.Contains(
            "Librarian nobody does not exist.",
            await FailureAsync("admin/librarians/remove", """{"librarian_name":"nobody"}""", 400),
            StringComparison.Ordinal
        );
        Assert.Equal(
            """{"success":true,"number_of_transfers_removed":1}""",
            (await OkAsync("admin/librarians/remove", """{"librarian_name":"away","remove_outgoing_transfers":true}""")).GetRawText()
        );
        var hit = Assert.Single((await OkAsync("search/file", """{"name":"obs/a"}""")).EnumerateArray());
        Assert.Empty(hit.GetProperty("remote_instances").EnumerateArray());
        await using (var db = _site.Catalog.Open())
        {
            Assert.Equal(1, await db.OutgoingTransfers.CountAsync(t => t.Status == TransferStatus.Completed));
            Assert.Equal(2, await db.OutgoingTransfers.CountAsync(t => t.Status == TransferStatus.Failed));
        }
    }

    [Fact]
    public async Task InstanceDelete_WithAndWithoutItsData_LeavesTheFileRow()
    {
        await UploadAsync("obs/a");
        await UploadAsync("obs/b");
        Assert.Equal(
            """{"success":false,"instance_id":99}""",
            await FailureAsync("admin/instance/delete_local", """{"instance_id":99}""", 400)
        );
        Assert.Equal(
            """{"success":false,"instance_id":99}""",
            await FailureAsync("admin/instance/delete_remote", """{"instance_id":99,"delete_file":null}""", 400)
        );
        Assert.Equal(
            """{"success":true,"instance_id":1}""",
            (await OkAsync("admin/instance/delete_local", """{"instance_id":1}""")).GetRawText()
        );
        Assert.True(File.Exists(Path.Combine(_site.StorePath, "obs/a")));
        Assert.Equal(
            """{"success":true,"instance_id":2}""",
            (await OkAsync("admin/instance/delete_local", """{"instance_id":2,"delete_file":true}""")).GetRawText()
        );
        Assert.False(File.Exists(Path.Combine(_site.StorePath, "obs/b")));
        Assert.Single((await OkAsync("search/file", """{"name":"obs/b"}""")).EnumerateArray());

        await RememberRemoteAsync("obs/a", "away");
        var remote = (await OkAsync("search/instance_remote", "{}"))[0].GetProperty("id").GetInt64();
        await OkAsync("admin/instance/delete_remote", $$"""{"instance_id":{{remote}}}""");
        await FailureAsync("search/instance_remote", "{}", 404);
    }

    [Fact]
    public async Task InstanceDelete_OfAPathOutsideItsStore_ChangesNothing()
    {
        await UploadAsync("obs/a");
        var outside = Path.Combine(Path.GetDirectoryName(_site.StorePath)!, "precious");
        await File.WriteAllTextAsync(outside, "mine");
        await using (var db = _site.Catalog.Open())
            await db.Copies.ExecuteUpdateAsync(s => s.SetProperty(i => i.Path, outside));
        await FailureAsync("admin/instance/delete_local", """{"instance_id":1,"delete_file":true}""", 400);
        Assert.True(File.Exists(outside));
        Assert.True((await OkAsync("search/instance_local", "{}"))[0].GetProperty("available").GetBoolean());
    }

    private async Task UploadAsync(string name)
    {
        var (id, location, _) = await _site.StageAsync(name, HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, name)).Status);
    }

    private async Task AddLibrarianAsync(string name) =>
        await OkAsync(
            "admin/librarians/add",
            $$"""
            {"librarian_name":"{{name}}","url":"http://127.0.0.1","port":1,"authenticator":"testsite:secret","check_connection":false}
            """
        );

    private async Task RememberRemoteAsync(string file, string librarian)
    {
        await AddLibrarianAsync(librarian);
        await using var db = _site.Catalog.Open();
        db.RemoteCopies.Add(
            new RemoteCopy
            {
                FileName = file,
                StoreId = 7,
                PeerId = (await db.Peers.SingleAsync(l => l.Name == librarian)).Id,
                CopyTime = DateTime.UtcNow,
                Sender = "testsite",
            }
        );
        await db.SaveChangesAsync();
    }

    private async Task<JsonElement> OkAsync(string path, string? json, string user = "admin")
    {
        var (status, body) = await _site.PostAsync(path, json, user);
        Assert.True(
            status == HttpStatusCode.OK,
            $"{path}: {(int)status} {(body.ValueKind == JsonValueKind.Undefined ? "" : body.GetRawText())}"
        );
        return body;
    }

    private async Task<string> FailureAsync(string path, string json, int expected)
    {
        var (status, body) = await _site.PostAsync(path, json);
        Assert.Equal(expected, (int)status);
        Assert.False(body.TryGetProperty("detail", out _));
        return body.GetRawText();
    }
}
