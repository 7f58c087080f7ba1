using System.Runtime.InteropServices;
using Librarian.Domain.Posix;
using Librarian.Domain.Stores;

namespace Librarian.Tests.Domain.Stores;

/// <summary>What is particular to the local store.</summary>
public class LocalStoreTests
{
    [Fact]
    public async Task CreateStaging_NestedUploadName_MakesParentsButNotTheLastComponent()
    {
        using var fixture = new StoreFixture(options => options with { GroupWriteAfterStage = true });
        var name = Guid.NewGuid();
        var result = await fixture.Store.CreateStagingAsync(name, StoreFixture.Name("2459861/uvh5/zen.uvh5"));
        Assert.Equal($"{fixture.StagingPath}/{name}/2459861/uvh5/zen.uvh5", result.Location);
        Assert.True(Directory.Exists(Path.GetDirectoryName(result.Location)));
        Assert.False(Path.Exists(result.Location));
        fixture.StagingFiles.Shell(
            $"test \"$(stat -c %a staging/{name} staging/{name}/2459861 staging/{name}/2459861/uvh5 | tr '\\n' ' ')\" = '775 775 775 '"
        );
        Assert.Equal("store.staged", (await fixture.Store.CreateStagingAsync(name, StoreFixture.Name("2459861/uvh5/zen.uvh5"))).Code);
    }

    [Fact]
    public async Task CreateStaging_SetGroupIdOfTheRoot_IsKept()
    {
        using var fixture = new StoreFixture(options => options with { GroupWriteAfterStage = true });
        fixture.StagingFiles.Shell("chmod 2775 staging");
        var name = Guid.NewGuid();
        await fixture.Store.CreateStagingAsync(name, StoreFixture.Name("a/b"));
        fixture.StagingFiles.Shell($"test \"$(stat -c %a staging/{name} staging/{name}/a | tr '\\n' ' ')\" = '2775 2775 '");
    }

    [Fact]
    public async Task Place_NobodyMayRead_CopiesWaitAndRenamesDoNot()
    {
        using var readers = new SemaphoreSlim(0, 1);
        var copying = new ReachedPoint("place.incoming-made");
        using var copies = new StoreFixture(options => options with { OwnAfterCommit = true }, faults: copying);
        using var renames = new StoreFixture();
        var waiting = copies.Store.CommitFileAsync(
            await copies.StageAsync("copied", ("", "data")) with
            {
                Readers = readers,
            },
            TestContext.Current.CancellationToken
        );
        await copying.Reached.WaitAsync(TestContext.Current.CancellationToken);
        // Time enough for a copy that does not wait.
        for (var i = 0; i < 20; i++)
            Assert.Equal(
                FileCommitStatus.Committed,
                (
                    await renames.Store.CommitFileAsync(await renames.StageAsync($"renamed{i}", ("", "data")) with { Readers = readers })
                ).Status
            );
        Assert.Empty(copies.Committed());
        readers.Release();
        Assert.Equal(FileCommitStatus.Committed, (await waiting).Status);
        Assert.Equal(1, readers.CurrentCount);
    }

    [Fact]
    public async Task CreateStaging_NoStagingRoot_SaysSo()
    {
        using var fixture = new StoreFixture();
        Directory.Delete(fixture.StagingPath);
        var result = await fixture.Store.CreateStagingAsync(Guid.NewGuid(), StoreFixture.Name("a"));
        Assert.Equal("store.unavailable", result.Code);
        Assert.Null(result.Location);
    }

    [Fact]
    public async Task RemoveStaging_OneOfTwo_LeavesTheOtherAndIsIdempotent()
    {
        using var fixture = new StoreFixture();
        var doomed = await fixture.StageAsync("x", ("a/b", "1"));
        var kept = await fixture.StageAsync("y", ("a/b", "1"));
        var outside = fixture.StagingFiles.Write("outside/f", "1");
        Directory.CreateSymbolicLink(fixture.StagedPath(doomed) + "/link", Path.GetDirectoryName(outside)!);
        fixture.StagingFiles.Shell("chmod 500 outside");

        Assert.Equal(RemovalStatus.Removed, (await fixture.Store.RemoveStagingAsync(doomed.StagingName)).Status);
        Assert.Equal(RemovalStatus.NothingThere, (await fixture.Store.RemoveStagingAsync(doomed.StagingName)).Status);
        Assert.Equal([kept.StagingName.ToString()], Directory.EnumerateFileSystemEntries(fixture.StagingPath).Select(Path.GetFileName));
        Assert.True(await fixture.StagedIsAsExpectedAsync(kept));
        Assert.True(File.Exists(outside));
        fixture.StagingFiles.Shell("test $(stat -c %a outside) = 500");
    }

    [Fact]
    public async Task ListStaging_MixedEntries_GivesThoseNamedByUuids()
    {
        using var fixture = new StoreFixture();
        var names = new HashSet<Guid>();
        for (var i = 0; i < 600; i++)
        {
            var name = Guid.NewGuid();
            names.Add(name);
            await fixture.Store.CreateStagingAsync(name, StoreFixture.Name("f"));
        }

        Directory.CreateDirectory(fixture.StagingPath + "/lost+found");
        Directory.CreateDirectory(fixture.StagingPath + "/" + Guid.NewGuid().ToString("D").ToUpperInvariant().Replace('0', 'A'));
        // A copy that an addition left.
        var copy = Guid.NewGuid();
        names.Add(copy);
        await File.WriteAllTextAsync($"{fixture.StagingPath}/{copy}", "a file");
        File.CreateSymbolicLink($"{fixture.StagingPath}/{Guid.NewGuid()}", "/etc");
        Directory.SetLastWriteTimeUtc(fixture.StagingPath + "/" + names.First(), new DateTime(2024, 5, 6, 7, 8, 9, DateTimeKind.Utc));

        var listed = new Dictionary<Guid, DateTimeOffset>();
        await foreach (var entry in fixture.Store.ListStagingAsync())
            listed.Add(entry.Name, entry.ModifiedUtc);
        Assert.Equal(names.Order(), listed.Keys.Order());
        Assert.Equal(new DateTimeOffset(2024, 5, 6, 7, 8, 9, TimeSpan.Zero), listed[names.First()]);
    }

    [Fact]
    public async Task Place_ReadOnlyStore_SetsModes()
    {
        using var fixture = new StoreFixture(options => options with { ReadonlyAfterCommit = true });
        var directory = await fixture.StageAsync("a/book", ("f", "1"), ("sub/g", "2"));
        var file = await fixture.StageAsync("a/file", ("", "3"));
        Assert.Equal(FileCommitStatus.Committed, (await fixture.Store.CommitFileAsync(directory)).Status);
        Assert.Equal(FileCommitStatus.Committed, (await fixture.Store.CommitFileAsync(file)).Status);
        fixture.StoreFiles.Shell(
            "cd store/a; test \"$(stat -c %a book book/f book/sub book/sub/g file | tr '\\n' ' ')\" = '555 444 555 444 444 '"
        );
        Assert.Equal(RemovalStatus.Removed, (await fixture.Store.DeleteAsync(directory.Destination)).Status);
        fixture.StoreFiles.Shell("test $(stat -c %a store/a/file) = 444");
    }

    [Fact]
    public async Task Place_CopyDiffersFromDeclared_IsAMismatchAndKeepsTheStaged()
    {
        using var fixture = new StoreFixture(options => options with { OwnAfterCommit = true });
        var commit = await fixture.StageAsync("name", ("f", "1"));
        await File.WriteAllTextAsync(fixture.StagedPath(commit) + "/f", "2");
        var result = await fixture.Store.CommitFileAsync(commit);
        Assert.Equal(FileCommitStatus.Mismatch, result.Status);
        Assert.Equal(1, result.Actual!.SizeBytes);
        Assert.Empty(fixture.Committed());
        Assert.Empty(fixture.InProgress());
        Assert.Equal("2", await File.ReadAllTextAsync(fixture.StagedPath(commit) + "/f"));
    }

    [Fact]
    public async Task Place_TornCopyOfAnEarlierAttempt_IsMadeAgain()
    {
        using var fixture = new StoreFixture(options => options with { OwnAfterCommit = true });
        var commit = await fixture.StageAsync("name", ("f", "right"), ("g", "right"));
        fixture.StoreFiles.Write($"store/.librarian/incoming/{commit.CommitId}/data/f", "wro");
        fixture.StoreFiles.Write($"store/.librarian/incoming/{commit.CommitId}/identity", "8 1");
        Assert.Equal(FileCommitStatus.Committed, (await fixture.Store.CommitFileAsync(commit)).Status);
        Assert.True(await fixture.TargetIsAsExpectedAsync(commit));
        Assert.Empty(fixture.InProgress());
    }

    [Fact]
    public async Task Place_VerifiedCopyButStagedGone_IsPlacedFromTheCopy()
    {
        var faults = new ScriptedFaults { CrashAt = "place.identity-recorded" };
        using var fixture = new StoreFixture(options => options with { OwnAfterCommit = true }, faults: faults);
        var commit = await fixture.StageAsync("name", ("f", "1"));
        await Assert.ThrowsAsync<SimulatedCrashException>(() => fixture.Store.CommitFileAsync(commit));
        await fixture.Store.RemoveStagingAsync(commit.StagingName);
        faults.CrashAt = null;
        Assert.Equal(FileCommitStatus.Committed, (await fixture.Store.CommitFileAsync(commit)).Status);
        Assert.True(await fixture.TargetIsAsExpectedAsync(commit));
    }

    [Theory]
    [InlineData("name", true)]
    [InlineData("name/below", false)]
    [InlineData("link", true)]
    [InlineData("link/f", false)]
    [InlineData("none/name", false)]
    public async Task Exists_AnyName_IsAnsweredWithoutFollowingLinks(string name, bool expected)
    {
        using var fixture = new StoreFixture();
        fixture.StoreFiles.Write("store/name", "1");
        fixture.StoreFiles.Write("outside/f", "1");
        Directory.CreateSymbolicLink(fixture.StorePath + "/link", "../outside");
        Assert.Equal(expected ? Presence.Present : Presence.Absent, await fixture.Store.ExistsAsync(StoreFixture.Name(name)));
    }

    [Fact]
    public async Task RemoveIncoming_AbandonedPlacement_RemovesOnlyItsCopy()
    {
        var faults = new ScriptedFaults { CrashAt = "place.copied" };
        using var fixture = new StoreFixture(options => options with { OwnAfterCommit = true }, faults: faults);
        var commit = await fixture.StageAsync("name", ("f", "1"));
        await Assert.ThrowsAsync<SimulatedCrashException>(() => fixture.Store.CommitFileAsync(commit));
        Assert.NotEmpty(fixture.InProgress());
        Assert.Equal(RemovalStatus.Removed, (await fixture.Store.RemoveIncomingAsync(commit.CommitId)).Status);
        Assert.Equal(RemovalStatus.NothingThere, (await fixture.Store.RemoveIncomingAsync(commit.CommitId)).Status);
        Assert.Empty(fixture.InProgress());
        Assert.True(await fixture.StagedIsAsExpectedAsync(commit));
    }

    [Fact]
    public async Task Place_FullFilesystem_IsNoSpaceAndThenSucceeds()
    {
        using var mount = new TemporaryDirectory();
        mount.MakeDirectory("small");
        mount.Shell("mount -t tmpfs -o size=1m none small");
        try
        {
            mount.MakeDirectory("small/store");
            using var staging = new StoreFixture();
            var commit = await staging.StageAsync("name", ("f", new string('x', 800_000)));
            var store = new LocalStore(staging.Options with { RootPath = mount["small/store"] });
            mount.Shell("head -c 600000 /dev/zero > small/ballast");
            var result = await store.CommitFileAsync(commit);
            Assert.Equal(FileCommitStatus.NoSpace, result.Status);
            Assert.True(await staging.StagedIsAsExpectedAsync(commit));
            Assert.Empty(Directory.EnumerateFileSystemEntries(mount["small/store/.librarian/incoming"]));

            mount.Shell("rm small/ballast");
            Assert.Equal(FileCommitStatus.Committed, (await store.CommitFileAsync(commit)).Status);
        }
        finally
        {
            mount.Shell("umount small");
        }
    }

    [Theory]
    [InlineData(1.0)]
    [InlineData(0.75)]
    [InlineData(0.0)]
    public void FreeBytes_Fraction_HoldsBackItsPartOfTheSmallerFilesystem(double fraction)
    {
        using var mount = new TemporaryDirectory();
        mount.MakeDirectory("small");
        mount.MakeDirectory("large");
        mount.Shell(
            "mount -t tmpfs -o size=4m none small; head -c 1048576 /dev/zero > small/ballast; mount -t tmpfs -o size=64m none large"
        );
        try
        {
            using var staging = new StoreFixture(options =>
                options with
                {
                    RootPath = mount["small"],
                    StagingPath = mount["large"],
                    ReportFullFraction = fraction,
                }
            );
            const long Total = 4 << 20;
            const long Free = 3 << 20;
            Assert.Equal((long)Math.Max(0, Free - (Total * (1 - fraction))), staging.Store.FreeBytes());
        }
        finally
        {
            mount.Shell("umount small; umount large");
        }
    }

    [Fact]
    public void Constructor_BadOptions_Throws()
    {
        var good = new LocalStoreOptions
        {
            Name = "n",
            StagingPath = "/a",
            RootPath = "/b",
        };
        Assert.Throws<ArgumentException>(() => new LocalStore(good with { StagingPath = "a" }));
        Assert.Throws<ArgumentException>(() => new LocalStore(good with { ReportFullFraction = 1.1 }));
        Assert.Throws<ArgumentException>(() => new LocalStore(good with { ReportFullFraction = double.NaN }));
    }

    /// <summary>Removal with the rights of an ordinary user, which mode bits do stop.</summary>
    [Fact]
    public void W47_ReadOnlyTreeOfAnOrdinaryUser_IsRemovedAndNothingElseLoosened()
    {
        const int Nobody = 65534;
        using var root = new TemporaryDirectory();
        root.Write("top/doomed/a/b/f", "1");
        root.Write("top/doomed/g", "1");
        root.Write("top/kept/f", "1");
        root.Shell(
            "ln -s ../../kept top/doomed/a/link; chmod 444 top/kept/f top/doomed/g; "
                + "chmod 555 top/kept top/doomed/a/b top/doomed/a top/doomed; chmod 755 ."
        );
        if (Libc.EffectiveUserId() == 0)
            root.Shell($"chown -R {Nobody} top");

        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                // The kernel keeps this identity per thread; the thread ends with the test.
                if (Libc.EffectiveUserId() == 0)
                    _ = SetFilesystemUser(Nobody);
                using var directory = PosixDirectory.Open(root["top"]);
                using var kept = directory.OpenDirectory(new EntryName("kept"));
                Assert.Equal(Errno.AccessDenied, Assert.Throws<PosixException>(() => kept.RemoveFile(new EntryName("f"))).Errno);
                TreeRemoval.Remove(directory, new EntryName("doomed"), CancellationToken.None);
                TreeRemoval.Remove(directory, new EntryName("doomed"), CancellationToken.None);
            }
            catch (Exception exception)
            {
                failure = exception;
            }
        });
        thread.Start();
        thread.Join();
        Assert.Null(failure);
        Assert.Equal(["kept"], Directory.EnumerateFileSystemEntries(root["top"]).Select(Path.GetFileName));
        root.Shell("test \"$(stat -c %a top/kept top/kept/f | tr '\\n' ' ')\" = '555 444 '");
    }

    [Fact]
    public void TreeRemoval_TreeDeeperThanAnyPath_IsRemoved()
    {
        using var root = new TemporaryDirectory();
        root.MakeDirectory("d");
        root.Shell("cd d; p=$(printf 'n/%.0s' $(seq 700)); for i in 1 2 3; do mkdir -p $p; cd -P $p; done");
        using var directory = PosixDirectory.Open(root);
        TreeRemoval.Remove(directory, new EntryName("d"), CancellationToken.None);
        Assert.Empty(Directory.EnumerateFileSystemEntries(root));
    }

    [Fact]
    public void SetDirectoryPermissions_Link_IsNotFollowed()
    {
        using var root = new TemporaryDirectory();
        root.MakeDirectory("target");
        root.MakeDirectory("closed");
        root.Shell("chmod 500 target; chmod 0 closed; ln -s target link");
        using var directory = PosixDirectory.Open(root);
        Assert.Throws<PosixException>(() => directory.SetDirectoryPermissions(new EntryName("link"), 0x1ff));
        directory.SetDirectoryPermissions(new EntryName("closed"), 0x1c0);
        root.Shell("test \"$(stat -c %a target closed | tr '\\n' ' ')\" = '500 700 '");
    }

    [DllImport("libc", EntryPoint = "setfsuid")]
    private static extern int SetFilesystemUser(int user);

    private sealed class ReachedPoint(string point) : IStoreFaults
    {
        private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Reached => _reached.Task;

        public void Reach(string reached)
        {
            if (reached == point)
                _reached.TrySetResult();
        }
    }
}
