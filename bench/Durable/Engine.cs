using System.Diagnostics;
using System.Diagnostics.Metrics;
using Librarian.Durable;
using Librarian.Durable.Hosting;
using Microsoft.DurableTask.Client;
using Microsoft.DurableTask.Worker;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Librarian.Bench.Durable;

/// <summary>One database and its connection string.</summary>
internal sealed record BenchDatabase(string Kind, string ConnectionString)
{
    public bool IsPostgres => Kind == "postgres";

    public IHost Build(string node, Action<DurableTaskOptions>? configure = null)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Services.AddDurableTaskClient(durable =>
            _ = IsPostgres ? durable.UsePostgreSql(ConnectionString) : durable.UseSqlite(ConnectionString)
        );
        builder.Services.AddDurableTaskWorker(durable =>
        {
            if (IsPostgres)
                durable.UsePostgreSql(ConnectionString);
            else
                durable.UseSqlite(ConnectionString);
            durable.Configure(options => options.NodeName = node);
            if (configure is not null)
                durable.Configure(configure);
            durable.AddTasks(Workload.Register);
        });
        return builder.Build();
    }
}

/// <summary>A started engine in this process that measures its database traffic and the durations of its turns.</summary>
internal sealed class Engine : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly MeterListener _listener = new();
    private readonly Dictionary<string, long> _counts = new(StringComparer.Ordinal);
    private readonly List<double> _turns = [];

    private Engine(IHost host)
    {
        _host = host;
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (
                instrument.Meter.Name == "Librarian.Durable"
                && (instrument.Name.StartsWith("durable.db.", StringComparison.Ordinal) || instrument.Name == "durable.turn.duration")
            )
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>(
            (instrument, value, _, _) =>
            {
                lock (_counts)
                    _counts[instrument.Name] = value;
            }
        );
        _listener.SetMeasurementEventCallback<double>(
            (_, value, _, _) =>
            {
                lock (_turns)
                    _turns.Add(value);
            }
        );
        _listener.Start();
    }

    public DatabaseDurableTaskClient Client => _host.Services.GetRequiredService<DatabaseDurableTaskClient>();

    public static async Task<Engine> StartAsync(BenchDatabase database, Action<DurableTaskOptions>? configure = null)
    {
        var host = database.Build("bench", configure);
        var engine = new Engine(host);
        await host.StartAsync();
        return engine;
    }

    /// <summary>Statements, commits and waits for the server since the start.</summary>
    public Traffic ReadTraffic()
    {
        _listener.RecordObservableInstruments();
        lock (_counts)
            return new(_counts["durable.db.statements"], _counts["durable.db.commits"], _counts["durable.db.round_trips"]);
    }

    /// <summary>Durations in seconds of the turns since the last call.</summary>
    public List<double> TakeTurns()
    {
        lock (_turns)
        {
            List<double> taken = [.. _turns];
            _turns.Clear();
            return taken;
        }
    }

    /// <summary>Starts instances, waits for all of them, and returns the cost.</summary>
    public async Task<Cost> RunAsync(IReadOnlyList<OrchestrationStart> starts)
    {
        var before = ReadTraffic();
        var watch = Stopwatch.StartNew();
        var started = await Client.ScheduleNewOrchestrationInstancesAsync(starts);
        await EndAsync([.. started.Select(start => start.InstanceId)]);
        return new(watch.Elapsed, ReadTraffic() - before);
    }

    public async Task EndAsync(IReadOnlyList<string> ids)
    {
        foreach (var id in ids)
        {
            var end = await Client.WaitForInstanceCompletionAsync(id);
            if (end.RuntimeStatus != OrchestrationRuntimeStatus.Completed)
                throw new InvalidOperationException($"{id} ended {end.RuntimeStatus}: {end.FailureDetails}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _listener.Dispose();
        if (_host is IAsyncDisposable disposable)
            await disposable.DisposeAsync();
    }
}

internal readonly record struct Traffic(long Statements, long Commits, long RoundTrips)
{
    public static Traffic operator -(Traffic a, Traffic b) =>
        new(a.Statements - b.Statements, a.Commits - b.Commits, a.RoundTrips - b.RoundTrips);
}

internal readonly record struct Cost(TimeSpan Time, Traffic Traffic);
