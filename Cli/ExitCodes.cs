namespace Librarian.Cli;

/// <summary>Exit codes of every command.</summary>
public static class ExitCodes
{
    /// <summary>Success; also for a search without results.</summary>
    public const int Success = 0;

    /// <summary>Failure; the error stream has the reason after <c>error: </c>.</summary>
    public const int Failure = 1;

    /// <summary>The command line is invalid; nothing was done.</summary>
    public const int Usage = 2;

    /// <summary>Interrupted by the user or the system.</summary>
    public const int Interrupted = 130;
}
