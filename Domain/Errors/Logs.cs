using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Errors;

/// <summary>Log lines of the error log; event ids 2200 to 2209.</summary>
internal static partial class Logs
{
    [LoggerMessage(2200, LogLevel.Error, "An error could not be recorded in the catalog: {Caller}: {Message}")]
    public static partial void NotRecorded(ILogger logger, Exception exception, string caller, string message);

    [LoggerMessage(2201, LogLevel.Warning, "Errors about {Caller} have ended but could not be marked so; the next success does it")]
    public static partial void NotSettled(ILogger logger, Exception exception, string caller);
}
