using System.Threading.Channels;
using Librarian.Client.Wire;

namespace Librarian.Client.DataBatches;

/// <summary>A whole segment in memory.</summary>
/// <param name="Number">Its number.</param>
/// <param name="Bytes">Its bytes.</param>
/// <param name="HasFill">
/// Whether some of them only take the place of bytes that could not be read: then the segment is sent, for the other files in it, but not
/// completed, so that a later run sends it again.
/// </param>
internal sealed record FilledSegment(int Number, ArraySegment<byte> Bytes, bool HasFill);

/// <summary>
/// Collects the bytes of a batch into segments. A fixed number of buffers bounds memory: the reader waits until a lane has sent one. Bytes
/// of segments that the site has are dropped.
/// </summary>
internal sealed class SegmentFeed
{
    private readonly DataBatchState _state;
    private readonly Channel<FilledSegment> _filled = Channel.CreateUnbounded<FilledSegment>();
    private readonly Channel<byte[]> _free = Channel.CreateUnbounded<byte[]>();
    private long _position;
    private byte[]? _current;
    private bool _hasFill;

    /// <param name="state">The batch as the site knows it.</param>
    /// <param name="buffers">Number of buffers.</param>
    internal SegmentFeed(DataBatchState state, int buffers)
    {
        _state = state;
        for (var i = 0; i < buffers; i++)
            _free.Writer.TryWrite([]);
    }

    /// <summary>Segments to send.</summary>
    internal ChannelReader<FilledSegment> Filled => _filled.Reader;

    /// <summary>Gives a buffer back after its segment was sent.</summary>
    internal void Return(FilledSegment segment) => _free.Writer.TryWrite(segment.Bytes.Array!);

    /// <summary>Ends the feed.</summary>
    internal void End() => _filled.Writer.TryComplete();

    /// <summary>Whether the site has all segments of a range.</summary>
    internal bool Has(long start, long length)
    {
        if (length == 0)
            return true;
        for (var n = start / _state.SegmentBytes; n <= (start + length - 1) / _state.SegmentBytes; n++)
        {
            if (!_state.IsComplete((int)n))
                return false;
        }

        return true;
    }

    /// <summary>Passes over bytes of segments that the site has.</summary>
    internal void Skip(long length) => _position += length;

    /// <summary>Takes bytes in the place of those that could not be read.</summary>
    internal ValueTask FillAsync(ReadOnlyMemory<byte> zeros, CancellationToken cancellationToken) =>
        WriteAsync(zeros, isFill: true, cancellationToken);

    /// <summary>Takes the next bytes.</summary>
    internal ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken) =>
        WriteAsync(bytes, isFill: false, cancellationToken);

    private async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, bool isFill, CancellationToken cancellationToken)
    {
        while (bytes.Length > 0)
        {
            var segment = (int)(_position / _state.SegmentBytes);
            var at = (int)(_position % _state.SegmentBytes);
            var length = (int)Math.Min(_state.SegmentBytes, _state.TotalBytes - ((long)segment * _state.SegmentBytes));
            if (at == 0)
                await BeginAsync(cancellationToken);
            _hasFill |= isFill;
            var part = bytes[..Math.Min(bytes.Length, length - at)];
            if (_current is not null)
                part.CopyTo(_current.AsMemory(at));
            _position += part.Length;
            bytes = bytes[part.Length..];
            if (at + part.Length < length || _current is not { } full)
                continue;
            _current = null;
            await _filled.Writer.WriteAsync(
                new FilledSegment(segment, new ArraySegment<byte>(full, 0, length), _hasFill),
                cancellationToken
            );
        }
    }

    /// <summary>Takes a buffer for the segment at the position, if it has to be sent.</summary>
    private async ValueTask BeginAsync(CancellationToken cancellationToken)
    {
        _hasFill = false;
        if (_current is not null || _position >= _state.TotalBytes || _state.IsComplete((int)(_position / _state.SegmentBytes)))
            return;
        var buffer = await _free.Reader.ReadAsync(cancellationToken);
        var needed = (int)Math.Min(_state.SegmentBytes, _state.TotalBytes);
        _current = buffer.Length >= needed ? buffer : new byte[needed];
    }
}
