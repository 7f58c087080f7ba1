using System.Globalization;
using System.Text.Json;
using Librarian.Durable.Engine;
using Microsoft.DurableTask.Converters;
using Microsoft.Extensions.Logging.Abstractions;

namespace Librarian.Durable.Testing;

/// <summary>Whether code still does what a history recorded.</summary>
/// <param name="Difference">The orchestrator, the position, what the history has and what the code did; null if nothing differs.</param>
public sealed record ReplayResult(string? Difference)
{
    /// <summary>Whether nothing differs.</summary>
    public bool Matches => Difference is null;
}

/// <summary>
/// Replays recorded histories with the current code, without a database and without running activities. Record histories of a release and
/// check them in; then a change that would fail instances of that release fails a test first.
/// </summary>
public static class HistoryReplayer
{
    /// <summary>
    /// Reads an instance's history without stack traces, which contain paths of the build. Throws <see cref="ArgumentException"/> if the
    /// instance is unknown.
    /// </summary>
    public static async Task<RecordedHistory> RecordAsync(
        DatabaseDurableTaskClient client,
        string instanceId,
        CancellationToken cancellation = default
    )
    {
        ArgumentNullException.ThrowIfNull(client);
        // The history comes first: a turn between the two reads then makes the status newer than the history, which the check allows.
        var events = await client.ReadHistoryAsync(instanceId, cancellation);
        var (found, version, parent) = await client.GetDetailsAsync(instanceId, cancellation)
            ?? throw new ArgumentException($"InstanceNotFound: '{instanceId}'.", nameof(instanceId));
        return new(
            found.Name,
            instanceId,
            found.RuntimeStatus,
            [.. events.Select(row => row with { FailureDetails = WithoutTrace(row.FailureDetails) })]
        )
        {
            Version = version,
            ParentInstanceId = parent,
        };
    }

    /// <summary>
    /// Replays a history. It compares the decisions (kind, order, names, ids of sub-orchestrations) and, if the history has ended, its
    /// status and output; it also finds code that now waits for something that is not durable. Inputs of calls and due times of timers may
    /// differ.
    /// </summary>
    /// <param name="orchestrator">The current code; pass a new object for every check if it has state.</param>
    /// <param name="history">The recorded history.</param>
    /// <param name="converter">The converter of the host that recorded it; null: System.Text.Json with web defaults.</param>
    public static ReplayResult Check(ITaskOrchestrator orchestrator, RecordedHistory history, DataConverter? converter = null)
    {
        ArgumentNullException.ThrowIfNull(orchestrator);
        ArgumentNullException.ThrowIfNull(history);
        var identity = new ExecutionIdentity(
            history.InstanceId,
            0,
            history.OrchestratorName,
            history.Version,
            history.ParentInstanceId,
            history.ParentInstanceId is null ? null : ""
        );
        var execution = new OrchestrationExecution(
            identity,
            orchestrator,
            converter ?? new JsonDataConverter(JsonSerializerOptions.Web),
            NullLoggerFactory.Instance,
            null
        );
        var mismatch = execution.Replay([.. history.Events.Select(ToEvent)]) ?? execution.FindEscape();
        return new(mismatch?.Message ?? EndDifference(history, execution.Ended));
    }

    private static TaskFailureDetails? WithoutTrace(TaskFailureDetails? failure) =>
        failure is null ? null : failure with { StackTrace = null, InnerFailure = WithoutTrace(failure.InnerFailure) };

    private static string? EndDifference(RecordedHistory history, ExecutionEnd? end)
    {
        var recorded = history.Events is [.., { EventType: nameof(EventKind.ExecutionCompleted) } last] ? last : null;
        var byCode =
            recorded?.OrchestrationStatus is nameof(OrchestrationRuntimeStatus.Completed) or nameof(OrchestrationRuntimeStatus.Failed);
        // It was terminated from outside, so no behaviour of the code is wrong.
        if (recorded is not null && !byCode)
            return null;
        var (said, did) = (
            Describe(recorded?.OrchestrationStatus, recorded?.Result),
            Describe(end?.ContinueAsNew == true ? "continued as new" : end?.Status.ToString(), end?.Output)
        );
        return string.Equals(said, did, StringComparison.Ordinal)
            ? null
            : $"NonDeterministicOrchestration: replay of orchestrator '{history.OrchestratorName}' differs from its history at its end: "
                + $"history has {said}, the code did {did}.";
    }

    private static string Describe(string? status, string? output) =>
        status is null ? "no end" : $"the end '{status}' with output {output ?? "null"}";

    private static HistoryEvent ToEvent(OrchestrationHistoryEvent row)
    {
        if (!Enum.TryParse<EventKind>(row.EventType, out var kind))
            throw new ArgumentException(
                $"UnknownHistoryEvent: event {row.Sequence} has the type '{row.EventType}', which this version does not know.",
                nameof(row)
            );
        var data = row.Input
            ?? row.Result
            ?? row.ChildInstanceId
            ?? row.Reason
            ?? row.FireAt?.ToUnixTimeMilliseconds().ToString(CultureInfo.InvariantCulture);
        return new(
            kind,
            row.TaskId ?? -1,
            row.Name ?? row.OrchestrationStatus,
            data,
            OrchestrationExecution.FailureText(row.FailureDetails),
            row.Timestamp.ToUnixTimeMilliseconds()
        );
    }
}
