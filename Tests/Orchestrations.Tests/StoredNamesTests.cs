using System.Reflection;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Drives;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.Peers;
using Librarian.Orchestrations.Repair;
using Microsoft.DurableTask;

namespace Librarian.Tests.Orchestrations;

/// <summary>
/// Tests that names which histories store stay as they are: a site must finish the workflows that an older version began. A new task, id or
/// event gets a line here; a line that changes or goes needs code that finishes old instances.
/// </summary>
public class StoredNamesTests
{
    [Fact]
    public void Tasks_WithTheAttribute_HaveTheNamesInHistories()
    {
        var tasks = typeof(SendClone)
            .Assembly.GetTypes()
            .Select(type => (Type: type, Task: type.GetCustomAttribute<DurableTaskAttribute>()))
            .Where(t => t.Task is not null)
            .Select(t => (typeof(ITaskOrchestrator).IsAssignableFrom(t.Type) ? "orchestrator " : "activity ") + t.Task!.Name.Name);
        Assert.Equal(
            [
                "activity AdvanceDrive",
                "activity AnnounceOngoing",
                "activity AnnounceStaged",
                "activity AskForReplacement",
                "activity ConfirmPage",
                "activity CopyBatch",
                "activity FinishBatch",
                "activity IngestDriveFiles",
                "activity IngestFile",
                "activity IngestFiles",
                "activity ReviewBatch",
                "activity SendAlert",
                "activity StageBatch",
                "activity TellBatch",
                "activity TellDriveBatch",
                "orchestrator ConfirmCopies",
                "orchestrator DriveAlert",
                "orchestrator DriveTrip",
                "orchestrator IngestDrive",
                "orchestrator IngestRound",
                "orchestrator IngestStaged",
                "orchestrator RepairCopy",
                "orchestrator SendClone",
                "orchestrator TellDriveSource",
                "orchestrator TellSource",
            ],
            tasks.Order(StringComparer.Ordinal)
        );
    }

    [Fact]
    public void InstanceIds_OfWorkflows_HaveTheirPrefixes()
    {
        var drive = Guid.Parse("0f8fad5b-d9cb-469f-a165-70867728950e");
        Assert.Equal(
            [
                "confirm-archive",
                "drive-alert-blue-2",
                "drive-blue",
                "drive-ingest-0f8fad5bd9cb469fa16570867728950e-2",
                "drive-tell-0f8fad5bd9cb469fa16570867728950e-2",
                "incoming-7",
                "incoming-round-7-4a4dfcf1c7b7d750a4fa2d91",
                "repair-7",
                "send-clone-7",
                "tell-archive",
                // The name of a source may be longer than an id.
                "tell-8eb827e6964db1e28caafb07b408d441efc804c8da30e3bad83a70dd3566a88b",
            ],
            [
                CopyConfirmation.InstanceId("archive"),
                DriveAlert.InstanceId("blue", 2),
                DriveTrip.InstanceId("blue"),
                IncomingDriveIntake.IngestId(drive, 2),
                IncomingDriveIntake.ReportWorkflowId(drive, 2),
                IncomingWorkflows.InstanceId(7),
                IncomingWorkflows.RoundId([8, 7, 12]),
                RepairCopy.InstanceId(7),
                SendClone.InstanceId(7),
                SourceCallbacks.InstanceId("archive"),
                SourceCallbacks.InstanceId(new string('x', 151)),
            ]
        );
    }

    [Fact]
    public void EventsAndQueues_OfWorkflows_HaveTheirNames() =>
        Assert.Equal(
            ["PeerBack", "Settled", "More", "Wake", "Wake", "ingest", "drives"],
            [
                PeerPresence.BackEvent,
                SendClone.SettledEvent,
                NotifySource.MoreEvent,
                DriveTrip.WakeEvent,
                IngestDrive.WakeEvent,
                Queues.StagedFiles,
                DriveQueues.Media,
            ]
        );
}
