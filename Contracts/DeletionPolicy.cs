using System.Text.Json.Serialization;

namespace Librarian.Contracts;

/// <summary>Whether the data of a copy may ever be deleted. An integer on the wire (docs/spec/wire.md#enums).</summary>
[JsonConverter(typeof(IntegerEnumConverter<DeletionPolicy>))]
public enum DeletionPolicy
{
    /// <summary>The data must stay.</summary>
    Disallowed = 0,

    /// <summary>The data may be deleted once enough other copies exist.</summary>
    Allowed = 1,
}
