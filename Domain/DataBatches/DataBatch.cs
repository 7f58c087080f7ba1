using Librarian.Domain.Posix;
using Librarian.Domain.Stores;

namespace Librarian.Domain.DataBatches;

/// <summary>
/// An open data batch: writes segments to staging and keeps the journal (docs/spec/data-batches.md#segments). For concurrent use.
/// </summary>
/// <remarks>
/// An append writes bytes, flushes them, appends to the journal, flushes it, and only then answers an offset. A crash before the journal's
/// record leaves bytes that no offset promises: they are written again. A crash after it leaves a sender without an answer: it asks for the
/// offset and finds it. A crash while a segment is started anew leaves its old generation, whose digest differs again.
/// </remarks>
public sealed class DataBatch : IDisposable
{
    /// <summary>Bytes of a segment; a test makes it smaller.</summary>
    public const int SegmentBytes = 16 << 20;

    private const int BufferSize = 256 << 10;
    private static readonly TimeSpan IdleTimeout = TimeSpan.FromSeconds(60);
    private static readonly EntryName LockName = new("lock");

    private readonly LocalStore _store;
    private readonly BatchLayout _layout;
    private readonly PosixDirectory _directory;
    private readonly SegmentJournal _journal;
    private readonly Func<IReadOnlyList<long>, CancellationToken, Task<StagedTransfer?[]>> _find;
    private readonly SegmentTurns _turns = new();
    private readonly int _segmentBytes;
    private int _appends;

    internal DataBatch(
        string id,
        LocalStore store,
        BatchLayout layout,
        PosixDirectory directory,
        Func<IReadOnlyList<long>, CancellationToken, Task<StagedTransfer?[]>> find,
        int segmentBytes = SegmentBytes
    )
    {
        (Id, _store, _layout, _directory, _find) = (id, store, layout, directory, find);
        _segmentBytes = segmentBytes;
        Segments = (int)((layout.TotalBytes + segmentBytes - 1) / segmentBytes);
        _journal = new SegmentJournal(directory.OpenFileToAppend(SegmentJournal.Name), Segments);
    }

    /// <summary>Its id.</summary>
    public string Id { get; }

    /// <summary>The account that made it.</summary>
    public string Account => _layout.Account;

    /// <summary>Bytes of all its files.</summary>
    public long TotalBytes => _layout.TotalBytes;

    /// <summary>Number of segments.</summary>
    public int Segments { get; }

    internal IReadOnlyList<long> TransferIds => _layout.Transfers;

    /// <summary>Whether its directory is still there: another process may have removed it.</summary>
    internal bool IsStored => _directory.Status().Links > 0;

    /// <summary>Whether an append is running.</summary>
    internal bool IsInUse => Volatile.Read(ref _appends) > 0;

    /// <inheritdoc/>
    public void Dispose()
    {
        _journal.Dispose();
        _layout.Dispose();
        _directory.Dispose();
    }

    /// <summary>The bitmap of complete segments, and the generations of those that were started anew.</summary>
    public (byte[] Complete, IReadOnlyDictionary<int, int> Generations) Progress() => _journal.Summary();

    /// <summary>Where a segment's bytes so far end. Ends an append that is running.</summary>
    public async Task<SegmentResult> OffsetAsync(int segment, int generation, CancellationToken cancellationToken)
    {
        if (segment < 0 || segment >= Segments)
            return new SegmentResult(SegmentOutcome.Unknown);
        using var turn = await _turns.EnterAsync(segment, cancellationToken);
        var state = _journal.Of(segment);
        return !state.IsComplete && state.Generation != generation
            ? new SegmentResult(SegmentOutcome.Gone, Message: "This generation of the segment was abandoned.")
            : Result(SegmentOutcome.Stored, segment, state);
    }

    /// <summary>Adds bytes to a segment. Ends an append that is running.</summary>
    /// <param name="append">What the sender says about the bytes.</param>
    /// <param name="body">The bytes.</param>
    /// <param name="cancellationToken">Cancelled when the sender is gone; what has arrived is kept.</param>
    public async Task<SegmentResult> AppendAsync(SegmentAppend append, Stream body, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(append);
        ArgumentNullException.ThrowIfNull(body);
        if (append.Segment < 0 || append.Segment >= Segments)
            return new SegmentResult(SegmentOutcome.Unknown);
        Interlocked.Increment(ref _appends);
        try
        {
            return await AppendInTurnAsync(append, body, cancellationToken);
        }
        finally
        {
            Interlocked.Decrement(ref _appends);
        }
    }

    private async Task<SegmentResult> AppendInTurnAsync(SegmentAppend append, Stream body, CancellationToken cancellationToken)
    {
        using var turn = await _turns.EnterAsync(append.Segment, cancellationToken);
        using var held = _directory.OpenLockFile(LockName);
        if (!held.TryLockByte(append.Segment))
            return new SegmentResult(SegmentOutcome.Later, Message: "Another process of the site writes this segment.");
        var state = _journal.Of(append.Segment);
        if (Refuse(append, state) is { } refusal)
            return refusal;
        try
        {
            return await WriteAsync(append, state, body, turn);
        }
        catch (PosixException failure) when (failure.IsFlush)
        {
            // Some file systems find out only now that they are full.
            var outcome = failure.IsNoSpace ? SegmentOutcome.Full : SegmentOutcome.DiskFailed;
            return Restart(append.Segment, state, outcome, failure.Message);
        }
        catch (PosixException failure)
        {
            return Result(failure.IsNoSpace ? SegmentOutcome.Full : SegmentOutcome.DiskFailed, append.Segment, state, failure.Message);
        }
    }

    private long LengthOf(int segment) => Math.Min(_segmentBytes, TotalBytes - ((long)segment * _segmentBytes));

    private SegmentResult Result(SegmentOutcome outcome, int segment, SegmentState state, string message = "") =>
        new(outcome, state.IsComplete ? LengthOf(segment) : state.Offset, LengthOf(segment), state.IsComplete, message);

    private SegmentResult? Refuse(SegmentAppend append, SegmentState state)
    {
        // A sender that lost the answer repeats its last append.
        if (state.IsComplete)
            return Result(SegmentOutcome.Stored, append.Segment, state);
        if (state.Generation != append.Generation)
            return new SegmentResult(SegmentOutcome.Gone, Message: "This generation of the segment was abandoned.");
        if (state.Offset != append.Offset)
            return Result(SegmentOutcome.OtherOffset, append.Segment, state);
        var left = LengthOf(append.Segment) - state.Offset;
        return append.Length > left || (append is { IsLast: true, Length: { } length } && length < left)
            ? Result(
                SegmentOutcome.WrongLength,
                append.Segment,
                state,
                $"{left} bytes of the segment are left, and {append.Length} were sent."
            )
            : null;
    }

    private async Task<SegmentResult> WriteAsync(SegmentAppend append, SegmentState state, Stream body, SegmentTurns.Turn turn)
    {
        // Asked each time: a transfer that another sender has announced meanwhile must not be written to any more.
        var transfers = await TransfersOfAsync(append.Segment, CancellationToken.None);
        if (OpenTree(transfers) is not { } tree)
            return Result(SegmentOutcome.Later, append.Segment, state, "The store is not mounted.");
        var (start, left) = ((long)append.Segment * _segmentBytes, LengthOf(append.Segment) - state.Offset);
        using var hash = new SegmentHash(append.Digest?.Algorithm ?? SegmentAlgorithm.Xxh3);
        using var writer = new SegmentWriter(tree, _layout, start + state.Offset);
        var comparable = append is { IsLast: true, Digest: not null } && Rehash(hash, transfers, start, state.Offset);
        var (stored, end) = (0L, BodyEnd.Ended);
        PosixException? refused = null;
        try
        {
            end = await PumpAsync(body, left, turn, bytes =>
            {
                writer.Write(bytes);
                hash.Append(bytes);
                stored += bytes.Length;
            });
        }
        catch (PosixException failure) when (failure.IsNoSpace)
        {
            // What was written before stays.
            refused = failure;
        }

        writer.Sync();
        var isWhole = stored == left;
        if (append.IsLast && isWhole && end == BodyEnd.Ended && refused is null)
        {
            if (comparable && !hash.Equals(append.Digest!))
                return Restart(append.Segment, state, SegmentOutcome.OtherDigest, "The segment differs from its digest.");
            _journal.Append(append.Segment, new SegmentState(state.Generation, LengthOf(append.Segment), IsComplete: true));
            _turns.Forget(append.Segment);
            return Result(SegmentOutcome.Stored, append.Segment, _journal.Of(append.Segment));
        }

        var now = state with { Offset = state.Offset + stored };
        if (stored > 0)
            _journal.Append(append.Segment, now);
        return refused is not null ? Result(SegmentOutcome.Full, append.Segment, now, refused.Message)
            : end == BodyEnd.BrokenOff ? Result(SegmentOutcome.Later, append.Segment, now, "The body broke off.")
            : end == BodyEnd.TooLong || append.IsLast
                ? Result(SegmentOutcome.WrongLength, append.Segment, now, "The body has another length.")
            : Result(SegmentOutcome.Stored, append.Segment, now);
    }

    /// <summary>Reads what earlier appends have written of the segment, so that its digest can be compared.</summary>
    private bool Rehash(SegmentHash hash, IReadOnlyDictionary<int, StagedTransfer> transfers, long start, long length)
    {
        if (length == 0)
            return true;
        using var tree = OpenTree(transfers);
        return tree is not null && hash.AppendStored(tree, _layout, start, length);
    }

    private static async Task<BodyEnd> PumpAsync(Stream body, long limit, SegmentTurns.Turn turn, SpanAction write)
    {
        var buffer = new byte[(int)Math.Clamp(limit + 1, 4096, BufferSize)];
        var (filled, done) = (0, false);
        while (!done)
        {
            // The body of a small network packet would cost a system call each.
            while (filled < buffer.Length && !done)
            {
                turn.EndAfter(IdleTimeout);
                try
                {
                    var read = await body.ReadAsync(buffer.AsMemory(filled), turn.Ended);
                    (filled, done) = (filled + read, read == 0);
                }
                catch (Exception error) when (error is IOException and not PosixException or OperationCanceledException)
                {
                    write(buffer.AsSpan(0, (int)Math.Min(filled, limit)));
                    return BodyEnd.BrokenOff;
                }
            }

            var part = (int)Math.Min(filled, limit);
            write(buffer.AsSpan(0, part));
            limit -= part;
            if (filled > part)
                return BodyEnd.TooLong;
            filled = 0;
        }

        return BodyEnd.Ended;
    }

    private SegmentResult Restart(int segment, SegmentState state, SegmentOutcome outcome, string why)
    {
        var next = new SegmentState(state.Generation + 1, 0, IsComplete: false);
        _journal.Append(segment, next);
        return Result(outcome, segment, next, why);
    }

    /// <summary>The transfers of a segment that take data, by their place in the layout.</summary>
    private async Task<IReadOnlyDictionary<int, StagedTransfer>> TransfersOfAsync(int segment, CancellationToken cancellationToken)
    {
        var (start, length) = ((long)segment * _segmentBytes, LengthOf(segment));
        List<int> places = [.. _layout.FilesFrom(start).TakeWhile(f => f.Start < start + length).Select(f => f.Transfer).Distinct()];
        var found = await _find(places.ConvertAll(i => _layout.Transfers[i]), cancellationToken);
        return places.Zip(found).Where(p => p.Second is not null).ToDictionary(p => p.First, p => p.Second!);
    }

    private StagedTree? OpenTree(IReadOnlyDictionary<int, StagedTransfer> transfers) =>
        _store.TryOpenStaging() is { } staging ? new StagedTree(_store, staging, transfers) : null;

    private delegate void SpanAction(ReadOnlySpan<byte> bytes);

    private enum BodyEnd
    {
        Ended,
        BrokenOff,
        TooLong,
    }
}
