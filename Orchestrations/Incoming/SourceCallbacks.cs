using System.Security.Cryptography;
using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Librarian.Domain.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Incoming;

/// <summary>
/// Wakes the workflow that calls a source back; there is one for each source. The catalog records that a callback is due
/// (<see cref="IncomingTransfer.CallbackTries"/>) together with the end of the transfer. So a wake-up may be repeated or lost: a timer
/// repeats it.
/// </summary>
public sealed class SourceCallbacks(
    CatalogDatabase database,
    PeerDirectory peers,
    ErrorLog errors,
    DatabaseDurableTaskClient client,
    ILogger<SourceCallbacks> log
)
{
    // Instance ids may have 200 characters, names of sites 256.
    private const int LongestPlainName = 150;

    public static string InstanceId(string source) => "tell-" + NameInId(source);

    /// <summary>The form of a site's name in instance ids: the name, or its digest when the name is too long.</summary>
    public static string NameInId(string site)
    {
        ArgumentNullException.ThrowIfNull(site);
        return site.Length <= LongestPlainName ? site : Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(site)));
    }

    /// <summary>Starts the workflow, or notifies the running one of new callbacks.</summary>
    public Task WakeAsync(string source, CancellationToken cancellationToken) => WakeAsync(source, notify: true, cancellationToken);

    private async Task WakeAsync(string source, bool notify, CancellationToken cancellationToken)
    {
        if (await peers.FindAsync(source, cancellationToken) is null)
        {
            await DropAsync(source, cancellationToken);
            return;
        }

        var id = InstanceId(source);
        var start = await client.TryScheduleNewOrchestrationInstanceAsync(
            NotifySource.TaskName,
            new NotifySourceInput(source),
            new StartOrchestrationOptions(id),
            cancellationToken
        );
        if (!start.Started && notify)
            await client.RaiseEventAsync(
                id,
                NotifySource.MoreEvent,
                null,
                messageId: NotifySource.MoreEvent,
                cancellation: cancellationToken
            );
    }

    /// <summary>
    /// Wakes the workflow of every source with due callbacks. This is the recovery after a crash, a restored backup, or the termination of
    /// a workflow.
    /// </summary>
    public async Task WakeAllAsync(CancellationToken cancellationToken)
    {
        List<string> sources;
        await using (var db = database.Open())
        {
            sources = await db
                .IncomingTransfers.Where(t => t.CallbackTries != null)
                .Select(t => t.Source)
                .Distinct()
                .ToListAsync(cancellationToken);
        }

        // A hub keeps every event, so a source that is away for weeks would collect one for each run of the timer. A running workflow finds
        // due callbacks without events.
        foreach (var source in sources)
            await WakeAsync(source, notify: client.StartsInTransaction, cancellationToken);
    }

    /// <summary>
    /// Drops the due callbacks of a source that is not a registered peer, and records an error. The source notices when it reviews its
    /// transfers (docs/spec/wire.md#review-of-outgoing-transfers).
    /// </summary>
    public async Task DropAsync(string source, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var due = db.IncomingTransfers.Where(t => t.Source == source && t.CallbackTries != null);
        if (!await due.AnyAsync(cancellationToken))
            return;
        // Record the error first: after a crash in between, the next wake-up does both again.
        await errors.RaiseAsync(
            ErrorSeverity.Error,
            ErrorCategory.Configuration,
            $"callback {source}",
            $"'{source}' sends files but is not a registered peer here, so it cannot be notified that they have arrived. "
                + "Add it with 'librarian add-librarian'; it also finds out by itself when it reviews its transfers.",
            cancellationToken
        );
        Logs.CallbacksDropped(
            log,
            await due.ExecuteUpdateAsync(s => s.SetProperty(t => t.CallbackTries, (int?)null), cancellationToken),
            source
        );
    }

    /// <summary>The next page of due callbacks of a source; transfers on which the source itself has failed before come last.</summary>
    public async Task<List<DueCallback>> DueAsync(string source, int limit, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        return await db
            .IncomingTransfers.Where(t => t.Source == source && t.CallbackTries != null)
            .OrderBy(t => t.CallbackTries)
            .ThenBy(t => t.Id)
            .Select(t => new DueCallback(
                t.Id,
                t.SourceTransferId!.Value,
                t.Status == TransferStatus.Completed,
                t.StoreId,
                t.EndTime,
                t.FileName,
                t.TransferChecksum,
                t.TransferSize
            ))
            .Take(limit)
            .ToListAsync(cancellationToken);
    }

    /// <summary>Records the results of a page.</summary>
    /// <param name="notified">Transfers of which the source knows now.</param>
    /// <param name="failed">Transfers on which the source failed.</param>
    /// <param name="cancellationToken">Cancels.</param>
    public async Task RecordAsync(IReadOnlyCollection<long> notified, IReadOnlyCollection<long> failed, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        if (notified.Count > 0)
            await db
                .IncomingTransfers.Where(t => notified.Contains(t.Id))
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.CallbackTries, (int?)null), cancellationToken);
        if (failed.Count > 0)
            await db
                .IncomingTransfers.Where(t => failed.Contains(t.Id))
                .ExecuteUpdateAsync(s => s.SetProperty(t => t.CallbackTries, t => t.CallbackTries + 1), cancellationToken);
    }
}
