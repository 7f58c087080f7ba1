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
