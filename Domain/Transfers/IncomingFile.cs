namespace Librarian.Domain.Transfers;

/// <summary>The declaration of one file that a sender wants to send.</summary>
/// <param name="Size">Declared bytes.</param>
/// <param name="Checksum">Declared checksum, verbatim.</param>
/// <param name="UploadName">Path inside the staging directory.</param>
/// <param name="DestinationLocation">Name of the new file.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
/// <param name="TreeDigest">Tree digest of a directory; null when not sent.</param>
public sealed record IncomingFile(
    long Size,
    string Checksum,
    string UploadName,
    string DestinationLocation,
    long? SourceTransferId = null,
    string? TreeDigest = null
);
