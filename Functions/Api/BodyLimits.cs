namespace Librarian.Functions.Api;

/// <summary>
/// Size limits of request bodies, in bytes. <see cref="Usual"/> applies to every route without a limit of its own; a function that accepts
/// more carries <see cref="Microsoft.AspNetCore.Mvc.RequestSizeLimitAttribute"/>. Kestrel counts the bytes, whether the length was
/// announced or not, and answers 413.
/// </summary>
public static class BodyLimits
{
    /// <summary>Enough for a few names of 256 characters each.</summary>
    public const long Usual = 1 << 20;

    /// <summary>
    /// A batch. 1024 files of 600 bytes are far below this limit, but a Python site may be configured for larger batches
    /// (docs/spec/wire.md#large-bodies).
    /// </summary>
    public const long Batch = 16 << 20;

    /// <summary>A layout of a data batch, as it is sent.</summary>
    public const long Layout = 64 << 20;

    /// <summary>A segment of a data batch; the batch itself refuses what is beyond its segment.</summary>
    public const long Segment = Domain.DataBatches.DataBatch.SegmentBytes + 1;

    /// <summary>A receipt, with 200 bytes for each file of a drive; it is spooled to a file.</summary>
    public const long Receipt = 8L << 30;
}
