using Librarian.Client.Uploads;

namespace Librarian.Client.Downloads;

/// <summary>
/// The incomplete data of a download, in a directory beside the destination that only the user can enter: <c>.NAME.librarian-part</c> with
/// the files <c>tag</c>, <c>listing</c> and <c>lock</c> and the data themselves as <c>data</c>.
/// </summary>
/// <remarks>
/// A crash leaves the directory, and the next download to the same destination continues it: members are written in the order of the
/// listing, so the first member that is not complete is the place to go on. What a power cut has lost of earlier members is found when the
/// whole is verified. After the rename, a crash leaves only the directory without data, which the next download of the same content
/// removes.
/// </remarks>
internal sealed class PartialDownload : IDisposable
{
    private const int LongestName = 255 - 1 - 15; // the dot before, ".librarian-part" behind
    private const int ShortName = LongestName - 32;

    private readonly string _directory;
    private readonly string _destination;
    private readonly FileStream _lock;

    private PartialDownload(string directory, string destination, FileStream held) =>
        (_directory, _destination, _lock) = (directory, destination, held);

    internal string Data => Path.Join(_directory, "data");

    internal string ListingPath => Path.Join(_directory, "listing");

    private string TagPath => Path.Join(_directory, "tag");

    /// <summary>Opens or creates the directory.</summary>
    /// <returns>Null if another process uses it.</returns>
    /// <exception cref="IOException">The directory cannot be created.</exception>
    internal static PartialDownload? Open(string destination)
    {
        var directory = Path.Join(Path.GetDirectoryName(destination), $".{Shortened(Path.GetFileName(destination))}.librarian-part");
        Posix.CreatePrivateDirectory(directory);
        try
        {
            return new PartialDownload(
                directory,
                destination,
                new FileStream(Path.Join(directory, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None)
            );
        }
        catch (IOException error) when (IsSharingViolation(error))
        {
            return null;
        }
    }

    public void Dispose() => _lock.Dispose();

    /// <summary>Keeps the data if they belong to this tag, otherwise removes them.</summary>
    internal async Task BeginAsync(string tag, CancellationToken cancellationToken)
    {
        if (File.Exists(TagPath) && await File.ReadAllTextAsync(TagPath, cancellationToken) == tag)
            return;
        File.Delete(TagPath);
        Clear();
        await File.WriteAllTextAsync(TagPath, tag, cancellationToken);
    }

    /// <summary>Removes the data.</summary>
    internal void Clear() => Posix.Remove(Data);

    /// <summary>Removes the directory; what cannot be removed, the next download to the same destination finds.</summary>
    internal void Remove()
    {
        try
        {
            Posix.Remove(_directory);
        }
        catch (IOException)
        {
            // Another download has begun in it, or the file system is read-only by now. The data are where they belong.
        }
    }

    /// <summary>Whether something has arrived.</summary>
    internal bool HasData => Posix.Stat(Data, followLink: false).Kind != Posix.Kind.Missing;

    /// <summary>Flushes the verified data and gives them their name.</summary>
    /// <returns>False if something has the name by now.</returns>
    internal bool Commit()
    {
        Posix.SyncFileSystem(_directory);
        if (!Posix.TryRename(Data, _destination))
            return false;
        Posix.SyncDirectory(Path.GetDirectoryName(_destination)!);
        Remove();
        return true;
    }

    // File systems allow 255 bytes; a longer name keeps its beginning and gets a digest of the whole.
    private static string Shortened(string name)
    {
        var bytes = PathBytes.ToZeroTerminated(name).AsSpan()[..^1];
        return bytes.Length <= LongestName
            ? name
            : PathBytes.ToText(bytes[..ShortName]) + Convert.ToHexStringLower(System.IO.Hashing.XxHash128.Hash(bytes));
    }

    // HResult of EWOULDBLOCK, with which .NET reports a lock that another process holds.
    private static bool IsSharingViolation(IOException error) => error.HResult == 11;
}
