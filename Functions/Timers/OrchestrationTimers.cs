using Librarian.Domain.Configuration;
using Librarian.Durable;
using Microsoft.DurableTask.Client;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Timers;

/// <summary>Keeps the tables of the durable engine from growing forever.</summary>
public sealed class OrchestrationTimers(
    DurableTaskClient client,
    IOptions<SiteOptions> options,
    TimeProvider time,
    ILogger<OrchestrationTimers> log
)
{
    // The next run removes the rest, so that one run never holds the timer for long.
    private static readonly TimeSpan LongestRun = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Removes ended instances with their histories after their retention time; failed ones have one of their own, which is not shorter.
    /// The engine removes them in transactions of at most 500: a crash leaves whole instances, and the next run goes on.
    /// </summary>
    [Function("PurgeFinishedInstances")]
    public async Task PurgeFinishedInstancesAsync(
        [TimerTrigger("%Schedules:PurgeFinishedInstances%", UseMonitor = false)] TimerInfo timer,
        CancellationToken cancellationToken
    )
    {
        await PurgeAsync(
            options.Value.FinishedInstanceRetention,
            "finished",
            [OrchestrationRuntimeStatus.Completed, OrchestrationRuntimeStatus.Terminated],
            cancellationToken
        );
        await PurgeAsync(options.Value.FailedInstanceRetention, "failed", [OrchestrationRuntimeStatus.Failed], cancellationToken);
    }

    private async Task PurgeAsync(
        TimeSpan retention,
        string kind,
        OrchestrationRuntimeStatus[] statuses,
        CancellationToken cancellationToken
    )
    {
        var limit = time.GetUtcNow() - retention;
        var result = await client.PurgeAllInstancesAsync(
            new EndedInstancesFilter
            {
                Statuses = statuses,
                CompletedTo = limit,
                Timeout = LongestRun,
            },
            cancellationToken
        );
        if (result.PurgedInstanceCount > 0)
            Logs.InstancesPurged(
                log,
                result.PurgedInstanceCount,
                kind,
                limit,
                result.IsComplete != false ? "none is left" : "more are left for the next run"
            );
    }
}
