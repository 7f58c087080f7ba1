using Librarian.Tests.Durable.Conformance;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class OneWorkerKilledOnSqlite() : RandomKillTests(new SqliteDatabase(), workers: 1, kills: 14);

public sealed class OneWorkerKilledOnPostgres(PostgresServer server) : RandomKillTests(new PostgresDatabase(server), workers: 1, kills: 12);

public sealed class TwoWorkersKilledOnPostgres(PostgresServer server)
    : RandomKillTests(new PostgresDatabase(server), workers: 2, kills: 15);

public sealed class FourWorkersKilledOnPostgres(PostgresServer server)
    : RandomKillTests(new PostgresDatabase(server), workers: 4, kills: 24);

/// <summary>
/// SIGKILL at random, 10 ms to 2 s after the start, again and again: 65 kills in all, 32 times as many with <c>./test --long</c>.
/// </summary>
public abstract class RandomKillTests(TestDatabase database, int workers, int kills) : CrashFixture(database)
{
    [Fact, Scenario(101, "TransactionalActivity")]
    public async Task Workers_KilledAtRandom_EveryAnswerIsRightAndEveryEffectOnce()
    {
        var client = await ClientAsync();
        await PrepareAsync();
        // Where a start takes longer than most lives, innocent work can die ten times in a row; what poison is, ChaosTests ask.
        // One life in five is under a new node name: then no successor may use the node's own take-over, and the lease must end.
        var died = await KillAtRandomAsync(
            client,
            workers,
            Long ? kills * 32 : kills,
            random => Database.IsPostgres && random.Next(5) == 0 ? "-" + random.Next() : "",
            "lease=3000",
            "deliveries=1000"
        );
        for (var i = 0; i < workers; i++)
            await StartWorkerAsync("last-" + i, "lease=3000", "deliveries=1000");
        await SettleAsync(client);
        TestContext.Current.TestOutputHelper?.WriteLine($"{died} kills of {workers} workers");
    }
}
