using System.Security.Cryptography;
using System.Text.Json;

namespace Librarian.Domain.Drives;

/// <summary>An upstream manifest that is malformed or truncated.</summary>
internal sealed class JsonStreamException(string kind, string message) : FormatException(message)
{
    /// <summary>Second half of a code: <c>format</c> or <c>truncated</c>.</summary>
    internal string Kind { get; } = kind;
}

/// <summary>
/// Reads one JSON document value by value: the caller handles brackets, commas and colons, and each value between them is held in memory.
/// So an array of millions needs the memory of one element, and reading may begin at any element.
/// </summary>
/// <param name="stream">UTF-8, with or without a byte order mark.</param>
/// <param name="hash">Gets all bytes that are read; null for none.</param>
internal sealed class JsonValueStream(Stream stream, IncrementalHash? hash = null)
{
    /// <summary>Longest value, bytes.</summary>
    internal const int MaxValue = 64 * 1024;

    private readonly byte[] _buffer = new byte[2 * MaxValue];
    private int _start;
    private int _end;
    private long _streamPosition;

    /// <summary>Byte offset of the next read.</summary>
    internal long Position => _streamPosition - (_end - _start);

    internal void Seek(long offset)
    {
        _streamPosition = stream.Seek(offset, SeekOrigin.Begin);
        _start = _end = 0;
    }

    /// <summary>Skips a byte order mark at the start.</summary>
    internal async ValueTask SkipMarkAsync(CancellationToken cancellationToken)
    {
        while (_end - _start < 3 && await FillAsync(cancellationToken)) { }

        if (_buffer.AsSpan(_start, _end - _start).StartsWith((ReadOnlySpan<byte>)[0xEF, 0xBB, 0xBF]))
            _start += 3;
    }

    /// <summary>Returns the next byte that is not white space, without consuming it; -1 at the end.</summary>
    internal async ValueTask<int> PeekAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var rest = _buffer.AsSpan(_start, _end - _start);
            var blanks = rest.IndexOfAnyExcept(" \t\r\n"u8);
            _start = blanks < 0 ? _end : _start + blanks;
            if (blanks >= 0)
                return _buffer[_start];
            if (!await FillAsync(cancellationToken))
                return -1;
        }
    }

    /// <summary>Consumes the next byte that is not white space, which must be one of <paramref name="allowed"/>.</summary>
    internal async ValueTask<char> TakeAsync(string allowed, CancellationToken cancellationToken)
    {
        var next = await PeekAsync(cancellationToken);
        if (next < 0)
            throw Truncated();
        if (!allowed.Contains((char)next, StringComparison.Ordinal))
            throw new JsonStreamException("format", $"at byte {Position} should stand one of {allowed}");
        _start++;
        return (char)next;
    }

    /// <summary>Consumes one whole value of any kind; valid until the next call.</summary>
    internal async ValueTask<ReadOnlyMemory<byte>> ReadValueAsync(CancellationToken cancellationToken)
    {
        if (await PeekAsync(cancellationToken) < 0)
            throw Truncated();
        while (true)
        {
            var length = TryMeasure();
            if (length > 0)
            {
                _start += length;
                return _buffer.AsMemory(_start - length, length);
            }

            if (_end - _start >= MaxValue)
                throw new JsonStreamException("format", $"the value at byte {Position} is longer than {MaxValue} bytes");
            if (!await FillAsync(cancellationToken))
                throw Truncated();
        }
    }

    /// <summary>Length of the value at the start of the buffer; 0 when more data are needed.</summary>
    private int TryMeasure()
    {
        try
        {
            var reader = new Utf8JsonReader(_buffer.AsSpan(_start, _end - _start), isFinalBlock: false, state: default);
            return reader.Read() && reader.TrySkip() ? (int)reader.BytesConsumed : 0;
        }
        catch (JsonException failure)
        {
            throw new JsonStreamException("format", $"the value at byte {Position} is no JSON ({failure.Message.Split(" LineNumber")[0]})");
        }
    }

    private async ValueTask<bool> FillAsync(CancellationToken cancellationToken)
    {
        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        _end -= _start;
        _start = 0;
        var count = await stream.ReadAsync(_buffer.AsMemory(_end), cancellationToken);
        hash?.AppendData(_buffer, _end, count);
        _end += count;
        _streamPosition += count;
        return count > 0;
    }

    private JsonStreamException Truncated() => new("truncated", $"it ends at byte {Position} in the middle");
}
