using System.IO.Hashing;
using System.Text;

namespace Librarian.Client.Uploads;

/// <summary>Size and checksum of a file or directory as the protocol defines them (docs/spec/wire.md#checksums).</summary>
/// <param name="Size">Size in bytes; for a directory, the sum over its files.</param>
/// <param name="Checksum"><c>xxh3:::</c> and 32 lower-case hex digits.</param>
public sealed record ContentDigest(long Size, string Checksum)
{
    internal const int BufferSize = 1 << 20;

    private const string Prefix = "xxh3:::";

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

    /// <summary>
    /// Combines file digests as docs/spec/wire.md#directory-checksum defines: sorts the hex digests and digests their concatenation. Holds
    /// one digest per file, 32 characters each.
    /// </summary>
    internal sealed class Gathered(SourceTree tree)
    {
        private readonly TreeNames _names = new();
        private readonly List<string> _hexes = [];
        private long _size;

        /// <summary>Adds one file and resets the hash for the next one.</summary>
        internal void Add(XxHash128 hash, long size, string relative)
        {
            var content = hash.GetHashAndReset();
            _hexes.Add(Convert.ToHexStringLower(content));
            _names.AddFile(PathBytes.ToZeroTerminated(relative).AsSpan()[..^1], size, content);
            _size += size;
        }

        internal ContentDigest ToDigest()
        {
            if (!tree.IsDirectory)
                return new ContentDigest(_size, Prefix + _hexes.Single());
            _hexes.Sort(StringComparer.Ordinal);
            var hash = new XxHash128();
            foreach (var hex in _hexes)
                hash.Append(Encoding.ASCII.GetBytes(hex));
            foreach (var directory in tree.Directories)
                _names.AddDirectory(PathBytes.ToZeroTerminated(directory).AsSpan()[..^1]);
            return new ContentDigest(_size, Prefix + Convert.ToHexStringLower(hash.GetHashAndReset())) { TreeDigest = _names.ToText() };
        }
    }
}
