using Microsoft.Extensions.Logging;

namespace Librarian.Orchestrations;

/// <summary>Log lines of workflows; event ids 3000 to 3099.</summary>
internal static partial class Logs
{
    [LoggerMessage(3000, LogLevel.Warning, "Batch {QueueId} waits: {Reason}")]
    public static partial void BatchWaits(ILogger logger, long queueId, string reason);

    [LoggerMessage(3001, LogLevel.Warning, "Outgoing transfer {TransferId} of {Name} to {Destination} given up, to be offered again later; the local copy is untouched: {Reason}")]
    public static partial void TransferGivenUp(ILogger logger, long transferId, string name, string destination, string reason);

    [LoggerMessage(3010, LogLevel.Information, "Outgoing transfer {TransferId} of {Name} to {Destination} stands back, to be offered again later: {Reason}")]
    public static partial void TransferStandsBack(ILogger logger, long transferId, string name, string destination, string reason);

    [LoggerMessage(3011, LogLevel.Warning, "{Count} callbacks to {Source} dropped: it is not a registered librarian here")]
    public static partial void CallbacksDropped(ILogger logger, int count, string source);

    [LoggerMessage(3002, LogLevel.Information, "Batch {QueueId}: {Files} files to {Destination}")]
    public static partial void BatchStarted(ILogger logger, long queueId, int files, string destination);

    [LoggerMessage(3003, LogLevel.Warning, "Callbacks to {Source} wait: {Reason}")]
    public static partial void CallbacksWait(ILogger logger, string source, string reason);

    [LoggerMessage(3004, LogLevel.Error, "Callback for incoming transfer {TransferId} refused by {Source}; what is stored here is safe, its source finds it when it reviews the transfer: {Reason}")]
    public static partial void CallbackRefused(ILogger logger, long transferId, string source, string reason);

    [LoggerMessage(3005, LogLevel.Information, "Started {Count} ingests of staged files")]
    public static partial void IngestsStarted(ILogger logger, int count);

    [LoggerMessage(3006, LogLevel.Information, "Removed {Count} staging directories of ended transfers")]
    public static partial void StagingSwept(ILogger logger, int count);

    [LoggerMessage(3008, LogLevel.Warning, "{Neighbour} gave no answer about its copies of {Name}; whether they are good is not known: {Reason}")]
    public static partial void NeighbourSilent(ILogger logger, string neighbour, string name, string reason);

    [LoggerMessage(3009, LogLevel.Warning, "{Neighbour} does not send a replacement for the corrupt copy of {Name}: {Reason}")]
    public static partial void RepairRefused(ILogger logger, string neighbour, string name, string reason);

    [LoggerMessage(3040, LogLevel.Warning, "Drive {Drive} is full with {Files} files, {Bytes} bytes: {Reason} Next: librarian drive manifest CONN {Drive}")]
    public static partial void DriveFull(ILogger logger, string drive, long files, long bytes, string reason);

    [LoggerMessage(3041, LogLevel.Information, "Every file of drive {Drive} has been acknowledged; it may be recycled")]
    public static partial void DriveReusable(ILogger logger, string drive);

    [LoggerMessage(3042, LogLevel.Warning, "Drive {Drive} waits: {Reason}")]
    public static partial void DriveWaits(ILogger logger, string drive, string reason);

    [LoggerMessage(3043, LogLevel.Warning, "Ingest of drive arrival {Arrival} waits: {Reason}")]
    public static partial void DriveIngestWaits(ILogger logger, long arrival, string reason);

    [LoggerMessage(3044, LogLevel.Warning, "Reports on drive {Drive} to {Source} wait: {Reason}")]
    public static partial void DriveCallbackWaits(ILogger logger, string drive, string source, string reason);

    [LoggerMessage(3045, LogLevel.Warning, "Webhook {Webhook} did not take the alert '{Text}': {Reason}")]
    public static partial void AlertNotTaken(ILogger logger, int webhook, string text, string reason);

    [LoggerMessage(3007, LogLevel.Warning, "Ingest of incoming transfer {TransferId} waits: {Reason}")]
    public static partial void IngestWaits(ILogger logger, long transferId, string reason);
}
