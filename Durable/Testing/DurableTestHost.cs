using Librarian.Durable.Hosting;
using Librarian.Durable.Stores;
using Librarian.Durable.Worker;
using Microsoft.Data.Sqlite;
using Microsoft.DurableTask.Worker;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Librarian.Durable.Testing;

/// <summary>
/// Runs orchestrations in a test, with the test's clock: when no work is left at the present time, the host moves the clock to the next
/// timer, retry or delayed start. A workflow of weeks takes milliseconds. The host is the real engine on its own SQLite file, which is
/// deleted with the host.
/// </summary>
/// <example>
/// <code>
/// var time = new FakeTimeProvider(DateTimeOffset.UnixEpoch);
/// await using var host = await DurableTestHost.StartAsync(time, time.Advance,
///     worker => worker.AddTasks(tasks => tasks.AddTasksFrom(typeof(CloneOrchestrator).Assembly)));
/// var id = await host.Client.ScheduleNewOrchestrationInstanceAsync("clone", input);
/// var end = await host.RunToCompletionAsync(id);
/// </code>
/// </example>
public sealed class DurableTestHost : IAsyncDisposable
{
    // About a minute where the machine has nothing else to do. Not a time: a machine that is starved or stands still proves nothing.
    private const int MostChecks = 30_000;

    private readonly string _folder = Directory.CreateTempSubdirectory("durable-test-").FullName;
    private readonly TimeProvider _time;
    private readonly Action<TimeSpan> _advance;
    private readonly Action<IDurableTaskWorkerBuilder> _configure;
    private ServiceProvider? _services;

    private DurableTestHost(TimeProvider time, Action<TimeSpan> advance, Action<IDurableTaskWorkerBuilder> configure) =>
        (_time, _advance, _configure) = (time, advance, configure);

    /// <summary>Client that starts, queries and changes instances.</summary>
    public DatabaseDurableTaskClient Client => Services.GetRequiredService<DatabaseDurableTaskClient>();

    /// <summary>Services of the running host.</summary>
    public IServiceProvider Services => _services ?? throw new InvalidOperationException("The host is stopped.");

    /// <summary>Connection string of the SQLite file, for tests that read or change the engine's tables.</summary>
    public string ConnectionString => $"Data Source={Path.Combine(_folder, "durable.db")}";

    /// <summary>Starts a host.</summary>
    /// <param name="time">
    /// The test's clock, for example FakeTimeProvider. Activities that wait must use it, and the test must move it for them.
    /// </param>
    /// <param name="advance">Moves that clock forward.</param>
    /// <param name="configure">Registers orchestrators, activities and services. The database is already chosen.</param>
    public static async Task<DurableTestHost> StartAsync(
        TimeProvider time,
        Action<TimeSpan> advance,
        Action<IDurableTaskWorkerBuilder> configure
    )
    {
        ArgumentNullException.ThrowIfNull(time);
        ArgumentNullException.ThrowIfNull(advance);
        ArgumentNullException.ThrowIfNull(configure);
        var host = new DurableTestHost(time, advance, configure);
        await host.StartAsync();
        return host;
    }

    /// <summary>Stops the worker as a shutdown does, and starts another one on the same tables.</summary>
    public async Task RestartAsync()
    {
        await StopAsync();
        await StartAsync();
    }

    /// <summary>
    /// Lets the engine work, moving the clock from one due time to the next, until nothing is due before <paramref name="until"/>; then the
    /// clock shows <paramref name="until"/>.
    /// </summary>
    public async Task RunUntilAsync(DateTimeOffset until, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            await RunUntilIdleAsync(cancellationToken);
            var next = await NextDueAsync(cancellationToken);
            var target = next is { } due && due < until ? due : until;
            if (target > _time.GetUtcNow())
                _advance(target - _time.GetUtcNow());
            if (target == until)
            {
                await RunUntilIdleAsync(cancellationToken);
                return;
            }
        }
    }

    /// <summary>
    /// As above, until the instance has ended. Throws <see cref="InvalidOperationException"/> if it waits for something that no timer
    /// brings: an event that was never raised, a resume, or a task that is not registered.
    /// </summary>
    public async Task<OrchestrationMetadata> RunToCompletionAsync(string instanceId, CancellationToken cancellationToken = default)
    {
        while (true)
        {
            await RunUntilIdleAsync(cancellationToken);
            var instance = await Client.GetInstanceAsync(instanceId, getInputsAndOutputs: true, cancellationToken)
                ?? throw new ArgumentException($"InstanceNotFound: '{instanceId}'.", nameof(instanceId));
            if (instance.IsCompleted)
                return instance;
            var due = await NextDueAsync(cancellationToken)
                ?? throw new InvalidOperationException(
                    $"InstanceWaitsForEver: '{instanceId}' is {instance.RuntimeStatus} and no timer is left. "
                        + "Raise the event it waits for, resume it, or register the task that it calls."
                );
            _advance(due - _time.GetUtcNow());
        }
    }

    /// <summary>
    /// Lets the engine finish all work that is due now. The clock moves only in small steps while work is left, so that pauses after
    /// database faults end.
    /// </summary>
    public async Task RunUntilIdleAsync(CancellationToken cancellationToken = default)
    {
        var store = Services.GetRequiredService<DurableStore>();
        var signal = Services.GetRequiredService<WorkSignal>();
        // A turn deletes the messages and activity rows that it takes, so the remaining rows are the unfinished work.
        var busy = new SqlStatement(
            $"""
            select (select count(*) from dt_inbox b join dt_instance i on i.instance_id = b.instance_id
                    where b.visible_at <= {store.Now} and i.not_before <= case when i.owner is null then {store.Now} else i.not_before end
                      and (i.status in {RowStatus.TakesMessages}
                        or b.kind in ({(int)Engine.EventKind.ExecutionResumed}, {(int)Engine.EventKind.ExecutionTerminated})))
                 + (select count(*) from dt_activity where owner is not null or not_before <= {store.Now})
            """
        );
        for (var attempt = 1; ; attempt++)
        {
            await using (var session = await store.OpenAsync(cancellationToken))
            {
                if ((await session.QueryAsync(busy, reader => reader.GetInt64(0), cancellationToken))[0] == 0)
                    return;
            }

            // The engine polls by the test's clock, which does not move.
            if (attempt % 2 == 0)
                signal.RaiseLocal();
            // The engine's pauses after database faults also use the test's clock, so they need it to move a little.
            if (attempt % 25 == 0)
                _advance(TimeSpan.FromMilliseconds(100));
            if (attempt == MostChecks)
            {
                throw new InvalidOperationException(
                    $"StillBusy: work that is due has not ended after {MostChecks} checks. "
                        + "An activity may wait for the test's clock, or a task is not registered."
                );
            }

            await Task.Delay(TimeSpan.FromMilliseconds(1), TimeProvider.System, cancellationToken);
        }
    }

    /// <summary>Stops the worker and deletes the tables.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        using (var pool = new SqliteConnection(ConnectionString))
            SqliteConnection.ClearPool(pool);
        Directory.Delete(_folder, recursive: true);
    }

    private async Task StartAsync()
    {
        var services = new ServiceCollection();
        services.AddDurableTaskWorker(worker =>
        {
            worker.UseSqlite(ConnectionString, _time);
            _configure(worker);
        });
        services.AddDurableTaskClient(client => client.UseSqlite(ConnectionString));
        services.TryAddSingleton<ILoggerFactory>(NullLoggerFactory.Instance);
        services.TryAddSingleton(typeof(ILogger<>), typeof(Logger<>));
        _services = services.BuildServiceProvider();
        foreach (var service in _services.GetServices<IHostedService>())
            await service.StartAsync(CancellationToken.None);
    }

    private async Task StopAsync()
    {
        if (_services is not { } services)
            return;
        _services = null;
        var stop = Task.WhenAll(services.GetServices<IHostedService>().Select(service => service.StopAsync(CancellationToken.None)));
        // A stopping worker waits for running work by the test's clock.
        while (await Task.WhenAny(stop, Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System)) != stop)
            _advance(TimeSpan.FromMilliseconds(10));
        await stop;
        await services.DisposeAsync();
    }

    /// <summary>The next time at which a row becomes due.</summary>
    private async Task<DateTimeOffset?> NextDueAsync(CancellationToken cancellationToken)
    {
        var store = Services.GetRequiredService<DurableStore>();
        await using var session = await store.OpenAsync(cancellationToken);
        var due = (
            await session.QueryAsync(
                new SqlStatement(
                    $"""
                    select min(at) from (
                      select min(b.visible_at) as at from dt_inbox b join dt_instance i on i.instance_id = b.instance_id
                        where b.visible_at > {store.Now} and b.visible_at < {RecoveryMarker.Never}
                          and i.status in {RowStatus.TakesMessages}
                      union all
                      select min(i.not_before) from dt_instance i where i.owner is null and i.not_before > {store.Now}
                        and i.status in {RowStatus.TakesMessages}
                        and exists (select 1 from dt_inbox b where b.instance_id = i.instance_id and b.visible_at <= i.not_before)
                      union all select min(not_before) from dt_activity where owner is null and not_before > {store.Now})
                    """
                ),
                reader => reader.Integer(0),
                cancellationToken
            )
        )[0];
        return due is { } at ? DateTimeOffset.FromUnixTimeMilliseconds(at) : null;
    }
}
