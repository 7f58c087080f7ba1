using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Errors;
using Librarian.Domain.Files;
using Librarian.Domain.Stores;
using Librarian.Domain.Transfers;
using Librarian.Tests.Domain.Catalog;
using Librarian.Tests.Domain.Stores;
using Librarian.Tests.TestKit;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Librarian.Tests.Domain.Drives;

/// <summary>Rounds of filling and ingest, one by one, without workflows.</summary>
public partial class DriveRoundTests(PostgresServer server)
{
    public static TheoryData<DatabaseKind> Kinds => [DatabaseKind.Sqlite, DatabaseKind.PostgreSql];

    [Theory, MemberData(nameof(Kinds))]
    public async Task Trip_MoreFiles_TakesNoMoreStatementsPerRound(DatabaseKind kind)
    {
        var (few, many) = (await CountAsync(5), await CountAsync(300));
        Assert.InRange(many.Fill, few.Fill, few.Fill + 8);
        Assert.InRange(many.Manifest, few.Manifest, few.Manifest + 4);
        Assert.InRange(many.IngestStatements, few.IngestStatements, few.IngestStatements + 8);
        Assert.InRange(many.Reported, few.Reported, few.Reported + 4);

        async Task<(int Fill, int Manifest, int IngestStatements, int Reported)> CountAsync(int files)
        {
            using var fixture = await Fixture.CreateAsync(kind, server);
            for (var i = 0; i < files; i++)
                await fixture.KeepAsync($"obs/{i}", i % 5 == 0 ? ["a", "b/c"] : null);
            fixture.Statements.Reset();
            Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
            var fill = fixture.Statements.Reset();
            await fixture.SendOffAsync();
            var manifest = fixture.Statements.Reset();
            var incoming = await fixture.ArriveAsync();
            fixture.Statements.Reset();
            Assert.Equal(IngestRound.More, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
            var ingest = fixture.Statements.Reset();
            Assert.Equal(files, await fixture.CountTakenAsync(incoming));
            var deliveries = await fixture.DeliveriesAsync(incoming);
            fixture.Statements.Reset();
            await using (var db = fixture.Source.Database.Open())
                Assert.Empty(await fixture.Deliveries.RecordAsync(db, deliveries, "archive", "mountain", default));
            return (fill, manifest, ingest, fixture.Statements.Reset());
        }
    }

    [Fact]
    public async Task Trip_OnPostgreSqlWithoutStatistics_ComparesNoTableWithEveryRowOfAnother()
    {
        const int Files = 600;
        var watch = new PlanWatch();
        using var fixture = await Fixture.CreateAsync(DatabaseKind.PostgreSql, server, interceptors: watch);
        for (var i = 0; i < Files; i++)
            await fixture.KeepAsync($"obs/{i % 7}/{i}");
        await SeeAsync("fill", async () =>
            Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome)
        );
        await SeeAsync("look for more", async () =>
            Assert.Equal(FillOutcome.Idle, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome)
        );
        await SeeAsync("freeze and manifest", fixture.SendOffAsync);
        IncomingDrive incoming = null!;
        await SeeAsync("arrival", async () => incoming = await fixture.ArriveAsync());
        await SeeAsync("ingest", async () =>
            Assert.Equal(IngestRound.More, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome)
        );
        var deliveries = await fixture.DeliveriesAsync(incoming);
        Assert.Equal(Files, deliveries.Count);
        foreach (var batch in deliveries.Chunk(100))
        {
            await SeeAsync("acknowledge", async () =>
            {
                await using var db = fixture.Source.Database.Open();
                await using var transaction = await db.Database.BeginTransactionAsync();
                Assert.Empty(await fixture.Deliveries.RecordAsync(db, batch, "archive", "mountain", default));
                await DriveDeliveries.SettleAsync(db, [.. batch.Select(d => d.TransferId)], default);
                Assert.Equal(batch.Contains(deliveries[^1]), await fixture.Deliveries.FinishAsync(db, fixture.Drive.Id, default));
                await transaction.CommitAsync();
            });
        }

        async Task SeeAsync(string what, Func<Task> step)
        {
            watch.Reset();
            await step();
            Assert.NotEqual(0, watch.Count);
            var (discarded, plan) = watch.Worst;
            Assert.True(discarded <= 20 * Files, $"{what}: {discarded} rows thrown away by\n{plan}");
        }
    }

    [Fact]
    public async Task Freeze_StatementThatTakesLongerThanTheDriverWaits_IsWaitedFor()
    {
        using var fixture = await Fixture.CreateAsync(DatabaseKind.PostgreSql, server);
        await fixture.KeepAsync("obs/1");
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        using var impatient = new CatalogDatabase(fixture.Source.Database.ConnectionString + ";Command Timeout=1");
        await using var db = impatient.Open();
        // What holds the table for two seconds takes the place of a million rows.
        await using var other = fixture.Source.Database.Open();
        await using var held = await other.Database.BeginTransactionAsync();
        await other.Database.ExecuteSqlAsync($"lock table outgoing_transfers in exclusive mode");
        var freeze = fixture.Dispatch.FreezeAsync(db, await fixture.CurrentAsync(), default);
        await other.Database.ExecuteSqlAsync($"select pg_sleep(2)");
        await held.CommitAsync();
        Assert.True((await freeze).Answer.IsOk);
    }

    [Fact]
    public async Task Freeze_WhileATableIsVacuumed_DoesNotWaitForIt()
    {
        using var fixture = await Fixture.CreateAsync(DatabaseKind.PostgreSql, server);
        await fixture.KeepAsync("obs/1");
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        await using var other = fixture.Source.Database.Open();
        await using var held = await other.Database.BeginTransactionAsync();
        // The lock of VACUUM and ANALYZE.
        await other.Database.ExecuteSqlAsync($"lock table outgoing_transfers, files in share update exclusive mode");
        using var impatient = new CatalogDatabase(fixture.Source.Database.ConnectionString + ";Options=-c lock_timeout=5s");
        await using var db = impatient.Open();
        Assert.True((await fixture.Dispatch.FreezeAsync(db, await fixture.CurrentAsync(), default)).Answer.IsOk);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_NamesThatNoManifestHolds_AreLeftOutAndTheRestGoesOn(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.KeepAsync("obs/good", ["fine"]);
        await fixture.KeepAsync("obs/control\u001b[2J", ["line\nbreak"]);
        await fixture.KeepAsync("obs/long", [string.Join('/', Enumerable.Repeat(new string('x', 200), 11))]);
        await fixture.KeepAsync("obs/bytes", ["good"]);
        using (
            var shell = System.Diagnostics.Process.Start(
                "/bin/sh",
                ["-c", $"cd '{fixture.SourceStore.Options.RootPath}/obs/bytes' && mv good \"$(printf 'b\\303d')\""]
            )
        )
            await shell.WaitForExitAsync();
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        Assert.Equal(FillOutcome.Idle, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        Assert.Equal(["obs/control\u001b[2J", "obs/good"], await fixture.OnDriveAsync());
        Assert.Equal(
            ["control\u001b[2J", "good"],
            Directory.GetFileSystemEntries(fixture.Mount + "/data/obs").Select(Path.GetFileName).Order(StringComparer.Ordinal)
        );
        await fixture.SendOffAsync();
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_DriveGone_IsNotFullAndChangesNothing(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.KeepAsync("obs/1");
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        await fixture.KeepAsync("obs/2");
        Directory.Move(fixture.Mount, fixture.Mount + ".away");
        Directory.CreateDirectory(fixture.Mount);
        Assert.Equal(FillOutcome.NotPlugged, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        Assert.Empty(Directory.GetFileSystemEntries(fixture.Mount));
        Directory.Delete(fixture.Mount);
        Directory.Move(fixture.Mount + ".away", fixture.Mount);
        Assert.Equal(FillOutcome.More, (await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome);
        Assert.Equal(["obs/1", "obs/2"], await fixture.OnDriveAsync());
    }

    [Theory]
    [
        InlineData(DatabaseKind.Sqlite, true),
        InlineData(DatabaseKind.Sqlite, false),
        InlineData(DatabaseKind.PostgreSql, true),
        InlineData(DatabaseKind.PostgreSql, false)
    ]
    public async Task Fill_DriveGivenUpAndReplacedWhileItsMediumHung_ClaimsNothing(DatabaseKind kind, bool replaced)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.KeepAsync("obs/1");
        await fixture.KeepAsync("obs/2");
        var meanwhile = 0;
        var round = await fixture.Filling.RoundAsync(
            fixture.Drive.Id,
            _ =>
            {
                if (Interlocked.Exchange(ref meanwhile, 1) == 1)
                    return;
                using var db = fixture.Source.Database.Open();
                db.DriveContents.Where(c => c.DriveRow == fixture.Drive.Id).ExecuteDelete();
                if (replaced)
                    db.Drives.Where(d => d.Id == fixture.Drive.Id).ExecuteUpdate(s => s.SetProperty(d => d.Trip, 2));
            },
            default
        );
        Assert.Equal(FillOutcome.Frozen, round.Outcome);
        Assert.Empty(await fixture.OnDriveAsync());
        Assert.Empty(Directory.GetFiles(fixture.Mount + "/data", "*", SearchOption.AllDirectories));
        await using var probe = fixture.Source.Database.Open();
        Assert.False(await probe.Copies.AnyAsync(i => i.StoreId == fixture.Drive.StoreId));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_MarkerOfAnotherTrip_IsNotWrittenTo(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.KeepAsync("obs/1");
        await DriveMedium
            .MarkerOf(fixture.Drive, Samples.Key.PublicKey, "mountain", 2, DateTime.UnixEpoch)
            .WriteAsync(fixture.Mount, default);
        var round = await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);
        Assert.Equal(FillOutcome.Trouble, round.Outcome);
        Assert.Contains("trip 2", round.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(fixture.Mount + "/data"));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_CopyThatWentBad_IsListedAndWaitsForAnIntactOne(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.KeepAsync("obs/0");
        await fixture.KeepAsync("obs/1");
        var path = fixture.SourceStore.Locate(StoreFixture.Name("obs/0"));
        var good = await File.ReadAllBytesAsync(path);
        await File.WriteAllBytesAsync(path, [.. good.Select(b => (byte)~b)]);
        Assert.Equal((FillOutcome.More, 1), await FillAsync());
        await using (var db = fixture.Source.Database.Open())
            Assert.Equal("obs/0", (await db.CorruptFiles.SingleAsync()).FileName);
        await RestAsync();
        Assert.Equal((FillOutcome.Idle, 0), await FillAsync());
        await File.WriteAllBytesAsync(path, good);
        await fixture.Checks.CheckAsync("obs/0", force: true, default);
        Assert.Equal((FillOutcome.More, 1), await FillAsync());
        Assert.Equal(["obs/0", "obs/1"], await fixture.OnDriveAsync());

        async Task<(FillOutcome, int)> FillAsync() =>
            await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default) is var round ? (round.Outcome, round.Files) : default;

        async Task RestAsync()
        {
            await using var db = fixture.Source.Database.Open();
            var past = DateTime.UtcNow.AddSeconds(-1);
            await db.DriveContents.Where(c => c.RetryAfter != null).ExecuteUpdateAsync(s => s.SetProperty(c => c.RetryAfter, past));
        }
    }

    /// <summary>
    /// What lies under a name that the catalog does not know is taken when it is the file, unless another file has its data there.
    /// </summary>
    [Theory, MemberData(nameof(Kinds))]
    public async Task Ingest_BytesLieThereAlready_AreTakenUnlessAnotherFileHoldsThem(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        foreach (var name in new[] { "obs/free", "obs/held", "obs/within/held", "obs/above", "obs/other" })
            await fixture.KeepAsync(name, name == "obs/above" ? ["page/0"] : null);
        await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);
        await fixture.SendOffAsync();
        foreach (var name in new[] { "obs/free", "obs/held", "obs/within/held", "obs/above/page/0" })
        {
            var path = fixture.DestinationStore.Locate(StoreFixture.Name(name));
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.Copy(fixture.SourceStore.Locate(StoreFixture.Name(name)), path);
        }

        await File.WriteAllTextAsync(fixture.DestinationStore.Locate(StoreFixture.Name("obs/other")), "other");
        await using (var db = fixture.Destination.Database.Open())
        {
            foreach (var (name, path) in new[] { ("x", "obs/held"), ("y", "obs/within"), ("z", "obs/above/page") })
            {
                db.Files.Add(
                    new FileRecord
                    {
                        Name = name,
                        CreateTime = DateTime.UtcNow,
                        Size = 10,
                        Checksum = "xxh3:::00",
                        Uploader = "u",
                        Source = "u",
                    }
                );
                db.Copies.Add(
                    new FileCopy
                    {
                        Path = path,
                        FileName = name,
                        StoreId = 1,
                        DeletionPolicy = DeletionPolicy.Disallowed,
                        CreatedTime = DateTime.UtcNow,
                        Available = true,
                    }
                );
            }

            await db.SaveChangesAsync();
        }

        var incoming = await fixture.ArriveAsync();
        Assert.Equal(IngestRound.More, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
        var decided = (await fixture.DeliveriesAsync(incoming)).ToDictionary(d => d.Name, d => d.Message ?? "");
        Assert.Equal("", decided["obs/free"]);
        Assert.Contains("catalogued file 'x'", decided["obs/held"], StringComparison.Ordinal);
        Assert.Contains("catalogued file 'y'", decided["obs/within/held"], StringComparison.Ordinal);
        Assert.Contains("two files cannot share data", decided["obs/above"], StringComparison.Ordinal);
        Assert.Contains("Other data lie at 'obs/other'", decided["obs/other"], StringComparison.Ordinal);
        Assert.Equal(1, await fixture.CountTakenAsync(incoming));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Ingest_FileLargerThanTheManifestSays_IsNotCopiedAndHoldsNothingUp(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        for (var i = 0; i < 3; i++)
            await fixture.KeepAsync($"obs/{i}");
        await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);
        await fixture.SendOffAsync();
        // A damaged inode may claim any size; this one claims a terabyte.
        using (var grown = new FileStream(fixture.Mount + "/data/obs/1", FileMode.Open))
            grown.SetLength(1L << 40);
        var incoming = await fixture.ArriveAsync();
        Assert.Equal(IngestRound.More, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
        Assert.Equal(IngestRound.Done, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
        Assert.Equal(2, await fixture.CountTakenAsync(incoming));
        Assert.Empty(Directory.GetFileSystemEntries(fixture.DestinationStore.Options.StagingPath));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Ingest_DriveAwayAfterACrash_ReleasesNamesAndRecordsWhatWasPlaced(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        for (var i = 0; i < 3; i++)
            await fixture.KeepAsync($"obs/{i}", i == 1 ? ["a"] : null);
        await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);
        await fixture.SendOffAsync();
        var incoming = await fixture.ArriveAsync();
        // A round that died between renaming and recording: reservations, one file under its name, one half in staging.
        await using (var db = fixture.Destination.Database.Open())
        {
            foreach (var name in new[] { "obs/0", "obs/1", "obs/2" })
            {
                var file = await fixture.FileAsync(name);
                db.IncomingTransfers.Add(
                    new IncomingTransfer
                    {
                        Status = TransferStatus.Ongoing,
                        Committing = true,
                        Uploader = "u",
                        UploadName = name,
                        Source = "mountain",
                        TransferSize = file.Size,
                        TransferChecksum = file.Checksum,
                        StoreId = 1,
                        TransferManagerName = $"drive:{incoming.Id}",
                        StartTime = DateTime.UtcNow,
                        StagingPath = Guid.NewGuid().ToString("D"),
                        FileName = name,
                        SourceTransferId = 1,
                    }
                );
            }

            await db.SaveChangesAsync();
        }

        using (
            var copy = System.Diagnostics.Process.Start(
                new System.Diagnostics.ProcessStartInfo("cp", ["-r", "--parents", "obs/1", fixture.DestinationStore.Options.RootPath])
                {
                    WorkingDirectory = fixture.Mount + "/data",
                }
            )!
        )
            await copy.WaitForExitAsync();
        Directory.Move(fixture.Mount, fixture.Mount + ".away");
        Assert.Equal(IngestRound.Wait, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
        await using (var db = fixture.Destination.Database.Open())
        {
            Assert.Equal(0, await db.IncomingTransfers.CountAsync(t => t.Committing));
            Assert.Equal(["obs/1"], await db.Files.Select(f => f.Name).ToListAsync());
        }

        Directory.Move(fixture.Mount + ".away", fixture.Mount);
        Assert.Equal(IngestRound.More, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
        Assert.Equal(3, await fixture.CountTakenAsync(incoming));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Ingest_NameThatAnotherTransferStores_WaitsForItAloneAndTakesTheRest(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        for (var i = 0; i < 4; i++)
            await fixture.KeepAsync($"obs{i}/x");
        await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);
        await fixture.SendOffAsync();
        var incoming = await fixture.ArriveAsync();
        await using var db = fixture.Destination.Database.Open();
        // The same name by another arrival, one that contains ours, one that lies in ours.
        foreach (var name in new[] { "obs0/x", "obs1", "obs2/x/y" })
            db.IncomingTransfers.Add(
                new IncomingTransfer
                {
                    Status = TransferStatus.Ongoing,
                    Committing = true,
                    Uploader = "u",
                    UploadName = name,
                    Source = "mountain",
                    TransferSize = 1,
                    TransferChecksum = "c",
                    StoreId = 1,
                    TransferManagerName = "drive:999",
                    StartTime = DateTime.UtcNow,
                    StagingPath = Guid.NewGuid().ToString("D"),
                    FileName = name,
                }
            );
        await db.SaveChangesAsync();
        Assert.Equal(IngestRound.More, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
        Assert.Equal(["obs3/x"], await db.Files.Select(f => f.Name).ToListAsync());
        Assert.Equal(IngestRound.Wait, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
        await db
            .IncomingTransfers.Where(t => t.TransferManagerName == "drive:999")
            .ExecuteUpdateAsync(s => s.SetProperty(t => t.Committing, false).SetProperty(t => t.Status, TransferStatus.Failed));
        Assert.Equal(IngestRound.More, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
        Assert.Equal(IngestRound.Done, (await fixture.DriveIngest.RoundAsync(incoming.Id, null, default)).Outcome);
        Assert.Equal(4, await fixture.CountTakenAsync(incoming));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Ingest_FileThatFitsNowhere_WaitsAndTheSmallerOnesAreTaken(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server, destinationMegabytes: 8);
        await fixture.KeepAsync("obs/big", size: 9_000_000);
        for (var i = 0; i < 600; i++)
            await fixture.KeepAsync($"obs/small{i}");
        while ((await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default)).Outcome == FillOutcome.More)
        {
            // The big one is the oldest, so it is in the first window of the manifest, and there is a second.
        }

        await fixture.SendOffAsync();
        var incoming = await fixture.ArriveAsync();
        IngestRoundResult round;
        do round = await fixture.DriveIngest.RoundAsync(incoming.Id, null, default);
        while (round.Outcome == IngestRound.More);
        Assert.Equal(IngestRound.Wait, round.Outcome);
        Assert.Contains("obs/big", round.Message, StringComparison.Ordinal);
        Assert.Equal(600, await fixture.CountTakenAsync(incoming));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Record_NumbersOfAnotherCatalog_ChangeNothing(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.KeepAsync("obs/1");
        await fixture.Filling.RoundAsync(fixture.Drive.Id, null, default);
        await fixture.SendOffAsync();
        await using var db = fixture.Source.Database.Open();
        var transfer = await db.OutgoingTransfers.SingleAsync();
        var refused = await fixture.Deliveries.RecordAsync(
            db,
            [
                new Delivery(transfer.Id, "obs/other", transfer.TransferChecksum, 1, null),
                new Delivery(transfer.Id, "obs/1", "xxh3:::00", 1, null),
                new Delivery(77, "obs/1", transfer.TransferChecksum, 1, null),
            ],
            "archive",
            "mountain",
            default
        );
        Assert.Equal(3, refused.Count);
        Assert.Empty(await db.RemoteCopies.ToListAsync());
        Assert.Empty(
            await fixture.Deliveries.RecordAsync(
                db,
                [new Delivery(transfer.Id, "obs/1", transfer.TransferChecksum, 1, null)],
                "archive",
                "mountain",
                default
            )
        );
        Assert.Equal(1, await db.RemoteCopies.CountAsync());
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Wipe_LastCopyDisappearedSinceRecycle_IsNotDone(DatabaseKind kind)
    {
        using var fixture = await Fixture.CreateAsync(kind, server);
        await fixture.TravelAsync(stored: false);
        await using var db = fixture.Source.Database.Open();
        await db.Copies.Where(i => i.StoreId != fixture.Drive.StoreId).ExecuteUpdateAsync(s => s.SetProperty(i => i.Available, false));
        Assert.Equal("drive.only_copy", (await fixture.WipeAsync()).Code);
        Assert.True(File.Exists(fixture.Mount + "/data/obs/1"));
        Assert.Equal(DriveState.Reusable, (await fixture.CurrentAsync()).State);

        // A lost drive is given up all the same, and the file is named.
        var answer = await fixture.Recycling.AbandonAsync(db, await fixture.CurrentAsync(), default);
        Assert.True(answer.IsOk);
        Assert.Contains("'obs/1'", answer.Message, StringComparison.Ordinal);
    }

    private sealed partial class Fixture : IDisposable
    {
        private readonly TemporaryDirectory _place = new();
        private SiteOptions _mountain = null!;
        private SiteStores _archiveStores = null!;
        private readonly List<string> _mounted = [];

        public CopyChecks Checks { get; private set; } = null!;

        public StatementCounter Statements { get; } = new();

        public TestCatalog Source { get; private set; } = null!;

        public TestCatalog Destination { get; private set; } = null!;

        public DriveFilling Filling { get; private set; } = null!;

        public DriveDispatch Dispatch { get; private set; } = null!;

        public DriveDeliveries Deliveries { get; private set; } = null!;

        public DriveRecycling Recycling { get; } = new(TimeProvider.System);

        public DriveWipe Wipe { get; private set; } = null!;

        public DriveArchive Archive { get; private set; } = null!;

        public DriveIngest DriveIngest { get; private set; } = null!;

        public Drive Drive { get; private set; } = null!;

        public LocalStore SourceStore { get; private set; } = null!;

        public LocalStore DestinationStore { get; private set; } = null!;

        public string Mount => _place["drive"];

        public static async Task<Fixture> CreateAsync(
            DatabaseKind kind,
            PostgresServer server,
            int? destinationMegabytes = null,
            int? driveMegabytes = null,
            params IInterceptor[] interceptors
        )
        {
            var fixture = new Fixture();
            fixture.Source = await Databases.CreateAsync(kind, server, [fixture.Statements, .. interceptors]);
            fixture.Destination = await Databases.CreateAsync(kind, server, [fixture.Statements, .. interceptors]);
            if (destinationMegabytes is { } size)
                fixture.MountSmall("archive", size);
            if (driveMegabytes is { } capacity)
                fixture.MountSmall("drive", capacity);

            fixture._mountain = OptionsOf(fixture._place, "mountain");
            var archive = OptionsOf(fixture._place, "archive");
            var stores = new SiteStores(fixture.Source.Database, Options.Create(fixture._mountain), NullLogger<SiteStores>.Instance);
            fixture._archiveStores = new SiteStores(fixture.Destination.Database, Options.Create(archive), NullLogger<SiteStores>.Instance);
            await stores.SynchroniseAsync(default);
            await fixture._archiveStores.SynchroniseAsync(default);
            (fixture.SourceStore, fixture.DestinationStore) = (stores.Configured[0].Store, fixture._archiveStores.Configured[0].Store);
            var errors = new ErrorLog(fixture.Source.Database, TimeProvider.System, NullLogger<ErrorLog>.Instance);
            fixture.Checks = new CopyChecks(
                fixture.Source.Database,
                stores,
                errors,
                Options.Create(fixture._mountain),
                TimeProvider.System,
                NullLogger<CopyChecks>.Instance
            );
            fixture.Filling = DriveParts.Filling(
                fixture.Source.Database,
                stores,
                fixture.Checks,
                errors,
                Options.Create(fixture._mountain)
            );
            fixture.Dispatch = new DriveDispatch(
                fixture.Source.Database,
                new ManifestArchive(fixture.Source.Database, Samples.Key, Options.Create(fixture._mountain)),
                new DriveArchive(Options.Create(fixture._mountain)),
                TimeProvider.System
            );
            fixture.Deliveries = new DriveDeliveries(new OutgoingTransfers(TimeProvider.System), TimeProvider.System);
            fixture.Wipe = new DriveWipe(
                fixture.Source.Database,
                new CopyProbe(fixture.Source.Database, fixture.Checks, Options.Create(fixture._mountain), TimeProvider.System),
                Samples.Key,
                Options.Create(fixture._mountain),
                TimeProvider.System
            );
            var theirErrors = new ErrorLog(fixture.Destination.Database, TimeProvider.System, NullLogger<ErrorLog>.Instance);
            var theirChecks = new CopyChecks(
                fixture.Destination.Database,
                fixture._archiveStores,
                theirErrors,
                Options.Create(archive),
                TimeProvider.System,
                NullLogger<CopyChecks>.Instance
            );
            var theirProbe = new CopyProbe(fixture.Destination.Database, theirChecks, Options.Create(archive), TimeProvider.System);
            fixture.Archive = new DriveArchive(Options.Create(archive));
            fixture.DriveIngest = DriveParts.Ingest(
                fixture.Destination.Database,
                fixture._archiveStores,
                theirProbe,
                theirErrors,
                fixture.Archive,
                Options.Create(archive)
            );
            Directory.CreateDirectory(DriveStore.DataPathOf(fixture.Mount));
            Directory.CreateDirectory(DriveStore.StagingPathOf(fixture.Mount));
            await using var db = fixture.Source.Database.Open();
            db.Peers.Add(
                new Peer
                {
                    Name = "archive",
                    Url = "http://127.0.0.1",
                    Port = 1,
                    Authenticator = "x",
                    TransfersEnabled = true,
                    LastSeen = DateTime.UnixEpoch,
                    LastHeard = DateTime.UnixEpoch,
                }
            );
            var store = new StoreRecord
            {
                Name = "d1",
                Ingestable = false,
                Enabled = true,
            };
            db.Stores.Add(store);
            await db.SaveChangesAsync();
            fixture.Drive = new Drive
            {
                DriveId = Guid.NewGuid(),
                Name = "d1",
                StoreId = store.Id,
                MountPath = fixture.Mount,
                Destination = "archive",
                FullFraction = 1,
                State = DriveState.Filling,
                StateSince = DateTime.UtcNow,
                Trip = 1,
            };
            db.Drives.Add(fixture.Drive);
            await db.SaveChangesAsync();
            await DriveMedium
                .MarkerOf(fixture.Drive, Samples.Key.PublicKey, "mountain", 1, DateTime.UnixEpoch)
                .WriteAsync(fixture.Mount, default);
            return fixture;
        }

        /// <summary>A file of the mountain; with members a directory.</summary>
        public async Task KeepAsync(string name, string[]? members = null, int size = 10)
        {
            var path = SourceStore.Locate(StoreFixture.Name(name));
            foreach (var file in members is null ? [path] : members.Select(m => path + "/" + m))
            {
                Directory.CreateDirectory(Path.GetDirectoryName(file)!);
                await File.WriteAllBytesAsync(file, System.Security.Cryptography.RandomNumberGenerator.GetBytes(size));
            }

            var digest = await SourceStore.DigestAsync(StoreFixture.Name(name), [ChecksumAlgorithm.Xxh3]);
            await using var db = Source.Database.Open();
            db.Files.Add(
                new FileRecord
                {
                    Name = name,
                    CreateTime = DateTime.UtcNow,
                    Size = digest.SizeBytes,
                    Checksum = digest.Checksums[ChecksumAlgorithm.Xxh3].ToString(),
                    Uploader = "u",
                    Source = "u",
                }
            );
            db.Copies.Add(
                new FileCopy
                {
                    Path = name,
                    FileName = name,
                    StoreId = 1,
                    DeletionPolicy = DeletionPolicy.Disallowed,
                    CreatedTime = DateTime.UtcNow,
                    Available = true,
                }
            );
            await db.SaveChangesAsync();
        }

        public async Task SendOffAsync()
        {
            await using (var db = Source.Database.Open())
            {
                await using var transaction = await db.Database.BeginTransactionAsync();
                var (answer, _) = await Dispatch.FreezeAsync(db, await CurrentAsync(), default);
                Assert.True(answer.IsOk, answer.Message);
                await transaction.CommitAsync();
            }

            var written = await Dispatch.WriteAsync(Drive.Id, default);
            Assert.True(written.IsOk, written.Message);
        }

        public async Task<IncomingDrive> ArriveAsync()
        {
            var check = await ManifestReader.CheckAsync(Mount + "/MANIFEST.jsonl", default);
            Assert.True(check.Accepted);
            File.Copy(Mount + "/MANIFEST.jsonl", Archive.ArrivedManifest(Drive.DriveId, 1));
            await using var db = Destination.Database.Open();
            var incoming = new IncomingDrive
            {
                DriveId = Drive.DriveId,
                Trip = 1,
                Name = "d1",
                Source = "mountain",
                MountPath = Mount,
                DataPath = DriveStore.DataPathOf(Mount),
                IsUpstream = false,
                ManifestSha256 = check.Seal.Sha256,
                State = IncomingDriveState.Ingesting,
                StateSince = DateTime.UtcNow,
                Files = check.Header.Files,
                Bytes = check.Header.Bytes,
            };
            db.IncomingDrives.Add(incoming);
            await db.SaveChangesAsync();
            return incoming;
        }

        public async Task<Drive> CurrentAsync()
        {
            await using var db = Source.Database.Open();
            return await db.Drives.AsNoTracking().SingleAsync();
        }

        public async Task<FileRecord> FileAsync(string name)
        {
            await using var db = Source.Database.Open();
            return await db.Files.AsNoTracking().SingleAsync(f => f.Name == name);
        }

        public async Task<List<string>> OnDriveAsync()
        {
            await using var db = Source.Database.Open();
            return await db
                .DriveContents.Where(c => c.State == DriveContentState.Stored)
                .OrderBy(c => c.FileName)
                .Select(c => c.FileName)
                .ToListAsync();
        }

        public async Task<int> CountTakenAsync(IncomingDrive incoming)
        {
            await using var db = Destination.Database.Open();
            return await db.IncomingDriveFiles.CountAsync(f => f.IncomingDriveId == incoming.Id && f.Outcome == DriveFileOutcome.Stored);
        }

        public async Task<List<Delivery>> DeliveriesAsync(IncomingDrive incoming)
        {
            await using var db = Destination.Database.Open();
            return (await db.IncomingDriveFiles.Where(f => f.IncomingDriveId == incoming.Id).ToListAsync()).ConvertAll(f => new Delivery(
                f.OutgoingTransferId,
                f.FileName,
                f.Checksum,
                f.StoreId,
                f.Message
            ));
        }

        public void Dispose()
        {
            foreach (var mounted in _mounted)
                _place.Shell($"umount -l {mounted}");
            UnmountExfat();
            Source.Dispose();
            Destination.Dispose();
            _place.Dispose();
        }

        private void MountSmall(string directory, int megabytes)
        {
            _place.MakeDirectory(directory);
            _place.Shell($"mount -t tmpfs -o size={megabytes}m none {directory}");
            _mounted.Add(directory);
        }

        private static SiteOptions OptionsOf(TemporaryDirectory place, string name) =>
            new()
            {
                Name = name,
                DataDirectory = place.MakeDirectory(name),
                Stores =
                [
                    new StoreOptions
                    {
                        Name = "main",
                        StagingPath = place.MakeDirectory(name + "/staging"),
                        StorePath = place.MakeDirectory(name + "/store"),
                    },
                ],
            };
    }
}
