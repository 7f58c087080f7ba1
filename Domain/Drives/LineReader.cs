namespace Librarian.Domain.Drives;

/// <summary>Result of <see cref="LineReader.ReadAsync"/>.</summary>
internal enum LineKind
{
    /// <summary>A whole line.</summary>
    Line,

    /// <summary>The end, after a whole line or in an empty file.</summary>
    End,

    /// <summary>The end in the middle of a line.</summary>
    Unfinished,

    /// <summary>A line is longer than allowed.</summary>
    TooLong,
}

/// <summary>Reads lines through one buffer of fixed size, whatever a drive holds.</summary>
internal sealed class LineReader(Stream stream)
{
    /// <summary>Longest line with its end, bytes; a longer one is refused.</summary>
    internal const int MaxLength = 64 * 1024;

    private readonly byte[] _buffer = new byte[2 * MaxLength];
    private int _lineStart;
    private int _lineEnd;
    private int _next;
    private int _end;
    private long _streamPosition = stream.CanSeek ? stream.Position : 0;

    /// <summary>The line read last, with its end; valid until the next call.</summary>
    internal ReadOnlyMemory<byte> Line => _buffer.AsMemory(_lineStart, _lineEnd - _lineStart);

    /// <summary>Byte offset of the next line.</summary>
    internal long Position => _streamPosition - (_end - _next);

    internal ValueTask<LineKind> ReadAsync(CancellationToken cancellationToken)
    {
        var length = _buffer.AsSpan(_next, _end - _next).IndexOf((byte)'\n') + 1;
        return length is > 0 and <= MaxLength ? ValueTask.FromResult(Take(length)) : FillAsync(cancellationToken);
    }

    /// <summary>Makes the next call read the last line again; it is still <see cref="Line"/>.</summary>
    internal void Unread() => _next = _lineStart;

    internal void Seek(long offset)
    {
        var start = _streamPosition - _end;
        if (offset >= start && offset <= _streamPosition)
        {
            _lineStart = _lineEnd = _next = (int)(offset - start);
            return;
        }

        _streamPosition = stream.Seek(offset, SeekOrigin.Begin);
        _lineStart = _lineEnd = _next = _end = 0;
    }

    private async ValueTask<LineKind> FillAsync(CancellationToken cancellationToken)
    {
        _buffer.AsSpan(_next, _end - _next).CopyTo(_buffer);
        _end -= _next;
        _lineStart = _lineEnd = _next = 0;
        for (var searched = 0; ; )
        {
            var length = searched + _buffer.AsSpan(searched, _end - searched).IndexOf((byte)'\n') + 1;
            if (length > searched)
                return length <= MaxLength ? Take(length) : LineKind.TooLong;
            searched = _end;
            if (searched >= MaxLength)
                return LineKind.TooLong;
            var count = await stream.ReadAsync(_buffer.AsMemory(_end), cancellationToken);
            if (count == 0)
                return _end == 0 ? LineKind.End : TakeRest();
            _end += count;
            _streamPosition += count;
        }
    }

    private LineKind Take(int length)
    {
        _lineStart = _next;
        _lineEnd = _next += length;
        return LineKind.Line;
    }

    private LineKind TakeRest()
    {
        Take(_end - _next);
        return LineKind.Unfinished;
    }
}
