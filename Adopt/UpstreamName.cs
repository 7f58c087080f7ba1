namespace Librarian.Adopt;

/// <summary>Names of the source's files, which follow no rules.</summary>
internal static class UpstreamName
{
    /// <summary>Why this site cannot use a name for a file; null when it can.</summary>
    public static string? Unservable(string name) =>
        !FileName.TryParse(name, out var path, out var refusal) ? FileName.Describe(refusal)
        : path.Value != name ? "The name is not in normal form, so nobody can ask for it."
        : null;
}
