using System.Reflection;
using System.Text.Json;
using Librarian.Durable.Client;
using Librarian.Durable.Hub;
using Librarian.Durable.Stores;
using Librarian.Durable.Worker;
using Microsoft.DurableTask.Client.Grpc;
using Microsoft.DurableTask.Converters;
using Microsoft.DurableTask.Worker;
using Microsoft.DurableTask.Worker.Grpc;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Librarian.Durable.Hosting;

/// <summary>
/// Runs Microsoft's Durable Task worker and client on a database or on an external hub. Worker and client of a process share the same one;
/// inputs and outputs are web-style JSON unless another converter is chosen.
/// </summary>
/// <example>
/// <code>
/// services.AddDurableTaskWorker(worker => worker
///     .AddTasks(tasks => tasks.AddTasksFrom(typeof(SendClone).Assembly))
///     .UsePostgreSql(connectionString));
/// services.AddDurableTaskClient(client => client.UsePostgreSql(connectionString));
/// </code>
/// </example>
public static class DurableTaskBuilderExtensions
{
    /// <summary>Runs the worker on dt_ tables in PostgreSQL; any number of processes may use them.</summary>
    public static IDurableTaskWorkerBuilder UsePostgreSql(this IDurableTaskWorkerBuilder builder, string connectionString) =>
        builder.UsePostgreSql(_ => connectionString);

    /// <summary>As above, with a connection string that is read when the host is built.</summary>
    public static IDurableTaskWorkerBuilder UsePostgreSql(
        this IDurableTaskWorkerBuilder builder,
        Func<IServiceProvider, string> connectionString
    ) => builder.Use(new(IsPostgres: true, connectionString));

    /// <summary>Runs the worker on dt_ tables in a SQLite file; only one process may do so.</summary>
    public static IDurableTaskWorkerBuilder UseSqlite(this IDurableTaskWorkerBuilder builder, string connectionString) =>
        builder.UseSqlite(_ => connectionString);

    /// <summary>
    /// As above, with a connection string that is read when the host is built. Other code of this process may write the same file.
    /// </summary>
    /// <param name="builder">The builder.</param>
    /// <param name="connectionString">Names the file.</param>
    /// <param name="writeTurn">
    /// A semaphore with one permit that every writer of this process holds while it writes, so that writers queue for it instead of
    /// sleeping inside SQLite; null: the engine is the only writer. The host disposes the semaphore.
    /// </param>
    public static IDurableTaskWorkerBuilder UseSqlite(
        this IDurableTaskWorkerBuilder builder,
        Func<IServiceProvider, string> connectionString,
        Func<IServiceProvider, SemaphoreSlim?>? writeTurn = null
    ) => builder.Use(new(IsPostgres: false, connectionString, writeTurn));

    /// <summary>Lets the client start and query orchestrations in PostgreSQL, even without a worker in its process.</summary>
    public static IDurableTaskClientBuilder UsePostgreSql(this IDurableTaskClientBuilder builder, string connectionString) =>
        builder.UsePostgreSql(_ => connectionString);

    /// <summary>As above, with a connection string that is read when the host is built.</summary>
    public static IDurableTaskClientBuilder UsePostgreSql(
        this IDurableTaskClientBuilder builder,
        Func<IServiceProvider, string> connectionString
    ) => builder.Use(new(IsPostgres: true, connectionString));

    /// <summary>Lets the client start and query orchestrations in a SQLite file, even without a worker in its process.</summary>
    public static IDurableTaskClientBuilder UseSqlite(this IDurableTaskClientBuilder builder, string connectionString) =>
        builder.UseSqlite(_ => connectionString);

    /// <summary>As above, with a connection string that is read when the host is built.</summary>
    public static IDurableTaskClientBuilder UseSqlite(
        this IDurableTaskClientBuilder builder,
        Func<IServiceProvider, string> connectionString
    ) => builder.Use(new(IsPostgres: false, connectionString));

    /// <summary>Runs the worker's tasks for an external Durable Task hub over gRPC, not on a database.</summary>
    public static IDurableTaskWorkerBuilder UseHub(this IDurableTaskWorkerBuilder builder, Uri address)
    {
        ArgumentNullException.ThrowIfNull(builder);
        AddHub(builder.Services, builder.Name, address);
        builder
            .Services.AddOptions<DurableTaskWorkerOptions>(builder.Name)
            .Configure<DataConverter, IOptions<DurableTaskOptions>>(
                (options, converter, ours) =>
                {
                    options.DataConverter = converter;
                    options.Concurrency.MaximumConcurrentActivityWorkItems = ours.Value.MaxConcurrentActivities;
                }
            );
        builder
            .Services.AddOptions<GrpcDurableTaskWorkerOptions>(builder.Name)
            .Configure<HubConnection>((options, connection) => options.Channel = connection.Channel);
        return builder.UseGrpc();
    }

    /// <summary>Lets the client start and query orchestrations on an external Durable Task hub.</summary>
    /// <remarks><see cref="HubOutbox"/> must be notified of the transactions that starts and events are given with.</remarks>
    public static IDurableTaskClientBuilder UseHub(this IDurableTaskClientBuilder builder, Uri address)
    {
        ArgumentNullException.ThrowIfNull(builder);
        AddHub(builder.Services, builder.Name, address);
        builder
            .Services.AddOptions<GrpcDurableTaskClientOptions>(builder.Name)
            .Configure<HubConnection, DataConverter, IOptionsMonitor<DurableTaskClientOptions>>(
                (options, connection, converter, client) =>
                {
                    options.Channel = connection.Channel;
                    options.DataConverter = converter;
                    options.DefaultVersion = client.Get(builder.Name).DefaultVersion;
                }
            );
        builder.Services.TryAddSingleton(services => (DatabaseDurableTaskClient)services.GetRequiredService<DurableTaskClient>());
        return builder.UseBuildTarget<HubDurableTaskClient>().RegisterDirectly();
    }

    /// <summary>Configures the engine.</summary>
    public static IDurableTaskWorkerBuilder Configure(this IDurableTaskWorkerBuilder builder, Action<DurableTaskOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.Configure(configure);
        return builder;
    }

    /// <summary>Sets the JSON options for inputs and outputs (for example with source-generated resolvers) of worker and client.</summary>
    public static IDurableTaskWorkerBuilder UseJson(this IDurableTaskWorkerBuilder builder, JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.Services.Replace(ServiceDescriptor.Singleton<DataConverter>(new JsonDataConverter(options)));
        return builder;
    }

    /// <summary>Registers every class of an assembly that has a <see cref="DurableTaskAttribute"/>.</summary>
    public static DurableTaskRegistry AddTasksFrom(this DurableTaskRegistry registry, Assembly assembly)
    {
        ArgumentNullException.ThrowIfNull(registry);
        ArgumentNullException.ThrowIfNull(assembly);
        foreach (
            var type in assembly
                .GetTypes()
                .Where(type => type is { IsClass: true, IsAbstract: false } && type.IsDefined(typeof(DurableTaskAttribute), inherit: false))
        )
        {
            if (typeof(ITaskOrchestrator).IsAssignableFrom(type))
                registry.AddOrchestrator(type);
            else if (typeof(ITaskActivity).IsAssignableFrom(type))
                registry.AddActivity(type);
            else
                throw new InvalidOperationException(
                    $"{type.FullName} carries [DurableTask] but is neither an ITaskOrchestrator nor an ITaskActivity."
                );
        }

        return registry;
    }

    /// <summary>Uses a SQLite file for a test: all times, including those in the tables, come from the test's clock.</summary>
    internal static IDurableTaskWorkerBuilder UseSqlite(this IDurableTaskWorkerBuilder builder, string connectionString, TimeProvider clock)
    {
        builder.Services.AddSingleton(clock);
        return builder.Use(new(IsPostgres: false, _ => connectionString, null, clock));
    }

    private static IDurableTaskWorkerBuilder Use(this IDurableTaskWorkerBuilder builder, DatabaseChoice choice)
    {
        ArgumentNullException.ThrowIfNull(builder);
        AddEngine(builder.Services, builder.Name, choice);
        return builder.UseBuildTarget<StoreDurableTaskWorker>();
    }

    private static IDurableTaskClientBuilder Use(this IDurableTaskClientBuilder builder, DatabaseChoice choice)
    {
        ArgumentNullException.ThrowIfNull(builder);
        AddEngine(builder.Services, builder.Name, choice);
        builder.Services.TryAddSingleton(services => (DatabaseDurableTaskClient)services.GetRequiredService<DurableTaskClient>());
        return builder.UseBuildTarget<StoreDurableTaskClient>().RegisterDirectly();
    }

    private static void AddEngine(IServiceCollection services, string name, DatabaseChoice choice)
    {
        AddTasks(services, name);
        services.AddSingleton(choice);
        services.TryAddSingleton(DatabaseChoice.Open);
        services.TryAddSingleton<WorkSignal>();
        services.TryAddSingleton<InstanceWatch>();
        services.TryAddSingleton<TurnTriggers>();
        services.TryAddSingleton<Telemetry>();
        services.TryAddSingleton<TaskCode>();
        services.TryAddSingleton<WorkerDatabase>();
        services.TryAddSingleton<WorkerServices>();
        services.AddOptions<DurableTaskOptions>().ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<DurableTaskOptions>, DurableTaskOptionsValidator>());
    }

    private static void AddHub(IServiceCollection services, string name, Uri address)
    {
        ArgumentNullException.ThrowIfNull(address);
        AddTasks(services, name);
        if (services.Any(service => service.ServiceType == typeof(HubConnection)))
            return;
        services.AddSingleton(provider => new HubConnection(address, provider.GetRequiredService<ILogger<HubConnection>>()));
        services.AddSingleton(provider => new HubOutbox(provider.GetRequiredService<ILogger<HubOutbox>>()));
        services.AddHostedService(provider => provider.GetRequiredService<HubConnection>());
        services.AddHostedService(provider => provider.GetRequiredService<HubOutbox>());
    }

    private static void AddTasks(IServiceCollection services, string name)
    {
        if (name.Length > 0)
            throw new NotSupportedException(
                $"The worker or client is named '{name}'. A process has one worker and one client, which have no names; leave it out."
            );
        services.TryAddSingleton<DataConverter>(_ => new JsonDataConverter(JsonSerializerOptions.Web));
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(provider => new TaskRegistry(
            provider.GetRequiredService<IOptionsMonitor<DurableTaskRegistry>>().Get(Options.DefaultName)
        ));
        services.TryAddSingleton(provider => new RegisteredTasks(provider.GetRequiredService<TaskRegistry>().OrchestratorNames));
    }

    /// <summary>The database that a worker or client builder chose.</summary>
    private sealed record DatabaseChoice(
        bool IsPostgres,
        Func<IServiceProvider, string> ConnectionString,
        Func<IServiceProvider, SemaphoreSlim?>? WriteTurn = null,
        TimeProvider? Clock = null
    )
    {
        public static DurableStore Open(IServiceProvider services)
        {
            var choices = services.GetServices<DatabaseChoice>().ToList();
            var databases = choices
                .Select(choice => (choice.IsPostgres, ConnectionString: choice.ConnectionString(services)))
                .Distinct()
                .ToList();
            if (databases is not [var database])
                throw new InvalidOperationException(
                    "The worker and the client of a process use the same database, but different ones were chosen: "
                        + "give both builders the same UsePostgreSql or UseSqlite."
                );
            return database.IsPostgres
                ? new PostgresStore(database.ConnectionString)
                : new SqliteStore(
                    database.ConnectionString,
                    choices.Find(choice => choice.Clock is not null)?.Clock,
                    choices.Find(choice => choice.WriteTurn is not null)?.WriteTurn?.Invoke(services)
                );
        }
    }
}
