using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Repair;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable.Upgrade;

public sealed class UpgradeOnPostgres(PostgresServer server) : UpgradeTests(() => new PostgresDatabase(server));

public sealed class UpgradeOnSqlite() : UpgradeTests(() => new SqliteDatabase());

/// <summary>Instances that an earlier build has started are finished by this one, on the same tables (README.md).</summary>
public abstract class UpgradeTests(Func<TestDatabase> create) : EngineTests(create())
{
    private static readonly string[] Listening = ["event", "event-kept", "child", "suspended"];

    public static TheoryData<string> Fixtures => [.. Fixture.Names];

    [Theory]
    [MemberData(nameof(Fixtures))]
    public async Task Start_OnTheTablesOfAnEarlierBuild_FinishesWhatThatHasStarted(string name)
    {
        await Fixture.LoadAsync(Database, Fixture.Folder, name);
        await FinishAsync(wasKilled: name.EndsWith("-killed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Start_OnTheTablesOfThisBuild_FinishesWhatThatHasStarted()
    {
        // What makes the next release's fixtures is tried with every build; the variable keeps them (README.md).
        var recorded = Environment.GetEnvironmentVariable("LIBRARIAN_RECORD_FIXTURES");
        var folder = recorded is null ? Scratch.CreateSubdirectory("librarian-fixtures-") : Fixture.Folder;
        try
        {
            var maker = new FixtureMaker(create());
            await using (maker)
                await maker.MakeAsync(folder, recorded ?? "this");
            await Fixture.LoadAsync(Database, folder, (recorded ?? "this") + "-killed");
            await FinishAsync(wasKilled: true);
        }
        finally
        {
            if (recorded is null)
                Directory.Delete(folder, recursive: true);
        }
    }

    private async Task FinishAsync(bool wasKilled)
    {
        // The upgrade has taken an hour.
        await Fixture.MoveAsync(Database, DateTimeOffset.UtcNow - TimeSpan.FromHours(1) - await Fixture.MadeAtAsync(Database));
        var workflows = new Workflows(making: false);
        var host = await StartAsync(workflows.AddTo);
        await AssertKnownAsync(host);

        await SendEventsAsync(host);
        await AssertEndsAsync(host, wasKilled);
        Assert.Equal(OrchestrationRuntimeStatus.Running, (await host.Client.GetInstanceAsync("timer-far"))!.RuntimeStatus);
        Assert.Equal(OrchestrationRuntimeStatus.Pending, (await host.Client.GetInstanceAsync("later"))!.RuntimeStatus);
        // It lingers for a moment after it has told all.
        await Until(
            async () => await StatusAsync<NotifyStep>(host, "tell-north") is { Outcome: NotifyOutcome.Done },
            "the last pause of tell"
        );
        await host.StopAsync();

        await Fixture.MoveAsync(Database, TimeSpan.FromHours(-10));
        var second = await StartAsync(workflows.AddTo);
        await EndsAsync(second, "timer-far", "slept 600");
        await EndsAsync(second, "later", 5);
        await EndsAsync(second, "tell-north", "told north");
        await AssertInvariantsAsync(second);
    }

    /// <summary>What had ended is read as it was stored, and what waits is still known by its labels and its status.</summary>
    private static async Task AssertKnownAsync(EngineHost host)
    {
        await EndsAsync(host, "completed", 21);
        Assert.Equal(OrchestrationRuntimeStatus.Terminated, (await EndOf(host, "terminated")).RuntimeStatus);
        var failed = await EndOf(host, "failed-for-good");
        Assert.Equal(OrchestrationRuntimeStatus.Failed, failed.RuntimeStatus);
        Assert.Equal(typeof(TaskFailedException).FullName, failed.FailureDetails!.ErrorType);
        var inner = failed.FailureDetails.InnerFailure!;
        Assert.Equal((typeof(InvalidOperationException).FullName, "out of order"), (inner.ErrorType, inner.ErrorMessage));
        Assert.Equal((typeof(IOException).FullName, "deep"), (inner.InnerFailure!.ErrorType, inner.InnerFailure.ErrorMessage));
        Assert.True(inner.IsCausedBy<SystemException>());
        var versioned = (await host.Client.GetDetailsAsync("versioned"))!;
        Assert.Equal("1.2", versioned.Version);
        var labelled = (await host.Client.GetInstanceAsync("versioned", getInputsAndOutputs: true))!;
        Assert.Equal("old 'build'", labelled.Tags["kind"]);
        Assert.Equal(OrchestrationRuntimeStatus.Suspended, (await host.Client.GetInstanceAsync("suspended"))!.RuntimeStatus);
        foreach (var id in Listening.Except(["suspended"]))
            Assert.Equal("waits", await StatusAsync<string>(host, id));
        Assert.Equal(3, (await StatusAsync<SendCloneStatus>(host, SendClone.InstanceId(Workflows.SentBatch)))!.Remaining);
    }

    private static async Task SendEventsAsync(EngineHost host)
    {
        var client = host.Client;
        await client.ResumeInstanceAsync("suspended");
        foreach (var id in Listening)
        {
            if (id != "suspended")
                await client.RaiseEventAsync(id, "first", "one");
            if (id != "event-kept")
                await client.RaiseEventAsync(id, "second", "two");
        }

        await client.RaiseEventAsync("timeout", "go", "in time");
        await client.RaiseEventAsync("versioned", "go", "gone");
        await client.RaiseEventAsync("eternal", "next", "c");
        await client.RaiseEventAsync("eternal", "next", "end");
        await client.RaiseEventAsync(SendClone.InstanceId(Workflows.SentBatch), SendClone.SettledEvent, null);
        await client.RewindInstanceAsync("failed", "the activity is mended");
    }

    private async Task AssertEndsAsync(EngineHost host, bool wasKilled)
    {
        await EndsAsync(host, "timer-near", "slept 30");
        await EndsAsync(host, "timeout", "in time");
        await EndsAsync(host, "event", "event one two");
        await EndsAsync(host, "event-kept", "kept one early");
        await EndsAsync(host, "suspended", "suspended kept while suspended two");
        await EndsAsync(host, "child", "child one two");
        Assert.Matches("^4 child one two [0-9a-f-]{36}$", await OutputAsync<string>(host, "parent"));
        await EndsAsync(host, "eternal", "3 end");
        await EndsAsync(host, "queued", "far 3, delivery 1");
        // A worker that was told to stop has taken its delivery back.
        await EndsAsync(host, "busy", wasKilled ? "done 4, delivery 2" : "done 4, delivery 1");
        await EndsAsync(host, "retry", "mended 5");
        await EndsAsync(host, "retry-child", "mended 6");
        await EndsAsync(host, "local", Enumerable.Range(0, Workflows.Warm + 2).Sum());
        await EndsAsync(host, "failed", "mended 8");
        await EndsAsync(host, "versioned", "gone as 1.2");
        await EndsAsync(host, SendClone.InstanceId(Workflows.AwayBatch), "sent 1 to archive");
        await EndsAsync(host, SendClone.InstanceId(Workflows.SentBatch), "sent 2 to archive");
        Assert.Equal("file 7 Allowed", (await OutputAsync<IngestResult>(host, IncomingWorkflows.InstanceId(7)))!.FileName);
        await EndsAsync(host, RepairCopy.InstanceId(5), "repaired 5");
        // No step of it has ended twice.
        Assert.Equal(Workflows.Warm + 2, await Count("select count(*) from dt_history where instance_id = 'local' and kind = 4"));
    }

    private static async Task<T?> StatusAsync<T>(EngineHost host, string id) =>
        (await host.Client.GetInstanceAsync(id, getInputsAndOutputs: true))!.ReadCustomStatusAs<T>();

    private static async Task EndsAsync<T>(EngineHost host, string id, T output) =>
        Assert.Equal((id, output), (id, await OutputAsync<T>(host, id)));

    private static async Task<T?> OutputAsync<T>(EngineHost host, string id)
    {
        var end = await EndOf(host, id);
        Assert.True(end.RuntimeStatus == OrchestrationRuntimeStatus.Completed, $"{id} {end.RuntimeStatus}: {end.FailureDetails}");
        return end.ReadOutputAs<T>();
    }
}
