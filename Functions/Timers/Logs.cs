namespace Librarian.Functions.Timers;

/// <summary>Log messages of the timers; event ids 4300 to 4319.</summary>
internal static partial class Logs
{
    [LoggerMessage(4300, LogLevel.Information, "Purged {Count} {Kind} orchestrations that ended before {Limit:u}; {Rest}")]
    public static partial void InstancesPurged(ILogger logger, int count, string kind, DateTimeOffset limit, string rest);
}
