using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Transfers;
using Librarian.Durable;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Incoming;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;
using Librarian.Tests.TestKit.Upstream;
using Microsoft.DurableTask;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Librarian.Tests.Functions.Peers;

/// <summary>A site of ours and an upstream librarian that know each other, over sockets.</summary>
internal sealed class PeerFixture : IAsyncDisposable
{
    public const string HelloSum = "xxh3:::df8d09e93f874900a99b8775cc15b6c7";
    public const string AbcSum = "xxh3:::06b05ab6733a618578af5f94892f3950";
    public const string DirectorySum = "xxh3:::1cf8edfa1119a1f0ac66c88ef6317369";
    private readonly DirectoryInfo _folder;

    private PeerFixture(TestSite site, UpstreamLibrarian peer, DirectoryInfo folder) => (Site, Peer, _folder) = (site, peer, folder);

    public TestSite Site { get; }

    public UpstreamLibrarian Peer { get; }

    public string Folder => _folder.FullName;

    public static async Task<PeerFixture> CreateAsync(
        DatabaseKind kind,
        PostgresServer server,
        IReadOnlyDictionary<string, string>? settings = null
    )
    {
        var folder = Directory.CreateTempSubdirectory("librarian-upstream-");
        var peer = new UpstreamLibrarian("aaa", "testsite", folder.FullName);
        var all = new Dictionary<string, string>
        {
            ["Site:Peers:0:Name"] = "aaa",
            ["Site:Peers:0:Send"] = "true",
            ["Site:Peers:0:BatchSize"] = "1024",
            ["Site:Peers:0:LocalRoots:0"] = peer.Staging,
        };
        foreach (var (key, value) in settings ?? new Dictionary<string, string>())
            all[key] = value;
        var site = await TestSite.CreateAsync(kind, server, settings: all, listen: true);
        var fixture = new PeerFixture(site, peer, folder);
        peer.Peer = site.Address;
        Assert.Equal(
            HttpStatusCode.Created,
            (await site.PostAsync("users/create", $$"""{"username":"aaa","password":"{{peer.PasswordThere}}","permission":3}""")).Status
        );
        await fixture.RegisterAsync();
        return fixture;
    }

    /// <summary>Makes the upstream librarian known to the site.</summary>
    public async Task RegisterAsync()
    {
        var (_, body) = await Site.PostAsync(
            "admin/librarians/add",
            $$"""
            {"librarian_name":"aaa","url":"http://127.0.0.1","port":{{Peer.Server.Port}},
             "authenticator":"testsite:{{Peer.PasswordHere}}","check_connection":false}
            """
        );
        Assert.True(body.GetProperty("success").GetBoolean());
    }

    /// <summary>A file of the site's own, without the way in.</summary>
    public async Task KeepAsync(string name, string checksum = HelloSum, string content = "hello world", bool directory = false)
    {
        var path = Path.Combine(Site.StorePath, name);
        Directory.CreateDirectory(directory ? path : Path.GetDirectoryName(path)!);
        await File.WriteAllTextAsync(directory ? Path.Combine(path, "page") : path, content);
        await using var db = Site.Catalog.Open();
        var now = DateTime.UtcNow;
        db.Files.Add(
            new FileRecord
            {
                Name = name,
                CreateTime = now,
                Size = content.Length,
                Checksum = checksum,
                Uploader = "admin",
                Source = "admin",
            }
        );
        db.Copies.Add(
            new FileCopy
            {
                Path = name,
                FileName = name,
                StoreId = 1,
                DeletionPolicy = DeletionPolicy.Disallowed,
                CreatedTime = now,
                Available = true,
            }
        );
        await db.SaveChangesAsync();
    }

    /// <summary>A batch with every file that may be offered now, and no workflow that drives it.</summary>
    public async Task<SendCloneInput?> BatchAsync()
    {
        await using var db = Site.Catalog.Open();
        await using var transaction = await db.Database.BeginTransactionAsync();
        var policy = Site.Services.GetRequiredService<IOptions<SiteOptions>>().Value.Peers[0];
        var batch = await Site
            .Services.GetRequiredService<OutgoingTransfers>()
            .CreateBatchAsync(db, policy, SendClone.InstanceId, CancellationToken.None);
        await transaction.CommitAsync();
        return batch is null ? null : new SendCloneInput(batch.QueueId, batch.Destination);
    }

    /// <summary>A batch of files under new names.</summary>
    public async Task<SendCloneInput> BatchAsync(int files)
    {
        for (var i = 0; i < files; i++)
            await KeepAsync($"obs/{i:000}");
        return (await BatchAsync())!;
    }

    /// <summary>Runs one activity as the engine would.</summary>
    public Task<TOutput> RunAsync<TActivity, TInput, TOutput>(TInput input)
        where TActivity : TaskActivity<TInput, TOutput> =>
        ActivatorUtilities.CreateInstance<TActivity>(Site.Services).RunAsync(new Call(typeof(TActivity).Name), input);

    /// <summary>Asks for staging places.</summary>
    public Task<BatchStep> StageAsync(SendCloneInput input) => RunAsync<StageBatch, SendCloneInput, BatchStep>(input);

    /// <summary>Tells the upstream librarian what has ended here.</summary>
    public Task<NotifyStep> NotifyAsync() => RunAsync<NotifyPage, NotifySourceInput, NotifyStep>(new NotifySourceInput("aaa"));

    /// <summary>Outgoing transfers by file name, newest per name.</summary>
    public async Task<Dictionary<string, OutgoingTransfer>> OutgoingAsync()
    {
        await using var db = Site.Catalog.Open();
        return (await db.OutgoingTransfers.AsNoTracking().OrderBy(t => t.Id).ToListAsync())
            .GroupBy(t => t.FileName, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.Last(), StringComparer.Ordinal);
    }

    /// <summary>Incoming transfers in order.</summary>
    public async Task<List<IncomingTransfer>> IncomingAsync()
    {
        await using var db = Site.Catalog.Open();
        return await db.IncomingTransfers.AsNoTracking().OrderBy(t => t.Id).ToListAsync();
    }

    /// <summary>Recorded errors in order.</summary>
    public async Task<List<ErrorRecord>> ErrorsAsync()
    {
        await using var db = Site.Catalog.Open();
        return await db.Errors.AsNoTracking().OrderBy(e => e.Id).ToListAsync();
    }

    /// <summary>Waits for what other threads bring about.</summary>
    public Task UntilAsync(Func<Task<bool>> isSo, string what) =>
        Wait.UntilAsync(isSo, () =>
            $"{what}; requests to the peer: {string.Join(' ', Peer.Paths)}; violations: {string.Join(' ', Peer.Violations)}"
        );

    /// <summary>Files that have a place at the peer.</summary>
    public static List<string> Committed(Dictionary<string, OutgoingTransfer> rows) =>
        [.. rows.Where(r => r.Value.RemoteTransferId is not null).Select(r => r.Key).Order(StringComparer.Ordinal)];

    /// <summary>A peer that has room for so many bytes at once.</summary>
    public static Func<WireRequest, Task<WireAnswer?>> NoRoomAbove(long bytes) =>
        request =>
            Task.FromResult(
                request.Path == "clone/batch_stage" && request.Json.GetProperty("total_size").GetInt64() > bytes
                    ? new WireAnswer(
                        413,
                        """{"detail":"{\"reason\":\"No stores available for upload. Your upload is too large.\","""
                            + """\"suggested_remedy\":\"\",\"source_transfer_id\":-1,\"destination_transfer_id\":-1}"}"""
                    )
                    : null
            );

    public async ValueTask DisposeAsync()
    {
        await Site.DisposeAsync();
        await Peer.DisposeAsync();
        _folder.Delete(recursive: true);
        // Whatever a test was about: we never send what upstream cannot read.
        Assert.Empty(Peer.Violations);
    }

    private sealed class Call(string name) : DatabaseActivityContext
    {
        public override TaskName Name => name;

        public override string Version => "";

        public override string InstanceId => "test";

        public override string OperationId => "test/1/1";

        public override int DeliveryCount => 1;

        public override CancellationToken CancellationToken => TestContext.Current.CancellationToken;

        public override void Heartbeat(object? progress) { }
    }
}
