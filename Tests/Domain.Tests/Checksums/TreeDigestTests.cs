using System.IO.Hashing;
using System.Text;
using Librarian.Domain.Checksums;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Checksums;

/// <summary>docs/formats/tree-digest-v1.md, computed here once more by its words.</summary>
[Quick]
public sealed class TreeDigestTests : IDisposable
{
    private readonly string _book = Directory.CreateTempSubdirectory("librarian-tree-").FullName;

    public void Dispose() => Directory.Delete(_book, recursive: true);

    [Fact]
    public async Task TreeDigest_OfAnEmptyDirectory_IsThatOfNoRecords() =>
        Assert.Equal("tree1:::99aa06d3014798d86001c324468d497f", await ReadAsync());

    [Fact]
    public async Task TreeDigest_OfATree_IsWhatTheFormatSays()
    {
        Directory.CreateDirectory(Path.Combine(_book, "né", "empty"));
        await File.WriteAllTextAsync(Path.Combine(_book, "né", "a"), "hello world", TestContext.Current.CancellationToken);
        await File.WriteAllTextAsync(Path.Combine(_book, "b"), "", TestContext.Current.CancellationToken);
        File.CreateSymbolicLink(Path.Combine(_book, "link"), "né/a");
        Assert.Equal(
            Expected(Folder("né"), Folder("né/empty"), Member("né/a", "hello world"), Member("b", ""), Member("link", "hello world")),
            await ReadAsync()
        );
    }

    [Fact]
    public async Task TreeDigest_OfOneFile_IsNone()
    {
        var file = Path.Combine(_book, "a");
        await File.WriteAllTextAsync(file, "x", TestContext.Current.CancellationToken);
        Assert.Null(
            (
                await ContentDigest.ComputeAsync(file, [ChecksumAlgorithm.Xxh3], cancellationToken: TestContext.Current.CancellationToken)
            ).TreeDigest
        );
    }

    [Fact]
    public async Task TreeDigest_WithoutXxh3_IsNone() =>
        Assert.Null(
            (
                await ContentDigest.ComputeAsync(_book, [ChecksumAlgorithm.Md5], cancellationToken: TestContext.Current.CancellationToken)
            ).TreeDigest
        );

    private static byte[] Folder(string path) => [(byte)'d', .. Encoding.UTF8.GetBytes(path)];

    private static byte[] Member(string path, string content) =>
        [
            (byte)'f',
            .. BitConverter.GetBytes((long)content.Length),
            .. XxHash128.Hash(Encoding.UTF8.GetBytes(content)),
            .. Encoding.UTF8.GetBytes(path),
        ];

    private static string Expected(params byte[][] records)
    {
        var sorted = records.Select(r => Convert.ToHexStringLower(XxHash128.Hash(r))).Order(StringComparer.Ordinal);
        return "tree1:::" + Convert.ToHexStringLower(XxHash128.Hash(Encoding.ASCII.GetBytes(string.Concat(sorted))));
    }

    private async Task<string?> ReadAsync() =>
        (
            await ContentDigest.ComputeAsync(_book, [ChecksumAlgorithm.Xxh3], cancellationToken: TestContext.Current.CancellationToken)
        ).TreeDigest;
}
