using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Stores;

/// <summary>Log lines about stores; event ids 2100 to 2119.</summary>
internal static partial class Logs
{
    [LoggerMessage(2100, LogLevel.Error, "{Message}")]
    public static partial void NotMounted(ILogger logger, string message);

    [LoggerMessage(2101, LogLevel.Information, "Store {Store} is mounted again at {Path}")]
    public static partial void MountedAgain(ILogger logger, string store, string path);

    [LoggerMessage(
        2102,
        LogLevel.Information,
        "Store {Store} has moved from {Before} and was found again at {Path} by its identity; all its files are where the catalog says"
    )]
    public static partial void Moved(ILogger logger, string store, string before, string path);

    [LoggerMessage(
        2103,
        LogLevel.Warning,
        "Store {Store} at {Path} carries the identity {Identity} of this site, which the catalog did not know: it was taken over. "
            + "Files that lie there and are not catalogued stay untouched; "
            + "if the catalog was lost, restore it from a backup or catalogue them with admin/add_file"
    )]
    public static partial void TakenOver(ILogger logger, string store, string path, Guid identity);

    [LoggerMessage(
        2105,
        LogLevel.Information,
        "{Count} copies on store {Store} that an older release had recorded by their absolute paths were found again below {Path}"
    )]
    public static partial void PathsResolved(ILogger logger, int count, string store, string path);

    [LoggerMessage(
        2106,
        LogLevel.Warning,
        "{Count} copies are catalogued on store {Store} by paths that do not lie below its StorePath {Path}, "
            + "the first of them {First}: an older release recorded them before the store moved. "
            + "They are neither read nor sent; nothing was changed. "
            + "Start once with the StorePath of that time (a symbolic link there to the store's place will do): "
            + "the paths are then made independent of it"
    )]
    public static partial void OutsideStore(ILogger logger, int count, string store, string path, string first);

    [LoggerMessage(
        2104,
        LogLevel.Warning,
        "The identity file of store {Store} could not be completed: {Problem}. The store is used all the same; the next start tries again"
    )]
    public static partial void IdentityNotWritten(ILogger logger, string store, string problem);
}
