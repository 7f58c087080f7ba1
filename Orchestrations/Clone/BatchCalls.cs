using Librarian.Client;
using Librarian.Client.Wire;
using Librarian.Domain.Catalog;
using Librarian.Domain.Errors;
using Librarian.Domain.Peers;
using Librarian.Domain.Transfers;
using Librarian.Orchestrations.Peers;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations.Clone;

/// <summary>
/// Calls of a batch to its peer: they connect to it, record its absence, its refusals and its lack of space, and end the steps of the
/// batch.
/// </summary>
public sealed class BatchCalls(
    CatalogDatabase database,
    PeerDirectory directory,
    PeerConnections peers,
    PeerPresence presence,
    ErrorLog errors,
    TimeProvider time,
    ILogger<BatchCalls> log
)
{
    /// <summary>A batch may wait this long before an error is recorded.</summary>
    private static readonly TimeSpan ReportErrorAfter = TimeSpan.FromDays(1);

    private static readonly TimeSpan PingTimeout = TimeSpan.FromSeconds(30);

    /// <summary>The peer, or the reason why it cannot be called.</summary>
    public async Task<(PeerClient? Peer, string Why)> ConnectAsync(string destination, CancellationToken cancellationToken)
    {
        var peer = await peers.FindAsync(destination, cancellationToken);
        if (peer is null)
            return (
                null,
                $"Peer '{destination}' is not registered, or its credentials cannot be decrypted with this site's key. "
                    + "Nothing was sent; add it with 'librarian add-librarian'."
            );
        return peer.Login.TransfersEnabled ? (peer, "") : (null, $"Transfers to '{destination}' are switched off.");
    }

    /// <summary>A client for the peer that waits this long for an answer.</summary>
    public LibrarianClient WithTimeout(PeerClient peer, TimeSpan timeout)
    {
        ArgumentNullException.ThrowIfNull(peer);
        return peers.For(peer.Login, timeout)!.Client;
    }

    /// <summary>
    /// Ends a step: counts the unfinished transfers and, if the batch waits and is older than a day, records an error.
    /// </summary>
    public async Task<BatchStep> StepAsync(StepOutcome outcome, long queueId, string message, CancellationToken cancellationToken)
    {
        await using var db = database.Open();
        var remaining = await db.OutgoingTransfers.CountAsync(
            t => t.SendQueueId == queueId && OutgoingTransfers.Unfinished.Contains(t.Status),
            cancellationToken
        );
        if (outcome is StepOutcome.Wait or StepOutcome.RetrySoon or StepOutcome.Full)
            Logs.BatchWaits(log, queueId, message);
        var reportBefore = time.GetUtcNow().UtcDateTime - ReportErrorAfter;
        if (
            outcome == StepOutcome.Wait
            && await db
                .SendQueue.Where(q => q.Id == queueId && q.CreatedTime < reportBefore)
                .Select(q => q.Destination)
                .SingleOrDefaultAsync(cancellationToken)
                is { } destination
        )
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.LibrarianNetworkAvailability,
                ErrorKey(destination),
                $"Files have waited for '{destination}' for more than a day: {message} "
                    + "Nothing is lost; the files are sent when this has changed.",
                cancellationToken
            );
        }

        return new BatchStep(outcome, message, remaining);
    }

    /// <summary>Removes the batch from those that wait: it calls the peer now, and the answers must not wake it.</summary>
    public void RemoveWaiting(SendCloneInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        presence.RemoveWaiting(SendClone.InstanceId(input.QueueId));
    }

    /// <summary>
    /// Checks that the peer answers: with <c>ping/</c>, which accepts any credentials, or with <c>ping/logged</c> when the peer exchanges
    /// catalog headers.
    /// </summary>
    public Task<Reply<PingResponse>> PingAsync(PeerClient peer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peer);
        var client = WithTimeout(peer, PingTimeout);
        // A site of this project answers a logged ping with the state that it knows of this catalog. The check has to come before this site
        // sends ids that the peer may have seen before.
        return peer.Login.SendsCatalogHeaders ? client.PingLoggedAsync(cancellationToken) : client.PingAsync(cancellationToken);
    }

    /// <summary>
    /// Ends a step because the peer as a whole does not let the batch continue now. Records an error if only a person can help.
    /// </summary>
    public async Task<BatchStep> WaitAsync(SendCloneInput input, ReplyError error, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(error);
        if (PeerCalls.IsForPerson(error))
        {
            await errors.RaiseAsync(
                ErrorSeverity.Error,
                ErrorCategory.Configuration,
                ErrorKey(input.Destination),
                $"'{input.Destination}' refuses this site's calls: {error} Files for it wait, nothing is lost. "
                    + "Check the address and the account that was given to add-librarian, and the account's level there (READAPPEND).",
                cancellationToken
            );
        }

        presence.AddWaiting(input.Destination, SendClone.InstanceId(input.QueueId));
        return await StepAsync(StepOutcome.Wait, input.QueueId, error.ToString()!, cancellationToken);
    }

    /// <summary>Ends a step because the peer has no space. The peer gets no new batches, and one error is recorded.</summary>
    public async Task<BatchStep> FullAsync(SendCloneInput input, ReplyError error, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(error);
        await directory.MarkFullAsync(input.Destination, full: true, cancellationToken);
        await errors.RaiseAsync(
            ErrorSeverity.Error,
            ErrorCategory.StoreFull,
            FullErrorKey(input.Destination),
            $"'{input.Destination}' has no space for more files: {error} Files for it wait here, nothing is lost. "
                + "Make space there; this site asks again without a command.",
            cancellationToken
        );
        return await StepAsync(StepOutcome.Full, input.QueueId, error.ToString()!, cancellationToken);
    }

    /// <summary>Records that the peer accepts files: settles errors about its absence, this site's account there and its space.</summary>
    public async Task RecordAcceptingFilesAsync(PeerClient peer, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(peer);
        await directory.MarkFullAsync(peer.Login.Name, full: false, cancellationToken);
        await RecordReachableAsync(peer.Login.Name, cancellationToken);
        await errors.SettleAsync(FullErrorKey(peer.Login.Name), cancellationToken);
    }

    /// <summary>Records that the peer accepts this site's account: settles errors about its absence and the account.</summary>
    public Task RecordReachableAsync(string destination, CancellationToken cancellationToken) =>
        errors.SettleAsync(ErrorKey(destination), cancellationToken);

    /// <summary>
    /// A status update for the peer's transfers. For a site of this project it includes this site's ids, because a restored catalog hands
    /// out its ids again.
    /// </summary>
    public static CheckinUpdateRequest Update(PeerClient peer, IReadOnlyList<(long Theirs, long Ours)> transfers, TransferStatus status)
    {
        ArgumentNullException.ThrowIfNull(peer);
        return new(
            [],
            [.. transfers.Select(t => t.Theirs)],
            status,
            DestinationCounterpartIds: peer.Login.SendsCatalogHeaders ? [.. transfers.Select(t => t.Ours)] : null
        );
    }

    /// <summary>A status query for the peer's transfers, built like <see cref="Update"/>.</summary>
    public static CheckinStatusRequest Question(PeerClient peer, IReadOnlyList<(long Theirs, long Ours)> transfers)
    {
        ArgumentNullException.ThrowIfNull(peer);
        return new(
            [],
            [.. transfers.Select(t => t.Theirs)],
            DestinationCounterpartIds: peer.Login.SendsCatalogHeaders ? [.. transfers.Select(t => t.Ours)] : null
        );
    }

    /// <summary>
    /// Error key for the peer's absence and for problems of this site's account there. The peer's next answer settles both.
    /// </summary>
    private static string ErrorKey(string destination) => $"librarian {destination}";

    private static string FullErrorKey(string destination) => $"room at librarian {destination}";
}
