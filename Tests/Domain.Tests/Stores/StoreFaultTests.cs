using System.Diagnostics;
using Librarian.Domain.Checksums;
using Librarian.Domain.Stores;

namespace Librarian.Tests.Domain.Stores;

/// <summary>
/// Disks that lie, fill up or go away while a store works, and people who change data in staging at the wrong moment. The disks are real:
/// loop-mounted ext4 whose own disk is full when the kernel writes back, tmpfs that is unmounted.
/// </summary>
public sealed class StoreFaultTests : IDisposable
{
    private const string Marker = "0e984725-c51c-4bf4-9960-e1c80e27aba0";

    private readonly TemporaryDirectory _root = new();
    private readonly List<string> _mounted = [];

    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        foreach (var place in Enumerable.Reverse(_mounted))
            _root.Shell($"umount -l '{place}' 2>/dev/null || true");
        _root.Dispose();
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task DigestStaged_WriteBackFails_SaysThatTheFlushFailed(bool directory)
    {
        MakeLyingDisk("disk");
        var store = Store("disk/mount/store", "disk/mount/staging");
        var (staging, _) = await StageLargeAsync(store, directory);
        var first = await DigestAsync(store, staging);
        Assert.Equal(DigestStatus.FlushFailed, first.Status);
        // This is why: after a while everything seems to be in order.
        Assert.NotEqual(DigestStatus.FlushFailed, (await ForgottenAsync(store, staging)).Status);
    }

    [Fact]
    public async Task Place_CopyWhoseWriteBackFails_IsDiscardedAndMadeAgain()
    {
        MakeLyingDisk("disk");
        _root.MakeDirectory("staging");
        var store = Store("disk/mount/store", "staging");
        var (staging, content) = await StageLargeAsync(store, directory: false);
        var commit = FileCommitOf(staging, content, await DigestAsync(store, staging));
        var refused = await store.CommitFileAsync(commit, Stop);
        Assert.Equal((FileCommitStatus.IoError, LocalStore.FlushFailedCode), (refused.Status, refused.Code));
        Assert.False(Directory.Exists(_root[$"disk/mount/store/.librarian/incoming/{commit.CommitId}/data"]));
        Assert.Equal(Presence.Absent, await store.ExistsAsync(commit.Destination, Stop));
        Assert.True(File.Exists(store.LocateStaged(staging, StoreFixture.Name("book"))));

        _root.Shell("mount -o remount,size=200m disk");
        Assert.Equal(FileCommitStatus.Committed, (await store.CommitFileAsync(commit with { Rewrite = true }, Stop)).Status);
        await AssertOnMediumAsync(store, commit, "disk/mount");
    }

    /// <summary>The flush failed and the process was killed before it could say so: the next run knows only that one had begun.</summary>
    [Fact]
    public async Task Place_RewriteAfterAFlushThatNobodyKnowsTheEndOf_StoresWhatCanBeReadFromTheMedium()
    {
        MakeLyingDisk("disk");
        var store = Store("disk/mount/store", "disk/mount/staging");
        var (staging, content) = await StageLargeAsync(store, directory: false);
        Assert.Equal(DigestStatus.FlushFailed, (await DigestAsync(store, staging)).Status);
        _root.Shell("mount -o remount,size=200m disk");
        var second = await ForgottenAsync(store, staging);
        var commit = FileCommitOf(staging, content, second) with { Rewrite = true };
        var result = await store.CommitFileAsync(commit, Stop);
        // A machine that needed the memory has dropped the pages and tells the truth.
        Assert.Equal(second.Matches(content) ? FileCommitStatus.Committed : FileCommitStatus.Mismatch, result.Status);
        if (result.Status == FileCommitStatus.Committed)
            await AssertOnMediumAsync(store, commit, "disk/mount");
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task Place_RewriteOfDataThatAreInPlace_WritesTheirEntryAgain(bool readOnly)
    {
        var faults = new ScriptedFaults();
        using var fixture = new StoreFixture(o => o with { ReadonlyAfterCommit = readOnly }, faults: faults);
        var commit = await fixture.StageAsync("a/name", ("f", "1"), ("sub/g", "2"));
        faults.CrashAt = "place.modes-set";
        await Assert.ThrowsAsync<SimulatedCrashException>(() => fixture.Store.CommitFileAsync(commit, Stop));
        foreach (
            var point in new[]
            {
                "place.before-taking-back",
                "place.taken-back",
                "place.before-copy-rename",
                "place.after-copy-rename",
                "place.copy-synced",
                "place.staged-removed",
            }
        )
        {
            faults.CrashAt = point;
            await Assert.ThrowsAsync<SimulatedCrashException>(() =>
                new LocalStore(fixture.Options, faults).CommitFileAsync(commit with { Rewrite = true }, Stop)
            );
        }

        faults.CrashAt = null;
        faults.Reached.Clear();
        Assert.Equal(
            FileCommitStatus.Committed,
            (await new LocalStore(fixture.Options, faults).CommitFileAsync(commit with { Rewrite = true }, Stop)).Status
        );
        Assert.Contains("place.taken-back", faults.Reached);
        Assert.True(await fixture.TargetIsAsExpectedAsync(commit));
        Assert.Empty(fixture.InProgress());
    }

    [
        Theory,
        InlineData("place.before-parents"),
        InlineData("place.before-rename"),
        InlineData("place.incoming-made"),
        InlineData("place.before-copy-rename")
    ]
    public async Task Place_StoreUnmountedMeanwhile_NothingLandsInTheEmptyMountPoint(string point)
    {
        var unmount = new At(point, () => _root.Shell("umount -l store"));
        var (store, commit) = await MarkedStoreAsync(unmount, copy: point is not ("place.before-parents" or "place.before-rename"));
        var result = await store.CommitFileAsync(commit, Stop);
        Assert.True(unmount.IsDone);
        Assert.Equal((FileCommitStatus.IoError, "store.unavailable"), (result.Status, result.Code));
        AssertMountPointIsEmpty();
        if (point is "place.incoming-made" or "place.before-copy-rename")
            Assert.True(File.Exists(store.LocateStaged(commit.StagingName, commit.UploadName!)));
    }

    /// <summary>As the ingest does: it looks whether the store is mounted, reads for hours, and then goes on.</summary>
    [Fact]
    public async Task EveryAccess_StoreUnmountedSinceItWasChosen_IsRefusedAndNothingIsSaidToBeGone()
    {
        var (store, commit) = await MarkedStoreAsync(null, copy: true);
        Assert.Equal(FileCommitStatus.Committed, (await store.CommitFileAsync(commit, Stop)).Status);
        var again = commit with { CommitId = Guid.NewGuid() };
        _root.Shell("umount store");
        Assert.Equal("store.unavailable", (await store.CommitFileAsync(again, Stop)).Code);
        Assert.Equal(Presence.Unknown, await store.ExistsAsync(commit.Destination, Stop));
        Assert.Equal(Presence.Unknown, await store.IsQuarantinedAsync(Guid.NewGuid(), Stop));
        Assert.Equal(
            DigestStatus.IoError,
            (await store.DigestAsync(commit.Destination, [ChecksumAlgorithm.Xxh3], cancellationToken: Stop)).Status
        );
        Assert.False((await store.DeleteAsync(commit.Destination, Stop)).IsGone);
        Assert.False((await store.RemoveIncomingAsync(commit.CommitId, Stop)).IsGone);
        Assert.False((await store.RemoveLeftoversAsync(Stop)).IsGone);
        Assert.Equal(QuarantineStatus.IoError, (await store.QuarantineAsync(commit.Destination, Guid.NewGuid(), Stop)).Status);
        Assert.Equal(QuarantineStatus.IoError, (await store.RestoreFromQuarantineAsync(commit.Destination, Guid.NewGuid(), Stop)).Status);
        AssertMountPointIsEmpty();
    }

    [Theory, InlineData("aside.before-rename"), InlineData("delete.before-rename")]
    public async Task QuarantineOrDeletion_StoreUnmountedMeanwhile_StaysInItsOwnFileSystem(string point)
    {
        var (store, commit) = await MarkedStoreAsync(new At(point, () => _root.Shell("umount -l store")), copy: false);
        Assert.Equal(FileCommitStatus.Committed, (await store.CommitFileAsync(commit, Stop)).Status);
        if (point.StartsWith("aside", StringComparison.Ordinal))
            await store.QuarantineAsync(commit.Destination, Guid.NewGuid(), Stop);
        else
            await store.DeleteAsync(commit.Destination, Stop);
        AssertMountPointIsEmpty();
    }

    [Theory]
    [InlineData("mv other book")]
    [InlineData("rm book; ln other book")]
    [InlineData("printf other > book")]
    [InlineData("cp -p other book")]
    [InlineData("touch -r book t; printf othe_ > book; touch -r t book")]
    public async Task Place_FileSwappedOrWrittenAfterItWasRead_StoresNothingElse(string how) =>
        await SwapAsync(new StoreFixture(), how, ("", "right"));

    [Theory]
    [InlineData("mv book/sub gone; mv other book/sub")]
    [InlineData("rm book/sub/g; ln other/g book/sub/g")]
    [InlineData("printf wrong > book/sub/g")]
    [InlineData("printf more > book/more")]
    [InlineData("rm book/f")]
    [InlineData("mv book gone; mv other book")]
    public async Task Place_DirectorySwappedOrWrittenAfterItWasRead_StoresNothingElse(string how) =>
        await SwapAsync(new StoreFixture(), how, ("f", "right"), ("sub/g", "right"));

    /// <summary>An uploader's program that still has the file open, or another name for it, could write it after the commit.</summary>
    [Theory, InlineData("descriptor"), InlineData("link")]
    public async Task Place_FileThatSomebodyCanStillWrite_IsCopied(string how)
    {
        using var fixture = new StoreFixture();
        var staging = Guid.NewGuid();
        var staged = (await fixture.Store.CreateStagingAsync(staging, StoreFixture.Name("book"), Stop)).Location!;
        await File.WriteAllTextAsync(staged, "right", Stop);
        await using var writer =
            how == "descriptor" ? new FileStream(staged, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite) : null;
        if (how == "link")
            fixture.StagingFiles.Shell($"ln '{staged}' second");
        var digest = await DigestAsync(fixture.Store, staging);
        var commit = FileCommitOf(staging, new ContentDescription(digest.Checksums[ChecksumAlgorithm.Xxh3], digest.SizeBytes), digest);
        Assert.Equal(FileCommitStatus.Committed, (await fixture.Store.CommitFileAsync(commit, Stop)).Status);
        if (writer is null)
            await File.WriteAllTextAsync(fixture.StagingFiles["second"], "wrong", Stop);
        else
            await writer.WriteAsync("wrong"u8.ToArray(), Stop);
        if (writer is not null)
            await writer.FlushAsync(Stop);
        Assert.Equal("right", await File.ReadAllTextAsync(fixture.Store.Locate(commit.Destination), Stop));
    }

    /// <summary>What group or others may write is closed to them; nothing is read again for that.</summary>
    [Fact]
    public async Task Place_GroupWritableData_AreRenamedAndClosedToOthers()
    {
        var faults = new ScriptedFaults();
        using var fixture = new StoreFixture(o => o with { GroupWriteAfterStage = true }, faults: faults);
        var staging = Guid.NewGuid();
        var staged = (await fixture.Store.CreateStagingAsync(staging, StoreFixture.Name("book"), Stop)).Location!;
        Directory.CreateDirectory(staged);
        await File.WriteAllTextAsync(Path.Combine(staged, "f"), "right", Stop);
        fixture.StagingFiles.Shell($"chmod 0666 '{staged}/f'; chmod 0777 '{staged}'");
        var digest = await DigestAsync(fixture.Store, staging);
        var commit = FileCommitOf(staging, new ContentDescription(digest.Checksums[ChecksumAlgorithm.Xxh3], digest.SizeBytes), digest);
        Assert.Equal(FileCommitStatus.Committed, (await fixture.Store.CommitFileAsync(commit, Stop)).Status);
        Assert.Contains("place.after-rename", faults.Reached);
        const UnixFileMode Others = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;
        var place = fixture.Store.Locate(commit.Destination);
        Assert.Equal(UnixFileMode.None, (File.GetUnixFileMode(place) | File.GetUnixFileMode(Path.Combine(place, "f"))) & Others);
    }

    /// <summary>
    /// Swaps data at both moments between the reading and the rename; what ends in the store is what was read, or nothing.
    /// </summary>
    private static async Task SwapAsync(StoreFixture fixture, string how, params (string, string)[] content)
    {
        using (fixture)
        {
            // The second time as on NFS, which has no rename that replaces nothing.
            foreach (
                var (point, lacksRename) in new[]
                {
                    ("place.before-parents", false),
                    ("place.before-rename", false),
                    ("place.before-parents", true),
                    ("place.before-rename", true),
                }
            )
            {
                var commit = await fixture.StageAsync($"at/{point}/{lacksRename}", content);
                var directory = Path.GetDirectoryName(fixture.StagedPath(commit))!;
                using (
                    var make = Process.Start(
                        "/bin/sh",
                        [
                            "-ec",
                            $"cd '{directory}'; if [ -d book ]; then mkdir other; printf wrong > other/g; else printf wrong > other; fi",
                        ]
                    )
                )
                    await make.WaitForExitAsync(Stop);
                var swap = new At(point, () =>
                {
                    using var process = Process.Start("/bin/sh", ["-ec", $"cd '{directory}'; {how}"]);
                    process.WaitForExit();
                    Assert.Equal(0, process.ExitCode);
                }) { LacksRenameWithoutReplacing = lacksRename };
                var result = await new LocalStore(fixture.Options, swap).CommitFileAsync(commit, Stop);
                Assert.True(swap.IsDone);
                Assert.True(
                    result.Status is FileCommitStatus.Mismatch or FileCommitStatus.StagedMissing,
                    $"{point}: {result.Status} {result.Message}"
                );
                Assert.Equal(Presence.Absent, await fixture.Store.ExistsAsync(commit.Destination, Stop));
            }

            Assert.Empty(fixture.InProgress());
        }
    }

    private LocalStore Store(string store, string staging, IStoreFaults? faults = null, string? marker = null) =>
        new(
            new LocalStoreOptions
            {
                Name = "disk",
                StagingPath = _root[staging],
                RootPath = _root[store],
                Identity = marker is null ? null : new StoreIdentity(Guid.Parse(marker), "here", "disk"),
            },
            faults
        );

    /// <summary>A store on a tmpfs of its own, which carries a marker, and staged data elsewhere that are verified already.</summary>
    private async Task<(LocalStore Store, FileCommit Placement)> MarkedStoreAsync(IStoreFaults? faults, bool copy)
    {
        _root.MakeDirectory("store");
        _root.Shell("mount -t tmpfs -o size=8m none store");
        _mounted.Add(_root["store"]);
        _root.Write("store/" + SiteStore.MarkerFile, Marker + "\n");
        var staged = _root.MakeDirectory(copy ? "staging" : "store/.staging");
        var store = Store("store", staged, faults, Marker);
        var (staging, content) = await StageAsync(store, "content"u8.ToArray(), directory: false);
        return (store, FileCommitOf(staging, content, await DigestAsync(store, staging)));
    }

    private void AssertMountPointIsEmpty() => Assert.Empty(Directory.EnumerateFileSystemEntries(_root["store"]));

    /// <summary>
    /// An ext4 that believes in its 64 MiB and lies in a file on a tmpfs of 6: what is written goes to memory and is refused when the
    /// kernel writes it back.
    /// </summary>
    private void MakeLyingDisk(string name)
    {
        _root.MakeDirectory(name);
        _root.Shell($"mount -t tmpfs -o size=6m none {name}");
        _mounted.Add(_root[name]);
        _root.MakeDirectory(name + "/mount");
        _root.Shell(
            $"truncate -s 64M {name}/image; mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=1 {name}/image; "
                + $"mount -o loop {name}/image {name}/mount"
        );
        _mounted.Add(_root[name + "/mount"]);
        _root.Shell($"mkdir {name}/mount/store {name}/mount/staging; sync -f {name}/mount");
    }

    private static Task<(Guid Staging, ContentDescription Content)> StageLargeAsync(LocalStore store, bool directory)
    {
        // Not zeros, which a sparse image could hold.
        var bytes = new byte[16 << 20];
        new Random(21).NextBytes(bytes);
        return StageAsync(store, bytes, directory);
    }

    private static async Task<(Guid Staging, ContentDescription Content)> StageAsync(LocalStore store, byte[] bytes, bool directory)
    {
        var staging = Guid.NewGuid();
        var staged = (await store.CreateStagingAsync(staging, StoreFixture.Name("book"), Stop)).Location!;
        if (directory)
            Directory.CreateDirectory(staged);
        await File.WriteAllBytesAsync(directory ? Path.Combine(staged, "f") : staged, bytes, Stop);
        var hash = System.IO.Hashing.XxHash128.Hash(bytes);
        return (staging, new ContentDescription(Checksum.FromDigest(ChecksumAlgorithm.Xxh3, hash), bytes.Length));
    }

    private static Task<DigestResult> DigestAsync(LocalStore store, Guid staging) =>
        store.DigestStagedAsync(
            staging,
            StoreFixture.Name("book"),
            [ChecksumAlgorithm.Xxh3],
            new DigestOptions { FlushToDisk = true, TakeOver = true },
            cancellationToken: Stop
        );

    /// <summary>Flushes until the kernel has said all it has to say about the failure; ext4 repeats it for its own blocks.</summary>
    private static async Task<DigestResult> ForgottenAsync(LocalStore store, Guid staging)
    {
        var result = await DigestAsync(store, staging);
        for (var i = 0; i < 20 && result.Status == DigestStatus.FlushFailed; i++)
            result = await DigestAsync(store, staging);
        return result;
    }

    private static FileCommit FileCommitOf(Guid staging, ContentDescription content, DigestResult verified) =>
        new(staging, StoreFixture.Name("book"), StoreFixture.Name("obs/name"), content, Guid.NewGuid()) { Verified = verified };

    /// <summary>What memory holds is forgotten with the mount.</summary>
    private async Task AssertOnMediumAsync(LocalStore store, FileCommit commit, string mount)
    {
        _root.Shell($"umount {mount}; mount -o loop {Path.GetDirectoryName(mount)}/image {mount}");
        var stored = await store.DigestAsync(commit.Destination, [ChecksumAlgorithm.Xxh3], cancellationToken: Stop);
        Assert.True(stored.Matches(commit.Expected), stored.Message ?? "other content");
    }

    /// <summary>Does something the first time that a point is reached.</summary>
    private sealed class At(string point, Action action) : IStoreFaults
    {
        public bool LacksRenameWithoutReplacing { get; init; }

        public bool IsDone { get; private set; }

        public void Reach(string reached)
        {
            if (IsDone || reached != point)
                return;
            IsDone = true;
            action();
        }
    }
}
