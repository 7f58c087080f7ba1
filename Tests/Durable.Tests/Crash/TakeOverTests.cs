using Librarian.Tests.Durable.Conformance;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class TakeOverOnPostgres(PostgresServer server) : TakeOverTests(new PostgresDatabase(server))
{
    [Scenario(93, "KillDuringActivity")]
    [Fact]
    public async Task Worker_KilledDuringActivity_WorkerOnAnotherNodeTakesOverAfterTheLease()
    {
        var client = await ClientAsync();
        var file = NewFile("go");
        var first = await StartWorkerAsync("node-a", "lease=2000");
        var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("file", file);
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the first delivery");
        var second = await StartWorkerAsync("node-b", "lease=2000");
        await KillAsync(first);
        File.Delete(file + ".started");
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the second delivery");
        await File.WriteAllTextAsync(file, "");
        Assert.Equal(2, (await EndOf(client, id)).ReadOutputAs<int>());
        await KillAsync(second);
    }
}

public sealed class TakeOverOnSqlite() : TakeOverTests(new SqliteDatabase());

/// <summary>What a killed worker was doing goes on elsewhere.</summary>
public abstract class TakeOverTests(TestDatabase database) : CrashFixture(database)
{
    /// <summary>An hour: no test outlives it.</summary>
    private const string Endless = "lease=3600000";

    [Scenario(93, "KillDuringActivity")]
    [Fact]
    public async Task Worker_KilledDuringActivity_SuccessorOnTheNodeResumesWithoutWaitingForTheLease()
    {
        var client = await ClientAsync();
        var file = NewFile("go");
        var first = await StartWorkerAsync("node-a", Endless);
        var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("file", file);
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the first delivery");
        await KillAsync(first);
        File.Delete(file + ".started");
        var second = await StartWorkerAsync("node-a", Endless);
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the second delivery");
        await File.WriteAllTextAsync(file, "");
        Assert.Equal(2, (await EndOf(client, id)).ReadOutputAs<int>());
        await KillAsync(second);
    }
}
