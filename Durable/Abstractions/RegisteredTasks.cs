namespace Librarian.Durable;

/// <summary>
/// The orchestrators that this process can run, so that a caller can refuse a start that no worker here would execute. Fixed once the host
/// is built.
/// </summary>
public sealed class RegisteredTasks
{
    internal RegisteredTasks(IEnumerable<string> orchestrators) =>
        Orchestrators = orchestrators.ToHashSet(StringComparer.OrdinalIgnoreCase);

    /// <summary>Names of the orchestrators; case is ignored.</summary>
    public IReadOnlySet<string> Orchestrators { get; }
}
