using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Librarian.Domain.Formats;
using Librarian.Domain.Security;

namespace Librarian.Domain.Drives;

/// <summary>
/// The common part of writing manifests and receipts: lines of JSON with a running SHA-256, and a signature of that digest at the end.
/// </summary>
internal sealed class SealedWriter : IDisposable
{
    private const int FlushFrom = 256 * 1024;

    private readonly Stream _stream;
    private readonly string _format;
    private readonly ArrayBufferWriter<byte> _pending = new(FlushFrom + LineReader.MaxLength);
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly Utf8JsonWriter _json;

    internal SealedWriter(Stream stream, string format)
    {
        _stream = stream;
        _format = format;
        _json = new Utf8JsonWriter(_pending, FormatJson.OneLine);
    }

    public void Dispose()
    {
        _json.Dispose();
        _hash.Dispose();
    }

    /// <summary>The text that is signed for a digest (docs/formats/drive-v1.md "Manifest").</summary>
    internal static byte[] SignedText(string format, string sha256) => Encoding.ASCII.GetBytes($"{format}-v1\n{sha256}");

    /// <exception cref="InvalidOperationException">The line is longer than readers accept.</exception>
    internal ValueTask WriteAsync<T>(T line, JsonTypeInfo<T> type, CancellationToken cancellationToken)
    {
        var start = _pending.WrittenCount;
        Append(line, type);
        _hash.AppendData(_pending.WrittenSpan[start..]);
        return _pending.WrittenCount < FlushFrom ? ValueTask.CompletedTask : FlushAsync(cancellationToken);
    }

    /// <summary>The digest of all written lines, and its signature in base64.</summary>
    internal (string Sha256, string Signature) Seal(SiteSigningKey key)
    {
        var digest = Convert.ToHexStringLower(_hash.GetHashAndReset());
        return (digest, Convert.ToBase64String(key.Sign(SignedText(_format, digest))));
    }

    /// <summary>Writes the last line, which is not part of the digest, and flushes the stream.</summary>
    internal async Task EndAsync<T>(T line, JsonTypeInfo<T> type, CancellationToken cancellationToken)
    {
        Append(line, type);
        await FlushAsync(cancellationToken);
        await _stream.FlushAsync(cancellationToken);
    }

    private void Append<T>(T line, JsonTypeInfo<T> type)
    {
        var start = _pending.WrittenCount;
        _json.Reset();
        JsonSerializer.Serialize(_json, line, type);
        _json.Flush();
        _pending.Write("\n"u8);
        if (_pending.WrittenCount - start > LineReader.MaxLength)
            throw new InvalidOperationException($"A line of {_pending.WrittenCount - start} bytes: readers take {LineReader.MaxLength}.");
    }

    private async ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        await _stream.WriteAsync(_pending.WrittenMemory, cancellationToken);
        _pending.ResetWrittenCount();
    }
}
