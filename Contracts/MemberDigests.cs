namespace Librarian.Contracts;

/// <summary>
/// The digests of a directory's files for one algorithm: raw bytes in fixed chunks (16 MB for a million files with XXH3), sorted once at
/// the end. Sorting raw digests gives the same order as sorting their lower-case hexadecimal text, because '0'…'9' come before 'a'…'f'
/// in ASCII.
/// </summary>
internal sealed class MemberDigests(int digestLength)
{
    private const int ChunkBits = 14;
    private const int ChunkMask = (1 << ChunkBits) - 1;

    private readonly List<byte[]> _chunks = [];
    private readonly Lock _lock = new();
    private int _count;

    internal void Add(ReadOnlySpan<byte> digest)
    {
        lock (_lock)
        {
            if (_count >> ChunkBits == _chunks.Count)
                _chunks.Add(new byte[digestLength << ChunkBits]);
            digest.CopyTo(At(_count++));
        }
    }

    /// <summary>
    /// The directory's digest: the algorithm over the sorted and joined hexadecimal digests (docs/spec/wire.md#directory-checksum).
    /// </summary>
    internal Checksum Combine(ChecksumAlgorithm algorithm)
    {
        var order = new int[_count];
        for (var i = 0; i < order.Length; i++)
            order[i] = i;
        order.AsSpan().Sort((a, b) => At(a).SequenceCompareTo(At(b)));

        using var hash = new MultiHash([algorithm]);
        Span<byte> text = stackalloc byte[128];
        foreach (var index in order)
        {
            if (!Convert.TryToHexStringLower(At(index), text, out var written))
                throw new InvalidOperationException("A digest longer than 64 bytes has no place here.");
            hash.Append(text[..written]);
        }

        Span<byte> digest = stackalloc byte[64];
        return Checksum.FromDigest(algorithm, hash.FinishAndReset(0, digest));
    }

    private Span<byte> At(int index) => _chunks[index >> ChunkBits].AsSpan((index & ChunkMask) * digestLength, digestLength);
}
