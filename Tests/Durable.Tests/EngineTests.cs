using System.Data.Common;
using Librarian.Durable.Stores;
using Librarian.Durable.Worker;
using Librarian.Tests.TestKit;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Npgsql;

[assembly: AssemblyFixture(typeof(PostgresServer))]

// The long ones wait most of the time: for kills, for leases, for idleness.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.All, MaxThreads = 6)]

namespace Librarian.Tests.Durable;

/// <summary>One empty database of either kind, and hosts on it.</summary>
public abstract class TestDatabase : IAsyncDisposable
{
    private string? _connectionString;

    public abstract bool IsPostgres { get; }

    public async Task<string> ConnectionStringAsync() => _connectionString ??= await CreateAsync();

    /// <summary>Null before the database was made.</summary>
    protected string? Created => _connectionString;

    public abstract void Use(IDurableTaskWorkerBuilder builder, string connectionString);

    public abstract void Use(IDurableTaskClientBuilder builder, string connectionString);

    public abstract DbConnection Connect(string connectionString);

    protected abstract Task<string> CreateAsync();

    public abstract ValueTask DisposeAsync();
}

public sealed class PostgresDatabase(PostgresServer server) : TestDatabase
{
    public override bool IsPostgres => true;

    public override void Use(IDurableTaskWorkerBuilder builder, string connectionString) => builder.UsePostgreSql(connectionString);

    public override void Use(IDurableTaskClientBuilder builder, string connectionString) => builder.UsePostgreSql(connectionString);

    public override DbConnection Connect(string connectionString) => new NpgsqlConnection(connectionString);

    protected override Task<string> CreateAsync() => server.CreateDatabaseAsync();

    public override async ValueTask DisposeAsync()
    {
        // Otherwise its connections stay open for five minutes, and those of some hundred tests are all that the server has.
        if (Created is null)
            return;
        await using var any = new NpgsqlConnection(Created);
        NpgsqlConnection.ClearPool(any);
    }
}

public sealed class SqliteDatabase : TestDatabase
{
    private readonly string _folder = Scratch.CreateSubdirectory("librarian-durable-");

    public override bool IsPostgres => false;

    public override void Use(IDurableTaskWorkerBuilder builder, string connectionString) => builder.UseSqlite(connectionString);

    public override void Use(IDurableTaskClientBuilder builder, string connectionString) => builder.UseSqlite(connectionString);

    public override DbConnection Connect(string connectionString) => new SqliteConnection(connectionString);

    protected override Task<string> CreateAsync() => Task.FromResult($"Data Source={Path.Combine(_folder, "site.db")}");

    public override ValueTask DisposeAsync()
    {
        SqliteConnection.ClearAllPools();
        Directory.Delete(_folder, recursive: true);
        return ValueTask.CompletedTask;
    }
}

/// <summary>A started host with the engine.</summary>
public sealed class EngineHost : IAsyncDisposable
{
    private readonly IHost _host;
    private bool _stopped;

    private EngineHost(IHost host) => _host = host;

    public DatabaseDurableTaskClient Client => _host.Services.GetRequiredService<DatabaseDurableTaskClient>();

    public IServiceProvider Services => _host.Services;

    internal WorkerServices Worker => _host.Services.GetRequiredService<WorkerServices>();

    internal DurableStore Store => _host.Services.GetRequiredService<DurableStore>();

    public static async Task<EngineHost> StartAsync(
        TestDatabase database,
        Action<IDurableTaskWorkerBuilder> configure,
        Action<EngineHost>? beforeStart = null
    )
    {
        var connectionString = await database.ConnectionStringAsync();
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddDurableTaskWorker(durable =>
        {
            database.Use(durable, connectionString);
            durable.Configure(options =>
            {
                options.FirstBackoff = TimeSpan.FromMilliseconds(10);
                options.DrainTimeout = TimeSpan.FromSeconds(5);
            });
            configure(durable);
        });
        builder.Services.AddDurableTaskClient(client => database.Use(client, connectionString));
        var host = new EngineHost(builder.Build());
        beforeStart?.Invoke(host);
        await host._host.StartAsync();
        return host;
    }

    public async Task StopAsync()
    {
        if (_stopped)
            return;
        _stopped = true;
        await _host.StopAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        if (_host is IAsyncDisposable disposable)
            await disposable.DisposeAsync();
        else
            _host.Dispose();
    }
}

/// <summary>
/// What every suite needs: a database, hosts that are stopped at the end, short waits, and SQL to look behind the engine.
/// </summary>
public abstract class EngineTests(TestDatabase database) : IAsyncDisposable
{
    /// <summary>After which a wait is a hang. No test measures with it: a disk that takes 20 ms per commit is not a defect.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromMinutes(20);
    private readonly List<EngineHost> _hosts = [];

    protected TestDatabase Database { get; } = database;

    protected async Task<EngineHost> StartAsync(Action<IDurableTaskWorkerBuilder> configure, Action<EngineHost>? beforeStart = null)
    {
        var host = await EngineHost.StartAsync(Database, configure, beforeStart);
        _hosts.Add(host);
        return host;
    }

    protected static async Task<OrchestrationMetadata> EndOf(EngineHost host, string id)
    {
        using var limit = new CancellationTokenSource(Limit);
        return await host.Client.WaitForInstanceCompletionAsync(id, getInputsAndOutputs: true, limit.Token);
    }

    protected static async Task<T?> RunAsync<T>(EngineHost host, string name, object? input = null)
    {
        var end = await EndOf(host, await host.Client.ScheduleNewOrchestrationInstanceAsync(name, input));
        Assert.True(end.RuntimeStatus == OrchestrationRuntimeStatus.Completed, $"{end.RuntimeStatus}: {end.FailureDetails}");
        return end.ReadOutputAs<T>();
    }

    protected static Task Until(Func<Task<bool>> condition, string what) => Wait.UntilAsync(condition, () => what, Limit);

    protected async Task<long> Count(string sql)
    {
        await using var connection = Database.Connect(await Database.ConnectionStringAsync());
        await connection.OpenAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        return Convert.ToInt64(await command.ExecuteScalarAsync());
    }

    protected async Task Execute(string sql)
    {
        await using var connection = Database.Connect(await Database.ConnectionStringAsync());
        await connection.OpenAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync();
    }

    protected async Task AssertInvariantsAsync(EngineHost host)
    {
        await host.StopAsync();
        await using var connection = Database.Connect(await Database.ConnectionStringAsync());
        await connection.OpenAsync();
        await Invariants.AssertAsync(connection);
    }

    public virtual async ValueTask DisposeAsync()
    {
        foreach (var host in _hosts)
            await host.DisposeAsync();
        await Database.DisposeAsync();
        GC.SuppressFinalize(this);
    }
}
