using Librarian.Domain.Checksums;
using Librarian.Domain.TransferManagers;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.TransferManagers;

/// <summary>What leaves this site is what the catalog says.</summary>
[Quick]
public sealed class LocalTransferManagerTests : IDisposable
{
    private readonly TemporaryDirectory _place = new();

    private string Staging => _place["staging"];

    private string Destination => Staging + "/x/obs/a";

    public LocalTransferManagerTests() => Directory.CreateDirectory(Staging + "/x");

    public void Dispose() => _place.Dispose();

    [Theory]
    [
        InlineData(ChecksumAlgorithm.Md5, false),
        InlineData(ChecksumAlgorithm.Sha256, false),
        InlineData(ChecksumAlgorithm.Xxh3, false),
        InlineData(ChecksumAlgorithm.Md5, true),
        InlineData(ChecksumAlgorithm.Xxh3, true)
    ]
    public async Task Copy_OfTheCataloguedBytes_ArrivesWhateverTheAlgorithm(ChecksumAlgorithm algorithm, bool directory)
    {
        var (source, expected) = await KeepAsync(algorithm, directory);
        Assert.Equal(SendingStatus.Copied, (await CopyAsync(source, expected)).Status);
        Assert.True((await ContentDigest.ComputeAsync(Destination, [algorithm])).Matches(expected));
        Assert.Single(Directory.GetFileSystemEntries(Staging + "/x/obs"));
    }

    [Theory]
    [InlineData("flipped", false), InlineData("longer", false), InlineData("shorter", false), InlineData("gone", false)]
    [InlineData("flipped", true), InlineData("longer", true), InlineData("shorter", true), InlineData("gone", true)]
    public async Task Copy_OfOtherBytes_LeavesNothingAndDoubtsTheSource(string what, bool directory)
    {
        var (source, expected) = await KeepAsync(ChecksumAlgorithm.Xxh3, directory);
        var victim = directory ? source + "/inner/two" : source;
        if (what == "flipped")
            await File.WriteAllTextAsync(victim, "hello_world");
        else if (what == "longer")
            await File.AppendAllTextAsync(victim, new string('x', 1 << 21));
        else if (what == "shorter")
            await File.WriteAllTextAsync(victim, "hello worl");
        else if (directory)
            Directory.Delete(source, recursive: true);
        else
            File.Delete(source);
        var result = await CopyAsync(source, expected);
        Assert.Equal(SendingStatus.SourceDiffers, result.Status);
        Assert.Contains(source, result.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(Staging + "/x/obs"));
    }

    [Fact]
    public async Task Copy_DestinationGaveItUp_SaysNothingAboutTheSource()
    {
        var (source, expected) = await KeepAsync(ChecksumAlgorithm.Xxh3, directory: false);
        Directory.Delete(Staging + "/x");
        Assert.Equal(SendingStatus.Failed, (await CopyAsync(source, expected)).Status);
    }

    private Task<SendingResult> CopyAsync(string source, ContentDescription expected) =>
        LocalTransferManager.CopyAsync(source, expected, Destination, "obs/a", [Staging], TestContext.Current.CancellationToken);

    private async Task<(string Source, ContentDescription Expected)> KeepAsync(ChecksumAlgorithm algorithm, bool directory)
    {
        var source = _place["kept"];
        if (directory)
        {
            Directory.CreateDirectory(source + "/inner");
            await File.WriteAllTextAsync(source + "/one", "one");
        }

        await File.WriteAllTextAsync(directory ? source + "/inner/two" : source, "hello world");
        var digest = await ContentDigest.ComputeAsync(source, [algorithm]);
        return (source, new ContentDescription(digest.Checksums[algorithm], digest.SizeBytes));
    }
}
