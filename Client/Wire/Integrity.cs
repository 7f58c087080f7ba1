namespace Librarian.Client.Wire;

/// <summary>Request to validate/file (docs/spec/wire.md#validate-file).</summary>
/// <param name="FileName">Exact name.</param>
public sealed record ValidateFileRequest(string FileName);

/// <summary>State of one copy in the network.</summary>
/// <param name="Librarian">Site that holds the copy.</param>
/// <param name="Store">Id of the store at that site.</param>
/// <param name="InstanceId">Id of the copy at that site.</param>
/// <param name="OriginalChecksum">Checksum in the catalog; may lack the prefix.</param>
/// <param name="OriginalSize">Size in the catalog, in bytes.</param>
/// <param name="CurrentChecksum">Checksum of the data, always with a prefix; up to a day old (docs/spec/wire.md#checksum-cache).</param>
/// <param name="CurrentSize">Size of the data, in bytes.</param>
/// <param name="ComputedSameChecksum">Whether size and checksum still match the catalog.</param>
public sealed record FileValidation(
    string Librarian,
    long Store,
    long InstanceId,
    string OriginalChecksum,
    long OriginalSize,
    string CurrentChecksum,
    long CurrentSize,
    bool ComputedSameChecksum
);

/// <summary>
/// The copies of a file in the network, and the sites that gave no answer. Not in upstream's protocol: the second part travels in headers,
/// which upstream ignores.
/// </summary>
/// <param name="Copies">States of the copies, one for each copy.</param>
/// <param name="Unreachable">
/// Sites that hold copies but gave no answer or could not read some copies. Whether those copies are good is unknown.
/// </param>
public sealed record NetworkValidation(IReadOnlyList<FileValidation> Copies, IReadOnlyList<string> Unreachable)
{
    /// <summary>Request header: the sites that have received the question, comma-separated and percent-encoded.</summary>
    public const string AskedHeader = "X-Librarian-Asked";

    /// <summary>Response header: the sites that gave no answer, in the same form.</summary>
    public const string UnreachableHeader = "X-Librarian-Unreachable";

    /// <summary>Makes the value of such a header.</summary>
    /// <param name="sites">Names of sites.</param>
    /// <returns>One line of ASCII.</returns>
    public static string Join(IEnumerable<string> sites) => string.Join(',', sites.Select(Uri.EscapeDataString));

    /// <summary>Reads the value of such a header.</summary>
    /// <param name="value">A value that <see cref="Join"/> has made, or null.</param>
    /// <returns>Names of sites.</returns>
    public static IReadOnlyList<string> Split(string? value) =>
        [
            .. (value ?? "")
                .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
                .Select(Uri.UnescapeDataString),
        ];
}

/// <summary>Request to corrupt/prepare (docs/spec/wire.md#corrupt).</summary>
/// <param name="FileName">Exact name.</param>
/// <param name="LibrarianName">The caller's site name, which must be its account name too.</param>
public sealed record CorruptPrepareRequest(string FileName, string LibrarianName);

/// <summary>Response 200 of corrupt/prepare.</summary>
/// <param name="Ready">Whether the site can send a replacement.</param>
public sealed record CorruptPrepareResponse(bool Ready);

/// <summary>Request to corrupt/resend. The called site calls the caller back before it answers.</summary>
/// <param name="LibrarianName">The caller's site name, which must be its account name too.</param>
/// <param name="FileName">Exact name.</param>
public sealed record CorruptResendRequest(string LibrarianName, string FileName);

/// <summary>Response 200 of corrupt/resend.</summary>
/// <param name="Success">Always true.</param>
/// <param name="DestinationTransferId">The caller's own incoming transfer.</param>
public sealed record CorruptResendResponse(bool Success, long DestinationTransferId);
