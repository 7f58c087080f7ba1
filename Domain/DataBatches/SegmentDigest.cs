using System.IO.Hashing;
using System.Security.Cryptography;

namespace Librarian.Domain.DataBatches;

/// <summary>Algorithms of the digest of a segment.</summary>
public enum SegmentAlgorithm
{
    Xxh3,
    Sha256,
}

/// <summary>The digest that a sender declares for a whole segment (docs/spec/data-batches.md#segments).</summary>
/// <param name="Algorithm">Its algorithm.</param>
/// <param name="Value">Its bytes.</param>
public sealed record SegmentDigest(SegmentAlgorithm Algorithm, ReadOnlyMemory<byte> Value);

/// <summary>Computes the digest of a segment while it is written.</summary>
internal sealed class SegmentHash(SegmentAlgorithm algorithm) : IDisposable
{
    private readonly XxHash128? _fast = algorithm == SegmentAlgorithm.Xxh3 ? new XxHash128() : null;
    private readonly IncrementalHash? _sha =
        algorithm == SegmentAlgorithm.Sha256 ? IncrementalHash.CreateHash(HashAlgorithmName.SHA256) : null;

    public void Dispose() => _sha?.Dispose();

    internal void Append(ReadOnlySpan<byte> bytes)
    {
        _fast?.Append(bytes);
        _sha?.AppendData(bytes);
    }

    internal bool Equals(SegmentDigest declared) =>
        (_fast?.GetCurrentHash() ?? _sha!.GetCurrentHash()).AsSpan().SequenceEqual(declared.Value.Span);

    /// <summary>Appends bytes that are in staging already.</summary>
    /// <returns>False if they are not there any more, because a transfer has ended: then nothing can be compared.</returns>
    internal bool AppendStored(StagedTree tree, BatchLayout layout, long position, long length)
    {
        var buffer = new byte[(int)Math.Min(length, 256 << 10)];
        foreach (var file in layout.FilesFrom(position))
        {
            var end = Math.Min(file.Start + file.Size, position + length);
            if (file.Start >= position + length)
                break;
            using var opened = tree.OpenToRead(file);
            for (var at = Math.Max(file.Start, position); at < end; )
            {
                var read = opened?.ReadAt(buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - at)), at - file.Start) ?? 0;
                if (read == 0)
                    return false;
                Append(buffer.AsSpan(0, read));
                at += read;
            }
        }

        return true;
    }
}
