using Librarian.Durable.Engine;
using Librarian.Durable.Stores;
using Microsoft.DurableTask.Worker;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Durable.Worker;

/// <summary>
/// The tasks of this process as code: makes orchestrators, their executions and activities, and knows which versions run here and how
/// inputs and outputs are written.
/// </summary>
internal sealed class TaskCode(
    IServiceProvider services,
    IServiceScopeFactory scopes,
    TaskRegistry registry,
    DataConverter converter,
    IOptions<DurableTaskOptions> options,
    IOptionsMonitor<DurableTaskWorkerOptions> workerOptions,
    ILoggerFactory loggers
)
{
    public TaskRegistry Registry { get; } = registry;

    public DataConverter Converter { get; } =
        LimitedDataConverter.Of(workerOptions.Get(Options.DefaultName).DataConverter, converter, options.Value.MaxPayloadBytes);

    public DurableTaskWorkerOptions.VersioningOptions Versioning { get; } = workerOptions.Get(Options.DefaultName).Versioning ?? new();

    /// <summary>Creates an orchestrator, or returns null if none is registered for that name and version.</summary>
    public ITaskOrchestrator? CreateOrchestrator(ExecutionIdentity identity) =>
        Registry.CreateOrchestrator(identity.Name, identity.Version, services);

    public OrchestrationExecution CreateExecution(ExecutionIdentity identity, ITaskOrchestrator orchestrator, string? customStatus) =>
        new(identity, orchestrator, Converter, loggers, customStatus);

    /// <summary>A scope for the services of one activity.</summary>
    public AsyncServiceScope CreateScope() => scopes.CreateAsyncScope();

    /// <summary>Creates an activity, or returns null if none is registered for its name and version.</summary>
    public ITaskActivity? CreateActivity(ClaimedActivity activity, AsyncServiceScope scope) =>
        Registry.CreateActivity(activity.Name, activity.Version, scope.ServiceProvider);

    /// <summary>The converter of a client, from its options.</summary>
    public DataConverter ConverterOf(DataConverter fromOptions) =>
        LimitedDataConverter.Of(fromOptions, Converter, options.Value.MaxPayloadBytes);
}
