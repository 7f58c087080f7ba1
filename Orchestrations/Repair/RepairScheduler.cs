using Librarian.Domain.Catalog;
using Librarian.Domain.Stores;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Repair;

/// <summary>Starts a <see cref="RepairCopy"/> for every corrupt copy without one, and purges quarantined data after a week.</summary>
public sealed class RepairScheduler(
    CatalogDatabase database,
    SiteStores stores,
    DatabaseDurableTaskClient client,
    TimeProvider time,
    ILogger<RepairScheduler> log
)
{
    private const int PageSize = 500;

    /// <summary>How long replaced data stay in quarantine, so that people can examine them.</summary>
    public static readonly TimeSpan KeepReplaced = TimeSpan.FromDays(7);

    /// <summary>Starts repairs that do not run yet. Returns how many were started.</summary>
    public async Task<int> ScheduleAsync(CancellationToken cancellationToken)
    {
        var started = 0;
        for (var after = 0L; ; )
        {
            var from = after;
            List<long> page;
            await using (var db = database.Open())
            {
                page = await db
                    .CorruptFiles.Where(c => c.Id > from)
                    .OrderBy(c => c.Id)
                    .Select(c => c.Id)
                    .Take(PageSize)
                    .ToListAsync(cancellationToken);
            }

            if (page.Count == 0)
                break;
            after = page[^1];
            var results = await client.ScheduleNewOrchestrationInstancesAsync(
                [
                    .. page.Select(id => new OrchestrationStart(
                        nameof(RepairCopy),
                        new RepairInput(id),
                        new StartOrchestrationOptions(RepairCopy.InstanceId(id))
                    )),
                ],
                transaction: null,
                cancellationToken
            );
            started += results.Count(r => r.Started);
        }

        foreach (var store in stores.Configured)
        {
            if (await stores.FindAsync(store.Id, cancellationToken) is not { } mounted)
                continue;
            try
            {
                await mounted.PurgeQuarantineAsync(time.GetUtcNow() - KeepReplaced, cancellationToken);
            }
            catch (IOException e)
            {
                Logs.QuarantineNotPurged(log, mounted.Options.Name, e.Message);
            }
        }

        return started;
    }
}
