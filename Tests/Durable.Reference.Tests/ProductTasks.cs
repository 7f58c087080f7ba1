using System.Collections.Concurrent;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Drives;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Repair;
using Microsoft.DurableTask;
using DriveRound = Librarian.Domain.Drives.IngestRound;
using DriveRoundResult = Librarian.Domain.Drives.IngestRoundResult;
using IngestRound = Librarian.Orchestrations.Incoming.IngestRound;
using IngestRoundResult = Librarian.Orchestrations.Incoming.IngestRoundResult;
using NotifyStep = Librarian.Orchestrations.Incoming.NotifyStep;

namespace Librarian.Tests.Durable.Reference;

/// <summary>
/// The workflows of the product as they are; their activities answer from a list, and each needs a second and a third try.
/// </summary>
internal static class ProductTasks
{
    private static readonly ConcurrentDictionary<(string Instance, string Activity), int> Calls = new();

    public static void Register(DurableTaskRegistry tasks)
    {
        tasks
            .AddOrchestrator<SendClone>()
            .AddOrchestrator<IngestStaged>()
            .AddOrchestrator<IngestRound>()
            .AddOrchestrator<NotifySource>()
            .AddOrchestrator<RepairCopy>()
            .AddOrchestrator<DriveTrip>()
            .AddOrchestrator<IngestDrive>();
        Answer<SendCloneInput, BatchStep>(
            tasks,
            nameof(StageBatch),
            new(StepOutcome.Wait, "away", 1),
            new(StepOutcome.Continue, "some", 1),
            new(StepOutcome.Done, "", 1)
        );
        foreach (var stage in new[] { nameof(AnnounceOngoing), nameof(CopyBatch), nameof(AnnounceStaged) })
            Answer<SendCloneInput, BatchStep>(tasks, stage, new(StepOutcome.Continue, "", 1), new(StepOutcome.Done, "", 1));
        Answer<SendCloneInput, string>(tasks, nameof(FinishBatch), "finished");
        Answer<IngestInput, IngestResult>(
            tasks,
            nameof(IngestFile),
            new(IngestOutcome.TryLater, "full"),
            new(IngestOutcome.Ingested, "there", "file")
        );
        Answer<IngestRoundInput, IngestRoundResult>(
            tasks,
            nameof(IngestFiles),
            new IngestRoundResult(1, [new IngestRoundEnd(2, IngestOutcome.TryLater, "full")])
        );
        Answer<NotifySourceInput, NotifyStep>(tasks, NotifyPage.TaskName, new(NotifyOutcome.Wait, "away"), new(NotifyOutcome.Done, "told"));
        Answer<RepairInput, RepairStep>(
            tasks,
            nameof(AskForReplacement),
            new(RepairOutcome.Wait, "away"),
            new(RepairOutcome.Done, "mended")
        );
        Answer<DriveTripInput, DriveStep>(
            tasks,
            nameof(AdvanceDrive),
            new("filling", "", 0),
            new("full", "", 0.1),
            new("wiped", "home", 0, IsOver: true)
        );
        Answer<IncomingDriveInput, DriveRoundResult>(
            tasks,
            nameof(IngestDriveFiles),
            new(DriveRound.More, ""),
            new(DriveRound.Done, "taken in")
        );
    }

    private static void Answer<TInput, TOutput>(DurableTaskRegistry tasks, string activity, params TOutput[] answers) =>
        tasks.AddActivityFunc<TInput, TOutput>(activity, (context, _) =>
            Task.FromResult(
                answers[Math.Min(Calls.AddOrUpdate((context.InstanceId, activity), 0, (_, calls) => calls + 1), answers.Length - 1)]
            )
        );
}
