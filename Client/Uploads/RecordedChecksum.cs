using System.Security.Cryptography;
using System.Text;

namespace Librarian.Client.Uploads;

/// <summary>
/// Compares a source with a checksum in a site's catalog. The site may use another algorithm than this client
/// (docs/spec/wire.md#checksum-text); that alone does not mean that the content differs.
/// </summary>
internal static class RecordedChecksum
{
    private const string Separator = ":::";
    private static readonly (string Name, HashAlgorithmName Algorithm)[] Kinds =
    [
        ("md5", HashAlgorithmName.MD5),
        ("sha1", HashAlgorithmName.SHA1),
        ("sha256", HashAlgorithmName.SHA256),
        ("sha512", HashAlgorithmName.SHA512),
    ];

    /// <summary>Whether the source has the recorded checksum. Reads the source once more if the algorithms differ.</summary>
    /// <param name="recorded">Checksum in the site's catalog.</param>
    /// <param name="digest">Digest of the source.</param>
    /// <param name="localPath">The source.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="IOException">The source can no longer be read.</exception>
    internal static async Task<bool> IsOfAsync(string recorded, ContentDigest digest, string localPath, CancellationToken cancellationToken)
    {
        if (recorded == digest.Checksum)
            return true;
        if (recorded.StartsWith("xxh3" + Separator, StringComparison.Ordinal))
            return false;
        // A checksum without a prefix is an MD5 digest.
        var (name, algorithm) = Kinds.FirstOrDefault(k => recorded.StartsWith(k.Name + Separator, StringComparison.Ordinal));
        var hex = name is null ? recorded : recorded[(name.Length + Separator.Length)..];
        var tree = SourceTree.List(localPath, cancellationToken);
        return hex == await DigestAsync(tree, name is null ? HashAlgorithmName.MD5 : algorithm, cancellationToken);
    }

    // The rule of docs/spec/wire.md#directory-checksum, as in ContentDigest.
    private static async Task<string> DigestAsync(SourceTree tree, HashAlgorithmName algorithm, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(algorithm);
        var buffer = ContentDigest.BufferFor(tree);
        List<string> hexes = [];
        foreach (var (relative, _) in tree.Files)
        {
            using var file = tree.Open(relative);
            long size = 0;
            int read;
            while ((read = await RandomAccess.ReadAsync(file, buffer, size, cancellationToken)) > 0)
            {
                hash.AppendData(buffer.AsSpan(0, read));
                size += read;
            }

            hexes.Add(Convert.ToHexStringLower(hash.GetHashAndReset()));
        }

        if (!tree.IsDirectory)
            return hexes.Single();
        hexes.Sort(StringComparer.Ordinal);
        foreach (var hex in hexes)
            hash.AppendData(Encoding.ASCII.GetBytes(hex));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
