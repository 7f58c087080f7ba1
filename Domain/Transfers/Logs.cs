using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Transfers;

/// <summary>Log messages of transfers; event ids 2000 to 2099.</summary>
internal static partial class Logs
{
    [LoggerMessage(2000, LogLevel.Information, "Incoming transfer {TransferId} abandoned: {Reason}")]
    public static partial void IncomingAbandoned(ILogger logger, long transferId, string reason);

    [LoggerMessage(2001, LogLevel.Warning, "Staging directory {Staging} could not be removed now and will be swept later: {Reason}")]
    public static partial void StagingNotRemoved(ILogger logger, string staging, string reason);

    [LoggerMessage(
        2002,
        LogLevel.Error,
        "No staging directory could be made on store {Store}, so the upload was refused and nothing was stored: {Reason}"
    )]
    public static partial void StagingNotMade(ILogger logger, string store, string reason);

    [LoggerMessage(2003, LogLevel.Information, "Ingested {Name} ({Bytes} bytes) from transfer {TransferId}")]
    public static partial void Ingested(ILogger logger, string name, long bytes, long transferId);

    [LoggerMessage(2004, LogLevel.Warning, "Incoming transfer {TransferId} for {Name} not ingested ({Outcome}): {Reason}")]
    public static partial void NotIngested(ILogger logger, long transferId, string? name, string outcome, string reason);

    [LoggerMessage(2005, LogLevel.Information, "Finished the interrupted ingest of {Name} from transfer {TransferId}")]
    public static partial void IngestResumed(ILogger logger, string name, long transferId);

    [LoggerMessage(
        2006,
        LogLevel.Warning,
        "The corrupt copy of {Name} at {Path} was replaced by transfer {TransferId}; the bad data stay in quarantine for a week"
    )]
    public static partial void Replaced(ILogger logger, string name, string path, long transferId);

    [LoggerMessage(
        2040,
        LogLevel.Warning,
        "The data at {Name} lay there without the catalog knowing them; they are what transfer {TransferId} brought, "
            + "and are catalogued where they lie"
    )]
    public static partial void Adopted(ILogger logger, string name, long transferId);

    [LoggerMessage(
        2041,
        LogLevel.Warning,
        "The data at {Name}, which the catalog did not know, are kept in quarantine for a week, "
            + "and those of transfer {TransferId} take their place: {Reason}"
    )]
    public static partial void Quarantined(ILogger logger, string name, long transferId, string reason);

    [LoggerMessage(
        2008,
        LogLevel.Warning,
        "The staging area of store {Store} cannot be listed; directories of ended transfers stay in it for now. Nothing was lost: {Reason}"
    )]
    public static partial void StagingNotSwept(ILogger logger, string store, string reason);

    [LoggerMessage(
        2007,
        LogLevel.Warning,
        "{Count} files of a batch from {Source} can never be taken and got no staging slot, the others did: {Reason}"
    )]
    public static partial void Unfit(ILogger logger, int count, string source, string reason);
}
