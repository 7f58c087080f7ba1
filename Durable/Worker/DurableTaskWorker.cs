using Librarian.Durable.Stores;
using Microsoft.Extensions.Hosting;

namespace Librarian.Durable.Worker;

/// <summary>The background service: tables at start, then one worker incarnation after the other.</summary>
internal sealed class DurableTaskWorker(WorkerServices services) : BackgroundService
{
    private IAsyncDisposable? _entered;
    private string? _registered;

    /// <summary>
    /// Creates the tables, takes the process lock and puts the worker on record before the host counts as started, so that clients may write
    /// at once, a second process on a SQLite file fails with a clear error, and whoever asks the database whether a worker runs is told so from
    /// the first moment. A database that does not answer yet is waited for in the background.
    /// </summary>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        if (services.Options.RunWorker) _entered = await services.Store.EnterAsync(cancellationToken);
        if (services.Options.CreateSchemaAtStart)
        {
            try
            {
                await services.Store.EnsureSchemaAsync(cancellationToken);
                if (services.Options.RunWorker) _registered = await RegisterAsync(cancellationToken);
            }
            catch (Exception fault) when (services.Store.IsTransient(fault))
            {
                services.Logger.WorkerFault(fault, TimeSpan.Zero);
            }
        }

        await base.StartAsync(cancellationToken);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        if (_registered is { } unused)
        {
            // Stopped before it began: nobody else takes it off the record, and its lease would hold others up.
            _registered = null;
            try
            {
                await services.Leases.ReapAsync([unused], expired: false, cancellationToken);
            }
            catch (Exception fault) when (fault is OperationCanceledException || services.Store.IsTransient(fault))
            {
                services.Logger.WorkerFault(fault, services.Options.LeaseDuration);
            }
        }

        if (_entered is not null) await _entered.DisposeAsync();
        _entered = null;
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (!services.Options.RunWorker) return;
        await Task.Yield();
        using var completionsStop = new CancellationTokenSource();
        var completions = Task.Run(() => services.Completions.RunAsync(completionsStop.Token), CancellationToken.None);
        using var listenerStop = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        var listener = services.Store is PostgresStore postgres && services.Options.UseNotifications ? NotificationListener.RunAsync(postgres, services, listenerStop.Token) : Task.CompletedTask;
        var schemaKnown = !services.Options.CreateSchemaAtStart;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                if (!schemaKnown) await services.Store.EnsureSchemaAsync(stoppingToken);
                schemaKnown = true;
                var id = _registered ?? await RegisterAsync(stoppingToken);
                _registered = null;
                await using var incarnation = new WorkerIncarnation(services, id, stoppingToken);
                await incarnation.RunAsync();
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                break;
            }
            catch (Exception fault)
            {
                var delay = TimeSpan.FromMilliseconds(500);
                services.Logger.WorkerFault(fault, delay);
                await Task.Delay(delay, services.Time, stoppingToken).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            }
        }

        await completionsStop.CancelAsync();
        await Task.WhenAll(completions, listener).ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    private async Task<string> RegisterAsync(CancellationToken cancellationToken)
    {
        var id = $"{services.Options.NodeName}:{Environment.ProcessId}:{Guid.NewGuid():N}";
        await services.Leases.RegisterAsync(id, services.Options.NodeName, services.Options.LeaseDuration, cancellationToken);
        return id;
    }
}
