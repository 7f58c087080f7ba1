using System.Collections.Concurrent;
using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Checksums;

[Quick]
public sealed class MemberNameTests
{
    [Fact]
    public async Task OnMember_NamesThatAreNotUtf8_AreToldApart()
    {
        using var root = new TemporaryDirectory();
        root.Shell(
            "mkdir one two && for d in one two; do printf x > \"$d/$(printf 'a\\377')\"; printf y > \"$d/$(printf 'a\\376')\"; done"
        );
        var one = await ReadAsync(root["one"]);
        Assert.Equal(["a\uDCFE", "a\uDCFF"], one.Paths.Order(StringComparer.Ordinal));
        Assert.Equal(one.Print, (await ReadAsync(root["two"])).Print);

        // The same contents under swapped names.
        root.Shell(
            "cd two && mv \"$(printf 'a\\377')\" t && mv \"$(printf 'a\\376')\" \"$(printf 'a\\377')\" && mv t \"$(printf 'a\\376')\""
        );
        Assert.NotEqual(one.Print, (await ReadAsync(root["two"])).Print);
    }

    private static async Task<(List<string> Paths, string Print)> ReadAsync(string path)
    {
        var (paths, print) = (new ConcurrentQueue<string>(), new MemberFingerprint());
        var read = await ContentDigest.ComputeAsync(
            path,
            [ChecksumAlgorithm.Xxh3],
            new DigestOptions
            {
                OnMember = member =>
                {
                    paths.Enqueue(member.Path);
                    print.Add(member.Path, member.SizeBytes, member.Checksums[ChecksumAlgorithm.Xxh3].Digest);
                },
            }
        );
        Assert.True(read.IsComplete);
        return ([.. paths], print.ToString());
    }
}
