using System.Diagnostics;
using Librarian.Domain.Stores;

namespace Librarian.Tests.Domain.Stores;

/// <summary>
/// A real process is killed (SIGKILL) at every point of a placement. Unlike a thrown exception this runs no finally block and
/// leaves locks to the kernel.
/// </summary>
public class StoreKillTests
{
    [Theory]
    [InlineData(false, "/tmp")]
    [InlineData(true, "/tmp")]
    [InlineData(false, "/dev/shm")]
    public async Task Place_ProcessKilledAtEveryPoint_IsContinuedByTheNext(bool own, string stagingRoot)
    {
        var points = new List<string>();
        using (var fixture = Open(own, stagingRoot, new ScriptedFaults(points)))
            Assert.Equal(PlaceStatus.Placed, (await fixture.Store.PlaceAsync(await fixture.StageAsync("a/name", ("f", "1"), ("sub/g", "2")))).Status);
        Assert.InRange(points.Count, 5, 20);

        foreach (var point in points)
        {
            using var fixture = Open(own, stagingRoot, null);
            var placement = await fixture.StageAsync("a/name", ("f", "1"), ("sub/g", "2"));
            await KillAtAsync(fixture, placement, own, point);
            Assert.True(await fixture.StagedIsAsExpectedAsync(placement) || await fixture.TargetIsAsExpectedAsync(placement), point);

            var result = await fixture.Store.PlaceAsync(placement);
            Assert.True(result.Status == PlaceStatus.Placed, $"{point}: {result.Message}");
            Assert.True(await fixture.TargetIsAsExpectedAsync(placement), point);
            Assert.False(Path.Exists(fixture.StagedPath(placement)), point);
            Assert.Empty(fixture.InProgress());
        }
    }

    [Fact]
    public async Task Place_AnotherLivingProcessWorksOnIt_WaitsForItsEnd()
    {
        using var fixture = Open(own: true, "/tmp", null);
        var placement = await fixture.StageAsync("a/name", ("f", "1"));
        using (var process = await StartAsync(fixture, placement, own: true, "place.copied"))
        {
            Assert.Equal("store.placement_running", (await fixture.Store.PlaceAsync(placement)).Code);
            Assert.Equal("store.placement_running", (await fixture.Store.RemoveIncomingAsync(placement.PlacementId)).Code);
            process.Kill();
            await process.WaitForExitAsync();
        }

        Assert.Equal(PlaceStatus.Placed, (await fixture.Store.PlaceAsync(placement)).Status);
    }

    private static StoreFixture Open(bool own, string stagingRoot, IStoreFaults? faults) =>
        new(options => options with { OwnAfterCommit = own }, stagingRoot, faults: faults);

    private static async Task KillAtAsync(StoreFixture fixture, Placement placement, bool own, string point)
    {
        using var process = await StartAsync(fixture, placement, own, point);
        process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>Starts the victim and returns when it stands at the point.</summary>
    private static async Task<Process> StartAsync(StoreFixture fixture, Placement placement, bool own, string point)
    {
        var process = Process.Start(new ProcessStartInfo(
            Environment.ProcessPath is { } path && Path.GetFileName(path) == "dotnet" ? path : "dotnet",
            [
                Path.Combine(AppContext.BaseDirectory, "Librarian.StoreVictim.dll"),
                fixture.StagingPath,
                fixture.StorePath,
                own.ToString(),
                placement.StagingName.ToString(),
                placement.Destination.Value,
                placement.Expected.Checksum.Text,
                placement.Expected.SizeBytes.ToString(),
                placement.PlacementId.ToString(),
                point,
            ])
        {
            RedirectStandardOutput = true,
            UseShellExecute = false,
        })!;
        Assert.Equal($"reached {point}", await process.StandardOutput.ReadLineAsync());
        return process;
    }
}
