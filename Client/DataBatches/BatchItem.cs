namespace Librarian.Client.DataBatches;

/// <summary>A transfer whose bytes are sent in a data batch.</summary>
/// <param name="transferId">The destination's id of the transfer.</param>
/// <param name="size">Bytes of all its files, as they were declared.</param>
/// <param name="algorithm">Algorithm of the checksum to compute while it is read.</param>
public abstract class BatchItem(long transferId, long size, ChecksumAlgorithm algorithm)
{
    /// <summary>The destination's id of the transfer.</summary>
    public long TransferId { get; } = transferId;

    /// <summary>Bytes of all its files.</summary>
    public long Size { get; } = size;

    /// <summary>Algorithm of the checksum to compute.</summary>
    public ChecksumAlgorithm Algorithm { get; } = algorithm;

    /// <summary>Whether it is a directory.</summary>
    public abstract bool IsDirectory { get; }

    /// <summary>
    /// The members of a directory in the order of docs/spec/data.md#listing; of a file one with an empty path. Called several times.
    /// </summary>
    /// <exception cref="IOException">The data cannot be read.</exception>
    public abstract IEnumerable<BatchMember> Members();

    /// <summary>Opens the bytes of all files, one after the other, for one reading from start to end.</summary>
    /// <exception cref="IOException">The data cannot be read.</exception>
    public abstract Stream Open();
}

/// <summary>Type of a member.</summary>
public enum BatchMemberType
{
    /// <summary>A regular file.</summary>
    File,

    /// <summary>A directory.</summary>
    Directory,

    /// <summary>A symbolic link.</summary>
    Link,
}

/// <summary>A member of a directory that is sent.</summary>
/// <param name="Type">Its type.</param>
/// <param name="Path">Path below the directory, in the encoding of <see cref="PathBytes"/>.</param>
/// <param name="Size">Bytes of a file.</param>
/// <param name="IsExecutable">Whether a file's owner may execute it.</param>
/// <param name="Target">Target of a link, in the same encoding.</param>
public readonly record struct BatchMember(
    BatchMemberType Type,
    string Path,
    long Size = 0,
    bool IsExecutable = false,
    string? Target = null
);

/// <summary>An item all of whose bytes are on disk at the site.</summary>
/// <param name="Item">The item.</param>
/// <param name="Checksum">Checksum of what was read; null if it was all there before and nothing was read.</param>
/// <param name="TreeDigest">Tree digest of a directory, if the algorithm is XXH3.</param>
/// <param name="IsAbandoned">Whether the site has abandoned the transfer.</param>
/// <param name="Problem">Why the source could not be read to its end; what was sent is then not the file.</param>
public sealed record SentItem(BatchItem Item, string? Checksum, string? TreeDigest, Exception? Problem, bool IsAbandoned = false);
