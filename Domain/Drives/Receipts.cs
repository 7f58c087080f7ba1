using System.Diagnostics.CodeAnalysis;
using System.Text;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;

namespace Librarian.Domain.Drives;

/// <summary>Writes a receipt line by line; counterpart of <see cref="ManifestWriter"/>.</summary>
/// <param name="stream">Destination; stays open. <see cref="EndAsync"/> flushes it, but not to disk.</param>
public sealed class ReceiptWriter(Stream stream) : IDisposable
{
    /// <summary>The receipt's name in the root of a drive.</summary>
    public const string FileName = "RECEIPT.jsonl";

    /// <summary>Longest message, characters; the rest is cut off.</summary>
    public const int MaxMessageLength = 2000;

    private readonly SealedWriter _lines = new(stream, ReceiptHeader.FormatName);
    private ReceiptHeader? _header;
    private long _files;
    private bool _ended;

    /// <summary>Writes the first line.</summary>
    /// <exception cref="InvalidOperationException">No reader would accept it, or it was written already.</exception>
    public async Task WriteHeaderAsync(ReceiptHeader header, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(header);
        if (_header is not null)
            throw new InvalidOperationException("The header has been written.");
        ThrowIf(LineRules.Check(header));
        _header = header;
        await _lines.WriteAsync(header, DriveJson.Default.ReceiptHeader, cancellationToken);
    }

    /// <summary>
    /// Writes a decision. Its message is cut to <see cref="MaxMessageLength"/> characters, and invalid Unicode in it is replaced.
    /// </summary>
    /// <exception cref="InvalidOperationException">No reader would accept the line.</exception>
    public ValueTask WriteLineAsync(ReceiptLine line, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(line);
        ThrowUnlessOpen();
        ThrowIf(LineRules.Check(line));
        _files++;
        if (line.Message is not null)
            line = line with { Message = Cut(line.Message) };
        return _lines.WriteAsync(line, DriveJson.Default.ReceiptLine, cancellationToken);
    }

    /// <summary>Signs and writes the last line, and flushes the stream.</summary>
    /// <exception cref="InvalidOperationException">The lines do not match the header, or the key is not the header's.</exception>
    public async Task<ReceiptSeal> EndAsync(SiteSigningKey key, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(key);
        ThrowUnlessOpen();
        if (_files != _header!.Files)
            throw new InvalidOperationException($"The header says {_header.Files} files; written were {_files}.");
        if (key.PublicKey != _header.SiteKey)
            throw new InvalidOperationException("The key is not the one in the header.");
        _ended = true;
        var (digest, signature) = _lines.Seal(key);
        await _lines.EndAsync(
            new ReceiptEnd(ReceiptHeader.FormatName, _files, digest, signature),
            DriveJson.Default.ReceiptEnd,
            cancellationToken
        );
        return new ReceiptSeal(digest, _files);
    }

    /// <summary>Releases memory; the stream stays open.</summary>
    public void Dispose() => _lines.Dispose();

    private static string Cut(string message) =>
        Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(message.Length <= MaxMessageLength ? message : message[..MaxMessageLength]));

    private static void ThrowIf(LineProblem? problem)
    {
        if (problem is not null)
            throw new InvalidOperationException($"Not written into the receipt: {problem.What}.");
    }

    private void ThrowUnlessOpen()
    {
        if (_header is null || _ended)
            throw new InvalidOperationException("Lines come after the header and before the end.");
    }
}

/// <summary>Result of reading a whole receipt: a header and seal, or a refusal with one of these codes.</summary>
/// <remarks>
/// <c>receipt.missing</c>, <c>receipt.unreadable</c>, <c>receipt.format</c>, <c>receipt.version</c>, <c>receipt.truncated</c>,
/// <c>receipt.edited</c>, <c>receipt.signature</c>, <c>receipt.totals</c>, <c>receipt.path</c>, with the meanings of
/// <see cref="ManifestCheck"/>.
/// </remarks>
public sealed record ReceiptCheck
{
    /// <summary>Whether every check passed.</summary>
    [MemberNotNullWhen(true, nameof(Header), nameof(Seal))]
    [MemberNotNullWhen(false, nameof(Refusal))]
    public bool Accepted => Refusal is null;

    /// <summary>The first line. Its key made the signature; the caller still has to compare it with the key known for the site.</summary>
    public ReceiptHeader? Header { get; init; }

    /// <summary>Digest and count.</summary>
    public ReceiptSeal? Seal { get; init; }

    /// <summary>Why the receipt is not used.</summary>
    public DriveRefusal? Refusal { get; init; }
}

/// <summary>Checks receipts in bounded memory.</summary>
public static class ReceiptReader
{
    /// <summary>Reads the receipt once from start to end and checks everything except that its key is the site's.</summary>
    public static async Task<ReceiptCheck> CheckAsync(Stream stream, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(stream);
        var check = new Check();
        return check.Result(await check.RunAsync(stream, cancellationToken));
    }

    /// <summary>The same for a file; <c>receipt.missing</c> when there is none.</summary>
    public static async Task<ReceiptCheck> CheckAsync(string path, CancellationToken cancellationToken)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var check = new Check();
        return check.Result(await check.RunAsync(path, cancellationToken));
    }

    private sealed class Check()
        : SealedCheck(
            "receipt",
            ReceiptHeader.FormatName,
            "The destination can write its receipt again at any time; until then the drive counts as undelivered and must not be wiped."
        )
    {
        private ReceiptHeader? _header;
        private ReceiptEnd? _end;
        private long _files;

        protected override SitePublicKey? Key => _header?.SiteKey;

        internal ReceiptCheck Result(DriveRefusal? refusal) =>
            refusal is null
                ? new ReceiptCheck { Header = _header, Seal = new ReceiptSeal(Digest, _files) }
                : new ReceiptCheck { Refusal = refusal };

        protected override LineProblem? Read(ReadOnlySpan<byte> line, long number)
        {
            if (number == 1)
                return (_header = FormatJson.Parse(line, DriveJson.Default.ReceiptHeader)) is null
                    ? new LineProblem("format", "the header lacks something")
                    : LineRules.Check(_header);
            _files++;
            return FormatJson.Parse(line, DriveJson.Default.ReceiptLine) is { } decision
                ? LineRules.Check(decision)
                : new LineProblem("format", "it is not a decision about a file");
        }

        protected override (string Sha256, string Signature)? ReadEnd(ReadOnlySpan<byte> line) =>
            (_end = FormatJson.Parse(line, DriveJson.Default.ReceiptEnd)) is { End: ReceiptHeader.FormatName }
                ? (_end.Sha256, _end.Signature)
                : null;

        protected override LineProblem? CheckWhole() =>
            _header!.Files != _files ? new LineProblem("totals", $"its first line says {_header.Files} files, it has {_files}")
            : _end!.Files != _files ? new LineProblem("totals", $"its last line says {_end.Files} files, it has {_files}")
            : null;
    }
}

/// <summary>Reads a receipt that <see cref="ReceiptReader"/> has accepted, in pages like <see cref="IManifestCursor"/>.</summary>
public sealed class ReceiptCursor : IAsyncDisposable
{
    private readonly LineCursor _lines;

    private ReceiptCursor(LineCursor lines, ReceiptHeader header)
    {
        _lines = lines;
        Header = header;
    }

    /// <summary>The first line.</summary>
    public ReceiptHeader Header { get; }

    /// <summary>Byte offset of the next read.</summary>
    public long Position => _lines.Position;

    /// <summary>Opens a receipt; the position is that of the first line after the header.</summary>
    /// <exception cref="InvalidDataException">There is no receipt, or it has no header.</exception>
    public static async Task<ReceiptCursor> OpenAsync(string path, CancellationToken cancellationToken)
    {
        var (lines, header) = await LineCursor.OpenAsync(path, DriveJson.Default.ReceiptHeader, cancellationToken);
        return new ReceiptCursor(lines, header);
    }

    /// <summary>Goes to an earlier position of a cursor on the same receipt.</summary>
    public void Seek(long offset) => _lines.Seek(offset);

    /// <summary>The next line; null at the end, also in repeated calls.</summary>
    /// <exception cref="InvalidDataException">The receipt is not the one that was checked.</exception>
    public async ValueTask<ReceiptLine?> ReadLineAsync(CancellationToken cancellationToken) =>
        await _lines.NextAsync(cancellationToken) ? _lines.Parse(DriveJson.Default.ReceiptLine) : null;

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _lines.DisposeAsync();
}
