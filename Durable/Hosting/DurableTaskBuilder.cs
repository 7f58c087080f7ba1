using System.Reflection;
using System.Text.Json;
using Librarian.Durable.Client;
using Librarian.Durable.Stores;
using Librarian.Durable.Worker;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Librarian.Durable;

/// <summary>Chooses database, tasks and settings.</summary>
public sealed class DurableTaskBuilder
{
    private readonly TaskRegistry _registry = new();
    private Func<IServiceProvider, string>? _postgres;
    private Func<IServiceProvider, string>? _sqlite;
    private Func<IServiceProvider, SemaphoreSlim?> _writeTurn = _ => null;
    private TimeProvider? _clock;
    private DataConverter _converter = new JsonDataConverter();

    internal DurableTaskBuilder(IServiceCollection services) => Services = services;

    /// <summary>The host's services.</summary>
    public IServiceCollection Services { get; }

    /// <summary>Keeps the dt_ tables in PostgreSQL; any number of processes may work on it.</summary>
    public DurableTaskBuilder UsePostgreSql(string connectionString) => UsePostgreSql(_ => connectionString);

    /// <summary>As above, with a connection string read when the host is built.</summary>
    public DurableTaskBuilder UsePostgreSql(Func<IServiceProvider, string> connectionString)
    {
        _postgres = connectionString;
        return this;
    }

    /// <summary>Keeps the dt_ tables in a SQLite file; only one process may run a worker on it.</summary>
    public DurableTaskBuilder UseSqlite(string connectionString) => UseSqlite(_ => connectionString);

    /// <summary>As above, with a connection string read when the host is built.</summary>
    public DurableTaskBuilder UseSqlite(Func<IServiceProvider, string> connectionString) => UseSqlite(connectionString, _ => null);

    /// <summary>As above, in a file that this process also writes by other means.</summary>
    /// <param name="connectionString">Names the file.</param>
    /// <param name="writeTurn">
    /// One permit that every writer of this process holds while it writes, so that they queue here and not, sleeping, inside SQLite; null: the engine is the only one. The host disposes of it.
    /// </param>
    public DurableTaskBuilder UseSqlite(Func<IServiceProvider, string> connectionString, Func<IServiceProvider, SemaphoreSlim?> writeTurn)
    {
        _sqlite = connectionString;
        _writeTurn = writeTurn;
        return this;
    }

    /// <summary>A SQLite file for a test: all times, those in the tables too, come from its clock.</summary>
    internal DurableTaskBuilder UseSqlite(string connectionString, TimeProvider clock)
    {
        _clock = clock;
        Services.AddSingleton(clock);
        return UseSqlite(connectionString);
    }

    /// <summary>Registers an orchestrator class under its <see cref="DurableTaskAttribute"/> name or class name.</summary>
    public DurableTaskBuilder AddOrchestrator<TOrchestrator>()
        where TOrchestrator : class, ITaskOrchestrator => AddOrchestrator(typeof(TOrchestrator), null, null);

    /// <summary>Registers an orchestrator class under a name, for all versions or (besides others of the name) for one.</summary>
    public DurableTaskBuilder AddOrchestrator<TOrchestrator>(string name, string? version = null)
        where TOrchestrator : class, ITaskOrchestrator => AddOrchestrator(typeof(TOrchestrator), name, version);

    /// <summary>Registers an orchestrator function, for all versions or (besides others of the name) for one.</summary>
    public DurableTaskBuilder AddOrchestratorFunc<TInput, TOutput>(string name, Func<TaskOrchestrationContext, TInput, Task<TOutput>> orchestrator, string? version = null)
    {
        ArgumentNullException.ThrowIfNull(orchestrator);
        _registry.AddOrchestrator(name, version, _ => new OrchestratorFunction<TInput, TOutput>(orchestrator));
        return this;
    }

    /// <summary>Registers an activity class under its <see cref="DurableTaskAttribute"/> name or class name.</summary>
    public DurableTaskBuilder AddActivity<TActivity>()
        where TActivity : class, ITaskActivity => AddActivity(typeof(TActivity), null, null);

    /// <summary>Registers an activity class under a name, for all versions or (besides others of the name) for one.</summary>
    public DurableTaskBuilder AddActivity<TActivity>(string name, string? version = null)
        where TActivity : class, ITaskActivity => AddActivity(typeof(TActivity), name, version);

    /// <summary>Registers an activity function, for all versions or (besides others of the name) for one.</summary>
    public DurableTaskBuilder AddActivityFunc<TInput, TOutput>(string name, Func<TaskActivityContext, TInput, Task<TOutput>> activity, string? version = null)
    {
        ArgumentNullException.ThrowIfNull(activity);
        _registry.AddActivity(name, version, new(_ => new ActivityFunction<TInput, TOutput>(activity), IsTransactional: false));
        return this;
    }

    /// <summary>Registers every class of an assembly that carries <see cref="DurableTaskAttribute"/>.</summary>
    public DurableTaskBuilder AddTasksFrom(Assembly assembly)
    {
        ArgumentNullException.ThrowIfNull(assembly);
        foreach (var type in assembly.GetTypes().Where(type => type is { IsClass: true, IsAbstract: false } && type.IsDefined(typeof(DurableTaskAttribute), inherit: false)))
        {
            if (typeof(ITaskOrchestrator).IsAssignableFrom(type)) AddOrchestrator(type, null, null);
            else if (typeof(ITaskActivity).IsAssignableFrom(type)) AddActivity(type, null, null);
            else throw new InvalidOperationException($"{type.FullName} carries [DurableTask] but is neither an ITaskOrchestrator nor an ITaskActivity.");
        }

        return this;
    }

    /// <summary>Changes settings.</summary>
    public DurableTaskBuilder Configure(Action<DurableTaskOptions> configure)
    {
        Services.Configure(configure);
        return this;
    }

    /// <summary>Sets the JSON options of inputs and outputs (for example with source-generated resolvers).</summary>
    public DurableTaskBuilder UseJson(JsonSerializerOptions options) => UseDataConverter(new JsonDataConverter(options));

    /// <summary>Replaces the converter of inputs and outputs.</summary>
    public DurableTaskBuilder UseDataConverter(DataConverter converter)
    {
        _converter = converter ?? throw new ArgumentNullException(nameof(converter));
        return this;
    }

    private DurableTaskBuilder AddOrchestrator(Type type, string? name, string? version)
    {
        var factory = ActivatorUtilities.CreateFactory(type, Type.EmptyTypes);
        _registry.AddOrchestrator(name ?? DurableTaskAttribute.NameOf(type), version, services => (ITaskOrchestrator)factory(services, null));
        return this;
    }

    private DurableTaskBuilder AddActivity(Type type, string? name, string? version)
    {
        var factory = ActivatorUtilities.CreateFactory(type, Type.EmptyTypes);
        _registry.AddActivity(name ?? DurableTaskAttribute.NameOf(type), version,
            new(services => (ITaskActivity)factory(services, null), typeof(ITransactionalActivity).IsAssignableFrom(type)));
        return this;
    }

    internal void Build()
    {
        if (_postgres is null == _sqlite is null) throw new InvalidOperationException("AddDurableTask needs exactly one database: call UsePostgreSql or UseSqlite.");
        Services.AddSingleton(_registry);
        Services.AddSingleton(_ => new RegisteredTasks(_registry.OrchestratorNames));
        Services.AddSingleton(_converter);
        Services.TryAddSingleton(TimeProvider.System);
        Services.AddSingleton<DurableStore>(services => _postgres is not null ? new PostgresStore(_postgres(services)) : new SqliteStore(_sqlite!(services), _clock, _writeTurn(services)));
        Services.AddSingleton<WorkSignal>();
        Services.AddSingleton<InstanceWatch>();
        Services.AddSingleton<TurnTriggers>();
        Services.AddSingleton<Telemetry>();
        Services.AddSingleton<WorkerServices>();
        Services.AddSingleton<DurableTaskClient, StoreDurableTaskClient>();
        Services.AddHostedService<DurableTaskWorker>();
        Services.AddOptions<DurableTaskOptions>().ValidateOnStart();
        Services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<DurableTaskOptions>, DurableTaskOptionsValidator>());
    }

    private sealed class OrchestratorFunction<TInput, TOutput>(Func<TaskOrchestrationContext, TInput, Task<TOutput>> function) : TaskOrchestrator<TInput, TOutput>
    {
        public override Task<TOutput> RunAsync(TaskOrchestrationContext context, TInput input) => function(context, input);
    }

    private sealed class ActivityFunction<TInput, TOutput>(Func<TaskActivityContext, TInput, Task<TOutput>> function) : TaskActivity<TInput, TOutput>
    {
        public override Task<TOutput> RunAsync(TaskActivityContext context, TInput input) => function(context, input);
    }
}
