namespace Librarian.Durable.Worker;

/// <summary>How an activity is made. Transactional ones run inside a transaction of the engine.</summary>
internal sealed record ActivityRegistration(Func<IServiceProvider, ITaskActivity> Create, bool IsTransactional);

/// <summary>The orchestrators and activities this process can run; filled while the host is built, then only read.</summary>
internal sealed class TaskRegistry
{
    private readonly Dictionary<string, Func<IServiceProvider, ITaskOrchestrator>> _orchestrators = new(StringComparer.Ordinal);
    private readonly Dictionary<string, ActivityRegistration> _activities = new(StringComparer.Ordinal);

    public IReadOnlyDictionary<string, Func<IServiceProvider, ITaskOrchestrator>> Orchestrators => _orchestrators;

    public IReadOnlyDictionary<string, ActivityRegistration> Activities => _activities;

    public void AddOrchestrator(string name, Func<IServiceProvider, ITaskOrchestrator> create)
    {
        if (!_orchestrators.TryAdd(name, create)) throw new InvalidOperationException($"Two orchestrators are named '{name}'.");
    }

    public void AddActivity(string name, ActivityRegistration registration)
    {
        if (!_activities.TryAdd(name, registration)) throw new InvalidOperationException($"Two activities are named '{name}'.");
    }
}
