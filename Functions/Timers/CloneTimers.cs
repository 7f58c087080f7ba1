using Librarian.Domain.DataBatches;
using Librarian.Orchestrations.Clone;
using Librarian.Orchestrations.Incoming;
using Librarian.Orchestrations.PeerUpkeep;

namespace Librarian.Functions.Timers;

/// <summary>Recurring checks of the catalog. They only start workflows, which do the work.</summary>
public sealed class CloneTimers(
    CloneScheduler scheduler,
    IncomingWorkflows incoming,
    IncomingReview incomingReview,
    SourceCallbacks callbacks,
    StagingSweep staging,
    IncomingBatches batches,
    PeerProbes probes
)
{
    /// <summary>Finds files that a peer lacks, and starts batches for them.</summary>
    [Function("FindUnsyncedFiles")]
    public Task FindUnsyncedFilesAsync(
        [TimerTrigger("%Schedules:FindUnsyncedFiles%", UseMonitor = false)] TimerInfo timer,
        CancellationToken cancellationToken
    ) => scheduler.ScheduleAsync(cancellationToken);

    /// <summary>
    /// Starts the ingest of staged files, and the notification of their sources, where no workflow does so (after a crash or a restored
    /// backup).
    /// </summary>
    [Function("ReceiveStagedFiles")]
    public async Task ReceiveStagedFilesAsync(
        [TimerTrigger("%Schedules:ReceiveStaged%", UseMonitor = false)] TimerInfo timer,
        CancellationToken cancellationToken
    )
    {
        await incoming.StartAllStagedAsync(cancellationToken);
        await callbacks.WakeAllAsync(cancellationToken);
    }

    /// <summary>Probes the peers for which something waits, and wakes it if they answer.</summary>
    [Function("ProbePeers")]
    public Task ProbePeersAsync(
        [TimerTrigger("%Schedules:ProbePeers%", UseMonitor = false)] TimerInfo timer,
        CancellationToken cancellationToken
    ) => probes.ProbeAsync(cancellationToken);

    /// <summary>Reviews transfers that have been silent for too long, and sweeps staging directories of ended ones.</summary>
    [Function("ReviewStaleTransfers")]
    public async Task ReviewStaleTransfersAsync(
        [TimerTrigger("%Schedules:ReviewStaleTransfers%", UseMonitor = false)] TimerInfo timer,
        CancellationToken cancellationToken
    )
    {
        await scheduler.ReviewStaleAsync(cancellationToken);
        await incomingReview.ReviewStaleAsync(cancellationToken);
        await staging.SweepAsync(cancellationToken);
        await batches.SweepAsync(cancellationToken);
    }
}
