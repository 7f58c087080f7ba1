using System.IO.Hashing;

namespace Librarian.Client.Uploads;

/// <summary>Copies a source to its staging location on a shared file system, digesting what it copies.</summary>
internal static class StagingCopy
{
    private const UnixFileMode FileAccessMode =
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead;

    private const UnixFileMode DirectoryAccessMode =
        FileAccessMode | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <summary>
    /// Copies, gives everything mode 664 or 775 and the group of the staging directory (wire.md §5.1), and syncs files and directories
    /// to disk. A crash part way leaves an incomplete staging directory, which the site discards.
    /// </summary>
    /// <param name="source">Path to copy, listed anew so that members added since are noticed by the caller.</param>
    /// <param name="target">Staging location; must not exist, its parent must.</param>
    /// <param name="onBytes">Told of every chunk written, in bytes.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <returns>Size and checksum of what was copied.</returns>
    /// <exception cref="IOException">Reading, writing or syncing failed.</exception>
    internal static async Task<ContentDigest> CopyAsync(string source, string target, Action<long> onBytes, CancellationToken cancellationToken)
    {
        // Only what this call created may be discarded: the location comes from another machine.
        if (!Path.IsPathFullyQualified(target) || Posix.Stat(target, followLink: false).Kind != Posix.Kind.Missing)
            throw new IOException($"The staging location {target} is not an absolute path at which nothing exists yet.");
        var tree = SourceTree.List(source, cancellationToken);
        try
        {
            return await CopyTreeAsync(tree, target, onBytes, cancellationToken);
        }
        catch
        {
            Discard(target);
            throw;
        }
    }

    /// <summary>Takes back a copy that will not be committed, as far as possible; the site clears what remains.</summary>
    /// <param name="target">A location that <see cref="CopyAsync"/> created.</param>
    internal static void Discard(string target)
    {
        try
        {
            if (Directory.Exists(target))
                Directory.Delete(target, recursive: true);
            else
                File.Delete(target);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The site's own staging clean-up takes it.
        }
    }

    private static async Task<ContentDigest> CopyTreeAsync(SourceTree tree, string target, Action<long> onBytes, CancellationToken cancellationToken)
    {
        var parent = Path.GetDirectoryName(target) ?? "/";
        var group = Posix.Stat(parent, followLink: true).Group;
        var total = new ContentDigest.TreeDigest(tree.IsDirectory);
        var buffer = ContentDigest.BufferFor(tree);
        var hash = new XxHash128();

        string Target(string relative) => relative.Length == 0 ? target : Path.Join(target, relative);
        List<string> directories = tree.IsDirectory ? [target, .. tree.Directories.Select(Target)] : [];
        foreach (var directory in directories)
        {
            // Creates no missing parents: a staging directory that is not there means the file system is not shared.
            if (!Directory.Exists(Path.GetDirectoryName(directory)))
                throw new DirectoryNotFoundException($"{Path.GetDirectoryName(directory)} does not exist on this host.");
            Directory.CreateDirectory(directory);
            SetAccess(directory, DirectoryAccessMode, group);
        }

        foreach (var (relative, _) in tree.Files)
        {
            var size = await CopyFileAsync(tree.Absolute(relative), Target(relative), group, buffer, hash, onBytes, cancellationToken);
            total.Add(hash, size);
        }

        // Deepest first, so that no synced directory points to one that is not.
        foreach (var directory in Enumerable.Reverse(directories))
            Posix.SyncDirectory(directory);
        Posix.SyncDirectory(parent);
        return total.ToDigest();
    }

    private static async Task<long> CopyFileAsync(
        string source, string target, uint group, byte[] buffer, XxHash128 hash, Action<long> onBytes, CancellationToken cancellationToken)
    {
        await using var input = ContentDigest.OpenSource(source);
        await using var output = new FileStream(target, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.Write,
            Options = FileOptions.Asynchronous,
            BufferSize = 0,
            UnixCreateMode = FileAccessMode,
        });
        long size = 0;
        int read;
        while ((read = await input.ReadAsync(buffer, cancellationToken)) > 0)
        {
            hash.Append(buffer.AsSpan(0, read));
            await output.WriteAsync(buffer.AsMemory(0, read), cancellationToken);
            size += read;
            onBytes(read);
        }

        SetAccess(target, FileAccessMode, group);
        File.SetLastWriteTimeUtc(output.SafeFileHandle, File.GetLastWriteTimeUtc(input.SafeFileHandle));
        output.Flush(flushToDisk: true);
        return size;
    }

    private static void SetAccess(string path, UnixFileMode mode, uint group)
    {
        // The umask took bits away when the path was made.
        File.SetUnixFileMode(path, mode);
        if (Posix.Stat(path, followLink: false).Group != group)
            Posix.ChangeGroup(path, group);
    }
}
