using Librarian.Domain.Checksums;
using Librarian.Tests.Domain.Stores;

namespace Librarian.Tests.Domain.Checksums;

public sealed class DigestingCopyTests : IDisposable
{
    private readonly TemporaryDirectory _root = new();

    public void Dispose() => _root.Dispose();

    [Fact]
    public async Task Copy_File_GivesContentDigestAndTime()
    {
        _root.Write("f", "abc");
        var time = new DateTime(2020, 2, 3, 4, 5, 6, DateTimeKind.Utc);
        File.SetLastWriteTimeUtc(_root["f"], time);
        var result = await Copy("f", "g");
        Assert.True(result.IsComplete);
        Assert.Equal("xxh3:::06b05ab6733a618578af5f94892f3950", result.Checksums[ChecksumAlgorithm.Xxh3].Text);
        Assert.Equal("abc", File.ReadAllText(_root["g"]));
        Assert.Equal(time, File.GetLastWriteTimeUtc(_root["g"]));
    }

    [Fact]
    public async Task Copy_Tree_IsEqualAndSoIsItsDigest()
    {
        _root.Write("s/a/b/c", "1");
        _root.Write("s/.hidden", new byte[3_000_000]);
        _root.MakeDirectory("s/empty");
        _root.Shell("printf x > \"s/$(printf 'caf\\351')\"");
        var result = await Copy("s", "t");
        var original = await ContentDigest.ComputeAsync(_root["s"], [ChecksumAlgorithm.Xxh3]);
        Assert.True(result.Matches(new ContentDescription(original.Checksums[ChecksumAlgorithm.Xxh3], original.SizeBytes)));
        _root.Shell("diff -r --no-dereference s t");
    }

    [Fact]
    public async Task Copy_Links_BecomeRealFilesAndDirectories()
    {
        _root.Write("outside/f", "out");
        _root.Write("s/f", "in");
        File.CreateSymbolicLink(_root["s/file"], "f");
        Directory.CreateSymbolicLink(_root["s/dir"], _root["outside"]);
        var result = await Copy("s", "t");
        Assert.True(result.IsComplete);
        Assert.Null(new FileInfo(_root["t/file"]).LinkTarget);
        Assert.Null(new DirectoryInfo(_root["t/dir"]).LinkTarget);
        Assert.Equal("out", File.ReadAllText(_root["t/dir/f"]));

        // The result describes the copy, so that what is declared from it is what the receiver finds.
        var copy = await ContentDigest.ComputeAsync(_root["t"], [ChecksumAlgorithm.Xxh3]);
        Assert.Equal(copy.Checksums[ChecksumAlgorithm.Xxh3], result.Checksums[ChecksumAlgorithm.Xxh3]);
        Assert.Equal(7, result.SizeBytes);
    }

    [Theory]
    [InlineData("loop -> .", DigestStatus.SymlinkCycle)]
    [InlineData("broken -> nowhere", DigestStatus.BrokenSymlink)]
    public async Task Copy_LinkThatCannotBeFollowed_LeavesNoCopy(string link, DigestStatus expected)
    {
        _root.Write("s/a/f", "in");
        var parts = link.Split(" -> ");
        File.CreateSymbolicLink(_root["s/" + parts[0]], parts[1]);
        var result = await Copy("s", "t");
        Assert.Equal(expected, result.Status);
        Assert.False(Path.Exists(_root["t"]));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Copy_DestinationExists_IsLeftAsItIs(bool directory)
    {
        _root.Write(directory ? "s/f" : "s", "new");
        _root.Write(directory ? "t/f" : "t", "old");
        var result = await Copy("s", "t");
        Assert.Equal(DigestStatus.DestinationExists, result.Status);
        Assert.Equal("old", File.ReadAllText(_root[directory ? "t/f" : "t"]));
    }

    [Fact]
    public async Task Copy_DestinationIsDanglingLink_IsNotWrittenThrough()
    {
        _root.Write("s", "new");
        File.CreateSymbolicLink(_root["t"], _root["victim"]);
        Assert.Equal(DigestStatus.DestinationExists, (await Copy("s", "t")).Status);
        Assert.False(File.Exists(_root["victim"]));
    }

    [Fact]
    public async Task Copy_GroupWritable_GivesTheModesClientsGive()
    {
        _root.Write("s/a/f", "x");
        _root.Shell("chmod 600 s/a/f; chmod 700 s/a");
        await DigestingCopy.CopyAsync(_root["s"], _root["t"], [ChecksumAlgorithm.Md5], new CopyOptions { GroupWritable = true });
        _root.Shell("test \"$(stat -c %a t t/a t/a/f | tr '\\n' ' ')\" = '775 775 664 '");
    }

    [Fact]
    public async Task Copy_ReadOnlySource_IsCopiedWithItsModes()
    {
        _root.Write("s/a/f", "x");
        _root.Shell("chmod 444 s/a/f; chmod 555 s/a");
        Assert.True((await Copy("s", "t")).IsComplete);
        _root.Shell("test \"$(stat -c %a t/a/f)\" = 444");
    }

    [Fact]
    public async Task Copy_Cancelled_LeavesNoCopy()
    {
        _root.Write("s/a", new byte[30_000_000]);
        using var cancellation = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            DigestingCopy.CopyAsync(
                _root["s"],
                _root["t"],
                [ChecksumAlgorithm.Md5],
                progress: new CancelAtFirstReport(cancellation),
                cancellationToken: cancellation.Token
            )
        );
        Assert.False(Path.Exists(_root["t"]));
    }

    [Fact]
    public async Task Copy_NoParent_IsReported()
    {
        _root.Write("s", "x");
        Assert.Equal(DigestStatus.IoError, (await Copy("s", "none/t")).Status);
    }

    [Fact]
    public async Task Copy_FullFilesystem_IsReportedAndLeavesNoCopy()
    {
        // A filesystem of 1 MiB of our own; the tests run as root in continuous integration, as the store's own container does.
        _root.MakeDirectory("small");
        _root.Shell("mount -t tmpfs -o size=1m none small");
        try
        {
            _root.Write("s/f", new byte[3_000_000]);
            var result = await Copy("s", "small/t");
            Assert.Equal(DigestStatus.NoSpace, result.Status);
            Assert.False(Path.Exists(_root["small/t"]));
        }
        finally
        {
            _root.Shell("umount small");
        }
    }

    private Task<DigestResult> Copy(string source, string destination) =>
        DigestingCopy.CopyAsync(_root[source], _root[destination], [ChecksumAlgorithm.Xxh3]);

    private sealed class CancelAtFirstReport(CancellationTokenSource cancellation) : IProgress<long>
    {
        public void Report(long value) => cancellation.Cancel();
    }
}
