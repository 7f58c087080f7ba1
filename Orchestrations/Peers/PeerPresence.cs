using Librarian.Domain.Catalog;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Peers;

/// <summary>
/// Knows which workflows of this process wait for which peer, and wakes them when the peer gives a sign of life: an authenticated call by
/// its account, or its answer to a call of this site. Without this, a pause that doubled while the peer was away would continue after its
/// return.
/// </summary>
/// <remarks>
/// It remembers only workflows that an activity has reported as waiting, and wakes each once per report, so a working link costs one
/// dictionary lookup. Nothing is persisted: <c>PeerProbes</c> learns again what a restart forgets, and every wait also ends by its
/// timer.
/// </remarks>
public sealed class PeerPresence(DurableTaskClient client, TimeProvider time, ILogger<PeerPresence> log)
{
    /// <summary>Event that ends the pause of a workflow that waits for a peer.</summary>
    public const string BackEvent = "PeerBack";

    /// <summary>Shortest time between two wake-ups by signs of life of one peer.</summary>
    public static readonly TimeSpan AtMostEvery = TimeSpan.FromSeconds(10);

    // Each woken workflow may read a file or make a call; the next sign of life wakes the others.
    private const int MostAtOnce = 256;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Waiters> _peers = new(StringComparer.Ordinal);

    /// <summary>Peers for which a workflow waits.</summary>
    public IReadOnlyList<string> Awaited
    {
        get
        {
            lock (_lock)
                return [.. _peers.Where(p => p.Value.Instances.Count > 0).Select(p => p.Key)];
        }
    }

    /// <summary>Whether a workflow waits for the peer.</summary>
    public bool IsAwaited(string peer)
    {
        lock (_lock)
            return _peers.TryGetValue(peer, out var waiters) && waiters.Instances.Count > 0;
    }

    /// <summary>Adds the workflow to those that wait for the peer.</summary>
    public void AddWaiting(string peer, string instanceId)
    {
        lock (_lock)
        {
            if (!_peers.TryGetValue(peer, out var waiters))
                _peers[peer] = waiters = new Waiters();
            waiters.Instances.Add(instanceId);
        }
    }

    /// <summary>Removes the workflow from those that wait: it calls the peer now, and the answers must not wake it.</summary>
    public void RemoveWaiting(string instanceId)
    {
        lock (_lock)
        {
            foreach (var waiters in _peers.Values)
                waiters.Instances.Remove(instanceId);
        }
    }

    /// <summary>Wakes the workflows that wait for the peer, because it has given a sign of life.</summary>
    /// <param name="peer">The peer's name.</param>
    /// <param name="cancellationToken">Cancels.</param>
    /// <param name="force">True to wake them even shortly after the last wake-up, because the registration has changed.</param>
    public async Task WakeWaitingAsync(string peer, CancellationToken cancellationToken, bool force = false)
    {
        ArgumentNullException.ThrowIfNull(peer);
        List<string> woken;
        lock (_lock)
        {
            if (!_peers.TryGetValue(peer, out var waiters) || waiters.Instances.Count == 0)
                return;
            if (!force && waiters.WokenAt is { } last && time.GetElapsedTime(last) < AtMostEvery)
                return;
            waiters.WokenAt = time.GetTimestamp();
            woken = [.. waiters.Instances.Take(MostAtOnce)];
            waiters.Instances.ExceptWith(woken);
        }

        Logs.PeerIsBack(log, peer, woken.Count);
        foreach (var instance in woken)
        {
            try
            {
                await client.RaiseEventAsync(instance, BackEvent, null, cancellationToken);
            }
            catch (Exception fault) when (CatalogDatabase.IsDatabaseFailure(fault))
            {
                // Its timer or the next sign of life wakes it.
                AddWaiting(peer, instance);
            }
        }
    }

    private sealed class Waiters
    {
        public HashSet<string> Instances { get; } = new(StringComparer.Ordinal);

        public long? WokenAt { get; set; }
    }
}
