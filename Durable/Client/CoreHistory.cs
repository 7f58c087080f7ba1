using DurableTask.Core;
using DurableTask.Core.History;
using Librarian.Durable.Engine;
using HistoryEvent = DurableTask.Core.History.HistoryEvent;

namespace Librarian.Durable.Client;

/// <summary>Converts recorded rows to the events that <see cref="DurableTaskClient.GetOrchestrationHistoryAsync"/> returns.</summary>
internal static class CoreHistory
{
    public static IList<HistoryEvent> Of(IEnumerable<OrchestrationHistoryEvent> rows) => [.. rows.Select(Of)];

    private static HistoryEvent Of(OrchestrationHistoryEvent row)
    {
        var task = row.TaskId ?? -1;
        var failure = row.FailureDetails is { } details ? EngineFailure.ToCore(details) : null;
        var fireAt = row.FireAt?.UtcDateTime ?? default;
        HistoryEvent made = row.EventType switch
        {
            "ExecutionStarted" => new ExecutionStartedEvent(-1, row.Input) { Name = row.Name },
            "OrchestratorStarted" => new OrchestratorStartedEvent(-1),
            "TaskScheduled" => new TaskScheduledEvent(task, row.Name ?? "", "", row.Input),
            "TaskCompleted" => new TaskCompletedEvent(-1, task, row.Result),
            "TaskFailed" => new TaskFailedEvent(-1, task, failure?.ErrorMessage, null, failure),
            "TimerCreated" => new TimerCreatedEvent(task, fireAt),
            "TimerFired" => new TimerFiredEvent(-1, fireAt) { TimerId = task },
            "SubOrchestrationCreated" => new SubOrchestrationInstanceCreatedEvent(task)
            {
                Name = row.Name,
                InstanceId = row.ChildInstanceId,
            },
            "SubOrchestrationCompleted" => new SubOrchestrationInstanceCompletedEvent(-1, task, row.Result),
            "SubOrchestrationFailed" => new SubOrchestrationInstanceFailedEvent(-1, task, failure?.ErrorMessage, null, failure),
            "EventRaised" => new EventRaisedEvent(-1, row.Input) { Name = row.Name },
            "EventSent" => new EventSentEvent(task) { Name = row.Name, Input = row.Input },
            "ExecutionSuspended" => new ExecutionSuspendedEvent(-1, row.Reason),
            "ExecutionResumed" => new ExecutionResumedEvent(-1, row.Reason),
            "ExecutionTerminated" => new ExecutionTerminatedEvent(-1, row.Reason),
            "ExecutionRewound" => new ExecutionRewoundEvent(-1, row.Reason),
            "ExecutionCompleted" => new ExecutionCompletedEvent(
                -1,
                row.Result,
                Enum.Parse<OrchestrationStatus>(row.OrchestrationStatus!),
                failure
            ),
            _ => new GenericEvent(-1, row.EventType),
        };
        made.Timestamp = row.Timestamp.UtcDateTime;
        return made;
    }
}
