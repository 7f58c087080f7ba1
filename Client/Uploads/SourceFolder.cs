using Microsoft.Win32.SafeHandles;

namespace Librarian.Client.Uploads;

/// <summary>A folder whose entries are uploaded one by one.</summary>
public static class SourceFolder
{
    /// <summary>
    /// Lists the names in a folder, sorted and complete. U+DC00 plus the byte stands for a byte that is not UTF-8;
    /// <see cref="Upload.RunAsync"/> accepts it in a local path and refuses it in a destination.
    /// </summary>
    /// <param name="folder">The folder.</param>
    /// <exception cref="IOException">The folder cannot be listed completely.</exception>
    public static IReadOnlyList<string> Names(string folder) => Posix.Entries(folder);

    /// <summary>Opens a file for reading; a link is followed.</summary>
    /// <param name="path">Path of the file, with names as <see cref="Names"/> returns them.</param>
    /// <returns>The open file, or null if nothing is there.</returns>
    /// <exception cref="IOException">The file cannot be opened, or is not a regular file.</exception>
    public static SafeFileHandle? Open(string path) => Posix.OpenToRead(path);

    /// <summary>Whether a folder exists.</summary>
    /// <param name="folder">Path of the folder.</param>
    public static bool Exists(string folder) => Posix.Stat(folder, followLink: true).Kind == Posix.Kind.Directory;
}
