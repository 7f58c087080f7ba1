using System.Diagnostics;
using Librarian.Durable.Stores;
using Microsoft.Extensions.Logging;
using Npgsql;
using NpgsqlTypes;

namespace Librarian.Durable.Worker;

/// <summary>
/// The lease of one worker incarnation on a shared database (docs/spec/durable-engine.md#r5-lease,
/// docs/spec/durable-engine.md#r5b-nobody-reaps-at-once). Its heartbeat has its own thread and connection, so that neither busy activities
/// nor an exhausted pool delay it; if a heartbeat is not confirmed in time, the lease declares itself lost before another worker may take
/// over. The connection holds an advisory lock named after the incarnation: when the process dies, a successor on the same node finds the
/// lock free and need not wait for the lease to expire.
/// </summary>
internal sealed class WorkerLease : IDisposable
{
    private readonly PostgresStore _store;
    private readonly string _beat;
    private readonly DurableTaskOptions _options;
    private readonly Telemetry _telemetry;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _lost = new();
    private readonly ManualResetEventSlim _stop = new();
    private readonly Thread _thread;
    private readonly long _started = Stopwatch.GetTimestamp();
    private long _confirmed;
    private long _expiry = long.MaxValue;

    public WorkerLease(PostgresStore store, string workerId, string beat, DurableTaskOptions options, Telemetry telemetry, ILogger logger)
    {
        (_store, WorkerId, _beat, _options, _telemetry, _logger) = (store, workerId, beat, options, telemetry, logger);
        Lost = _lost.Token;
        _confirmed = _started;
        _lost.CancelAfter(options.LeaseDuration - options.LeaseMargin);
        _thread = new Thread(Run)
        {
            IsBackground = true,
            Name = "durable-lease",
            Priority = ThreadPriority.AboveNormal,
        };
        _thread.Start();
    }

    public string WorkerId { get; }

    /// <summary>Cancelled when this incarnation may no longer work. Can also be read after disposal.</summary>
    public CancellationToken Lost { get; }

    /// <summary>
    /// True once the lease has been renewed for one full lease duration. Only then may this worker treat the leases of others as expired
    /// (docs/spec/durable-engine.md#r5b-nobody-reaps-at-once).
    /// </summary>
    public bool HasBeatenForOneLease => Stopwatch.GetElapsedTime(_started, Volatile.Read(ref _confirmed)) >= _options.LeaseDuration;

    /// <summary>
    /// Time until the first lease of the other workers ends, according to the last heartbeat; zero or negative if one has ended.
    /// </summary>
    public TimeSpan UntilExpiry =>
        Volatile.Read(ref _expiry) is var at && at == long.MaxValue
            ? TimeSpan.MaxValue
            : Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), at);

    /// <summary>Call when that lease was handled; the next heartbeat sets the time again.</summary>
    public void ForgetExpiry() => Volatile.Write(ref _expiry, long.MaxValue);

    public void Dispose()
    {
        _stop.Set();
        _thread.Join();
        _stop.Dispose();
        _lost.Dispose();
    }

    private void Run()
    {
        NpgsqlConnection? connection = null;
        while (!_stop.IsSet)
        {
            var wait = _options.HeartbeatInterval;
            try
            {
                var sent = Stopwatch.GetTimestamp();
                connection ??= Connect();
                using var command = new NpgsqlCommand(_beat, connection);
                command.Parameters.Add(new NpgsqlParameter("id", NpgsqlDbType.Text) { Value = WorkerId });
                command.Parameters.Add(
                    new NpgsqlParameter("lease", NpgsqlDbType.Bigint) { Value = (long)_options.LeaseDuration.TotalMilliseconds }
                );
                _store.Count(1, 1, 1);
                if (command.ExecuteScalar() is not long untilExpiry)
                {
                    Abandon("another worker found the lease expired");
                    break;
                }

                // The lease runs from the moment at which the heartbeat was sent, not from its answer.
                var left = _options.LeaseDuration - _options.LeaseMargin - Stopwatch.GetElapsedTime(sent);
                if (_lost.IsCancellationRequested || left <= TimeSpan.Zero)
                {
                    Abandon("the heartbeat was confirmed too late");
                    break;
                }

                _lost.CancelAfter(left);
                Volatile.Write(ref _expiry, Stopwatch.GetTimestamp() + (untilExpiry * Stopwatch.Frequency / 1000));
                Volatile.Write(ref _confirmed, sent);
            }
            catch (Exception fault)
            {
                _logger.HeartbeatFailed(fault, WorkerId);
                connection?.Dispose();
                connection = null;
                wait = TimeSpan.FromMilliseconds(Math.Min(200, _options.HeartbeatInterval.TotalMilliseconds));
                if (_lost.IsCancellationRequested)
                {
                    Abandon("the heartbeat was not confirmed in time");
                    break;
                }
            }

            _stop.Wait(wait);
        }

        connection?.Dispose();
    }

    private void Abandon(string reason)
    {
        _telemetry.LeaseLost();
        _logger.LeaseLost(WorkerId, reason);
        _lost.Cancel();
    }

    private NpgsqlConnection Connect()
    {
        var connection = _store.CreateDedicatedConnection();
        try
        {
            connection.Open();
            using var command = new NpgsqlCommand(PostgresStore.TryLockWorker, connection);
            command.Parameters.Add(new NpgsqlParameter("id", NpgsqlDbType.Text) { Value = WorkerId });
            _store.Count(1, 1, 1);
            command.ExecuteScalar();
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }
}
