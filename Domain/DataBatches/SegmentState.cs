namespace Librarian.Domain.DataBatches;

/// <summary>What the journal says about a segment.</summary>
/// <param name="Generation">Number of times that the segment was started anew.</param>
/// <param name="Offset">Bytes that are on disk.</param>
/// <param name="IsComplete">Whether the segment has all its bytes, and its digest fits.</param>
internal readonly record struct SegmentState(int Generation, long Offset, bool IsComplete)
{
    /// <summary>Whether this record counts rather than an earlier one (docs/spec/data-batches.md#journal).</summary>
    internal bool Supersedes(SegmentState other) =>
        Generation != other.Generation ? Generation > other.Generation
        : IsComplete != other.IsComplete ? IsComplete
        : Offset > other.Offset;
}
