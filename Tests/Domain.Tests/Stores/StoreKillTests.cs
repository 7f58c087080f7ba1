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
            Assert.Equal(
                FileCommitStatus.Committed,
                (await fixture.Store.CommitFileAsync(await fixture.StageAsync("a/name", ("f", "1"), ("sub/g", "2")))).Status
            );
        Assert.InRange(points.Count, 5, 20);

        foreach (var point in points)
        {
            using var fixture = Open(own, stagingRoot, null);
            var commit = await fixture.StageAsync("a/name", ("f", "1"), ("sub/g", "2"));
            await KillAtAsync(fixture, commit, own, point);
            Assert.True(await fixture.StagedIsAsExpectedAsync(commit) || await fixture.TargetIsAsExpectedAsync(commit), point);

            var result = await fixture.Store.CommitFileAsync(commit);
            Assert.True(result.Status == FileCommitStatus.Committed, $"{point}: {result.Message}");
            Assert.True(await fixture.TargetIsAsExpectedAsync(commit), point);
            Assert.False(Path.Exists(fixture.StagedPath(commit)), point);
            Assert.Empty(fixture.InProgress());
        }
    }

    [Fact]
    public async Task Place_AnotherLivingProcessWorksOnIt_WaitsForItsEnd()
    {
        using var fixture = Open(own: true, "/tmp", null);
        var commit = await fixture.StageAsync("a/name", ("f", "1"));
        using (var process = await StartAsync(fixture, commit, own: true, "place.copied"))
        {
            Assert.Equal("store.placement_running", (await fixture.Store.CommitFileAsync(commit)).Code);
            Assert.Equal("store.placement_running", (await fixture.Store.RemoveIncomingAsync(commit.CommitId)).Code);
            process.Kill();
            await process.WaitForExitAsync();
        }

        Assert.Equal(FileCommitStatus.Committed, (await fixture.Store.CommitFileAsync(commit)).Status);
    }

    private static StoreFixture Open(bool own, string stagingRoot, IStoreFaults? faults) =>
        new(options => options with { OwnAfterCommit = own }, stagingRoot, faults: faults);

    private static async Task KillAtAsync(StoreFixture fixture, FileCommit commit, bool own, string point)
    {
        using var process = await StartAsync(fixture, commit, own, point);
        process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>Starts the victim and returns when it stands at the point.</summary>
    private static async Task<Process> StartAsync(StoreFixture fixture, FileCommit commit, bool own, string point)
    {
        var process = Process.Start(
            new ProcessStartInfo(
                Environment.ProcessPath is { } path && Path.GetFileName(path) == "dotnet" ? path : "dotnet",
                [
                    Path.Combine(AppContext.BaseDirectory, "Librarian.StoreVictim.dll"),
                    fixture.StagingPath,
                    fixture.StorePath,
                    own.ToString(),
                    commit.StagingName.ToString(),
                    commit.Destination.Value,
                    commit.Expected.Checksum.Text,
                    commit.Expected.SizeBytes.ToString(),
                    commit.CommitId.ToString(),
                    point,
                ]
            )
            {
                RedirectStandardOutput = true,
                UseShellExecute = false,
            }
        )!;
        Assert.Equal($"reached {point}", await process.StandardOutput.ReadLineAsync());
        return process;
    }
}
