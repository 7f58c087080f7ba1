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
    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

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
        var parent = Path.GetDirectoryName(destination)!;
        var directory = Path.Join(parent, $".{Path.GetFileName(destination)}.librarian-part");
        _ = Directory.CreateDirectory(directory, Private);
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

    /// <summary>Removes the directory.</summary>
    internal void Remove()
    {
        Posix.Remove(_directory);
        Posix.SyncDirectory(Path.GetDirectoryName(_destination)!);
    }

    /// <summary>Flushes the verified data and gives them their name.</summary>
    /// <returns>False if something has the name by now.</returns>
    internal bool Commit()
    {
        Posix.SyncFileSystem(_directory);
        if (!Posix.TryRename(Data, _destination))
            return false;
        Remove();
        return true;
    }

    // HResult of EWOULDBLOCK, with which .NET reports a lock that another process holds.
    private static bool IsSharingViolation(IOException error) => error.HResult == 11;
}
