using Microsoft.Extensions.Logging;

namespace Librarian.Domain.DataBatches;

/// <summary>Log messages of data batches; event ids 2450 to 2459.</summary>
internal static partial class Logs
{
    [LoggerMessage(2450, LogLevel.Information, "{Count} data batches on store {Store} have ended and were removed")]
    public static partial void BatchesSwept(ILogger logger, int count, string store);

    [LoggerMessage(2452, LogLevel.Warning, "The layout in {Path} cannot be read: {Reason}")]
    public static partial void LayoutUnreadable(ILogger logger, string path, string reason);

    [LoggerMessage(2451, LogLevel.Warning, "Data batches on store {Store} could not be swept: {Reason}")]
    public static partial void BatchesNotSwept(ILogger logger, string store, string reason);
}
