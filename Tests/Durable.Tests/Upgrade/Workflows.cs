using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Repair;

namespace Librarian.Tests.Durable.Upgrade;

/// <summary>
/// Tasks of the fixtures, for the build that makes one and for the build that finishes it. The orchestrators are as fixed as the fixtures
/// are: histories hold what they decided. What an activity does may differ: while a fixture is made, it hangs or fails where an instance
/// is to be caught in the middle.
/// </summary>
public sealed class Workflows(bool making)
{
    /// <summary>
    /// Steps that come first: the engine of c59799f then took the next for quick, and it had no row
    /// (<see cref="Librarian.Durable.Stores.RecoveryMarker"/>).
    /// </summary>
    public const int Warm = 5;

    /// <summary>The batch that waits for its peer, and the one whose files are all there.</summary>
    public const int AwayBatch = 1,
        SentBatch = 2;

    private readonly TaskCompletionSource _local = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _busy = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>While a fixture is made: the activities that hang do so.</summary>
    public Task Hanging => Task.WhenAll(_local.Task, _busy.Task);

    /// <summary>Registers all of them.</summary>
    public void AddTo(IDurableTaskWorkerBuilder worker)
    {
        worker.Configure(options => options.Queues[Queues.StagedFiles] = 1);
        // Nobody serves it while the fixture is made, so that its activity is scheduled and does not run.
        if (!making)
            worker.Configure(options => options.Queues["later"] = 1);
        AddOrchestrators(worker);
        AddActivities(worker);
        AddProduct(worker);
    }

    private static void AddOrchestrators(IDurableTaskWorkerBuilder worker) =>
        worker
            .AddOrchestratorFunc<int, string>("sleeper", async (context, minutes) =>
            {
                await context.CreateTimer(TimeSpan.FromMinutes(minutes), CancellationToken.None);
                return await context.CallActivityAsync<string>("greet", minutes);
            })
            .AddOrchestratorFunc<string, string>("listener", async (context, name) =>
            {
                context.SetCustomStatus("waits");
                var first = await context.WaitForExternalEvent<string>("first");
                var second = await context.WaitForExternalEvent<string>("second");
                return $"{name} {first} {second}";
            })
            .AddOrchestratorFunc<int, string>("patient", (context, minutes) =>
                context.WaitForExternalEvent<string>("go", TimeSpan.FromMinutes(minutes))
            )
            .AddOrchestratorFunc<int, string>("queued", (context, input) =>
                context.CallActivityAsync<string>("far", input, new ActivityOptions { Queue = "later" })
            )
            .AddOrchestratorFunc<int, string>("busy", (context, input) => context.CallActivityAsync<string>("hang", input))
            .AddOrchestratorFunc<int, string>("retrier", (context, input) =>
                context.CallActivityAsync<string>("shaky", input, TaskOptions.FromRetryPolicy(new(3, TimeSpan.FromMinutes(30))))
            )
            .AddOrchestratorFunc<int, string>("fragile", (context, input) => context.CallActivityAsync<string>("shaky", input))
            .AddOrchestratorFunc<int, string>("guardian", (context, input) =>
                context.CallSubOrchestratorAsync<string>("fragile", input, TaskOptions.FromRetryPolicy(new(3, TimeSpan.FromMinutes(30))))
            )
            .AddOrchestratorFunc<int, string>("parent", async (context, input) =>
            {
                var quick = context.CallSubOrchestratorAsync<int>("half", input);
                var slow = context.CallSubOrchestratorAsync<string>("listener", "child", new TaskOptions().WithInstanceId("child"));
                return $"{await quick} {await slow} {context.NewGuid()}";
            })
            .AddOrchestratorFunc<int, int>("half", async (context, input) => await context.CallActivityAsync<int>("plus", input) / 2)
            .AddOrchestratorFunc<int, string>("eternal", async (context, generation) =>
            {
                context.SetCustomStatus($"generation {generation}");
                var next = await context.WaitForExternalEvent<string>("next");
                if (next != "end")
                    context.ContinueAsNew(generation + 1);
                return $"{generation} {next}";
            })
            .AddOrchestratorFunc<int, int>("steps", async (context, steps) =>
            {
                var sum = 0;
                for (var i = 0; i < steps; i++)
                    sum += await context.CallActivityAsync<int>("step", i);
                return sum;
            })
            .AddOrchestratorFunc<int, string>("versioned", async (context, _) =>
                await context.WaitForExternalEvent<string>("go") + " anyhow"
            )
            .AddOrchestratorFunc<int, string>(
                "versioned",
                async (context, _) => await context.WaitForExternalEvent<string>("go") + " as 1.2",
                "1.2"
            );

    private void AddActivities(IDurableTaskWorkerBuilder worker) =>
        worker
            .AddActivityFunc<int, int>("plus", (_, n) => Task.FromResult(n + 1))
            .AddActivityFunc<int, string>("greet", (_, minutes) => Task.FromResult($"slept {minutes}"))
            .AddActivityFunc<int, string>("far", (context, input) => Task.FromResult($"far {input}, delivery {context.DeliveryCount}"))
            .AddActivityFunc<int, string>("shaky", (_, input) =>
                making ? throw new InvalidOperationException("out of order", new IOException("deep")) : Task.FromResult($"mended {input}")
            )
            .AddActivityFunc<int, string>("hang", async (context, input) =>
            {
                if (!making)
                    return $"done {input}, delivery {context.DeliveryCount}";
                // Asks for a row.
                context.Heartbeat("half");
                await HangAsync(_busy, context.CancellationToken);
                return "";
            })
            .AddActivityFunc<int, int>("step", async (context, step) =>
            {
                if (making && step == Warm)
                    await HangAsync(_local, context.CancellationToken);
                return step;
            });

    /// <summary>The product's own, which wait for a peer or a disk; their activities say what the catalog would.</summary>
    private void AddProduct(IDurableTaskWorkerBuilder worker)
    {
        string[] stages = [nameof(StageBatch), nameof(AnnounceOngoing), nameof(CopyBatch), nameof(AnnounceStaged), nameof(ReviewBatch)];
        worker.AddOrchestrator<SendClone>().AddOrchestrator<IngestStaged>().AddOrchestrator<NotifySource>().AddOrchestrator<RepairCopy>();
        foreach (var stage in stages)
        {
            worker.AddActivityFunc<SendCloneInput, BatchStep>(stage, (_, input) =>
                Task.FromResult(
                    making && input.QueueId == AwayBatch
                        ? new BatchStep(StepOutcome.Wait, "It is away.", 3)
                        : new BatchStep(StepOutcome.Done, stage, input.QueueId == AwayBatch && stage == nameof(AnnounceStaged) ? 0 : 3)
                )
            );
        }

        worker
            .AddActivityFunc<SendCloneInput, string>(nameof(FinishBatch), (_, input) =>
                Task.FromResult($"sent {input.QueueId} to {input.Destination}")
            )
            .AddActivityFunc<IngestInput, IngestResult>(nameof(IngestFile), (_, input) =>
                Task.FromResult(
                    making
                        ? new IngestResult(IngestOutcome.TryLater, "The store is away.")
                        : new IngestResult(IngestOutcome.Ingested, "", $"file {input.TransferId} {input.Policy}", 1)
                )
            )
            .AddActivityFunc<NotifySourceInput, NotifyStep>(NotifyPage.TaskName, (_, input) =>
                Task.FromResult(
                    making ? new NotifyStep(NotifyOutcome.Wait, "It is away.") : new NotifyStep(NotifyOutcome.Done, $"told {input.Source}")
                )
            )
            .AddActivityFunc<RepairInput, RepairStep>(nameof(AskForReplacement), (_, input) =>
                Task.FromResult(
                    making
                        ? new RepairStep(RepairOutcome.Wait, "Nobody has one.")
                        : new RepairStep(RepairOutcome.Done, $"repaired {input.CorruptId}")
                )
            );
    }

    private static async Task HangAsync(TaskCompletionSource reached, CancellationToken stop)
    {
        reached.TrySetResult();
        await Task.Delay(Timeout.Infinite, stop);
    }
}
