using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class NamesOnPostgres(PostgresServer server) : NameTests(new PostgresDatabase(server));

[Quick]
public sealed class NamesOnSqlite() : NameTests(new SqliteDatabase());

/// <summary>Names of orchestrators and activities compare without case, as Microsoft's TaskName does.</summary>
public abstract class NameTests(TestDatabase database) : EngineTests(database)
{
    [Fact]
    public async Task Start_NameInOtherCase_IsTheRegisteredOrchestrator()
    {
        var host = await StartAsync(b => Configure(b, "Greet", "SayHello", "Inner", "sAYhELLO", "iNNER"));
        var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("gREET", "Ann");
        await host.Client.RaiseEventAsync(id, "go");
        var end = await EndOf(host, id);
        Assert.Equal(("Hello Ann, inner Hello Ann", "Greet"), (end.ReadOutputAs<string>(), end.Name));
        Assert.Equal(id, Assert.Single(await Ids(host, "greeT")));
        Assert.True(host.Client.KnowsOrchestrator("GREET"));
    }

    [Fact]
    public async Task Start_WhereNobodyKnowsTheName_IsClaimedInAnyCase()
    {
        var client = await StartAsync(b => b.Configure(o => o.RunWorker = false));
        var id = await client.Client.ScheduleNewOrchestrationInstanceAsync("gREET", "Ann");
        await client.Client.RaiseEventAsync(id, "go");
        var host = await StartAsync(b => Configure(b, "Greet", "SayHello", "Inner", "sAYhELLO", "iNNER"));
        Assert.Equal("Hello Ann, inner Hello Ann", (await EndOf(host, id)).ReadOutputAs<string>());
    }

    [Fact]
    public async Task Replay_OfAHistoryInAnotherSpelling_IsNoDifference()
    {
        var before = await StartAsync(b => Configure(b, "Greet", "SayHello", "Inner", "SayHello", "Inner"));
        var id = await before.Client.ScheduleNewOrchestrationInstanceAsync("Greet", "Ann");
        await Until(async () => await Count("select count(*) from dt_instance where status = 1") == 1, "the child's end");
        await before.StopAsync();
        var after = await StartAsync(b => Configure(b, "greet", "sayhello", "inner", "SAYHELLO", "INNER"));
        await after.Client.RaiseEventAsync(id, "go");
        Assert.Equal("Hello Ann, inner Hello Ann", (await EndOf(after, id)).ReadOutputAs<string>());
    }

    private static void Configure(
        IDurableTaskWorkerBuilder builder,
        string outer,
        string activity,
        string inner,
        string calledActivity,
        string calledInner
    ) =>
        builder
            .AddOrchestratorFunc<string, string>(outer, async (c, name) =>
            {
                var said = await c.CallActivityAsync<string>(calledActivity, name);
                var child = await c.CallSubOrchestratorAsync<string>(calledInner, said);
                await c.WaitForExternalEvent<string>("GO");
                return $"{said}, {child}";
            })
            .AddOrchestratorFunc<string, string>(inner, (_, said) => Task.FromResult("inner " + said))
            .AddActivityFunc<string, string>(activity, (_, name) => Task.FromResult("Hello " + name));

    private static async Task<List<string>> Ids(EngineHost host, string name)
    {
        var ids = new List<string>();
        await foreach (var found in host.Client.GetAllInstancesAsync(new InstanceQuery { Names = [name] }))
            ids.Add(found.InstanceId);
        return ids;
    }
}
