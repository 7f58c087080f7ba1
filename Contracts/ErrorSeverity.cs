using System.Text.Json.Serialization;

namespace Librarian.Contracts;

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
