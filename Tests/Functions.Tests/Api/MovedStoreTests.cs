using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Domain.Files;
using Librarian.Durable;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.TransferManagers;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Microsoft.DurableTask;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

/// <summary>A store that was moved to another path while the site was down, and one that is away.</summary>
public sealed class MovedStoreTests(PostgresServer server) : IDisposable
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private readonly DirectoryInfo _root = Directory.CreateTempSubdirectory("librarian-moved-");
    private string? _database;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        SqliteConnection.ClearAllPools();
        _root.Delete(recursive: true);
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task Start_WithTheStoreElsewhere_ServesAllItsFilesFromThere(DatabaseKind kind)
    {
        await using (var before = await StartAsync(kind, "a", makeUsers: true))
        {
            await UploadAsync(before, "obs/1.bin");
            await UploadAsync(before, "obs/2.bin");
        }

        Directory.Move(In("a"), In("b"));
        await using var site = await StartAsync(kind, "b");
        var path = In("b/obs/1.bin");
        var (_, files) = await site.PostAsync("search/file", """{"name":"obs/1.bin"}""");
        Assert.Equal(path, files[0].GetProperty("instances")[0].GetProperty("path").GetString());
        var (_, found) = await site.PostAsync("search/instance_local", $$"""{"path":"{{path}}"}""");
        Assert.Equal((path, "obs/1.bin"), (found[0].GetProperty("path").GetString(), found[0].GetProperty("file_name").GetString()));
        Assert.Equal(
            HttpStatusCode.NotFound,
            (await site.PostAsync("search/instance_local", $$"""{"path":"{{In("a/obs/1.bin")}}"}""")).Status
        );
        Assert.Equal(HttpStatusCode.NotFound, (await site.PostAsync("search/instance_local", """{"path":"obs/1.bin"}""")).Status);

        var (_, copies) = await site.PostAsync("validate/file", """{"file_name":"obs/1.bin"}""", "reader");
        Assert.True(copies[0].GetProperty("computed_same_checksum").GetBoolean());
        var (_, manifest) = await site.PostAsync(
            "admin/stores/manifest",
            """
            {"store_name":"main","create_outgoing_transfers":false,"destination_librarian":"",
             "disable_store":false,"mark_local_instances_as_unavailable":false}
            """
        );
        Assert.Equal(
            [path, In("b/obs/2.bin")],
            manifest.GetProperty("store_files").EnumerateArray().Select(f => f.GetProperty("instance_path").GetString())
        );

        // Names inside what is catalogued are still refused, and new data are taken where the store is now.
        await File.WriteAllTextAsync(In("b/obs/3.bin"), "hello world", Stop);
        Assert.Equal(HttpStatusCode.BadRequest, (await AddAsync(site, "inside", path + "/inner")).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await AddAsync(site, "obs/3.bin", In("a/obs/3.bin"))).Status);
        Assert.True((await AddAsync(site, "obs/3.bin", In("b/obs/3.bin"))).Body.GetProperty("success").GetBoolean());

        Assert.Equal(
            HttpStatusCode.OK,
            (await site.PostAsync("admin/instance/delete_local", """{"instance_id":1,"delete_file":true}""")).Status
        );
        Assert.False(File.Exists(path));
        await using var db = site.Catalog.Open();
        Assert.Equal(["obs/2.bin", "obs/3.bin"], await db.Copies.Select(i => i.Path).OrderBy(p => p).ToListAsync(Stop));
    }

    [Theory, InlineData(DatabaseKind.Sqlite), InlineData(DatabaseKind.PostgreSql)]
    public async Task CopyBatch_MadeBeforeTheStoreMoved_IsCopiedFromItsNewPlace(DatabaseKind kind)
    {
        Directory.CreateDirectory(In("far"));
        await using (var before = await StartAsync(kind, "a", makeUsers: true))
        {
            await UploadAsync(before, "obs/1.bin");
            Assert.Equal(
                HttpStatusCode.OK,
                (
                    await before.PostAsync(
                        "admin/librarians/add",
                        """{"librarian_name":"archive","url":"http://127.0.0.1","port":1,"authenticator":"a:b","check_connection":false}"""
                    )
                ).Status
            );
            await using var db = before.Catalog.Open();
            db.SendQueue.Add(new SendQueueItem { CreatedTime = DateTime.UtcNow, Destination = "archive" });
            await db.SaveChangesAsync(Stop);
            db.OutgoingTransfers.Add(
                new OutgoingTransfer
                {
                    Status = TransferStatus.Ongoing,
                    Destination = "archive",
                    TransferSize = 11,
                    TransferChecksum = HelloSum,
                    StartTime = DateTime.UtcNow,
                    FileName = "obs/1.bin",
                    CopyId = 1,
                    SendQueueId = 1,
                    SourcePath = In("a/obs/1.bin"),
                    DestPath = In("far/obs/1.bin"),
                }
            );
            await db.SaveChangesAsync(Stop);
        }

        Directory.Move(In("a"), In("b"));
        await using var site = await StartAsync(kind, "b");
        var activities = new ServiceCollection()
            .AddSingleton(site.Services.GetRequiredService<BatchWork>())
            .AddSingleton(site.Services.GetRequiredService<CopyChecks>())
            .AddSingleton(site.Services.GetRequiredService<TransferManagerChoice>())
            .AddSingleton(TimeProvider.System)
            .BuildServiceProvider();
        var step = await ActivatorUtilities
            .CreateInstance<CopyBatch>(activities)
            .RunAsync(new ActivityStub(), new SendCloneInput(1, "archive"));
        Assert.Equal("1 files copied, 0 could not be.", step.Message);
        Assert.Equal("hello world", await File.ReadAllTextAsync(In("far/obs/1.bin"), Stop));
    }

    [Fact]
    public async Task Validate_StoreThatIsAway_IsNotTakenForNoCopies()
    {
        await using var site = await StartAsync(DatabaseKind.Sqlite, "a", makeUsers: true);
        await UploadAsync(site, "obs/1.bin");
        // What is remembered of the copy says nothing of it now.
        Assert.Equal(1, (await site.PostAsync("validate/file", """{"file_name":"obs/1.bin"}""", "reader")).Body.GetArrayLength());
        Directory.Move(In("a"), In("b"));
        using var response = await site.SendAsync(
            "validate/file",
            """{"file_name":"obs/1.bin"}""",
            TestSite.Basic("reader", TestSite.Password("reader"))
        );
        Assert.Equal("[]", await response.Content.ReadAsStringAsync(Stop));
        Assert.Equal("testsite", Assert.Single(response.Headers.GetValues("X-Librarian-Unreachable")));
        var (_, errors) = await site.PostAsync("search/error", """{"category":"data_availability"}""");
        Assert.Equal(
            $"The copy of 'obs/1.bin' at {In("a/obs/1.bin")} could not be read: Store 'main' is not mounted: "
                + $"{In("a")} does not exist. Nothing was lost, and nothing is read or written there. "
                + "Mount it; the site notices by itself. If the store has moved, correct its StorePath in Site:Stores and restart "
                + "the site: its files are found again. Whether it is good is not known.",
            errors[0].GetProperty("message").GetString()
        );
    }

    private string In(string relative) => Path.Combine(_root.FullName, relative);

    private async Task<TestSite> StartAsync(DatabaseKind kind, string store, bool makeUsers = false)
    {
        if (kind == DatabaseKind.PostgreSql)
            _database ??= await server.CreateDatabaseAsync();
        var settings = new Dictionary<string, string>
        {
            ["Site:DataDirectory"] = In("data"),
            ["Site:Stores:0:StagingPath"] = In("staging"),
            ["Site:Stores:0:StorePath"] = In(store),
            ["Site:Peers:0:Name"] = "archive",
            ["Site:Peers:0:LocalRoots:0"] = In("far"),
        };
        if (_database is not null)
            (settings["Site:Database"], settings["Site:AllowUnsafeDatabase"]) = (_database, "true");
        return await TestSite.CreateAsync(DatabaseKind.Sqlite, server, settings: settings, makeUsers: makeUsers);
    }

    private static async Task UploadAsync(TestSite site, string name)
    {
        var (id, location, _) = await site.StageAsync(name, HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world", Stop);
        Assert.Equal(HttpStatusCode.OK, (await site.CommitAsync(id, name)).Status);
    }

    private static Task<(HttpStatusCode Status, System.Text.Json.JsonElement Body)> AddAsync(TestSite site, string name, string path) =>
        site.PostAsync(
            "admin/add_file",
            $$"""
            {"name":"{{name}}","create_time":"2023-11-14T22:13:20.250000Z","size":11,
             "checksum":"{{HelloSum}}","uploader":"u","source":"s","path":"{{path}}","store_name":"main"}
            """
        );

    private sealed class ActivityStub : DatabaseActivityContext
    {
        public override TaskName Name => new("copy");

        public override string Version => "";

        public override string InstanceId => "send-clone-1";

        public override string OperationId => "send-clone-1/1/1";

        public override int DeliveryCount => 1;

        public override CancellationToken CancellationToken => Stop;

        public override void Heartbeat(object? progress) { }
    }
}
