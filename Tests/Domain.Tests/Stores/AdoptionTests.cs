using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Stores;

/// <summary>What a store says of data that lie under the name of a placement.</summary>
[Quick]
public class AdoptionTests
{
    private static readonly (string, string)[] s_book = [("a", "one"), ("sub/b", "two"), (".hidden", "three")];

    public static TheoryData<string, TakenStatus> Changes =>
        new()
        {
            { "nothing", TakenStatus.Identical },
            { "content", TakenStatus.Different },
            { "name", TakenStatus.Different },
            { "name that is not UTF-8", TakenStatus.Different },
            { "swapped contents", TakenStatus.Different },
            { "one more file", TakenStatus.Different },
            { "one more empty directory", TakenStatus.Different },
            { "one less", TakenStatus.Different },
            { "link in place of a file", TakenStatus.Different },
            { "link that leaves it", TakenStatus.Different },
            { "pipe", TakenStatus.Different },
            { "another link", TakenStatus.Shared },
            { "writable by others", TakenStatus.Shared },
            { "directory writable by others", TakenStatus.Shared },
        };

    [Theory, MemberData(nameof(Changes))]
    public async Task Examine_Directory_IsIdenticalOnlyMemberByMember(string change, TakenStatus expected)
    {
        using var fixture = new StoreFixture();
        var commit = await LyingAsync(fixture, s_book);
        var at = fixture.Store.Locate(commit.Destination);
        switch (change)
        {
            case "content":
                await File.WriteAllTextAsync(at + "/a", "oNe");
                break;
            case "name":
                File.Move(at + "/a", at + "/c");
                break;
            case "name that is not UTF-8":
                fixture.StoreFiles.Shell("mv store/name/a \"$(printf 'store/name/a\\377')\"");
                break;
            case "swapped contents":
                File.Move(at + "/a", at + "/x");
                File.Move(at + "/sub/b", at + "/a");
                File.Move(at + "/x", at + "/sub/b");
                break;
            case "one more file":
                await File.WriteAllTextAsync(at + "/new", "new");
                break;
            case "one more empty directory":
                Directory.CreateDirectory(at + "/sub/empty");
                break;
            case "one less":
                File.Delete(at + "/.hidden");
                break;
            case "link in place of a file":
                File.Move(at + "/a", at + "/sub/a");
                File.CreateSymbolicLink(at + "/a", "sub/a");
                break;
            case "link that leaves it":
                File.CreateSymbolicLink(at + "/out", "/etc");
                break;
            case "pipe":
                fixture.StoreFiles.Shell("mkfifo store/name/pipe");
                break;
            case "another link":
                fixture.StoreFiles.Shell("ln store/name/sub/b outside");
                break;
            case "writable by others":
                fixture.StoreFiles.Shell("chmod o+w store/name/a");
                break;
            case "directory writable by others":
                fixture.StoreFiles.Shell("chmod g+w store/name/sub");
                break;
        }

        var before = fixture.Committed();
        var taken = await fixture.Store.ExamineTakenAsync(commit);
        Assert.True(taken.Status == expected, taken.Message);
        Assert.Equal(before, fixture.Committed());
        Assert.True(await fixture.StagedIsAsExpectedAsync(commit));
    }

    [Fact]
    public async Task Examine_OtherFile_SaysSizeChecksumTimeAndWhatToDo()
    {
        using var fixture = new StoreFixture();
        var commit = await LyingAsync(fixture, [("", "hello world")]);
        var at = fixture.Store.Locate(commit.Destination);
        await File.WriteAllTextAsync(at, "hello");
        File.SetLastWriteTimeUtc(at, new DateTime(2026, 3, 4, 5, 6, 7, DateTimeKind.Utc));
        var sum = (await ContentDigest.ComputeAsync(at, [ChecksumAlgorithm.Xxh3])).Checksums[ChecksumAlgorithm.Xxh3];
        var taken = await fixture.Store.ExamineTakenAsync(commit);
        Assert.Equal(TakenStatus.Different, taken.Status);
        Assert.Equal(
            $"At 'name' lie data that the catalog does not know: 5 bytes with {sum}, last changed 2026-03-04 05:06:07 UTC. "
                + "They were left as they are. If they are right, catalogue them with admin/add_file; otherwise move them away, "
                + "or choose another name.",
            taken.Message
        );
    }

    [Fact]
    public async Task Examine_NothingToCompare_SaysWhichIsMissing()
    {
        using var fixture = new StoreFixture();
        var commit = await LyingAsync(fixture, [("", "hello world")]);
        await fixture.Store.RemoveStagingAsync(commit.StagingName);
        Assert.Equal(TakenStatus.StagedMissing, (await fixture.Store.ExamineTakenAsync(commit)).Status);
        File.Delete(fixture.Store.Locate(commit.Destination));
        Assert.Equal(TakenStatus.Later, (await fixture.Store.ExamineTakenAsync(commit)).Status);
    }

    [Theory, InlineData("adopt.flushed"), InlineData("adopt.compared"), InlineData("adopt.examined")]
    public async Task Examine_CrashAtAnyPoint_FindsTheSameNextTime(string point)
    {
        var faults = new ScriptedFaults();
        using var fixture = new StoreFixture(faults: faults);
        var commit = await LyingAsync(fixture, s_book);
        faults.CrashAt = point;
        await Assert.ThrowsAsync<SimulatedCrashException>(() => fixture.Store.ExamineTakenAsync(commit));
        faults.CrashAt = null;
        Assert.Equal(TakenStatus.Identical, (await fixture.Store.ExamineTakenAsync(commit)).Status);
        Assert.True(await fixture.TargetIsAsExpectedAsync(commit) && await fixture.StagedIsAsExpectedAsync(commit));
    }

    /// <summary>
    /// The checksum of a directory says nothing about names: without a list of members the one on the source is compared.
    /// </summary>
    [Theory, InlineData(false, AdditionStatus.Added), InlineData(true, AdditionStatus.NameTaken)]
    public async Task Add_DirectoryLiesThereAlready_IsTakenForItOnlyWithTheSameNames(bool swapped, AdditionStatus expected)
    {
        using var source = new StoreFixture();
        using var fixture = new StoreFixture();
        Write(source, "book", [("a", "one"), ("b", "two")]);
        Write(fixture, "book", swapped ? [("a", "two"), ("b", "one")] : [("a", "one"), ("b", "two")]);
        var digest = await source.Store.DigestAsync(StoreFixture.Name("book"), [ChecksumAlgorithm.Xxh3]);
        var result = Assert.Single(
            await fixture.Store.AddAsync(
                source.Store,
                [
                    new Addition(
                        StoreFixture.Name("book"),
                        StoreFixture.Name("book"),
                        new ContentDescription(digest.Checksums[ChecksumAlgorithm.Xxh3], digest.SizeBytes),
                        Guid.NewGuid()
                    ),
                ]
            )
        );
        Assert.True(result.Status == expected, result.Message);
        Assert.Equal(!swapped, result.WasThere);
        Assert.Equal(swapped ? "two" : "one", await File.ReadAllTextAsync(fixture.Store.Locate(StoreFixture.Name("book")) + "/a"));
        Assert.Empty(Directory.EnumerateFileSystemEntries(fixture.StagingPath));
    }

    /// <summary>Staged data, and the same ones under their final name, where nobody else may write.</summary>
    private static async Task<FileCommit> LyingAsync(StoreFixture fixture, (string Name, string Content)[] content)
    {
        var commit = await fixture.StageAsync("name", content);
        Write(fixture, "name", content);
        Assert.Equal(FileCommitStatus.TargetExists, (await fixture.Store.CommitFileAsync(commit)).Status);
        return commit;
    }

    private static void Write(StoreFixture fixture, string destination, (string Name, string Content)[] content)
    {
        var at = fixture.Store.Locate(StoreFixture.Name(destination));
        foreach (var (name, text) in content)
        {
            var path = name.Length == 0 ? at : at + "/" + name;
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllText(path, text);
        }

        fixture.StoreFiles.Shell($"chmod -R go-w store/{destination}");
    }
}
