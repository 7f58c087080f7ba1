namespace Librarian.Domain.Catalog;

/// <summary>
/// States of a transfer between two sites (docs/spec/wire.md#transfer-states). Stored by upper-case name, sent as the number.
/// </summary>
public enum TransferStatus
{
    /// <summary>Agreed; no bytes expected yet.</summary>
    Initiated = 0,

    /// <summary>Bytes are moving or queued.</summary>
    Ongoing = 1,

    /// <summary>Bytes are complete in the staging area and may be ingested.</summary>
    Staged = 2,

    /// <summary>Ingested, or (outgoing) acknowledged by the destination.</summary>
    Completed = 3,

    /// <summary>Ended without success.</summary>
    Failed = 4,

    /// <summary>Ended without success, by request.</summary>
    Cancelled = 5,
}

/// <summary>
/// Whether maintenance may ever delete a copy. Unknown text means <see cref="Disallowed"/> (docs/spec/wire.md#deletion-policy).
/// </summary>
public enum DeletionPolicy
{
    /// <summary>Never delete.</summary>
    Disallowed = 0,

    /// <summary>May be deleted once enough verified copies exist elsewhere.</summary>
    Allowed = 1,
}

/// <summary>Severity of a recorded error (docs/spec/wire.md#enums).</summary>
public enum ErrorSeverity
{
    /// <summary>Data or service is at risk now.</summary>
    Critical,

    /// <summary>Something failed and needs attention.</summary>
    Error,

    /// <summary>Something is off but work goes on.</summary>
    Warning,

    /// <summary>For the record.</summary>
    Info,
}

/// <summary>Category of a recorded error (docs/spec/wire.md#enums).</summary>
public enum ErrorCategory
{
    /// <summary>A copy does not match its checksum.</summary>
    DataIntegrity,

    /// <summary>A copy cannot be reached.</summary>
    DataAvailability,

    /// <summary>The site is configured wrongly.</summary>
    Configuration,

    /// <summary>A store is full.</summary>
    StoreFull,

    /// <summary>A defect of the software.</summary>
    Programming,

    /// <summary>A peer cannot be reached.</summary>
    LibrarianNetworkAvailability,

    /// <summary>A transfer failed.</summary>
    Transfer,
}
