using System.Diagnostics.CodeAnalysis;

namespace Librarian.Domain.Drives;

/// <summary>Writes a receipt line by line; counterpart of <see cref="ManifestWriter"/>.</summary>
/// <param name="stream">Where it goes; stays open, flushed by <see cref="EndAsync"/> but not to disk.</param>
public sealed class ReceiptWriter(Stream stream)
{
    /// <summary>The receipt's name in the root of a drive.</summary>
    public const string FileName = "RECEIPT.jsonl";

    /// <summary>Writes the first line.</summary>
    public Task WriteHeaderAsync(ReceiptHeader header, CancellationToken cancellationToken) => throw new NotSupportedException("Written next." + stream);

    /// <summary>Writes a decision.</summary>
    /// <exception cref="InvalidOperationException">No reader would accept the line.</exception>
    public ValueTask WriteLineAsync(ReceiptLine line, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <summary>Signs and writes the last line, and flushes the stream.</summary>
    /// <exception cref="InvalidOperationException">The lines are not what the header says, or the key is not the header's.</exception>
    public Task<ReceiptSeal> EndAsync(SiteSigningKey key, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");
}

/// <summary>What reading a whole receipt found: a header and seal, or a refusal with a code of <see cref="ManifestCheck"/>'s kinds, beginning with <c>receipt.</c></summary>
public sealed record ReceiptCheck
{
    /// <summary>Whether every check passed.</summary>
    [MemberNotNullWhen(true, nameof(Header), nameof(Seal))]
    [MemberNotNullWhen(false, nameof(Refusal))]
    public bool Accepted => Refusal is null;

    /// <summary>The first line; its key made the signature, and is still to be compared with the key known for the site.</summary>
    public ReceiptHeader? Header { get; init; }

    /// <summary>Digest and count.</summary>
    public ReceiptSeal? Seal { get; init; }

    /// <summary>Why the receipt is not used.</summary>
    public DriveRefusal? Refusal { get; init; }
}

/// <summary>Checks receipts in bounded memory.</summary>
public static class ReceiptReader
{
    /// <summary>Reads the receipt once from start to end and checks everything but whether its key is the site's.</summary>
    public static Task<ReceiptCheck> CheckAsync(Stream stream, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <summary>The same for a file; <c>receipt.missing</c> when there is none.</summary>
    public static Task<ReceiptCheck> CheckAsync(string path, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");
}

/// <summary>Walks through a receipt that <see cref="ReceiptReader"/> has accepted, in pages like <see cref="IManifestCursor"/>.</summary>
public sealed class ReceiptCursor : IAsyncDisposable
{
    private ReceiptCursor(ReceiptHeader header) => Header = header;

    /// <summary>The first line.</summary>
    public ReceiptHeader Header { get; }

    /// <summary>Byte offset of what is read next.</summary>
    public long Position => throw new NotSupportedException("Written next.");

    /// <summary>Opens a receipt; the position is that of the first line after the header.</summary>
    /// <exception cref="InvalidDataException">It has no header.</exception>
    public static Task<ReceiptCursor> OpenAsync(string path, CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <summary>Goes to a position a cursor of the same receipt had.</summary>
    public void Seek(long offset) => throw new NotSupportedException("Written next.");

    /// <summary>The next line; null at the end.</summary>
    /// <exception cref="InvalidDataException">The receipt is not the one that was checked.</exception>
    public ValueTask<ReceiptLine?> ReadLineAsync(CancellationToken cancellationToken) => throw new NotSupportedException("Written next.");

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => throw new NotSupportedException("Written next.");
}
