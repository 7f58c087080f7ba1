namespace Librarian.Client.Wire;

/// <summary>Request of validate/file (wire.md §6.8).</summary>
/// <param name="FileName">Exact name.</param>
public sealed record ValidateFileRequest(string FileName);

/// <summary>The state of one copy somewhere in the network.</summary>
/// <param name="Librarian">Site that holds it.</param>
/// <param name="Store">Store there.</param>
/// <param name="InstanceId">Instance there.</param>
/// <param name="OriginalChecksum">As cataloged; may lack the prefix.</param>
/// <param name="OriginalSize">Bytes, as cataloged.</param>
/// <param name="CurrentChecksum">As read, always prefixed; possibly up to a day old (wire.md §4.5).</param>
/// <param name="CurrentSize">Bytes, as read.</param>
/// <param name="ComputedSameChecksum">Whether size and checksum still match.</param>
public sealed record FileValidation(
    string Librarian,
    long Store,
    long InstanceId,
    string OriginalChecksum,
    long OriginalSize,
    string CurrentChecksum,
    long CurrentSize,
    bool ComputedSameChecksum);

/// <summary>The copies of a file in the network, and who could not be asked. Not upstream's: the second part travels in headers, which it ignores.</summary>
/// <param name="Copies">One per copy, each once.</param>
/// <param name="Unreachable">Sites that hold copies but gave no answer: whether their copies are good is not known.</param>
public sealed record NetworkValidation(IReadOnlyList<FileValidation> Copies, IReadOnlyList<string> Unreachable)
{
    /// <summary>Request header: the sites that the question has reached, comma-separated and percent-encoded.</summary>
    public const string AskedHeader = "X-Librarian-Asked";

    /// <summary>Response header: the sites that gave no answer, in the same form.</summary>
    public const string UnreachableHeader = "X-Librarian-Unreachable";

    /// <summary>A header's value.</summary>
    /// <param name="sites">Names.</param>
    /// <returns>One line of ASCII.</returns>
    public static string Join(IEnumerable<string> sites) => string.Join(',', sites.Select(Uri.EscapeDataString));

    /// <summary>The names in a header's value.</summary>
    /// <param name="value">As <see cref="Join"/> makes it.</param>
    /// <returns>Names.</returns>
    public static IReadOnlyList<string> Split(string? value) =>
        [.. (value ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(Uri.UnescapeDataString)];
}

/// <summary>Request of corrupt/prepare (wire.md §6.9).</summary>
/// <param name="FileName">Exact name.</param>
/// <param name="LibrarianName">The caller's own name, which must be its username too.</param>
public sealed record CorruptPrepareRequest(string FileName, string LibrarianName);

/// <summary>200 of corrupt/prepare.</summary>
/// <param name="Ready">Whether a resend will work.</param>
public sealed record CorruptPrepareResponse(bool Ready);

/// <summary>Request of corrupt/resend; the callee calls the caller back before it answers.</summary>
/// <param name="LibrarianName">The caller's own name, which must be its username too.</param>
/// <param name="FileName">Exact name.</param>
public sealed record CorruptResendRequest(string LibrarianName, string FileName);

/// <summary>200 of corrupt/resend.</summary>
/// <param name="Success">True.</param>
/// <param name="DestinationTransferId">The caller's own incoming transfer.</param>
public sealed record CorruptResendResponse(bool Success, long DestinationTransferId);
