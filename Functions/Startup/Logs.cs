namespace Librarian.Functions.Startup;

/// <summary>Log messages of the start; event ids 4200 to 4203 and 4207.</summary>
internal static partial class Logs
{
    [LoggerMessage(4200, LogLevel.Information, "Site {Name} is ready: catalog on {Database}, {Stores} stores")]
    public static partial void Ready(ILogger logger, string name, string database, int stores);

    [LoggerMessage(
        4201,
        LogLevel.Warning,
        "The database of Site:Database ({Database}) cannot be reached yet; "
            + "the site waits for it, another {Left} at most (Site:DatabaseWait): {Reason}"
    )]
    public static partial void WaitsForDatabase(ILogger logger, string database, TimeSpan left, string reason);

    [LoggerMessage(4202, LogLevel.Information, "The database can be reached, after {Waited}")]
    public static partial void DatabaseIsBack(ILogger logger, TimeSpan waited);

    [LoggerMessage(
        4203,
        LogLevel.Warning,
        "{Settings} off in the database of Site:Database, which Site:AllowUnsafeDatabase allows: when its machine stops, "
            + "it may forget files that senders count as safe"
    )]
    public static partial void DatabaseIsUnsafe(ILogger logger, string settings);

    [LoggerMessage(4207, LogLevel.Warning, "Data that were deleted from store {Store} before it stopped still use its space: {Reason}")]
    public static partial void LeftoversNotRemoved(ILogger logger, string store, string reason);
}
