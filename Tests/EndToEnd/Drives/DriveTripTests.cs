using Librarian.Client.Wire;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;

namespace Librarian.Tests.EndToEnd.Drives;

public sealed class DriveTripOnSqlite() : DriveTripTests(null)
{
    [Fact]
    public async Task ThreeDrives_OneFullAfterTheOther_EachFileOnOneOfThemAndOneAlertEach()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await DriveFixture.StartAsync(null, reachable: true, stop);
        var sources = new Dictionary<string, string>();
        foreach (var name in new[] { "d1", "d2", "d3" })
            Assert.Equal(
                0,
                (await fixture.CliAsync("drive", "init", "mountain", name, fixture.NewDrive(name, 8), "--destination", "archive")).Code
            );
        for (var i = 0; i < 22; i++)
        {
            var (name, source) = await fixture.UploadAsync(
                $"obs/t{i}",
                i % 5 == 0 ? 1 : 700_000 + (i * 10_000),
                directory: i % 5 == 1,
                stop
            );
            sources[name] = source;
        }

        await fixture.UntilDriveAsync("d1", d => d.State == "full", WaitTimeout, stop);
        await fixture.UntilAsync(
            async () =>
            {
                var all = new[]
                {
                    await fixture.StatusAsync(fixture.Mountain, "d1", stop),
                    await fixture.StatusAsync(fixture.Mountain, "d2", stop),
                    await fixture.StatusAsync(fixture.Mountain, "d3", stop),
                };
                return (
                    all.Sum(d => d.Files) == sources.Count,
                    string.Join("; ", all.Select(d => $"{d.Name} {d.State} {d.Files} {d.NextStep}"))
                );
            },
            WaitTimeout,
            stop
        );
        foreach (var name in new[] { "d1", "d2", "d3" })
        {
            var (code, _, error) = await fixture.CliAsync("drive", "manifest", "mountain", name);
            Assert.True(code == 0, error);
            var there = fixture.PlaceOf(fixture.Archive, name);
            fixture.Carry(fixture.PlaceOf(fixture.Mountain, name), there);
            (code, var said, error) = await fixture.CliAsync("drive", "ingest", "archive", there);
            Assert.True(code == 0, error + said);
        }

        await fixture.VerifyAtArchiveAsync(sources, stop);
        foreach (var name in new[] { "d1", "d2", "d3" })
            await fixture.UntilDriveAsync(name, d => d is { State: "reusable", Failed: 0 }, WaitTimeout, stop);
        await fixture.VerifyAtMountainAsync(sources.Keys, stop);
        await fixture.UntilAsync(
            () =>
                Task.FromResult(
                    (
                        fixture.Alerts.Count(a =>
                            a.Contains("\\u0027d1\\u0027", StringComparison.Ordinal) && a.StartsWith("{\"text\"", StringComparison.Ordinal)
                        ) == 1,
                        string.Join('\n', fixture.Alerts)
                    )
                ),
            WaitTimeout,
            stop
        );
        Assert.Contains(fixture.Alerts, a => a.Contains("librarian drive manifest CONN d1", StringComparison.Ordinal));
        Assert.Single(fixture.Alerts, a =>
            a.Contains("\"kind\":\"drive-full\"", StringComparison.Ordinal) && a.Contains("\"drive\":\"d1\"", StringComparison.Ordinal)
        );
    }

    [Fact]
    public async Task FaultOfOurOwn_IsShownWithTheDriveUntilItHasGone()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await DriveFixture.StartAsync(null, reachable: true, stop);
        await fixture.UploadAsync("obs/book", 5000, directory: true, stop);
        Assert.Equal(
            0,
            (await fixture.CliAsync("drive", "init", "mountain", "d1", fixture.NewDrive("d1", 8), "--destination", "archive")).Code
        );
        await fixture.UntilDriveAsync("d1", d => d.Files == 1, WaitTimeout, stop);
        // As after a bad restore: the directory no longer adds up, and no manifest is written that says so.
        await AddToSizesAsync(1);
        using (var mountain = fixture.Client(fixture.Mountain))
            Assert.True((await mountain.FreezeDriveAsync(new DriveRequest("d1"), stop)).IsSuccess);
        await fixture.UntilDriveAsync("d1", d => d.Problem?.Contains("do not add up", StringComparison.Ordinal) == true, WaitTimeout, stop);
        Assert.Contains("Nothing was lost", (await fixture.StatusAsync(fixture.Mountain, "d1", stop)).Problem, StringComparison.Ordinal);
        await AddToSizesAsync(-1);
        await fixture.UntilDriveAsync("d1", d => d is { ManifestOnDrive: true, Problem: null }, WaitTimeout, stop);

        async Task AddToSizesAsync(int bytes)
        {
            await using var connection = new SqliteConnection($"Data Source={Path.Combine(fixture.Mountain.Root, "data", "catalog.db")}");
            await connection.OpenAsync(stop);
            await using var command = connection.CreateCommand();
            command.CommandText = "update drive_members set size = size + $bytes";
            command.Parameters.AddWithValue("$bytes", bytes);
            Assert.NotEqual(0, await command.ExecuteNonQueryAsync(stop));
        }
    }
}

public sealed class DriveTripOnPostgres(PostgresServer server) : DriveTripTests(server)
{
    private readonly PostgresServer _server = server;

    [Fact]
    public async Task BadDrives_AreRefusedOrTakenAsFarAsTheyAreGood()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await DriveFixture.StartAsync(_server, reachable: true, stop);
        var sources = new Dictionary<string, string>();
        for (var i = 0; i < 6; i++)
        {
            var (name, source) = await fixture.UploadAsync($"obs/b{i}", 5000 + i, directory: i == 1, stop);
            sources[name] = source;
        }

        var mounted = fixture.NewDrive("d1", 16);
        // Not a mount point, not empty, unknown destination, itself.
        Assert.Contains(
            "drive.not_mounted",
            (await fixture.CliAsync("drive", "init", "mountain", "dx", Path.GetTempPath(), "--destination", "archive")).Error,
            StringComparison.Ordinal
        );
        File.WriteAllText(Path.Combine(mounted, "holiday.jpg"), "x");
        Assert.Contains(
            "drive.not_empty",
            (await fixture.CliAsync("drive", "init", "mountain", "d1", mounted, "--destination", "archive")).Error,
            StringComparison.Ordinal
        );
        File.Delete(Path.Combine(mounted, "holiday.jpg"));
        Assert.Contains(
            "drive.unknown_destination",
            (await fixture.CliAsync("drive", "init", "mountain", "d1", mounted, "--destination", "nowhere")).Error,
            StringComparison.Ordinal
        );
        Assert.Equal(0, (await fixture.CliAsync("drive", "init", "mountain", "d1", mounted, "--destination", "archive")).Code);
        await fixture.UntilDriveAsync("d1", d => d.Files == sources.Count, WaitTimeout, stop);
        Assert.Contains(
            "drive.not_reusable",
            (await fixture.CliAsync("drive", "recycle", "mountain", "d1")).Error,
            StringComparison.Ordinal
        );
        Assert.Contains("drive.own", (await fixture.CliAsync("drive", "ingest", "mountain", mounted)).Error, StringComparison.Ordinal);
        Assert.Contains(
            "manifest.missing",
            (await fixture.CliAsync("drive", "ingest", "archive", mounted)).Error,
            StringComparison.Ordinal
        );
        Assert.Equal(0, (await fixture.CliAsync("drive", "manifest", "mountain", "d1")).Code);
        var there = fixture.PlaceOf(fixture.Archive, "d1");
        fixture.Carry(mounted, there);
        Assert.Contains(
            "drive.not_a_drive",
            (await fixture.CliAsync("drive", "ingest", "archive", mounted)).Error,
            StringComparison.Ordinal
        );
        var manifest = Path.Combine(there, "MANIFEST.jsonl");
        var good = await File.ReadAllBytesAsync(manifest, stop);
        await File.WriteAllBytesAsync(manifest, good[..^40], stop);
        Assert.Contains("manifest.", (await fixture.CliAsync("drive", "ingest", "archive", there)).Error, StringComparison.Ordinal);
        var edited = good.ToArray();
        edited[good.AsSpan().IndexOf("obs/b0"u8) + 5] = (byte)'9';
        await File.WriteAllBytesAsync(manifest, edited, stop);
        Assert.Contains("manifest.edited", (await fixture.CliAsync("drive", "ingest", "archive", there)).Error, StringComparison.Ordinal);
        await File.WriteAllBytesAsync(manifest, good, stop);

        // One missing file, one flipped byte in a member of a directory; the rest is fine.
        File.Delete(Path.Combine(there, "data", "obs", "b2"));
        var member = Path.Combine(there, "data", "obs", "b1", "inner", "two é.bin");
        var bytes = await File.ReadAllBytesAsync(member, stop);
        bytes[7] ^= 1;
        await File.WriteAllBytesAsync(member, bytes, stop);
        var (code, said, error) = await fixture.CliAsync("drive", "ingest", "archive", there);
        Assert.Equal(1, code);
        Assert.Contains("4 files taken, 0 were here, 2 not taken", said, StringComparison.Ordinal);
        Assert.Contains(
            "not taken: obs/b1: 1 of 3 files in it are bad: 'inner/two é.bin' has other bytes",
            error,
            StringComparison.Ordinal
        );
        Assert.Contains("not taken: obs/b2", error, StringComparison.Ordinal);

        // The source hears of both, and the next drive carries what was not taken.
        await fixture.UntilDriveAsync("d1", d => d is { State: "reusable", Delivered: 4, Failed: 2 }, WaitTimeout, stop);
        Assert.Equal(
            0,
            (await fixture.CliAsync("drive", "init", "mountain", "d2", fixture.NewDrive("d2", 16), "--destination", "archive")).Code
        );
        await fixture.UntilDriveAsync("d2", d => d.Files == 2, WaitTimeout, stop);
        Assert.Equal(0, (await fixture.CliAsync("drive", "manifest", "mountain", "d2")).Code);
        var second = fixture.PlaceOf(fixture.Archive, "d2");
        fixture.Carry(fixture.PlaceOf(fixture.Mountain, "d2"), second);
        (code, said, error) = await fixture.CliAsync("drive", "ingest", "archive", second);
        Assert.True(code == 0, error + said);
        await fixture.VerifyAtArchiveAsync(sources, stop);
        await fixture.UntilDriveAsync("d2", d => d.State == "reusable", WaitTimeout, stop);
        await fixture.VerifyAtMountainAsync(sources.Keys, stop);
    }

    [Fact]
    public async Task LostDrive_IsGivenUp_TheNextOneCarriesEverything()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await DriveFixture.StartAsync(_server, reachable: true, stop);
        var (name, source) = await fixture.UploadAsync("obs/only", 5000, directory: false, stop);
        Assert.Equal(
            0,
            (await fixture.CliAsync("drive", "init", "mountain", "d1", fixture.NewDrive("d1", 8), "--destination", "archive")).Code
        );
        await fixture.UntilDriveAsync("d1", d => d.Files == 1, WaitTimeout, stop);
        Assert.Equal(0, (await fixture.CliAsync("drive", "manifest", "mountain", "d1")).Code);
        fixture.Carry(fixture.PlaceOf(fixture.Mountain, "d1"), fixture.OnTheRoad("d1"));
        // What another drive in transit carries is not put on again.
        Assert.Equal(
            0,
            (await fixture.CliAsync("drive", "init", "mountain", "d2", fixture.NewDrive("d2", 8), "--destination", "archive")).Code
        );
        await fixture.UntilDriveAsync("d2", d => d is { IsPlugged: true, Problem: null }, WaitTimeout, stop);
        Assert.Equal(0, (await fixture.StatusAsync(fixture.Mountain, "d2", stop)).Files);
        Assert.Equal(0, (await fixture.CliAsync("drive", "recycle", "mountain", "d1", "--lost")).Code);
        await fixture.UntilDriveAsync("d2", d => d.Files == 1, WaitTimeout, stop);
        Assert.Equal("lost", (await fixture.StatusAsync(fixture.Mountain, "d1", stop)).State);

        // The lost one turns up at the archive after all: it is taken, and the source accepts the news.
        var there = fixture.PlaceOf(fixture.Archive, "d1");
        fixture.Carry(fixture.OnTheRoad("d1"), there);
        var (code, said, error) = await fixture.CliAsync("drive", "ingest", "archive", there);
        Assert.True(code == 0, error + said);
        await fixture.VerifyAtArchiveAsync(new Dictionary<string, string> { [name] = source }, stop);
        await fixture.UntilAsync(
            async () =>
            {
                using var mountain = fixture.Client(fixture.Mountain);
                var found = await mountain.SearchFilesAsync(new FileSearchRequest(Name: name), stop);
                return (found.Value![0].RemoteInstances.Count == 1, found.ToString()!);
            },
            WaitTimeout,
            stop
        );
    }
}

/// <summary>
/// A drive from empty to reusable between two real sites. What is the same on both databases, and is asked of single rounds there
/// (DriveRoundTests), runs on one.
/// </summary>
public abstract class DriveTripTests(PostgresServer? server)
{
    protected static readonly TimeSpan WaitTimeout = TimeSpan.FromMinutes(3);

    [Fact]
    public async Task Trip_WithCallbacks_EveryByteArrivesAndTheDriveIsReusable()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await DriveFixture.StartAsync(server, reachable: true, stop);
        var sources = new Dictionary<string, string>();
        foreach (var (bytes, i) in new[] { 1, 0, 4096, 700_000, 3_000_000, 9_000_000 }.Select((b, i) => (b, i)))
        {
            var (name, source) = await fixture.UploadAsync($"obs/f{i} é'\\.bin", bytes, directory: i % 3 == 2, stop);
            sources[name] = source;
        }

        var mounted = fixture.NewDrive("d1", 32);
        var (code, said, error) = await fixture.CliAsync("drive", "init", "mountain", "d1", mounted, "--destination", "archive");
        Assert.True(code == 0, error);
        Assert.Contains("filled by itself", said, StringComparison.Ordinal);
        await fixture.UntilDriveAsync("d1", d => d.Files == sources.Count, WaitTimeout, stop);
        // It follows new files.
        var (late, lateSource) = await fixture.UploadAsync("obs/late", 12_345, directory: false, stop);
        sources[late] = lateSource;
        await fixture.UntilDriveAsync("d1", d => d.Files == sources.Count, WaitTimeout, stop);

        var manifest = Path.Combine(fixture.OnTheRoad(""), "m1.jsonl");
        Directory.CreateDirectory(Path.GetDirectoryName(manifest)!);
        (code, said, error) = await fixture.CliAsync("drive", "manifest", "mountain", "d1", "--output", manifest);
        Assert.True(code == 0, error);
        Assert.Equal(File.ReadAllBytes(manifest), File.ReadAllBytes(Path.Combine(mounted, "MANIFEST.jsonl")));
        (code, _, error) = await fixture.CliAsync("drive", "manifest", "mountain", "d1", "--output", manifest + ".again");
        Assert.True(code == 0, error);
        Assert.Equal(File.ReadAllBytes(manifest), File.ReadAllBytes(manifest + ".again"));
        foreach (var page in new[] { "README.txt", "MANIFEST.html", "SHA256SUMS", "manifest.upstream.json", "LIBRARIAN-DRIVE.json" })
            Assert.True(File.Exists(Path.Combine(mounted, page)), page);
        DriveFixture.Shell("sh", "-c", $"cd '{mounted}' && sha256sum -c --strict --quiet SHA256SUMS");

        // Carried while the mountain is down: nothing but the drive connects them.
        await fixture.Mountain.KillAsync();
        var there = fixture.PlaceOf(fixture.Archive, "d1");
        fixture.Carry(mounted, there);
        (code, said, error) = await fixture.CliAsync("drive", "ingest", "archive", there);
        Assert.True(code == 1 && error.Contains("manifest.unknown_key", StringComparison.Ordinal), $"{code} {said} {error}");
        var fingerprint = error.Split("fingerprint, ")[1].Split(',')[0];
        (code, said, error) = await fixture.CliAsync("drive", "ingest", "archive", there, "--accept-key", fingerprint);
        Assert.True(code == 0, error + said);
        Assert.Contains($"{sources.Count} files taken, 0 were here, 0 not taken", said, StringComparison.Ordinal);
        await fixture.VerifyAtArchiveAsync(sources, stop);
        (code, said, error) = await fixture.CliAsync("drive", "ingest", "archive", there);
        Assert.True(code == 0 && error.Contains("nothing is left to do", StringComparison.Ordinal), error);

        // The source comes back and is told.
        await fixture.Mountain.StartAsync(stop);
        await fixture.UntilDriveAsync("d1", d => d.State == "reusable", WaitTimeout, stop);
        await fixture.VerifyAtMountainAsync(sources.Keys, stop);
        fixture.Carry(there, mounted);
        (code, said, error) = await fixture.CliAsync("drive", "recycle", "mountain", "d1");
        Assert.True(code == 0, error);
        await fixture.UntilDriveAsync("d1", d => d is { State: "filling", Trip: 2, Files: 0 }, WaitTimeout, stop);
        Assert.Empty(Directory.EnumerateFileSystemEntries(Path.Combine(mounted, "data")));
        var (again, againSource) = await fixture.UploadAsync("obs/second trip", 1000, directory: false, stop);
        sources[again] = againSource;
        await fixture.UntilDriveAsync("d1", d => d is { Trip: 2, Files: 1 }, WaitTimeout, stop);
        (code, said, _) = await fixture.CliAsync("drive", "list", "mountain");
        Assert.Contains("d1", said, StringComparison.Ordinal);
        TestContext.Current.TestOutputHelper!.WriteLine(said);
    }

    [Fact]
    public async Task Trip_WithoutAnyNetwork_TheReceiptOnTheDriveAcknowledges()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await DriveFixture.StartAsync(server, reachable: false, stop);
        var sources = new Dictionary<string, string>();
        for (var i = 0; i < 8; i++)
        {
            var (name, source) = await fixture.UploadAsync($"obs/n{i}", 10_000 * i, directory: i % 4 == 1, stop);
            sources[name] = source;
        }

        var mounted = fixture.NewDrive("d1", 16);
        Assert.Equal(0, (await fixture.CliAsync("drive", "init", "mountain", "d1", mounted, "--destination", "archive")).Code);
        await fixture.UntilDriveAsync("d1", d => d.Files == sources.Count, WaitTimeout, stop);
        Assert.Equal(0, (await fixture.CliAsync("drive", "manifest", "mountain", "d1")).Code);
        var there = fixture.PlaceOf(fixture.Archive, "d1");
        fixture.Carry(mounted, there);
        var fingerprint = (await fixture.CliAsync("drive", "key", "mountain")).Out.Split("mountain: ")[1].Trim();
        var (code, said, error) = await fixture.CliAsync("drive", "ingest", "archive", there, "--accept-key", fingerprint);
        Assert.True(code == 0, error + said);
        await fixture.VerifyAtArchiveAsync(sources, stop);

        // The receipt by hand is refused until the archive's key is known, then applied; the drive's own copy does the same when it comes
        // back.
        var receipt = Path.Combine(there, "RECEIPT.jsonl");
        (code, _, error) = await fixture.CliAsync("drive", "acknowledge", "mountain", receipt);
        Assert.True(code == 1 && error.Contains("receipt.unknown_key", StringComparison.Ordinal), error);
        var theirs = (await fixture.CliAsync("drive", "key", "archive")).Out.Split("archive: ")[1].Trim();
        (code, said, error) = await fixture.CliAsync("drive", "acknowledge", "mountain", receipt, "--accept-key", theirs);
        Assert.True(code == 0, error);
        Assert.Contains($"{sources.Count} files of drive 'd1'", said, StringComparison.Ordinal);
        await fixture.UntilDriveAsync("d1", d => d.State == "reusable", WaitTimeout, stop);
        await fixture.VerifyAtMountainAsync(sources.Keys, stop);

        // Second trip: nobody does anything but carry.
        fixture.Carry(there, mounted);
        Assert.Equal(0, (await fixture.CliAsync("drive", "recycle", "mountain", "d1")).Code);
        var (next, nextSource) = await fixture.UploadAsync("obs/next", 77, directory: false, stop);
        sources[next] = nextSource;
        await fixture.UntilDriveAsync("d1", d => d is { Trip: 2, Files: 1 }, WaitTimeout, stop);
        Assert.Equal(0, (await fixture.CliAsync("drive", "manifest", "mountain", "d1")).Code);
        fixture.Carry(mounted, there);
        (code, said, error) = await fixture.CliAsync("drive", "ingest", "archive", there);
        Assert.True(code == 0, error + said);
        fixture.Carry(there, mounted);
        await fixture.UntilDriveAsync("d1", d => d.State == "reusable", WaitTimeout, stop);
        await fixture.VerifyAtArchiveAsync(sources, stop);
        await fixture.VerifyAtMountainAsync(sources.Keys, stop);
    }
}
