using Librarian.Durable.Engine;

namespace Librarian.Durable.Stores;

/// <summary>An instance that this worker owns. <paramref name="Claim"/> is its fencing token.</summary>
internal sealed record ClaimedInstance(
    ExecutionIdentity Identity,
    OrchestrationRuntimeStatus Status,
    string? CustomStatus,
    long? ParentExecution,
    int ParentTask,
    string Owner,
    long Claim,
    int Attempts
)
{
    public string InstanceId => Identity.InstanceId;

    /// <summary>W3C trace context of the operation that started the instance.</summary>
    public string? TraceParent { get; init; }
}
