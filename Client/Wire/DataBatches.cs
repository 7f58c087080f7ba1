namespace Librarian.Client.Wire;

/// <summary>Paths and headers of data batches (docs/spec/data-batches.md).</summary>
public static class DataBatchRoutes
{
    /// <summary>batches, below <see cref="DataRoutes.Prefix"/>: POST with a layout makes a batch.</summary>
    public const string Batches = "batches";

    /// <summary>Header by which a sender says what it can use.</summary>
    public const string MoversHeader = "Librarian-Movers";

    /// <summary>The header's value for data batches.</summary>
    public const string Https = "https;v=1";

    /// <summary>Name of the provider in offers.</summary>
    public const string Provider = "https";

    /// <summary>The version that this code speaks.</summary>
    public const int Version = 1;

    /// <summary>Content type of an append.</summary>
    public const string PartialUpload = "application/partial-upload";

    /// <summary>Bytes of a segment that are on disk.</summary>
    public const string OffsetHeader = "Upload-Offset";

    /// <summary>Whether a segment is complete.</summary>
    public const string CompleteHeader = "Upload-Complete";

    /// <summary>Bytes of the whole segment.</summary>
    public const string LengthHeader = "Upload-Length";

    /// <summary>Limits of appends.</summary>
    public const string LimitHeader = "Upload-Limit";

    /// <summary>Digest of the whole segment.</summary>
    public const string DigestHeader = "Repr-Digest";

    /// <summary>Key of XXH3-128 in digests.</summary>
    public const string Xxh3 = "xxh3-128";

    /// <summary>Key of SHA-256 in digests.</summary>
    public const string Sha256 = "sha-256";
}

/// <summary>State of a data batch.</summary>
/// <param name="Id">Its id.</param>
/// <param name="TotalBytes">Bytes of all its files.</param>
/// <param name="SegmentBytes">Bytes of each segment but the last.</param>
/// <param name="Segments">Number of segments.</param>
/// <param name="Complete">Bitmap of the complete segments: bit <c>n % 8</c> of byte <c>n / 8</c>.</param>
/// <param name="Generations">Generations of the segments that were started anew.</param>
/// <param name="Abandoned">Transfers that the site has abandoned; their bytes need not be sent.</param>
public sealed record DataBatchState(
    string Id,
    long TotalBytes,
    int SegmentBytes,
    int Segments,
    byte[] Complete,
    IReadOnlyDictionary<int, int> Generations,
    IReadOnlyList<long> Abandoned
)
{
    /// <summary>Whether a segment is complete.</summary>
    /// <param name="segment">Its number.</param>
    public bool IsComplete(int segment) => segment / 8 < Complete.Length && (Complete[segment / 8] & (1 << (segment % 8))) != 0;
}

/// <summary>A segment of a data batch.</summary>
/// <param name="Batch">Id of the batch.</param>
/// <param name="Segment">Its number.</param>
/// <param name="Generation">How often it was started anew.</param>
public sealed record SegmentAddress(string Batch, int Segment, int Generation = 0);

/// <summary>The bytes that are left of a segment.</summary>
/// <param name="Offset">Where the bytes before them end.</param>
/// <param name="Bytes">The bytes.</param>
/// <param name="Digest">XXH3-128 of the whole segment, which completes it; null if it is not to be completed.</param>
public sealed record SegmentRest(long Offset, ReadOnlyMemory<byte> Bytes, ReadOnlyMemory<byte>? Digest);

/// <summary>How much of a segment is on disk at the site.</summary>
/// <param name="Offset">Bytes.</param>
/// <param name="IsComplete">Whether it has all its bytes, and its digest fits.</param>
public sealed record SegmentProgress(long Offset, bool IsComplete);

/// <summary>Why an append was not accepted (RFC 9457).</summary>
/// <param name="Type">Kind of problem, a URI.</param>
/// <param name="Title">What happened.</param>
/// <param name="Detail">What to do.</param>
/// <param name="ExpectedOffset">Where the segment's bytes so far end.</param>
/// <param name="ProvidedOffset">The offset of the request.</param>
public sealed record UploadProblem(
    string Type,
    string Title,
    string Detail,
    [property: System.Text.Json.Serialization.JsonPropertyName("expected-offset")] long? ExpectedOffset = null,
    [property: System.Text.Json.Serialization.JsonPropertyName("provided-offset")] long? ProvidedOffset = null
)
{
    /// <summary>What the types begin with.</summary>
    public const string Types = "https://iana.org/assignments/http-problem-types#";
}
