using System.Security.Cryptography;
using System.Text;
using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Librarian.Domain.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Ingest;

/// <summary>
/// What sources have still to be told stands in the catalog (<see cref="IncomingTransfer.CallbackTries"/>), written with the end of the
/// transfer; this wakes the one workflow per source that tells it. Waking may be repeated and may be lost: a timer does it again.
/// </summary>
public sealed class SourceCallbacks(CatalogDatabase database, PeerDirectory peers, ErrorLog errors, DurableTaskClient client, ILogger<SourceCallbacks> log)
{
    // Instance ids may have 200 characters, names of librarians 256.
    private const int LongestPlainName = 150;

    /// <summary>Instance id of the workflow that tells a source.</summary>
    public static string InstanceId(string source)
    {
        ArgumentNullException.ThrowIfNull(source);
        return "tell-" + (source.Length <= LongestPlainName ? source : Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(source))));
    }

    /// <summary>Starts the workflow, or tells the running one that there is more.</summary>
    public async Task WakeAsync(string source, CancellationToken cancellationToken)
    {
        if (await peers.FindAsync(source, cancellationToken) is null)
        {
            await DropAsync(source, cancellationToken);
            return;
        }

        var id = InstanceId(source);
        var start = await client.TryScheduleNewOrchestrationInstanceAsync(nameof(TellSource), new TellSourceInput(source), new StartOrchestrationOptions(id), cancellationToken);
        if (!start.Started) await client.RaiseEventAsync(id, TellSource.MoreEvent, null, messageId: TellSource.MoreEvent, cancellation: cancellationToken);
    }

    /// <summary>Wakes the workflow of every source that has something to be told: after a crash, a restored backup, or one that was terminated.</summary>
    public async Task WakeAllAsync(CancellationToken cancellationToken)
    {
        List<string> sources;
        await using (var db = database.Open())
        {
            sources = await db.IncomingTransfers.Where(t => t.CallbackTries != null).Select(t => t.Source).Distinct().ToListAsync(cancellationToken);
        }

        foreach (var source in sources) await WakeAsync(source, cancellationToken);
    }

    /// <summary>Nobody of that name can be called: it finds out when it reviews its own transfers (wire.md §9.3).</summary>
    public async Task DropAsync(string source, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var due = db.IncomingTransfers.Where(t => t.Source == source && t.CallbackTries != null);
        if (!await due.AnyAsync(cancellationToken)) return;
        // Before they are dropped: after a crash in between, the next wake-up does both again.
        await errors.RaiseAsync(ErrorSeverity.Error, ErrorCategory.Configuration, $"callback {source}",
            $"'{source}' sends files but is not a registered librarian here, so it cannot be told that they have arrived. Add it with 'librarian add-librarian'; it also finds out by itself when it reviews its transfers.", cancellationToken);
        Logs.CallbacksDropped(log, await due.ExecuteUpdateAsync(s => s.SetProperty(t => t.CallbackTries, (int?)null), cancellationToken), source);
    }
}
