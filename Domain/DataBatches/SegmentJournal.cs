using System.Buffers.Binary;
using System.IO.Hashing;
using Librarian.Domain.Posix;

namespace Librarian.Domain.DataBatches;

/// <summary>
/// The journal of a data batch (docs/spec/data-batches.md#journal): which bytes of which segments are on disk. Several processes may append
/// to one file; each reads what the others have appended.
/// </summary>
internal sealed class SegmentJournal : IDisposable
{
    internal const int RecordLength = 32;

    internal static readonly EntryName Name = new("journal");
    private const uint Magic = 0x314A424C;

    private readonly PosixFile _file;
    private readonly Lock _lock = new();

    /// <summary>States of segments that are not complete, or were started anew before they were.</summary>
    private readonly Dictionary<int, SegmentState> _states = [];
    private readonly byte[] _complete;
    private long _read;

    /// <param name="file">The file, which this object closes.</param>
    /// <param name="segments">Number of segments of the batch.</param>
    internal SegmentJournal(PosixFile file, int segments)
    {
        (_file, Segments) = (file, segments);
        _complete = new byte[(segments + 7) / 8];
    }

    internal int Segments { get; }

    public void Dispose() => _file.Dispose();

    /// <summary>The state of a segment, with what other processes have appended.</summary>
    internal SegmentState Of(int segment)
    {
        lock (_lock)
        {
            Refresh();
            return StateOf(segment);
        }
    }

    /// <summary>The bitmap of complete segments, and the generations of those that were started anew.</summary>
    internal (byte[] Complete, Dictionary<int, int> Generations) Summary()
    {
        lock (_lock)
        {
            Refresh();
            return (
                [.. _complete],
                _states.Where(p => p.Value is { Generation: > 0, IsComplete: false }).ToDictionary(p => p.Key, p => p.Value.Generation)
            );
        }
    }

    /// <summary>Appends a record and flushes it. The caller has flushed the bytes before.</summary>
    /// <exception cref="PosixException">Nothing may be answered that relies on the record.</exception>
    internal void Append(int segment, SegmentState state)
    {
        Span<byte> record = stackalloc byte[RecordLength];
        BinaryPrimitives.WriteUInt32LittleEndian(record, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(record[4..], segment);
        BinaryPrimitives.WriteInt32LittleEndian(record[8..], state.Generation);
        BinaryPrimitives.WriteInt32LittleEndian(record[12..], state.IsComplete ? 1 : 0);
        BinaryPrimitives.WriteInt64LittleEndian(record[16..], state.Offset);
        BinaryPrimitives.WriteUInt64LittleEndian(record[24..], XxHash3.HashToUInt64(record[..24]));
        lock (_lock)
        {
            _file.Write(record);
            _file.Sync();
            Refresh();
        }
    }

    private SegmentState StateOf(int segment) =>
        _states.TryGetValue(segment, out var state) ? state
        : (_complete[segment / 8] & (1 << (segment % 8))) != 0 ? new SegmentState(0, 0, IsComplete: true)
        : default;

    /// <summary>
    /// Reads the new records. A write that a full disk cut short leaves a torn record; the reader finds the next one by its magic number
    /// and sum.
    /// </summary>
    private void Refresh()
    {
        Span<byte> buffer = stackalloc byte[RecordLength * 128];
        while (true)
        {
            var count = _file.ReadAt(buffer, _read);
            if (count < RecordLength)
                return;
            var at = 0;
            while (at + RecordLength <= count)
                at += TryApply(buffer.Slice(at, RecordLength)) ? RecordLength : 1;
            _read += at;
        }
    }

    private bool TryApply(ReadOnlySpan<byte> record)
    {
        if (
            BinaryPrimitives.ReadUInt32LittleEndian(record) != Magic
            || BinaryPrimitives.ReadUInt64LittleEndian(record[24..]) != XxHash3.HashToUInt64(record[..24])
        )
            return false;
        var segment = BinaryPrimitives.ReadInt32LittleEndian(record[4..]);
        var state = new SegmentState(
            BinaryPrimitives.ReadInt32LittleEndian(record[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(record[16..]),
            BinaryPrimitives.ReadInt32LittleEndian(record[12..]) == 1
        );
        if (segment < 0 || segment >= Segments || !state.Supersedes(StateOf(segment)))
            return true;
        var bit = (byte)(1 << (segment % 8));
        _complete[segment / 8] = (byte)(state.IsComplete ? _complete[segment / 8] | bit : _complete[segment / 8] & ~bit);
        // Most segments are complete at once, and then need no more than their bit.
        if (state is { IsComplete: true, Generation: 0 })
            _states.Remove(segment);
        else
            _states[segment] = state;
        return true;
    }
}
