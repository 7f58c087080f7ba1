namespace Librarian.Domain.Drives;

/// <summary>Why a file on a drive is not used.</summary>
/// <param name="Code">Stable, for programs: <c>manifest.edited</c>.</param>
/// <param name="Message">For people: what happened, what was not lost and what to do.</param>
public sealed record DriveRefusal(string Code, string Message);
