using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Repair;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteCorruptionTests(PostgresServer server) : CorruptionTests(server, DatabaseKind.Sqlite);

public sealed class PostgresCorruptionTests(PostgresServer server) : CorruptionTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// corrupt/* as the site that sends (docs/spec/wire.md#corrupt), and the replacement of a bad copy as the site that receives
/// (docs/spec/wire.md#repair).
/// </summary>
public abstract class CorruptionTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private readonly DirectoryInfo _theirs = Directory.CreateTempSubdirectory("librarian-theirs-");
    private TestSite _site = null!;

    private string Stored => Path.Combine(_site.StorePath, "obs/a");

    public async ValueTask InitializeAsync() =>
        _site = await TestSite.CreateAsync(
            kind,
            server,
            settings: new Dictionary<string, string>
            {
                ["Site:Peers:0:Name"] = "callback",
                ["Site:Peers:0:LocalRoots:0"] = _theirs.FullName,
            }
        );

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        _theirs.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    [Theory, InlineData("corrupt/prepare"), InlineData("corrupt/resend")]
    public async Task Corrupt_EachRefusalOfTheContract_HasItsStatusAndNoDetail(string path)
    {
        await UploadAsync();
        Assert.Equal((401, "Unauthorized"), await AskAsync(path, "obs/a", "callback", "callback"));
        await RegisterAsync("callback", port: 1);
        Assert.Equal((401, "Unauthorized"), await AskAsync(path, "obs/a", "callback", "other"));
        Assert.Equal((401, "Unauthorized"), await AskAsync(path, "obs/a", "callback", "admin"));
        Assert.Equal((409, "This file does not exist in the librarian."), await AskAsync(path, "obs/none", "callback", "callback"));
        Assert.Equal((409, "We are not able to send you files"), await AskAsync(path, "obs/a", "callback", "callback"));
        await File.WriteAllTextAsync(Stored, "hello_world");
        Assert.Equal((409, "Our copy of the file is also corrupt"), await AskAsync(path, "obs/a", "callback", "callback"));
        File.Delete(Stored);
        Assert.Equal((409, "We have no available copy of the file"), await AskAsync(path, "obs/a", "callback", "callback"));
        await using var db = _site.Catalog.Open();
        Assert.Equal(0, await db.OutgoingTransfers.CountAsync());
    }

    [Fact]
    public async Task CorruptPrepare_TransfersSwitchedOff_Is409UntilTheyAreOnAgain()
    {
        await UploadAsync();
        await using var peer = await PeerAsync("callback", _ => Results.StatusCode(500));
        Assert.Equal((200, null), await AskAsync("corrupt/prepare", "obs/a", "callback", "callback"));
        await _site.PostAsync("admin/librarians/transfer_status/set", """{"librarian_name":"callback","transfers_enabled":false}""");
        Assert.Equal((409, "We are not able to send you files"), await AskAsync("corrupt/prepare", "obs/a", "callback", "callback"));
    }

    [Fact]
    public async Task CorruptResend_CallerStillHoldsTheFile_Is409AndItsCopyIsLearntAgain()
    {
        await UploadAsync();
        const string Refusal = """
            {"reason":"File already exists on librarian.","suggested_remedy":"",
             "source_transfer_ids":[1],"destination_transfer_ids":[-1]}
            """;
        await using var peer = await PeerAsync("callback", _ => Results.Text(Refusal, "application/json", statusCode: 409));
        Assert.Equal((409, "Error creating send queue item"), await AskAsync("corrupt/resend", "obs/a", "callback", "callback"));
        await using var db = _site.Catalog.Open();
        Assert.Equal(5, (await db.RemoteCopies.SingleAsync()).StoreId);
    }

    [Fact]
    public async Task CorruptResend_CallerNamesAPlace_AnswersItsTransferAndForgetsItsOldCopies()
    {
        await UploadAsync();
        await using var peer = await PeerAsync("callback", staging =>
        {
            var place = $$$"""
                {"available_bytes_on_store":1,"store_name":"s",
                 "uploads":[{"staging_name":"x","staging_location":"{{{staging}}}/x/obs/a",
                   "upload_name":"obs/a","destination_location":"obs/a","source_transfer_id":1,"destination_transfer_id":77}],
                 "async_transfer_providers":{"local":{"transfer_attempted":false,"transfer_complete":false,"hostnames":["here"]} } }
                """;
            return Results.Text(place, "application/json", statusCode: 201);
        });
        await using (var db = _site.Catalog.Open())
        {
            db.RemoteCopies.Add(
                new RemoteCopy
                {
                    FileName = "obs/a",
                    StoreId = 5,
                    PeerId = (await db.Peers.SingleAsync()).Id,
                    CopyTime = DateTime.UtcNow,
                    Sender = "testsite",
                }
            );
            await db.SaveChangesAsync();
        }

        _theirs.CreateSubdirectory("x/obs");
        var (status, body) = await _site.PostAsync("corrupt/resend", """{"librarian_name":"callback","file_name":"obs/a"}""", "callback");
        Assert.Equal((200, """{"success":true,"destination_transfer_id":77}"""), ((int)status, body.GetRawText()));
        await using (var db = _site.Catalog.Open())
            Assert.Equal(0, await db.RemoteCopies.CountAsync());
    }

    [Fact]
    public async Task Stage_OfAFileWhoseBadCopyIsToBeReplaced_IsAcceptedOnlyForItsOwnContent()
    {
        await BadCopyAsync(requested: true);
        Assert.Equal(409, await StageAsync("xxh3:::00000000000000000000000000000000", 11));
        Assert.Equal(409, await StageAsync(HelloSum, 12));
        Assert.Equal(201, await StageAsync(HelloSum, 11));
        await using var db = _site.Catalog.Open();
        Assert.Equal(
            (await db.IncomingTransfers.OrderBy(t => t.Id).LastAsync()).Id,
            (await db.CorruptFiles.SingleAsync()).IncomingTransferId
        );
    }

    [Fact]
    public async Task Replacement_NotWhatTheCatalogSays_LeavesTheBadCopyWhereItIs()
    {
        var (transfer, _, staged) = await ArrivingAsync();
        await File.WriteAllTextAsync(staged, "hello+world");
        var result = await IngestAsync(transfer);
        Assert.Equal(IngestOutcome.Mismatch, result.Outcome);
        Assert.Equal("hello_world", await File.ReadAllTextAsync(Stored));
        await using var db = _site.Catalog.Open();
        Assert.Equal(1, await db.CorruptFiles.CountAsync());
    }

    /// <summary>
    /// What a crash leaves after each step of <c>Ingest.Replacement.cs</c>; the next run must end with the good data under the name.
    /// </summary>
    [Theory]
    [InlineData("verified")]
    [InlineData("placing")]
    [InlineData("aside")]
    [InlineData("placed")]
    public async Task Replacement_CrashedAfterAStep_IsFinishedByTheNextRun(string step)
    {
        var (transfer, staging, staged) = await ArrivingAsync();
        var store = _site.Services.GetRequiredService<SiteStores>().All[0].Store;
        Assert.True(FileName.TryParse("obs/a", out var path, out _));
        await using (var db = _site.Catalog.Open())
        {
            if (step != "verified")
                await db.IncomingTransfers.Where(t => t.Id == transfer).ExecuteUpdateAsync(s => s.SetProperty(t => t.Committing, true));
        }

        if (step is "aside" or "placed")
            Assert.Equal(QuarantineStatus.Moved, (await store.QuarantineAsync(path, staging)).Status);
        if (step is "placed")
            File.Move(staged, Stored);

        Assert.Equal(IngestOutcome.Ingested, (await IngestAsync(transfer)).Outcome);
        await ReplacedAsync(staging);
        // And once more, as a second delivery would.
        Assert.Equal(IngestOutcome.Ingested, (await IngestAsync(transfer)).Outcome);
        await ReplacedAsync(staging);
    }

    [Fact]
    public async Task Replacement_StagedDataVanishWhileTheBadCopyIsAside_BringsItBack()
    {
        var (transfer, staging, staged) = await ArrivingAsync();
        var store = _site.Services.GetRequiredService<SiteStores>().All[0].Store;
        Assert.True(FileName.TryParse("obs/a", out var path, out _));
        await using (var db = _site.Catalog.Open())
            await db.IncomingTransfers.Where(t => t.Id == transfer).ExecuteUpdateAsync(s => s.SetProperty(t => t.Committing, true));
        await store.QuarantineAsync(path, staging);
        File.Delete(staged);
        Assert.Equal(IngestOutcome.Missing, (await IngestAsync(transfer)).Outcome);
        Assert.Equal("hello_world", await File.ReadAllTextAsync(Stored));
    }

    [Fact]
    public async Task SetAside_ByARunThatWasStalled_DoesNotMoveTheReplacement()
    {
        var (transfer, staging, _) = await ArrivingAsync();
        Assert.Equal(IngestOutcome.Ingested, (await IngestAsync(transfer)).Outcome);
        var store = _site.Services.GetRequiredService<SiteStores>().All[0].Store;
        Assert.True(FileName.TryParse("obs/a", out var path, out _));
        Assert.Equal(QuarantineStatus.MovedBefore, (await store.QuarantineAsync(path, staging)).Status);
        await ReplacedAsync(staging);
    }

    [Fact]
    public async Task Aside_AfterAWeek_IsRemoved()
    {
        var (transfer, staging, _) = await ArrivingAsync();
        await IngestAsync(transfer);
        await _site.Services.GetRequiredService<RepairScheduler>().ScheduleAsync(CancellationToken.None);
        var quarantine = Path.Combine(_site.StorePath, ".librarian/aside", staging.ToString("D"));
        Assert.True(Directory.Exists(quarantine));
        Directory.SetLastWriteTimeUtc(quarantine, DateTime.UtcNow.AddDays(-8));
        await _site.Services.GetRequiredService<RepairScheduler>().ScheduleAsync(CancellationToken.None);
        Assert.False(Directory.Exists(quarantine));
        Assert.Equal("hello world", await File.ReadAllTextAsync(Stored));
    }

    private async Task ReplacedAsync(Guid staging)
    {
        Assert.Equal("hello world", await File.ReadAllTextAsync(Stored));
        Assert.Equal(
            "hello_world",
            await File.ReadAllTextAsync(Path.Combine(_site.StorePath, ".librarian/aside", staging.ToString("D"), "data"))
        );
        await using var db = _site.Catalog.Open();
        Assert.Equal(0, await db.CorruptFiles.CountAsync());
        var copy = await db.Copies.SingleAsync();
        Assert.Equal((true, null, "obs/a"), (copy.Available, copy.CalculatedChecksum, copy.Path));
        Assert.Equal(1, await db.Files.CountAsync());
    }

    private Task<IngestResult> IngestAsync(long transfer) =>
        _site.Services.GetRequiredService<StagedFileIngest>().RunAsync(transfer, DeletionPolicy.Disallowed, CancellationToken.None);

    /// <summary>A bad copy with its replacement in staging.</summary>
    private async Task<(long Transfer, Guid Staging, string Staged)> ArrivingAsync()
    {
        await BadCopyAsync(requested: true);
        Assert.Equal(201, await StageAsync(HelloSum, 11));
        await using var db = _site.Catalog.Open();
        var transfer = await db.IncomingTransfers.OrderBy(t => t.Id).LastAsync();
        var staged = Path.Combine(_site.StagingPath, transfer.StagingPath!, "obs/a");
        await File.WriteAllTextAsync(staged, "hello world");
        transfer.Status = TransferStatus.Staged;
        await db.SaveChangesAsync();
        return (transfer.Id, Guid.Parse(transfer.StagingPath!), staged);
    }

    private async Task BadCopyAsync(bool requested)
    {
        await UploadAsync();
        await File.WriteAllTextAsync(Stored, "hello_world");
        await _site.PostAsync("validate/file", """{"file_name":"obs/a"}""");
        if (requested)
            await RequestAsync();
    }

    private async Task RequestAsync()
    {
        await using var db = _site.Catalog.Open();
        Assert.Equal(1, await db.CorruptFiles.ExecuteUpdateAsync(s => s.SetProperty(c => c.ReplacementRequested, true)));
    }

    private async Task<int> StageAsync(string checksum, long size)
    {
        var (status, _) = await _site.PostAsync(
            "clone/batch_stage",
            $$"""
            {"uploads":[{"upload_size":{{size}},"upload_checksum":"{{checksum}}","upload_name":"obs/a",
               "destination_location":"obs/a","uploader":"x","source_transfer_id":4}],"source":"uploader","total_size":{{size}}}
            """,
            "uploader"
        );
        return (int)status;
    }

    private async Task UploadAsync()
    {
        var (id, location, _) = await _site.StageAsync("obs/a", HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, "obs/a")).Status);
    }

    private async Task<(int Status, string? Reason)> AskAsync(string path, string file, string librarian, string user)
    {
        var (status, body) = await _site.PostAsync(path, $$"""{"file_name":"{{file}}","librarian_name":"{{librarian}}"}""", user);
        Assert.False(body.TryGetProperty("detail", out _));
        return ((int)status, body.TryGetProperty("reason", out var reason) ? reason.GetString() : null);
    }

    private async Task RegisterAsync(string name, int port)
    {
        var (status, _) = await _site.PostAsync(
            "admin/librarians/add",
            $$"""
            {"librarian_name":"{{name}}","url":"http://127.0.0.1","port":{{port}},
             "authenticator":"testsite:secret","check_connection":false}
            """
        );
        Assert.Equal(HttpStatusCode.OK, status);
    }

    /// <summary>A peer that answers staging as told and always says that it holds the file on its store 5.</summary>
    private async Task<WebApplication> PeerAsync(string name, Func<string, IResult> stage)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        app.MapPost("/api/v2/ping/", () => Results.Text("""{"name":"x","description":"y"}""", "application/json"));
        app.MapPost("/api/v2/ping/logged", () => Results.Text("""{"name":"x","description":"y"}""", "application/json"));
        app.MapPost("/api/v2/clone/batch_stage", () => stage(_theirs.FullName));
        var updated = """
            {"modified_source_transfer_ids":[],"modified_destination_transfer_ids":[77],
             "unmodified_source_transfer_ids":[],"unmodified_destination_transfer_ids":[],"reasons":[]}
            """;
        var found = $$"""
            [{"name":"obs/a","create_time":"2026-01-01T00:00:00","size":11,"checksum":"{{HelloSum}}","uploader":"u","source":"s",
              "instances":[{"path":"/p","deletion_policy":0,"created_time":"2026-01-01T00:00:00",
                "available":true,"id":null,"file_name":null,"store_id":5}],
              "remote_instances":[]}]
            """;
        var good = $$"""
            [{"librarian":"{{name}}","store":5,"instance_id":1,"original_checksum":"{{HelloSum}}",
              "original_size":11,"current_checksum":"{{HelloSum}}","current_size":11,"computed_same_checksum":true}]
            """;
        app.MapPost("/api/v2/checkin/update", () => Results.Text(updated, "application/json"));
        app.MapPost("/api/v2/search/file", () => Results.Text(found, "application/json"));
        app.MapPost("/api/v2/validate/file", () => Results.Text(good, "application/json"));
        await app.StartAsync();
        await RegisterAsync(name, new Uri(app.Urls.Single()).Port);
        return app;
    }
}
