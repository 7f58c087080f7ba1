namespace Librarian.Domain.Transfers;

/// <summary>How an ingest ended.</summary>
public enum IngestOutcome
{
    /// <summary>The file is catalogued and its data are in the store; also the answer to every later attempt.</summary>
    Ingested,

    /// <summary>No such transfer, or it has ended without success.</summary>
    NotExpected,

    /// <summary>Staging is empty; the transfer has failed.</summary>
    Missing,

    /// <summary>Size or checksum differ from the declaration; the transfer has failed and its staging is removed.</summary>
    Mismatch,

    /// <summary>The name is taken; the transfer has failed, its staging is removed and the stored file is untouched.</summary>
    NameTaken,

    /// <summary>
    /// The staged data may not be stored (links that leave the tree, special files); the transfer has failed and its staging is removed.
    /// </summary>
    Unacceptable,

    /// <summary>A disk or store problem; nothing was lost and a later attempt may succeed.</summary>
    TryLater,

    /// <summary>
    /// The disk did not persist the staged data, so reading them from memory proves nothing; the transfer has failed, its staging is
    /// removed, and the data have to be sent again.
    /// </summary>
    FlushFailed,
}

/// <summary>Result of <see cref="StagedFileIngest.RunAsync"/>.</summary>
/// <param name="Outcome">How it ended.</param>
/// <param name="Message">For people.</param>
/// <param name="FileName">The file.</param>
/// <param name="StoreId">The store.</param>
/// <param name="Source">The sender.</param>
/// <param name="SourceTransferId">The sender's transfer, for clones.</param>
public sealed record IngestResult(
    IngestOutcome Outcome,
    string Message,
    string? FileName = null,
    long? StoreId = null,
    string? Source = null,
    long? SourceTransferId = null
);
