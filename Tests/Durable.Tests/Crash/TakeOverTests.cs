using System.Diagnostics;
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

/// <summary>What a killed worker was doing goes on elsewhere, and how soon.</summary>
public abstract class TakeOverTests(TestDatabase database) : CrashRig(database)
{
    [Scenario(93, "KillDuringActivity")]
    [Fact]
    public async Task Worker_KilledDuringActivity_SuccessorOnTheNodeResumesLongBeforeTheLeaseEnds()
    {
        var client = await ClientAsync();
        var file = NewFile("go");
        var first = await StartWorkerAsync("node-a");
        var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("file", file);
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the first delivery");
        await KillAsync(first);
        File.Delete(file + ".started");
        var second = await StartWorkerAsync("node-a");
        var since = Stopwatch.StartNew();
        await Until(() => Task.FromResult(File.Exists(file + ".started")), "the second delivery");
        // The lease is 12 s; what is measured here is the node's own take-over.
        Assert.True(since.Elapsed < TimeSpan.FromSeconds(4), $"took {since.Elapsed}");
        await File.WriteAllTextAsync(file, "");
        Assert.Equal(2, (await EndOf(client, id)).ReadOutputAs<int>());
        await KillAsync(second);
    }
}
