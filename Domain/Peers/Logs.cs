using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Peers;

/// <summary>Log messages about the catalogs of peers and of this site; event ids 2320 to 2339.</summary>
internal static partial class Logs
{
    [LoggerMessage(
        2320,
        LogLevel.Critical,
        "This catalog was restored from a backup: {ReportedBy} has heard {Seen} from it, which it does not know. Its new id is {Id}; "
            + "peers are notified, and copies are asked for on both sides"
    )]
    public static partial void Restored(ILogger logger, string reportedBy, string seen, string id);

    [LoggerMessage(
        2321,
        LogLevel.Error,
        "{ReportedBy} has heard {Seen} from this catalog, which it does not know, as peers have said too often today; "
            + "nothing is done about it now"
    )]
    public static partial void RestoredAgain(ILogger logger, string reportedBy, string seen);

    [LoggerMessage(2322, LogLevel.Error, "{Peer} has gone back in time ({Why}): {Count} copies there are in doubt and are asked for")]
    public static partial void WentBack(ILogger logger, string peer, string why, long count);

    [LoggerMessage(2323, LogLevel.Warning, "{Peer} sends a header {Header} that cannot be read; it is ignored")]
    public static partial void HeaderIgnored(ILogger logger, string peer, string header);

    [LoggerMessage(2324, LogLevel.Warning, "What {Peer} tells of its catalog could not be recorded")]
    public static partial void NotObserved(ILogger logger, Exception exception, string peer);
}
