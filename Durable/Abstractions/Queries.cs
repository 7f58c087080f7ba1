namespace Librarian.Durable;

/// <summary>A query with more filters than Microsoft's. Null or empty properties do not filter.</summary>
public sealed record InstanceQuery : OrchestrationQuery
{
    /// <summary>
    /// Any of these orchestrator names. Case is ignored for orchestrators that this process has registered; other names must be spelled as
    /// at the start.
    /// </summary>
    public IReadOnlyCollection<string>? Names { get; init; }

    /// <summary>All of these tags, with these values.</summary>
    public IReadOnlyDictionary<string, string>? Tags { get; init; }

    /// <summary>Only instances that are not sub-orchestrations.</summary>
    public bool ParentsOnly { get; init; }
}

/// <summary>Selects finished instances to purge, also by the time at which they ended.</summary>
public sealed record EndedInstancesFilter : PurgeInstancesFilter
{
    /// <summary>Ended at or before this time (UTC); null: any time.</summary>
    public DateTimeOffset? CompletedTo { get; init; }
}

/// <summary>An instance with details that <see cref="OrchestrationMetadata"/> lacks.</summary>
/// <param name="Metadata">The instance, with inputs and outputs.</param>
/// <param name="Version">Version given at the start, or empty.</param>
/// <param name="ParentInstanceId">Instance id of the parent if this is a sub-orchestration.</param>
public sealed record InstanceDetails(OrchestrationMetadata Metadata, string Version, string? ParentInstanceId);
