using Librarian.Orchestrations.PeerUpkeep;

namespace Librarian.Functions.Timers;

/// <summary>Keeps peers informed about each other's catalogs.</summary>
public sealed class PeerTimers(PeerCatalogCheck greetings)
{
    /// <summary>
    /// Calls every peer, so that a catalog restored from a backup is noticed even if nothing is sent, and asks for copies in doubt.
    /// </summary>
    [Function("GreetPeers")]
    public Task GreetPeersAsync(
        [TimerTrigger("%Schedules:GreetPeers%", UseMonitor = false)] TimerInfo timer,
        CancellationToken cancellationToken
    ) => greetings.GreetAsync(cancellationToken);
}
