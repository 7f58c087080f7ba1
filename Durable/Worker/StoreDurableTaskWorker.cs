using Librarian.Durable.Stores;
using Microsoft.DurableTask.Worker;
using Microsoft.DurableTask.Worker.Hosting;

namespace Librarian.Durable.Worker;

/// <summary>The background service: creates the tables at the start, then runs one worker incarnation after the other.</summary>
internal sealed class StoreDurableTaskWorker : DurableTaskWorker
{
    private readonly WorkerServices _services;
    private IAsyncDisposable? _entered;
    private string? _registered;

    public StoreDurableTaskWorker(string name, IDurableTaskFactory factory, WorkerServices services)
        : base(name, factory)
    {
        _services = services;
        services.Tasks.Registry.Use(factory);
    }

    /// <summary>
    /// Creates the tables, takes the process lock and registers the worker before the host counts as started. Clients may then write at
    /// once, a second process on a SQLite file fails with a clear error, and the database shows a running worker from the first moment. If
    /// the database does not answer yet, the worker waits for it in the background.
    /// </summary>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        if (_services.Options.RunWorker)
            _entered = await _services.Database.Store.EnterAsync(cancellationToken);
        if (_services.Options.CreateSchemaAtStart)
        {
            try
            {
                await _services.Database.Store.EnsureSchemaAsync(cancellationToken);
                if (_services.Options.RunWorker)
                    _registered = await RegisterAsync(cancellationToken);
            }
            catch (Exception fault) when (_services.Database.Store.IsTransient(fault))
            {
                _services.Telemetry.Log.WorkerFault(fault, TimeSpan.Zero);
            }
        }

        await base.StartAsync(cancellationToken);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        if (_registered is { } unused)
        {
            // The worker stopped before its incarnation began: nothing else removes its registration, and its lease would delay others.
            _registered = null;
            try
            {
                await _services.Database.Leases.ExpireLeasesAsync([unused], expired: false, cancellationToken);
            }
            catch (Exception fault) when (fault is OperationCanceledException || _services.Database.Store.IsTransient(fault))
            {
                _services.Telemetry.Log.WorkerFault(fault, _services.Options.LeaseDuration);
            }
        }

        if (_entered is not null)
            await _entered.DisposeAsync();
        _entered = null;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (!_services.Options.RunWorker)
            return;
        await Task.Yield();
        using var completionsStop = new CancellationTokenSource();
        var completions = Task.Run(() => _services.Database.Completions.RunAsync(completionsStop.Token), CancellationToken.None);
        using var listenerStop = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        var listener =
            _services.Database.Store is PostgresStore postgres && _services.Options.UseNotifications
                ? NotificationListener.RunAsync(postgres, _services, listenerStop.Token)
                : Task.CompletedTask;
        var schemaKnown = !_services.Options.CreateSchemaAtStart;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                if (!schemaKnown)
                    await _services.Database.Store.EnsureSchemaAsync(stoppingToken);
                schemaKnown = true;
                var id = _registered ?? await RegisterAsync(stoppingToken);
                _registered = null;
                await using var incarnation = new WorkerIncarnation(_services, id, stoppingToken);
                await incarnation.RunAsync();
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                break;
            }
            catch (Exception fault)
            {
                var delay = TimeSpan.FromMilliseconds(500);
                _services.Telemetry.Log.WorkerFault(fault, delay);
                await Task.Delay(delay, _services.Time, stoppingToken)
                    .ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            }
        }

        await completionsStop.CancelAsync();
        await Task.WhenAll(completions, listener)
            .ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    private async Task<string> RegisterAsync(CancellationToken cancellationToken)
    {
        var id = $"{_services.Options.NodeName}:{Environment.ProcessId}:{Guid.NewGuid():N}";
        await _services.Database.Leases.RegisterAsync(id, _services.Options.NodeName, _services.Options.LeaseDuration, cancellationToken);
        return id;
    }
}
