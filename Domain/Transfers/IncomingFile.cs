namespace Librarian.Domain.Transfers;

/// <summary>The declaration of one file that a sender wants to send, with names that a store can hold.</summary>
/// <param name="Size">Declared bytes.</param>
/// <param name="Checksum">Declared checksum, verbatim.</param>
/// <param name="UploadName">Path inside the staging directory.</param>
/// <param name="Destination">Name of the new file.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
/// <param name="TreeDigest">Tree digest of a directory; null when not sent.</param>
public sealed record IncomingFile(
    long Size,
    string Checksum,
    FileName UploadName,
    FileName Destination,
    long? SourceTransferId,
    string? TreeDigest
);
