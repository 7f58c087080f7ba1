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
