namespace Librarian.Durable.Stores;

/// <summary>An activity that this worker owns.</summary>
internal sealed record ClaimedActivity(
    string InstanceId,
    long ExecutionId,
    int TaskId,
    string Name,
    string Queue,
    string? Input,
    string Owner,
    long Claim,
    int Attempts,
    string Version = ""
)
{
    /// <summary>W3C trace context of the turn that scheduled it.</summary>
    public string? TraceParent { get; init; }

    public string OperationId => $"{InstanceId}/{ExecutionId}/{TaskId}";
}
