namespace Librarian.Domain.DataBatches;

/// <summary>How a call for a segment ended (docs/spec/data-batches.md#segments).</summary>
public enum SegmentOutcome
{
    /// <summary>The offset is on disk.</summary>
    Stored,

    /// <summary>The segment's bytes so far end elsewhere.</summary>
    OtherOffset,

    /// <summary>The body is shorter or longer than it has to be.</summary>
    WrongLength,

    /// <summary>This generation of the segment was abandoned.</summary>
    Gone,

    /// <summary>What was written differs from the declared digest.</summary>
    OtherDigest,

    /// <summary>The disk is full.</summary>
    Full,

    /// <summary>Another process writes the segment, the store is away, or the body broke off.</summary>
    Later,

    /// <summary>The disk failed.</summary>
    DiskFailed,

    /// <summary>There is no such segment.</summary>
    Unknown,
}

/// <summary>Result of a call for a segment.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Offset">Bytes of the segment that are on disk.</param>
/// <param name="Length">Bytes of the whole segment.</param>
/// <param name="IsComplete">Whether the segment is complete.</param>
/// <param name="Message">For people.</param>
public sealed record SegmentResult(SegmentOutcome Outcome, long Offset = 0, long Length = 0, bool IsComplete = false, string Message = "");

/// <summary>Bytes that a sender adds to a segment.</summary>
/// <param name="Segment">Number of the segment.</param>
/// <param name="Generation">Its generation.</param>
/// <param name="Offset">Where the sender believes that its bytes so far end.</param>
/// <param name="IsLast">Whether these are all bytes that are left.</param>
/// <param name="Length">Bytes in the body; null if the sender does not say.</param>
/// <param name="Digest">Digest of the whole segment; null if the sender declares none.</param>
public sealed record SegmentAppend(int Segment, int Generation, long Offset, bool IsLast, long? Length, SegmentDigest? Digest);
