using System.Diagnostics;
using System.Runtime.CompilerServices;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Drives;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Repair;
using Librarian.Tests.TestKit;
using Microsoft.DurableTask;
using Microsoft.DurableTask.Client;

namespace Librarian.Tests.Durable.Reference;

/// <summary>
/// What is asked of an engine, through Microsoft's client alone. An answer names no random ids and no times. Not asked is what Microsoft's
/// test engine does not have (rewind, history, paging beyond the first page) or does not survive (an event for an unknown instance).
/// </summary>
internal static class Scenarios
{
    /// <summary>How long an instance is watched that is not expected to go on.</summary>
    private static readonly TimeSpan WatchTime = TimeSpan.FromSeconds(15);

    /// <summary>The same of one that is, in this flow of a test: then only a hang takes so long.</summary>
    private static readonly AsyncLocal<bool> GoesOn = new();

    private static TimeSpan AnswerTimeout => GoesOn.Value ? Wait.Limit : WatchTime;

    /// <summary>
    /// How long nothing must change: neither engine says that it has ignored a message, and Microsoft's has no virtual clock.
    /// </summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(500);

    public static IReadOnlyDictionary<string, Func<DurableTaskClient, Task<string>>> All { get; } =
        new Dictionary<string, Func<DurableTaskClient, Task<string>>>(StringComparer.Ordinal)
        {
            ["activity-chain"] = c => RunAsync(c, "Chain", 1),
            ["activity-fan-out"] = c => RunAsync(c, "Fan", 20),
            ["activity-unknown"] = c => WatchAsync(c, "CallOnly", "NoSuchActivity"),
            ["activity-name-in-other-case"] = c => RunAsync(c, "CallOnly", "bREAK"),
            ["timer"] = c => RunAsync(c, "Sleep", 300),
            ["timer-in-the-past"] = c => RunAsync(c, "Sleep", -5000),
            ["timer-cancelled"] = c => RunAsync(c, "CancelTimer"),
            ["input-null"] = c => RunAsync(c, "Echo"),
            ["input-text"] = c => RunAsync(c, "Echo", "hello"),
            ["input-of-another-type"] = c => RunAsync(c, "Chain", "no number"),
            ["output-null"] = c => RunAsync(c, "ReturnNull"),
            ["result-null-as-number"] = c => RunAsync(c, "NullAsNumber"),
            ["orchestrator-unknown"] = c => WatchAsync(c, "NoSuchOrchestrator"),
            ["orchestrator-name-in-other-case"] = c => RunAsync(c, "cHAIN", 1),
            ["context-facts"] = c => RunAsync(c, "Facts", "x"),
            ["context-guids"] = c => RunAsync(c, "Guids"),
            ["custom-status"] = c => RunAsync(c, "CustomStatus"),
            ["child"] = c => RunAsync(c, "Parent", "Chain"),
            ["child-in-other-case"] = c => RunAsync(c, "Parent", "chAIN"),
            ["child-fails"] = c => RunAsync(c, "CatchChild", "Throw"),
            ["child-fails-with-its-activity"] = c => RunAsync(c, "CatchChild", "CallBreak"),
            ["child-fails-uncaught"] = c => RunAsync(c, "Parent", "Throw"),
            ["child-late-loser"] = LateLoserAsync,
            ["child-terminated"] = ChildTerminatedAsync,
            ["child-id-in-use"] = ChildIdInUseAsync,
            ["failure-of-activity"] = c => RunAsync(c, "CatchActivity"),
            ["failure-of-activity-uncaught"] = c => RunAsync(c, "CallBreak"),
            ["failure-of-orchestrator"] = c => RunAsync(c, "Throw"),
            ["failure-inner-exception"] = c => RunAsync(c, "InnerException"),
            ["failure-output"] = async c =>
                (await EndAsync(c, await c.ScheduleNewOrchestrationInstanceAsync("Throw"))).SerializedOutput ?? "none",
            ["failure-properties"] = async c =>
                string.Join(
                    ", ",
                    (await EndAsync(c, await c.ScheduleNewOrchestrationInstanceAsync("Throw")))
                        .FailureDetails!.Properties?.Select(p => $"{p.Key} {p.Value}")
                        .DefaultIfEmpty("none")
                        ?? ["none"]
                ),
            ["retry-succeeds"] = c => RunAsync(c, "Retry", 3),
            ["retry-exhausted"] = c => RunAsync(c, "Retry", 99),
            ["retry-filter"] = c => RunAsync(c, "RetryFilter"),
            ["retry-handler"] = c => RunAsync(c, "RetryHandler"),
            ["event-order-and-case"] = async c => await EventsAsync(c, "InOrder", 5, ["A", "a", "A", "a", "A"]),
            ["event-newest-waiter-first"] = TwoWaitersAsync,
            ["event-timeout"] = c => RunAsync(c, "EventTimeout"),
            ["event-sent-by-orchestrator"] = SendEventAsync,
            ["generations-keep-events"] = async c => await EventsAsync(c, "Collect", "", ["n", "n", "n", "n", "n", "n"]),
            ["generations-count"] = c => RunAsync(c, "CountUp", 0),
            ["generations-status"] = c => RunAsync(c, "StatusOfTheFirst", 0),
            ["generations-open-activity"] = c => RunAsync(c, "OpenActivity", 0),
            ["generations-then-throw"] = c => RunAsync(c, "ThrowAfter", 0),
            ["start-at"] = StartAtAsync,
            ["start-with-tags"] = async c =>
                string.Join(
                    ',',
                    (
                        await EndAsync(
                            c,
                            await c.ScheduleNewOrchestrationInstanceAsync(
                                "Chain",
                                1,
                                new StartOrchestrationOptions
                                {
                                    Tags = new Dictionary<string, string>(StringComparer.Ordinal) { ["key"] = "value" },
                                }
                            )
                        )
                    ).Tags
                ),
            ["start-over-completed"] = c => StartTwiceAsync(c, new StartOrchestrationOptions(NewId())),
            ["start-over-completed-deduped"] = c =>
                StartTwiceAsync(c, new StartOrchestrationOptions(NewId()).WithDedupeStatuses(OrchestrationRuntimeStatus.Completed)),
            ["start-over-running"] = StartOverRunningAsync,
            ["version-with-code-of-its-own"] = c => RunAsync(c, "Versioned", null, new StartOrchestrationOptions { Version = "2" }),
            ["version-none"] = c => RunAsync(c, "Versioned"),
            ["version-without-code"] = c => WatchAsync(c, "Versioned", null, new StartOrchestrationOptions { Version = "9" }),
            ["suspend-and-resume"] = SuspendAsync,
            ["suspend-finished"] = async c =>
            {
                var id = await EndedAsync(c);
                await c.SuspendInstanceAsync(id);
                await Task.Delay(Quiet);
                return await StatusAsync(c, id);
            },
            ["terminate"] = async c =>
            {
                var id = await WaitingAsync(c);
                await c.TerminateInstanceAsync(id, (object)new { Why = "enough" });
                return Show(await EndAsync(c, id));
            },
            ["terminate-with-children"] = c => TerminateParentAsync(c, recursive: true),
            ["terminate-without-children"] = c => TerminateParentAsync(c, recursive: false),
            ["purge"] = async c =>
            {
                var id = await EndedAsync(c);
                var purged = await c.PurgeInstanceAsync(id);
                var status = await StatusAsync(c, id);
                var unknown = await c.PurgeInstanceAsync(NewId());
                return $"{purged.PurgedInstanceCount}, then {status}; unknown {unknown.PurgedInstanceCount}";
            },
            ["restart-with-new-id"] = async c =>
            {
                var id = await EndedAsync(c);
                var again = await c.RestartAsync(id, restartWithNewInstanceId: true);
                return $"same id {again == id}, {Show(await EndAsync(c, again))}";
            },
            ["get-unknown"] = async c => await StatusAsync(c, NewId()),
            ["get-without-data"] = async c => (await c.GetInstanceAsync(await EndedAsync(c)))!.SerializedOutput ?? "none",
            ["wait-for-unknown"] = WaitForUnknownAsync,
            ["workflow-send-clone"] = async c =>
            {
                var id = await c.ScheduleNewOrchestrationInstanceAsync(nameof(SendClone), new SendCloneInput(1, "archive"));
                await UntilAsync(async () =>
                    (await c.GetInstanceAsync(id, true))?.ReadCustomStatusAs<SendCloneStatus>()?.Stage == nameof(AnnounceStaged)
                );
                await c.RaiseEventAsync(id, SendClone.SettledEvent);
                return Show(await EndAsync(c, id));
            },
            ["workflow-ingest-staged"] = c => RunAsync(c, nameof(IngestStaged), new IngestInput(1, DeletionPolicy.Disallowed)),
            ["workflow-ingest-round"] = c => RunAsync(c, nameof(IngestRound), new IngestRoundInput([1, 2], DeletionPolicy.Disallowed)),
            ["workflow-tell-source"] = c => RunAsync(c, NotifySource.TaskName, new NotifySourceInput("mountain")),
            ["workflow-repair-copy"] = c => RunAsync(c, nameof(RepairCopy), new RepairInput(1)),
            ["workflow-drive-trip"] = c => RunAsync(c, nameof(DriveTrip), new DriveTripInput(1, "drive")),
            ["workflow-ingest-drive"] = c => RunAsync(c, nameof(IngestDrive), new IncomingDriveInput(1)),
        };

    /// <summary>Asks an engine of which this answer is expected, or none in particular.</summary>
    public static async Task<string> AnswerAsync(DurableTaskClient client, string name, string? expected)
    {
        GoesOn.Value =
            expected is not null
            && !expected.Contains("waits", StringComparison.Ordinal)
            && !expected.Contains("Running", StringComparison.Ordinal);
        return await All[name](client);
    }

    private static string NewId() => Guid.NewGuid().ToString("N");

    private static async Task<OrchestrationMetadata> EndAsync(DurableTaskClient client, string id)
    {
        using var limit = new CancellationTokenSource(Wait.Limit);
        return await client.WaitForInstanceCompletionAsync(id, getInputsAndOutputs: true, limit.Token);
    }

    private static async Task<string> RunAsync(
        DurableTaskClient client,
        string name,
        object? input = null,
        StartOrchestrationOptions? options = null
    ) => Show(await EndAsync(client, await client.ScheduleNewOrchestrationInstanceAsync(name, input, options)));

    /// <summary>How an instance ends (of a failure the types), or that it does not within <see cref="AnswerTimeout"/>.</summary>
    private static async Task<string> WatchAsync(
        DurableTaskClient client,
        string name,
        object? input = null,
        StartOrchestrationOptions? options = null
    )
    {
        var id = await client.ScheduleNewOrchestrationInstanceAsync(name, input, options);
        using var limit = new CancellationTokenSource(AnswerTimeout);
        try
        {
            var end = await client.WaitForInstanceCompletionAsync(id, getInputsAndOutputs: true, limit.Token);
            return end.FailureDetails is null ? Show(end) : $"{end.RuntimeStatus} {Tasks.Types(end.FailureDetails)}";
        }
        catch (Exception) when (limit.IsCancellationRequested)
        {
            // Whether it counts as running or as pending while it waits for somebody who knows its task says nothing.
            return "waits";
        }
    }

    private static string Show(OrchestrationMetadata instance) =>
        instance.FailureDetails is { } failure
            ? $"{instance.RuntimeStatus} {Tasks.Show(failure)}"
            : $"{instance.RuntimeStatus} {instance.SerializedOutput ?? "nothing"}"
                + (instance.SerializedCustomStatus is { } status ? $", status {status}" : "");

    private static async Task<string> StatusAsync(DurableTaskClient client, string id) =>
        (await client.GetInstanceAsync(id))?.RuntimeStatus.ToString() ?? "unknown";

    /// <summary>The first status other than Running, or Running when the instance keeps it for <see cref="AnswerTimeout"/>.</summary>
    private static async Task<string> NextStatusAsync(DurableTaskClient client, string id)
    {
        for (var watched = Stopwatch.StartNew(); ; await Task.Delay(100))
        {
            var status = await StatusAsync(client, id);
            if (status != "Running" || watched.Elapsed >= AnswerTimeout)
                return status;
        }
    }

    private static Task UntilAsync(Func<Task<bool>> condition, [CallerArgumentExpression(nameof(condition))] string what = "") =>
        Wait.UntilAsync(condition, what);

    private static Task UpAsync(DurableTaskClient client, string id, string status = "\"up\"") =>
        UntilAsync(async () => (await client.GetInstanceAsync(id, getInputsAndOutputs: true))?.SerializedCustomStatus == status);

    private static async Task<string> WaitingAsync(DurableTaskClient client, string? id = null)
    {
        id = await client.ScheduleNewOrchestrationInstanceAsync("WaitGo", null, new StartOrchestrationOptions(id ?? NewId()));
        await UpAsync(client, id);
        return id;
    }

    private static async Task<string> EndedAsync(DurableTaskClient client)
    {
        var id = await client.ScheduleNewOrchestrationInstanceAsync("Chain", 1);
        await EndAsync(client, id);
        return id;
    }

    private static async Task<string> EventsAsync(DurableTaskClient client, string name, object input, string[] events)
    {
        var id = await client.ScheduleNewOrchestrationInstanceAsync(name, input);
        for (var i = 0; i < events.Length; i++)
            await client.RaiseEventAsync(id, events[i], i);
        return Show(await EndAsync(client, id));
    }

    /// <summary>A parent that needs no more than the faster of its two tasks.</summary>
    private static async Task<string> LateLoserAsync(DurableTaskClient client)
    {
        var child = NewId();
        var parent = await client.ScheduleNewOrchestrationInstanceAsync("LateLoser", child);
        await UpAsync(client, child);
        var meanwhile = await NextStatusAsync(client, parent);
        await client.RaiseEventAsync(child, "go", 5);
        await EndAsync(client, child);
        return $"{meanwhile}, then {Show(await EndAsync(client, parent))}";
    }

    private static async Task<string> TwoWaitersAsync(DurableTaskClient client)
    {
        var id = await client.ScheduleNewOrchestrationInstanceAsync("TwoWaiters");
        await UpAsync(client, id);
        await client.RaiseEventAsync(id, "E", "first");
        await UpAsync(client, id, "\"one\"");
        await client.RaiseEventAsync(id, "E", "second");
        return Show(await EndAsync(client, id));
    }

    private static async Task<string> SendEventAsync(DurableTaskClient client)
    {
        var id = await WaitingAsync(client);
        await client.ScheduleNewOrchestrationInstanceAsync("Send", id);
        return Show(await EndAsync(client, id));
    }

    private static async Task<string> StartAtAsync(DurableTaskClient client)
    {
        var id = await client.ScheduleNewOrchestrationInstanceAsync(
            "Chain",
            1,
            new StartOrchestrationOptions(StartAt: DateTimeOffset.UtcNow.AddSeconds(20))
        );
        return $"{await StatusAsync(client, id)}, then {Show(await EndAsync(client, id))}";
    }

    private static async Task<string> StartTwiceAsync(DurableTaskClient client, StartOrchestrationOptions options)
    {
        var id = await client.ScheduleNewOrchestrationInstanceAsync("Chain", 1, options);
        await EndAsync(client, id);
        try
        {
            await client.ScheduleNewOrchestrationInstanceAsync("Chain", 100, options);
        }
        catch (Exception refused) when (refused is not OutOfMemoryException)
        {
            return refused.GetType().FullName!;
        }

        return Show(await EndAsync(client, id));
    }

    private static async Task<string> StartOverRunningAsync(DurableTaskClient client)
    {
        var id = await WaitingAsync(client);
        try
        {
            await client.ScheduleNewOrchestrationInstanceAsync("Chain", 1, new StartOrchestrationOptions(id));
            return "accepted";
        }
        catch (Exception refused) when (refused is not OutOfMemoryException)
        {
            return refused.GetType().FullName!;
        }
    }

    private static async Task<string> SuspendAsync(DurableTaskClient client)
    {
        var id = await WaitingAsync(client);
        await client.SuspendInstanceAsync(id, "why");
        await UntilAsync(async () => await StatusAsync(client, id) == "Suspended");
        await client.RaiseEventAsync(id, "go", 5);
        await Task.Delay(Quiet);
        var meanwhile = await StatusAsync(client, id);
        await client.ResumeInstanceAsync(id, "now");
        return $"{meanwhile}, then {Show(await EndAsync(client, id))}";
    }

    private static async Task<(string Parent, string Child)> FamilyAsync(DurableTaskClient client)
    {
        var child = NewId();
        var parent = await client.ScheduleNewOrchestrationInstanceAsync("ParentOf", child);
        await UpAsync(client, child);
        return (parent, child);
    }

    private static async Task<string> ChildTerminatedAsync(DurableTaskClient client)
    {
        var (parent, child) = await FamilyAsync(client);
        await client.TerminateInstanceAsync(child, (object)"bye");
        return Show(await EndAsync(client, parent));
    }

    private static async Task<string> ChildIdInUseAsync(DurableTaskClient client)
    {
        var taken = await WaitingAsync(client);
        return await WatchAsync(client, "ParentOf", taken);
    }

    private static async Task<string> TerminateParentAsync(DurableTaskClient client, bool recursive)
    {
        var (parent, child) = await FamilyAsync(client);
        await client.TerminateInstanceAsync(parent, new TerminateInstanceOptions("out", recursive));
        await EndAsync(client, parent);
        return $"{await StatusAsync(client, parent)}, child {await NextStatusAsync(client, child)}";
    }

    private static async Task<string> WaitForUnknownAsync(DurableTaskClient client)
    {
        using var limit = new CancellationTokenSource(GoesOn.Value ? Wait.Limit : TimeSpan.FromSeconds(5));
        try
        {
            return Show(await client.WaitForInstanceCompletionAsync(NewId(), limit.Token));
        }
        catch (Exception) when (limit.IsCancellationRequested)
        {
            return "waits";
        }
        catch (Exception refused) when (refused is not OutOfMemoryException)
        {
            return refused.GetType().Name;
        }
    }
}
