using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Domain.Stores;

/// <summary>What every kind of store must do, whatever lies beneath it.</summary>
public abstract class StoreComplianceTests
{
    private static readonly (string, string)[] File = [("", "content of a file")];
    private static readonly (string, string)[] Book = [("a", "1"), (".hidden", "2"), ("sub/deep/b", "3")];

    public static TheoryData<bool> FileOrBook => [false, true];

    protected abstract StoreFixture Open(IStoreFaults? faults = null);

    protected virtual bool LacksRenameWithoutReplacing => false;

    [Theory]
    [MemberData(nameof(FileOrBook))]
    public async Task Place_FreeName_MovesTheData(bool directory)
    {
        using var fixture = Open(Faults());
        var commit = await fixture.StageAsync("2459861/uvh5/name", directory ? Book : File);
        var result = await fixture.Store.CommitFileAsync(commit);
        Assert.Equal(FileCommitStatus.Committed, result.Status);
        Assert.False(result.Recovered);
        Assert.True(await fixture.TargetIsAsExpectedAsync(commit));
        Assert.Equal(Presence.Present, await fixture.Store.ExistsAsync(commit.Destination));
        Assert.False(Path.Exists(fixture.StagedPath(commit)));
        Assert.Empty(fixture.InProgress());
        if (directory)
            Assert.Equal(
                [
                    "2459861/",
                    "2459861/uvh5/",
                    "2459861/uvh5/name/",
                    "2459861/uvh5/name/.hidden",
                    "2459861/uvh5/name/a",
                    "2459861/uvh5/name/sub/",
                    "2459861/uvh5/name/sub/deep/",
                    "2459861/uvh5/name/sub/deep/b",
                ],
                fixture.Committed()
            );
    }

    [Theory]
    [MemberData(nameof(FileOrBook))]
    public async Task Place_TakenName_TouchesNeither(bool directory)
    {
        using var fixture = Open(Faults());
        var first = await fixture.StageAsync("name", directory ? Book : File);
        await fixture.Store.CommitFileAsync(first);
        foreach (var content in new (string, string)[][] { [("", "other")], [("x", "other")], Book, File })
        {
            var second = await fixture.StageAsync("name", content);
            Assert.Equal(FileCommitStatus.TargetExists, (await fixture.Store.CommitFileAsync(second)).Status);
            Assert.True(await fixture.StagedIsAsExpectedAsync(second));
            Assert.True(await fixture.TargetIsAsExpectedAsync(first));
        }

        Assert.Empty(fixture.InProgress());
    }

    [Fact]
    public async Task Place_TakenByEmptyDirectory_IsNotReplaced()
    {
        using var fixture = Open(Faults());
        Directory.CreateDirectory(fixture.Store.Locate(StoreFixture.Name("name")));
        var commit = await fixture.StageAsync("name", Book);
        Assert.Equal(FileCommitStatus.TargetExists, (await fixture.Store.CommitFileAsync(commit)).Status);
        Assert.True(await fixture.StagedIsAsExpectedAsync(commit));
        Assert.Equal(["name/"], fixture.Committed());
    }

    [Theory]
    [MemberData(nameof(FileOrBook))]
    public async Task Place_ManyAtOnceForOneName_ExactlyOneWins(bool directory)
    {
        using var fixture = Open(Faults());
        for (var round = 0; round < 5; round++)
        {
            var contenders = new List<FileCommit>();
            for (var i = 0; i < 6; i++)
                contenders.Add(
                    await fixture.StageAsync(
                        $"deep/round{round}/name",
                        directory ? [("a", $"contender {i}"), ("b", "x")] : [("", $"contender {i}")]
                    )
                );
            var results = await Task.WhenAll(contenders.Select(contender => fixture.Store.CommitFileAsync(contender)));

            Assert.All(results, result =>
                Assert.True(result.Status is FileCommitStatus.Committed or FileCommitStatus.TargetExists, result.Message)
            );
            var winner = Assert.Single(contenders.Where((_, i) => results[i].Status == FileCommitStatus.Committed));
            Assert.True(await fixture.TargetIsAsExpectedAsync(winner));
            foreach (var loser in contenders.Where(contender => contender != winner))
                Assert.True(await fixture.StagedIsAsExpectedAsync(loser));
        }

        Assert.Empty(fixture.InProgress());
    }

    [Theory]
    [MemberData(nameof(FileOrBook))]
    public async Task Place_Again_SaysPlacedAndRecovered(bool directory)
    {
        using var fixture = Open(Faults());
        var commit = await fixture.StageAsync("a/name", directory ? Book : File);
        await fixture.Store.CommitFileAsync(commit);
        var again = await fixture.Store.CommitFileAsync(commit);
        Assert.Equal(FileCommitStatus.Committed, again.Status);
        Assert.True(again.Recovered);
        Assert.True(await fixture.TargetIsAsExpectedAsync(commit));
    }

    [Fact]
    public async Task Place_SamePlacementTwiceAtOnce_EndsPlacedOnce()
    {
        using var fixture = Open(Faults());
        for (var round = 0; round < 10; round++)
        {
            var commit = await fixture.StageAsync($"name{round}", Book);
            var results = await Task.WhenAll(fixture.Store.CommitFileAsync(commit), fixture.Store.CommitFileAsync(commit));
            Assert.All(results, result =>
                Assert.True(
                    result.Status == FileCommitStatus.Committed || result.Status == FileCommitStatus.IoError,
                    result.Status + result.Message
                )
            );
            Assert.Equal(FileCommitStatus.Committed, (await fixture.Store.CommitFileAsync(commit)).Status);
            Assert.True(await fixture.TargetIsAsExpectedAsync(commit));
            Assert.Empty(fixture.InProgress());
        }
    }

    [Fact]
    public async Task Place_NothingStaged_SaysSo()
    {
        using var fixture = Open(Faults());
        var commit = await fixture.StageAsync("name", File);
        Assert.True((await fixture.Store.RemoveStagingAsync(commit.StagingName)).IsGone);
        Assert.Equal(FileCommitStatus.StagedMissing, (await fixture.Store.CommitFileAsync(commit)).Status);

        // Other data under the name are not taken for ours.
        await fixture.Store.CommitFileAsync(await fixture.StageAsync("name", Book));
        Assert.Equal(FileCommitStatus.StagedMissing, (await fixture.Store.CommitFileAsync(commit)).Status);
    }

    /// <summary>For every point: die there, look that nothing is lost, go on, look that nothing is doubled.</summary>
    [Theory]
    [MemberData(nameof(FileOrBook))]
    public async Task Place_CrashAtEveryPoint_LosesAndDoublesNothing(bool directory)
    {
        var points = new List<string>();
        using (var fixture = Open(Faults(points)))
            await fixture.Store.CommitFileAsync(await fixture.StageAsync("a/b/name", directory ? Book : File));
        Assert.InRange(points.Count, 5, 20);

        foreach (var point in points)
        {
            var faults = Faults();
            using var fixture = Open(faults);
            var commit = await fixture.StageAsync("a/b/name", directory ? Book : File);
            faults.CrashAt = point;
            await Assert.ThrowsAsync<SimulatedCrashException>(() => fixture.Store.CommitFileAsync(commit));
            Assert.True(await fixture.StagedIsAsExpectedAsync(commit) || await fixture.TargetIsAsExpectedAsync(commit), point);

            // Somebody else cannot take the data's place or be harmed by the continuation.
            faults.CrashAt = null;
            var restarted = new LocalStore(fixture.Options, faults);
            var result = await restarted.CommitFileAsync(commit);
            Assert.True(result.Status == FileCommitStatus.Committed, $"{point}: {result.Message}");
            Assert.True(await fixture.TargetIsAsExpectedAsync(commit), point);
            Assert.False(Path.Exists(fixture.StagedPath(commit)), point);
            Assert.Empty(fixture.InProgress());
            Assert.Equal(directory ? 6 : 1, fixture.Committed().Count(path => path.StartsWith("a/b/name", StringComparison.Ordinal)));
        }
    }

    /// <summary>Dying again and again at successive points, which a machine with a failing power supply does.</summary>
    [Fact]
    public async Task Place_CrashAtEveryPointInOneRow_EndsPlaced()
    {
        var faults = Faults();
        using var fixture = Open(faults);
        var commit = await fixture.StageAsync("a/b/name", Book);
        var died = new HashSet<string>(StringComparer.Ordinal);
        FileCommitResult? result = null;
        while (result is null)
        {
            faults.Reached.Clear();
            try
            {
                result = await new LocalStore(fixture.Options, new CrashAtNewPoint(faults, died)).CommitFileAsync(commit);
            }
            catch (SimulatedCrashException)
            {
                Assert.True(
                    await fixture.StagedIsAsExpectedAsync(commit) || await fixture.TargetIsAsExpectedAsync(commit),
                    faults.Reached[^1]
                );
            }
        }

        Assert.InRange(died.Count, 4, 20);
        Assert.Equal(FileCommitStatus.Committed, result.Status);
        Assert.True(await fixture.TargetIsAsExpectedAsync(commit));
        Assert.False(Path.Exists(fixture.StagedPath(commit)));
    }

    [Theory]
    [MemberData(nameof(FileOrBook))]
    public async Task Place_RivalTakesTheNameAfterACrash_BothKeepTheirData(bool directory)
    {
        var points = new List<string>();
        using (var fixture = Open(Faults(points)))
            await fixture.Store.CommitFileAsync(await fixture.StageAsync("name", directory ? Book : File));
        foreach (var point in points)
        {
            var faults = Faults();
            using var fixture = Open(faults);
            var commit = await fixture.StageAsync("name", directory ? Book : File);
            faults.CrashAt = point;
            await Assert.ThrowsAsync<SimulatedCrashException>(() => fixture.Store.CommitFileAsync(commit));
            faults.CrashAt = null;

            var rival = await fixture.StageAsync("name", directory ? [("a", "rival")] : [("", "rival")]);
            var rivalResult = await fixture.Store.CommitFileAsync(rival);
            var result = await fixture.Store.CommitFileAsync(commit);
            Assert.True(
                (rivalResult.Status, result.Status)
                    is
                        (FileCommitStatus.Committed, FileCommitStatus.TargetExists)
                        or
                        (FileCommitStatus.TargetExists, FileCommitStatus.Committed),
                $"{point}: {rivalResult.Status}, {result.Status}"
            );
            var (winner, loser) = result.Status == FileCommitStatus.Committed ? (commit, rival) : (rival, commit);
            Assert.True(await fixture.TargetIsAsExpectedAsync(winner), point);
            Assert.True(await fixture.StagedIsAsExpectedAsync(loser), point);
            Assert.Empty(fixture.InProgress());
        }
    }

    [Fact]
    public async Task Place_WhilePeersAreDeleted_StillSucceeds()
    {
        using var fixture = Open(Faults());
        for (var round = 0; round < 30; round++)
        {
            var name = $"a/b/c/{round}";
            var old = await fixture.StageAsync(name, File);
            await fixture.Store.CommitFileAsync(old);
            var next = await fixture.StageAsync($"a/b/c/next{round}", File);
            var delete = fixture.Store.DeleteAsync(old.Destination);
            var place = await fixture.Store.CommitFileAsync(next);
            Assert.Equal(RemovalStatus.Removed, (await delete).Status);
            Assert.True(place.Status == FileCommitStatus.Committed, place.Message);
            Assert.True(await fixture.TargetIsAsExpectedAsync(next));
            await fixture.Store.DeleteAsync(next.Destination);
        }

        Assert.Empty(fixture.Committed());
    }

    [Theory]
    [InlineData("/etc/hostname", TreeFinding.EscapingSymlink)]
    [InlineData("../../outside", TreeFinding.EscapingSymlink)]
    [InlineData("root/../../../outside", TreeFinding.EscapingSymlink)]
    [InlineData("nowhere", TreeFinding.BrokenSymlink)]
    [InlineData("link", TreeFinding.BrokenSymlink)]
    [InlineData("a/b", TreeFinding.BrokenSymlink)]
    public async Task Place_LinkOutOfTheTree_IsRefused(string target, TreeFinding expected)
    {
        using var fixture = Open(Faults());
        var commit = await fixture.StageAsync("name", [("sub/a", "1")]);
        var directory = fixture.StagedPath(commit);
        await System.IO.File.WriteAllTextAsync(Path.Combine(Path.GetDirectoryName(directory)!, "outside"), "secret");

        // "root" leads to the tree's own top, so that its ".." is one level higher than the text suggests.
        Directory.CreateSymbolicLink(directory + "/sub/root", "..");
        System.IO.File.CreateSymbolicLink(directory + "/sub/link", target);
        var result = await fixture.Store.CommitFileAsync(commit);
        Assert.Equal(FileCommitStatus.Refused, result.Status);
        Assert.Equal(expected, Assert.Single(result.Inspection!.Findings).Finding);
        Assert.Empty(fixture.Committed());
        Assert.False((await fixture.Store.InspectStagedAsync(commit.StagingName, commit.UploadName!)).IsAcceptable);
    }

    [Fact]
    public async Task Place_LinksWithinTheTree_AreKeptAsLinks()
    {
        using var fixture = Open(Faults());
        var commit = await fixture.StageAsync("name", Book);
        var directory = fixture.StagedPath(commit);
        System.IO.File.CreateSymbolicLink(directory + "/link", "sub/../sub/deep/b");
        Directory.CreateSymbolicLink(directory + "/dir", "sub");
        System.IO.File.CreateSymbolicLink(directory + "/through", "dir/deep/../deep/b");
        var digest = await fixture.Store.DigestStagedAsync(commit.StagingName, commit.UploadName!, [ChecksumAlgorithm.Sha256]);
        commit = commit with { Expected = new ContentDescription(digest.Checksums[ChecksumAlgorithm.Sha256], digest.SizeBytes) };

        Assert.Equal(FileCommitStatus.Committed, (await fixture.Store.CommitFileAsync(commit)).Status);
        Assert.True(await fixture.TargetIsAsExpectedAsync(commit));
        Assert.Equal("sub", new DirectoryInfo(fixture.Store.Locate(commit.Destination) + "/dir").LinkTarget);
    }

    [Fact]
    public async Task Place_StagedTopIsLink_IsRefused()
    {
        using var fixture = Open(Faults());
        var commit = await fixture.StageAsync("name", File);
        var staged = fixture.StagedPath(commit);
        System.IO.File.Move(staged, staged + ".real");
        System.IO.File.CreateSymbolicLink(staged, staged + ".real");
        Assert.Equal(FileCommitStatus.Refused, (await fixture.Store.CommitFileAsync(commit)).Status);
        Assert.Equal(
            DigestStatus.SymlinkRefused,
            (await fixture.Store.DigestStagedAsync(commit.StagingName, commit.UploadName!, [ChecksumAlgorithm.Md5])).Status
        );
        Assert.True(System.IO.File.Exists(staged + ".real"));
    }

    [Fact]
    public async Task Place_LinkInTheStagedPath_IsNotFollowed()
    {
        using var fixture = Open(Faults());
        var victim = await fixture.StageAsync("victim", File);
        var staging = Guid.NewGuid();
        await fixture.Store.CreateStagingAsync(staging, StoreFixture.Name("x"));
        Directory.CreateSymbolicLink(
            Path.Combine(fixture.StagingPath, staging.ToString(), "door"),
            Path.GetDirectoryName(fixture.StagedPath(victim))!
        );
        var theft = victim with
        {
            StagingName = staging,
            UploadName = StoreFixture.Name("door/book"),
            Destination = StoreFixture.Name("stolen"),
            CommitId = Guid.NewGuid(),
        };
        var result = await fixture.Store.CommitFileAsync(theft);
        Assert.Equal("store.path_blocked", result.Code);
        Assert.True(await fixture.StagedIsAsExpectedAsync(victim));
        Assert.Equal(
            DigestStatus.SymlinkRefused,
            (await fixture.Store.DigestStagedAsync(staging, theft.UploadName, [ChecksumAlgorithm.Md5])).Status
        );
    }

    [Fact]
    public async Task Place_LinkOrFileInTheDestination_IsNotFollowed()
    {
        using var fixture = Open(Faults());
        var outside = fixture.StoreFiles.MakeDirectory("outside");
        Directory.CreateSymbolicLink(Path.Combine(fixture.StorePath, "door"), outside);
        await System.IO.File.WriteAllTextAsync(Path.Combine(fixture.StorePath, "file"), "x");
        foreach (var destination in new[] { "door/name", "file/name" })
        {
            var commit = await fixture.StageAsync(destination, File);
            Assert.Equal("store.path_blocked", (await fixture.Store.CommitFileAsync(commit)).Code);
            Assert.True(await fixture.StagedIsAsExpectedAsync(commit));
        }

        Assert.Empty(Directory.EnumerateFileSystemEntries(outside));
    }

    [Fact]
    public async Task Place_StoreUnmounted_LosesNothing()
    {
        using var fixture = Open(Faults());
        var commit = await fixture.StageAsync("name", File);
        Directory.Move(fixture.StorePath, fixture.StorePath + ".away");
        Assert.False(fixture.Store.IsAvailable);
        Assert.Equal(-1, fixture.Store.FreeBytes());
        Assert.Equal("store.unavailable", (await fixture.Store.CommitFileAsync(commit)).Code);
        Assert.Equal(RemovalStatus.IoError, (await fixture.Store.DeleteAsync(commit.Destination)).Status);
        Assert.Equal(Presence.Unknown, await fixture.Store.ExistsAsync(commit.Destination));
        Directory.Move(fixture.StorePath + ".away", fixture.StorePath);
        Assert.Equal(FileCommitStatus.Committed, (await fixture.Store.CommitFileAsync(commit)).Status);
    }

    [Theory]
    [MemberData(nameof(FileOrBook))]
    public async Task Delete_Committed_RemovesItAndEmptyParents(bool directory)
    {
        using var fixture = Open(Faults());
        var one = await fixture.StageAsync("a/b/one", directory ? Book : File);
        var two = await fixture.StageAsync("a/two", File);
        await fixture.Store.CommitFileAsync(one);
        await fixture.Store.CommitFileAsync(two);
        Assert.Equal(RemovalStatus.Removed, (await fixture.Store.DeleteAsync(one.Destination)).Status);
        Assert.Equal(["a/", "a/two"], fixture.Committed());
        Assert.Equal(RemovalStatus.NothingThere, (await fixture.Store.DeleteAsync(one.Destination)).Status);
        Assert.Equal(RemovalStatus.Removed, (await fixture.Store.DeleteAsync(two.Destination)).Status);
        Assert.Empty(fixture.Committed());
        Assert.Empty(fixture.InProgress());
    }

    [Fact]
    public async Task Delete_CrashAtEveryPoint_IsFinishedLater()
    {
        foreach (var point in new[] { "delete.before-rename", "delete.after-rename", "delete.before-removal", "delete.after-removal" })
        {
            var faults = Faults();
            using var fixture = Open(faults);
            var commit = await fixture.StageAsync("a/b/name", Book);
            await fixture.Store.CommitFileAsync(commit);
            faults.CrashAt = point;
            await Assert.ThrowsAsync<SimulatedCrashException>(() => fixture.Store.DeleteAsync(commit.Destination));

            // All or nothing under the name.
            Assert.True(
                await fixture.TargetIsAsExpectedAsync(commit) || await fixture.Store.ExistsAsync(commit.Destination) == Presence.Absent,
                point
            );
            faults.CrashAt = null;
            Assert.True((await fixture.Store.DeleteAsync(commit.Destination)).IsGone);
            Assert.True((await fixture.Store.RemoveLeftoversAsync()).IsGone);
            Assert.Empty(fixture.Committed());
            Assert.Empty(fixture.InProgress());
        }
    }

    [Theory]
    [MemberData(nameof(FileOrBook))]
    public async Task Add_FromAnotherStore_IsReadBackAndPlaced(bool directory)
    {
        using var source = new StoreFixture();
        using var fixture = Open(Faults());
        var additions = new List<Addition>();
        for (var i = 0; i < 20; i++)
            additions.Add(await OfferAsync(source, $"a/{i % 3}/name{i}", directory ? Book : File));
        var results = await fixture.Store.AddAsync(
            source.Store,
            additions,
            new AdditionOptions { Parallelism = 3, SpoolDirectory = source.StagingPath }
        );
        foreach (var (addition, result) in additions.Zip(results))
        {
            Assert.True(result.Status == AdditionStatus.Added, result.Message);
            Assert.Same(addition, result.Addition);
            Assert.True((await fixture.Store.DigestAsync(addition.Name, [ChecksumAlgorithm.Xxh3])).Matches(addition.Expected));
            Assert.Equal(directory, result.IsDirectory);
            Assert.Equal(directory ? 3 : 1, result.Files);
            Assert.Equal(
                directory ? null : Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData("content of a file"u8)),
                result.Sha256
            );
            Assert.Equal(directory ? 3 : 0, result.MembersFile is { } list ? System.IO.File.ReadAllLines(list).Length : 0);
        }

        Assert.Empty(Directory.EnumerateFileSystemEntries(fixture.StagingPath));
        Assert.Empty(fixture.InProgress());
        // The source is as it was, and the same again changes nothing.
        foreach (var again in await fixture.Store.AddAsync(source.Store, additions))
            Assert.True(again.Status == AdditionStatus.Added, again.Message);
        foreach (var addition in additions)
            Assert.True((await source.Store.DigestAsync(addition.Source, [ChecksumAlgorithm.Xxh3])).Matches(addition.Expected));
    }

    [Theory]
    [MemberData(nameof(FileOrBook))]
    public async Task Add_CrashAtEveryPoint_LosesAndDoublesNothing(bool directory)
    {
        using var source = new StoreFixture();
        var additions = new List<Addition>
        {
            await OfferAsync(source, "a/one", directory ? Book : File),
            await OfferAsync(source, "a/two", File),
        };
        var points = new List<string>();
        using (var fixture = Open(Faults(points)))
            await fixture.Store.AddAsync(source.Store, additions, new AdditionOptions { Parallelism = 1 });
        points = [.. points.Distinct()];
        Assert.InRange(points.Count, 5, 20);
        foreach (var point in points)
        {
            var faults = Faults();
            using var fixture = Open(faults);
            faults.CrashAt = point;
            await Assert.ThrowsAsync<SimulatedCrashException>(() =>
                fixture.Store.AddAsync(source.Store, additions, new AdditionOptions { Parallelism = 1 })
            );
            faults.CrashAt = null;
            var results = await new LocalStore(fixture.Options, faults).AddAsync(
                source.Store,
                additions,
                new AdditionOptions { Parallelism = 1 }
            );
            Assert.All(results, result => Assert.True(result.Status == AdditionStatus.Added, $"{point}: {result.Message}"));
            foreach (var addition in additions)
                Assert.True((await fixture.Store.DigestAsync(addition.Name, [ChecksumAlgorithm.Xxh3])).Matches(addition.Expected), point);
            Assert.Equal(directory ? 8 : 3, fixture.Committed().Length);
            Assert.Empty(Directory.EnumerateFileSystemEntries(fixture.StagingPath));
            Assert.Empty(fixture.InProgress());
        }
    }

    [Fact]
    public async Task Add_SomeThatCannotBe_AreSaidWhyAndTheOthersAdded()
    {
        using var source = new StoreFixture();
        using var fixture = Open(Faults());
        var taken = await fixture.StageAsync("taken", File);
        await fixture.Store.CommitFileAsync(taken);
        await fixture.Store.RemoveStagingAsync(taken.StagingName);
        var good = await OfferAsync(source, "good", Book);
        var grown = await OfferAsync(source, "grown", File);
        System.IO.File.AppendAllText(source.Store.Locate(grown.Source), "more and more");
        var flipped = await OfferAsync(source, "flipped", Book);
        System.IO.File.WriteAllText(source.Store.Locate(flipped.Source) + "/a", "2");
        var gone = await OfferAsync(source, "gone", File);
        System.IO.File.Delete(source.Store.Locate(gone.Source));
        var member = await OfferAsync(source, "member", ("bad", "1"), ("fine", "2"));
        var below = await OfferAsync(source, "taken/below", File);
        var other = await OfferAsync(source, "taken2", File);
        (Addition Addition, AdditionStatus Status)[] cases =
        [
            (grown, AdditionStatus.SourceDiffers),
            (good, AdditionStatus.Added),
            (flipped, AdditionStatus.SourceDiffers),
            (gone, AdditionStatus.SourceMissing),
            (member, AdditionStatus.Refused),
            (below, AdditionStatus.NameTaken),
            (other with { Name = StoreFixture.Name("taken") }, AdditionStatus.Added),
            (flipped with { Name = StoreFixture.Name("taken"), Id = Guid.NewGuid() }, AdditionStatus.NameTaken),
            (
                good with
                {
                    Name = StoreFixture.Name("wrong-sha"),
                    Id = Guid.NewGuid(),
                    ExpectedMembers = "1:00",
                },
                AdditionStatus.SourceDiffers
            ),
            (
                other with
                {
                    Name = StoreFixture.Name("wrong-sha2"),
                    Id = Guid.NewGuid(),
                    ExpectedSha256 = new string('0', 64),
                },
                AdditionStatus.SourceDiffers
            ),
        ];
        var results = await fixture.Store.AddAsync(
            source.Store,
            [.. cases.Select(c => c.Addition)],
            new AdditionOptions { RefuseMember = path => path == "bad" ? "'bad' is bad" : null }
        );
        for (var i = 0; i < cases.Length; i++)
            Assert.True(
                results[i].Status == cases[i].Status,
                $"{cases[i].Addition.Name}: {results[i].Status} instead of {cases[i].Status}: {results[i].Message}"
            );
        Assert.Equal(["good/", "good/.hidden", "good/a", "good/sub/", "good/sub/deep/", "good/sub/deep/b", "taken"], fixture.Committed());
        Assert.Empty(Directory.EnumerateFileSystemEntries(fixture.StagingPath));
        Assert.True(await fixture.TargetIsAsExpectedAsync(taken));
    }

    [Theory, InlineData("/etc"), InlineData("/etc/hostname"), InlineData("../other"), InlineData("nowhere")]
    public async Task Add_DirectoryWithALinkThatLeavesIt_IsRefusedAndLeavesNothing(string target)
    {
        // A link to a directory changes neither checksum nor size, one to a file has those of the file.
        using var source = new StoreFixture();
        using var fixture = Open(Faults());
        var directory = await OfferAsync(source, "book", Book);
        await OfferAsync(source, "other", File);
        System.IO.File.CreateSymbolicLink(source.Store.Locate(directory.Source) + "/link", target);
        var lying = (await source.Store.DigestAsync(directory.Source, [ChecksumAlgorithm.Xxh3])) is { IsComplete: true } read
            ? directory with
            {
                Expected = new ContentDescription(read.Checksums[ChecksumAlgorithm.Xxh3], read.SizeBytes),
            }
            : directory;
        var results = await fixture.Store.AddAsync(source.Store, [lying, await OfferAsync(source, "file", File)]);
        Assert.Equal([AdditionStatus.Refused, AdditionStatus.Added], results.Select(r => r.Status));
        Assert.Equal(["file"], fixture.Committed());
        Assert.Empty(Directory.EnumerateFileSystemEntries(fixture.StagingPath));
        Assert.Empty(fixture.InProgress());
    }

    [Fact]
    public async Task Add_SourceDirectoryReplacedMeanwhile_IsWalkedToAgain()
    {
        using var source = new StoreFixture();
        var faults = Faults();
        using var fixture = Open(faults);
        var additions = new List<Addition> { await OfferAsync(source, "d/one", File), await OfferAsync(source, "d/two", File) };
        var asked = 0;
        var results = await fixture.Store.AddAsync(
            source.Store,
            additions,
            new AdditionOptions
            {
                Parallelism = 1,
                MayWrite = () =>
                {
                    if (++asked == 2)
                        source.StoreFiles.Shell("cd store; cp -rp d e; mv d gone; mv e d; rm -rf gone");
                    return true;
                },
            }
        );
        Assert.All(results, r => Assert.True(r.Status == AdditionStatus.Added, r.Message));
    }

    [Fact]
    public async Task Add_StoreMovedAwayMeanwhile_CountsAsNothing()
    {
        using var source = new StoreFixture();
        using var fixture = Open(Faults());
        var root = fixture.Options.RootPath;
        var addition = await OfferAsync(source, "one", File);
        var result = (
            await fixture.Store.AddAsync(
                source.Store,
                [addition],
                new AdditionOptions
                {
                    MayWrite = () =>
                    {
                        Directory.Move(root, root + ".away");
                        Directory.CreateDirectory(root);
                        return true;
                    },
                }
            )
        )[0];
        Assert.Equal(AdditionStatus.IoError, result.Status);
        Assert.Empty(Directory.EnumerateFiles(root));
        Assert.Empty(Directory.EnumerateFiles(root + ".away"));
        Directory.Delete(root, recursive: true);
        Directory.Move(root + ".away", root);
        Assert.Equal(AdditionStatus.Added, (await fixture.Store.AddAsync(source.Store, [addition]))[0].Status);
    }

    /// <summary>A committed file or directory of another store, and how to ask for a copy of it.</summary>
    private static async Task<Addition> OfferAsync(StoreFixture source, string name, params (string Name, string Content)[] content)
    {
        var commit = await source.StageAsync(name, content);
        Assert.Equal(FileCommitStatus.Committed, (await source.Store.CommitFileAsync(commit)).Status);
        return new Addition(commit.Destination, commit.Destination, commit.Expected, Guid.NewGuid());
    }

    protected ScriptedFaults Faults(List<string>? points = null) =>
        new(points) { LacksRenameWithoutReplacing = LacksRenameWithoutReplacing };

    private sealed class CrashAtNewPoint(ScriptedFaults inner, HashSet<string> died) : IStoreFaults
    {
        public bool LacksRenameWithoutReplacing => inner.LacksRenameWithoutReplacing;

        public void Reach(string point)
        {
            inner.Reach(point);
            if (died.Add(point))
                throw new SimulatedCrashException(point);
        }
    }
}

[Quick]
public sealed class LocalStoreOnOneFilesystemTests : StoreComplianceTests
{
    protected override StoreFixture Open(IStoreFaults? faults = null) => new(faults: faults);
}

/// <summary>As on filesystems like old NFS.</summary>
public sealed class LocalStoreWithoutRenameNoReplaceTests : StoreComplianceTests
{
    protected override bool LacksRenameWithoutReplacing => true;

    protected override StoreFixture Open(IStoreFaults? faults = null) => new(faults: faults);
}

public sealed class LocalStoreOwningItsDataTests : StoreComplianceTests
{
    protected override StoreFixture Open(IStoreFaults? faults = null) =>
        new(options => options with { OwnAfterCommit = true, ReadonlyAfterCommit = true }, faults: faults);
}

public sealed class LocalStoreAcrossFilesystemsTests : StoreComplianceTests
{
    protected override StoreFixture Open(IStoreFaults? faults = null)
    {
        var fixture = new StoreFixture(stagingRoot: "/dev/shm", faults: faults);
        fixture.StagingFiles.Shell(
            $"test $(stat -c %d '{fixture.StagingPath}') != $(stat -c %d '{fixture.StorePath}') "
                + "|| { echo 'These tests need /dev/shm and /tmp on different filesystems.' >&2; exit 1; }"
        );
        return fixture;
    }
}

/// <summary>The copying way on a filesystem without a rename that refuses to replace.</summary>
public sealed class LocalStoreAcrossFilesystemsWithoutRenameNoReplaceTests : StoreComplianceTests
{
    protected override bool LacksRenameWithoutReplacing => true;

    protected override StoreFixture Open(IStoreFaults? faults = null) => new(stagingRoot: "/dev/shm", faults: faults);
}
