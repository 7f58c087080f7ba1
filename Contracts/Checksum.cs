using System.Diagnostics.CodeAnalysis;

namespace Librarian.Contracts;

/// <summary>
/// A checksum as sites exchange it: <c>algorithm:::digest</c> (docs/spec/wire.md#checksum-text). Every string is a checksum: a string
/// without a known prefix is an MD5 digest. The string is kept verbatim, because peers get it verbatim.
/// </summary>
/// <remarks>
/// <c>==</c> compares the strings. <see cref="CompareTo(Checksum)"/> tells whether two checksums describe the same content.
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

    /// <summary>The string as given.</summary>
    [field: MaybeNull]
    public string Text
    {
        get => field ?? string.Empty;
    }

    /// <summary>The algorithm that the prefix names; MD5 without a prefix.</summary>
    public ChecksumAlgorithm Algorithm { get; }

    /// <summary>
    /// The text after the prefix, or the whole string if there is none. Digests compare case-sensitively, so case is kept.
    /// </summary>
    [field: MaybeNull]
    public string Digest
    {
        get => field ?? string.Empty;
    }

    /// <summary>Parses a checksum. Never fails, because the wire contract gives every string a meaning.</summary>
    public static Checksum Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        foreach (var algorithm in ChecksumAlgorithmExtensions.All)
        {
            var name = algorithm.WireName();
            if (text.StartsWith(name, StringComparison.Ordinal) && text.AsSpan(name.Length).StartsWith(Separator, StringComparison.Ordinal))
                return new Checksum(text, algorithm, text[(name.Length + Separator.Length)..]);
        }

        return new Checksum(text, ChecksumAlgorithm.Md5, text);
    }

    /// <summary>The checksum for a computed digest, always with a prefix (docs/spec/wire.md#checksum-kept-verbatim).</summary>
    public static Checksum FromDigest(ChecksumAlgorithm algorithm, ReadOnlySpan<byte> digest)
    {
        if (digest.Length != algorithm.DigestLength())
            throw new ArgumentException(
                $"A digest of {algorithm} has {algorithm.DigestLength()} bytes, not {digest.Length}.",
                nameof(digest)
            );
        var hex = Convert.ToHexStringLower(digest);
        return new Checksum(algorithm.WireName() + Separator + hex, algorithm, hex);
    }

    /// <summary>Whether two checksums describe the same content: <c>abc</c> equals <c>md5:::abc</c> and differs from <c>ABC</c>.</summary>
    public ChecksumComparison CompareTo(Checksum other)
    {
        if (Algorithm != other.Algorithm)
            return ChecksumComparison.DifferentAlgorithms;
        return string.Equals(Digest, other.Digest, StringComparison.Ordinal) ? ChecksumComparison.Equal : ChecksumComparison.Different;
    }

    /// <summary>The string as given.</summary>
    public override string ToString() => Text;
}
