namespace Librarian.Domain.Transfers;

/// <summary>Why an upload or clone was refused (docs/spec/wire.md#upload-stage, docs/spec/wire.md#clone-stage-refusals).</summary>
public enum StageRefusal
{
    NegativeSize,

    /// <summary>Above the site's limit for uploads.</summary>
    TooLarge,

    /// <summary>A name that is absolute, climbs with <c>..</c>, is empty or too long.</summary>
    InvalidPath,

    /// <summary>A file of that name exists.</summary>
    FileExists,

    /// <summary>No store has enough free space.</summary>
    NoStore,

    /// <summary>No store is mounted.</summary>
    StoreAway,

    /// <summary>Too much space is reserved for the account already.</summary>
    ReservedTooMuch,

    /// <summary>A transfer of the same file is under way already.</summary>
    Ongoing,

    /// <summary>The same file had been staged before; that attempt was abandoned, ask again.</summary>
    Duplicate,

    /// <summary>A file of that name and content is catalogued, and the state of its copy cannot be determined now.</summary>
    CopyUnknown,

    /// <summary>A file of that name and content is catalogued, and its copy is being read; ask again.</summary>
    CopyBeingRead,
}
