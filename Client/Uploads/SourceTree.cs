namespace Librarian.Client.Uploads;

/// <summary>What an upload consists of: one file, or a directory's files and subdirectories in a fixed order.</summary>
/// <param name="Root">Absolute path with symbolic links in the path itself resolved (wire.md §4.3 step 1).</param>
/// <param name="IsDirectory">Whether the upload is a directory.</param>
/// <param name="Directories">Subdirectories relative to the root, parents first; empty for a file.</param>
/// <param name="Files">Files relative to the root with their sizes in bytes; the single file has the relative path "".</param>
internal sealed record SourceTree(
    string Root, bool IsDirectory, IReadOnlyList<string> Directories, IReadOnlyList<(string Path, long Size)> Files)
{
    internal long TotalSize => Files.Sum(static file => file.Size);

    internal string Absolute(string relative) => relative.Length == 0 ? Root : Path.Join(Root, relative);

    /// <summary>
    /// Lists a tree. A link to a directory inside it is refused: the checksum rule skips it, so its data would be neither verified nor
    /// counted (wire.md §4.3, §10 no. 26). Broken links, pipes and devices have no content to keep and are refused as well.
    /// </summary>
    /// <param name="path">File or directory.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>The tree.</returns>
    /// <exception cref="FileNotFoundException">Nothing is there.</exception>
    /// <exception cref="UnsupportedSourceException">It has a member that cannot be kept faithfully.</exception>
    /// <exception cref="IOException">It cannot be listed.</exception>
    internal static SourceTree List(string path, CancellationToken cancellationToken)
    {
        var root = Resolve(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
        var (kind, _, size) = Posix.Stat(root, followLink: true);
        switch (kind)
        {
            case Posix.Kind.Missing: throw new FileNotFoundException($"There is nothing at {root}.", root);
            case Posix.Kind.File: return new SourceTree(root, IsDirectory: false, [], [("", size)]);
            case Posix.Kind.Directory: break;
            default: throw new UnsupportedSourceException(root, "is neither a file nor a directory");
        }

        List<string> directories = [];
        List<(string, long)> files = [];
        Stack<string> pending = new([""]);
        while (pending.TryPop(out var directory))
        {
            cancellationToken.ThrowIfCancellationRequested();
            foreach (var entry in Directory.EnumerateFileSystemEntries(Path.Join(root, directory)).Order(StringComparer.Ordinal))
            {
                var relative = Path.Join(directory, Path.GetFileName(entry));
                var isLink = Posix.Stat(entry, followLink: false).Kind == Posix.Kind.Link;
                var target = Posix.Stat(entry, followLink: true);
                switch (target.Kind)
                {
                    case Posix.Kind.File: files.Add((relative, target.Size)); break;
                    case Posix.Kind.Directory when !isLink:
                        directories.Add(relative);
                        pending.Push(relative);
                        break;
                    case Posix.Kind.Directory: throw new UnsupportedSourceException(entry, "is a symbolic link to a directory, whose content a checksum would leave out");
                    case Posix.Kind.Missing when isLink: throw new UnsupportedSourceException(entry, "is a symbolic link to nothing");
                    case Posix.Kind.Missing: break; // Gone since it was listed; the second reading notices if that matters.
                    default: throw new UnsupportedSourceException(entry, "is neither a file nor a directory");
                }
            }
        }

        return new SourceTree(root, IsDirectory: true, directories, files);
    }

    private static string Resolve(string path) =>
        (Directory.Exists(path) ? Directory.ResolveLinkTarget(path, returnFinalTarget: true) : File.ResolveLinkTarget(path, returnFinalTarget: true))?.FullName
        ?? path;
}

/// <summary>A member of the source cannot be kept faithfully.</summary>
/// <param name="path">The member.</param>
/// <param name="what">What it is.</param>
internal sealed class UnsupportedSourceException(string path, string what) : Exception($"{path} {what}.");
