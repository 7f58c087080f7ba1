using Microsoft.Extensions.Logging;

namespace Librarian.Domain.Files;

/// <summary>Log lines about files; event ids 2300 to 2319.</summary>
internal static partial class Logs
{
    [LoggerMessage(2300, LogLevel.Warning, "The data at {Path} were not deleted, and the copy stays in the catalog: {Reason}")]
    public static partial void DataNotDeleted(ILogger logger, string path, string reason);

    [LoggerMessage(2301, LogLevel.Information, "The copy of {Name} at {Path} was removed from the catalog; its data too: {DataDeleted}")]
    public static partial void InstanceForgotten(ILogger logger, string name, string path, bool dataDeleted);

    [LoggerMessage(
        2302,
        LogLevel.Critical,
        "The copy of {Name} at {Path} is corrupt: it has {Size} bytes with {Checksum}, "
            + "the catalog says {CataloguedSize} bytes with {CataloguedChecksum}. "
            + "It no longer counts as a copy and is kept until a replacement has been verified"
    )]
    public static partial void CopyCorrupt(
        ILogger logger,
        string name,
        string path,
        long size,
        string checksum,
        long cataloguedSize,
        string cataloguedChecksum
    );

    [LoggerMessage(
        2303,
        LogLevel.Critical,
        "The copy of {Name} at {Path} is gone, and its store is mounted. It no longer counts as a copy; "
            + "put it back, upload it again, or forget it with admin/instance/delete_local"
    )]
    public static partial void CopyMissing(ILogger logger, string name, string path);
}
