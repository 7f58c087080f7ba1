using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Drives;

/// <summary>Log messages of drives; event ids 2400 to 2449.</summary>
internal static partial class Logs
{
    [LoggerMessage(2400, LogLevel.Warning, "{File} was not put on drive {Drive} ({Status}): {Message}")]
    public static partial void NotPutOn(ILogger logger, string file, string drive, string status, string message);

    [LoggerMessage(2401, LogLevel.Warning, "{File} was not taken from drive {Drive}: {Message}")]
    public static partial void NotIngested(ILogger logger, string file, string drive, string message);
}
