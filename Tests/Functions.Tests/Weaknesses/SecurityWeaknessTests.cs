using System.Net;
using System.Text.Json;
using Librarian.Domain.Accounts;
using Librarian.Domain.Catalog;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Weaknesses;

public sealed class SqliteSecurityWeaknessTests(PostgresServer server) : SecurityWeaknessTests(server, DatabaseKind.Sqlite);

public sealed class PostgresSecurityWeaknessTests(PostgresServer server) : SecurityWeaknessTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// Upstream lets callers do and see what is not theirs (docs/spec/upstream.md#weaknesses-of-security); this site does not.
/// </summary>
public abstract class SecurityWeaknessTests(PostgresServer server, DatabaseKind kind) : WeaknessTests(server, kind)
{
    [Fact]
    public async Task W40_NamesOfServerPaths_TellNothingAboutThem()
    {
        await OpenAsync();
        var victim = await Site.StageAsync("theirs", HelloSum, 11, "other");
        await File.WriteAllTextAsync(victim.Location, "hello world", Stop);
        var answers = new HashSet<string>();
        foreach (
            var name in new[]
            {
                "/etc/passwd",
                "/no/such/file",
                "/dev/zero",
                $"../{victim.StagingName}/theirs",
                $"../{Guid.NewGuid()}/theirs",
            }
        )
        {
            var body = await AnswerAsync(
                "upload/stage",
                $$"""
                {"upload_size":11,"upload_checksum":"{{HelloSum}}","upload_name":"{{name}}","destination_location":"mine","uploader":"u"}
                """,
                400,
                "uploader"
            );
            answers.Add(body.GetRawText().Replace(name, "?", StringComparison.Ordinal));
        }

        // What lies there makes no difference; only the form of the name does.
        Assert.InRange(answers.Count, 1, 2);
        Assert.Equal(HttpStatusCode.OK, (await Site.CommitAsync(victim.Id, "theirs", "other")).Status);
    }

    [Theory]
    [InlineData("/dev/zero")]
    [InlineData("/etc/passwd")]
    [InlineData(null)]
    public async Task W40_StagedLink_IsNotFollowed(string? target)
    {
        await OpenAsync();
        var victim = await Site.StageAsync("theirs", HelloSum, 11, "other");
        await File.WriteAllTextAsync(victim.Location, "hello world", Stop);
        var mine = await Site.StageAsync("mine", HelloSum, 11);
        File.CreateSymbolicLink(mine.Location, target ?? victim.Location);
        Assert.Equal(406, (int)(await Site.CommitAsync(mine.Id, "mine")).Status);
        Assert.Equal(HttpStatusCode.OK, (await Site.CommitAsync(victim.Id, "theirs", "other")).Status);
        Assert.Equal("hello world", await File.ReadAllTextAsync(Path.Combine(Site.StorePath, "theirs"), Stop));
        Assert.False(Path.Exists(Path.Combine(Site.StorePath, "mine")));
    }

    [Fact]
    public async Task W41_DestinationThatIsNoPlainName_IsRefusedAndLeavesNothingHalfDone()
    {
        await OpenAsync();
        foreach (var destination in new[] { "a/../b", ".", "a/..", "./..", "" })
            await AnswerAsync(
                "upload/stage",
                $$"""
                {"upload_size":11,"upload_checksum":"{{HelloSum}}","upload_name":"x",
                 "destination_location":"{{destination}}","uploader":"u"}
                """,
                400,
                "uploader"
            );
        Assert.Equal(0, await ReadAsync(db => db.IncomingTransfers.CountAsync()));

        var (id, location, _) = await Site.StageAsync("a/b", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world", Stop);
        foreach (var destination in new[] { "a/../b", ".", "" })
        {
            Assert.Equal(406, (int)(await Site.CommitAsync(id, destination)).Status);
            Assert.Equal(TransferStatus.Initiated, await ReadAsync(db => db.IncomingTransfers.Select(t => t.Status).SingleAsync()));
        }

        Assert.Equal(HttpStatusCode.OK, (await Site.CommitAsync(id, ".//a/./b/")).Status);
        // One place has one name, however it is written.
        await AnswerAsync(
            "upload/stage",
            $$"""{"upload_size":1,"upload_checksum":"c","upload_name":"x","destination_location":"a//b","uploader":"u"}""",
            409,
            "uploader"
        );
        Assert.Equal("a/b", (await ReadAsync(db => db.Files.AsNoTracking().SingleAsync())).Name);
    }

    [Fact]
    public async Task W42_TransferOfAnotherSite_CannotBeMovedOnOrFailed()
    {
        await OpenAsync();
        var (id, location) = await StageCloneAsync("obs/a", "hello world", sourceTransfer: 5);
        await File.WriteAllTextAsync(location, "hello", Stop);
        var pair = $$"""{"source_transfer_id":5,"destination_transfer_id":{{id}}}""";
        for (var owner = 0; owner < 2; owner++)
        {
            await AnswerAsync("clone/ongoing", pair, 404, "uploader");
            await AnswerAsync("clone/staged", pair, 404, "callback");
            await AnswerAsync(
                "clone/fail",
                $$"""{"source_transfer_id":5,"destination_transfer_id":{{id}},"reason":"no"}""",
                404,
                "uploader"
            );
            foreach (var status in new[] { 1, 2, 4, 5 })
                Assert.Equal(
                    0,
                    (await OkAsync("checkin/update", Checkin(id, status), "callback"))
                        .GetProperty("modified_destination_transfer_ids")
                        .GetArrayLength()
                );
            Assert.Equal(
                JsonValueKind.Null,
                (await OkAsync("checkin/status", $$"""{"source_transfer_ids":[],"destination_transfer_ids":[{{id}}]}""", "callback"))
                    .GetProperty("destination_transfer_status")
                    .GetProperty($"{id}")
                    .ValueKind
            );
            Assert.Equal("hello", await File.ReadAllTextAsync(location, Stop));
            Assert.Equal((TransferStatus)owner, await ReadAsync(db => db.IncomingTransfers.Select(t => t.Status).SingleAsync()));
            if (owner == 0)
                await OkAsync("clone/ongoing", pair, "other");
        }

        await File.WriteAllTextAsync(location, "hello world", Stop);
        await OkAsync("clone/staged", pair, "other");
        await UntilAsync(() => ReadAsync(db => db.Files.AnyAsync(f => f.Name == "obs/a")), "the file is stored");
        // Nor may a site speak in another's name.
        await AnswerAsync("clone/batch_stage", CloneBatch("obs/b", "hello world", source: "callback"), 400, "other");
        await AnswerAsync(
            "clone/stage",
            """
            {"upload_size":1,"upload_checksum":"c","upload_name":"x","destination_location":"x",
             "uploader":"u","source":"callback","source_transfer_id":1}
            """,
            400,
            "other"
        );
    }

    [Fact]
    public async Task W43_UnknownUser_CostsWhatAWrongPasswordCostsAndAPlainPingNothing()
    {
        await OpenAsync();
        var hasher = Site.Services.GetRequiredService<PasswordHasher>();
        Assert.Equal(0, await CostAsync("ping", "nobody", "x"));
        Assert.Equal(0, await CostAsync("ping", "reader", "wrong"));
        Assert.Equal(1, await CostAsync("ping/logged", "nobody", "x"));
        Assert.Equal(1, await CostAsync("ping/logged", "reader", "wrong"));
        Assert.Equal(1, await CostAsync("ping/logged", "reader", "wrong"));
        Assert.Equal(1, await CostAsync("ping/logged", "reader", "readerpw"));
        // Machines send their password with every call; a right one is paid once.
        Assert.Equal(0, await CostAsync("ping/logged", "reader", "readerpw"));

        async Task<long> CostAsync(string path, string user, string password)
        {
            var before = hasher.Computations;
            var (status, _) = await Site.PostAsync(path, "{}", user, password);
            Assert.Equal(path == "ping" || password == "readerpw" ? 200 : 401, (int)status);
            return hasher.Computations - before;
        }
    }

    [Fact]
    public async Task W45_Catalog_HoldsNoBinaryObjects()
    {
        await OpenAsync();
        await using var db = Site.Catalog.Open();
        await db.Database.OpenConnectionAsync(Stop);
        await using var command = db.Database.GetDbConnection().CreateCommand();
        command.CommandText =
            Kind == DatabaseKind.Sqlite
                ? "select m.name || '.' || p.name, lower(p.type) from sqlite_master m "
                    + "join pragma_table_info(m.name) p on true where m.type = 'table' and m.name not like 'sqlite_%'"
                : "select table_name || '.' || column_name, data_type from information_schema.columns where table_schema = 'public'";
        var types = new Dictionary<string, string>();
        await using (var reader = await command.ExecuteReaderAsync(Stop))
        {
            while (await reader.ReadAsync(Stop))
                types[reader.GetString(0)] = reader.GetString(1);
        }

        Assert.Contains("store_metadata.store_data", types.Keys);
        Assert.Contains("outgoing_transfers.transfer_manager_name", types.Keys);
        Assert.DoesNotContain(types, t => t.Value is "blob" or "bytea" or "");
        // What upstream pickles is text that everybody can read.
        Assert.Equal(
            JsonValueKind.Object,
            JsonDocument.Parse((await db.Stores.AsNoTracking().SingleAsync(Stop)).StoreData).RootElement.ValueKind
        );
    }

    [Fact]
    public async Task W46_PlacesOutsideItsRootOrBehindALink_AreNotWrittenForAPeer()
    {
        await OpenAsync();
        var peer = await PeerAsync("callback");
        var (root, outside) = (StagingOf("callback"), Directory.CreateDirectory(Path.Combine(Scratch, "outside")).FullName);
        File.CreateSymbolicLink(Path.Combine(root, "door"), outside);
        Directory.CreateDirectory(Path.Combine(root, "staging"));
        File.CreateSymbolicLink(Path.Combine(root, "staging/obs"), outside);
        var places = new Dictionary<string, string>
        {
            ["obs/outside"] = outside + "/evil",
            ["obs/climbing"] = root + "/x/../../outside/evil",
            ["obs/sibling"] = root + "-2/evil",
            ["obs/door"] = root + "/door/evil",
            ["obs/parent"] = root + "/staging/obs/parent",
        };
        peer.Answer("clone/batch_stage", (context, body) =>
        {
            context.Response.StatusCode = 201;
            return Task.FromResult<string?>(
                peer.Slots(
                    body.GetProperty("uploads")
                        .EnumerateArray()
                        .Select(u =>
                            (
                                u.GetProperty("source_transfer_id").GetInt64(),
                                places.GetValueOrDefault(u.GetProperty("upload_name").GetString()!, root + "/good")
                            )
                        )
                )
            );
        });
        foreach (var name in places.Keys.Append("obs/good"))
            await UploadAsync(name);
        Assert.Equal(6, await SendAsync());
        foreach (var name in places.Keys)
            await UntilSentAsync(name, "callback", TransferStatus.Failed);
        await UntilSentAsync("obs/good", "callback", TransferStatus.Staged);
        Assert.Equal("hello world", await File.ReadAllTextAsync(root + "/good", Stop));
        Assert.Empty(Directory.GetFileSystemEntries(outside));
        Assert.False(Path.Exists(root + "-2"));
    }

    [Fact]
    public async Task W47_StagingDirectory_IsItsOwnersAloneToChangeUnlessConfiguredOtherwise()
    {
        const UnixFileMode Others = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;
        await OpenAsync();
        var (_, location, _) = await Site.StageAsync("a/b/c", HelloSum, 11);
        Assert.Equal(UnixFileMode.None, File.GetUnixFileMode(Path.GetDirectoryName(location)!) & Others);
        await using var shared = await TestSite.CreateAsync(
            Kind,
            Server,
            settings: new Dictionary<string, string> { ["Site:Stores:0:GroupWritableStaging"] = "true" }
        );
        (_, location, _) = await shared.StageAsync("a/b/c", HelloSum, 11);
        Assert.Equal(UnixFileMode.GroupWrite, File.GetUnixFileMode(Path.GetDirectoryName(location)!) & Others);
    }

    [Fact]
    public async Task W48_PasswordUpdateWithAWrongOldOne_ChangesNothing()
    {
        await OpenAsync();
        Assert.Equal(
            """{"success":false,"username":"reader"}""",
            (await AnswerAsync("users/password_update", """{"password":"guess","new_password":"mine"}""", 400, "reader")).GetRawText()
        );
        Assert.Equal(HttpStatusCode.Unauthorized, (await Site.PostAsync("ping/logged", "{}", "reader", "mine")).Status);
        await OkAsync("users/password_update", """{"password":"readerpw","new_password":"mine"}""", "reader");
        Assert.Equal(HttpStatusCode.OK, (await Site.PostAsync("ping/logged", "{}", "reader", "mine")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await Site.PostAsync("ping/logged", "{}", "reader")).Status);
    }

    [Fact]
    public async Task W49_SearchByCopyTimeAndPrepareWithoutACopy_AreAnswered()
    {
        await OpenAsync();
        await UploadAsync("obs/a");
        await RegisterAsync("callback", 1);
        await using (var db = Site.Catalog.Open())
        {
            db.RemoteCopies.Add(
                new RemoteCopy
                {
                    FileName = "obs/a",
                    StoreId = 7,
                    PeerId = 1,
                    CopyTime = new DateTime(2026, 1, 2, 3, 4, 5, 678, DateTimeKind.Utc),
                    Sender = "testsite",
                }
            );
            await db.SaveChangesAsync(Stop);
        }

        Assert.Single((await OkAsync("search/instance_remote", """{"copy_time":"2026-01-02T03:04:05.678000"}""")).EnumerateArray());
        await AnswerAsync("search/instance_remote", """{"copy_time":"2026-01-02T03:04:05"}""", 404);
        await OkAsync("admin/instance/delete_local", """{"instance_id":1}""");
        Assert.Equal(
            "We have no available copy of the file",
            (await AnswerAsync("corrupt/prepare", """{"file_name":"obs/a","librarian_name":"callback"}""", 409, "callback"))
                .GetProperty("reason")
                .GetString()
        );
    }
}
