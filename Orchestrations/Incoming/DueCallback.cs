namespace Librarian.Orchestrations.Incoming;

/// <summary>A transfer that has ended here and whose source has to be notified.</summary>
/// <param name="Id">Incoming transfer.</param>
/// <param name="Theirs">The source's transfer.</param>
/// <param name="Stored">Whether the file is stored; otherwise the transfer failed.</param>
/// <param name="StoreId">Store of the copy.</param>
/// <param name="Ended">When it ended, UTC.</param>
/// <param name="Name">The file.</param>
/// <param name="Checksum">Checksum as the source declared it.</param>
/// <param name="Size">Bytes.</param>
public sealed record DueCallback(
    long Id,
    long Theirs,
    bool Stored,
    long? StoreId,
    DateTime? Ended,
    string? Name,
    string Checksum,
    long Size
);
