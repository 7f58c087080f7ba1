using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable;

public sealed class FencesOnPostgres(PostgresServer server) : FenceTests(new PostgresDatabase(server))
{
    [Fact]
    public async Task Turn_OnPostgres_IsOneTransactionInOneRoundTrip()
    {
        var host = await ClientAsync();
        var store = (PostgresStore)host.Store;
        var costs = new List<(long Commits, long RoundTrips, long Statements)>();
        for (var i = 0; i < 3; i++)
        {
            var claim = await ClaimAsync(host, "x");
            var before = store.Traffic;
            await host.Worker.Database.Turns.CommitAsync(Full(claim), CancellationToken.None);
            var after = store.Traffic;
            costs.Add((after.Commits - before.Commits, after.RoundTrips - before.RoundTrips, after.Statements - before.Statements));
        }

        // Instance, history, activities. What the store does on its own in between can only be more.
        Assert.Equal((1, 1, 3), costs.Min());
    }

    // Npgsql's prepared statements do not survive a failure (npgsql#6391).
    [Fact]
    public async Task Statement_ThatMissedItsRows_WorksTheNextTime()
    {
        var store = (PostgresStore)(await ClientAsync()).Store;
        await Execute("create table thing(id bigint primary key, n bigint not null)");
        await Execute("insert into thing values (1, 0)");
        var random = new Random(1);
        var hits = 0;
        for (var i = 0; i < 100; i++)
        {
            var id = random.Next(3);
            var statements = Enumerable
                .Range(0, 1 + random.Next(2))
                .Select(_ => new SqlStatement("update thing set n = n + 1 where id = @id").With("id", (long)id).Expect(1))
                .ToList();
            if (id == 1)
                hits += statements.Count;
            try
            {
                await store.ExecuteAsync(statements, CancellationToken.None);
                Assert.Equal(1, id);
            }
            catch (FenceException)
            {
                Assert.NotEqual(1, id);
            }
        }

        Assert.Equal(hits, await Count("select n from thing"));
    }
}

[Quick]
public sealed class FencesOnSqlite() : FenceTests(new SqliteDatabase());

/// <summary>
/// Each fence of a turn's transaction alone: with one row too few anywhere, nothing of the turn is written
/// (docs/spec/durable-engine.md#r1-one-transaction-per-turn, docs/spec/durable-engine.md#r2-ownership-fence).
/// </summary>
public abstract class FenceTests(TestDatabase database) : EngineTests(database)
{
    [Fact]
    public async Task Turn_InstanceOwnedByAnother_LeavesNothing()
    {
        var host = await ClientAsync();
        var claim = await ClaimAsync(host, "x");
        await Execute("update dt_instance set owner = 'another'");
        await AssertFencedAsync(host, Full(claim));
    }

    [Fact]
    public async Task Turn_InstanceClaimedAgainBySameWorker_LeavesNothing()
    {
        var host = await ClientAsync();
        var claim = await ClaimAsync(host, "x");
        await Execute("update dt_instance set claim = claim + 1");
        await AssertFencedAsync(host, Full(claim));
    }

    [Fact]
    public async Task Turn_InboxRowGone_LeavesNothing()
    {
        var host = await ClientAsync();
        var claim = await ClaimAsync(host, "x");
        var message = (await host.Worker.Database.Queries.LoadAsync(claim.InstanceId, null, CancellationToken.None)).Inbox[0].Id;
        await AssertFencedAsync(host, Full(claim) with { ConsumedMessages = [message, message + 1000] });
    }

    [Fact]
    public async Task Turn_InboxRowOfAnotherInstance_LeavesNothing()
    {
        var host = await ClientAsync();
        var claim = await ClaimAsync(host, "x");
        var other = await host.Client.ScheduleNewOrchestrationInstanceAsync("other", 0);
        var message = (await host.Worker.Database.Queries.LoadAsync(other, null, CancellationToken.None)).Inbox[0].Id;
        await AssertFencedAsync(host, Full(claim) with { ConsumedMessages = [message] });
    }

    [Theory]
    [InlineData("delete from dt_activity")]
    [InlineData("update dt_activity set owner = 'another'")]
    [InlineData("update dt_activity set owner = null")]
    [InlineData("update dt_activity set claim = claim + 1")]
    public async Task Turn_ActivityNoLongerThisClaims_LeavesNothing(string takeAway)
    {
        var host = await ClientAsync();
        var claim = await ClaimAsync(host, "x");
        await host.Worker.Database.Turns.CommitAsync(Full(claim), CancellationToken.None);
        await Execute(takeAway);
        await AssertFencedAsync(host, Full(claim, first: 1, taskId: 7) with { ConsumedResults = [new(Owned(claim), "1", null)] });
    }

    [Fact]
    public async Task Turn_HistoryHasMovedOn_LeavesNothing()
    {
        var host = await ClientAsync();
        var claim = await ClaimAsync(host, "x");
        await host.Worker.Database.Turns.CommitAsync(Full(claim), CancellationToken.None);
        // The first fences hold; only the history's key can tell.
        await AssertFencedAsync(host, Full(claim, first: 0, taskId: 7));
    }

    [Fact]
    public async Task Turn_EveryFenceHolds_IsThere()
    {
        var host = await ClientAsync();
        var claim = await ClaimAsync(host, "x");
        var message = (await host.Worker.Database.Queries.LoadAsync(claim.InstanceId, null, CancellationToken.None)).Inbox[0].Id;
        await host.Worker.Database.Turns.CommitAsync(Full(claim) with { ConsumedMessages = [message] }, CancellationToken.None);
        await host.Worker.Database.Turns.CommitAsync(
            Full(claim, first: 1, taskId: 7) with
            {
                ConsumedResults = [new(Owned(claim), "1", null)],
            },
            CancellationToken.None
        );
        Assert.Equal("7|2|0", await StateAsync());
    }

    protected async Task<EngineHost> ClientAsync() => await StartAsync(b => b.Configure(o => o.RunWorker = false));

    internal static async Task<ClaimedInstance> ClaimAsync(EngineHost host, string name)
    {
        await host.Client.ScheduleNewOrchestrationInstanceAsync(name, 0);
        return Assert.Single(
            (
                await host.Worker.Database.Queries.PollAsync(new("w", 10, TimeSpan.FromSeconds(1), [name], [], []), CancellationToken.None)
            ).Instances
        );
    }

    /// <summary>A turn that changes the instance, schedules an activity for itself and writes history.</summary>
    internal static Turn Full(ClaimedInstance claim, int first = 0, int taskId = 0)
    {
        var outcome = new TurnOutcome { Events = [HistoryEvent.TurnStarted(1)], CustomStatus = "changed" };
        var task = new ScheduledTask(taskId, "a", null, "");
        outcome.Tasks.Add(task);
        return new(claim, outcome, first, 1, [], [], Release: false) { Activities = [new ActivityRow(task, claim.Owner, 1, 1)] };
    }

    private static ClaimedActivity Owned(ClaimedInstance claim) =>
        new(claim.InstanceId, claim.Identity.ExecutionId, 0, "a", "", null, claim.Owner, 1, 1);

    private async Task AssertFencedAsync(EngineHost host, Turn turn)
    {
        await Execute("update dt_instance set custom_status = 'before'");
        var before = await StateAsync();
        await Assert.ThrowsAsync<FenceException>(() => host.Worker.Database.Turns.CommitAsync(turn, CancellationToken.None));
        Assert.Equal(before, await StateAsync());
        Assert.Equal(0, await Count("select count(*) from dt_instance where custom_status = 'changed'"));
    }

    /// <summary>Activities (sum of their task ids), history rows, messages.</summary>
    private async Task<string> StateAsync()
    {
        var activities = await Count("select coalesce(sum(task_id), 0) from dt_activity");
        var history = await Count("select count(*) from dt_history");
        var messages = await Count("select count(*) from dt_inbox");
        return $"{activities}|{history}|{messages}";
    }
}
