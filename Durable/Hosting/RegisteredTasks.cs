namespace Librarian.Durable;

/// <summary>What this process can run, for callers that want to refuse a start nobody here would carry out. Fixed once the host is built.</summary>
public sealed class RegisteredTasks
{
    internal RegisteredTasks(IEnumerable<string> orchestrators) => Orchestrators = orchestrators.ToHashSet(StringComparer.Ordinal);

    /// <summary>Names of the orchestrators, ordinal.</summary>
    public IReadOnlySet<string> Orchestrators { get; }
}
