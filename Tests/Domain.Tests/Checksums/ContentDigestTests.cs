using System.Security.Cryptography;
using System.Text;
using CsCheck;
using Librarian.Domain.Checksums;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Checksums;

/// <summary>Upstream's own code produced the vectors (docs/spec/wire.md#checksum-vectors, docs/spec/upstream.md#vectors).</summary>
[Quick]
public sealed class ContentDigestTests : IDisposable
{
    private readonly TemporaryDirectory _root = new();

    public void Dispose() => _root.Dispose();

    [Theory]
    [InlineData("", "99aa06d3014798d86001c324468d497f", "d41d8cd98f00b204e9800998ecf8427e")]
    [InlineData("abc", "06b05ab6733a618578af5f94892f3950", "900150983cd24fb0d6963f7d28e17f72")]
    [InlineData("hello world", "df8d09e93f874900a99b8775cc15b6c7", "5eb63bbbe01eeed093cb22bb8f5acdc3")]
    [InlineData("hello\n", "6bba86c7e069f56d5a10b435f1c8e49c", "b1946ac92492d2347c6235b4d2611184")]
    public async Task Compute_File_GivesUpstreamsDigests(string content, string xxh3, string md5)
    {
        var result = await Compute(_root.Write("f", content));
        Assert.Equal("xxh3:::" + xxh3, Text(result, ChecksumAlgorithm.Xxh3));
        Assert.Equal("md5:::" + md5, Text(result, ChecksumAlgorithm.Md5));
        Assert.Equal(content.Length, result.SizeBytes);
        Assert.Equal(1, result.FileCount);
        Assert.False(result.IsDirectory);
    }

    [Fact]
    public async Task Compute_LargerFiles_GivesUpstreamsDigests()
    {
        var counted = await Compute(_root.Write("counted", [.. Enumerable.Range(0, 200_000).Select(i => (byte)(i % 251))]));
        Assert.Equal("xxh3:::b0b4a8995101f27bf0543157a23a8634", Text(counted, ChecksumAlgorithm.Xxh3));
        Assert.Equal("md5:::415d6e662118c229c6ad3f950c24702a", Text(counted, ChecksumAlgorithm.Md5));

        var big = await Compute(_root.Write("big", new string('A', 200_000)));
        Assert.Equal("xxh3:::bd4bc750309a57f83891444f494e17b0", Text(big, ChecksumAlgorithm.Xxh3));
        Assert.Equal("sha256:::05ece9bde690bf39239aca4213a06d0a5ddb2eb6ec9ce0c2a5593bb1832f5b2a", Text(big, ChecksumAlgorithm.Sha256));
    }

    [Fact]
    public async Task Compute_EmptyDirectory_IsTheDigestOfNothing()
    {
        _root.MakeDirectory("e/sub/subsub");
        var result = await Compute(_root["e"]);
        Assert.Equal("xxh3:::99aa06d3014798d86001c324468d497f", Text(result, ChecksumAlgorithm.Xxh3));
        Assert.Equal("md5:::d41d8cd98f00b204e9800998ecf8427e", Text(result, ChecksumAlgorithm.Md5));
        Assert.Equal(0, result.SizeBytes);
        Assert.Equal(0, result.FileCount);
        Assert.True(result.IsDirectory);
    }

    [Theory]
    [InlineData("d/x")]
    [InlineData("d/deep/deeper/.hidden")]
    public async Task Compute_DirectoryWithOneFile_DoesNotDependOnItsName(string name)
    {
        _root.Write(name, "aaa");
        var result = await Compute(_root["d"]);
        Assert.Equal("xxh3:::1cf8edfa1119a1f0ac66c88ef6317369", Text(result, ChecksumAlgorithm.Xxh3));
        Assert.Equal("md5:::d4fbb7d8d5603db43ac2094f5955787c", Text(result, ChecksumAlgorithm.Md5));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    public async Task Compute_DirectoryOfFour_GivesUpstreamsDigestsOfAllAlgorithms(int parallelism)
    {
        MakeFour();
        var result = await ContentDigest.ComputeAsync(
            _root["d"],
            [.. ChecksumAlgorithmExtensions.All],
            new DigestOptions { MaxParallelism = parallelism, FlushToDisk = true }
        );
        Assert.Equal("xxh3:::065bd73b19e83b64024f8a026b875b71", Text(result, ChecksumAlgorithm.Xxh3));
        Assert.Equal("md5:::f44537446c835a80c380c3834306fee4", Text(result, ChecksumAlgorithm.Md5));
        Assert.Equal("sha1:::b5db905ee88414a3d8369db9a907a0f91ac60b37", Text(result, ChecksumAlgorithm.Sha1));
        Assert.Equal("sha256:::1a98607c934510b00d4fb601b01f8e703254ba568472933c90c648fef4efab47", Text(result, ChecksumAlgorithm.Sha256));
        Assert.Equal(
            "sha512:::1de75ce6e56f7b20cc6bafc1c2eb45d11e3dc2c73f33d86e90992b9b42616828"
                + "6de38e1812e05cbbb9873e55f47c881ffa751f202da20302910041d7d3d6a7a4",
            Text(result, ChecksumAlgorithm.Sha512)
        );
        Assert.Equal(8, result.SizeBytes);
        Assert.Equal(4, result.FileCount);
    }

    [Fact]
    public async Task Compute_DuplicateContent_CountsTwice()
    {
        MakeFour();
        _root.Write("d/again", "bbb");
        Assert.Equal("xxh3:::7c650a00e0babe5793e5233bced805c0", Text(await Compute(_root["d"]), ChecksumAlgorithm.Xxh3));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Compute_LinkToFile_CountsAsItsTarget(bool link)
    {
        MakeFour();
        _root.Write("outside", "hello world");
        if (link)
            File.CreateSymbolicLink(_root["d/link"], _root["outside"]);
        else
            _root.Write("d/link", "hello world");
        var result = await Compute(_root["d"]);
        Assert.Equal("xxh3:::ceba3b86eb1d140c2ccf0cb230f20577", Text(result, ChecksumAlgorithm.Xxh3));
        Assert.Equal(19, result.SizeBytes);
    }

    [Fact]
    public async Task Compute_LinkToDirectory_CountsNothing()
    {
        MakeFour();
        _root.Write("elsewhere/f", "other");
        Directory.CreateSymbolicLink(_root["d/link"], _root["elsewhere"]);
        Directory.CreateSymbolicLink(_root["d/loop"], _root["d"]);
        Assert.Equal("xxh3:::065bd73b19e83b64024f8a026b875b71", Text(await Compute(_root["d"]), ChecksumAlgorithm.Xxh3));
    }

    [Fact]
    public async Task Compute_BrokenLink_HasEmptyDigestAndNoSize()
    {
        MakeFour();
        File.CreateSymbolicLink(_root["d/link"], "nowhere");
        var result = await Compute(_root["d"]);
        Assert.Equal(DigestStatus.BrokenSymlink, result.Status);
        Assert.Equal(_root["d/link"], result.FailedPath);
        Assert.Equal("xxh3:::6c6cd6d20a8d7abdf7d16726a31ac316", Text(result, ChecksumAlgorithm.Xxh3));
        Assert.False(result.Matches(new ContentDescription(result.Checksums[ChecksumAlgorithm.Xxh3], 8)));
    }

    [Fact]
    public async Task Compute_TopIsLink_IsResolved()
    {
        MakeFour();
        Directory.CreateSymbolicLink(_root["top"], "d");
        var result = await Compute(_root["top"]);
        Assert.Equal("xxh3:::065bd73b19e83b64024f8a026b875b71", Text(result, ChecksumAlgorithm.Xxh3));
        Assert.True(result.IsDirectory);
    }

    [Fact]
    public async Task Compute_AppendixTree_GivesUpstreamsDigests()
    {
        _root.Write("d/a", "1");
        _root.Write("d/.hidden", "1");
        _root.Write("d/sub/b", "2");
        _root.MakeDirectory("d/emptydir");
        var result = await ContentDigest.ComputeAsync(_root["d"], [.. ChecksumAlgorithmExtensions.All]);
        Assert.Equal("md5:::d5a881dc6b150862d1b9f1ddd4f6f5ab", Text(result, ChecksumAlgorithm.Md5));
        Assert.Equal("xxh3:::513289668d0f40a40c8ae1e31af445c8", Text(result, ChecksumAlgorithm.Xxh3));
        Assert.Equal("sha256:::4c78e85d32b515b8df236df5aed5495622ce252265d85f3c2798758c2b32ea4b", Text(result, ChecksumAlgorithm.Sha256));
        Assert.Equal("sha1:::37de87b9bc842e58b0453377060a19a7fe77810a", Text(result, ChecksumAlgorithm.Sha1));
        Assert.StartsWith("sha512:::478797fe478896df", Text(result, ChecksumAlgorithm.Sha512), StringComparison.Ordinal);
        Assert.EndsWith("92558d039e645dba1b7c269402", Text(result, ChecksumAlgorithm.Sha512), StringComparison.Ordinal);
        Assert.Equal(3, result.SizeBytes);
    }

    [Fact]
    public async Task Compute_NameThatIsNotUtf8_IsReadLikeAnyOther()
    {
        _root.MakeDirectory("d");
        _root.Shell("printf aaa > \"d/$(printf 'caf\\351')\"");
        var result = await Compute(_root["d"]);
        Assert.Equal("xxh3:::1cf8edfa1119a1f0ac66c88ef6317369", Text(result, ChecksumAlgorithm.Xxh3));
    }

    [Fact]
    public async Task Compute_NothingThere_IsMissing() => Assert.Equal(DigestStatus.Missing, (await Compute(_root["none"])).Status);

    [Theory]
    [InlineData("pipe")]
    [InlineData("d")]
    public async Task Compute_Pipe_IsRefusedWithoutHanging(string path)
    {
        _root.MakeDirectory("d");
        _root.Shell("mkfifo pipe d/pipe");
        Assert.Equal(DigestStatus.SpecialFile, (await Compute(_root[path])).Status);
    }

    [Fact]
    public async Task Compute_Device_IsRefusedWithoutHanging() =>
        Assert.Equal(DigestStatus.SpecialFile, (await Compute("/dev/zero")).Status);

    [Fact]
    public async Task Compute_LinkToDeviceInside_IsRefused()
    {
        _root.Write("d/a", "a");
        File.CreateSymbolicLink(_root["d/zero"], "/dev/zero");
        Assert.Equal(DigestStatus.SpecialFile, (await Compute(_root["d"])).Status);
    }

    [Fact]
    public async Task Compute_TreeDeeperThanAnyPath_IsRefusedWithoutCrashing()
    {
        _root.MakeDirectory("d");
        _root.Shell("cd d; p=$(printf 'n/%.0s' $(seq 700)); for i in 1 2 3; do mkdir -p $p; cd -P $p; done");
        Assert.Equal(DigestStatus.TooDeep, (await Compute(_root["d"])).Status);
    }

    [Fact]
    public async Task Compute_Cancelled_Throws()
    {
        MakeFour();
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            ContentDigest.ComputeAsync(_root["d"], [ChecksumAlgorithm.Md5], cancellationToken: cancelled.Token)
        );
    }

    [Fact]
    public async Task Compute_CancelledFromProgress_StopsEarly()
    {
        using (var file = File.Create(_root["sparse"]))
            file.SetLength(1L << 34);
        using var cancellation = new CancellationTokenSource();
        var progress = new Recorder(bytes => cancellation.Cancel());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            ContentDigest.ComputeAsync(_root["sparse"], [ChecksumAlgorithm.Xxh3], progress: progress, cancellationToken: cancellation.Token)
        );
        Assert.InRange(progress.Last, 1, 1 << 24);
    }

    [Fact]
    public async Task Compute_Progress_EndsAtTheSize()
    {
        _root.Write("d/big", new byte[20_000_000]);
        _root.Write("d/small", "x");
        var progress = new Recorder(null);
        var result = await ContentDigest.ComputeAsync(_root["d"], [ChecksumAlgorithm.Xxh3], progress: progress);
        Assert.Equal(result.SizeBytes, progress.Last);
        Assert.InRange(progress.Calls, 4, 7);
    }

    /// <summary>Against the definition, spelled out naively (docs/spec/wire.md#directory-checksum).</summary>
    [Fact]
    public void Compute_RandomTrees_EqualTheDefinition() =>
        Gen.Select(Gen.Char['a', 'd'].Array[1, 4].Select(c => string.Join('/', c)), Gen.Byte.Array[0, 40])
            .Array[0, 30]
            .Sample(
                files =>
                {
                    using var tree = new TemporaryDirectory();
                    foreach (var (name, content) in files)
                        tree.Write(name.Replace("/", "/d", StringComparison.Ordinal) + "_file", content);
                    var contents = Directory.GetFiles(tree, "*", SearchOption.AllDirectories).Select(File.ReadAllBytes).ToList();
                    var members = contents
                        .Select(c => Convert.ToHexString(SHA256.HashData(c)).ToLowerInvariant())
                        .Order(StringComparer.Ordinal);
                    var expected = Convert.ToHexString(SHA256.HashData(Encoding.ASCII.GetBytes(string.Concat(members)))).ToLowerInvariant();

                    var result = ContentDigest.ComputeAsync(tree, [ChecksumAlgorithm.Sha256]).GetAwaiter().GetResult();
                    Assert.Equal(expected, result.Checksums[ChecksumAlgorithm.Sha256].Digest);
                    Assert.Equal(contents.Sum(c => c.LongLength), result.SizeBytes);
                    Assert.Equal(contents.Count, result.FileCount);
                },
                iter: 60
            );

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(16_384)]
    [InlineData(40_000)]
    public void Combine_ManyMembers_EqualsSortingTheirText(int count)
    {
        var random = new Random(7);
        var members = new MemberDigests(ChecksumAlgorithm.Sha256.DigestLength());
        var texts = new List<string>();
        for (var i = 0; i < count; i++)
        {
            var digest = new byte[32];
            random.NextBytes(digest);
            members.Add(digest);
            texts.Add(Convert.ToHexString(digest).ToLowerInvariant());
        }

        texts.Sort(StringComparer.Ordinal);
        var expected = Convert.ToHexString(SHA256.HashData(Encoding.ASCII.GetBytes(string.Concat(texts)))).ToLowerInvariant();
        Assert.Equal(expected, members.Combine(ChecksumAlgorithm.Sha256).Digest);
    }

    private static string Text(DigestResult result, ChecksumAlgorithm algorithm) => result.Checksums[algorithm].Text;

    private static Task<DigestResult> Compute(string path) =>
        ContentDigest.ComputeAsync(path, [ChecksumAlgorithm.Xxh3, ChecksumAlgorithm.Md5, ChecksumAlgorithm.Sha256]);

    private void MakeFour()
    {
        _root.Write("d/a/one", "aaa");
        _root.Write("d/b", "bbb");
        _root.Write("d/.h", "h");
        _root.Write("d/c/d/e", "e");
    }

    private sealed class Recorder(Action<long>? onReport) : IProgress<long>
    {
        private readonly Lock _lock = new();

        public long Last { get; private set; }

        public int Calls { get; private set; }

        public void Report(long value)
        {
            lock (_lock)
            {
                Last = Math.Max(Last, value);
                Calls++;
            }

            onReport?.Invoke(value);
        }
    }
}
