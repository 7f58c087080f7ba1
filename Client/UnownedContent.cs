using System.Net;

namespace Librarian.Client;

/// <summary>A body from a stream that stays open, so that it can be sent again.</summary>
internal sealed class UnownedContent(Stream source) : HttpContent
{
    /// <inheritdoc/>
    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => source.CopyToAsync(stream);

    /// <inheritdoc/>
    protected override bool TryComputeLength(out long length)
    {
        length = source.Length;
        return true;
    }
}
