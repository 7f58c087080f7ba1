using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Domain.Transfers;
using Librarian.Durable;
using Librarian.Orchestrations.Clone;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.DurableTask;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Adopt;

/// <summary>A site on what was taken over: old passwords, files, and calls of peers that still name the old ids.</summary>
public class AdoptedSiteTests(PostgresServer server)
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private const string Long = "'2025-01-01 00:00:00'";

    public static TheoryData<DatabaseKind> Kinds => new(DatabaseKind.Sqlite, DatabaseKind.PostgreSql);

    [Theory, MemberData(nameof(Kinds))]
    public async Task Site_OnAnAdoptedCatalog_KnowsUsersFilesAndTransfers(DatabaseKind kind)
    {
        await using var fixture = await SiteAsync(kind);
        await using var site = await fixture.StartSiteAsync();

        Assert.Equal(HttpStatusCode.OK, (await site.PostAsync("ping/admin", "{}", "admin", "password")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await site.PostAsync("ping/admin", "{}", "admin", "Password")).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await site.PostAsync("ping/admin", "{}", "archive", "password")).Status);

        var (status, found) = await site.PostAsync("search/file", """{"name":"obs/hello"}""", "admin", "password");
        Assert.Equal(HttpStatusCode.OK, status);
        Assert.Equal(
            (11, HelloSum, "2025-01-01T00:00:00"),
            (
                found[0].GetProperty("size").GetInt64(),
                found[0].GetProperty("checksum").GetString(),
                found[0].GetProperty("create_time").GetString()
            )
        );
        var copy = Assert.Single(found[0].GetProperty("instances").EnumerateArray());
        Assert.Equal(
            ($"{fixture.Store}/obs/hello", 3, true),
            (copy.GetProperty("path").GetString(), copy.GetProperty("store_id").GetInt64(), copy.GetProperty("available").GetBoolean())
        );

        // The copy is readable through the adopted store, so it verifies.
        var (_, checks) = await site.PostAsync("validate/file", """{"file_name":"obs/hello"}""", "admin", "password");
        Assert.True(checks[0].GetProperty("computed_same_checksum").GetBoolean(), checks.GetRawText());

        // Callbacks in flight name the old ids: one STAGED, one ONGOING, one that travels on a drive.
        foreach (var (ours, theirs) in new[] { (41, 141), (42, 142), (46, -1) })
        {
            var answer = await site.PostAsync(
                "clone/complete",
                $$"""{"source_transfer_id":{{ours}},"destination_transfer_id":{{theirs}},"store_id":8}""",
                "archive",
                "password"
            );
            Assert.Equal((HttpStatusCode.OK, ours), (answer.Status, answer.Body.GetProperty("source_transfer_id").GetInt32()));
        }

        await using var db = site.Catalog.Open();
        Assert.Equal(
            [41, 42, 46],
            await db
                .OutgoingTransfers.Where(t => t.Status == TransferStatus.Completed)
                .OrderBy(t => t.Id)
                .Select(t => (int)t.Id)
                .ToListAsync()
        );
        Assert.Equal(
            ["obs/drive", "obs/hello", "obs/moving"],
            await db.RemoteCopies.Where(r => r.StoreId == 8 && r.PeerId == 4).OrderBy(r => r.FileName).Select(r => r.FileName).ToListAsync()
        );
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task AdoptedIncoming_StagedByAPeer_IsIngestedUnderItsOldId(DatabaseKind kind)
    {
        await using var fixture = await SiteAsync(kind);
        var staging = Guid.NewGuid();
        Directory.CreateDirectory(Path.Combine(fixture.Staging, $"{staging}", "obs"));
        await File.WriteAllTextAsync(Path.Combine(fixture.Staging, $"{staging}", "obs/new"), "hello world");
        await fixture.Source.ExecuteAsync(
            $"""
            INSERT INTO incoming_transfers (id, status, uploader, upload_name, source, transfer_size, transfer_checksum, store_id,
                start_time, staging_path, store_path, source_transfer_id) VALUES
              (61, 'ONGOING', 'mountain', 'obs/new', 'mountain', 11, '{HelloSum}', 3, {Long}, '{staging}', 'obs/new', 161)
            """
        );
        Assert.Equal(0, (await fixture.RunAsync()).Exit);
        await using var site = await fixture.StartSiteAsync();
        var (_, body) = await site.PostAsync(
            "checkin/update",
            """{"source_transfer_ids":[],"destination_transfer_ids":[61],"new_status":2}""",
            "mountain",
            "password"
        );
        Assert.Equal(61, body.GetProperty("modified_destination_transfer_ids")[0].GetInt32());

        var ingest = site.Services.GetRequiredService<StagedFileIngest>();
        // The site's own workflow ingests it at the same time; of two runs one may say that the other is at work.
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        IngestOutcome outcome;
        while ((outcome = (await ingest.RunAsync(61, DeletionPolicy.Disallowed, limit.Token)).Outcome) == IngestOutcome.TryLater)
            await Task.Yield();
        Assert.Equal(IngestOutcome.Ingested, outcome);

        await using var db = site.Catalog.Open();
        Assert.Equal(
            "hello world",
            await File.ReadAllTextAsync(Path.Combine(fixture.Store, (await db.Copies.SingleAsync(i => i.FileName == "obs/new")).Path))
        );
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task AdoptedBatch_ReviewedWithItsDestination_EndsAsTheDestinationSays(DatabaseKind kind)
    {
        await using var fixture = await SiteAsync(kind);
        await using var site = await fixture.StartSiteAsync();
        // The destination holds obs/hello (41 was STAGED) and knows nothing of the rest.
        await using var peer = await PeerAsync(
            fixture,
            site,
            $$"""
            [{"name":"obs/hello","create_time":"2025-01-01T00:00:00","size":11,"checksum":"{{HelloSum}}","uploader":"u","source":"s",
              "instances":[{"path":"/p","deletion_policy":0,"created_time":"2025-01-01T00:00:00","available":true,"store_id":8}],
              "remote_instances":[]}]
            """
        );
        var activities = new ServiceCollection()
            .AddSingleton(site.Services.GetRequiredService<BatchWork>())
            .AddSingleton(TimeProvider.System)
            .BuildServiceProvider();
        var batch = new SendCloneInput(30, "archive");

        var step = await ActivatorUtilities.CreateInstance<ReviewBatch>(activities).RunAsync(new ActivityStub(), batch);
        Assert.Equal(0, step.Remaining);
        await ActivatorUtilities.CreateInstance<FinishBatch>(activities).RunAsync(new ActivityStub(), batch);

        await using var db = site.Catalog.Open();
        Assert.Equal(
            [(41, TransferStatus.Completed), (47, TransferStatus.Failed)],
            (await db.OutgoingTransfers.Where(t => t.SendQueueId == 30).OrderBy(t => t.Id).ToListAsync()).Select(t => ((int)t.Id, t.Status))
        );
        Assert.Equal(8, (await db.RemoteCopies.SingleAsync(r => r.FileName == "obs/hello")).StoreId);
        var queue = await db.SendQueue.SingleAsync(q => q.Id == 30);
        Assert.True(queue.Completed);
        Assert.Equal("task-1", (await db.CompletedTransfers.SingleAsync()).TaskId);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task AdoptedBatches_NotYetEnded_GetAWorkflowAndDoNotHoldUpNewOnes(DatabaseKind kind)
    {
        await using var fixture = await SiteAsync(kind);
        fixture.Settings["Site:Peers:0:Send"] = "true";
        fixture.Settings["Site:Peers:0:MaxBatchesInFlight"] = "1";
        await using var site = await fixture.StartSiteAsync();
        var scheduler = site.Services.GetRequiredService<CloneScheduler>();
        // The destination lacks obs/offered (its transfer had not been agreed) and is being sent the rest.
        Assert.Equal(1, await scheduler.ScheduleAsync(default));
        Assert.Equal(2, await scheduler.ReviewStaleAsync(default));
        await using var db = site.Catalog.Open();
        var made = await db.OutgoingTransfers.SingleAsync(t => t.FileName == "obs/offered" && t.Status != TransferStatus.Failed);
        Assert.True(made.SendQueueId > 31, $"{made.SendQueueId}");
    }

    private async Task<AdoptFixture> SiteAsync(DatabaseKind kind)
    {
        var fixture = await AdoptFixture.CreateAsync(kind, kind, server);
        Directory.CreateDirectory(Path.Combine(fixture.Store, "obs"));
        await File.WriteAllTextAsync(Path.Combine(fixture.Store, "obs/hello"), "hello world");
        await fixture.Source.AddSiteAsync(AdoptFixture.Authenticator());
        string File_(string name) => $"('obs/{name}', {Long}, 11, '{HelloSum}', 'mountain', 'mountain')";
        string Copy(int id, string name) => $"({id}, '{fixture.Store}/obs/{name}', 'obs/{name}', 3, 'DISALLOWED', {Long}, true)";
        await fixture.Source.ExecuteAsync(
            $"""
            UPDATE librarians SET transfers_enabled = true;
            INSERT INTO files (name, create_time, size, checksum, uploader, source) VALUES
              {File_("hello")}, {File_("moving")}, {File_("drive")}, {File_("offered")}, {File_("unknown")};
            INSERT INTO instances (id, path, file_name, store_id, deletion_policy, created_time, available) VALUES
              {Copy(1, "hello")}, {Copy(2, "moving")}, {Copy(3, "drive")}, {Copy(4, "offered")}, {Copy(5, "unknown")};
            INSERT INTO send_queue (id, priority, created_time, retries, destination, consumed, completed, failed) VALUES
              (30, 0, {Long}, 0, 'archive', true, true, false), (31, 0, {Long}, 0, 'archive', false, false, false);
            INSERT INTO completed_transfers (id, task_id, source_endpoint_id, destination_endpoint_id, start_time, end_time,
                duration_seconds, bytes_transferred, effective_bandwidth_bps) VALUES
              (30, 'task-1', 'a', 'b', {Long}, {Long}, 1, 1, 1);
            INSERT INTO outgoing_transfers (id, status, destination, transfer_size, transfer_checksum, start_time, file_name, instance_id,
                remote_transfer_id, send_queue_id, source_path, dest_path) VALUES
              (41, 'STAGED', 'archive', 11, '{HelloSum}', {Long}, 'obs/hello', 1, 141, 30, '{fixture.Store}/obs/hello', '/there/a'),
              (42, 'ONGOING', 'archive', 11, '{HelloSum}', {Long}, 'obs/moving', 2, 142, 31, '{fixture.Store}/obs/moving', '/there/b'),
              (43, 'INITIATED', 'archive', 11, '{HelloSum}', {Long}, 'obs/offered', 4, NULL, 31, NULL, NULL),
              (46, 'ONGOING', 'archive', 11, '{HelloSum}', {Long}, 'obs/drive', 3, NULL, NULL, NULL, NULL),
              (47, 'STAGED', 'archive', 11, '{HelloSum}', {Long}, 'obs/unknown', 5, 147, 30, '{fixture.Store}/obs/unknown', '/there/c');
            """
        );
        var run = await fixture.RunAsync();
        Assert.True(run.Exit == 0, run.Output + run.Errors);
        return fixture;
    }

    private sealed class ActivityStub : DatabaseActivityContext
    {
        public override TaskName Name => new("review");

        public override string Version => "";

        public override string InstanceId => "send-clone-30";

        public override string OperationId => "send-clone-30/1/1";

        public override int DeliveryCount => 1;

        public override CancellationToken CancellationToken => TestContext.Current.CancellationToken;

        public override void Heartbeat(object? progress) { }
    }

    /// <summary>A peer that has forgotten every transfer and answers searches for obs/hello.</summary>
    private static async Task<WebApplication> PeerAsync(AdoptFixture fixture, TestSite site, string hello)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        app.MapPost("/api/v2/checkin/status", () =>
            Results.Text("""{"source_transfer_status":{},"destination_transfer_status":{"141":null,"147":null}}""", "application/json")
        );
        app.MapPost("/api/v2/clone/fail", () =>
            Results.Text("""{"reason":"unknown","suggested_remedy":""}""", "application/json", statusCode: 404)
        );
        app.MapPost("/api/v2/search/file", async (HttpRequest request) =>
        {
            using var body = new StreamReader(request.Body);
            return (await body.ReadToEndAsync()).Contains("obs/hello", StringComparison.Ordinal)
                ? Results.Text(hello, "application/json")
                : Results.Text("""{"reason":"No files found.","suggested_remedy":""}""", "application/json", statusCode: 404);
        });
        var good = $$"""
            [{"librarian":"archive","store":8,"instance_id":1,"original_checksum":"{{HelloSum}}",
              "original_size":11,"current_checksum":"{{HelloSum}}","current_size":11,"computed_same_checksum":true}]
            """;
        app.MapPost("/api/v2/validate/file", () => Results.Text(good, "application/json"));
        await app.StartAsync();
        var port = new Uri(app.Urls.Single()).Port;
        await using var db = site.Catalog.Open();
        await db.Peers.ExecuteUpdateAsync(s => s.SetProperty(l => l.Port, port));
        return app;
    }
}
