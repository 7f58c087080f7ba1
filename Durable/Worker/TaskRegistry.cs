using Librarian.Durable.Stores;
using Microsoft.DurableTask.Worker;

namespace Librarian.Durable.Worker;

/// <summary>The orchestrators and activities that this process can run. Names are compared without case.</summary>
/// <remarks>
/// A task that is registered without a version serves every version without its own registration. Microsoft's factory does not do that for
/// a given version if the name has versioned registrations.
/// </remarks>
internal sealed class TaskRegistry
{
    private delegate bool Make<T>(TaskName name, TaskVersion version, IServiceProvider services, out T? made);

    private readonly HashSet<string> _orchestratorNames;
    private readonly HashSet<string> _activityNames;
    private IDurableTaskFactory? _factory;
    private Make<ITaskOrchestrator>? _versionedOrchestrator;
    private Make<ITaskActivity>? _versionedActivity;

    /// <summary>Throws <see cref="NotSupportedException"/> if entities are registered, because this engine has none.</summary>
    public TaskRegistry(DurableTaskRegistry tasks)
    {
        _orchestratorNames = Names(tasks.GetOrchestrators());
        _activityNames = Names(tasks.GetActivities());
        FoldedOrchestrators = [.. _orchestratorNames.Select(DurableStore.Fold)];
        FoldedActivities = [.. _activityNames.Select(DurableStore.Fold)];
        if (tasks.GetEntities().Select(entry => entry.Key.Name).FirstOrDefault() is { } entity)
            throw new NotSupportedException(
                $"Entity '{entity}' is registered, but this engine has no entities. "
                    + "Keep its state in an orchestration (ContinueAsNew) or in the database."
            );
    }

    public IReadOnlyCollection<string> OrchestratorNames => _orchestratorNames;

    /// <summary>Names to claim, folded in the same way as the statements fold stored names.</summary>
    public IReadOnlyList<string> FoldedOrchestrators { get; }

    /// <inheritdoc cref="FoldedOrchestrators"/>
    public IReadOnlyList<string> FoldedActivities { get; }

    public bool HasOrchestrator(string name) => _orchestratorNames.Contains(name);

    public bool HasActivity(string name) => _activityNames.Contains(name);

    /// <summary>The registered spelling of a name, or the name itself if this process has no such orchestrator.</summary>
    public string SpellingOf(string orchestrator) =>
        _orchestratorNames.TryGetValue(orchestrator, out var registered) ? registered : orchestrator;

    /// <summary>Sets the factory that Microsoft's builder made of the registrations; before that the registry only knows names.</summary>
    public void Use(IDurableTaskFactory factory) => _factory = factory;

    /// <summary>Creates an orchestrator, or returns null if none is registered for that name and version.</summary>
    public ITaskOrchestrator? CreateOrchestrator(string name, string version, IServiceProvider services)
    {
        if (!HasOrchestrator(name))
            return null;
        if (
            version.Length > 0
            && (_versionedOrchestrator ??= Bind<ITaskOrchestrator>(nameof(IDurableTaskFactory.TryCreateOrchestrator)))(
                name,
                version,
                services,
                out var versioned
            )
        )
            return versioned;
        return Factory.TryCreateOrchestrator(name, services, out var made) ? made : null;
    }

    /// <summary>Creates an activity, or returns null if none is registered for that name and version.</summary>
    public ITaskActivity? CreateActivity(string name, string version, IServiceProvider services)
    {
        if (!HasActivity(name))
            return null;
        if (
            version.Length > 0
            && (_versionedActivity ??= Bind<ITaskActivity>(nameof(IDurableTaskFactory.TryCreateActivity)))(
                name,
                version,
                services,
                out var versioned
            )
        )
            return versioned;
        return Factory.TryCreateActivity(name, services, out var made) ? made : null;
    }

    private IDurableTaskFactory Factory =>
        _factory ?? throw new InvalidOperationException("No worker was added to this process: it only starts and queries orchestrations.");

    private static HashSet<string> Names<T>(IEnumerable<KeyValuePair<TaskName, T>> entries) =>
        entries.Select(entry => entry.Key.Name).ToHashSet(StringComparer.OrdinalIgnoreCase);

    // The factory's methods that take a version are public, but their interface is not.
    private Make<T> Bind<T>(string method)
        where T : class =>
        Factory
            .GetType()
            .GetMethod(method, [typeof(TaskName), typeof(TaskVersion), typeof(IServiceProvider), typeof(T).MakeByRefType()])
            ?.CreateDelegate<Make<T>>(Factory)
        ?? throw new MissingMethodException(Factory.GetType().FullName, method);
}
