using Librarian.Durable.Stores;
using Npgsql;

namespace Librarian.Durable.Worker;

/// <summary>
/// Turns PostgreSQL notifications of other processes into local signals. Without them (PgBouncer, lost connection) polling finds the work.
/// </summary>
internal static class NotificationListener
{
    public static async Task RunAsync(PostgresStore store, WorkerServices services, CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                await using var connection = store.CreateDedicatedConnection();
                connection.Notification += (_, notification) =>
                {
                    if (notification.Payload != services.Signal.Tag)
                        services.Signal.RaiseLocal();
                };
                await connection.OpenAsync(cancellationToken);
                await using (var listen = new NpgsqlCommand("listen " + PostgresStore.Channel, connection))
                    await listen.ExecuteNonQueryAsync(cancellationToken);
                // Notifications may have been sent while no connection listened.
                services.Signal.RaiseLocal();
                while (true)
                    await connection.WaitAsync(cancellationToken);
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault)
            {
                services.Telemetry.Log.ListenerFault(fault);
                await Task.Delay(TimeSpan.FromSeconds(1), services.Time, cancellationToken)
                    .ContinueWith(static _ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            }
        }
    }
}
