namespace Librarian.Client.DataBatches;

/// <summary>A segment of a data batch.</summary>
/// <param name="Batch">Id of the batch.</param>
/// <param name="Segment">Its number.</param>
/// <param name="Generation">How often it was started anew.</param>
public sealed record SegmentAddress(string Batch, int Segment, int Generation = 0);

/// <summary>How much of a segment is on disk at the site.</summary>
/// <param name="Offset">Bytes.</param>
/// <param name="IsComplete">Whether it has all its bytes, and its digest fits.</param>
public sealed record SegmentProgress(long Offset, bool IsComplete);
