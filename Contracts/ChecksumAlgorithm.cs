using System.Collections.Frozen;

namespace Librarian.Contracts;

/// <summary>
/// The algorithms that every site knows (docs/spec/wire.md#checksum-text), in the order in which their prefixes are tried.
/// </summary>
public enum ChecksumAlgorithm
{
    /// <summary>MD5. A checksum without a prefix is MD5, too.</summary>
    Md5,

    /// <summary>XXH3 with 128 bits and seed 0. Clients compute it by default.</summary>
    Xxh3,

    /// <summary>SHA-1.</summary>
    Sha1,

    /// <summary>SHA-256.</summary>
    Sha256,

    /// <summary>SHA-512.</summary>
    Sha512,
}

/// <summary>Names and lengths of the algorithms.</summary>
public static class ChecksumAlgorithmExtensions
{
    private static readonly FrozenDictionary<ChecksumAlgorithm, (string Name, int Length)> Known = new Dictionary<
        ChecksumAlgorithm,
        (string, int)
    >
    {
        [ChecksumAlgorithm.Md5] = ("md5", 16),
        [ChecksumAlgorithm.Xxh3] = ("xxh3", 16),
        [ChecksumAlgorithm.Sha1] = ("sha1", 20),
        [ChecksumAlgorithm.Sha256] = ("sha256", 32),
        [ChecksumAlgorithm.Sha512] = ("sha512", 64),
    }.ToFrozenDictionary();

    /// <summary>All algorithms, in the order in which their prefixes are tried.</summary>
    public static IReadOnlyList<ChecksumAlgorithm> All { get; } =
    [ChecksumAlgorithm.Md5, ChecksumAlgorithm.Xxh3, ChecksumAlgorithm.Sha1, ChecksumAlgorithm.Sha256, ChecksumAlgorithm.Sha512];

    /// <summary>The algorithm's prefix on the wire.</summary>
    public static string WireName(this ChecksumAlgorithm algorithm) => Known[algorithm].Name;

    /// <summary>Length of a digest in bytes, which is half the number of its hexadecimal digits.</summary>
    public static int DigestLength(this ChecksumAlgorithm algorithm) => Known[algorithm].Length;
}
