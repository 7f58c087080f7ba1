using Librarian.Tests.TestKit;

namespace Librarian.Tests.EndToEnd.Drives;

public sealed class DriveChaosOnSqlite() : DriveChaosTests(null);

public sealed class DriveChaosOnPostgres(PostgresServer server) : DriveChaosTests(server);

/// <summary>
/// Three drives from empty to reusable while either site is killed, and drives are pulled out or turn read-only, at random.
/// <c>LIBRARIAN_TEST_SEED</c> repeats a run; <c>./test --long</c> makes it five times as long.
/// </summary>
public abstract class DriveChaosTests(PostgresServer? server)
{
    private const int Drives = 3;
    private static readonly TimeSpan WaitTimeout = TimeSpan.FromMinutes(5);
    private static readonly bool s_long = Environment.GetEnvironmentVariable("LIBRARIAN_TEST_LONG") == "1";
    private static readonly int s_seed = int.TryParse(Environment.GetEnvironmentVariable("LIBRARIAN_TEST_SEED"), out var seed)
        ? seed
        : 20261125;

    [Fact]
    public async Task ThreeDrives_SitesKilledAndDrivesPulledOutAtRandom_EveryByteArrivesOnceAndEveryDriveIsReusable()
    {
        var stop = TestContext.Current.CancellationToken;
        await using var fixture = await DriveFixture.StartAsync(server, reachable: true, stop);
        var random = new Random(s_seed);
        var sources = new Dictionary<string, string>();
        // 1 byte to 50 MB, evenly on a logarithmic scale, and one of each end.
        for (var i = 0; i < (s_long ? 150 : 18); i++)
        {
            var bytes = i switch
            {
                0 => 1,
                1 => 50_000_000,
                _ => (int)Math.Pow(10, random.NextDouble() * 6.6),
            };
            var (name, source) = await fixture.UploadAsync($"obs/c{i}", bytes, directory: i % 4 == 2, stop);
            sources[name] = source;
        }

        var bag = Enumerable.Range(1, Drives).Select(i => $"d{i}").ToList();
        foreach (var drive in bag)
        {
            var place = fixture.NewDrive(drive, s_long ? 120 : 56);
            Assert.Equal(0, (await fixture.CliAsync("drive", "init", "mountain", drive, place, "--destination", "archive")).Code);
        }

        await using (var trouble = new Trouble(fixture, bag, new Random(s_seed + 1)))
        {
            await fixture.UntilAsync(
                async () =>
                {
                    var (code, said, _) = await fixture.CliAsync("drive", "list", "mountain", "--json");
                    if (code != 0)
                        return (false, said);
                    using var list = System.Text.Json.JsonDocument.Parse(said);
                    return (
                        list.RootElement.GetProperty("drives").EnumerateArray().Sum(d => d.GetProperty("files").GetInt64())
                            == sources.Count,
                        said
                    );
                },
                WaitTimeout,
                stop
            );
            foreach (var drive in bag)
            {
                // The last may be empty; it stays where it is.
                if (!await AgainAsync(fixture, drive, stop, "drive", "manifest", "mountain", drive))
                    continue;
                var there = fixture.PlaceOf(fixture.Archive, drive);
                await trouble.CarryAsync(drive, there);
                // The first ingest learns the key from the source over the network, when that is up.
                Assert.True(await AgainAsync(fixture, drive, stop, "drive", "ingest", "archive", there));
            }

            await trouble.AtLeastAsync(s_long ? 60 : 12, stop);
            TestContext.Current.TestOutputHelper!.WriteLine(
                $"{trouble.Kills} kills, {trouble.Pulls} times pulled out, {trouble.Refusals} times read-only, seed {s_seed}"
            );
        }

        await fixture.VerifyAtArchiveAsync(sources, stop);
        foreach (var drive in bag)
        {
            if ((await fixture.StatusAsync(fixture.Mountain, drive, stop)).Files == 0)
                continue;
            await fixture.UntilDriveAsync(drive, d => d is { State: "reusable", Failed: 0 }, WaitTimeout, stop);
        }

        await fixture.VerifyAtMountainAsync(sources.Keys, stop);
    }

    /// <summary>Repeats a command as a patient person would; false when it says that the drive holds nothing.</summary>
    private static async Task<bool> AgainAsync(DriveFixture fixture, string drive, CancellationToken stop, params string[] command)
    {
        var empty = false;
        await fixture.UntilAsync(
            async () =>
            {
                var (code, said, error) = await fixture.CliAsync(command);
                empty = error.Contains("drive.empty", StringComparison.Ordinal);
                return (code == 0 || empty, $"{string.Join(' ', command)}: {said} {error}");
            },
            WaitTimeout,
            stop
        );
        return !empty;
    }

    /// <summary>What goes wrong meanwhile; ends with both sites up and every drive where it belongs.</summary>
    private sealed class Trouble : IAsyncDisposable
    {
        private readonly DriveFixture _fixture;
        private readonly Random _random;
        private readonly Dictionary<string, string> _places;
        private readonly SemaphoreSlim _hands = new(1);
        private readonly CancellationTokenSource _enough = new();
        private readonly Task _loop;

        public Trouble(DriveFixture fixture, List<string> drives, Random random)
        {
            (_fixture, _random) = (fixture, random);
            _places = drives.ToDictionary(d => d, d => fixture.PlaceOf(fixture.Mountain, d));
            _loop = Task.Run(MakeAsync);
        }

        public int Kills { get; private set; }

        public int Pulls { get; private set; }

        public int Refusals { get; private set; }

        /// <summary>Carries a drive while nobody pulls at it.</summary>
        public async Task CarryAsync(string drive, string to)
        {
            await _hands.WaitAsync();
            try
            {
                _fixture.Carry(_places[drive], to);
                _places[drive] = to;
            }
            finally
            {
                _hands.Release();
            }
        }

        public Task AtLeastAsync(int accidents, CancellationToken stop) =>
            _fixture.UntilAsync(() => Task.FromResult((Kills + Pulls + Refusals >= accidents, "too little went wrong")), WaitTimeout, stop);

        public async ValueTask DisposeAsync()
        {
            await _enough.CancelAsync();
            await _loop;
            _enough.Dispose();
            _hands.Dispose();
        }

        private async Task MakeAsync()
        {
            while (!_enough.IsCancellationRequested)
            {
                await PauseAsync(50, 700);
                await _hands.WaitAsync();
                try
                {
                    await AccidentAsync();
                }
                finally
                {
                    _hands.Release();
                }
            }
        }

        private async Task AccidentAsync()
        {
            var drive = _places.Keys.ElementAt(_random.Next(_places.Count));
            switch (_random.Next(6))
            {
                case 0 or 1 or 2:
                    var site = _random.Next(2) == 0 ? _fixture.Mountain : _fixture.Archive;
                    await site.KillAsync();
                    await site.StartAsync(CancellationToken.None);
                    Kills++;
                    break;
                case 3 or 4:
                    _fixture.Carry(_places[drive], _fixture.OnTheRoad(drive));
                    await PauseAsync(100, 2500);
                    _fixture.Carry(_fixture.OnTheRoad(drive), _places[drive]);
                    Pulls++;
                    break;
                default:
                    // Refused while something is being written; then it is not read-only this time.
                    if (!DriveFixture.TryShell("mount", "-o", "remount,ro", _places[drive]))
                        break;
                    await PauseAsync(100, 1500);
                    DriveFixture.Shell("mount", "-o", "remount,rw", _places[drive]);
                    Refusals++;
                    break;
            }
        }

        private Task PauseAsync(int least, int most) =>
            Task.Delay(_random.Next(least, most), _enough.Token).ContinueWith(static _ => { }, TaskScheduler.Default);
    }
}
