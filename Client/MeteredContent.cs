using System.Net;

namespace Librarian.Client;

/// <summary>Bytes of a request, of which each chunk that the network has taken is reported.</summary>
/// <param name="bytes">The bytes.</param>
/// <param name="onChunk">Called after each chunk with its length.</param>
/// <param name="onEnd">Called after the last chunk.</param>
internal sealed class MeteredContent(ReadOnlyMemory<byte> bytes, Action<int> onChunk, Action onEnd) : HttpContent
{
    private const int ChunkSize = 256 << 10;

    /// <inheritdoc/>
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    /// <inheritdoc/>
    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        for (var at = 0; at < bytes.Length; )
        {
            var chunk = bytes.Slice(at, Math.Min(ChunkSize, bytes.Length - at));
            await stream.WriteAsync(chunk, cancellationToken);
            at += chunk.Length;
            onChunk(chunk.Length);
        }

        onEnd();
    }

    /// <inheritdoc/>
    protected override bool TryComputeLength(out long length)
    {
        length = bytes.Length;
        return true;
    }
}
