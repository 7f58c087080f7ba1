using Librarian.Domain.Catalog;
using Librarian.Domain.Drives;
using Librarian.Domain.Formats;
using Librarian.Domain.Stores;
using Librarian.Tests.Domain.Stores;

namespace Librarian.Tests.Domain.Drives;

/// <summary>A drive comes from elsewhere: nothing on it leads out of it, and what is mounted at its place later is not it.</summary>
public class OpenDriveTests
{
    [Theory]
    [InlineData("mv data elsewhere; ln -s ../outside data")]
    [InlineData("mv .librarian elsewhere; ln -s ../outside .librarian")]
    [InlineData("mv .librarian/staging elsewhere; ln -s ../../outside .librarian/staging")]
    [InlineData("rm -r data")]
    [InlineData("rm LIBRARIAN-DRIVE.json")]
    [InlineData("mv LIBRARIAN-DRIVE.json m; ln -s m LIBRARIAN-DRIVE.json")]
    [InlineData("rm LIBRARIAN-DRIVE.json; mkfifo LIBRARIAN-DRIVE.json")]
    [InlineData("rm LIBRARIAN-DRIVE.json; ln -s /dev/zero LIBRARIAN-DRIVE.json")]
    [InlineData("sed -i s/librarian-drive/librarian-other/ LIBRARIAN-DRIVE.json")]
    public async Task TryHold_DriveThatWasTamperedWith_IsNotHeld(string how)
    {
        using var place = new TemporaryDirectory();
        var drive = await MakeAsync(place, "drive");
        var outside = place.Write("outside/staging/precious", "precious");
        var medium = new DriveMedium(drive);
        using (var whole = medium.TryHold())
            Assert.NotNull(whole);
        place.Shell("cd drive; " + how);
        using var held = medium.TryHold();
        Assert.Null(held);
        Assert.False(medium.IsPlugged);
        Assert.False((await medium.Store.WipeAsync()).IsGone && how.Contains("ln -s ../", StringComparison.Ordinal));
        Assert.Equal("precious", File.ReadAllText(outside));
    }

    [Fact]
    public async Task Wipe_AnotherDriveInItsPlaceMeanwhile_IsNotTouched()
    {
        using var place = new TemporaryDirectory();
        var drive = await MakeAsync(place, "drive");
        place.Write("drive/data/obs/mine", "mine");
        using var held = new DriveMedium(drive).TryHold();
        Directory.Move(place["drive"], place["away"]);
        await MakeAsync(place, "drive");
        var other = place.Write("drive/data/obs/other", "other");
        Assert.True((await held!.Store.WipeAsync()).IsGone);
        Assert.Equal("other", File.ReadAllText(other));
        Assert.Empty(Directory.EnumerateFileSystemEntries(place["away/data"]));
        Assert.True(held.Answers());
        Assert.True(File.Exists(Path.Combine(held.Path, DriveMarker.FileName)));
    }

    [Fact]
    public async Task Add_ToAHeldDrive_WritesToItAndNamesItsPlaceInMessages()
    {
        using var place = new TemporaryDirectory();
        using var source = new StoreFixture();
        var drive = await MakeAsync(place, "drive");
        var commit = await source.StageAsync("obs/1", ("", "one"));
        await source.Store.CommitFileAsync(commit);
        using var held = new DriveMedium(drive).TryHold();
        Directory.Move(place["drive"], place["away"]);
        Directory.CreateDirectory(place["drive"]);
        var addition = new Addition(commit.Destination, commit.Destination, commit.Expected, Guid.NewGuid());
        Assert.Equal(AdditionStatus.Added, (await held!.Store.AddAsync(source.Store, [addition]))[0].Status);
        Assert.Equal("one", File.ReadAllText(place["away/data/obs/1"]));
        Assert.Empty(Directory.EnumerateFileSystemEntries(place["drive"]));
        Assert.Equal(place["drive"] + "/data/obs/1", held.Store.Locate(commit.Destination));
        Assert.True(held.Store.FreeBytes() > 0);
    }

    [Fact]
    public void TryTake_UnmarkedButEmpty_IsAnEmptyMountPoint()
    {
        using var place = new TemporaryDirectory();
        var options = new LocalStoreOptions
        {
            Name = "x",
            StagingPath = place,
            RootPath = place,
            Ingestable = false,
        };
        Assert.Null(OpenDrive.TryTake(place, null, options));
        place.Write("some", "thing");
        using var held = OpenDrive.TryTake(place, null, options);
        Assert.NotNull(held);
        Assert.True(held.Answers());
        File.Delete(place["some"]);
        Assert.False(held.Answers());
    }

    private static async Task<Drive> MakeAsync(TemporaryDirectory place, string name)
    {
        var root = place.MakeDirectory(name);
        Directory.CreateDirectory(DriveStore.DataPathOf(root));
        Directory.CreateDirectory(DriveStore.StagingPathOf(root));
        var drive = new Drive
        {
            DriveId = Guid.NewGuid(),
            Name = "d1",
            StoreId = 1,
            MountPath = root,
            Destination = "archive",
            FullFraction = 1,
            State = DriveState.Filling,
            StateSince = DateTime.UnixEpoch,
            Trip = 1,
        };
        await DriveMedium.MarkerOf(drive, Samples.Key.PublicKey, "mountain", 1, DateTime.UnixEpoch).WriteAsync(root, default);
        return drive;
    }
}
