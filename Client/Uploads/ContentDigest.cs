using System.IO.Hashing;

namespace Librarian.Client.Uploads;

/// <summary>Size and checksum of a file or directory as the protocol defines them (docs/spec/wire.md#checksums).</summary>
/// <param name="Size">Size in bytes; for a directory, the sum over its files.</param>
/// <param name="Checksum"><c>xxh3:::</c> and 32 lower-case hex digits.</param>
public sealed record ContentDigest(long Size, string Checksum)
{
    internal const int BufferSize = 1 << 20;

    /// <summary>
    /// Digest of a directory that also covers the names of its members (docs/formats/tree-digest-v1.md). Equality ignores it, because sites
    /// compare size and checksum.
    /// </summary>
    public string? TreeDigest { get; init; }

    /// <summary>Whether size and checksum are equal.</summary>
    /// <param name="other">Another digest.</param>
    /// <returns>True if they are equal.</returns>
    public bool Equals(ContentDigest? other) => other is not null && Size == other.Size && Checksum == other.Checksum;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Size, Checksum);

    /// <summary>Reads all data below a path and computes its digest.</summary>
    /// <param name="path">File or directory.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <returns>Size and checksum.</returns>
    /// <exception cref="IOException">The path is missing or cannot be read.</exception>
    public static Task<ContentDigest> OfAsync(string path, CancellationToken cancellationToken = default)
    {
        SourceTree tree;
        try
        {
            tree = SourceTree.List(path, cancellationToken);
        }
        catch (UnsupportedSourceException error)
        {
            throw new IOException(error.Message, error);
        }

        return OfAsync(tree, static _ => { }, cancellationToken);
    }

    internal static async Task<ContentDigest> OfAsync(SourceTree tree, Action<long> onBytes, CancellationToken cancellationToken)
    {
        var total = new Gathered(tree);
        var buffer = BufferFor(tree);
        var hash = new XxHash128();
        foreach (var (relative, _) in tree.Files)
        {
            using var file = tree.Open(relative);
            long size = 0;
            int read;
            while ((read = await RandomAccess.ReadAsync(file, buffer, size, cancellationToken)) > 0)
            {
                hash.Append(buffer.AsSpan(0, read));
                size += read;
                onBytes(read);
            }

            total.Add(hash, size, relative);
        }

        return total.ToDigest();
    }

    /// <summary>A buffer that is no larger than the data to read.</summary>
    internal static byte[] BufferFor(SourceTree tree) => new byte[Math.Clamp(tree.TotalSize + 1, 4096, BufferSize)];

    /// <summary>Combines the digests of files (docs/spec/wire.md#directory-checksum). Holds 32 bytes per file.</summary>
    internal sealed class Gathered(SourceTree tree)
    {
        private readonly TreeDigest _names = new();
        private readonly MemberDigests _contents = new(ChecksumAlgorithm.Xxh3.DigestLength());
        private Contracts.Checksum _last;
        private long _size;

        /// <summary>Adds one file and resets the hash for the next one.</summary>
        internal void Add(XxHash128 hash, long size, string relative)
        {
            var content = hash.GetHashAndReset();
            _last = Contracts.Checksum.FromDigest(ChecksumAlgorithm.Xxh3, content);
            _contents.Add(content);
            _names.AddFile(PathBytes.ToZeroTerminated(relative).AsSpan()[..^1], size, content);
            _size += size;
        }

        internal ContentDigest ToDigest()
        {
            if (!tree.IsDirectory)
                return new ContentDigest(_size, _last.Text);
            foreach (var directory in tree.Directories)
                _names.AddDirectory(PathBytes.ToZeroTerminated(directory).AsSpan()[..^1]);
            return new ContentDigest(_size, _contents.Combine(ChecksumAlgorithm.Xxh3).Text) { TreeDigest = _names.Combine() };
        }
    }
}
