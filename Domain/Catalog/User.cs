namespace Librarian.Domain.Catalog;

/// <summary>An account (table <c>users</c>).</summary>
public sealed class User
{
    /// <summary>Unique name; ASCII, no colon.</summary>
    public required string Username { get; init; }

    /// <summary>Argon2id hash of the password as a PHC string.</summary>
    public required string AuthToken { get; set; }

    /// <summary>Level by name (docs/spec/wire.md#levels): NONE, READONLY, CALLBACK, READAPPEND, READWRITE, ADMIN.</summary>
    public required AuthLevel AuthLevel { get; set; }
}
