namespace Librarian.Durable.Worker;

/// <summary>How an activity is made. Transactional ones run inside a transaction of the engine.</summary>
internal sealed record ActivityRegistration(Func<IServiceProvider, ITaskActivity> Create, bool IsTransactional);

/// <summary>
/// The orchestrators and activities this process can run; filled while the host is built, then only read. A task registered
/// without a version serves every version that has no registration of its own.
/// </summary>
internal sealed class TaskRegistry
{
    private readonly Dictionary<(string Name, string? Version), Func<IServiceProvider, ITaskOrchestrator>> _orchestrators = [];
    private readonly Dictionary<(string Name, string? Version), ActivityRegistration> _activities = [];
    private readonly HashSet<string> _orchestratorNames = new(StringComparer.Ordinal);
    private readonly HashSet<string> _activityNames = new(StringComparer.Ordinal);

    public IReadOnlyCollection<string> OrchestratorNames => _orchestratorNames;

    public IReadOnlyCollection<string> ActivityNames => _activityNames;

    public Func<IServiceProvider, ITaskOrchestrator>? FindOrchestrator(string name, string version) =>
        _orchestrators.GetValueOrDefault((name, version)) ?? _orchestrators.GetValueOrDefault((name, null));

    public ActivityRegistration? FindActivity(string name, string version) =>
        _activities.GetValueOrDefault((name, version)) ?? _activities.GetValueOrDefault((name, null));

    public void AddOrchestrator(string name, string? version, Func<IServiceProvider, ITaskOrchestrator> create)
    {
        if (!_orchestrators.TryAdd((name, version), create)) throw new InvalidOperationException($"Two orchestrators are named '{name}'{Of(version)}.");
        _orchestratorNames.Add(name);
    }

    public void AddActivity(string name, string? version, ActivityRegistration registration)
    {
        if (!_activities.TryAdd((name, version), registration)) throw new InvalidOperationException($"Two activities are named '{name}'{Of(version)}.");
        _activityNames.Add(name);
    }

    private static string Of(string? version) => version is null ? "" : $" in version '{version}'";
}
