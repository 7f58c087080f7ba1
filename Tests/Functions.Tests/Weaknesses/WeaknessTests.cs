using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Librarian.Domain.Catalog;
using Librarian.Durable;
using Librarian.Orchestrations.Clone;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;
using Microsoft.DurableTask;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Weaknesses;

/// <summary>
/// What the tests of upstream's known weaknesses share (docs/compatibility.md lists them): a real site over HTTP that sends to the
/// peers <c>callback</c> and <c>other</c>, which a test may start.
/// </summary>
public abstract class WeaknessTests(PostgresServer server, DatabaseKind kind) : IAsyncLifetime
{
    protected const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    private readonly DirectoryInfo _scratch = Directory.CreateTempSubdirectory("librarian-weak-");
    private readonly List<IAsyncDisposable> _open = [];

    protected PostgresServer Server { get; } = server;

    protected DatabaseKind Kind { get; } = kind;

    protected TestSite Site { get; private set; } = null!;

    protected string Scratch => _scratch.FullName;

    protected static CancellationToken Stop => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        if (Site is not null)
            await Site.DisposeAsync();
        foreach (var open in _open)
            await open.DisposeAsync();
        _scratch.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    protected string StagingOf(string peer) => Path.Combine(Scratch, peer);

    protected async Task OpenAsync(params (string Setting, string Value)[] settings)
    {
        var all = new Dictionary<string, string>();
        foreach (var (name, i) in new[] { ("callback", 0), ("other", 1) })
        {
            all[$"Site:Peers:{i}:Name"] = name;
            all[$"Site:Peers:{i}:Send"] = "true";
            all[$"Site:Peers:{i}:LocalRoots:0"] = StagingOf(name);
        }

        foreach (var (setting, value) in settings)
            all[setting] = value;
        Site = await TestSite.CreateAsync(Kind, Server, settings: all);
    }

    /// <summary>Starts a peer and registers it at the site.</summary>
    protected async Task<FakePeer> PeerAsync(string name)
    {
        var peer = await FakePeer.StartAsync(StagingOf(name));
        _open.Add(peer);
        await RegisterAsync(name, peer.Port);
        return peer;
    }

    protected async Task RegisterAsync(string name, int port) =>
        await OkAsync(
            "admin/librarians/add",
            $$"""
            {"librarian_name":"{{name}}","url":"http://127.0.0.1","port":{{port}},
             "authenticator":"testsite:secret","check_connection":false}
            """
        );

    protected static string Sum(string content) => "sha256:::" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(content)));

    /// <summary>Uploads a file and returns where it is stored.</summary>
    protected async Task<string> UploadAsync(string name, string content = "hello world")
    {
        var (id, location, _) = await Site.StageAsync(name, Sum(content), Encoding.UTF8.GetByteCount(content));
        await File.WriteAllTextAsync(location, content);
        Assert.Equal(HttpStatusCode.OK, (await Site.CommitAsync(id, name)).Status);
        return Path.Combine(Site.StorePath, name);
    }

    protected async Task<JsonElement> OkAsync(string path, string? json, string user = "admin") => await AnswerAsync(path, json, 200, user);

    protected async Task<JsonElement> AnswerAsync(string path, string? json, int expected, string user = "admin")
    {
        var (status, body) = await Site.PostAsync(path, json, user);
        Assert.True(
            (int)status == expected,
            $"{path} answered {(int)status} {(body.ValueKind == JsonValueKind.Undefined ? "" : body.GetRawText())}"
        );
        return body;
    }

    /// <summary>Stages a file as the peer of that account; returns the transfer and the place.</summary>
    protected async Task<(long Id, string Location)> StageCloneAsync(
        string name,
        string content,
        string source = "other",
        long sourceTransfer = 1
    )
    {
        var body = await AnswerAsync("clone/batch_stage", CloneBatch(name, content, source, sourceTransfer), 201, source);
        var place = body.GetProperty("uploads")[0];
        return (place.GetProperty("destination_transfer_id").GetInt64(), place.GetProperty("staging_location").GetString()!);
    }

    protected static string CloneBatch(string name, string content, string source = "other", long sourceTransfer = 1) =>
        $$"""
            {"uploads":[{"upload_size":{{content.Length}},"upload_checksum":"{{Sum(content)}}","upload_name":"{{name}}",
               "destination_location":"{{name}}","uploader":"u","source_transfer_id":{{sourceTransfer}}}],
             "source":"{{source}}","total_size":{{content.Length}}}
            """;

    protected static string Checkin(long incoming, int status) =>
        $$"""{"source_transfer_ids":[],"destination_transfer_ids":[{{incoming}}],"new_status":{{status}}}""";

    /// <summary>What the timer does: starts batches for what peers lack; the number of files.</summary>
    protected Task<int> SendAsync() => Site.Services.GetRequiredService<CloneScheduler>().ScheduleAsync(Stop);

    protected static Task UntilAsync(Func<Task<bool>> holds, string what) => Wait.UntilAsync(holds, what);

    protected static Task UntilAsync(Func<bool> holds, string what) => Wait.UntilAsync(holds, what);

    protected async Task<T> ReadAsync<T>(Func<CatalogContext, Task<T>> query)
    {
        await using var db = Site.Catalog.Open();
        return await query(db);
    }

    /// <summary>Waits until every transfer of a file to a peer has reached a state.</summary>
    protected Task UntilSentAsync(string file, string peer, TransferStatus status) =>
        UntilAsync(
            () => ReadAsync(db => db.OutgoingTransfers.AnyAsync(t => t.FileName == file && t.Destination == peer && t.Status == status)),
            $"{file} to {peer} {status}"
        );
}

/// <summary>What an activity is told when a test calls it without the engine.</summary>
internal sealed class DirectCall : DatabaseActivityContext
{
    public override TaskName Name => new("direct");

    public override string Version => "";

    public override string InstanceId => "direct";

    public override string OperationId => "direct/1/1";

    public override int DeliveryCount => 1;

    public override CancellationToken CancellationToken => TestContext.Current.CancellationToken;

    public override void Heartbeat(object? progress) { }
}
