using Librarian.Domain.Transfers;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Incoming;

/// <summary>Removes what ended transfers have left in staging.</summary>
/// <remarks>
/// The start needs it before it opens the site's keys, so it must not depend on anything that calls peers.
/// </remarks>
public sealed class StagingSweep(IncomingTransfers incoming, ILogger<IncomingWorkflows> log)
{
    /// <summary>Removes staging directories of ended transfers.</summary>
    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        var removed = await incoming.SweepStagingAsync(cancellationToken);
        if (removed > 0)
            Logs.StagingSwept(log, removed);
    }
}
