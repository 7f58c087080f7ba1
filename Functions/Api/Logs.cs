namespace Librarian.Functions.Api;

/// <summary>Log messages of the HTTP functions; event ids 4100 to 4119.</summary>
internal static partial class Logs
{
    [LoggerMessage(4100, LogLevel.Warning, "{User} {Path} answered {Status}: {Reason} {Remedy}")]
    public static partial void Answered(ILogger logger, string user, string path, int status, string reason, string remedy);

    [LoggerMessage(4101, LogLevel.Error, "Unhandled error at {Path}")]
    public static partial void Unhandled(ILogger logger, Exception exception, string path);

    [LoggerMessage(4102, LogLevel.Warning, "The copy {Path} cannot be opened, so it is not handed out: {Reason}")]
    public static partial void CopyNotOpened(ILogger logger, string path, string reason);
}
