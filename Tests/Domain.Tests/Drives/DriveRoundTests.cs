using System.Data.Common;
using Librarian.Domain.Catalog;
using Librarian.Domain.Checksums;
using Librarian.Domain.Configuration;
using Librarian.Domain.Drives;
using Librarian.Domain.Errors;
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
public class DriveRoundTests(PostgresServer server)
{
    public static TheoryData<DatabaseKind> Kinds => [DatabaseKind.Sqlite, DatabaseKind.PostgreSql];

    [Theory, MemberData(nameof(Kinds))]
    public async Task Trip_MoreFiles_TakesNoMoreStatementsPerRound(DatabaseKind kind)
    {
        var (few, many) = (await CountAsync(5), await CountAsync(300));
        Assert.InRange(many.Fill, few.Fill, few.Fill + 8);
        Assert.InRange(many.Manifest, few.Manifest, few.Manifest + 4);
        Assert.InRange(many.Ingest, few.Ingest, few.Ingest + 8);
        Assert.InRange(many.Told, few.Told, few.Told + 4);

        async Task<(int Fill, int Manifest, int Ingest, int Told)> CountAsync(int files)
        {
            using var rig = await Rig.CreateAsync(kind, server);
            for (var i = 0; i < files; i++) await rig.KeepAsync($"obs/{i}", i % 5 == 0 ? ["a", "b/c"] : null);
            rig.Statements.Reset();
            Assert.Equal(FillOutcome.More, (await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome);
            var fill = rig.Statements.Reset();
            await rig.SendOffAsync();
            var manifest = rig.Statements.Reset();
            var arrival = await rig.ArriveAsync();
            rig.Statements.Reset();
            Assert.Equal(IngestRound.More, (await rig.Ingest.RoundAsync(arrival.Id, null, default)).Outcome);
            var ingest = rig.Statements.Reset();
            Assert.Equal(files, await rig.CountTakenAsync(arrival));
            var deliveries = await rig.DeliveriesAsync(arrival);
            rig.Statements.Reset();
            await using (var db = rig.Source.Database.Open()) Assert.Empty(await rig.Deliveries.RecordAsync(db, deliveries, "archive", "mountain", default));
            return (fill, manifest, ingest, rig.Statements.Reset());
        }
    }

    [Fact]
    public async Task Trip_OnPostgreSqlWithoutStatistics_ComparesNoTableWithEveryRowOfAnother()
    {
        const int Files = 600;
        var watch = new PlanWatch();
        using var rig = await Rig.CreateAsync(DatabaseKind.PostgreSql, server, interceptors: watch);
        for (var i = 0; i < Files; i++) await rig.KeepAsync($"obs/{i % 7}/{i}");
        await SeeAsync("fill", async () => Assert.Equal(FillOutcome.More, (await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome));
        await SeeAsync("look for more", async () => Assert.Equal(FillOutcome.Idle, (await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome));
        await SeeAsync("freeze and manifest", rig.SendOffAsync);
        DriveArrival arrival = null!;
        await SeeAsync("arrival", async () => arrival = await rig.ArriveAsync());
        await SeeAsync("ingest", async () => Assert.Equal(IngestRound.More, (await rig.Ingest.RoundAsync(arrival.Id, null, default)).Outcome));
        var deliveries = await rig.DeliveriesAsync(arrival);
        Assert.Equal(Files, deliveries.Count);
        foreach (var batch in deliveries.Chunk(100))
        {
            await SeeAsync("acknowledge", async () =>
            {
                await using var db = rig.Source.Database.Open();
                await using var transaction = await db.Database.BeginTransactionAsync();
                Assert.Empty(await rig.Deliveries.RecordAsync(db, batch, "archive", "mountain", default));
                await DriveDeliveries.SettleAsync(db, [.. batch.Select(d => d.TransferId)], default);
                Assert.Equal(batch.Contains(deliveries[^1]), await rig.Deliveries.FinishAsync(db, rig.Drive.Id, default));
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
        using var rig = await Rig.CreateAsync(DatabaseKind.PostgreSql, server);
        await rig.KeepAsync("obs/1");
        Assert.Equal(FillOutcome.More, (await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome);
        using var impatient = new CatalogDatabase(rig.Source.Database.ConnectionString + ";Command Timeout=1");
        await using var db = impatient.Open();
        // What holds the table for two seconds takes the place of a million rows.
        await using var other = rig.Source.Database.Open();
        await using var held = await other.Database.BeginTransactionAsync();
        await other.Database.ExecuteSqlAsync($"lock table outgoing_transfers in exclusive mode");
        var freeze = rig.Dispatch.FreezeAsync(db, await rig.CurrentAsync(), default);
        await other.Database.ExecuteSqlAsync($"select pg_sleep(2)");
        await held.CommitAsync();
        Assert.True((await freeze).Answer.IsOk);
    }

    [Fact]
    public async Task Freeze_WhileATableIsVacuumed_DoesNotWaitForIt()
    {
        using var rig = await Rig.CreateAsync(DatabaseKind.PostgreSql, server);
        await rig.KeepAsync("obs/1");
        Assert.Equal(FillOutcome.More, (await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome);
        await using var other = rig.Source.Database.Open();
        await using var held = await other.Database.BeginTransactionAsync();
        // The lock of VACUUM and ANALYZE.
        await other.Database.ExecuteSqlAsync($"lock table outgoing_transfers, files in share update exclusive mode");
        using var impatient = new CatalogDatabase(rig.Source.Database.ConnectionString + ";Options=-c lock_timeout=5s");
        await using var db = impatient.Open();
        Assert.True((await rig.Dispatch.FreezeAsync(db, await rig.CurrentAsync(), default)).Answer.IsOk);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_NamesThatNoManifestHolds_AreLeftOutAndTheRestGoesOn(DatabaseKind kind)
    {
        using var rig = await Rig.CreateAsync(kind, server);
        await rig.KeepAsync("obs/good", ["fine"]);
        await rig.KeepAsync("obs/control", ["line\nbreak"]);
        await rig.KeepAsync("obs/long", [string.Join('/', Enumerable.Repeat(new string('x', 200), 11))]);
        await rig.KeepAsync("obs/bytes", ["good"]);
        using (var shell = System.Diagnostics.Process.Start("/bin/sh", ["-c", $"cd '{rig.SourceStore.Options.StorePath}/obs/bytes' && mv good \"$(printf 'b\\303d')\""])) await shell.WaitForExitAsync();
        Assert.Equal(FillOutcome.More, (await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome);
        Assert.Equal(FillOutcome.Idle, (await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome);
        Assert.Equal(["obs/good"], await rig.OnDriveAsync());
        Assert.Equal(["good"], Directory.GetFileSystemEntries(rig.Mount + "/data/obs").Select(Path.GetFileName));
        await rig.SendOffAsync();
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_DriveGone_IsNotFullAndChangesNothing(DatabaseKind kind)
    {
        using var rig = await Rig.CreateAsync(kind, server);
        await rig.KeepAsync("obs/1");
        Assert.Equal(FillOutcome.More, (await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome);
        await rig.KeepAsync("obs/2");
        Directory.Move(rig.Mount, rig.Mount + ".away");
        Directory.CreateDirectory(rig.Mount);
        Assert.Equal(FillOutcome.NotPlugged, (await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome);
        Assert.Empty(Directory.GetFileSystemEntries(rig.Mount));
        Directory.Delete(rig.Mount);
        Directory.Move(rig.Mount + ".away", rig.Mount);
        Assert.Equal(FillOutcome.More, (await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome);
        Assert.Equal(["obs/1", "obs/2"], await rig.OnDriveAsync());
    }

    [Theory]
    [InlineData(DatabaseKind.Sqlite, true), InlineData(DatabaseKind.Sqlite, false), InlineData(DatabaseKind.PostgreSql, true), InlineData(DatabaseKind.PostgreSql, false)]
    public async Task Fill_DriveGivenUpAndReplacedWhileItsMediumHung_ClaimsNothing(DatabaseKind kind, bool replaced)
    {
        using var rig = await Rig.CreateAsync(kind, server);
        await rig.KeepAsync("obs/1");
        await rig.KeepAsync("obs/2");
        var meanwhile = 0;
        var round = await rig.Filling.RoundAsync(rig.Drive.Id, _ =>
        {
            if (Interlocked.Exchange(ref meanwhile, 1) == 1) return;
            using var db = rig.Source.Database.Open();
            db.DriveContents.Where(c => c.DriveRow == rig.Drive.Id).ExecuteDelete();
            if (replaced) db.Drives.Where(d => d.Id == rig.Drive.Id).ExecuteUpdate(s => s.SetProperty(d => d.Trip, 2));
        }, default);
        Assert.Equal(FillOutcome.Frozen, round.Outcome);
        Assert.Empty(await rig.OnDriveAsync());
        Assert.Empty(Directory.GetFiles(rig.Mount + "/data", "*", SearchOption.AllDirectories));
        await using var look = rig.Source.Database.Open();
        Assert.False(await look.Instances.AnyAsync(i => i.StoreId == rig.Drive.StoreId));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Fill_MarkerOfAnotherTrip_IsNotWrittenTo(DatabaseKind kind)
    {
        using var rig = await Rig.CreateAsync(kind, server);
        await rig.KeepAsync("obs/1");
        await DriveDeliveries.MarkerOf(rig.Drive, Samples.Key.PublicKey, "mountain", 2, DateTime.UnixEpoch).WriteAsync(rig.Mount, default);
        var round = await rig.Filling.RoundAsync(rig.Drive.Id, null, default);
        Assert.Equal(FillOutcome.Trouble, round.Outcome);
        Assert.Contains("trip 2", round.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(rig.Mount + "/data"));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Ingest_FileLargerThanTheManifestSays_IsNotCopiedAndHoldsNothingUp(DatabaseKind kind)
    {
        using var rig = await Rig.CreateAsync(kind, server);
        for (var i = 0; i < 3; i++) await rig.KeepAsync($"obs/{i}");
        await rig.Filling.RoundAsync(rig.Drive.Id, null, default);
        await rig.SendOffAsync();
        // A damaged inode may claim any size; this one claims a terabyte.
        using (var grown = new FileStream(rig.Mount + "/data/obs/1", FileMode.Open)) grown.SetLength(1L << 40);
        var arrival = await rig.ArriveAsync();
        Assert.Equal(IngestRound.More, (await rig.Ingest.RoundAsync(arrival.Id, null, default)).Outcome);
        Assert.Equal(IngestRound.Done, (await rig.Ingest.RoundAsync(arrival.Id, null, default)).Outcome);
        Assert.Equal(2, await rig.CountTakenAsync(arrival));
        Assert.Empty(Directory.GetFileSystemEntries(rig.DestinationStore.Options.StagingPath));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Ingest_DriveAwayAfterACrash_ReleasesNamesAndRecordsWhatWasPlaced(DatabaseKind kind)
    {
        using var rig = await Rig.CreateAsync(kind, server);
        for (var i = 0; i < 3; i++) await rig.KeepAsync($"obs/{i}", i == 1 ? ["a"] : null);
        await rig.Filling.RoundAsync(rig.Drive.Id, null, default);
        await rig.SendOffAsync();
        var arrival = await rig.ArriveAsync();
        // A round that died between renaming and recording: reservations, one file under its name, one half in staging.
        await using (var db = rig.Destination.Database.Open())
        {
            foreach (var name in new[] { "obs/0", "obs/1", "obs/2" })
            {
                var file = await rig.FileAsync(name);
                db.IncomingTransfers.Add(new IncomingTransfer
                {
                    Status = TransferStatus.Ongoing,
                    Placing = true,
                    Uploader = "u",
                    UploadName = name,
                    Source = "mountain",
                    TransferSize = file.Size,
                    TransferChecksum = file.Checksum,
                    StoreId = 1,
                    TransferManagerName = $"drive:{arrival.Id}",
                    StartTime = DateTime.UtcNow,
                    StagingPath = Guid.NewGuid().ToString("D"),
                    StorePath = name,
                    SourceTransferId = 1,
                });
            }

            await db.SaveChangesAsync();
        }

        using (var copy = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("cp", ["-r", "--parents", "obs/1", rig.DestinationStore.Options.StorePath]) { WorkingDirectory = rig.Mount + "/data" })!) await copy.WaitForExitAsync();
        Directory.Move(rig.Mount, rig.Mount + ".away");
        Assert.Equal(IngestRound.Wait, (await rig.Ingest.RoundAsync(arrival.Id, null, default)).Outcome);
        await using (var db = rig.Destination.Database.Open())
        {
            Assert.Equal(0, await db.IncomingTransfers.CountAsync(t => t.Placing));
            Assert.Equal(["obs/1"], await db.Files.Select(f => f.Name).ToListAsync());
        }

        Directory.Move(rig.Mount + ".away", rig.Mount);
        Assert.Equal(IngestRound.More, (await rig.Ingest.RoundAsync(arrival.Id, null, default)).Outcome);
        Assert.Equal(3, await rig.CountTakenAsync(arrival));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Ingest_NameThatAnotherTransferStores_WaitsForItAloneAndTakesTheRest(DatabaseKind kind)
    {
        using var rig = await Rig.CreateAsync(kind, server);
        for (var i = 0; i < 4; i++) await rig.KeepAsync($"obs{i}/x");
        await rig.Filling.RoundAsync(rig.Drive.Id, null, default);
        await rig.SendOffAsync();
        var arrival = await rig.ArriveAsync();
        await using var db = rig.Destination.Database.Open();
        // The same name by another arrival, one that contains ours, one that lies in ours.
        foreach (var name in new[] { "obs0/x", "obs1", "obs2/x/y" })
            db.IncomingTransfers.Add(new IncomingTransfer { Status = TransferStatus.Ongoing, Placing = true, Uploader = "u", UploadName = name, Source = "mountain", TransferSize = 1, TransferChecksum = "c", StoreId = 1, TransferManagerName = "drive:999", StartTime = DateTime.UtcNow, StagingPath = Guid.NewGuid().ToString("D"), StorePath = name });
        await db.SaveChangesAsync();
        Assert.Equal(IngestRound.More, (await rig.Ingest.RoundAsync(arrival.Id, null, default)).Outcome);
        Assert.Equal(["obs3/x"], await db.Files.Select(f => f.Name).ToListAsync());
        Assert.Equal(IngestRound.Wait, (await rig.Ingest.RoundAsync(arrival.Id, null, default)).Outcome);
        await db.IncomingTransfers.Where(t => t.TransferManagerName == "drive:999").ExecuteUpdateAsync(s => s.SetProperty(t => t.Placing, false).SetProperty(t => t.Status, TransferStatus.Failed));
        Assert.Equal(IngestRound.More, (await rig.Ingest.RoundAsync(arrival.Id, null, default)).Outcome);
        Assert.Equal(IngestRound.Done, (await rig.Ingest.RoundAsync(arrival.Id, null, default)).Outcome);
        Assert.Equal(4, await rig.CountTakenAsync(arrival));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Ingest_FileThatFitsNowhere_WaitsAndTheSmallerOnesAreTaken(DatabaseKind kind)
    {
        using var rig = await Rig.CreateAsync(kind, server, destinationMegabytes: 8);
        await rig.KeepAsync("obs/big", size: 9_000_000);
        for (var i = 0; i < 600; i++) await rig.KeepAsync($"obs/small{i}");
        while ((await rig.Filling.RoundAsync(rig.Drive.Id, null, default)).Outcome == FillOutcome.More)
        {
            // The big one is the oldest, so it is in the first window of the manifest, and there is a second.
        }

        await rig.SendOffAsync();
        var arrival = await rig.ArriveAsync();
        IngestRoundResult round;
        do round = await rig.Ingest.RoundAsync(arrival.Id, null, default);
        while (round.Outcome == IngestRound.More);
        Assert.Equal(IngestRound.Wait, round.Outcome);
        Assert.Contains("obs/big", round.Message, StringComparison.Ordinal);
        Assert.Equal(600, await rig.CountTakenAsync(arrival));
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Record_NumbersOfAnotherCatalog_ChangeNothing(DatabaseKind kind)
    {
        using var rig = await Rig.CreateAsync(kind, server);
        await rig.KeepAsync("obs/1");
        await rig.Filling.RoundAsync(rig.Drive.Id, null, default);
        await rig.SendOffAsync();
        await using var db = rig.Source.Database.Open();
        var transfer = await db.OutgoingTransfers.SingleAsync();
        var refused = await rig.Deliveries.RecordAsync(db, [new Delivery(transfer.Id, "obs/other", transfer.TransferChecksum, 1, null), new Delivery(transfer.Id, "obs/1", "xxh3:::00", 1, null), new Delivery(77, "obs/1", transfer.TransferChecksum, 1, null)], "archive", "mountain", default);
        Assert.Equal(3, refused.Count);
        Assert.Empty(await db.RemoteInstances.ToListAsync());
        Assert.Empty(await rig.Deliveries.RecordAsync(db, [new Delivery(transfer.Id, "obs/1", transfer.TransferChecksum, 1, null)], "archive", "mountain", default));
        Assert.Equal(1, await db.RemoteInstances.CountAsync());
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task Wipe_LastCopyDisappearedSinceRecycle_IsNotDone(DatabaseKind kind)
    {
        using var rig = await Rig.CreateAsync(kind, server);
        await rig.KeepAsync("obs/1");
        await rig.Filling.RoundAsync(rig.Drive.Id, null, default);
        await rig.SendOffAsync();
        await using var db = rig.Source.Database.Open();
        var transfer = await db.OutgoingTransfers.SingleAsync();
        Assert.Empty(await rig.Deliveries.RecordAsync(db, [new Delivery(transfer.Id, "obs/1", transfer.TransferChecksum, null, "no")], "archive", "mountain", default));
        await DriveDeliveries.SettleAsync(db, [transfer.Id], default);
        Assert.True(await rig.Deliveries.FinishAsync(db, rig.Drive.Id, default));
        Assert.True((await rig.Deliveries.RecycleAsync(db, await rig.CurrentAsync(), default)).IsOk);
        await db.Instances.Where(i => i.StoreId != rig.Drive.StoreId).ExecuteUpdateAsync(s => s.SetProperty(i => i.Available, false));
        Assert.Equal("drive.only_copy", (await rig.Deliveries.WipeAsync(rig.Source.Database, await rig.CurrentAsync(), Samples.Key.PublicKey, "mountain", default)).Code);
        Assert.True(File.Exists(rig.Mount + "/data/obs/1"));
        Assert.Equal(DriveState.Reusable, (await rig.CurrentAsync()).State);

        // A lost drive is given up all the same, and the file is named.
        var answer = await rig.Deliveries.GiveUpAsync(db, await rig.CurrentAsync(), default);
        Assert.True(answer.IsOk);
        Assert.Contains("'obs/1'", answer.Message, StringComparison.Ordinal);
    }

    private sealed class Rig : IDisposable
    {
        private readonly TemporaryDirectory _place = new();
        private SiteOptions _mountain = null!;
        private SiteStores _archiveStores = null!;
        private string? _mounted;

        public StatementCounter Statements { get; } = new();

        public TestCatalog Source { get; private set; } = null!;

        public TestCatalog Destination { get; private set; } = null!;

        public DriveFilling Filling { get; private set; } = null!;

        public DriveDispatch Dispatch { get; private set; } = null!;

        public DriveDeliveries Deliveries { get; private set; } = null!;

        public DriveIngest Ingest { get; private set; } = null!;

        public Drive Drive { get; private set; } = null!;

        public LocalStore SourceStore { get; private set; } = null!;

        public LocalStore DestinationStore { get; private set; } = null!;

        public string Mount => _place["drive"];

        public static async Task<Rig> CreateAsync(DatabaseKind kind, PostgresServer server, int? destinationMegabytes = null, params IInterceptor[] interceptors)
        {
            var rig = new Rig();
            rig.Source = await Databases.CreateAsync(kind, server, [rig.Statements, .. interceptors]);
            rig.Destination = await Databases.CreateAsync(kind, server, [rig.Statements, .. interceptors]);
            if (destinationMegabytes is { } size)
            {
                rig._mounted = rig._place.MakeDirectory("archive");
                rig._place.Shell($"mount -t tmpfs -o size={size}m none archive");
            }

            rig._mountain = OptionsOf(rig._place, "mountain");
            var archive = OptionsOf(rig._place, "archive");
            var stores = new SiteStores(rig.Source.Database, Options.Create(rig._mountain), NullLogger<SiteStores>.Instance);
            rig._archiveStores = new SiteStores(rig.Destination.Database, Options.Create(archive), NullLogger<SiteStores>.Instance);
            await stores.SynchroniseAsync(default);
            await rig._archiveStores.SynchroniseAsync(default);
            (rig.SourceStore, rig.DestinationStore) = (stores.Configured[0].Store, rig._archiveStores.Configured[0].Store);
            rig.Filling = new DriveFilling(rig.Source.Database, stores, new ErrorLog(rig.Source.Database, TimeProvider.System, NullLogger<ErrorLog>.Instance), Options.Create(rig._mountain), TimeProvider.System, NullLogger<DriveFilling>.Instance);
            rig.Dispatch = new DriveDispatch(rig.Source.Database, Samples.Key, Options.Create(rig._mountain), TimeProvider.System);
            rig.Deliveries = new DriveDeliveries(new OutgoingTransfers(TimeProvider.System), TimeProvider.System);
            rig.Ingest = new DriveIngest(rig.Destination.Database, rig._archiveStores, new ErrorLog(rig.Destination.Database, TimeProvider.System, NullLogger<ErrorLog>.Instance), Options.Create(archive), TimeProvider.System, NullLogger<DriveIngest>.Instance);
            Directory.CreateDirectory(DriveMedium.DataPathOf(rig.Mount));
            Directory.CreateDirectory(DriveMedium.StagingPathOf(rig.Mount));
            await using var db = rig.Source.Database.Open();
            db.Librarians.Add(new PeerLibrarian { Name = "archive", Url = "http://127.0.0.1", Port = 1, Authenticator = "x", TransfersEnabled = true, LastSeen = DateTime.UnixEpoch, LastHeard = DateTime.UnixEpoch });
            var store = new StoreRecord { Name = "d1", Ingestable = false, Enabled = true };
            db.Stores.Add(store);
            await db.SaveChangesAsync();
            rig.Drive = new Drive { DriveId = Guid.NewGuid(), Name = "d1", StoreId = store.Id, MountPath = rig.Mount, Destination = "archive", FullFraction = 1, State = DriveState.Filling, StateSince = DateTime.UtcNow, Trip = 1 };
            db.Drives.Add(rig.Drive);
            await db.SaveChangesAsync();
            await DriveDeliveries.MarkerOf(rig.Drive, Samples.Key.PublicKey, "mountain", 1, DateTime.UnixEpoch).WriteAsync(rig.Mount, default);
            return rig;
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
            db.Files.Add(new FileRecord { Name = name, CreateTime = DateTime.UtcNow, Size = digest.SizeBytes, Checksum = digest.Checksums[ChecksumAlgorithm.Xxh3].ToString(), Uploader = "u", Source = "u" });
            db.Instances.Add(new Instance { Path = path, FileName = name, StoreId = 1, DeletionPolicy = DeletionPolicy.Disallowed, CreatedTime = DateTime.UtcNow, Available = true });
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

        public async Task<DriveArrival> ArriveAsync()
        {
            var check = await ManifestReader.CheckAsync(Mount + "/MANIFEST.jsonl", default);
            Assert.True(check.Accepted);
            File.Copy(Mount + "/MANIFEST.jsonl", Ingest.ManifestPath(Drive.DriveId, 1));
            await using var db = Destination.Database.Open();
            var arrival = new DriveArrival { DriveId = Drive.DriveId, Trip = 1, Name = "d1", Source = "mountain", MountPath = Mount, DataPath = DriveMedium.DataPathOf(Mount), IsUpstream = false, ManifestSha256 = check.Seal.Sha256, State = DriveArrivalState.Ingesting, StateSince = DateTime.UtcNow, Files = check.Header.Files, Bytes = check.Header.Bytes };
            db.DriveArrivals.Add(arrival);
            await db.SaveChangesAsync();
            return arrival;
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
            return await db.DriveContents.Where(c => c.State == DriveContentState.Stored).OrderBy(c => c.FileName).Select(c => c.FileName).ToListAsync();
        }

        public async Task<int> CountTakenAsync(DriveArrival arrival)
        {
            await using var db = Destination.Database.Open();
            return await db.DriveArrivalFiles.CountAsync(f => f.ArrivalId == arrival.Id && f.Outcome == DriveFileOutcome.Stored);
        }

        public async Task<List<Delivery>> DeliveriesAsync(DriveArrival arrival)
        {
            await using var db = Destination.Database.Open();
            return (await db.DriveArrivalFiles.Where(f => f.ArrivalId == arrival.Id).ToListAsync()).ConvertAll(f => new Delivery(f.OutgoingTransferId, f.FileName, f.Checksum, f.StoreId, f.Message));
        }

        public void Dispose()
        {
            if (_mounted is not null) _place.Shell("umount -l archive");
            Source.Dispose();
            Destination.Dispose();
            _place.Dispose();
        }

        private static SiteOptions OptionsOf(TemporaryDirectory place, string name) => new()
        {
            Name = name,
            DataDirectory = place.MakeDirectory(name),
            Stores = [new StoreOptions { Name = "main", StagingPath = place.MakeDirectory(name + "/staging"), StorePath = place.MakeDirectory(name + "/store") }],
        };
    }

    private sealed class StatementCounter : DbCommandInterceptor
    {
        private int _count;

        public int Reset() => Interlocked.Exchange(ref _count, 0);

        public override ValueTask<InterceptionResult<DbDataReader>> ReaderExecutingAsync(DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancellationToken = default)
        {
            Interlocked.Increment(ref _count);
            return ValueTask.FromResult(result);
        }

        public override ValueTask<InterceptionResult<int>> NonQueryExecutingAsync(DbCommand command, CommandEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken = default)
        {
            Interlocked.Increment(ref _count);
            return ValueTask.FromResult(result);
        }
    }
}
