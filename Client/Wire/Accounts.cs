using System.Text.Json.Serialization;

namespace Librarian.Client.Wire;

/// <summary>Request to the three ping endpoints: an empty object (docs/spec/wire.md#ping).</summary>
public sealed record PingRequest;

/// <summary>A site's answer to a ping.</summary>
/// <param name="Name">Displayed name of the site, not the name by which its peers know it.</param>
/// <param name="Description">Displayed description.</param>
public sealed record PingResponse(string Name, string Description)
{
    /// <summary>
    /// Response header of the ping endpoints: the name by which peers know this site, percent-encoded. Upstream neither sends nor reads it.
    /// </summary>
    public const string NameHeader = "X-Librarian-Name";

    /// <summary>The value of <see cref="NameHeader"/>; null if the site does not send it.</summary>
    [JsonIgnore]
    public string? LibrarianName { get; init; }
}

/// <summary>Request to users/create (docs/spec/wire.md#users).</summary>
/// <param name="Username">Account name, ASCII without a colon. A peer's account has the peer's name.</param>
/// <param name="Password">Password in clear text; the site keeps only its hash.</param>
/// <param name="Permission">What the account may do.</param>
public sealed record UserCreateRequest(string Username, string Password, AuthLevel Permission);

/// <summary>Request to users/update; null keeps the current value.</summary>
/// <param name="Username">Account to change.</param>
/// <param name="Password">New password, or null.</param>
/// <param name="Permission">New level, or null.</param>
public sealed record UserUpdateRequest(string Username, string? Password = null, AuthLevel? Permission = null);

/// <summary>Request to users/delete and users/get.</summary>
/// <param name="Username">Account.</param>
public sealed record UserRequest(string Username);

/// <summary>Response to changes of accounts, and body of their 400s, which must not carry a reason (docs/spec/wire.md#users).</summary>
/// <param name="Success">Whether the change was made.</param>
/// <param name="Username">Account.</param>
public sealed record UserChangeResponse(bool Success, string Username);

/// <summary>Response of users/get. For an unknown account it is a 400 with permission 0.</summary>
/// <param name="Username">Account.</param>
/// <param name="Permission">What the account may do.</param>
public sealed record UserResponse(string Username, AuthLevel Permission);

/// <summary>Request to users/password_update, which changes the caller's own account.</summary>
/// <param name="Password">Old password.</param>
/// <param name="NewPassword">New password, effective immediately.</param>
public sealed record PasswordUpdateRequest(string Password, string NewPassword);
