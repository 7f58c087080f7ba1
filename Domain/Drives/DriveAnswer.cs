namespace Librarian.Domain.Drives;

/// <summary>The answer to a request about a drive: a refusal or success.</summary>
/// <param name="Code">Stable; <c>drive.ok</c> on success.</param>
/// <param name="Message">What happened, what was not lost, what to do next.</param>
public sealed record DriveAnswer(string Code, string Message)
{
    /// <summary>Whether it is a success.</summary>
    public bool IsOk => Code == Ok;

    /// <summary>Code of success.</summary>
    public const string Ok = "drive.ok";

    /// <summary>Success with a message.</summary>
    public static DriveAnswer Done(string message) => new(Ok, message);
}
