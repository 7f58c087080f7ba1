namespace Librarian.Functions.Security;

/// <summary>Log messages of access control; event ids 4120 to 4139.</summary>
internal static partial class Logs
{
    [LoggerMessage(4120, LogLevel.Warning, "Refused {User} at {Path}: wrong credentials or level too low")]
    public static partial void Refused(ILogger logger, string user, string path);
}
