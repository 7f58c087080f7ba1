using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>
/// What an account may do. A caller needs at least the endpoint's level (docs/spec/wire.md#levels). An integer on the wire.
/// </summary>
[JsonConverter(typeof(IntegerEnumConverter<AuthLevel>))]
public enum AuthLevel
{
    /// <summary>May do nothing; also the effective level of unknown users and wrong passwords.</summary>
    None = 0,

    /// <summary>May search and validate.</summary>
    ReadOnly = 1,

    /// <summary>May report on transfers. A source gives this level to its destinations.</summary>
    Callback = 2,

    /// <summary>May add files. Uploaders have this level, and so do sources at their destinations.</summary>
    ReadAppend = 3,

    /// <summary>The same as READAPPEND: no endpoint distinguishes the two.</summary>
    ReadWrite = 4,

    /// <summary>May do everything.</summary>
    Admin = 100,
}

/// <summary>Whether the data of a copy may ever be deleted. An integer on the wire (docs/spec/wire.md#enums).</summary>
[JsonConverter(typeof(IntegerEnumConverter<DeletionPolicy>))]
public enum DeletionPolicy
{
    /// <summary>The data must stay.</summary>
    Disallowed = 0,

    /// <summary>The data may be deleted once enough other copies exist.</summary>
    Allowed = 1,
}

/// <summary>State of an incoming or outgoing transfer (docs/spec/wire.md#checkin-update). An integer on the wire.</summary>
[JsonConverter(typeof(IntegerEnumConverter<TransferStatus>))]
public enum TransferStatus
{
    /// <summary>Announced; no data has moved.</summary>
    Initiated = 0,

    /// <summary>Data is moving.</summary>
    Ongoing = 1,

    /// <summary>All data are in the destination's staging area, not yet verified.</summary>
    Staged = 2,

    /// <summary>Verified and catalogued; final.</summary>
    Completed = 3,

    /// <summary>Failed or abandoned; final.</summary>
    Failed = 4,

    /// <summary>Withdrawn; final.</summary>
    Cancelled = 5,
}

/// <summary>Severity of a recorded error. A lower-case string on the wire.</summary>
[JsonConverter(typeof(LowerCaseEnumConverter<ErrorSeverity>))]
public enum ErrorSeverity
{
    /// <summary>Data or service are at risk now.</summary>
    Critical,

    /// <summary>Something failed and needs attention.</summary>
    Error,

    /// <summary>Something is wrong, but work continues.</summary>
    Warning,

    /// <summary>For information only.</summary>
    Info,
}

/// <summary>Category of a recorded error. A lower-case string with underscores on the wire.</summary>
[JsonConverter(typeof(LowerCaseEnumConverter<ErrorCategory>))]
public enum ErrorCategory
{
    /// <summary>A copy does not match its checksum.</summary>
    DataIntegrity,

    /// <summary>A copy cannot be reached.</summary>
    DataAvailability,

    /// <summary>The site is configured wrongly.</summary>
    Configuration,

    /// <summary>A store has no free space.</summary>
    StoreFull,

    /// <summary>The software has a defect.</summary>
    Programming,

    /// <summary>A peer cannot be reached.</summary>
    LibrarianNetworkAvailability,

    /// <summary>A transfer failed.</summary>
    Transfer,
}
