using Librarian.Tests.TestKit;

namespace Librarian.Tests.EndToEnd.Drives;

public sealed class DriveTripOnSqlite() : DriveTripTests(null);

/// <summary>A drive from empty to reusable between two real sites.</summary>
public abstract class DriveTripTests(PostgresServer? server)
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    [Fact]
    public async Task Trip_WithCallbacks_EveryByteArrivesAndTheDriveIsReusable()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var rig = await DriveRig.StartAsync(server, reachable: true, stop);
        var sources = new Dictionary<string, string>();
        foreach (var (bytes, i) in new[] { 1, 0, 4096, 700_000, 3_000_000, 9_000_000 }.Select((b, i) => (b, i)))
        {
            var (name, source) = await rig.UploadAsync($"obs/f{i} é'\\.bin", bytes, directory: i % 3 == 2, stop);
            sources[name] = source;
        }

        var mounted = rig.NewDrive("d1", 32);
        var (code, said, error) = await rig.CliAsync("drive", "init", "mountain", "d1", mounted, "--destination", "archive");
        Assert.True(code == 0, error);
        Assert.Contains("filled by itself", said, StringComparison.Ordinal);
        await rig.UntilDriveAsync("d1", d => d.Files == sources.Count, Patience, stop);
        // It follows new files.
        var (late, lateSource) = await rig.UploadAsync("obs/late", 12_345, directory: false, stop);
        sources[late] = lateSource;
        await rig.UntilDriveAsync("d1", d => d.Files == sources.Count, Patience, stop);

        var manifest = Path.Combine(rig.OnTheRoad(""), "m1.jsonl");
        Directory.CreateDirectory(Path.GetDirectoryName(manifest)!);
        (code, said, error) = await rig.CliAsync("drive", "manifest", "mountain", "d1", "--output", manifest);
        Assert.True(code == 0, error);
        Assert.Equal(File.ReadAllBytes(manifest), File.ReadAllBytes(Path.Combine(mounted, "MANIFEST.jsonl")));
        (code, _, error) = await rig.CliAsync("drive", "manifest", "mountain", "d1", "--output", manifest + ".again");
        Assert.True(code == 0, error);
        Assert.Equal(File.ReadAllBytes(manifest), File.ReadAllBytes(manifest + ".again"));
        foreach (var page in new[] { "README.txt", "MANIFEST.html", "SHA256SUMS", "manifest.upstream.json", "LIBRARIAN-DRIVE.json" }) Assert.True(File.Exists(Path.Combine(mounted, page)), page);
        DriveRig.Shell("sh", "-c", $"cd '{mounted}' && sha256sum -c --strict --quiet SHA256SUMS");

        // Carried while the mountain is down: nothing but the drive connects them.
        await rig.Mountain.KillAsync();
        var there = rig.PlaceOf(rig.Archive, "d1");
        rig.Carry(mounted, there);
        (code, said, error) = await rig.CliAsync("drive", "ingest", "archive", there);
        Assert.True(code == 1 && error.Contains("manifest.unknown_key", StringComparison.Ordinal), $"{code} {said} {error}");
        var fingerprint = error.Split("fingerprint, ")[1].Split(',')[0];
        (code, said, error) = await rig.CliAsync("drive", "ingest", "archive", there, "--accept-key", fingerprint);
        Assert.True(code == 0, error + said);
        Assert.Contains($"{sources.Count} files taken, 0 were here, 0 not taken", said, StringComparison.Ordinal);
        await rig.VerifyAtArchiveAsync(sources, stop);
        (code, said, error) = await rig.CliAsync("drive", "ingest", "archive", there);
        Assert.True(code == 0 && error.Contains("nothing is left to do", StringComparison.Ordinal), error);

        // The source comes back and is told.
        await rig.Mountain.StartAsync(stop);
        await rig.UntilDriveAsync("d1", d => d.State == "reusable", Patience, stop);
        await rig.VerifyAtMountainAsync(sources.Keys, stop);
        rig.Carry(there, mounted);
        (code, said, error) = await rig.CliAsync("drive", "recycle", "mountain", "d1");
        Assert.True(code == 0, error);
        await rig.UntilDriveAsync("d1", d => d is { State: "filling", Trip: 2, Files: 0 }, Patience, stop);
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(mounted, "data")));
        var (again, againSource) = await rig.UploadAsync("obs/second trip", 1000, directory: false, stop);
        sources[again] = againSource;
        await rig.UntilDriveAsync("d1", d => d is { Trip: 2, Files: 1 }, Patience, stop);
        (code, said, _) = await rig.CliAsync("drive", "list", "mountain");
        Assert.Contains("d1", said, StringComparison.Ordinal);
        TestContext.Current.TestOutputHelper!.WriteLine(said);
    }

    [Fact]
    public async Task ThreeDrives_OneFullAfterTheOther_EachFileOnOneOfThemAndOneAlertEach()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var rig = await DriveRig.StartAsync(server, reachable: true, stop);
        var sources = new Dictionary<string, string>();
        foreach (var name in new[] { "d1", "d2", "d3" })
            Assert.Equal(0, (await rig.CliAsync("drive", "init", "mountain", name, rig.NewDrive(name, 8), "--destination", "archive")).Code);
        for (var i = 0; i < 22; i++)
        {
            var (name, source) = await rig.UploadAsync($"obs/t{i}", i % 5 == 0 ? 1 : 700_000 + (i * 10_000), directory: i % 5 == 1, stop);
            sources[name] = source;
        }

        await rig.UntilDriveAsync("d1", d => d.State == "full", Patience, stop);
        await rig.UntilAsync(async () =>
        {
            var all = new[] { await rig.StatusAsync(rig.Mountain, "d1", stop), await rig.StatusAsync(rig.Mountain, "d2", stop), await rig.StatusAsync(rig.Mountain, "d3", stop) };
            return (all.Sum(d => d.Files) == sources.Count, string.Join("; ", all.Select(d => $"{d.Name} {d.State} {d.Files} {d.NextStep}")));
        }, Patience, stop);
        foreach (var name in new[] { "d1", "d2", "d3" })
        {
            var (code, _, error) = await rig.CliAsync("drive", "manifest", "mountain", name);
            Assert.True(code == 0, error);
            var there = rig.PlaceOf(rig.Archive, name);
            rig.Carry(rig.PlaceOf(rig.Mountain, name), there);
            (code, var said, error) = await rig.CliAsync("drive", "ingest", "archive", there);
            Assert.True(code == 0, error + said);
        }

        await rig.VerifyAtArchiveAsync(sources, stop);
        foreach (var name in new[] { "d1", "d2", "d3" }) await rig.UntilDriveAsync(name, d => d is { State: "reusable", Failed: 0 }, Patience, stop);
        await rig.VerifyAtMountainAsync(sources.Keys, stop);
        await rig.UntilAsync(() => Task.FromResult((rig.Alerts.Count(a => a.Contains("\\u0027d1\\u0027", StringComparison.Ordinal) && a.StartsWith("{\"text\"", StringComparison.Ordinal)) == 1, string.Join('\n', rig.Alerts))), Patience, stop);
        lock (rig.Alerts)
        {
            Assert.Contains(rig.Alerts, a => a.Contains("librarian drive manifest CONN d1", StringComparison.Ordinal));
            Assert.Single(rig.Alerts, a => a.Contains("\"kind\":\"drive-full\"", StringComparison.Ordinal) && a.Contains("\"drive\":\"d1\"", StringComparison.Ordinal));
        }
    }
}
