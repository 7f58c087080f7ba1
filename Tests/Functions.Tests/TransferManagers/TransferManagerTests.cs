using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Peers;
using Librarian.Domain.Stores;
using Librarian.Domain.TransferManagers;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.TransferManagers;
using Librarian.Orchestrations.TransferManagers.Https;
using Librarian.Orchestrations.TransferManagers.Local;
using Librarian.Tests.Functions.Api;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using ContentDigest = Librarian.Client.Uploads.ContentDigest;
using OutgoingTransfer = Librarian.Domain.Catalog.OutgoingTransfer;

namespace Librarian.Tests.Functions.TransferManagers;

public sealed class LocalManagerTests(PostgresServer server) : TransferManagerTests(server, typeof(LocalManager));

public sealed class HttpsManagerTests(PostgresServer server) : TransferManagerTests(server, typeof(HttpsManager))
{
    [Fact]
    public async Task Send_ToAPeerThatIsAway_IsTroubleOfTheLinkAndNoFiles()
    {
        var files = await StageAsync(("a", "hello"));
        // Nobody listens there.
        var away = Site
            .Services.GetRequiredService<PeerConnections>()
            .For(new PeerLogin("away", "http://127.0.0.1", 1, "u", "p", true), isRegistered: false)!;
        var ended = new List<SendingStatus>();
        var trouble = await Manager(new HurriedTime())
            .SendAsync(away, new PeerOptions(), files, (_, result) => ended.Add(result.Status), Stop);
        Assert.IsType<Unreachable>(trouble);
        Assert.Empty(ended);
    }

    /// <summary>A clock on which no pause lasts.</summary>
    private sealed class HurriedTime : TimeProvider
    {
        private long _timestamp;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Interlocked.Add(ref _timestamp, TimeSpan.TicksPerMinute);

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            base.CreateTimer(callback, state, period == Timeout.InfiniteTimeSpan ? TimeSpan.Zero : dueTime, period);
    }
}

/// <summary>The rules of <see cref="ITransferManager"/>, for every manager, with a real site as the destination.</summary>
public abstract class TransferManagerTests(PostgresServer server, Type type) : IAsyncLifetime
{
    private readonly DirectoryInfo _here = Directory.CreateTempSubdirectory("librarian-managers-");
    private LocalStore _source = null!;
    private int _number;

    protected static CancellationToken Stop => TestContext.Current.CancellationToken;

    protected TestSite Site { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Site = await TestSite.CreateAsync(DatabaseKind.Sqlite, server, listen: true);
        _source = new LocalStore(
            new LocalStoreOptions
            {
                Name = "source",
                StagingPath = _here.FullName,
                RootPath = _here.CreateSubdirectory("store").FullName,
            }
        );
    }

    public async ValueTask DisposeAsync()
    {
        await Site.DisposeAsync();
        _here.Delete(recursive: true);
        GC.SuppressFinalize(this);
    }

    [Fact]
    public async Task Send_FilesAndDirectories_ArriveAsTheyAre()
    {
        var files = await StageAsync(("a", "hello"), ("empty", ""), ("book/x", "1"), ("book/deep/y", "2"), ("book/deep/z", ""));
        Assert.All(await SendAsync(files), r => Assert.Equal(SendingStatus.Copied, r.Value.Status));
        await AssertArrivedAsync(files);
        // Called again, as after a crash.
        Assert.All(await SendAsync(files), r => Assert.Equal(SendingStatus.Copied, r.Value.Status));
        await AssertArrivedAsync(files);
    }

    [Theory]
    [InlineData("flipped")]
    [InlineData("longer")]
    [InlineData("shorter")]
    [InlineData("gone")]
    public async Task Send_OneSourceThatDiffers_IsNotSentAndHoldsUpNoOther(string what)
    {
        var files = await StageAsync(("a", "hello"), ("b", "precious"), ("c/x", "1"));
        var victim = Path.Combine(_here.FullName, "store", "b");
        if (what == "flipped")
            await File.WriteAllTextAsync(victim, "prexious", Stop);
        else if (what == "longer")
            await File.AppendAllTextAsync(victim, "!", Stop);
        else if (what == "shorter")
            await File.WriteAllTextAsync(victim, "prec", Stop);
        else
            File.Delete(victim);
        var results = await SendAsync(files);
        Assert.Equal(SendingStatus.SourceDiffers, results["b"].Status);
        Assert.Equal([SendingStatus.Copied, SendingStatus.Copied], [results["a"].Status, results["c"].Status]);
        await AssertArrivedAsync([.. files.Where(f => f.Transfer.FileName != "b")]);
    }

    [Fact]
    public async Task Send_TransferThatThePeerHasAbandoned_FailsAloneAndMakesNothing()
    {
        var files = await StageAsync(("a", "hello"), ("b", "world"));
        var abandoned = files.Single(f => f.Transfer.FileName == "b").Transfer;
        await using (var db = Site.Catalog.Open())
            await db
                .IncomingTransfers.Where(t => t.Id == abandoned.RemoteTransferId)
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Failed), Stop);
        Directory.Delete(Path.GetDirectoryName(abandoned.DestPath)!);
        var results = await SendAsync(files);
        Assert.Equal((SendingStatus.Copied, SendingStatus.Failed), (results["a"].Status, results["b"].Status));
        Assert.False(File.Exists(abandoned.DestPath));
    }

    [Fact]
    public async Task Send_LinkAtTheStagingLocation_IsNotFollowed()
    {
        var files = await StageAsync(("a/x", "hello"));
        var outside = _here.CreateSubdirectory("outside").FullName;
        Directory.CreateSymbolicLink(files[0].Transfer.DestPath!, outside);
        await SendAsync(files);
        Assert.Empty(Directory.EnumerateFileSystemEntries(outside));
    }

    protected ITransferManager Manager(TimeProvider? time = null) =>
        type == typeof(LocalManager)
            ? new LocalManager(Site.Services.GetRequiredService<LocalTransferManager>())
            : new HttpsManager(Site.Services.GetRequiredService<PeerConnections>(), time ?? TimeProvider.System);

    /// <summary>Writes files to the source's store and stages them at the site; those with a slash belong to a directory.</summary>
    protected async Task<IReadOnlyList<OutgoingFile>> StageAsync(params (string Path, string Text)[] contents)
    {
        foreach (var (path, text) in contents)
        {
            var full = Path.Combine(_here.FullName, "store", path);
            Directory.CreateDirectory(Path.GetDirectoryName(full)!);
            await File.WriteAllTextAsync(full, text, Stop);
        }

        var items = new List<CloneBatchItem>();
        foreach (var name in contents.Select(c => c.Path.Split('/')[0]).Distinct())
        {
            var digest = await ContentDigest.OfAsync(Path.Combine(_here.FullName, "store", name), Stop);
            items.Add(new CloneBatchItem(digest.Size, digest.Checksum, name, name, "u", ++_number, digest.TreeDigest));
        }

        var staged = await Peer()
            .Client.StageCloneBatchAsync(new CloneBatchStageRequest(items, "uploader", items.Sum(i => i.UploadSize)), Stop);
        Assert.True(staged.IsSuccess, staged.Error?.ToString());
        var manager = Manager();
        Assert.Contains(staged.Value.AsyncTransferProviders.Values, manager.CanUse);
        Assert.All(staged.Value.Uploads, u => Assert.True(manager.CanReach(u.StagingLocation, Policy)));
        return [.. items.Zip(staged.Value.Uploads, FileOf)];
    }

    private PeerOptions Policy => new() { Name = "peer", LocalRoots = [Site.StagingPath] };

    private OutgoingFile FileOf(CloneBatchItem item, CloneBatchSlot slot)
    {
        Assert.True(FileName.TryParse(item.UploadName, out var path, out _));
        return new OutgoingFile(
            new OutgoingTransfer
            {
                Status = TransferStatus.Ongoing,
                Destination = "peer",
                TransferSize = item.UploadSize,
                TransferChecksum = item.UploadChecksum,
                StartTime = DateTime.UnixEpoch,
                FileName = item.UploadName,
                RemoteTransferId = slot.DestinationTransferId,
                DestPath = slot.StagingLocation,
            },
            _source,
            path
        );
    }

    private PeerClient Peer() =>
        Site
            .Services.GetRequiredService<PeerConnections>()
            .For(
                new PeerLogin("peer", "http://127.0.0.1", Site.Address.Port, "uploader", TestSite.Password("uploader"), true),
                isRegistered: false
            )!;

    private async Task<Dictionary<string, SendingResult>> SendAsync(IReadOnlyList<OutgoingFile> files)
    {
        var results = new Dictionary<string, SendingResult>();
        var trouble = await Manager().SendAsync(Peer(), Policy, files, (file, result) => results.Add(file.Transfer.FileName, result), Stop);
        Assert.Null(trouble);
        Assert.Equal(files.Count, results.Count);
        return results;
    }

    private async Task AssertArrivedAsync(IReadOnlyList<OutgoingFile> files)
    {
        foreach (var file in files)
        {
            var arrived = await ContentDigest.OfAsync(file.Transfer.DestPath!, Stop);
            Assert.Equal(file.Transfer.TransferChecksum, arrived.Checksum);
            Assert.Equal((await ContentDigest.OfAsync(_source.Locate(file.Path), Stop)).TreeDigest, arrived.TreeDigest);
        }
    }
}
