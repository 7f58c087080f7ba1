using System.Data.Common;
using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Librarian.Durable.Worker;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Librarian.Durable.Hub;

/// <summary>
/// Starts and events that were given with a transaction. A hub cannot take part in the transaction, so they are sent after its commit and
/// dropped after a rollback.
/// </summary>
/// <remarks>
/// Entries that are lost in between (a crash, a commit whose answer was lost, an unavailable hub) are not sent again from here: the timers
/// that look for work without a workflow start it, so nothing has to be persisted.
/// </remarks>
public sealed class HubOutbox : BackgroundService
{
    // This many wait only when the hub has been slower than the site for long; the timers handle dropped entries.
    private const int MostWaiting = 10_000;
    private const int AtOnce = 8;

    private readonly ConditionalWeakTable<DbTransaction, List<Func<CancellationToken, Task>>> _open = [];
    private readonly Channel<List<Func<CancellationToken, Task>>> _committed = Channel.CreateBounded<List<Func<CancellationToken, Task>>>(
        new BoundedChannelOptions(MostWaiting) { FullMode = BoundedChannelFullMode.DropWrite }
    );

    private readonly ILogger<HubOutbox> _log;

    internal HubOutbox(ILogger<HubOutbox> log) => _log = log;

    /// <summary>
    /// Call when a transaction has begun. Drivers reuse transaction objects, so entries that an earlier transaction left are dropped.
    /// </summary>
    public void Begun(DbTransaction transaction) => _open.Remove(transaction);

    /// <summary>Call when a transaction has committed. Its entries are sent in their order.</summary>
    public void Committed(DbTransaction transaction)
    {
        if (!_open.TryGetValue(transaction, out var sends))
            return;
        _open.Remove(transaction);
        _committed.Writer.TryWrite(sends);
    }

    internal void Keep(DbTransaction transaction, Func<CancellationToken, Task> send) => _open.GetOrAdd(transaction, _ => []).Add(send);

    /// <inheritdoc/>
    protected override Task ExecuteAsync(CancellationToken stoppingToken) =>
        Parallel.ForEachAsync(
            _committed.Reader.ReadAllAsync(stoppingToken),
            new ParallelOptions { MaxDegreeOfParallelism = AtOnce, CancellationToken = stoppingToken },
            SendAsync
        );

    private async ValueTask SendAsync(List<Func<CancellationToken, Task>> sends, CancellationToken cancellation)
    {
        try
        {
            foreach (var send in sends)
                await send(cancellation);
        }
        catch (HubException away) when (away.IsTransient)
        {
            // HubConnection has logged the outage, and a timer starts the missing work.
        }
        catch (Exception refused) when (refused is not OperationCanceledException)
        {
            _log.HubRefused(refused);
        }
    }
}
