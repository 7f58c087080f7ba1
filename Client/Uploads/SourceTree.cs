using Microsoft.Win32.SafeHandles;

namespace Librarian.Client.Uploads;

/// <summary>The content of an upload: one file, or a directory's files and subdirectories in a fixed order.</summary>
/// <param name="Root">Absolute path with symbolic links in the path itself resolved (docs/spec/wire.md#directory-checksum).</param>
/// <param name="IsDirectory">Whether the upload is a directory.</param>
/// <param name="Directories">Subdirectories relative to the root, parents first; empty for a file.</param>
/// <param name="Files">Files relative to the root with their sizes in bytes; a single file has the relative path "".</param>
internal sealed record SourceTree(
    string Root,
    bool IsDirectory,
    IReadOnlyList<string> Directories,
    IReadOnlyList<(string Path, long Size)> Files
)
{
    internal long TotalSize => Files.Sum(static file => file.Size);

    internal string Absolute(string relative) => relative.Length == 0 ? Root : Path.Join(Root, relative);

    /// <summary>Opens one of the files.</summary>
    /// <exception cref="SourceChangedException">The file vanished after it was listed.</exception>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    internal SafeFileHandle Open(string relative) =>
        Posix.OpenToRead(Absolute(relative)) ?? throw new SourceChangedException(Absolute(relative));

    /// <summary>
    /// Lists a tree. Refuses a link to a directory inside it: the checksum rule skips such a link, so its data would be neither verified
    /// nor counted (docs/spec/wire.md#links-in-directories). Also refuses broken links, pipes and devices, which have no content to keep.
    /// Names are bytes. Every member is kept or named in a refusal; a member that vanishes after it was listed is an error.
    /// </summary>
    /// <param name="path">File or directory, in the encoding of <see cref="PathBytes"/>.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>The tree.</returns>
    /// <exception cref="FileNotFoundException">The path does not exist.</exception>
    /// <exception cref="UnsupportedSourceException">A member cannot be kept faithfully.</exception>
    /// <exception cref="SourceChangedException">A member vanished.</exception>
    /// <exception cref="IOException">The tree cannot be listed.</exception>
    internal static SourceTree List(string path, CancellationToken cancellationToken)
    {
        var root = Posix.RealPath(path) ?? throw new FileNotFoundException($"There is nothing at {path.Shown()}.", path);
        var (kind, _, size) = Posix.Stat(root, followLink: true);
        switch (kind)
        {
            case Posix.Kind.Missing:
                throw new FileNotFoundException($"There is nothing at {root.Shown()}.", root);
            case Posix.Kind.File:
                return new SourceTree(root, IsDirectory: false, [], [("", size)]);
            case Posix.Kind.Directory:
                break;
            default:
                throw new UnsupportedSourceException(root, "is neither a file nor a directory");
        }

        List<string> directories = [];
        List<(string, long)> files = [];
        Stack<string> pending = new([""]);
        while (pending.TryPop(out var directory))
        {
            cancellationToken.ThrowIfCancellationRequested();
            foreach (var name in Posix.Entries(Path.Join(root, directory)))
            {
                var relative = Path.Join(directory, name);
                var entry = Path.Join(root, relative);
                var own = Posix.Stat(entry, followLink: false);
                var isLink = own.Kind == Posix.Kind.Link;
                var target = isLink ? Posix.Stat(entry, followLink: true) : own;
                switch (target.Kind)
                {
                    case Posix.Kind.File:
                        files.Add((relative, target.Size));
                        break;
                    case Posix.Kind.Directory when !isLink:
                        directories.Add(relative);
                        pending.Push(relative);
                        break;
                    case Posix.Kind.Directory:
                        throw new UnsupportedSourceException(
                            entry,
                            "is a symbolic link to a directory, whose content a checksum would leave out"
                        );
                    case Posix.Kind.Missing when isLink:
                        throw new UnsupportedSourceException(entry, "is a symbolic link to nothing");
                    case Posix.Kind.Missing:
                        throw new SourceChangedException(entry);
                    default:
                        throw new UnsupportedSourceException(entry, "is neither a file nor a directory");
                }
            }
        }

        return new SourceTree(root, IsDirectory: true, directories, files);
    }
}

/// <summary>A member of the source cannot be kept faithfully.</summary>
/// <param name="path">The member.</param>
/// <param name="what">Why, as the end of a sentence.</param>
internal sealed class UnsupportedSourceException(string path, string what) : Exception($"{path.Shown()} {what}.");

/// <summary>A member of the source vanished after it was listed.</summary>
/// <param name="path">The member.</param>
internal sealed class SourceChangedException(string path)
    : IOException($"{path.Shown()} was there a moment ago and is gone: something changes the source while it is read.");
