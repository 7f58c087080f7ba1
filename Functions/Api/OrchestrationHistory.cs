using System.Text.Json;
using Librarian.Client.Wire;
using Librarian.Durable;

namespace Librarian.Functions.Api;

/// <summary>
/// Folds an instance's recorded history into the rows of the management API (docs/spec/functions-host.md#management-api). Turns are left
/// out, and the start of an activity, timer or sub-orchestration is merged into the row of its end. A start without an end keeps its row,
/// because the instance waits for it.
/// </summary>
internal static class OrchestrationHistory
{
    /// <summary>Returns the rows, oldest first.</summary>
    internal static IReadOnlyList<OrchestrationHistoryRow> Fold(
        IReadOnlyList<OrchestrationHistoryEvent> history,
        bool showInput,
        bool showOutput
    )
    {
        var begun = history.Where(IsBeginning).GroupBy(e => e.TaskId).ToDictionary(g => g.Key ?? -1, g => g.Last());
        var ended = history.Where(IsEnd).Select(e => e.TaskId ?? -1).ToHashSet();
        List<OrchestrationHistoryRow> rows = [];
        var turn = DateTimeOffset.UnixEpoch;
        foreach (var entry in history)
        {
            if (entry.EventType == "OrchestratorStarted")
            {
                turn = entry.Timestamp;
                continue;
            }

            if (IsBeginning(entry) && ended.Contains(entry.TaskId ?? -1))
                continue;
            // Messages are recorded without a time of their own; for the instance, they happened in the turn that took them.
            var timed = entry.Timestamp > DateTimeOffset.UnixEpoch ? entry : entry with { Timestamp = turn };
            rows.Add(Row(timed, IsEnd(entry) ? begun.GetValueOrDefault(entry.TaskId ?? -1) : null, showInput, showOutput));
        }

        return rows;
    }

    private static bool IsBeginning(OrchestrationHistoryEvent entry) =>
        entry.EventType is "TaskScheduled" or "TimerCreated" or "SubOrchestrationCreated";

    private static bool IsEnd(OrchestrationHistoryEvent entry) =>
        entry.EventType is "TaskCompleted" or "TaskFailed" or "TimerFired" or "SubOrchestrationCompleted" or "SubOrchestrationFailed";

    private static OrchestrationHistoryRow Row(
        OrchestrationHistoryEvent entry,
        OrchestrationHistoryEvent? beginning,
        bool showInput,
        bool showOutput
    )
    {
        var isEvent = entry.EventType is "EventRaised" or "EventSent";
        var name = entry.Name ?? beginning?.Name;
        return new(
            entry.EventType.Replace("SubOrchestration", "SubOrchestrationInstance", StringComparison.Ordinal),
            entry.Timestamp,
            FunctionName: isEvent ? null : name,
            ScheduledTime: beginning?.Timestamp,
            FireAt: entry.FireAt ?? beginning?.FireAt,
            Name: isEvent ? name : null,
            Result: showOutput ? OrchestrationAnswers.Json(entry.Result) : null,
            Input: showInput ? OrchestrationAnswers.Json(entry.Input ?? beginning?.Input) : null,
            InstanceId: entry.ChildInstanceId ?? beginning?.ChildInstanceId,
            Reason: entry.FailureDetails?.ToString() ?? Text(OrchestrationAnswers.Json(entry.Reason)),
            Details: showOutput ? entry.FailureDetails?.StackTrace : null,
            OrchestrationStatus: entry.OrchestrationStatus
        );
    }

    // A reason can be any value; it is stored as JSON.
    private static string? Text(JsonElement? reason) =>
        reason is not { } given
            ? null
            : given.ValueKind switch
            {
                JsonValueKind.String => given.GetString(),
                JsonValueKind.Null => null,
                _ => given.GetRawText(),
            };
}
