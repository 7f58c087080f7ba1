using Librarian.Domain.Catalog;
using Librarian.Domain.Drives;
using Librarian.Domain.Stores;
using Librarian.Tests.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Domain.Drives;

/// <summary>Drives that cannot hold every name, and what operating systems leave on them.</summary>
public partial class DriveRoundTests
{
    [Fact]
    public async Task Fill_ExfatDrive_LeavesOutWhatItCannotHoldAndAnotherDriveTakesThat()
    {
        using var fixture = await Fixture.CreateAsync(DatabaseKind.Sqlite, server);
        await fixture.MountExfatAsync();
        string[] held = ["obs/A", "obs/good", "obs/book", "obs/🔭"];
        string[] unheld = ["obs/12:30.h5", "obs/a", "OBS/other", "obs/colons", "obs/folded", "obs/line\nbreak", "obs/link"];
        await fixture.KeepAsync("obs/A");
        await fixture.KeepAsync("obs/good");
        await fixture.KeepAsync("obs/book", ["m", "sub/n"]);
        await fixture.KeepAsync("obs/🔭");
        await fixture.KeepAsync("obs/12:30.h5");
        await fixture.KeepAsync("obs/a");
        await fixture.KeepAsync("OBS/other");
        await fixture.KeepAsync("obs/colons", ["m", "sub/12:30"]);
        await fixture.KeepAsync("obs/folded", ["m", "M"]);
        await fixture.KeepAsync("obs/line\nbreak");
        await fixture.KeepLinkedAsync("obs/link");

        List<FillOutcome> outcomes = [];
        FillResult round;
        do outcomes.Add((round = await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        while (round.Outcome == FillOutcome.More && outcomes.Count < 20);

        // Neither full nor broken: what it cannot hold holds up nothing.
        Assert.Equal(FillOutcome.Idle, outcomes[^1]);
        Assert.All(outcomes.SkipLast(1), outcome => Assert.Equal(FillOutcome.More, outcome));
        Assert.Equal(held.Order(StringComparer.Ordinal), await fixture.OnDriveAsync());
        await using (var db = fixture.Source.Database.Open())
        {
            var error = Assert.Single(await db.Errors.AsNoTracking().ToListAsync());
            Assert.Contains("[drive.cannot_hold]", error.Message, StringComparison.Ordinal);
            Assert.Contains("obs/12:30.h5", error.Message, StringComparison.Ordinal);
            Assert.Equal(
                unheld.Order(StringComparer.Ordinal),
                (await db.DriveContents.Where(c => c.State == DriveContentState.Failed).Select(c => c.FileName).ToListAsync()).Order(
                    StringComparer.Ordinal
                )
            );
        }

        // The second drive does not wait until the first is full.
        var second = await fixture.AddDriveAsync("d2");
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(second, null, default)).Outcome);
        Assert.Equal(FillOutcome.StandBy, (await fixture.Filling.RoundAsync(second, null, default)).Outcome);
        Assert.Equal(held.Concat(unheld).Order(StringComparer.Ordinal), (await fixture.OnDriveAsync()).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task ProbeNames_OfADrive_FindsWhatItCanHold()
    {
        using var fixture = await Fixture.CreateAsync(DatabaseKind.Sqlite, server);
        var all = await new DriveMedium(fixture.Drive).Store.ProbeNamesAsync(default);
        Assert.True(all!.HoldsAll);
        Assert.Null(all.Describe());

        await fixture.MountExfatAsync();
        var some = await new DriveMedium(fixture.Drive).Store.ProbeNamesAsync(default);

        Assert.False(some!.HoldsAll);
        Assert.True(some.IsCaseInsensitive);
        Assert.NotNull(some.Refusal("obs/12:30.h5"));
        Assert.NotNull(some.Refusal("a\nb"));
        Assert.Null(some.Refusal("obs/zén 🔭 (1).h5"));
        Assert.Contains(":", some.Describe(), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(DriveStore.StagingPathOf(fixture.Mount)));
    }

    [Fact]
    public async Task Ingest_EntriesOfOtherSystemsInsideABook_AreLeftOutUnlessListed()
    {
        using var fixture = await Fixture.CreateAsync(DatabaseKind.Sqlite, server);
        await fixture.KeepAsync("obs/book", ["a", "sub/b"]);
        await fixture.KeepAsync("obs/mac", [".DS_Store", "._kept", "x"]);
        await fixture.KeepAsync("obs/file");
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        await fixture.SendOffAsync();
        fixture.Shell(
            """
            cd drive/data/obs && chmod -R u+w . && echo x > book/.DS_Store && echo x > book/._a && echo x > book/sub/._b &&
            mkdir book/.Trashes && echo x > book/.Trashes/y
            echo x > mac/._x && echo x > ._file && mkdir "../System Volume Information" && echo x > "../System Volume Information/z"
            """
        );
        var incoming = await fixture.ArriveAsync();

        Assert.Equal(IngestRound.More, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
        Assert.Equal(IngestRound.Done, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);

        Assert.Equal(3, await fixture.CountTakenAsync(incoming));
        Assert.Equal(["a", "sub"], Names("obs/book"));
        Assert.Equal(["b"], Names("obs/book/sub"));
        Assert.Equal([".DS_Store", "._kept", "x"], Names("obs/mac"));
        await using var db = fixture.Destination.Database.Open();
        var note = Assert.Single(await db.Errors.AsNoTracking().ToListAsync());
        Assert.Equal(ErrorSeverity.Info, note.Severity);
        Assert.Contains("obs/book/.DS_Store", note.Message, StringComparison.Ordinal);

        string[] Names(string path) =>
            [
                .. Directory
                    .GetFileSystemEntries(fixture.DestinationStore.Locate(StoreFixture.Name(path)))
                    .Select(e => Path.GetFileName(e)!)
                    .Order(StringComparer.Ordinal),
            ];
    }

    [Fact]
    public async Task Ingest_UpstreamManifestWithBadEntries_TakesTheRestAndReportsThem()
    {
        using var fixture = await Fixture.CreateAsync(DatabaseKind.Sqlite, server);
        fixture.Shell("mkdir -p drive/data/obs && printf 'hello world' > drive/data/obs/1 && printf 'hello world' > drive/data/obs/3");
        static string Entry(string name, int transfer) =>
            $$"""{"name":"{{name}}","create_time":"2026-01-02T03:04:05","size":11,"checksum":"xxh3:::"""
            + """df8d09e93f874900a99b8775cc15b6c7","uploader":"u","source":"lat","instance_path":"x","deletion_policy":0"""
            + $$""","outgoing_transfer_id":{{transfer}}}""";
        var incoming = await fixture.ArriveUpstreamAsync(
            $$"""{"librarian_name":"lat","store_name":"d","store_files":[{{Entry("obs/1", 1)}},{{Entry("../climbs", 2)}}"""
                + $$""",{"name":"half"},{{Entry("obs/3", 3)}},{{Entry("obs/1", 4)}},7]}"""
        );

        IngestRoundResult round;
        do round = await fixture.DriveIngest.RoundAsync(incoming.Id, null, default);
        while (round.Outcome == IngestRound.More);

        Assert.Equal(IngestRound.Done, round.Outcome);
        await using var db = fixture.Destination.Database.Open();
        Assert.Equal(["obs/1", "obs/3"], await db.Files.OrderBy(f => f.Name).Select(f => f.Name).ToListAsync());
        var failed = await db
            .IncomingDriveFiles.AsNoTracking()
            .Where(f => f.Outcome == DriveFileOutcome.Failed)
            .OrderBy(f => f.Id)
            .ToListAsync();
        Assert.Equal(4, failed.Count);
        Assert.All(failed, f => Assert.StartsWith("entry at byte ", f.FileName, StringComparison.Ordinal));
        // The source is told of the one whose number is known, so that it sends that again.
        Assert.Equal(2, Assert.Single(failed, f => !f.Reported).OutgoingTransferId);
        Assert.Contains("4 of those read", Assert.Single(await db.Errors.AsNoTracking().ToListAsync()).Message, StringComparison.Ordinal);
        Assert.Equal(6, (await db.IncomingDrives.AsNoTracking().SingleAsync()).FilesDone);
    }

    private sealed partial class Fixture
    {
        private bool _exfat;

        public void Shell(string script) => _place.Shell(script);

        /// <summary>Puts a real exFAT file system under the drive (FUSE, as Linux machines without the kernel's own mount them).</summary>
        public async Task MountExfatAsync()
        {
            _place.Shell(
                """
                rm -r drive && mkdir drive && truncate -s 64M exfat.img && mkfs.exfat exfat.img >/dev/null &&
                losetup -f --show exfat.img > loop && mount.exfat-fuse "$(cat loop)" drive >/dev/null 2>&1
                """
            );
            _exfat = true;
            Directory.CreateDirectory(DriveStore.DataPathOf(Mount));
            Directory.CreateDirectory(DriveStore.StagingPathOf(Mount));
            await DriveMedium.MarkerOf(Drive, Samples.Key.PublicKey, "mountain", 1, DateTime.UnixEpoch).WriteAsync(Mount, default);
        }

        public void UnmountExfat()
        {
            if (_exfat)
                _place.Shell("umount drive; losetup -d \"$(cat loop)\"");
        }

        /// <summary>A book with a link inside, which stores take and exFAT does not.</summary>
        public async Task KeepLinkedAsync(string name)
        {
            var path = SourceStore.Locate(StoreFixture.Name(name));
            Directory.CreateDirectory(path);
            File.CreateSymbolicLink(path + "/link", "target");
            await KeepAsync(name, ["target"]);
        }

        public async Task<long> AddDriveAsync(string name)
        {
            await using var db = Source.Database.Open();
            var store = new StoreRecord
            {
                Name = name,
                Ingestable = false,
                Enabled = true,
            };
            db.Stores.Add(store);
            await db.SaveChangesAsync();
            var drive = new Drive
            {
                DriveId = Guid.NewGuid(),
                Name = name,
                StoreId = store.Id,
                MountPath = _place.MakeDirectory(name),
                Destination = "archive",
                FullFraction = 1,
                State = DriveState.Filling,
                StateSince = DateTime.UtcNow,
                Trip = 1,
            };
            db.Drives.Add(drive);
            await db.SaveChangesAsync();
            Directory.CreateDirectory(DriveStore.DataPathOf(drive.MountPath));
            Directory.CreateDirectory(DriveStore.StagingPathOf(drive.MountPath));
            await DriveMedium
                .MarkerOf(drive, Samples.Key.PublicKey, "mountain", 1, DateTime.UnixEpoch)
                .WriteAsync(drive.MountPath, default);
            return drive.Id;
        }

        public async Task<IncomingDrive> ArriveUpstreamAsync(string manifest)
        {
            var incoming = new IncomingDrive
            {
                DriveId = Guid.NewGuid(),
                Trip = 0,
                Name = "d",
                Source = "lat",
                MountPath = Mount,
                DataPath = DriveStore.DataPathOf(Mount),
                IsUpstream = true,
                ManifestSha256 = Samples.Sha256(manifest),
                State = IncomingDriveState.Ingesting,
                StateSince = DateTime.UtcNow,
                Files = 6,
                Bytes = 33,
            };
            await File.WriteAllTextAsync(Archive.ArrivedManifest(incoming.DriveId, 0), manifest);
            await using var db = Destination.Database.Open();
            db.IncomingDrives.Add(incoming);
            await db.SaveChangesAsync();
            return incoming;
        }
    }
}
