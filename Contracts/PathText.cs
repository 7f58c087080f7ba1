namespace Librarian.Contracts;

/// <summary>Handles paths as text by the wire's POSIX rules (docs/spec/wire.md#paths), without access to the file system.</summary>
public static class PathText
{
    /// <summary>
    /// Collapses repeated slashes, drops <c>.</c> components and trailing slashes, and keeps <c>..</c>. An empty result becomes <c>.</c>.
    /// Exactly two leading slashes stay two, as in POSIX and Python's pathlib.
    /// </summary>
    /// <param name="path">Any text; a backslash is an ordinary character.</param>
    /// <returns>The normal form. Normalising it again changes nothing.</returns>
    public static string Normalise(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        var leading = path.Length - path.AsSpan().TrimStart('/').Length;
        var root = leading switch
        {
            0 => "",
            2 => "//",
            _ => "/",
        };
        var parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries).Where(static part => part != ".");
        var body = string.Join('/', parts);
        return root.Length + body.Length == 0 ? "." : root + body;
    }

    /// <summary>Returns the last component, which the wire calls <c>upload_name</c>; empty for a root.</summary>
    /// <param name="path">A path in normal form.</param>
    /// <returns>The text after the last slash.</returns>
    public static string Name(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return path[(path.LastIndexOf('/') + 1)..];
    }

    /// <summary>Whether the path starts at the root.</summary>
    /// <param name="path">Any path.</param>
    /// <returns>True if the path begins with a slash.</returns>
    public static bool IsAbsolute(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return path.StartsWith('/');
    }
}
