using System.IO.Hashing;
using System.Security.Cryptography;
using System.Text;
using CsCheck;
using Librarian.Domain.DataBatches;
using Librarian.Domain.Posix;
using Librarian.Domain.Stores;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.DataBatches;

/// <summary>docs/spec/data-batches.md#segments: what a batch does with the bytes of segments.</summary>
[Quick]
public sealed class DataBatchTests : IDisposable
{
    private const int SegmentBytes = 1000;
    private readonly TemporaryDirectory _place = new();
    private readonly LocalStore _store;
    private readonly List<Guid> _staged = [];
    private readonly HashSet<long> _closed = [];

    public DataBatchTests()
    {
        Directory.CreateDirectory(_place["staging"]);
        Directory.CreateDirectory(_place["store"]);
        Directory.CreateDirectory(_place["batch"]);
        _store = new LocalStore(
            new LocalStoreOptions
            {
                Name = "s",
                StagingPath = _place["staging"],
                RootPath = _place["store"],
            }
        );
    }

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose() => _place.Dispose();

    [Fact]
    public void Segments_InAnyOrderAndPieces_MakeTheFiles() =>
        Gen.Select(Gen.Int[0, 1500].Array[1, 12], Gen.Int[0, int.MaxValue])
            .Sample(
                (sizes, seed) =>
                {
                    var random = new Random(seed);
                    var contents = sizes.Select(size => RandomNumberGenerator.GetBytes(size)).ToList();
                    var all = contents.SelectMany(c => c).ToArray();
                    using var batch = Make(contents.Select(c => (long)c.Length));
                    foreach (var segment in Enumerable.Range(0, batch.Segments).OrderBy(_ => random.Next()))
                        SendInPieces(batch, segment, SegmentOf(all, segment), random);
                    Assert.All(Enumerable.Range(0, contents.Count), i => Assert.Equal(contents[i], File.ReadAllBytes(StagedPath(i))));
                    Assert.All(Enumerable.Range(0, batch.Segments), n =>
                        Assert.NotEqual(0, batch.Progress().Complete[n / 8] & (1 << (n % 8)))
                    );
                    foreach (var staged in _staged)
                        Directory.Delete(_place["staging/" + staged], recursive: true);
                },
                iter: 60,
                threads: 1
            );

    [Fact]
    public async Task Append_WhoseBodyBreaksOff_KeepsWhatArrived()
    {
        var bytes = RandomNumberGenerator.GetBytes(800);
        using (var batch = Make([800]))
        {
            var broken = await batch.AppendAsync(Append(0, 0, isLast: true, null), new BreakingStream(bytes[..300]), Stop);
            Assert.Equal((SegmentOutcome.Later, 300L, false), (broken.Outcome, broken.Offset, broken.IsComplete));
        }

        // Another process, after a crash.
        using var again = Reopen([800]);
        Assert.Equal(300, (await again.OffsetAsync(0, 0, Stop)).Offset);
        var rest = await again.AppendAsync(Append(0, 300, isLast: true, 500, bytes), new MemoryStream(bytes[300..]), Stop);
        Assert.True(rest.IsComplete);
        Assert.Equal(bytes, await File.ReadAllBytesAsync(StagedPath(0), Stop));
    }

    [Fact]
    public async Task Append_OffsetAloneAtTheEnd_IsNotComplete()
    {
        using var batch = Make([10]);
        var all = await batch.AppendAsync(Append(0, 0, isLast: false, 10), new MemoryStream(new byte[10]), Stop);
        Assert.Equal((SegmentOutcome.Stored, 10L, false), (all.Outcome, all.Offset, all.IsComplete));
        var end = await batch.AppendAsync(Append(0, 10, isLast: true, 0), new MemoryStream(), Stop);
        Assert.True(end.IsComplete);
        // Its answer was lost.
        Assert.True((await batch.AppendAsync(Append(0, 10, isLast: true, 0), new MemoryStream(), Stop)).IsComplete);
    }

    [Theory]
    [InlineData(5, 10, true, SegmentOutcome.OtherOffset)]
    [InlineData(0, 9, true, SegmentOutcome.WrongLength)]
    [InlineData(0, 11, true, SegmentOutcome.WrongLength)]
    [InlineData(0, 11, false, SegmentOutcome.WrongLength)]
    public async Task Append_AtAnotherOffsetOrLength_ChangesNothing(long offset, int length, bool isLast, SegmentOutcome outcome)
    {
        using var batch = Make([10]);
        var result = await batch.AppendAsync(Append(0, offset, isLast, length), new MemoryStream(new byte[length]), Stop);
        Assert.Equal((outcome, 0L), (result.Outcome, result.Offset));
        Assert.Equal(0, (await batch.OffsetAsync(0, 0, Stop)).Offset);
    }

    [Theory]
    [InlineData(9)]
    [InlineData(11)]
    public async Task Append_WithoutLengthThatIsShortOrLong_IsNotComplete(int length)
    {
        using var batch = Make([10]);
        var result = await batch.AppendAsync(Append(0, 0, isLast: true, null), new MemoryStream(new byte[length]), Stop);
        Assert.Equal((SegmentOutcome.WrongLength, Math.Min(10L, length), false), (result.Outcome, result.Offset, result.IsComplete));
    }

    [Theory]
    [InlineData(SegmentAlgorithm.Xxh3)]
    [InlineData(SegmentAlgorithm.Sha256)]
    public async Task Append_WithAnotherDigest_StartsTheSegmentAnew(SegmentAlgorithm algorithm)
    {
        var bytes = RandomNumberGenerator.GetBytes(100);
        var digest = new SegmentDigest(algorithm, algorithm == SegmentAlgorithm.Xxh3 ? XxHash128.Hash(bytes) : SHA256.HashData(bytes));
        using var batch = Make([100]);
        byte[] flipped = [.. bytes];
        flipped[3] ^= 1;
        var wrong = await batch.AppendAsync(new SegmentAppend(0, 0, 0, true, 100, digest), new MemoryStream(flipped), Stop);
        Assert.Equal((SegmentOutcome.OtherDigest, 0L, false), (wrong.Outcome, wrong.Offset, wrong.IsComplete));
        Assert.Equal(1, batch.Progress().Generations[0]);
        Assert.Equal(SegmentOutcome.Gone, (await batch.OffsetAsync(0, 0, Stop)).Outcome);
        Assert.Equal(
            SegmentOutcome.Gone,
            (await batch.AppendAsync(new SegmentAppend(0, 0, 0, true, 100, digest), new MemoryStream(bytes), Stop)).Outcome
        );
        Assert.True((await batch.AppendAsync(new SegmentAppend(0, 1, 0, true, 100, digest), new MemoryStream(bytes), Stop)).IsComplete);
        Assert.Equal(bytes, await File.ReadAllBytesAsync(StagedPath(0), Stop));
    }

    [Fact]
    public async Task Append_DigestOverEarlierAppends_IsOfTheWholeSegment()
    {
        var bytes = RandomNumberGenerator.GetBytes(100);
        using var batch = Make([40, 60]);
        await batch.AppendAsync(Append(0, 0, isLast: false, 70), new MemoryStream(bytes[..70]), Stop);
        await File.WriteAllBytesAsync(StagedPath(0), new byte[40], Stop);
        var end = await batch.AppendAsync(Append(0, 70, isLast: true, 30, bytes), new MemoryStream(bytes[70..]), Stop);
        Assert.Equal(SegmentOutcome.OtherDigest, end.Outcome);
    }

    [Fact]
    public async Task Head_WhileAnAppendWaitsForBytes_EndsItAndNamesItsOffset()
    {
        using var batch = Make([800]);
        var body = new WaitingStream(new byte[300]);
        var append = batch.AppendAsync(Append(0, 0, isLast: true, 800), body, Stop);
        await body.Waiting.WaitAsync(Stop);
        var head = await batch.OffsetAsync(0, 0, Stop);
        Assert.Equal(300, head.Offset);
        Assert.Equal((SegmentOutcome.Later, 300L), ((await append).Outcome, (await append).Offset));
    }

    [Fact]
    public async Task Append_WhileAnotherProcessWrites_IsForLater()
    {
        using var one = Make([800]);
        using var other = Reopen([800]);
        var body = new WaitingStream(new byte[300]);
        var append = one.AppendAsync(Append(0, 0, isLast: true, 800), body, Stop);
        await body.Waiting.WaitAsync(Stop);
        Assert.Equal(
            SegmentOutcome.Later,
            (await other.AppendAsync(Append(0, 0, true, 800), new MemoryStream(new byte[800]), Stop)).Outcome
        );
        await one.OffsetAsync(0, 0, Stop);
        await append;
        Assert.True((await other.AppendAsync(Append(0, 300, true, 500), new MemoryStream(new byte[500]), Stop)).IsComplete);
    }

    [Fact]
    public async Task Append_AcrossAnAbandonedTransfer_StoresTheOthers()
    {
        using var batch = Make([300, 300, 300]);
        Directory.Delete(_place["staging/" + _staged[1]], recursive: true);
        var bytes = RandomNumberGenerator.GetBytes(900);
        Assert.True((await batch.AppendAsync(Append(0, 0, isLast: true, 900, bytes), new MemoryStream(bytes), Stop)).IsComplete);
        Assert.Equal(bytes[..300], await File.ReadAllBytesAsync(StagedPath(0), Stop));
        Assert.Equal(bytes[600..], await File.ReadAllBytesAsync(StagedPath(2), Stop));
        Assert.False(Directory.Exists(_place["staging/" + _staged[1]]));
    }

    [Fact]
    public async Task Append_ToATransferThatWasAnnouncedMeanwhile_LeavesItAlone()
    {
        using var batch = Make([300, 300]);
        Assert.Equal(300, (await batch.AppendAsync(Append(0, 0, isLast: false, 300), new MemoryStream(new byte[300]), Stop)).Offset);
        await File.WriteAllTextAsync(StagedPath(1), "announced by another sender", Stop);
        _closed.Add(2);
        Assert.True((await batch.AppendAsync(Append(0, 300, isLast: true, 300), new MemoryStream(new byte[300]), Stop)).IsComplete);
        Assert.Equal("announced by another sender", await File.ReadAllTextAsync(StagedPath(1), Stop));
    }

    [Theory]
    [InlineData("link")]
    [InlineData("hard link")]
    [InlineData("directory link")]
    public async Task Append_WhereStagingLeadsElsewhere_WritesNothingThere(string trap)
    {
        using var batch = Make([10]);
        var outside = _place["outside"];
        await File.WriteAllTextAsync(outside, "precious!!", Stop);
        if (trap == "link")
            File.CreateSymbolicLink(StagedPath(0), outside);
        else if (trap == "hard link")
        {
            using var from = PosixDirectory.Open(_place);
            using var to = PosixDirectory.Open(Path.GetDirectoryName(StagedPath(0))!);
            from.Link(new EntryName("outside"), to, new EntryName("file"));
        }
        else
        {
            Directory.Delete(Path.GetDirectoryName(StagedPath(0))!);
            Directory.CreateDirectory(_place["elsewhere"]);
            Directory.CreateSymbolicLink(Path.GetDirectoryName(StagedPath(0))!, _place["elsewhere"]);
        }

        await batch.AppendAsync(Append(0, 0, isLast: true, 10), new MemoryStream(new byte[10]), Stop);
        Assert.Equal("precious!!", await File.ReadAllTextAsync(outside, Stop));
        Assert.False(Directory.Exists(_place["elsewhere"]) && Directory.EnumerateFileSystemEntries(_place["elsewhere"]).Any());
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1)]
    public async Task Call_ForASegmentThatDoesNotExist_IsUnknown(int segment)
    {
        using var batch = Make([10]);
        Assert.Equal(SegmentOutcome.Unknown, (await batch.OffsetAsync(segment, 0, Stop)).Outcome);
        Assert.Equal(SegmentOutcome.Unknown, (await batch.AppendAsync(Append(segment, 0, true, 10), new MemoryStream(), Stop)).Outcome);
    }

    private static SegmentAppend Append(int segment, long offset, bool isLast, long? length, byte[]? whole = null) =>
        new(segment, 0, offset, isLast, length, whole is null ? null : new SegmentDigest(SegmentAlgorithm.Xxh3, XxHash128.Hash(whole)));

    private static byte[] SegmentOf(byte[] all, int segment) =>
        all[(segment * SegmentBytes)..Math.Min(all.Length, (segment + 1) * SegmentBytes)];

    private static void SendInPieces(DataBatch batch, int segment, byte[] bytes, Random random)
    {
        for (long offset = 0; ; )
        {
            var left = bytes[(int)offset..];
            var isLast = random.Next(3) == 0;
            var piece = isLast ? left : left[..random.Next(left.Length + 1)];
            var result = batch
                .AppendAsync(Append(segment, offset, isLast, piece.Length, bytes), new MemoryStream(piece), Stop)
                .GetAwaiter()
                .GetResult();
            Assert.Equal(SegmentOutcome.Stored, result.Outcome);
            Assert.Equal(offset + piece.Length, result.Offset);
            if (result.IsComplete)
                return;
            offset = result.Offset;
        }
    }

    private DataBatch Make(IEnumerable<long> sizes)
    {
        _staged.Clear();
        foreach (var file in Directory.EnumerateFiles(_place["batch"]))
            File.Delete(file);
        var lines = new StringBuilder("""{"account":"a"}""" + "\n");
        foreach (var size in sizes)
        {
            _staged.Add(Guid.NewGuid());
            Directory.CreateDirectory(Path.GetDirectoryName(StagedPath(_staged.Count - 1))!);
            lines.Append($$"""{"transfer":{{_staged.Count}},"type":"file","size":{{size}}}""" + "\n");
            if (size == 0)
                File.WriteAllBytes(StagedPath(_staged.Count - 1), []);
        }

        File.WriteAllText(_place["batch/layout"], lines.ToString());
        return Reopen(sizes);
    }

    private DataBatch Reopen(IEnumerable<long> sizes)
    {
        Assert.Equal(_staged.Count, sizes.Count());
        Assert.True(FileName.TryParse("obs/file", out var name, out _));
        var directory = PosixDirectory.Open(_place["batch"]);
        return new DataBatch(
            "1-x",
            _store,
            new BatchLayout(directory.OpenFile(LayoutSpool.Name)),
            directory,
            (ids, _) =>
                Task.FromResult<StagedTransfer?[]>([
                    .. ids.Select(id => _closed.Contains(id) ? null : new StagedTransfer(_staged[(int)id - 1], name)),
                ]),
            SegmentBytes
        );
    }

    private string StagedPath(int index) => _place[$"staging/{_staged[index]}/obs/file"];

    /// <summary>A body whose sender vanishes after some bytes.</summary>
    private sealed class BreakingStream(byte[] bytes) : MemoryStream(bytes)
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            await base.ReadAsync(buffer, cancellationToken) is > 0 and var read ? read : throw new IOException("The connection was reset.");
    }

    /// <summary>A body that brings nothing more after some bytes.</summary>
    private sealed class WaitingStream(byte[] bytes) : MemoryStream(bytes)
    {
        private readonly TaskCompletionSource _waiting = new(TaskCreationOptions.RunContinuationsAsynchronously);

        internal Task Waiting => _waiting.Task;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (await base.ReadAsync(buffer, cancellationToken) is > 0 and var read)
                return read;
            _waiting.TrySetResult();
            await Task.Delay(Timeout.Infinite, cancellationToken);
            return 0;
        }
    }
}
