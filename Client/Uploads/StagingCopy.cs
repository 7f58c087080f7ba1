using System.IO.Hashing;

namespace Librarian.Client.Uploads;

/// <summary>Copies a source to its staging location on a shared file system, and computes the digest of the copied data.</summary>
internal static class StagingCopy
{
    private const UnixFileMode FileAccessMode =
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.OtherRead;

    private const UnixFileMode DirectoryAccessMode =
        FileAccessMode | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;

    /// <summary>
    /// Copies the source, gives every entry mode 664 or 775 and the group of the staging directory
    /// (docs/spec/wire.md#synchronous-providers), and syncs files and directories to disk. A crash part way leaves an incomplete staging
    /// directory, which the site discards.
    /// </summary>
    /// <param name="source">Path to copy. It is listed again, so that the caller notices members that were added since.</param>
    /// <param name="target">Staging location. It must not exist, and its parent must.</param>
    /// <param name="onBytes">Called with the size of every written chunk, in bytes.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>Size and checksum of the copied data.</returns>
    /// <exception cref="IOException">Reading, writing or syncing failed.</exception>
    internal static async Task<ContentDigest> CopyAsync(
        string source,
        string target,
        Action<long> onBytes,
        CancellationToken cancellationToken
    )
    {
        // Discard only what this call created: the location comes from another machine.
        if (!Path.IsPathFullyQualified(target) || Posix.Stat(target, followLink: false).Kind != Posix.Kind.Missing)
            throw new IOException($"The staging location {target.Shown()} is not an absolute path at which nothing exists yet.");
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

    /// <summary>Removes a copy that will not be committed, as far as possible. The site removes the rest.</summary>
    /// <param name="target">A location that <see cref="CopyAsync"/> created.</param>
    internal static void Discard(string target)
    {
        try
        {
            Posix.Remove(target);
        }
        catch (IOException)
        {
            // The site's sweep removes it.
        }
    }

    private static async Task<ContentDigest> CopyTreeAsync(
        SourceTree tree,
        string target,
        Action<long> onBytes,
        CancellationToken cancellationToken
    )
    {
        var parent = Path.GetDirectoryName(target) ?? "/";
        var group = Posix.Stat(parent, followLink: true).Group;
        var total = new ContentDigest.Gathered(tree);
        var buffer = ContentDigest.BufferFor(tree);
        var hash = new XxHash128();

        string Target(string relative) => relative.Length == 0 ? target : Path.Join(target, relative);
        List<string> directories = tree.IsDirectory ? [target, .. tree.Directories.Select(Target)] : [];
        foreach (var directory in directories)
        {
            // Does not create missing parents: a missing staging directory means that the file system is not shared.
            Posix.CreateDirectory(directory);
            SetAccess(directory, DirectoryAccessMode, group);
        }

        foreach (var (relative, _) in tree.Files)
        {
            var size = await CopyFileAsync(tree, relative, Target(relative), group, buffer, hash, onBytes, cancellationToken);
            total.Add(hash, size, relative);
        }

        // Deepest first, so that no synced directory refers to an unsynced one.
        foreach (var directory in Enumerable.Reverse(directories))
            Posix.SyncDirectory(directory);
        Posix.SyncDirectory(parent);
        return total.ToDigest();
    }

    private static async Task<long> CopyFileAsync(
        SourceTree tree,
        string relative,
        string target,
        uint group,
        byte[] buffer,
        XxHash128 hash,
        Action<long> onBytes,
        CancellationToken cancellationToken
    )
    {
        using var input = tree.Open(relative);
        using var output = Posix.CreateFile(target, FileAccessMode);
        long size = 0;
        int read;
        while ((read = await RandomAccess.ReadAsync(input, buffer, size, cancellationToken)) > 0)
        {
            hash.Append(buffer.AsSpan(0, read));
            await RandomAccess.WriteAsync(output, buffer.AsMemory(0, read), size, cancellationToken);
            size += read;
            onBytes(read);
        }

        SetAccess(target, FileAccessMode, group);
        File.SetLastWriteTimeUtc(output, File.GetLastWriteTimeUtc(input));
        RandomAccess.FlushToDisk(output);
        return size;
    }

    private static void SetAccess(string path, UnixFileMode mode, uint group)
    {
        // The umask removed bits when the entry was created.
        Posix.SetMode(path, mode);
        if (Posix.Stat(path, followLink: false).Group != group)
            Posix.ChangeGroup(path, group);
    }
}
