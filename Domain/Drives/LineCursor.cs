using System.Text.Json.Serialization.Metadata;
using Librarian.Domain.Formats;

namespace Librarian.Domain.Drives;

/// <summary>Reads the lines of a manifest or receipt that has been checked.</summary>
internal sealed class LineCursor : IAsyncDisposable
{
    private readonly Stream _stream;
    private readonly LineReader _lines;
    private readonly string _path;

    private LineCursor(Stream stream, string path)
    {
        _stream = stream;
        _path = path;
        _lines = new LineReader(stream);
    }

    internal long Position => _lines.Position;

    public ValueTask DisposeAsync() => _stream.DisposeAsync();

    internal static async Task<(LineCursor Lines, THeader Header)> OpenAsync<THeader>(
        string path,
        JsonTypeInfo<THeader> type,
        CancellationToken cancellationToken
    )
        where THeader : class
    {
        var stream = DriveFile.TryOpenRead(path) ?? throw new InvalidDataException($"There is no '{path}'.");
        var cursor = new LineCursor(stream, path);
        try
        {
            await cursor.NextAsync(cancellationToken);
            return (cursor, cursor.Parse(type));
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }

    internal void Seek(long offset) => _lines.Seek(offset);

    /// <summary>Makes the next line the current one, up to the last line.</summary>
    /// <returns>False at the last line.</returns>
    internal ValueTask<bool> NextAsync(CancellationToken cancellationToken)
    {
        var reading = _lines.ReadAsync(cancellationToken);
        return reading.IsCompletedSuccessfully ? ValueTask.FromResult(Judge(reading.Result)) : AwaitAsync(reading);
    }

    internal bool CurrentStartsWith(ReadOnlySpan<byte> start) => _lines.Line.Span.StartsWith(start);

    internal T Parse<T>(JsonTypeInfo<T> type)
        where T : class => FormatJson.Parse(_lines.Line.Span, type) ?? throw Changed();

    /// <summary>The last line, after <see cref="NextAsync"/> has reached it.</summary>
    internal T ParseLast<T>(JsonTypeInfo<T> type)
        where T : class =>
        SealedCheck.IsLast(_lines.Line.Span) ? Parse(type) : throw new InvalidOperationException("The last line has not been reached.");

    private async ValueTask<bool> AwaitAsync(ValueTask<LineKind> reading) => Judge(await reading);

    private bool Judge(LineKind kind)
    {
        if (kind != LineKind.Line)
            throw Changed();
        if (!SealedCheck.IsLast(_lines.Line.Span))
            return true;
        _lines.Unread();
        return false;
    }

    private InvalidDataException Changed() =>
        new($"'{_path}' is no longer what was checked: near byte {Position} it cannot be read. Check it again.");
}
