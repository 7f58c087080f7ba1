namespace Librarian.Client.Uploads;

/// <summary>
/// Compares a source with a checksum in a site's catalog. The site may use another algorithm than this client
/// (docs/spec/wire.md#checksum-text); that alone does not mean that the content differs.
/// </summary>
internal static class RecordedChecksum
{
    /// <summary>Whether the source has the recorded checksum. Reads the source once more if the algorithms differ.</summary>
    /// <param name="recorded">Checksum in the site's catalog.</param>
    /// <param name="digest">Digest of the source.</param>
    /// <param name="localPath">The source.</param>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="IOException">The source can no longer be read.</exception>
    internal static async Task<bool> IsOfAsync(string recorded, ContentDigest digest, string localPath, CancellationToken cancellationToken)
    {
        var theirs = Checksum.Parse(recorded);
        var ours = Checksum.Parse(digest.Checksum);
        if (theirs.Algorithm != ours.Algorithm)
            ours = await ReadAsync(SourceTree.List(localPath, cancellationToken), theirs.Algorithm, cancellationToken);
        return ours.CompareTo(theirs) == ChecksumComparison.Equal;
    }

    private static async Task<Checksum> ReadAsync(SourceTree tree, ChecksumAlgorithm algorithm, CancellationToken cancellationToken)
    {
        using var hash = new MultiHash([algorithm]);
        var members = new MemberDigests(algorithm.DigestLength());
        var content = new byte[algorithm.DigestLength()];
        var buffer = ContentDigest.BufferFor(tree);
        foreach (var (relative, _) in tree.Files)
        {
            using var file = tree.Open(relative);
            long size = 0;
            int read;
            while ((read = await RandomAccess.ReadAsync(file, buffer, size, cancellationToken)) > 0)
            {
                hash.Append(buffer.AsSpan(0, read));
                size += read;
            }

            _ = hash.FinishAndReset(0, content);
            members.Add(content);
        }

        return tree.IsDirectory ? members.Combine(algorithm) : Checksum.FromDigest(algorithm, content);
    }
}
