using System.Diagnostics;
using System.Runtime.InteropServices;
using Librarian.Tests.Durable.Conformance;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class ChaosOnPostgres() : ChaosTests(new OwnPostgresDatabase())
{
    [Fact, Scenario(98, "DatabaseCrashRestart")]
    public async Task Database_CrashesAgainAndAgainUnderLoad_NothingIsLostStuckOrDoubled()
    {
        var client = await ClientAsync();
        await PrepareAsync();
        var random = new Random(Seed);
        for (var i = 0; i < 2; i++)
            await StartWorkerAsync("node-" + i, "lease=3000", "deliveries=1000");
        for (var crash = 0; crash < (Long ? 20 : 8); crash++)
        {
            await AddLoadAsync(client);
            // Whatever the workers have come to by then is what the crash meets.
            await Task.Delay(random.Next(10, 400));
            await Server.StopAsync("immediate");
            // At times longer than the lease: then every worker must have given up its work by itself.
            if (crash % 7 == 3)
                await Task.Delay(4000);
            await Server.StartAsync();
        }

        await SettleAsync(client);
    }

    [Fact, Scenario(96, "ZombieWorker"), Scenario(97, "TwoWorkersOneInstance")]
    public async Task Workers_FrozenPastTheirLeaseAndContinued_ChangeNothingTheyNoLongerOwn()
    {
        var client = await ClientAsync();
        await PrepareAsync();
        var random = new Random(Seed);
        Process[] workers =
        [
            await StartWorkerAsync("node-0", "lease=2000", "deliveries=1000"),
            await StartWorkerAsync("node-1", "lease=2000", "deliveries=1000"),
        ];
        for (var freeze = 0; freeze < (Long ? 30 : 6); freeze++)
        {
            await AddLoadAsync(client);
            // Whatever it has come to by then is what it holds when its lease ends.
            await Task.Delay(random.Next(10, 300));
            var frozen = workers[freeze % 2];
            Signal(frozen, SigStop);
            // Longer than the lease.
            await Task.Delay(2600);
            Signal(frozen, SigCont);
        }

        await SettleAsync(client);
        Assert.All(workers, worker => Assert.False(worker.HasExited));
    }
}

public sealed class ChaosOnSqlite() : ChaosTests(new SqliteDatabase());

/// <summary>Several kinds of accident at once.</summary>
public abstract class ChaosTests(TestDatabase database) : CrashFixture(database)
{
    protected const int SigStop = 19;
    protected const int SigCont = 18;

    protected PostgresServer Server => ((OwnPostgresDatabase)Database).Server;

    [Fact, Scenario(104, "MixedChaos")]
    public async Task Everything_KillsFreezesAndDatabaseCrashes_NothingIsLostOrDoubled()
    {
        var client = await ClientAsync();
        await PrepareAsync();
        var random = new Random(Seed);
        var (kills, freezes, crashes) = (0, 0, 0);
        var workers = new List<Process>();
        for (var i = 0; i < (Database.IsPostgres ? 3 : 1); i++)
            workers.Add(await StartWorkerAsync("node-" + i, "lease=2000", "deliveries=1000"));
        var end =
            Stopwatch.GetTimestamp()
            + ((Long ? TimeSpan.FromMinutes(5) : TimeSpan.FromSeconds(15)).Ticks * (Stopwatch.Frequency / TimeSpan.TicksPerSecond));
        for (var step = 0; Stopwatch.GetTimestamp() < end; step++)
        {
            if (step % 4 == 0)
                await AddLoadAsync(client);
            // Accidents come at any moment.
            await Task.Delay(random.Next(10, 600));
            var victim = random.Next(workers.Count);
            switch (random.Next(Database.IsPostgres ? 8 : 6))
            {
                case < 5:
                    await KillAsync(workers[victim]);
                    workers[victim] = await StartWorkerAsync("node-" + victim, "lease=2000", "deliveries=1000");
                    kills++;
                    break;
                case 5 or 6:
                    Signal(workers[victim], SigStop);
                    // Shorter and longer than the lease.
                    await Task.Delay(random.Next(100, 3000));
                    Signal(workers[victim], SigCont);
                    freezes++;
                    break;
                default:
                    await Server.StopAsync("immediate");
                    await Server.StartAsync();
                    crashes++;
                    break;
            }
        }

        await SettleAsync(client);
        TestContext.Current.TestOutputHelper?.WriteLine($"{kills} kills, {freezes} freezes, {crashes} database crashes");
    }

    [Theory, Scenario(92, "KillAroundCommit")]
    [InlineData("claim.after-commit")]
    [InlineData("turn.before-commit")]
    [InlineData("turn.after-commit")]
    [InlineData("activity.after-run")]
    [InlineData("effect.before-commit")]
    [InlineData("effect.after-commit")]
    [InlineData("completion.before-commit")]
    [InlineData("completion.after-commit")]
    [InlineData("release.before-commit")]
    [InlineData("release.after-commit")]
    [InlineData("activity-claim.after-commit")]
    public async Task Worker_DiesAtThisPoint_TheWorkIsDoneOnce(string point)
    {
        var client = await ClientAsync();
        await PrepareAsync();
        await AddLoadAsync(client);
        for (var death = 0; death < (Long ? 10 : 1); death++)
        {
            var doomed = await StartWorkerAsync("node", "die-at=" + point, "lease=3000", "deliveries=1000");
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(2));
            // Some points are reached only in unlucky moments (a result whose instance was released); then it is an ordinary kill.
            await doomed.WaitForExitAsync(limit.Token).ContinueWith(static _ => { }, TaskScheduler.Default);
            await KillAsync(doomed);
        }

        await StartWorkerAsync("node", "lease=3000", "deliveries=1000");
        await SettleAsync(client);
    }

    [Fact, Scenario(62, "PoisonTurn"), Scenario(63, "PoisonActivity")]
    public async Task Poison_ThatKillsItsProcess_StopsAfterItsDeliveriesAndTheWorkBesideItIsDone()
    {
        var client = await ClientAsync();
        await PrepareAsync();
        // Innocents: they die with the poison again and again, and must not be taken for it.
        for (var i = 0; i < 3; i++)
            await AddLoadAsync(client);
        var activity = await client.Client.ScheduleNewOrchestrationInstanceAsync("survive", 1);
        var turn = await client.Client.ScheduleNewOrchestrationInstanceAsync("deadly", 1);
        var lives = 1;
        var worker = await StartWorkerAsync("node", "backoff=100", "lease=3000");
        await Until(
            async () =>
            {
                if (!worker.HasExited)
                    return (await client.Client.GetInstanceAsync(activity))!.IsCompleted
                        && (await client.Client.GetInstanceAsync(turn))!.IsCompleted;
                Assert.True(++lives < 100, "the poison never stopped");
                worker = Launch(await Database.ConnectionStringAsync(), "node", "backoff=100", "lease=3000");
                return false;
            },
            "the end of the poison"
        );
        Assert.Equal("Poison", (await EndOf(client, activity)).ReadOutputAs<string>());
        Assert.Equal("Poison", (await EndOf(client, turn)).FailureDetails!.ErrorType);
        // Twenty deliveries; two meet in one process only while one of them has had less than three, which is six times at most.
        Assert.True(lives >= 14, $"ten deliveries each were allowed, at least four of each alone; only {lives} processes died");
        await AddLoadAsync(client);
        await SettleAsync(client);
    }

    protected static void Signal(Process process, int signal) => Assert.Equal(0, kill(process.Id, signal));

    [DllImport("libc", SetLastError = true)]
    private static extern int kill(int process, int signal);
}

/// <summary>A server of its own, because the test crashes it; with fsync, because that is what a crash is about.</summary>
public sealed class OwnPostgresDatabase : TestDatabase
{
    private PostgresDatabase? _database;

    public PostgresServer Server { get; } = new() { Fsync = true };

    public override bool IsPostgres => true;

    public override void Use(IDurableTaskWorkerBuilder builder, string connectionString) => builder.UsePostgreSql(connectionString);

    public override void Use(IDurableTaskClientBuilder builder, string connectionString) => builder.UsePostgreSql(connectionString);

    public override System.Data.Common.DbConnection Connect(string connectionString) => new Npgsql.NpgsqlConnection(connectionString);

    protected override async Task<string> CreateAsync()
    {
        await ((IAsyncLifetime)Server).InitializeAsync();
        _database = new PostgresDatabase(Server);
        return await _database.ConnectionStringAsync();
    }

    public override ValueTask DisposeAsync() => Server.DisposeAsync();
}
