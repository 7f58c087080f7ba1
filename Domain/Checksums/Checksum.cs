using System.Diagnostics.CodeAnalysis;

namespace Librarian.Domain.Checksums;

/// <summary>How two checksums relate.</summary>
public enum ChecksumComparison
{
    /// <summary>Same algorithm, same digest.</summary>
    Equal,

    /// <summary>Same algorithm, other digest: the contents differ.</summary>
    Different,

    /// <summary>Different algorithms: nothing can be said about the contents. Compute the other's algorithm and compare again.</summary>
    DifferentAlgorithms,
}

/// <summary>
/// A checksum as it travels between sites: <c>algorithm:::digest</c> (wire.md §4.1). Any string is a checksum: without one of
/// the known prefixes the whole string is an MD5 digest. The string is kept as it came, because peers get it verbatim.
/// </summary>
/// <remarks>
/// <c>==</c> compares the strings; use <see cref="CompareTo(Checksum)"/> to ask whether two checksums describe the same content.
/// </remarks>
public readonly record struct Checksum
{
    private const string Separator = ":::";

    private Checksum(string text, ChecksumAlgorithm algorithm, string digest)
    {
        Text = text;
        Algorithm = algorithm;
        Digest = digest;
    }

    /// <summary>The string exactly as given.</summary>
    [field: MaybeNull]
    public string Text { get => field ?? string.Empty; }

    /// <summary>The algorithm the prefix names, MD5 without one.</summary>
    public ChecksumAlgorithm Algorithm { get; }

    /// <summary>What follows the prefix, or the whole string without one. Case is kept: digests compare case-sensitively.</summary>
    [field: MaybeNull]
    public string Digest { get => field ?? string.Empty; }

    /// <summary>Reads a checksum; never fails, because the contract gives every string a meaning.</summary>
    public static Checksum Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        foreach (var algorithm in ChecksumAlgorithmExtensions.All)
        {
            var name = algorithm.WireName();
            if (text.StartsWith(name, StringComparison.Ordinal)
                && text.AsSpan(name.Length).StartsWith(Separator, StringComparison.Ordinal))
                return new Checksum(text, algorithm, text[(name.Length + Separator.Length)..]);
        }

        return new Checksum(text, ChecksumAlgorithm.Md5, text);
    }

    /// <summary>The checksum for a freshly computed digest, always with a prefix (wire.md §4.2).</summary>
    public static Checksum FromDigest(ChecksumAlgorithm algorithm, ReadOnlySpan<byte> digest)
    {
        if (digest.Length != algorithm.DigestLength())
            throw new ArgumentException($"A digest of {algorithm} has {algorithm.DigestLength()} bytes, not {digest.Length}.", nameof(digest));
        var hex = Convert.ToHexStringLower(digest);
        return new Checksum(algorithm.WireName() + Separator + hex, algorithm, hex);
    }

    /// <summary>Whether two checksums describe the same content: <c>abc</c> equals <c>md5:::abc</c>, and differs from <c>ABC</c>.</summary>
    public ChecksumComparison CompareTo(Checksum other)
    {
        if (Algorithm != other.Algorithm)
            return ChecksumComparison.DifferentAlgorithms;
        return string.Equals(Digest, other.Digest, StringComparison.Ordinal) ? ChecksumComparison.Equal : ChecksumComparison.Different;
    }

    /// <summary>The string exactly as given.</summary>
    public override string ToString() => Text;
}
