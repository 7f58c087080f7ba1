using System.Net;
using System.Text;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Tests.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Functions.Api;

public sealed class SqliteValidationTests(PostgresServer server) : ValidationTests(server, DatabaseKind.Sqlite);

public sealed class PostgresValidationTests(PostgresServer server) : ValidationTests(server, DatabaseKind.PostgreSql);

/// <summary>
/// validate/file (docs/spec/wire.md#validate-file) with two stores here and peers that answer, stay silent or ask back.
/// </summary>
public abstract class ValidationTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    private const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private readonly DirectoryInfo _second = Directory.CreateTempSubdirectory("librarian-second-");
    private TestSite _site = null!;

    public async ValueTask InitializeAsync() =>
        _site = await TestSite.CreateAsync(
            kind,
            server,
            settings: new Dictionary<string, string>
            {
                ["Site:Stores:1:Name"] = "second",
                ["Site:Stores:1:StagingPath"] = Path.Combine(_second.FullName, "staging"),
                ["Site:Stores:1:StorePath"] = Path.Combine(_second.FullName, "store"),
                ["Site:ChecksumLifetime"] = "00:00:00",
                ["Site:ValidationTimeout"] = "00:00:02",
            }
        );

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        _second.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Validate_UnknownFile_Is400()
    {
        var (status, body) = await _site.PostAsync("validate/file", """{"file_name":"none"}""", "reader");
        Assert.Equal(400, (int)status);
        Assert.Equal("This file does not exist in the librarian.", body.GetProperty("reason").GetString());
    }

    [Fact]
    public async Task W33_TwoLocalCopies_AreBothReadAndEachHasItsOwnVerdict()
    {
        await UploadTwiceAsync("obs/a");
        var good = await ValidateAsync("obs/a");
        Assert.Equal([1L, 2L], good.Copies.Select(c => c.GetProperty("store").GetInt64()));
        Assert.Equal(
            $$"""
            {"librarian":"testsite","store":1,"instance_id":1,"original_checksum":"{{HelloSum}}",
            "original_size":11,"current_checksum":"{{HelloSum}}","current_size":11,"computed_same_checksum":true}
            """.ReplaceLineEndings(""),
            good.Copies[0].GetRawText()
        );

        await File.WriteAllTextAsync(Path.Combine(_site.StorePath, "obs/a"), "hello_world");
        Assert.Equal(
            [false, true],
            (await ValidateAsync("obs/a")).Copies.Select(c => c.GetProperty("computed_same_checksum").GetBoolean())
        );
    }

    [Fact]
    public async Task W16_GoodCopyBesideABadOne_DoesNotClearItsMark()
    {
        await UploadTwiceAsync("obs/a");
        await File.WriteAllTextAsync(Path.Combine(_site.StorePath, "obs/a"), "hello_world");
        for (var i = 1; i <= 2; i++)
        {
            await ValidateAsync("obs/a");
            await using var db = _site.Catalog.Open();
            var corrupt = await db.CorruptFiles.AsNoTracking().SingleAsync();
            Assert.Equal((1L, i, 11L), (corrupt.CopyId, corrupt.Count, corrupt.Size));
        }

        var error = Assert.Single((await _site.PostAsync("search/error", """{"category":"data_integrity"}""")).Body.EnumerateArray());
        Assert.Equal("critical", error.GetProperty("severity").GetString());
        await File.WriteAllTextAsync(Path.Combine(_site.StorePath, "obs/a"), "hello world");
        await ValidateAsync("obs/a");
        await using (var db = _site.Catalog.Open())
            Assert.Equal(0, await db.CorruptFiles.CountAsync());
    }

    [Fact]
    public async Task Validate_CopyMissingOnDisk_IsLeftOutAndRecorded()
    {
        await UploadTwiceAsync("obs/a");
        File.Delete(Path.Combine(_site.StorePath, "obs/a"));
        Assert.Equal(2, Assert.Single((await ValidateAsync("obs/a")).Copies).GetProperty("instance_id").GetInt64());
        Assert.Equal(
            "data_availability",
            Assert.Single((await _site.PostAsync("search/error", "{}")).Body.EnumerateArray()).GetProperty("category").GetString()
        );
    }

    [Fact]
    public async Task Validate_Peers_AreAskedAtOnceAndTheSilentOnesNamed()
    {
        await UploadTwiceAsync("obs/a");
        var seen = new System.Collections.Concurrent.ConcurrentQueue<string>();
        await using var answering = await PeerAsync("answering", async context =>
        {
            seen.Enqueue(context.Request.Headers["X-Librarian-Asked"].ToString());
            context.Response.Headers["X-Librarian-Unreachable"] = "beyond";
            await context.Response.WriteAsync(
                """
                [{"librarian":"answering","store":3,"instance_id":9,"original_checksum":"c","original_size":1,
                  "current_checksum":"xxh3:::c","current_size":1,"computed_same_checksum":true},
                 {"librarian":"answering","store":3,"instance_id":9,"original_checksum":"c","original_size":1,
                  "current_checksum":"xxh3:::c","current_size":1,"computed_same_checksum":true}]
                """
            );
        });
        await using var hanging = await PeerAsync("hanging", context =>
            Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(static _ => { }, TaskScheduler.Default)
        );
        await using var failing = await PeerAsync("failing", async context =>
        {
            context.Response.StatusCode = 500;
            await context.Response.WriteAsync("Internal Server Error");
        });
        await using var ignorant = await PeerAsync("ignorant", async context =>
        {
            context.Response.StatusCode = 400;
            await context.Response.WriteAsync("""{"reason":"This file does not exist in the librarian.","suggested_remedy":""}""");
        });
        await RememberAsync("gone", 1);

        var (copies, unreachable) = await ValidateAsync("obs/a");
        Assert.Equal(["answering", "testsite", "testsite"], copies.Select(c => c.GetProperty("librarian").GetString()));
        Assert.Equal(["beyond", "failing", "gone", "hanging"], unreachable);
        Assert.Equal("testsite,answering,failing,gone,hanging,ignorant", Assert.Single(seen));

        // A question that has come by some of them goes to the others only.
        var again = await ValidateAsync("obs/a", "answering,hanging,failing,gone");
        Assert.Equal((2, 0), (again.Copies.Count, again.Unreachable.Count));
        Assert.Single(seen);
    }

    [Fact]
    public async Task Validate_AskedFromFarAway_ReadsOnlyLocalCopies()
    {
        await UploadTwiceAsync("obs/a");
        await RememberAsync("gone", 1);
        var (copies, unreachable) = await ValidateAsync("obs/a", string.Join(',', Enumerable.Range(0, 16).Select(i => "site" + i)));
        Assert.Equal((2, 0), (copies.Count, unreachable.Count));
    }

    private async Task<(List<JsonElement> Copies, List<string> Unreachable)> ValidateAsync(string name, string? asked = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/v2/validate/file")
        {
            Content = new StringContent($$"""{"file_name":"{{name}}"}""", Encoding.UTF8, "application/json"),
        };
        request.Headers.TryAddWithoutValidation("Authorization", TestSite.Basic("reader", "readerpw"));
        if (asked is not null)
            request.Headers.Add("X-Librarian-Asked", asked);
        using var response = await _site.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        var copies = JsonDocument.Parse(await response.Content.ReadAsStringAsync()).RootElement.EnumerateArray().ToList();
        return (
            copies,
            response.Headers.TryGetValues("X-Librarian-Unreachable", out var values) ? [.. string.Join(',', values).Split(',')] : []
        );
    }

    private async Task UploadTwiceAsync(string name)
    {
        var (id, location, _) = await _site.StageAsync(name, HelloSum, 11);
        await File.WriteAllTextAsync(location, "hello world");
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(id, name)).Status);
        var copy = Path.Combine(_second.FullName, "store", "copy");
        await File.WriteAllTextAsync(copy, "hello world");
        await using var db = _site.Catalog.Open();
        db.Copies.Add(
            new FileCopy
            {
                Path = "copy",
                FileName = name,
                StoreId = 2,
                DeletionPolicy = DeletionPolicy.Disallowed,
                CreatedTime = DateTime.UtcNow,
                Available = true,
            }
        );
        await db.SaveChangesAsync();
    }

    private async Task<WebApplication> PeerAsync(string name, RequestDelegate validate)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        app.MapPost("/api/v2/ping/", () => Results.Text("""{"name":"x","description":"y"}""", "application/json"));
        app.MapPost("/api/v2/validate/file", validate);
        await app.StartAsync();
        await RememberAsync(name, new Uri(app.Urls.Single()).Port);
        return app;
    }

    private async Task RememberAsync(string name, int port)
    {
        var (status, _) = await _site.PostAsync(
            "admin/librarians/add",
            $$"""
            {"librarian_name":"{{name}}","url":"http://127.0.0.1","port":{{port}},
             "authenticator":"testsite:secret","check_connection":false}
            """
        );
        Assert.Equal(HttpStatusCode.OK, status);
        await using var db = _site.Catalog.Open();
        db.RemoteCopies.Add(
            new RemoteCopy
            {
                FileName = "obs/a",
                StoreId = 3,
                PeerId = (await db.Peers.SingleAsync(l => l.Name == name)).Id,
                CopyTime = DateTime.UtcNow,
                Sender = "testsite",
            }
        );
        await db.SaveChangesAsync();
    }
}
