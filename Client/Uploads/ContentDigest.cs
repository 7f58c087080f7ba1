using System.IO.Hashing;
using System.Text;

namespace Librarian.Client.Uploads;

/// <summary>Size and checksum of a file or a directory as the wire wants them (wire.md §4).</summary>
/// <param name="Size">Bytes; of a directory the sum over its files.</param>
/// <param name="Checksum"><c>xxh3:::</c> and 32 lower-case hex digits.</param>
public sealed record ContentDigest(long Size, string Checksum)
{
    internal const int BufferSize = 1 << 20;

    private const string Prefix = "xxh3:::";

    /// <summary>Reads everything below a path and digests it.</summary>
    /// <param name="path">File or directory.</param>
    /// <param name="cancellationToken">Gives up.</param>
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
        var total = new TreeDigest(tree.IsDirectory);
        var buffer = BufferFor(tree);
        var hash = new XxHash128();
        foreach (var (relative, _) in tree.Files)
        {
            await using var file = OpenSource(tree.Absolute(relative));
            long size = 0;
            int read;
            while ((read = await file.ReadAsync(buffer, cancellationToken)) > 0)
            {
                hash.Append(buffer.AsSpan(0, read));
                size += read;
                onBytes(read);
            }

            total.Add(hash, size);
        }

        return total.ToDigest();
    }

    /// <summary>A buffer no larger than what is to be read.</summary>
    internal static byte[] BufferFor(SourceTree tree) => new byte[Math.Clamp(tree.TotalSize + 1, 4096, BufferSize)];

    internal static FileStream OpenSource(string path) => new(path, new FileStreamOptions
    {
        Mode = FileMode.Open,
        Access = FileAccess.Read,
        Share = FileShare.ReadWrite | FileShare.Delete,
        Options = FileOptions.SequentialScan | FileOptions.Asynchronous,
        BufferSize = 0,
    });

    /// <summary>
    /// Gathers file digests by the directory rule of wire.md §4.3: sort the hex digests, digest their concatenation. Holds one digest
    /// per file, 32 characters each.
    /// </summary>
    internal sealed class TreeDigest(bool isDirectory)
    {
        private readonly List<string> _hexes = [];
        private long _size;

        /// <summary>Adds one file and resets the hash for the next.</summary>
        internal void Add(XxHash128 hash, long size)
        {
            _hexes.Add(Convert.ToHexStringLower(hash.GetHashAndReset()));
            _size += size;
        }

        internal ContentDigest ToDigest()
        {
            if (!isDirectory)
                return new ContentDigest(_size, Prefix + _hexes.Single());
            _hexes.Sort(StringComparer.Ordinal);
            var hash = new XxHash128();
            foreach (var hex in _hexes)
                hash.Append(Encoding.ASCII.GetBytes(hex));
            return new ContentDigest(_size, Prefix + Convert.ToHexStringLower(hash.GetHashAndReset()));
        }
    }
}
