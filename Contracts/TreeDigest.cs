using System.Buffers;
using System.Buffers.Binary;
using System.IO.Hashing;

namespace Librarian.Contracts;

/// <summary>
/// Computes the tree digest of a directory (docs/formats/tree-digest-v1.md). Members may be added in any order and from several threads.
/// Memory use is 16 bytes per member.
/// </summary>
internal sealed class TreeDigest
{
    internal const string Prefix = "tree1:::";

    private readonly MemberDigests _records = new(ChecksumAlgorithm.Xxh3.DigestLength());

    /// <summary>
    /// Returns the declared digest if it is a tree digest of this version. Anything else is treated as not declared: null.
    /// </summary>
    internal static string? Understood(string? declared) =>
        declared?.Length == Prefix.Length + (2 * ChecksumAlgorithm.Xxh3.DigestLength())
        && declared.StartsWith(Prefix, StringComparison.Ordinal)
            ? declared
            : null;

    /// <summary>Adds a file below the directory.</summary>
    /// <param name="path">Relative path, as bytes.</param>
    /// <param name="size">Its length in bytes.</param>
    /// <param name="content">XXH3-128 of its content.</param>
    internal void AddFile(ReadOnlySpan<byte> path, long size, ReadOnlySpan<byte> content)
    {
        Span<byte> head = stackalloc byte[25];
        head[0] = (byte)'f';
        BinaryPrimitives.WriteInt64LittleEndian(head[1..], size);
        content.CopyTo(head[9..]);
        Add(head, path);
    }

    internal void AddDirectory(ReadOnlySpan<byte> path) => Add("d"u8, path);

    internal string Combine() => Prefix + _records.Combine(ChecksumAlgorithm.Xxh3).Digest;

    private void Add(ReadOnlySpan<byte> head, ReadOnlySpan<byte> path)
    {
        var record = ArrayPool<byte>.Shared.Rent(head.Length + path.Length);
        head.CopyTo(record);
        path.CopyTo(record.AsSpan(head.Length));
        Span<byte> hash = stackalloc byte[16];
        XxHash128.Hash(record.AsSpan(0, head.Length + path.Length), hash);
        ArrayPool<byte>.Shared.Return(record);
        _records.Add(hash);
    }
}
