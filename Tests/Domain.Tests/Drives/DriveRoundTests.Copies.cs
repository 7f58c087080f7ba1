using Librarian.Domain.Catalog;
using Librarian.Domain.Drives;
using Librarian.Tests.Domain.Stores;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Tests.Domain.Drives;

/// <content>What a drive is wiped for, and what a file on it is taken for, is asked of the disks and not of the catalog alone.</content>
public partial class DriveRoundTests
{
    /// <summary>Restored from a backup that was taken while the trip before was being wiped.</summary>
    [Theory, MemberData(nameof(Kinds))]
    public async Task Wipe_DriveIsOnALaterTripThanTheCatalog_IsNotDone(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.TravelAsync(stored: true);
        await DriveMedium
            .MarkerOf(fixture.Drive, Samples.Key.PublicKey, "mountain", 2, DateTime.UnixEpoch)
            .WriteAsync(fixture.Mount, default);
        Assert.Equal("drive.other_trip", (await fixture.WipeAsync()).Code);
        Assert.True(File.Exists(fixture.Mount + "/data/obs/1"));
        // With nothing on it, it is what an interrupted wiping has left.
        Directory.Delete(fixture.Mount + "/data/obs", recursive: true);
        Assert.True((await fixture.WipeAsync()).IsOk);
        Assert.Equal((DriveState.Filling, 2), ((await fixture.CurrentAsync()).State, (await fixture.CurrentAsync()).Trip));
    }

    /// <summary>
    /// A second worker has read the drive's row before the first one wiped the drive, and comes when the next trip has begun.
    /// </summary>
    [Theory, MemberData(nameof(Kinds))]
    public async Task Wipe_BySomebodyWhoComesLate_LeavesTheNextTripAlone(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.TravelAsync(stored: true);
        var before = await fixture.CurrentAsync();
        Assert.True((await fixture.WipeAsync()).IsOk);
        await fixture.KeepAsync("obs/2");
        await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);
        Assert.True(File.Exists(fixture.Mount + "/data/obs/2"));

        Assert.True((await fixture.Wipe.WipeAsync(before, default)).IsOk);

        Assert.True(File.Exists(fixture.Mount + "/data/obs/2"));
        await using var db = fixture.Source.Database.Open();
        Assert.Equal("obs/2", (await db.DriveContents.SingleAsync()).FileName);
    }

    /// <summary>The catalog says that there is a copy here; the disk has none.</summary>
    [Theory, MemberData(nameof(Kinds))]
    public async Task Wipe_CopyHereIsGoneFromTheDisk_IsNotDone(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.TravelAsync(stored: false);
        var copy = fixture.SourceStore.Locate(StoreFixture.Name("obs/1"));
        File.Move(copy, copy + ".away");
        Assert.Equal("drive.only_copy", (await fixture.WipeAsync()).Code);
        Assert.True(File.Exists(fixture.Mount + "/data/obs/1"));
        Assert.Equal(DriveState.Reusable, (await fixture.CurrentAsync()).State);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Record_ReceiptIsOlderThanTheDestinationsRestore_LeavesItsCopiesInDoubt(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.KeepAsync("obs/1");
        await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);
        await fixture.SendOffAsync();
        await using var db = fixture.Source.Database.Open();
        var transfer = await db.OutgoingTransfers.SingleAsync();
        db.CatalogIncarnations.Add(
            new CatalogIncarnation { Id = "peer:00000000-0000-4000-8000-000000000001", StartedTime = DateTime.UnixEpoch.AddDays(2) }
        );
        await db.SaveChangesAsync();
        Delivery[] told = [new Delivery(transfer.Id, "obs/1", transfer.TransferChecksum, 1, null)];

        // A peer that never told its catalog cannot be asked; nor is a receipt of later times in doubt.
        foreach (
            var (catalog, saidAt, isInDoubt) in new[]
            {
                (null, DateTime.UnixEpoch.AddDays(1), false),
                ("now", DateTime.UnixEpoch.AddDays(3), false),
                ("now", DateTime.UnixEpoch.AddDays(1), true),
            }
        )
        {
            await db.RemoteCopies.ExecuteDeleteAsync();
            await db.Peers.ExecuteUpdateAsync(s => s.SetProperty(l => l.CatalogId, catalog));
            Assert.Empty(await fixture.Deliveries.RecordAsync(db, told, "archive", "mountain", default, saidAt));
            Assert.Equal(isInDoubt, (await db.RemoteCopies.AsNoTracking().SingleAsync()).UnconfirmedSince is not null);
        }

        // Said now, it counts.
        Assert.Empty(await fixture.Deliveries.RecordAsync(db, told, "archive", "mountain", default));
        Assert.Null((await db.RemoteCopies.AsNoTracking().SingleAsync()).UnconfirmedSince);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Ingest_FileIsCatalogued_IsTakenForHereOnlyWhenItsCopyIs(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.KeepAsync("obs/here");
        await fixture.KeepAsync("obs/gone");
        await fixture.KeepAsync("obs/swapped", ["x", "y"]);
        await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);
        await fixture.SendOffAsync();
        foreach (var name in new[] { "obs/here", "obs/gone", "obs/swapped" })
            await fixture.ClaimAtDestinationAsync(name);
        var (from, to) = (fixture.SourceStore.Options.RootPath + "/obs/", fixture.DestinationStore.Options.RootPath + "/obs/");
        Directory.CreateDirectory(to + "swapped");
        File.Copy(from + "here", to + "here");
        // The checksum of a directory does not say which member has which name; the manifest does.
        File.Copy(from + "swapped/x", to + "swapped/y");
        File.Copy(from + "swapped/y", to + "swapped/x");
        var incoming = await fixture.ArriveAsync();
        while ((await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome == IngestRound.More) { }

        await using var check = fixture.Destination.Database.Open();
        var decided = await check.IncomingDriveFiles.OrderBy(f => f.FileName).ToListAsync();
        Assert.Equal(
            [("obs/gone", DriveFileOutcome.Failed), ("obs/here", DriveFileOutcome.AlreadyHere), ("obs/swapped", DriveFileOutcome.Failed)],
            decided.Select(f => (f.FileName, f.Outcome))
        );
        Assert.Contains("under other names", decided[2].Message, StringComparison.Ordinal);
        Assert.Equal("obs/gone", (await check.CorruptFiles.SingleAsync()).FileName);
    }

    private sealed partial class Fixture
    {
        /// <summary>One file goes to the archive and is stored there or not; the drive comes back and is to be wiped.</summary>
        public async Task TravelAsync(bool stored)
        {
            await KeepAsync("obs/1");
            await Filling.RoundAsync(Drive.Id, null, default);
            await SendOffAsync();
            await using var db = Source.Database.Open();
            var transfer = await db.OutgoingTransfers.SingleAsync();
            Assert.Empty(
                await Deliveries.RecordAsync(
                    db,
                    [new Delivery(transfer.Id, "obs/1", transfer.TransferChecksum, stored ? 1 : null, stored ? null : "no")],
                    "archive",
                    "mountain",
                    default
                )
            );
            await DriveDeliveries.SettleAsync(db, [transfer.Id], default);
            Assert.True(await Deliveries.FinishAsync(db, Drive.Id, default));
            Assert.True((await Recycling.RecycleAsync(db, await CurrentAsync(), default)).IsOk);
        }

        public async Task<DriveAnswer> WipeAsync() => await Wipe.WipeAsync(await CurrentAsync(), default);

        /// <summary>The destination's catalog says that it has the mountain's file, whatever its disk has.</summary>
        public async Task ClaimAtDestinationAsync(string name)
        {
            await using var ours = Source.Database.Open();
            var file = await ours.Files.AsNoTracking().SingleAsync(f => f.Name == name);
            await using var theirs = Destination.Database.Open();
            theirs.Files.Add(
                new FileRecord
                {
                    Name = name,
                    CreateTime = file.CreateTime,
                    Size = file.Size,
                    Checksum = file.Checksum,
                    Uploader = "u",
                    Source = "u",
                }
            );
            theirs.Copies.Add(
                new FileCopy
                {
                    Path = name,
                    FileName = name,
                    StoreId = 1,
                    DeletionPolicy = DeletionPolicy.Disallowed,
                    CreatedTime = file.CreateTime,
                    Available = true,
                }
            );
            await theirs.SaveChangesAsync();
        }
    }
}
