using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations;

/// <summary>Log messages of workflows; event ids 3000 to 3099.</summary>
internal static partial class Logs
{
    [LoggerMessage(3000, LogLevel.Warning, "Batch {QueueId} waits: {Reason}")]
    public static partial void BatchWaits(ILogger logger, long queueId, string reason);

    [LoggerMessage(
        3001,
        LogLevel.Warning,
        "Outgoing transfer {TransferId} of {Name} to {Destination} is abandoned, and the file is offered again later; "
            + "the local copy is untouched: {Reason}"
    )]
    public static partial void TransferAbandoned(ILogger logger, long transferId, string name, string destination, string reason);

    [LoggerMessage(
        3010,
        LogLevel.Information,
        "Outgoing transfer {TransferId} of {Name} to {Destination} is deferred and offered again later: {Reason}"
    )]
    public static partial void TransferDeferred(ILogger logger, long transferId, string name, string destination, string reason);

    [LoggerMessage(
        3013,
        LogLevel.Error,
        "Outgoing transfer {TransferId} of {Name} to {Destination} ended without anything being sent, "
            + "and the file is withheld until an intact copy of it is here: {Reason}"
    )]
    public static partial void TransferWithheld(ILogger logger, long transferId, string name, string destination, string reason);

    [LoggerMessage(3011, LogLevel.Warning, "{Count} callbacks to {Source} dropped: it is not a registered librarian here")]
    public static partial void CallbacksDropped(ILogger logger, int count, string source);

    [LoggerMessage(3002, LogLevel.Information, "Batch {QueueId}: {Files} files to {Destination}")]
    public static partial void BatchStarted(ILogger logger, long queueId, int files, string destination);

    [LoggerMessage(3003, LogLevel.Warning, "Callbacks to {Source} wait: {Reason}")]
    public static partial void CallbacksWait(ILogger logger, string source, string reason);

    [LoggerMessage(
        3004,
        LogLevel.Error,
        "Callback for incoming transfer {TransferId} refused by {Source}; what is stored here is safe, "
            + "its source finds it when it reviews the transfer: {Reason}"
    )]
    public static partial void CallbackRefused(ILogger logger, long transferId, string source, string reason);

    [LoggerMessage(3005, LogLevel.Information, "Started {Count} ingests of staged files")]
    public static partial void IngestsStarted(ILogger logger, int count);

    [LoggerMessage(3006, LogLevel.Information, "Removed {Count} staging directories of ended transfers")]
    public static partial void StagingSwept(ILogger logger, int count);

    [LoggerMessage(
        3008,
        LogLevel.Warning,
        "{Peer} gave no answer about its copies of {Name}; whether they are good is not known: {Reason}"
    )]
    public static partial void PeerSilent(ILogger logger, string peer, string name, string reason);

    [LoggerMessage(3009, LogLevel.Warning, "{Peer} does not send a replacement for the corrupt copy of {Name}: {Reason}")]
    public static partial void RepairRefused(ILogger logger, string peer, string name, string reason);

    [LoggerMessage(3012, LogLevel.Information, "{Peer} is there: {Count} workflows that wait for it are woken")]
    public static partial void PeerIsBack(ILogger logger, string peer, int count);

    [LoggerMessage(
        3040,
        LogLevel.Warning,
        "Drive {Drive} is full with {Files} files, {Bytes} bytes: {Reason} Next: librarian drive manifest CONN {Drive}"
    )]
    public static partial void DriveFull(ILogger logger, string drive, long files, long bytes, string reason);

    [LoggerMessage(3041, LogLevel.Information, "Every file of drive {Drive} has been acknowledged; it may be recycled")]
    public static partial void DriveReusable(ILogger logger, string drive);

    [LoggerMessage(3042, LogLevel.Warning, "Drive {Drive} waits: {Reason}")]
    public static partial void DriveWaits(ILogger logger, string drive, string reason);

    [LoggerMessage(3043, LogLevel.Warning, "Ingest of incoming drive {Id} waits: {Reason}")]
    public static partial void DriveIngestWaits(ILogger logger, long id, string reason);

    [LoggerMessage(3044, LogLevel.Warning, "Reports on drive {Drive} to {Source} wait: {Reason}")]
    public static partial void DriveCallbackWaits(ILogger logger, string drive, string source, string reason);

    [LoggerMessage(3045, LogLevel.Warning, "Webhook {Webhook} did not take the alert '{Text}': {Reason}")]
    public static partial void AlertNotTaken(ILogger logger, int webhook, string text, string reason);

    [LoggerMessage(
        3060,
        LogLevel.Warning,
        "What {Peer} and this site tell each other of their catalogs could not be read or recorded; the next call does it"
    )]
    public static partial void CatalogExchangeFailed(ILogger logger, Exception exception, string peer);

    [LoggerMessage(
        3061,
        LogLevel.Warning,
        "{Count} copies at {Peer} that were in doubt are gone there, {Name} the first of them; the files are offered again"
    )]
    public static partial void CopiesGone(ILogger logger, int count, string peer, string name);

    [LoggerMessage(3062, LogLevel.Information, "{Count} copies at {Peer} that were in doubt are there")]
    public static partial void CopiesConfirmed(ILogger logger, int count, string peer);

    [LoggerMessage(3007, LogLevel.Warning, "Ingest of incoming transfer {TransferId} waits: {Reason}")]
    public static partial void IngestWaits(ILogger logger, long transferId, string reason);

    [LoggerMessage(
        3063,
        LogLevel.Warning,
        "Replaced data that are more than a week old stay in quarantine of store {Store} because they cannot be removed: {Reason}"
    )]
    public static partial void QuarantineNotPurged(ILogger logger, string store, string reason);
}
