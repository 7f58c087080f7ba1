using System.IO.Hashing;
using System.Security.Cryptography;

namespace Librarian.Contracts;

/// <summary>Feeds the same bytes to several algorithms, so that data are read once for any number of checksums.</summary>
internal sealed class MultiHash : IDisposable
{
    private readonly IncrementalHash?[] _cryptographic;
    private readonly XxHash128?[] _fast;

    internal MultiHash(IReadOnlyList<ChecksumAlgorithm> algorithms)
    {
        Algorithms = algorithms;
        _cryptographic = new IncrementalHash?[algorithms.Count];
        _fast = new XxHash128?[algorithms.Count];
        for (var i = 0; i < algorithms.Count; i++)
        {
            if (algorithms[i] == ChecksumAlgorithm.Xxh3)
                _fast[i] = new XxHash128(seed: 0);
            else
                _cryptographic[i] = IncrementalHash.CreateHash(Name(algorithms[i]));
        }
    }

    internal IReadOnlyList<ChecksumAlgorithm> Algorithms { get; }

    public void Dispose()
    {
        foreach (var hash in _cryptographic)
            hash?.Dispose();
    }

    internal void Append(ReadOnlySpan<byte> bytes)
    {
        for (var i = 0; i < Algorithms.Count; i++)
            Append(i, bytes);
    }

    internal void Append(int index, ReadOnlySpan<byte> bytes)
    {
        if (_fast[index] is { } fast)
            fast.Append(bytes);
        else
            _cryptographic[index]!.AppendData(bytes);
    }

    /// <summary>Writes the digest of one algorithm and resets it for the next content.</summary>
    /// <returns>The digest, as a slice of <paramref name="destination"/>.</returns>
    internal ReadOnlySpan<byte> FinishAndReset(int index, Span<byte> destination)
    {
        var length = _fast[index] is { } fast ? fast.GetHashAndReset(destination) : _cryptographic[index]!.GetHashAndReset(destination);
        return destination[..length];
    }

    private static HashAlgorithmName Name(ChecksumAlgorithm algorithm) =>
        algorithm switch
        {
            ChecksumAlgorithm.Md5 => HashAlgorithmName.MD5,
            ChecksumAlgorithm.Sha1 => HashAlgorithmName.SHA1,
            ChecksumAlgorithm.Sha256 => HashAlgorithmName.SHA256,
            ChecksumAlgorithm.Sha512 => HashAlgorithmName.SHA512,
            _ => throw new ArgumentOutOfRangeException(nameof(algorithm), algorithm, "Unknown checksum algorithm."),
        };
}
