using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Ingest;
using Librarian.Orchestrations.Peers;

namespace Librarian.Functions.Timers;

/// <summary>Recurring looks at the catalog. They only start workflows; the work itself is theirs.</summary>
public sealed class CloneTimers(CloneScheduler scheduler, Arrivals arrivals, SourceCallbacks callbacks, PeerConnections peers, TimeProvider time)
{
    /// <summary>Finds files that a neighbour lacks and starts a batch for them.</summary>
    [Function("FindUnsyncedFiles")]
    public Task FindUnsyncedFilesAsync([TimerTrigger("%Schedules:FindUnsyncedFiles%")] TimerInfo timer, CancellationToken cancellationToken) => scheduler.ScheduleAsync(cancellationToken);

    /// <summary>Starts the ingest of staged files, and the telling of their sources, where no workflow does it (after a crash or a restored backup).</summary>
    [Function("ReceiveStagedFiles")]
    public async Task ReceiveStagedFilesAsync([TimerTrigger("%Schedules:ReceiveStaged%")] TimerInfo timer, CancellationToken cancellationToken)
    {
        await arrivals.StartAllStagedAsync(cancellationToken);
        await callbacks.WakeAllAsync(cancellationToken);
    }

    /// <summary>Reviews transfers that have been silent for too long, and sweeps staging that ended ones left.</summary>
    [Function("ReviewStaleTransfers")]
    public async Task ReviewStaleTransfersAsync([TimerTrigger("%Schedules:ReviewStaleTransfers%")] TimerInfo timer, CancellationToken cancellationToken)
    {
        await scheduler.ReviewStaleAsync(cancellationToken);
        await arrivals.ReviewStaleAsync(peers, time, cancellationToken);
        await arrivals.SweepAsync(cancellationToken);
    }
}
