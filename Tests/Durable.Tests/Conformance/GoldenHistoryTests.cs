using System.Runtime.CompilerServices;
using Librarian.Durable.Testing;
using Librarian.Tests.TestKit;

namespace Librarian.Tests.Durable.Conformance;

/// <summary>
/// Histories recorded by earlier versions of the engine, replayed with this one. They are in <c>Golden/</c>;
/// <c>LIBRARIAN_RECORD_HISTORIES=1</c> adds new ones beside the old (which stay: their releases are still out there).
/// </summary>
[Quick]
public sealed class GoldenHistoryTests() : EngineTests(new SqliteDatabase())
{
    public static TheoryData<string> Recorded =>
        [.. Directory.EnumerateFiles(Folder(), "*.json").Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];

    [Theory, Scenario(91, "ReplayRecordedHistories")]
    [MemberData(nameof(Recorded))]
    public async Task ReplayRecordedHistories_OfEarlierVersions_MatchTodaysEngine(string file) =>
        Assert.Null(HistoryReplayer.Check(new Everything(), await ReadAsync(file)).Difference);

    [Theory, Scenario(91, "ReplayRecordedHistories")]
    [InlineData("renamed", "history has a call of activity 'sum', the code did a call of activity 'total'")]
    [InlineData("removed", "history has a timer, the code did a sent event 'progress'")]
    [InlineData("extra", "history has a call of sub-orchestrator 'half', the code did a call of activity 'audit'")]
    [InlineData("new guid", "the code did it as instance")]
    [InlineData("output", "the end 'Completed' with output")]
    [InlineData("wait", "history has ")]
    public async Task ReplayRecordedHistories_ChangedOrchestrator_IsCaught(string change, string told)
    {
        var difference = HistoryReplayer.Check(new Everything(change), await ReadAsync("everything-1.json")).Difference;
        Assert.NotNull(difference);
        Assert.Contains("'everything'", difference, StringComparison.Ordinal);
        Assert.Contains(told, difference, StringComparison.Ordinal);
    }

    [Fact, Scenario(91, "ReplayRecordedHistories")]
    public async Task ReplayRecordedHistories_RecordedNow_MatchAfterAWayThroughJson()
    {
        var host = await StartAsync(b =>
            b.AddOrchestratorFunc<int, string>("everything", (c, n) => new Everything().RunAsync(c, n))
                .AddOrchestratorFunc<int, int>("half", async (c, n) => await c.CallActivityAsync<int>("plus", n) / 2)
                .AddOrchestratorFunc<int, int>("listener", async (c, n) => await c.WaitForExternalEvent<int>("progress") + n)
                .AddActivityFunc<int, int>("plus", (_, n) => Task.FromResult(n + 1))
                .AddActivityFunc<int[], int>("sum", (_, all) => Task.FromResult(all.Sum()))
                .AddActivityFunc<int, int>("shaky", (c, n) => n > 0 ? Task.FromResult(n) : throw new InvalidOperationException("shaky"))
                .AddActivityFunc<int, int>("broken", (_, _) => throw new InvalidOperationException("broken"))
        );
        await host.Client.ScheduleNewOrchestrationInstanceAsync("listener", 1, new StartOrchestrationOptions("everything-listener"));
        await host.Client.ScheduleNewOrchestrationInstanceAsync("everything", 0, new StartOrchestrationOptions("everything-1"));
        // One for each execution.
        await host.Client.RaiseEventAsync("everything-1", "go", 10);
        await host.Client.RaiseEventAsync("everything-1", "go", 20);
        var middle =
            "select count(*) from dt_history h join dt_instance i on i.instance_id = h.instance_id and i.execution_id = h.execution_id "
            + "where h.instance_id = 'everything-1' and h.kind = 12";
        await Until(async () => await Count(middle) == 1, "the middle of it");
        var running = await HistoryReplayer.RecordAsync(host.Client, "everything-1");
        await host.Client.RaiseEventAsync("everything-1", "end", "done");
        var end = await EndOf(host, "everything-1");
        Assert.Equal(OrchestrationRuntimeStatus.Completed, end.RuntimeStatus);
        var ended = await HistoryReplayer.RecordAsync(host.Client, "everything-1");
        foreach (
            var (file, history) in (IEnumerable<(string, RecordedHistory)>)
                [("everything-running-1.json", running), ("everything-1.json", ended)]
        )
        {
            var json = history.ToJson();
            Assert.Null(HistoryReplayer.Check(new Everything(), RecordedHistory.FromJson(json)).Difference);
            if (Environment.GetEnvironmentVariable("LIBRARIAN_RECORD_HISTORIES") == "1" && !File.Exists(Path.Combine(Folder(), file)))
                await File.WriteAllTextAsync(Path.Combine(Folder(), file), json);
        }
    }

    private static string Folder([CallerFilePath] string here = "") => Path.Combine(Path.GetDirectoryName(here)!, "..", "Golden");

    private static async Task<RecordedHistory> ReadAsync(string file) =>
        RecordedHistory.FromJson(await File.ReadAllTextAsync(Path.Combine(Folder(), file)));

    /// <summary>
    /// One of each: what it decides is recorded in the golden files and must not change. <paramref name="change"/> breaks it in one place.
    /// </summary>
    private sealed class Everything(string change = "") : TaskOrchestrator<int, string>
    {
        public override async Task<string> RunAsync(TaskOrchestrationContext context, int input)
        {
            context.SetCustomStatus($"generation {input}");
            var go = await context.WaitForExternalEvent<int>("go");
            if (input == 0)
            {
                context.ContinueAsNew(go);
                return "";
            }

            var all = await Task.WhenAll(Enumerable.Range(0, 5).Select(n => context.CallActivityAsync<int>("plus", n)));
            var sum = await context.CallActivityAsync<int>(change == "renamed" ? "total" : "sum", all);
            if (change != "removed")
                await context.CreateTimer(TimeSpan.FromMilliseconds(20), CancellationToken.None);
            context.SendEvent("everything-listener", "progress", sum);
            var first = context.NewGuid();
            if (change == "new guid")
                _ = context.NewGuid();
            if (change == "extra")
                await context.CallActivityAsync("audit");
            var halves = await Task.WhenAll(
                context.CallSubOrchestratorAsync<int>("half", sum),
                context.CallSubOrchestratorAsync<int>("half", go)
            );
            string outcome;
            try
            {
                outcome = await context.WaitForExternalEvent<string>("late", TimeSpan.FromMilliseconds(20));
            }
            catch (TaskCanceledException)
            {
                outcome = "none";
            }

            try
            {
                await context.CallActivityAsync("broken", null, TaskOptions.FromRetryPolicy(new(2, TimeSpan.FromMilliseconds(20))));
            }
            catch (TaskFailedException failure)
            {
                outcome += failure.FailureDetails.ErrorMessage;
            }

            using var cancel = new CancellationTokenSource();
            var timer = context.CreateTimer(TimeSpan.FromHours(1), cancel.Token);
#pragma warning disable LDUR0003, MA0040 // The change that the replayer is to find.
            if (change == "wait")
                await Task.Delay(TimeSpan.FromHours(1));
#pragma warning restore LDUR0003, MA0040
            var end = context.WaitForExternalEvent<string>("end");
#pragma warning disable CA1849, MA0042 // CancelAsync would leave the orchestrator's flow of control.
            if (await Task.WhenAny(timer, end) == end)
                cancel.Cancel();
#pragma warning restore CA1849, MA0042
            return $"{sum} {string.Join(',', halves)} {outcome} {await end} {first}{(change == "output" ? "!" : "")}";
        }
    }
}
