using System.Text.Json.Serialization;

namespace Librarian.Contracts;

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
