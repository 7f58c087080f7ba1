using System.Net;
using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;

namespace Librarian.Tests.Functions.Api;

/// <summary>
/// Staging on a disk that takes everything into memory and refuses it when the kernel writes it back: an ext4 of 64 MiB in a file on
/// a tmpfs of 6. The flush fails once; afterwards the data can be read and flushed, and are not on the disk.
/// </summary>
public sealed class FlushFaultTests(PostgresServer server) : IAsyncLifetime
{
    private const int Size = 16 << 20;
    private readonly DirectoryInfo _disk = Directory.CreateTempSubdirectory("librarian-lying-");
    private readonly byte[] _content = new byte[Size];
    private readonly Fault _faults = new();
    private TestSite _site = null!;

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    private string Checksum { get; set; } = "";

    private string Mount => Path.Combine(_disk.FullName, "mount");

    public async ValueTask InitializeAsync()
    {
        new Random(21).NextBytes(_content);
        await ShellAsync(
            "mount -t tmpfs -o size=6m none . && cd \"$PWD\" && mkdir mount && truncate -s 64M image "
                + "&& mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=1 image && mount -o loop image mount && sync -f mount"
        );
        var file = Path.Combine(Path.GetTempPath(), $"librarian-content-{Guid.NewGuid():N}");
        await File.WriteAllBytesAsync(file, _content, Stop);
        Checksum = (await ContentDigest.ComputeAsync(file, [ChecksumAlgorithm.Xxh3], cancellationToken: Stop))
            .Checksums[ChecksumAlgorithm.Xxh3]
            .Text;
        File.Delete(file);
        _site = await TestSite.CreateAsync(
            DatabaseKind.Sqlite,
            server,
            services => services.AddSingleton<IStoreFaults>(_faults),
            settings: new Dictionary<string, string>
            {
                ["Site:MaximalUploadSizeBytes"] = "100000000",
                ["Site:Stores:0:StagingPath"] = Path.Combine(Mount, "staging"),
                ["Site:Stores:0:StorePath"] = Path.Combine(Mount, "store"),
            }
        );
        await ShellAsync("sync -f mount");
    }

    public async ValueTask DisposeAsync()
    {
        await _site.DisposeAsync();
        await ProcessRunner.RunAsync("sh", ["-c", $"cd / && umount -l '{Mount}'; umount -l '{_disk.FullName}'; rm -rf '{_disk.FullName}'"]);
    }

    [Fact]
    public async Task Commit_FlushFails_IsNeverStoredHoweverOftenItIsRepeated()
    {
        var (id, location, staging) = await FilledAsync("obs/a");
        for (var i = 0; i < 5; i++)
        {
            var (status, body) = await _site.CommitAsync(id, "obs/a");
            Assert.Equal(HttpStatusCode.NotFound, status);
            Assert.Contains("did not keep the staged data", body.GetProperty("suggested_remedy").GetString(), StringComparison.Ordinal);
            Assert.False(File.Exists(location));
        }

        await using (var db = _site.Catalog.Open())
        {
            var transfer = await db.IncomingTransfers.SingleAsync(t => t.Id == id, Stop);
            Assert.Equal((TransferStatus.Failed, false, false), (transfer.Status, transfer.Committing, transfer.FlushBegun));
            Assert.Equal(0, await db.Files.CountAsync(Stop));
            Assert.Contains(await db.Errors.ToListAsync(Stop), e => e.Message.Contains("obs/a", StringComparison.Ordinal));
        }

        Assert.False(Directory.Exists(Path.Combine(Mount, "staging", staging)));
        await ShellAsync("mount -o remount,size=200m .");
        var (again, _, _) = await FilledAsync("obs/a");
        Assert.Equal(HttpStatusCode.OK, (await _site.CommitAsync(again, "obs/a")).Status);
        await AssertOnMediumAsync("obs/a");
    }

    [Fact]
    public async Task Ingest_OfAClone_FlushFails_LeavesItsSourceToBeNotified()
    {
        var (id, _, _) = await FilledAsync("obs/a");
        await using var db = _site.Catalog.Open();
        await db
            .IncomingTransfers.Where(t => t.Id == id)
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged).SetProperty(t => t.SourceTransferId, 4), Stop);
        var result = await _site.Services.GetRequiredService<StagedFileIngest>().RunAsync(id, DeletionPolicy.Disallowed, Stop);
        Assert.Equal((IngestOutcome.FlushFailed, 4L), (result.Outcome, result.SourceTransferId));
        Assert.Equal(
            (TransferStatus.Failed, (int?)0),
            await db
                .IncomingTransfers.Where(t => t.Id == id)
                .Select(t => new ValueTuple<TransferStatus, int?>(t.Status, t.CallbackTries))
                .SingleAsync(Stop)
        );
    }

    /// <summary>
    /// The flush failed and the process was killed before it could record that: what it wrote ahead is all that the next run knows.
    /// </summary>
    [Fact]
    public async Task Commit_AfterAFlushWhoseEndIsNotKnown_StoresWhatTheMediumHolds()
    {
        var (id, _, staging) = await FilledAsync("obs/a");
        var store = _site.Services.GetRequiredService<SiteStores>().All[0].Store;
        Assert.True(FileName.TryParse("a", out var name, out _));
        DigestResult digest;
        var failures = 0;
        do digest = await store.DigestStagedAsync(
            Guid.Parse(staging),
            name,
            [ChecksumAlgorithm.Xxh3],
            new DigestOptions { FlushToDisk = true },
            cancellationToken: Stop
        );
        while (digest.Status == DigestStatus.FlushFailed && ++failures < 20);
        Assert.InRange(failures, 1, 19);
        await ShellAsync("mount -o remount,size=200m .");
        await using (var db = _site.Catalog.Open())
            await db.IncomingTransfers.Where(t => t.Id == id).ExecuteUpdateAsync(s => s.SetProperty(t => t.FlushBegun, true), Stop);
        var (status, _) = await _site.CommitAsync(id, "obs/a");
        // A machine that needed the memory has dropped the pages: then the data are seen to be bad.
        if (status != HttpStatusCode.NotAcceptable)
        {
            Assert.Equal(HttpStatusCode.OK, status);
            await AssertOnMediumAsync("obs/a");
        }
    }

    /// <summary>Whatever of a round the disk refuses is not stored, and whatever is answered as stored is on the disk.</summary>
    [Fact]
    public async Task Round_FlushFailsForSome_StoresOnlyWhatTheMediumHolds()
    {
        var (staged, names, sum) = await RoundFilledAsync();
        var results = await _site
            .Services.GetRequiredService<StagedFileIngest>()
            .RunRoundAsync([.. staged.Select(s => new StagedTransfer(s.Id, DeletionPolicy.Disallowed))], Stop);
        Assert.Contains(results, r => r!.Outcome == IngestOutcome.FlushFailed);
        Assert.All(results, r =>
            Assert.True(r!.Outcome is IngestOutcome.FlushFailed or IngestOutcome.Ingested or IngestOutcome.TryLater, r.Message)
        );
        await using (var db = _site.Catalog.Open())
        {
            var rows = await db.IncomingTransfers.ToDictionaryAsync(t => t.Id, Stop);
            foreach (var (result, (id, staging)) in results.Zip(staged))
            {
                if (result!.Outcome == IngestOutcome.FlushFailed)
                    Assert.Equal(
                        (TransferStatus.Failed, false),
                        (rows[id].Status, Directory.Exists(Path.Combine(Mount, "staging", staging)))
                    );
                else if (result.Outcome == IngestOutcome.TryLater)
                    Assert.Equal((TransferStatus.Staged, true), (rows[id].Status, rows[id].FlushBegun));
            }

            Assert.Equal(results.Count(r => r!.Outcome == IngestOutcome.Ingested), await db.Files.CountAsync(Stop));
        }

        await ShellAsync("mount -o remount,size=200m .; umount mount || umount -l mount; mount -o loop image mount");
        foreach (var (result, name) in results.Zip(names).Where(r => r.First!.Outcome == IngestOutcome.Ingested))
        {
            var stored = await ContentDigest.ComputeAsync(
                Path.Combine(Mount, "store", name),
                [ChecksumAlgorithm.Xxh3],
                cancellationToken: Stop
            );
            Assert.Equal((true, sum), (stored.IsComplete, stored.Checksums[ChecksumAlgorithm.Xxh3].Text));
        }
    }

    /// <summary>A cancellation must not hide a failed flush: the next run would find nothing wrong.</summary>
    [Fact]
    public async Task Round_CancelledAfterFlushesFailed_RecordsTheFailures()
    {
        var (staged, _, _) = await RoundFilledAsync();
        using var cancellation = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        _faults.OnReach = point =>
        {
            if (point == "round.read")
                cancellation.Cancel();
        };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            _site
                .Services.GetRequiredService<StagedFileIngest>()
                .RunRoundAsync([.. staged.Select(s => new StagedTransfer(s.Id, DeletionPolicy.Disallowed))], cancellation.Token)
        );
        await using var db = _site.Catalog.Open();
        var rows = await db.IncomingTransfers.ToListAsync(Stop);
        Assert.Contains(rows, t => t.Status == TransferStatus.Failed);
        Assert.All(rows, t => Assert.True(t is { Status: TransferStatus.Failed } or { Status: TransferStatus.Staged, FlushBegun: false }));
        Assert.All(rows.Where(t => t.Status == TransferStatus.Failed), t =>
            Assert.Contains("did not keep the staged data", t.FailureReason, StringComparison.Ordinal)
        );
    }

    /// <summary>More than the disk keeps, in files that a round takes.</summary>
    private async Task<(List<(long Id, string Staging)> Staged, List<string> Names, string Checksum)> RoundFilledAsync()
    {
        const int files = 16;
        const int size = 1 << 20;
        var part = Path.Combine(Path.GetTempPath(), $"librarian-content-{Guid.NewGuid():N}");
        await File.WriteAllBytesAsync(part, _content[..size], Stop);
        var sum = (await ContentDigest.ComputeAsync(part, [ChecksumAlgorithm.Xxh3], cancellationToken: Stop))
            .Checksums[ChecksumAlgorithm.Xxh3]
            .Text;
        File.Delete(part);
        var names = Enumerable.Range(0, files).Select(i => $"obs/{i}").ToList();
        var staged = new List<(long Id, string Staging)>();
        foreach (var name in names)
        {
            var (id, location, staging) = await _site.StageAsync(name, sum, size);
            await File.WriteAllBytesAsync(location, _content[..size], Stop);
            staged.Add((id, staging));
        }

        await using (var db = _site.Catalog.Open())
            await db.IncomingTransfers.ExecuteUpdateAsync(s => s.SetProperty(t => t.Status, TransferStatus.Staged), Stop);
        return (staged, names, sum);
    }

    private async Task<(long Id, string Location, string Staging)> FilledAsync(string name)
    {
        var (id, location, staging) = await _site.StageAsync(name, Checksum, Size);
        await File.WriteAllBytesAsync(location, _content, Stop);
        return (id, location, staging);
    }

    /// <summary>What memory holds is forgotten with the mount.</summary>
    private async Task AssertOnMediumAsync(string name)
    {
        await ShellAsync("umount mount || umount -l mount; mount -o loop image mount");
        var stored = await ContentDigest.ComputeAsync(
            Path.Combine(Mount, "store", name),
            [ChecksumAlgorithm.Xxh3],
            cancellationToken: Stop
        );
        Assert.True(stored.IsComplete, stored.Message);
        Assert.Equal(Checksum, stored.Checksums[ChecksumAlgorithm.Xxh3].Text);
    }

    private async Task ShellAsync(string script) => await ProcessRunner.RunAsync("sh", ["-ec", $"cd '{_disk.FullName}'; {script}"]);

    private sealed class Fault : IStoreFaults
    {
        internal Action<string>? OnReach { get; set; }

        public void Reach(string point) => OnReach?.Invoke(point);
    }
}
