using System.Text.Json.Serialization;

namespace Librarian.Contracts;

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
