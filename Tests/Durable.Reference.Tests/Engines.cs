using System.Collections.Concurrent;
using Librarian.Durable.Hosting;
using Librarian.Orchestrations.Drives;
using Librarian.Orchestrations.Incoming;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Microsoft.DurableTask;
using Microsoft.DurableTask.Client;
using Microsoft.DurableTask.Converters;
using Microsoft.DurableTask.Testing;
using Microsoft.DurableTask.Worker;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

[assembly: AssemblyFixture(typeof(PostgresServer))]
[assembly: AssemblyFixture(typeof(Librarian.Tests.Durable.Reference.ReferenceEngine))]

// Most of the time they wait.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.All, MaxThreads = 8)]

namespace Librarian.Tests.Durable.Reference;

/// <summary>Microsoft's engine in this process: their worker over gRPC to their own dispatcher, with a store in memory.</summary>
public sealed class ReferenceEngine : IAsyncLifetime
{
    private readonly ConcurrentDictionary<string, Lazy<Task<string>>> _answers = new(StringComparer.Ordinal);
    private DurableTaskTestHost? _host;

    /// <summary>Its answer to a scenario, which it is asked once: the tests of either database compare with the same.</summary>
    public Task<string> AnswerAsync(string scenario, string? expected) =>
        _answers
            .GetOrAdd(scenario, name => new Lazy<Task<string>>(() => DifferentialTests.AnswerAsync(_host!.Client, name, expected)))
            .Value;

    public async ValueTask InitializeAsync() =>
        _host = await DurableTaskTestHost.StartAsync(
            tasks =>
            {
                Tasks.Register(tasks);
                ProductTasks.Register(tasks);
            },
            new DurableTaskTestHostOptions
            {
                ConfigureServices = services => services.AddLogging(logging => logging.SetMinimumLevel(LogLevel.Warning)),
            }
        );

    // It waits for instances that never end; the process, which ends anyway, does not.
    public async ValueTask DisposeAsync() => await Task.WhenAny(_host!.DisposeAsync().AsTask(), Task.Delay(TimeSpan.FromSeconds(5)));
}

/// <summary>Ours on one database, shared by the scenarios of a class.</summary>
public abstract class OurEngine : IAsyncLifetime
{
    private IHost? _host;

    public DurableTaskClient Client => _host!.Services.GetRequiredService<DurableTaskClient>();

    public async ValueTask InitializeAsync()
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        await UseAsync(builder.Services);
        // The engines are compared, not their default spellings of JSON.
        builder.Services.AddSingleton<DataConverter>(JsonDataConverter.Default);
        builder.Services.AddDurableTaskWorker(worker =>
            worker
                .Configure(options => (options.Queues[Queues.StagedFiles], options.Queues[DriveQueues.Media]) = (2, 2))
                .AddTasks(tasks =>
                {
                    Tasks.Register(tasks);
                    ProductTasks.Register(tasks);
                })
        );
        _host = builder.Build();
        await _host.StartAsync();
    }

    public virtual async ValueTask DisposeAsync()
    {
        await _host!.StopAsync();
        _host.Dispose();
        GC.SuppressFinalize(this);
    }

    protected abstract Task UseAsync(IServiceCollection services);
}

public sealed class OurEngineOnPostgres(PostgresServer server) : OurEngine
{
    protected override async Task UseAsync(IServiceCollection services)
    {
        var database = await server.CreateDatabaseAsync();
        services.AddDurableTaskWorker(worker => worker.UsePostgreSql(database));
        services.AddDurableTaskClient(client => client.UsePostgreSql(database));
    }
}

public sealed class OurEngineOnSqlite : OurEngine
{
    private readonly string _folder = Scratch.CreateSubdirectory("librarian-reference-");

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        SqliteConnection.ClearAllPools();
        Directory.Delete(_folder, recursive: true);
    }

    protected override Task UseAsync(IServiceCollection services)
    {
        var database = $"Data Source={Path.Combine(_folder, "durable.db")}";
        services.AddDurableTaskWorker(worker => worker.UseSqlite(database));
        services.AddDurableTaskClient(client => client.UseSqlite(database));
        return Task.CompletedTask;
    }
}
