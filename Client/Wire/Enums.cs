using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>What an account may do; a caller needs at least the endpoint's level (wire.md §2.2). An integer on the wire.</summary>
[JsonConverter(typeof(IntegerEnumConverter<AuthLevel>))]
public enum AuthLevel
{
    /// <summary>Nobody; also the effective level of unknown users and wrong passwords.</summary>
    None = 0,

    /// <summary>May search and validate.</summary>
    ReadOnly = 1,

    /// <summary>May report back on transfers; held by a destination site on its source.</summary>
    Callback = 2,

    /// <summary>May add files; held by uploaders, and by a source site on its destination.</summary>
    ReadAppend = 3,

    /// <summary>As READAPPEND; no endpoint tells the two apart.</summary>
    ReadWrite = 4,

    /// <summary>May do everything.</summary>
    Admin = 100,
}

/// <summary>Whether the data of an instance may ever be deleted. An integer on the wire (wire.md §3).</summary>
[JsonConverter(typeof(IntegerEnumConverter<DeletionPolicy>))]
public enum DeletionPolicy
{
    /// <summary>The data must stay.</summary>
    Disallowed = 0,

    /// <summary>The data may be deleted once enough other copies exist.</summary>
    Allowed = 1,
}

/// <summary>State of an incoming or outgoing transfer (wire.md §3, §6.7.1). An integer on the wire.</summary>
[JsonConverter(typeof(IntegerEnumConverter<TransferStatus>))]
public enum TransferStatus
{
    /// <summary>Announced; no data has moved.</summary>
    Initiated = 0,

    /// <summary>Data is moving.</summary>
    Ongoing = 1,

    /// <summary>All data is in the destination's staging area, not yet verified.</summary>
    Staged = 2,

    /// <summary>Verified and cataloged; final.</summary>
    Completed = 3,

    /// <summary>Given up; final.</summary>
    Failed = 4,

    /// <summary>Withdrawn; final.</summary>
    Cancelled = 5,
}

/// <summary>How grave a recorded error is. A lower-case string on the wire.</summary>
[JsonConverter(typeof(LowerCaseEnumConverter<ErrorSeverity>))]
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

/// <summary>What a recorded error is about. A lower-case string with underscores on the wire.</summary>
[JsonConverter(typeof(LowerCaseEnumConverter<ErrorCategory>))]
public enum ErrorCategory
{
    /// <summary>A copy does not match its checksum.</summary>
    DataIntegrity,

    /// <summary>A copy cannot be reached.</summary>
    DataAvailability,

    /// <summary>The site is configured wrongly.</summary>
    Configuration,

    /// <summary>A store has no room.</summary>
    StoreFull,

    /// <summary>A defect of the software.</summary>
    Programming,

    /// <summary>Another site cannot be reached.</summary>
    LibrarianNetworkAvailability,

    /// <summary>A transfer failed.</summary>
    Transfer,
}
