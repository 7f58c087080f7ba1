namespace Librarian.Durable;

/// <summary>An instance with details that <see cref="OrchestrationMetadata"/> lacks.</summary>
/// <param name="Metadata">The instance, with inputs and outputs.</param>
/// <param name="Version">Version given at the start, or empty.</param>
/// <param name="ParentInstanceId">Instance id of the parent if this is a sub-orchestration.</param>
public sealed record InstanceDetails(OrchestrationMetadata Metadata, string Version, string? ParentInstanceId);
