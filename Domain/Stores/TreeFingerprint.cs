using System.Buffers.Binary;
using System.IO.Hashing;
using Librarian.Domain.Posix;

namespace Librarian.Domain.Stores;

/// <summary>
/// Digests the file system's metadata of a file, or of a directory and everything below it, without reading contents: names, types, sizes,
/// and the times of the last change of content and of inode. Writing to a member, replacing it or resetting its time changes the inode's
/// time.
/// </summary>
/// <remarks>
/// Each entry is hashed separately and the hashes are added, so the file system's order of entries does not matter and nothing is kept per
/// entry. Directories count with their names only, because their own times change with work above them.
/// </remarks>
internal sealed class TreeFingerprint
{
    /// <summary>Version of this algorithm. A copy with a stored fingerprint of another version is read once.</summary>
    private const string Version = "1:";

    private readonly XxHash128 _hash = new();
    private UInt128 _sum;
    private long _entries;

    private TreeFingerprint() { }

    /// <returns>Null if there is no such entry.</returns>
    /// <exception cref="PosixException">The operating system refused to list a directory or to return a status.</exception>
    internal static string? Compute(PosixDirectory parent, EntryName name, CancellationToken cancellationToken)
    {
        if (parent.Status(name) is not { } status)
            return null;
        var fingerprint = new TreeFingerprint();
        fingerprint.Add([], status);
        if (status.Type == EntryType.Directory)
            fingerprint.Walk(parent, name, cancellationToken);
        return $"{Version}{fingerprint._entries:x}:{fingerprint._sum:x32}";
    }

    private void Walk(PosixDirectory parent, EntryName name, CancellationToken cancellationToken)
    {
        // Keeps one directory per level open, not every directory.
        var levels = new Stack<(PosixDirectory Directory, DirectoryStream Stream, byte[] Prefix)>();
        try
        {
            Descend(levels, parent.OpenDirectory(name), []);
            while (levels.TryPeek(out var level))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (!level.Stream.TryRead(out var entry))
                {
                    levels.Pop();
                    level.Stream.Dispose();
                    level.Directory.Dispose();
                    continue;
                }

                // An entry that was removed since it was listed counts as absent; the fingerprint then differs.
                if (level.Directory.Status(entry.Name) is not { } status)
                    continue;
                byte[] path = [.. level.Prefix, .. entry.Name.Bytes];
                Add(path, status);
                if (status.Type == EntryType.Directory)
                    Descend(levels, level.Directory.OpenDirectory(entry.Name), [.. path, (byte)'/']);
            }
        }
        finally
        {
            foreach (var (directory, stream, _) in levels)
            {
                stream.Dispose();
                directory.Dispose();
            }
        }
    }

    private static void Descend(Stack<(PosixDirectory, DirectoryStream, byte[])> levels, PosixDirectory directory, byte[] prefix)
    {
        try
        {
            levels.Push((directory, directory.OpenStream(), prefix));
        }
        catch
        {
            directory.Dispose();
            throw;
        }
    }

    private void Add(ReadOnlySpan<byte> path, FileStatus status)
    {
        Span<byte> record = stackalloc byte[25];
        record[0] = (byte)status.Type;
        if (status.Type != EntryType.Directory)
        {
            BinaryPrimitives.WriteInt64LittleEndian(record[1..], status.Size);
            BinaryPrimitives.WriteInt64LittleEndian(record[9..], status.ModifiedNanoseconds);
            BinaryPrimitives.WriteInt64LittleEndian(record[17..], status.ChangedNanoseconds);
        }

        _hash.Append(record);
        _hash.Append(path);
        _sum = unchecked(_sum + _hash.GetCurrentHashAsUInt128());
        _hash.Reset();
        _entries++;
    }
}
