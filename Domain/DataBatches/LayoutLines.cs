using System.Text.Json;
using Librarian.Domain.Posix;

namespace Librarian.Domain.DataBatches;

/// <summary>Reads the lines of a stored layout one after the other, from any line on.</summary>
internal sealed class LayoutLines(PosixFile file, long position)
{
    /// <summary>Bytes of the longest line, with its end.</summary>
    internal const int LongestLine = 64 << 10;

    private readonly byte[] _buffer = new byte[2 * LongestLine];
    private int _start;
    private int _end;

    /// <summary>Position of the line that is read next.</summary>
    internal long Position { get; private set; } = position;

    /// <returns>Null at the end.</returns>
    /// <exception cref="LayoutException">A line is too long, not JSON, or not ended.</exception>
    internal LayoutLine? Read()
    {
        while (true)
        {
            var line = _buffer.AsSpan(_start, _end - _start);
            var length = line.IndexOf((byte)'\n');
            if (length is >= 0 and < LongestLine)
            {
                _start += length + 1;
                Position += length + 1;
                return Parse(line[..length]);
            }

            if (length >= 0 || line.Length >= LongestLine)
                throw new LayoutException($"A line of the layout is longer than {LongestLine} bytes.");
            line.CopyTo(_buffer);
            (_start, _end) = (0, line.Length);
            var read = file.ReadAt(_buffer.AsSpan(_end), Position + _end);
            if (read == 0)
                return _end == 0 ? null : throw new LayoutException("The last line of the layout has no end.");
            _end += read;
        }
    }

    /// <exception cref="LayoutException">The line is not JSON of a layout.</exception>
    internal static LayoutLine Parse(ReadOnlySpan<byte> line)
    {
        try
        {
            return JsonSerializer.Deserialize(line, LayoutJson.Default.LayoutLine)
                ?? throw new LayoutException("A line of the layout is null.");
        }
        catch (JsonException error)
        {
            throw new LayoutException($"A line of the layout is not what it should be: {error.Message}");
        }
    }
}

/// <summary>A layout cannot be accepted.</summary>
/// <param name="message">Why, for people.</param>
internal sealed class LayoutException(string message) : Exception(message);
