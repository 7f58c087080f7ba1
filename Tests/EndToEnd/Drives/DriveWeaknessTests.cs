using Librarian.Client.Uploads;
using Librarian.Client.Wire;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.EndToEnd.Drives;

/// <summary>What upstream gets wrong with drives (docs/compatibility.md, W10 and W28) is right here.</summary>
public class DriveWeaknessTests(PostgresServer server)
{
    private static readonly TimeSpan WaitTimeout = TimeSpan.FromMinutes(3);

    [Fact]
    public async Task W10_FileThatIsAtTheDestinationAlready_IsAcknowledgedLikeTheOthers()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await DriveFixture.StartAsync(server, reachable: true, stop);
        var (first, source) = await fixture.UploadAsync("obs/there", 5000, directory: false, stop);
        var (second, _) = await fixture.UploadAsync("obs/new", 6000, directory: true, stop);
        using (var archive = fixture.Client(fixture.Archive))
            Assert.NotNull((await new Upload(archive, TimeProvider.System).RunAsync(source, first, cancellationToken: stop)).Receipt);

        var mounted = fixture.NewDrive("d1", 8);
        Assert.Equal(0, (await fixture.CliAsync("drive", "init", "mountain", "d1", mounted, "--destination", "archive")).Code);
        await fixture.UntilDriveAsync("d1", d => d.Files == 2, WaitTimeout, stop);
        Assert.Equal(0, (await fixture.CliAsync("drive", "manifest", "mountain", "d1")).Code);
        var there = fixture.PlaceOf(fixture.Archive, "d1");
        fixture.Carry(mounted, there);
        var (code, said, error) = await fixture.CliAsync("drive", "ingest", "archive", there);
        Assert.True(code == 0, error + said);
        Assert.Contains("1 files taken, 1 were here, 0 not taken", said, StringComparison.Ordinal);

        // Both were uploaded by a person, whose name is no site's: the source is called back all the same.
        await fixture.UntilDriveAsync("d1", d => d is { State: "reusable", Delivered: 2, Failed: 0 }, WaitTimeout, stop);
        await fixture.VerifyAtMountainAsync([first, second], stop);
    }

    [Fact]
    public async Task W28_FileThatDoesNotFitOrCannotBeRead_LeavesTheDriveToTheOthers()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await DriveFixture.StartAsync(null, reachable: false, stop);
        // The oldest come first.
        await fixture.UploadAsync("obs/big", 9_000_000, directory: false, stop);
        var (bad, _) = await fixture.UploadAsync("obs/bad", 5000, directory: false, stop);
        File.Delete(Path.Combine(fixture.Mountain.StorePath, bad));
        var small = new List<string>();
        for (var i = 0; i < 5; i++)
            small.Add((await fixture.UploadAsync($"obs/small{i}", 4000 + i, directory: i == 3, stop)).Name);

        var mounted = fixture.NewDrive("d1", 8);
        Assert.Equal(0, (await fixture.CliAsync("drive", "init", "mountain", "d1", mounted, "--destination", "archive")).Code);
        await fixture.UntilDriveAsync("d1", d => d.Files == small.Count, WaitTimeout, stop);
        Assert.All(small, name => Assert.True(Path.Exists(Path.Combine(mounted, "data", name)), name));
        Assert.False(Path.Exists(Path.Combine(mounted, "data", bad)));
        using var mountain = fixture.Client(fixture.Mountain);
        await fixture.UntilAsync(
            async () =>
            {
                var errors = await mountain.SearchErrorsAsync(new ErrorSearchRequest(), stop);
                return (errors.IsSuccess && errors.Value.Any(e => e.Message.Contains(bad, StringComparison.Ordinal)), errors.ToString()!);
            },
            WaitTimeout,
            stop
        );
    }
}
